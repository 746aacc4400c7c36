"""Regressor on raw input: a pretrained encoder and a ridge regression, combined by a strategy of transfer."""

import os
import time
from functools import partial
from numbers import Real
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin, clone, is_classifier
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import KFold, check_cv

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear.ridge import MAX_DECOMPOSED
from transferkit._algorithms.linear.term_prior import block_factors, make_blocks, merge_blocks
from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._types import FilePath, Predictor, Transformer
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_same_length,
    check_targets,
    check_texts,
    fit_context,
    holds_texts,
    read_feature_names,
    with_plain_outputs,
)
from transferkit.encoders.term_projection import find_projection, join_terms
from transferkit.heads import RidgeHead
from transferkit.heads.linear.evaluation import compute_candidate_weights
from transferkit.transfer._estimator import (
    RENAMED_STRATEGIES,
    TransferMixin,
    drop_weightless,
    read_renamed,
    set_fitted,
)
from transferkit.transfer._evaluation import Outcome, describe_candidate, fit_in_turn, make_row
from transferkit.transfer._summary import summarise_errors
from transferkit.transfer.pretrained import check_has_encoder, is_frozen, make_encoder, with_default_encoder
from transferkit.transfer.strategies._candidates import SHARPNESS
from transferkit.transfer.strategies._frozen import encode_folds
from transferkit.transfer.strategies._scratch import fit_scratch_if_possible, make_baseline
from transferkit.transfer.strategies._term_vectors import ALPHAS, idf_ratios

__all__ = ["TransferRegressor"]

_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
MOST_FOLDS = 5  # if the encoder is fitted in each


