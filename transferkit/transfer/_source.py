"""A source model's weights as the point that those of a new task are pulled to (L2-SP)."""

import os
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from transferkit._validation import check_is_fitted, take_rows
from transferkit.encoders import TfidfEncoder
from transferkit.encoders._pretrained import PretrainedEncoder
from transferkit.encoders._term_projection import TermProjection, join_terms
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.persistence import load_shared
from transferkit.transfer._outcome import Outcome, is_clearly_better, make_row
from transferkit.transfer._settings import CS, FEW_LABELS_C

_SOURCE_CS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # the smallest hardly leave the source
_ATTRIBUTES = ("coef_", "intercept_", "classes_", "multilabel_", "n_iter_", "prior_coverage_")
_ATTRIBUTES += ("n_features_in_", "feature_names_in_")


def fit_from_source(estimator, X, is_text, task, settings):
    """Return the outcome of learning a task from a source model.

    Parameters
    ----------
    estimator : TransferClassifier
        Has the parameters `source` and `encoder`.
    X : list of str, array, sparse matrix or data frame
        Raw input.
    is_text : bool
        Whether X holds texts.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.

    Returns
    -------
    outcome : Outcome
        "transfer", or "target only" where that is clearly better; the table has "source only" beside both.
    """
    source, encoder, head = read_source(estimator.source)
    if estimator.encoder is not None:
        names = encoder.get_feature_names_out()
        encoder = estimator._make_encoder(is_text, "frozen")
        features = encoder.fit_transform(X, task.y)
        prior = _spread(head, names, encoder.get_feature_names_out())
    else:
        encoder = _widen(encoder, X) if is_text else encoder
        features = encoder.transform(X)
        n_known = head.coef_.shape[1]
        prior = head if features.shape[1] == n_known else _spread(head, range(n_known), range(features.shape[1]))
    began, source_scores = time.perf_counter(), _score_source(source, X, task)
    rows = [make_row("source only", source_scores, weight=0.0, seconds=time.perf_counter() - began)]
    outcomes = []
    for strategy, start in (("transfer", prior), ("target only", None)):
        began = time.perf_counter()
        head, scores = _fit_head(features, task, settings, start)
        row = make_row(strategy, scores, C=head.C, weight=0.0, seconds=time.perf_counter() - began)
        outcomes.append(Outcome(strategy, encoder, head, scores, [row]))
        rows.append(row)
    transfer, target = outcomes
    taken = target if is_clearly_better(target, transfer) else transfer
    taken.rows[0]["weight"] = 1.0
    taken.rows = rows
    return taken


def read_source(source):
    """Return the source model, its encoder and its linear head."""
    model = load_shared(source) if isinstance(source, (str, os.PathLike)) else source
    check_is_fitted(model)
    model = getattr(model, "best_estimator_", model)
    if hasattr(model, "encoder_") and hasattr(model, "head_"):
        encoder, head = model.encoder_, model.head_
    elif isinstance(model, Pipeline):
        head = model[-1]
        encoder = model[:-1] if len(model.steps) > 1 else FunctionTransformer(accept_sparse=True)
    else:
        encoder, head = FunctionTransformer(accept_sparse=True).fit([[0]]), model
    if not hasattr(head, "coef_") or not hasattr(head, "classes_"):
        raise ValueError(
            f"source must be a fitted model whose head is linear and classifies (coef_ and classes_). Got "
            f"{type(head).__name__} as head of {type(model).__name__}. Use its encoder with strategy='frozen'."
        )
    return model, encoder, head


def _widen(encoder, texts):
    """Return the source's TF-IDF with columns for new terms behind its own, and any other encoder as it is."""
    inner = encoder.encoder_ if isinstance(encoder, PretrainedEncoder) else encoder
    if type(inner) is not TfidfEncoder or inner.norm != "l2" or not inner.sublinear_tf or not inner.use_idf:
        return encoder
    nothing = np.zeros((len(inner.idf_), 0), np.float32)
    return join_terms(TermProjection(inner, nothing, inner.idf_), texts).encoder


def _spread(head, names, wanted):
    """Return a linear model with the head's weights at features of the same names, and zero at others."""
    place = {name: position for position, name in enumerate(names)}
    found = np.array([place.get(name, -1) for name in wanted])
    if not (found >= 0).any():
        raise ValueError(
            "The source model and the encoder have no feature in common, so there is nothing to transfer. Leave out "
            "encoder to use the source's own."
        )
    coef = np.zeros((len(head.coef_), len(found)), head.coef_.dtype)
    coef[:, found >= 0] = head.coef_[:, found[found >= 0]]
    from sklearn.linear_model import LogisticRegression  # here, because a model that only predicts needs none of it

    spread = LogisticRegression()
    spread.coef_, spread.intercept_, spread.classes_ = coef, np.asarray(head.intercept_), head.classes_
    return spread


def _score_source(source, X, task):
    """Return how the source does on held-out rows as it is, (n_folds,); NaN where its classes do not fit."""
    scores = []
    for _, test in task.folds:
        try:
            scores.append(task.scorer(source, take_rows(X, test), task.y[test], **task.score_weights(test)))
        except (ValueError, AttributeError):  # a score that needs the probability of classes it does not know
            scores.append(np.nan)
    return np.array(scores)


def _fit_head(features, task, settings, prior):
    """Return the head of the best C and the scores of its folds."""
    Cs = settings.Cs if settings.Cs != CS else _SOURCE_CS
    if not task.has_folds:
        Cs = (FEW_LABELS_C,) if len(Cs) > 1 else Cs
    everything = [(np.arange(len(task.targets)), np.arange(len(task.targets)))]
    head = LogisticHeadCV(
        Cs=Cs,
        cv=task.folds if task.has_folds else everything,
        scoring=task.scoring,
        prior=prior,
        class_weight=settings.class_weight,
        fit_intercept=settings.fit_intercept,
        tol=max(settings.tol, 1e-3),
        max_iter=min(settings.max_iter, 200),
        device=settings.device,
    )
    weights = {"sample_weight": task.sample_weight} if task.is_weighted else {}
    with warnings.catch_warnings():  # a loss that the source has brought to nothing leaves nothing to converge to
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(features, task.y, **weights)
    plain = LogisticHead(**settings.parameters(head.C_))
    vars(plain).update({name: value for name, value in vars(head).items() if name in _ATTRIBUTES})
    if not task.has_folds:
        return plain, np.zeros(0)
    table, best = head.cv_results_, head.best_index_
    return plain, np.array([table[f"split{fold}_test_score"][best] for fold in range(len(task.folds))])
