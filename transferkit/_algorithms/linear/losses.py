"""Softmax and logistic loss of the scores of one problem: values, gradients ("residuals") and curvatures.

Scores are (n_rows, n_outputs). Targets are labels or probabilities, as in `_training/linear/losses.py`, which has the
same losses for many problems at once.
"""

from functools import reduce
from typing import Protocol

import numpy as np

__all__ = ["LEAST_COUNT", "LogisticLoss", "Loss", "SoftmaxLoss", "make_loss"]

FEW_OUTPUTS = 64  # up to which the maximum of each row is found column by column
LEAST_COUNT = 0.1  # rows that a label has at least when training starts at the log odds


class Loss(Protocol):
    """The loss of all rows, as a function of their scores."""

    n_outputs: int
    curvature: float  # upper bound
    weights: np.ndarray  # (n_rows,), positive
    total: float  # of the weights
    is_weighted: bool  # whether they are not all 1

    def evaluate(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss, and its gradient in the scores."""

    def average_curvature(self, residuals: np.ndarray) -> float:
        """Return the mean curvature over rows and outputs, estimated from the residuals."""

    def curvatures(self, scores: np.ndarray) -> np.ndarray:
        """Return each row's weighted curvature along each score."""

    def log_odds(self) -> np.ndarray:
        """Return the scores (n_outputs,) that are best if those of all rows are equal."""


class WeightedRows:
    """Row weights, of which nothing is computed if they are all 1, and the variance of soft targets."""

    def __init__(self, weights: np.ndarray, variances: np.ndarray | None) -> None:
        self.weights, self.total = weights, float(weights.sum(dtype=np.float64))
        self.is_weighted = bool((weights != 1).any())
        self.label_variance = 0.0 if variances is None else float(variances @ weights)

    def sum(self, values: np.ndarray) -> float:
        """Return the weighted sum of values (n_rows,) in float64."""
        return float((values * self.weights if self.is_weighted else values).sum(dtype=np.float64))

    def scale(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (n_rows, n_outputs) times their weights."""
        return rows * self.weights[:, None] if self.is_weighted else rows

    def average_curvature(self, residuals: np.ndarray) -> float:
        plain = residuals / self.weights[:, None] if self.is_weighted else residuals
        mean = (float(np.vdot(plain, residuals)) / residuals.shape[1] + self.label_variance) / self.total
        return max(mean, float(np.finfo(residuals.dtype).eps))


class SoftmaxLoss(WeightedRows):
    """Cross-entropy of the softmax of the scores, for labels (n_rows,) or probabilities (n_rows, n_outputs)."""

    curvature = 0.5  # Böhning (1992)

    def __init__(self, targets: np.ndarray, weights: np.ndarray, n_outputs: int) -> None:
        is_soft = targets.ndim == 2
        super().__init__(weights, (targets * (1 - targets)).mean(1) if is_soft else None)
        self.n_outputs, self.targets, self.is_soft = n_outputs, targets, is_soft
        self.rows = np.arange(len(targets))

    def evaluate(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        shifted, exponentials, sums = exponentiate(scores)
        if self.is_soft:
            hits = (self.targets * shifted).sum(1)
            residuals = exponentials / sums[:, None] - self.targets
        else:
            hits = shifted[self.rows, self.targets]
            residuals = exponentials
            residuals /= sums[:, None]
            residuals[self.rows, self.targets] -= 1
        return self.sum(np.log(sums) - hits), self.scale(residuals)

    def curvatures(self, scores: np.ndarray) -> np.ndarray:
        _, exponentials, sums = exponentiate(scores)
        probabilities = exponentials / sums[:, None]
        return self.scale(probabilities * (1 - probabilities))

    def log_odds(self) -> np.ndarray:
        if self.is_soft:
            totals = (self.weights @ self.targets).astype(np.float64)
        else:
            totals = np.bincount(self.targets, self.weights, self.n_outputs)
        logs = np.log(np.maximum(totals / self.total, LEAST_COUNT / (1 + len(self.targets))))
        return logs - logs.mean()


class LogisticLoss(WeightedRows):
    """Binary cross-entropy of one score, for targets (n_rows,) from zero to one."""

    curvature = 0.25
    n_outputs = 1

    def __init__(self, targets: np.ndarray, weights: np.ndarray, is_soft: bool) -> None:
        super().__init__(weights, targets * (1 - targets) if is_soft else None)
        self.signs = np.where(targets > 0.5, 1, -1).astype(weights.dtype)  # of the more probable class
        self.minor = np.minimum(targets, 1 - targets).astype(weights.dtype) if is_soft else None

    def evaluate(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        signed = -self.signs * scores[:, 0]  # away from the more probable class
        exponentials = np.exp(-np.abs(signed))
        losses = np.log1p(exponentials) + np.maximum(signed, 0)
        residuals = np.where(signed > 0, 1, exponentials) / (1 + exponentials)
        if self.minor is not None:  # the less probable class has the loss softplus(-signed) = softplus(signed) - signed
            losses -= self.minor * signed
            residuals -= self.minor
        return self.sum(losses), self.scale(-(self.signs * residuals)[:, None])

    def curvatures(self, scores: np.ndarray) -> np.ndarray:
        exponentials = np.exp(-np.abs(scores))
        return self.scale(exponentials / (1 + exponentials) ** 2)

    def log_odds(self) -> np.ndarray:
        minor = 0 if self.minor is None else self.minor
        share = np.array([self.sum(np.where(self.signs > 0, 1 - minor, minor)) / self.total])
        least = LEAST_COUNT / (1 + len(self.signs))
        share = share.clip(least, 1 - least)
        return np.log(share / (1 - share))


def make_loss(targets: np.ndarray, weights: np.ndarray, n_outputs: int, dtype: np.dtype) -> Loss:
    """Return the loss of targets and row weights (n_rows,); only targets of a floating type are probabilities.

    Targets are class numbers (n_rows,) or probabilities (n_rows, n_outputs) if there are several outputs, else numbers
    from zero to one.
    """
    weights, is_soft = weights.astype(dtype), targets.dtype.kind == "f"
    if n_outputs > 1:
        return SoftmaxLoss(targets.astype(dtype) if is_soft else targets, weights, n_outputs)
    return LogisticLoss(targets.reshape(-1).astype(dtype), weights, is_soft)


def exponentiate(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores minus the largest of each row, their exponentials, and the sums of these."""
    few = scores.shape[1] <= FEW_OUTPUTS  # NumPy's reductions over short rows are slow
    shifted = scores - (reduce(np.maximum, scores.T) if few else scores.max(1))[:, None]
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials @ np.ones(scores.shape[1], scores.dtype)