class TransferRegressor(TransferMixin, CallbackSupportMixin, RegressorMixin, VersionedEstimator):
    """Predict numbers from raw input with a pretrained encoder and few labelled rows.

    Parameters
    ----------
    encoder : str, path or transformer, default=None
        Pretrained encoder, as in :class:`TransferClassifier`; None takes "english" for texts.
    head : regressor, default=None
        None is a ridge regression whose penalty is selected by exact leave-one-out error. Any other regressor is cloned
        and fitted on features, with strategies "frozen" and "scratch" only.
    strategy : {"auto", "term_vectors", "frozen", "scratch"}, default="auto"
        As in :class:`TransferClassifier`, with squared error instead of the log loss.
    sharpness : float, default=0.25
        Candidates of "term_vectors" are weighted by their Gaussian likelihood on left-out rows to this power.

    Attributes
    ----------
    encoder_ : transformer
        Encoder in use; with "term_vectors" TF-IDF.
    head_ : regressor
        The fitted head.
    strategy_ : str
        The selected strategy.
    default_encoder_ : str or None
        "english" if no encoder was given and that one was taken.
    strategy_scores_ : dict of str to ndarray
        One row per candidate, as in :class:`TransferClassifier`; "mean" is minus the mean squared leave-one-out
        error, "C" is one over the penalty.
    summary_ : dict
        What the errors on left-out samples say of transfer, as in :class:`TransferClassifier`: "text" says it;
        "with_transfer" and "without_transfer" are R2, the share of the variance that is explained; "gain" is their
        difference, whose standard error is not known, so that "helped" is None. Models of files that earlier versions
        wrote do not have it.
    label_coef_ : CSR matrix of shape (n_outputs, n_terms) or None
        With "term_vectors": the part of ``head_.coef_`` due to the labels alone.
    n_features_in_ : int
        Number of input features; only if X is a table.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the input features, if `fit` saw names that are all strings.

    See Also
    --------
    TransferClassifier : The same for classes.
    RidgeHead : The default head.

    Notes
    -----
    Each pair of alpha and idf needs one decomposition, which gives the exact leave-one-out errors of every penalty. The
    Gaussian likelihood of n left-out rows is their mean squared error to the power -n / 2. Beyond 4,000
    rows the penalty is selected on 4,000 of them, candidates of "term_vectors" have equal weights, and "auto" uses
    "term_vectors" if it applies.

    With an unfitted encoder, which may use targets, errors and penalties come from 5 folds (or those of a RidgeHead's
    `cv`), and the encoder is fitted on the training rows of each. The vocabulary and idf of TF-IDF, which do not depend
    on targets, are those of all labelled texts.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: strategies and candidates are tasks as in
    :class:`TransferClassifier`, and a request to stop ends the comparison in the same way.

    Examples
    --------
    >>> from transferkit import TransferRegressor, WordVectorEncoder
    >>> unlabelled = ["a good film", "a great film", "a fine film", "a bad film", "a poor film", "an awful film"] * 2
    >>> encoder = WordVectorEncoder(n_components=3, min_count=1).fit(unlabelled)
    >>> texts, stars = ["good", "great", "bad", "poor"], [4.0, 5.0, 1.0, 2.0]
    >>> model = TransferRegressor(encoder, strategy="frozen").fit(texts, stars)
    >>> model.predict(["good film"]).shape
    (1,)
    """

    default_head = RidgeHead
    fitted_attributes = ("summary_",)

    _parameter_constraints: dict = {
        "encoder": [str, os.PathLike, HasMethods(["fit", "transform"]), None],
        "head": [HasMethods(["fit", "predict"]), None],
        "strategy": [StrOptions({"auto", "term_vectors", "frozen", "scratch", "prior"}, deprecated={"prior"})],
        "sharpness": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        encoder: FilePath | Transformer | None = None,
        head: Predictor | None = None,
        *,
        strategy: Literal["auto", "term_vectors", "frozen", "scratch"] = "auto",
        sharpness: float = SHARPNESS,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.strategy = strategy
        self.sharpness = sharpness

    @fit_context(prefer_skip_nested_validation=False)
    @with_plain_outputs
    def fit(self, X, y, sample_weight: ArrayLike | None = None) -> Self:
        """Select the strategy by cross-validation, and train it on all labelled rows.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input, as the encoder accepts it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. A row of weight 2 counts as two in training and in errors, but once where words are
            counted; one of weight zero is left out.

        Returns
        -------
        self : TransferRegressor
            The fitted regressor.
        """
        if self.head is not None and is_classifier(self.head):
            raise ValueError(
                "The 'head' parameter of TransferRegressor must be a regressor. Got the classifier "
                f"{type(self.head).__name__}: use TransferClassifier with it."
            )
        progress = FitProgress(self)
        is_text, feature_names = holds_texts(X), read_feature_names(X)
        chosen = with_default_encoder(self, is_text)
        X = check_texts(X) if is_text else X
        y = check_targets(y)
        check_same_length(X, y)
        X, y, sample_weight, _, _ = drop_weightless(self.head, X, y, sample_weight)
        progress.begin(X, y, sample_weight)
        strategy = read_renamed(self, "strategy", RENAMED_STRATEGIES)
        names = chosen._strategies(strategy, X, is_text)
        folds = self._make_folds(y) if "frozen" in names and not is_frozen(chosen.encoder) else None
        given = {"is_text": is_text, "sample_weight": sample_weight, "folds": folds, "progress": progress}
        fit = partial(chosen._fit_strategy, X=X, y=y, **given)

        def fit_one(name):
            is_baseline = name == "scratch" and strategy == "auto"
            return fit_scratch_if_possible(fit, chosen.encoder, X, is_text) if is_baseline else fit(name)

        outcomes = fit_in_turn(fit_one, names, progress)
        errors = [outcome.loss for outcome in outcomes]
        taken = outcomes[int(np.nanargmin(errors))] if not np.isnan(errors).all() else outcomes[0]
        is_pretrained = strategy == "scratch" or is_frozen(chosen.encoder)
        taken.attributes["summary_"] = summarise_errors(taken, outcomes, y, sample_weight, is_pretrained=is_pretrained)
        set_fitted(self, taken, outcomes, feature_names, chosen.encoder)
        progress.end({})
        return self

    def _strategies(self, strategy, X, is_text):
        """Return the names of the strategies to compare, after checking that a given one applies."""
        ridge = self.head is None or (type(self.head) is RidgeHead and self.head.prior is None)
        if strategy == "term_vectors" and not (ridge and is_text):
            raise ValueError(
                "strategy='term_vectors' trains ridge regression on the terms of texts: head must be None or a "
                "RidgeHead without a prior, and X must hold texts. Use strategy='frozen'."
            )
        if strategy == "scratch":
            return ["scratch"]
        check_has_encoder(self, strategy)
        encoder = make_encoder(self.encoder)
        if is_frozen(self.encoder):
            encoder.fit(X)  # warns of texts whose words are unknown
        can = ridge and is_text and is_frozen(self.encoder) and find_projection(encoder) is not None
        if strategy == "term_vectors" and not can:
            name = type(getattr(encoder, "encoder_", encoder)).__name__
            raise ValueError(
                "strategy='term_vectors' needs a fitted encoder that projects the weights of terms linearly: a "
                f"WordVectorEncoder or an LSAEncoder. Got {name}. Use strategy='frozen'."
            )
        if strategy != "auto":
            return [strategy]
        return [*["term_vectors"] * can, "frozen", "scratch"] if ridge else ["frozen"]

    def _make_folds(self, y):
        """Return (train, test) positions of the folds in each of which an encoder that is not pretrained is fitted."""
        rows = np.sort(np.random.RandomState(0).permutation(len(y))[:MAX_DECOMPOSED])
        cv = getattr(self.head, "cv", None) if type(self.head) is RidgeHead else None
        if cv is None and len(rows) < 2:
            return []
        cv = KFold(min(MOST_FOLDS, len(rows)), shuffle=True, random_state=0) if cv is None else check_cv(cv)
        return [(rows[train], rows[test]) for train, test in cv.split(rows, y[rows])]

    def _fit_strategy(self, strategy, X, y, is_text, sample_weight, folds, progress):
        encoder = make_baseline(self.encoder, is_text) if strategy == "scratch" else make_encoder(self.encoder)
        if strategy == "term_vectors":
            terms = join_terms(find_projection(encoder), X)
            return _fit_term_vectors(terms, X, y, sample_weight, self._make_head(), self.sharpness, progress)
        began, head, error = time.perf_counter(), self._make_head(), np.nan
        if folds and _compares_penalties(head):
            errors = _measure_errors(encode_folds(encoder, X, y, folds), folds, y, sample_weight, head)
            error = float(errors.min())
            head.set_params(alpha=float(head.alphas[errors.argmin()]), alphas=None)
        features = encoder.fit_transform(X, y)
        head = _fit_head(head, features, y, sample_weight)
        for errors in (getattr(head, "loo_errors_", None), getattr(head, "cv_errors_", None)):
            error = error if errors is None else float(errors.min())
        strength = 1 / head.alpha_ if hasattr(head, "alpha_") else np.nan
        values = {"C": strength, "weight": 1.0, "seconds": time.perf_counter() - began, "mean": -error}
        row = make_row(strategy, [], **values)
        progress.step(name=describe_candidate(row))
        return Outcome(strategy, encoder, head, np.zeros(0), [row], error)

    def _make_head(self):
        """Return the unfitted head; for the comparison of strategies, a single alpha becomes a search over it alone."""
        if self.head is None:
            return RidgeHead(alphas=_PENALTIES)
        head = clone(self.head)
        is_single = type(head) is RidgeHead and head.alphas is None and self.strategy == "auto"
        return head.set_params(alphas=[head.alpha]) if is_single else head


def _fit_term_vectors(terms, texts, y, sample_weight, head, sharpness, progress):
    """Return the outcome of the strategy "term_vectors": the average over alpha and idf, each with its best penalty.

    Its error is bounded by the average of the errors of the candidates, which is used instead.
    """
    rows = terms.encoder.transform(texts)
    blocks = {idf: make_blocks(rows, ratio, terms.vectors) for idf, ratio in idf_ratios(terms.encoder, rows).items()}
    table, models = [], []
    for idf, of_idf in blocks.items():
        for alpha in ALPHAS:
            began = time.perf_counter()
            factors = block_factors(alpha)
            model = _fit_head(clone(head), _scale(of_idf, factors), y, sample_weight)
            errors = model.cv_errors_ if model.loo_errors_ is None else model.loo_errors_
            error = np.nan if errors is None else float(errors.min())
            models.append((idf, factors, model))
            values = {"alpha": alpha, "C": 1 / model.alpha_, "idf": idf, "mean": -error}
            table.append(make_row("term_vectors", [], seconds=time.perf_counter() - began, **values))
            progress.step(name=describe_candidate(table[-1]))
    errors = -np.array([row["mean"] for row in table])
    losses = np.zeros(len(errors)) if np.isnan(errors).any() else np.log(np.maximum(errors, 1e-300)) / 2
    held_weight = len(texts) if sample_weight is None else float(np.sum(sample_weight, dtype=np.float64))
    weights = compute_candidate_weights(-held_weight * losses, sharpness)
    labels = pretraining = intercept = 0.0
    for row, weight, (idf, factors, model) in zip(table, weights, models, strict=True):
        row["weight"] = float(weight)
        if weight > 0:
            n_seen = len(blocks[idf].seen)
            coef = np.atleast_2d(model.coef_) * np.repeat(factors, [n_seen, terms.vectors.shape[1]])
            part = merge_blocks(blocks[idf], coef[:, :n_seen], coef[:, n_seen:], np.atleast_1d(model.intercept_))
            labels, intercept = labels + weight * part.labels, intercept + weight * part.intercept
            pretraining = pretraining + weight * part.pretraining
    best = models[int(weights.argmax())][2]
    is_flat = np.ndim(y) == 1
    coef = np.ascontiguousarray((pretraining + labels.toarray()).T).T
    best.coef_, best.n_features_in_ = coef[0] if is_flat else coef, coef.shape[1]
    best.intercept_ = float(intercept[0]) if is_flat else intercept
    error = float(weights @ errors)
    return Outcome("term_vectors", terms.encoder, best, np.zeros(0), table, error, {"label_coef_": labels.tocsr()})


def _compares_penalties(head):
    return type(head) is RidgeHead and head.alphas is not None


def _measure_errors(of_folds, folds, y, sample_weight, head):
    """Return the mean squared error of each penalty on held-out rows, for which the encoder was not fitted."""
    total = np.zeros(len(head.alphas))
    given = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    for features, fold in zip(of_folds, folds, strict=True):
        rows, held = np.concatenate(fold), fold[1]
        of_fold = clone(head).set_params(cv=[features.positions])
        errors = of_fold.fit(features.both, y[rows], sample_weight=given[rows]).cv_errors_
        total += errors * given[held].sum()
    return total / sum(given[held].sum() for _, held in folds)


def _is_too_large(features):
    """Return whether a ridge regression cannot compare penalties on these rows."""
    return min(getattr(features, "shape", (0,))) > MAX_DECOMPOSED


def _scale(blocks, factors):
    return FeatureBlocks(blocks.rows * np.float32(factors[0]), blocks.dense * np.float32(factors[1]))


def _fit_head(head, X, y, sample_weight):
    """Return the fitted head; a ridge regression selects its penalty on part of the rows if there are very many."""
    if _compares_penalties(head) and _is_too_large(X):
        head.set_params(alpha=_choose_penalty(head, X, y, sample_weight), alphas=None)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return head.fit(X, y, **weights)


def _choose_penalty(head, X, y, sample_weight):
    chosen = np.random.RandomState(0).permutation(X.shape[0])[:MAX_DECOMPOSED]
    weights = None if sample_weight is None else np.asarray(sample_weight)[chosen]
    return clone(head).fit(X[chosen], np.asarray(y)[chosen], sample_weight=weights).alpha_
