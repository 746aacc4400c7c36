"""Predictions of linear models in NumPy: scores and probabilities, without a copy of the weights."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax

__all__ = ["UNTRAINED", "LinearModel", "compute_scores", "to_log_probabilities", "to_probabilities"]

UNTRAINED = -1e30  # score of a class that a model was not trained on; finite, so that zero times it is zero


@dataclass
class LinearModel:
    """A trained model; `coef.T` is C-contiguous, so that X @ coef.T copies nothing."""

    coef: np.ndarray  # (n_outputs, n_features)
    intercept: np.ndarray  # (n_outputs,)
    n_iter: int
    converged: bool

    def astype(self, dtype: Any) -> "LinearModel":
        """Return the model with weights of another type."""
        coef, intercept = self.coef.astype(dtype, copy=False), self.intercept.astype(dtype, copy=False)
        return replace(self, coef=coef, intercept=intercept)


def compute_scores(X: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Return X @ coef.T + intercept, (n_rows, n_outputs), of an array or sparse matrix X.

    `coef` is laid out so that `coef.T` is C-contiguous: SciPy copies any other layout on every call.
    """
    scores = X @ coef.T
    scores += intercept
    return scores


def to_probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of the scores (n_rows, n_classes), or [1 - p, p] of binary scores (n_rows,)."""
    if scores.ndim == 1:
        return np.stack([expit(-scores), expit(scores)], axis=1)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))  # a third of the time of SciPy's for one row
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def to_log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the logarithms of `to_probabilities`, exact also if those would round to zero."""
    if scores.ndim == 1:
        return np.stack([log_expit(-scores), log_expit(scores)], axis=1)
    return log_softmax(scores, axis=1)
