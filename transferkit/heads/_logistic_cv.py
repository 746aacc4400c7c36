"""Logistic regression that chooses its own C: the whole search as one batched fit."""

import os
import time
from inspect import signature
from numbers import Integral, Real

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv

from transferkit._progress import FitProgress
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_sample_weight,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_data,
)
from transferkit.heads._linear_classifier import FLOATS, LinearClassifierMixin, warn_not_converged, weigh_rows
from transferkit.heads._logistic import LogisticHead, read_attributes, read_prior, read_targets


class LogisticHeadCV(CallbackSupportMixin, LinearClassifierMixin, BaseEstimator):
    """Logistic regression with C chosen by cross-validation, all folds trained as one problem.

    The answer of ``GridSearchCV(LogisticHead(), {"C": Cs}, cv=cv, scoring=scoring)``, without fitting every candidate
    on its own: folds share the features, one decomposition serves every C, each C starts where the last one ended,
    and the scores of held-out rows are by-products of training.

    Parameters
    ----------
    Cs : int or array-like of float, default=10
        Candidates; an int asks for so many from 1e-4 to 1e4, evenly spaced on a logarithmic scale.
    cv : int, splitter or iterable of (train, test) indices, default=5
        Folds; an int asks for so many stratified ones, unshuffled.
    scoring : str or callable, default=None
        Name of a scorer or a callable ``scorer(estimator, X, y)``; accuracy if None. A name is much faster than a
        callable, which gets a fitted :class:`LogisticHead` for each candidate and fold.
    class_weight : dict or "balanced", default=None
        Weights of the classes, {label: weight}; "balanced" gives every class the same total weight within each fold.
    prior : fitted linear classifier, str or path-like, default=None
        Source model whose weights the penalty pulls to, as in :class:`LogisticHead`.
    refit : bool, default=True
        Whether to train on all rows with the best C. Without it there are no predictions.
    fit_intercept : bool, default=True
        Whether the scores have an intercept.
    tol : float, default=1e-4
        Training ends as in :class:`LogisticHead`.
    max_iter : int, default=1000
        Largest number of steps for one C.
    device : str, default="auto"
        Where to train: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1".

    Attributes
    ----------
    C_ : float
        The candidate with the best mean score; of equals the smallest.
    best_score_ : float
        Its mean score over the folds.
    best_index_ : int
        Its row in `cv_results_`.
    best_params_ : dict
        ``{"C": C_}``.
    cv_results_ : dict of str to ndarray or list
        The table of :class:`~sklearn.model_selection.GridSearchCV`: "param_C", "params", "split0_test_score" and so
        on, "mean_test_score", "std_test_score", "rank_test_score", and times in seconds. Folds train together, so
        each has an equal share of their time and "std_fit_time" is zero.
    Cs_ : ndarray of shape (n_candidates,)
        The candidates.
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
        False: the search takes one label a row.
    prior_coverage_ : dict or None
        What the prior knows of the task.
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
    `sample_weight` weighs rows in training, and in scoring where the scorer takes weights, as in GridSearchCV. A class
    that is missing from a fold's training part is never predicted there.

    All folds of a candidate train as one problem and begin at the optima of the next smaller C. Where penalties are so
    weak that steps become many, dense features get the Hessian's diagonal block of each class at that point as the
    first guess of L-BFGS, which takes a third to a fifth of the steps.

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

    _parameter_constraints = {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "prior": [HasMethods(["predict"]), str, os.PathLike, None],
        "refit": ["boolean"],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
    }

    def __init__(
        self,
        Cs=10,
        *,
        cv=5,
        scoring=None,
        class_weight=None,
        prior=None,
        refit=True,
        fit_intercept=True,
        tol=1e-4,
        max_iter=1000,
        device="auto",
    ):
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.class_weight = class_weight
        self.prior = prior
        self.refit = refit
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Choose C by cross-validation and train with it on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.
        groups : array-like of shape (n_samples,), default=None
            Groups for splitters that ask for them, such as :class:`~sklearn.model_selection.GroupKFold`.

        Returns
        -------
        self : LogisticHeadCV
            The fitted search.
        """
        from transferkit._training.logistic_search import LogisticSearch

        Cs = read_candidates(self.Cs)
        progress = FitProgress(self, len(Cs), "candidate")
        with unchanged_on_error(self):
            X, y = validate_data(self, to_numpy(X), to_numpy(y), accept_sparse="csr", dtype=FLOATS)
            progress.begin(X, y, sample_weight)
            classes, labels, _ = read_targets(self, y)
            weights = check_sample_weight(to_numpy(sample_weight), X, dtype=X.dtype, ensure_non_negative=True)
            folds = list(check_cv(self.cv, y, classifier=True).split(X, y, groups))
            n_outputs = len(classes) if len(classes) > 2 else 1
            prior, coverage = read_prior(self, X, classes, n_outputs)
            search = LogisticSearch(
                X,
                labels,
                weigh_folds(X, classes, labels, folds, self.class_weight, weights),
                n_outputs=n_outputs,
                fit_intercept=self.fit_intercept,
                tol=self.tol,
                max_iter=self.max_iter,
                device=self.device,
                prior=prior,
            )
            scorer = FoldScorer(self.scoring, X, y, None if sample_weight is None else weights, classes, folds)
            results, best = score_candidates(search, Cs, scorer, progress)
            model, refit_time = None, 0.0
            if self.refit:
                began = time.perf_counter()
                model = search.refit(best, weigh_rows(X, classes, labels, self.class_weight, weights))
                refit_time = time.perf_counter() - began
        if not best.converged or (model is not None and not model.converged):
            warn_not_converged(self)
        self.classes_, self.multilabel_, self.prior_coverage_ = classes, False, coverage
        self.cv_results_, self.Cs_, self.n_splits_, self.refit_time_ = results, Cs, len(folds), refit_time
        self.best_index_ = int(np.flatnonzero(Cs == best.C)[0])
        self.C_, self.best_params_ = float(best.C), {"C": float(best.C)}
        self.best_score_ = float(results["mean_test_score"][self.best_index_])
        if model is None:
            for name in ("coef_", "intercept_", "n_iter_"):  # of an earlier fit
                vars(self).pop(name, None)
        else:
            vars(self).update(read_attributes(model, classes, False))
        progress.end(None if model is None else read_attributes(model, classes, False))
        return self

    def __sklearn_clone__(self):
        copy = super().__sklearn_clone__()
        copy.prior = self.prior  # a source model is knowledge, not a hyper-parameter: cloning must not unfit it
        return copy


