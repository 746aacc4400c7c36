"""Targets of classification: class numbers (n_samples,), or probabilities of the classes (n_samples, n_classes)."""

import numpy as np

__all__ = ["sum_class_weights"]


def sum_class_weights(targets: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the total weight of each class, of samples with these targets and weights (n_samples,)."""
    if targets.ndim == 2:
        return np.asarray(weights @ targets, dtype=np.float64)
    return np.bincount(targets, weights, n_classes)
