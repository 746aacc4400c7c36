"""Logistic regression on an encoder's features, C chosen on held-out labels."""

import time

import numpy as np

from transferkit._validation import check_features
from transferkit.heads import LogisticHead
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import FEW_LABELS_C


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
        Candidates for C. The one with the best mean score is taken, of equals the one with the smaller loss.

    Returns
    -------
    outcome : Outcome
        Encoder and head, trained on all rows.
    """
    from transferkit._training.logistic_search import LogisticSearch

    rows, best = [], None
    if task.has_folds:
        X = check_features(features)
        weights = task.fold_weights[:, :-1].astype(X.dtype)
        began = time.perf_counter()
        search = LogisticSearch(X, task.targets, weights, n_outputs=task.n_outputs, **common(settings))
        for fit in search.run(settings.Cs):
            fold_scores, loss = task.score_folds(fit.scores), task.loss(fit.scores)
            seconds, began = time.perf_counter() - began, time.perf_counter()
            rows.append(make_row(strategy, fold_scores, C=fit.C, weight=0.0, log_loss=loss, seconds=seconds))
            merit = (fold_scores.mean(), -loss)
            if best is None or merit > best[0]:
                best = merit, fit.C, fold_scores, rows[-1]
    if best is None:
        C = settings.Cs[0] if len(settings.Cs) == 1 else FEW_LABELS_C
        rows = [make_row(strategy, [], C=C)]
        best = None, C, np.zeros(0), rows[0]
    _, C, fold_scores, row = best
    row["weight"] = 1.0
    head = LogisticHead(**settings.parameters(C))
    weights = {} if task.is_weighted is False else {"sample_weight": task.sample_weight}
    return Outcome(strategy, encoder, head.fit(features, task.y, **weights), fold_scores, rows)


def common(settings):
    """Return what the training of every candidate is told."""
    return {name: getattr(settings, name) for name in ("fit_intercept", "tol", "max_iter", "device")}
