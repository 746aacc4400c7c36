"""Logistic regression with C selected by cross-validation: the whole search as one batched fit."""

import os
import time
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import check_cv

from transferkit._estimator import FitProgress, KeepsSourceMixin, VersionedEstimator
from transferkit._types import ClassWeight, FilePath, FittedPredictor, Folds, Numbers, Scoring
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_candidates,
    check_labels,
    check_sample_weight,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_features,
)
from transferkit.heads.linear._linear_classifier import (
    LinearClassifierMixin,
    check_scale_candidates,
    check_weighted_classes,
    compute_sample_weights,
    encode_labels,
    warn_not_converged,
)
from transferkit.heads.linear._logistic import resolve_prior, to_fitted_attributes
from transferkit.heads.linear._search_table import Candidates, score_candidates
from transferkit.heads.linear.evaluation import HeldOut, average_models, compute_fold_weights

__all__ = ["LogisticHeadCV"]

FITTED_SOMETIMES = ("coef_", "intercept_", "n_iter_", "oof_decision_", "oof_log_likelihood_", "candidate_weights_")


class LogisticHeadCV(KeepsSourceMixin, CallbackSupportMixin, LinearClassifierMixin, VersionedEstimator):
    """Logistic regression with C chosen by cross-validation, all folds trained as one problem.

    The result is that of ``GridSearchCV(LogisticHead(), {"C": Cs}, cv=cv, scoring=scoring)``. Candidates are not fitted
    one by one: folds share the features and one decomposition of them serves every C, the solution for one C is the
    start for the next, and the scores of held-out rows are by-products of training.

    Parameters
    ----------
    Cs : int or array-like of float, default=10
        Values of C, or their number from 1e-4 to 1e4, evenly spaced on a logarithmic scale.
    cv : int, splitter or iterable of (train, test) indices, default=5
        If int, the number of stratified folds, not shuffled.
    scoring : str or callable, default=None
        Name of a scorer or a callable ``scorer(estimator, X, y)``; accuracy if None. A name is much faster than a
        callable, which gets a fitted :class:`LogisticHead` for each candidate and fold.
    class_weight : dict or "balanced", default=None
        Weights of the classes, {label: weight}, not negative; "balanced" gives every class the same total weight within
        each fold. With an indicator matrix only "balanced" is allowed: ones and zeros of each label get the same total
        weight.
    prior : fitted linear classifier, str or path-like, default=None
        Source model towards whose weights the new ones are regularised, as in :class:`LogisticHead`.
    block_scales : list of sequences of float, default=None
        Candidates for the `block_scales` of :class:`LogisticHead` when X is :class:`FeatureBlocks`, each tried with
        every C.
    refit : bool or "average", default=True
        Whether to train on all rows with the best candidate; without it there are no predictions. "average" trains
        every candidate whose weight is not negligible and averages their coefficients, weighted by the likelihood of
        held-out rows (`candidate_weights_`).
    store_oof : bool, default=False
        Whether to keep the decision values of held-out rows.
    fit_intercept : bool, default=True
        Whether the scores have an intercept.
    tol : float, default=1e-4
        Tolerance of the fit on all rows, as in :class:`LogisticHead`. In the fits of the folds, of which only scores
        are needed, it is relative to the geometric mean of the objective and its value at weights of zero.
    max_iter : int, default=1000
        Largest number of steps for one C.
    device : str, default="auto"
        Where to train: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1".

    Attributes
    ----------
    C_ : float
        The value of C with the best mean score; the smallest of equally good ones.
    best_score_ : float
        Mean score of the best candidate over the folds in which it is defined.
    best_index_ : int
        Row of the best candidate in `cv_results_`.
    best_params_ : dict
        ``{"C": C_}``, and "block_scales" if they were searched.
    cv_results_ : dict of str to ndarray or list
        The table of :class:`~sklearn.model_selection.GridSearchCV`: "param_C", "params", "split0_test_score" and so
        on, "mean_test_score", "std_test_score", "rank_test_score", and times in seconds. Folds train together, so
        each has an equal share of their time and "std_fit_time" is zero.
    Cs_ : ndarray of shape (n_candidates,)
        The values of C.
    oof_decision_ : ndarray of shape (n_candidates, n_samples) or (n_candidates, n_samples, n_classes)
        Decision values of each row by the models that were not trained on it, for the candidates in the order of
        `cv_results_`: their mean if there are several, NaN if there is none, -1e30 for a class that their training
        parts lack. Only with `store_oof=True`.
    oof_log_likelihood_ : ndarray of shape (n_candidates,)
        Sum over held-out rows of the weighted log probability of their labels, each at least -30, except rows of
        classes that the training parts lack. Only with `store_oof=True` or ``refit="average"``.
    candidate_weights_ : ndarray of shape (n_candidates,)
        Weights proportional to exp(oof_log_likelihood_), those below a thousandth of the largest set to zero; they sum
        to one. Only with `oof_log_likelihood_`.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds of the fit on all rows; zero without it.
    coef_ : ndarray of shape (n_classes, n_features) or (1, n_features)
        Weights of the fit on all rows.
    intercept_ : ndarray of shape (n_classes,) or (1,)
        Its intercepts.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_iter_ : ndarray of shape (1,)
        Number of steps of the fit on all rows.
    multilabel_ : bool
        Whether y was an indicator matrix.
    prior_coverage_ : dict or None
        Features and classes that the prior has in common with the task, as in :class:`LogisticHead`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LogisticHead : The same for one C.
    sklearn.linear_model.LogisticRegressionCV : A path of single fits.

    Notes
    -----
    `sample_weight` weights rows in training, and in scoring if the scorer takes weights, as in GridSearchCV. A row
    that a fold's training part repeats, as bootstrap samples do, counts as often.

    A class that is missing from the training part of a fold is never predicted there. Scorers of probabilities are
    given all classes, so that held-out rows may lack some. A fold in which the score is undefined (NaN) for all
    candidates is left out of the means, with a warning; a candidate without a score in a fold in which others have one
    is ranked last.

    All folds of a candidate are trained as one problem, starting from the linear extrapolation over log C of the optima
    at the two next smaller values of C. If penalties are so weak that this takes many steps, and features are dense,
    L-BFGS starts from the diagonal block of the Hessian for each class at that point, which saves two thirds to four
    fifths of the steps. If one row has more than a quarter of the sum of all squares, each fold is trained by itself
    and checked as in :class:`LogisticHead`, since an outlier makes other directions look flat.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from transferkit import LogisticHeadCV
    >>> X, y = load_iris(return_X_y=True)
    >>> search = LogisticHeadCV(Cs=[0.01, 1, 100]).fit(X, y)
    >>> search.C_
    100.0
    >>> round(search.best_score_, 2)
    0.98
    """

    fitted_attributes = (
        "best_index_",
        "best_params_",
        "best_score_",
        "C_",
        "candidate_weights_",
        "classes_",
        "coef_",
        "Cs_",
        "cv_results_",
        "intercept_",
        "multilabel_",
        "n_iter_",
        "n_splits_",
        "oof_decision_",
        "oof_log_likelihood_",
        "prior_coverage_",
        "refit_time_",
    )

    _parameter_constraints = {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "prior": [HasMethods(["predict"]), str, os.PathLike, None],
        "block_scales": ["array-like", None],
        "refit": ["boolean", StrOptions({"average"})],
        "store_oof": ["boolean"],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
    }

    def __init__(
        self,
        Cs: int | Numbers = 10,
        *,
        cv: Folds = 5,
        scoring: Scoring = None,
        class_weight: ClassWeight = None,
        prior: FittedPredictor | FilePath | None = None,
        block_scales: Numbers | None = None,
        refit: Literal["average"] | bool = True,
        store_oof: bool = False,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
        device: str = "auto",
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.class_weight = class_weight
        self.prior = prior
        self.block_scales = block_scales
        self.refit = refit
        self.store_oof = store_oof
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None) -> Self:
        """Choose C by cross-validation and train with it on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels of at least two classes, or an indicator matrix of zeros and ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.
        groups : array-like of shape (n_samples,), default=None
            Groups of the samples, for splitters that use them, such as :class:`~sklearn.model_selection.GroupKFold`.

        Returns
        -------
        self : LogisticHeadCV
            The fitted search.
        """
        from transferkit._training.linear.search import LogisticSearch

        candidates = Candidates(read_candidates(self.Cs), None)
        n_scales = 1 if self.block_scales is None else len(self.block_scales)
        progress = FitProgress(self, len(candidates.Cs) * n_scales, "candidate")
        with unchanged_on_error(self):
            X, y = validate_features(self, X, check_labels(to_numpy(y)), multi_output=True)
            progress.begin(X, y, sample_weight)
            candidates.scales = check_scale_candidates(self, X, self.block_scales)
            classes, targets, multilabel = encode_labels(self, y)
            weights = check_sample_weight(to_numpy(sample_weight), X, dtype=X.dtype, ensure_non_negative=True)
            row_weights = compute_sample_weights(self, X, classes, targets, multilabel, weights)
            check_weighted_classes(classes, targets, row_weights, self)
            folds = list(check_cv(self.cv, y, classifier=True).split(X, y, groups))
            n_outputs = len(classes) if len(classes) > 2 and not multilabel else 1
            prior, coverage = resolve_prior(self, X, classes, len(classes) if multilabel else n_outputs)
            fold_weights = compute_fold_weights(self, classes, targets, folds, weights)
            is_weighted = sample_weight is not None
            held_out = HeldOut(self.scoring, classes, y, targets, folds, fold_weights, weights, is_weighted=is_weighted)
            check_fold_classes(held_out)
            search = LogisticSearch(
                X,
                targets,
                fold_weights,
                n_outputs=n_outputs,
                fit_intercept=self.fit_intercept,
                tol=self.tol,
                max_iter=self.max_iter,
                device=self.device,
                prior=prior,
                block_scales=candidates.scales,
            )
            keeps = {"likelihoods": self.store_oof or self.refit == "average", "decisions": self.store_oof}
            found = score_candidates(search, candidates, held_out, X, progress, **keeps)
            began = time.perf_counter()
            model = refit(search, found, row_weights, self.refit)
        if not found.best.converged:
            warn_not_converged(self, found.best.n_iter.max())
        elif model is not None and not model.converged:
            warn_not_converged(self, model.n_iter)
        self._store(found, candidates, model, classes, multilabel)
        self.n_splits_, self.prior_coverage_ = len(folds), coverage
        self.refit_time_ = 0.0 if model is None else time.perf_counter() - began
        progress.end(None if model is None else to_fitted_attributes(model, classes, multilabel))
        return self

    @property
    def fit_soft(self):
        """Not available: the error says how to train with soft labels, as other heads do."""
        raise AttributeError(
            "LogisticHeadCV has no fit_soft, because its scores compare predictions with labels. Select C by fit on "
            "labels, and train with soft labels by LogisticHead(C=search.C_).fit_soft(X, probabilities)."
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _store(self, found, candidates, model, classes, multilabel):
        for name in FITTED_SOMETIMES:  # of an earlier fit
            vars(self).pop(name, None)
        self.classes_, self.multilabel_ = classes, multilabel
        self.cv_results_, self.Cs_, self.best_index_ = found.results, candidates.Cs, found.best_index
        self.best_params_ = candidates.params[found.best_index]
        self.C_ = self.best_params_["C"]
        self.best_score_ = float(found.results["mean_test_score"][found.best_index])
        if found.likelihoods is not None:
            self.oof_log_likelihood_, self.candidate_weights_ = found.likelihoods, found.weights()
        if found.decisions is not None:
            seen = next(decision for decision in found.decisions if decision is not None)
            stacked = np.stack([np.full_like(seen, np.nan) if one is None else one for one in found.decisions])
            self.oof_decision_ = stacked[:, :, 0] if stacked.shape[2] == 1 and not multilabel else stacked
        if model is not None:
            vars(self).update(to_fitted_attributes(model, classes, multilabel))


def read_candidates(Cs):
    """Return the values of C, given or evenly spaced on a logarithmic scale, as a 1-D array."""
    return np.logspace(-4, 4, Cs) if isinstance(Cs, Integral) else check_candidates("Cs", Cs, "an int or a list")


def check_fold_classes(held_out):
    """Raise ValueError if the training part of a fold has fewer than two classes."""
    if held_out.multilabel:
        return
    for fold, trained in enumerate(held_out.trained):
        if trained.sum() < 2:
            raise ValueError(
                f"Fold {fold} of cv has training rows of fewer than 2 classes: {held_out.classes[trained].tolist()!r}. "
                "Use fewer folds, or a stratified splitter."
            )


def refit(search, found, row_weights, how):
    """Return the model of all rows: of the best candidate, averaged over candidates, or none."""
    if how == "average":
        weights = found.weights()
        rows = np.flatnonzero(weights)
        return average_models(search.refit([found.fits[row] for row in rows], row_weights), weights[rows])
    return search.refit([found.best], row_weights)[0] if how else None
