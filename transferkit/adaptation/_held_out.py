"""Predictions of classifiers for rows that they were not trained on."""

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from transferkit._algorithms.linear.predictions import compute_scores, to_probabilities

__all__ = ["fit_and_predict", "predict_held_out"]

C_OF_DEFAULT = 1.0


def predict_held_out(estimator, X, y, cv):
    """Return the predictions for each row by a classifier that was not trained on it, (n_rows, n_classes)."""
    _, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
    held_out = np.zeros((len(y), len(counts)))
    for train, test in StratifiedKFold(min(cv, counts.min())).split(numbers, numbers):
        held_out[test] = fit_and_predict(estimator, X[train], y[train], X[test])
    return held_out


def fit_and_predict(estimator, X, y, rows):
    """Return the predictions for some rows by a classifier trained on others, as probabilities.

    An estimator of None is logistic regression.
    """
    if estimator is None:
        return _fit_logistic_and_predict(X, np.unique(y, return_inverse=True)[1], rows)
    fitted = clone(estimator).fit(X, y)
    if hasattr(fitted, "predict_proba"):
        return np.asarray(fitted.predict_proba(rows), np.float64)
    return (np.asarray(fitted.predict(rows))[:, None] == np.unique(y)).astype(np.float64)


def _fit_logistic_and_predict(X, numbers, rows):
    from transferkit._training.linear.logistic import train_linear_classifier

    n_classes = int(numbers.max()) + 1
    is_binary = n_classes == 2
    weights = np.ones((len(numbers), 1), X.dtype)
    model = train_linear_classifier(X, numbers, weights, C_OF_DEFAULT, n_outputs=1 if is_binary else n_classes)
    scores = compute_scores(rows, model.coef, model.intercept).astype(np.float64)
    return to_probabilities(scores[:, 0] if is_binary else scores)
