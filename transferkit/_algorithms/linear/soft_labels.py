"""Linear models from soft labels of unlabelled rows, and soft labels from linear models.

Soft labels are probabilities of classes, (n_rows, n_classes). Two facts tie them to the rows: classes have proportions,
and rows of one class are alike. `align_proportions` imposes the first, `SoftDiscriminant` the second, and `self_train`
alternates between them, which is expectation-maximisation with hard constraints on the proportions.
"""

import numpy as np

from transferkit._algorithms.linear.predictions import to_probabilities
from transferkit._algorithms.rows.class_proportions import estimate_proportions

__all__ = ["SoftDiscriminant", "align_proportions", "self_train"]

SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity; 0.1 was best on average of 0.1, 0.3 and 0.6
N_ROUNDS = 4  # of self-training; best on average of 0, 1 and 4
ALIGNMENT_STEPS = 10
LEAST_PROPORTION = 1e-6


class SoftDiscriminant:
    """Linear discriminant analysis of rows with soft labels, whose covariance is that of all rows.

    The covariance within classes, which the textbook method uses, changes with the soft labels and is not positive
    definite if these are far from the truth; that of all rows is known before any label is.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Rows, at least two that differ.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.mean = rows.mean(0, dtype=np.float64)
        centred = rows - self.mean.astype(rows.dtype)
        covariance = (centred.T @ centred).astype(np.float64) / len(rows)
        level = np.trace(covariance) / len(covariance) or 1.0  # rows that are all alike have no covariance
        self.precision = np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance)))

    def fit(self, soft_labels: np.ndarray, proportions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_classes, n_features) and intercepts, of scores whose softmax gives probabilities.

        Parameters
        ----------
        soft_labels : ndarray of shape (n_rows, n_classes)
            Probabilities of the classes.
        proportions : ndarray of shape (n_classes,)
            Share of each class in what the model is used for.
        """
        counts = np.maximum(soft_labels.sum(0, dtype=np.float64), LEAST_PROPORTION)
        means = (soft_labels.T.astype(self.rows.dtype) @ self.rows) / counts[:, None] - self.mean
        weights = means @ self.precision
        shifts = np.log(np.maximum(proportions, LEAST_PROPORTION)) - (weights * means).sum(1) / 2
        return weights, shifts - weights @ self.mean


def align_proportions(soft_labels: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """Return soft labels with given class proportions, by iterative proportional fitting (Deming and Stephan 1940)."""
    for _ in range(ALIGNMENT_STEPS):
        soft_labels = soft_labels * (proportions / np.maximum(soft_labels.mean(0), LEAST_PROPORTION))
        soft_labels = soft_labels / np.maximum(soft_labels.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    return soft_labels


def self_train(
    discriminant: SoftDiscriminant, soft_labels: np.ndarray, base: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the model that soft labels lead to when they are replaced by its own, a few times.

    Parameters
    ----------
    discriminant : SoftDiscriminant
        Of the unlabelled rows.
    soft_labels : ndarray of shape (n_rows, n_classes)
        Labels to begin with.
    base, strength
        See `estimate_proportions`; with an infinite strength the proportions are the base.

    Returns
    -------
    weights, intercepts : ndarray
        As `SoftDiscriminant.fit` returns them.
    """
    for _ in range(N_ROUNDS + 1):
        proportions = base if np.isinf(strength) else estimate_proportions(soft_labels, base, strength)
        weights, intercepts = discriminant.fit(align_proportions(soft_labels, proportions), proportions)
        soft_labels = to_probabilities(discriminant.rows @ weights.T + intercepts)
    return weights, intercepts
