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
from transferkit.transfer._fold_features import encode_folds
from transferkit.transfer._logistic import common
from transferkit.transfer._outcome import Outcome, is_clearly_better, make_row
from transferkit.transfer._settings import CS, FEW_LABELS_C

_SOURCE_CS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # the smallest hardly leave the source


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
    of_folds = None  # features that candidates are judged on, where those of each fold are its own
    if estimator.encoder is not None:
        names = encoder.get_feature_names_out()
        encoder = estimator._make_encoder(is_text, "frozen")
        features = encoder.fit_transform(X, task.y)
        if not set(names) & set(encoder.get_feature_names_out()):
            raise ValueError(
                "The source model and the encoder have no feature in common, so there is nothing to transfer. Leave "
                "out encoder to use the source's own."
            )
        prior = _spread(head, names, encoder.get_feature_names_out())
        if not estimator._has_frozen_encoder():
            encoded = encode_folds(encoder, X, task.y, task.folds)
            of_folds = [(fold, _spread(head, names, fold.encoder.get_feature_names_out())) for fold in encoded]
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
        head, scores = _fit_head(features, of_folds, task, settings, start)
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
    coef = np.zeros((len(head.coef_), len(found)), head.coef_.dtype)
    coef[:, found >= 0] = head.coef_[:, found[found >= 0]]
    from sklearn.linear_model import LogisticRegression  # here, because a model that only predicts needs none of it

    spread = LogisticRegression()
    spread.coef_, spread.intercept_, spread.classes_ = coef, np.asarray(head.intercept_), head.classes_
    return spread


def _score_source(source, X, task):
    """Return how the source does on held-out rows as it is, (n_folds,); NaN where its classes do not fit."""
    scores = []
    for fold, (_, test) in enumerate(task.folds):
        try:
            scores.append(task.score_fold(source, take_rows(X, test), fold))
        except (ValueError, AttributeError):  # a score that needs the probability of classes it does not know
            scores.append(np.nan)
    return np.array(scores)


def _fit_head(features, of_folds, task, settings, prior):
    """Return the head of the best C, and the scores of its folds, of which the prior may be None."""
    Cs = np.sort(settings.Cs if settings.Cs != CS else _SOURCE_CS)
    if not task.has_folds:
        C, scores = FEW_LABELS_C if len(Cs) > 1 else Cs[0], np.zeros(0)
    else:
        if of_folds is None:
            rows = np.arange(len(task.targets))
            table = _score_folds(features, rows, task.folds, task, settings, Cs, prior)
        else:
            parts = zip(of_folds, task.folds, strict=True)
            table = np.hstack([_score_own_features(*part, task, settings, Cs, prior is not None) for part in parts])
        best = int(table.mean(1).argmax())  # of equals the smallest
        C, scores = Cs[best], table[best]
    head = LogisticHead(**_ease(settings) | {"C": float(C)}, prior=prior)
    weights = {"sample_weight": task.sample_weight} if task.is_weighted else {}
    with warnings.catch_warnings():  # a loss that the source has brought to nothing leaves nothing to converge to
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(features, task.y, **weights)
    head.set_params(**settings.parameters(C), prior=None)  # its weights have done their part
    return head, scores


def _score_own_features(of_fold, fold, task, settings, Cs, transfers):
    """Return scores (n_Cs, 1) of a fold whose features are its own."""
    features, prior = of_fold
    rows = np.concatenate(fold)
    return _score_folds(features.both, rows, [features.positions], task, settings, Cs, prior if transfers else None)


def _score_folds(features, rows, folds, task, settings, Cs, prior):
    """Return the scores (n_Cs, n_folds) of held-out rows; `rows` are those of the task that the features are of."""
    search = LogisticHeadCV(Cs, cv=folds, scoring=task.scoring, prior=prior, refit=False, **_ease(settings))
    weights = {"sample_weight": task.sample_weight[rows]} if task.is_weighted else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        table = search.fit(features, task.y[rows], **weights).cv_results_
    return np.stack([table[f"split{fold}_test_score"] for fold in range(len(folds))], axis=1)


def _ease(settings):
    told = common(settings)
    told |= {"tol": max(settings.tol, 1e-3), "max_iter": min(settings.max_iter, 200)}
    return told | {"class_weight": settings.class_weight}
