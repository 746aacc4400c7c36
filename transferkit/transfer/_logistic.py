"""Logistic regression on an encoder's features, averaged over C by likelihood on held-out labels."""

import time

import numpy as np

from transferkit._algorithms.term_prior import weigh_candidates
from transferkit._validation import check_features
from transferkit.heads import LogisticHead
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import FEW_LABELS_C, LEAST_WEIGHT, SHARPNESS


def fit_logistic(strategy, encoder, features, task, settings):
    """Return the outcome of a logistic head on features.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    encoder : transformer
        What the features come from.
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Encoded rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C. Without folds a middle one is taken.

    Returns
    -------
    outcome : Outcome
        Encoder and head, trained on all rows.
    """
    if not task.has_folds:
        C = settings.Cs[0] if len(settings.Cs) == 1 else FEW_LABELS_C
        head = _fit_head(features, task, settings, C)
        return Outcome(strategy, encoder, head, np.zeros(0), [make_row(strategy, [], C=C, weight=1.0)])
    from transferkit._training.logistic_search import LogisticSearch

    X = check_features(features)
    folds = task.fold_weights.astype(X.dtype)
    search = LogisticSearch(X, task.targets, folds[:, :-1], n_outputs=task.n_outputs, **common(settings))
    fits, rows, began = [], [], time.perf_counter()
    for fit in search.run(settings.Cs):
        loss = task.loss(fit.scores)
        seconds, began = time.perf_counter() - began, time.perf_counter()
        fits.append(fit)
        rows.append(make_row(strategy, task.score_folds(fit.scores), C=fit.C, log_loss=loss, seconds=seconds))
    weights = weigh_candidates(np.array([row["log_loss"] for row in rows]), len(task.targets), SHARPNESS, LEAST_WEIGHT)
    for row, weight in zip(rows, weights, strict=True):
        row["weight"] = float(weight)
    kept = [(fit, weight) for fit, weight in zip(fits, weights, strict=True) if weight > 0]
    head = _fit_head(features, task, settings, fits[int(weights.argmax())].C)
    if len(kept) > 1:
        models = search.refit([fit for fit, _ in kept], folds[:, -1:])
        coef = sum(weight * model.coef for model, (_, weight) in zip(models, kept, strict=True))
        head.coef_ = np.ascontiguousarray(coef.T).T
        head.intercept_ = sum(weight * model.intercept for model, (_, weight) in zip(models, kept, strict=True))
    average = sum(weight * fit.scores for fit, weight in kept)
    return Outcome(strategy, encoder, head, task.score_folds(average), rows, task.loss(average))


def common(settings):
    """Return what the training of every candidate is told."""
    return {name: getattr(settings, name) for name in ("fit_intercept", "tol", "max_iter", "device")}


def _fit_head(features, task, settings, C):
    weights = {"sample_weight": task.sample_weight} if task.is_weighted else {}
    return LogisticHead(**settings.parameters(C)).fit(features, task.y, **weights)