def read_candidates(Cs):
    """Return the candidates as a 1-D array of positive numbers."""
    if isinstance(Cs, Integral):
        return np.logspace(-4, 4, Cs)
    candidates = np.asarray(Cs, dtype=np.float64)
    if candidates.ndim != 1 or len(candidates) == 0 or not (np.isfinite(candidates) & (candidates > 0)).all():
        raise ValueError(f"Cs must be an int or a list of finite numbers larger than 0. Got {Cs!r} instead.")
    return candidates


def weigh_folds(X, classes, labels, folds, class_weight, sample_weight):
    """Return the training weights of each fold, (n_samples, n_folds): zero for the rows that are held out."""
    weights = np.zeros((len(labels), len(folds)), dtype=X.dtype)
    for fold, (train, _) in enumerate(folds):
        weights[train, fold] = weigh_rows(X[train], classes, labels[train], class_weight, sample_weight[train])
        found = np.unique(labels[train][weights[train, fold] > 0])
        if len(found) < 2:
            raise ValueError(
                f"Fold {fold} of cv has training rows of fewer than 2 classes: {classes[found].tolist()!r}. Use fewer "
                "folds, or a stratified splitter."
            )
    return weights


class FoldScorer:
    """Scores held-out rows; for named scorers from the scores that training left behind."""

    def __init__(self, scoring, X, y, sample_weight, classes, folds):
        self.X, self.y, self.classes, self.folds = X, y, classes, folds
        self.needs_models = callable(scoring) and not hasattr(scoring, "_score_func")
        self.scorer = check_scoring(LogisticHead(), scoring=scoring)
        self.sample_weight = sample_weight if takes_weights(self.scorer) else None

    def score(self, fit):
        """Return the score of each fold, (n_folds,)."""
        if self.needs_models:
            pairs = [(self._make_head(model.coef, model.intercept), self.X) for model in fit.models()]
        else:
            # to a head with the identity for weights, a row of scores is a row of features
            identity = np.eye(fit.scores.shape[2], dtype=fit.scores.dtype)
            head = self._make_head(identity, np.zeros(len(identity), identity.dtype))
            pairs = [(head, fit.scores[:, fold]) for fold in range(len(self.folds))]
        return np.array([self._score_fold(*pair, test) for pair, (_, test) in zip(pairs, self.folds, strict=True)])

    def _score_fold(self, head, X, test):
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[test]}
        return self.scorer(head, X[test], self.y[test], **weights)

    def _make_head(self, coef, intercept):
        head = LogisticHead()
        head.coef_, head.intercept_, head.classes_, head.multilabel_ = coef, intercept, self.classes, False
        head.n_features_in_ = coef.shape[1]
        return head


def takes_weights(scorer):
    """Return whether a scorer takes sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def score_candidates(search, Cs, scorer, progress):
    """Return the table of all candidates, and the fit of the best one (of equals the smallest C).

    Candidates that a callback's wish to stop has left out have scores of NaN and the last rank.
    """
    shape = (len(Cs), len(scorer.folds))
    scores, fit_times, score_times, best = np.full(shape, np.nan), np.zeros(len(Cs)), np.zeros(len(Cs)), None
    order = np.argsort(Cs, kind="stable")
    best_mean = -np.inf
    for row, fit in zip(order, search.run(Cs[order].tolist()), strict=False):
        began = time.perf_counter()
        scores[row] = scorer.score(fit)
        score_times[row], fit_times[row] = time.perf_counter() - began, fit.seconds
        mean = scores[row].mean()
        if best is None or mean > best_mean:
            best, best_mean = fit, mean
        if progress.step():
            break
    return tabulate(Cs, scores, fit_times / shape[1], score_times / shape[1]), best


def tabulate(Cs, scores, fit_times, score_times):
    """Return GridSearchCV's cv_results_ of scores (n_candidates, n_folds) and seconds a fold (n_candidates,)."""
    means = scores.mean(1)
    splits = {f"split{fold}_test_score": column for fold, column in enumerate(scores.T)}
    return {
        "mean_fit_time": fit_times,
        "std_fit_time": np.zeros(len(Cs)),
        "mean_score_time": score_times,
        "std_score_time": np.zeros(len(Cs)),
        "param_C": np.array(Cs),
        "params": [{"C": float(C)} for C in Cs],
        **splits,
        "mean_test_score": means,
        "std_test_score": scores.std(1),
        "rank_test_score": rankdata(-np.nan_to_num(means, nan=-np.inf), method="min").astype(np.int32),
    }
