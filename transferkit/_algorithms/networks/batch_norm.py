"""Batch normalisation as part of the layer before it."""

import numpy as np

__all__ = ["EPSILON", "fold_batch_norm", "unfold_batch_norm"]

EPSILON = 1e-5  # added to the variance


def fold_batch_norm(weights: np.ndarray, intercept: np.ndarray, norm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and intercept of the one layer that does what both do after training.

    Parameters
    ----------
    weights : array of shape (n_inputs, n_outputs)
    intercept : array of shape (n_outputs,)
    norm : array of shape (4, n_outputs)
        Scale, shift, running mean and running variance.
    """
    _, shift, mean, _ = norm
    factor = _factor(norm)
    return np.ascontiguousarray(weights * factor), (intercept - mean) * factor + shift


def unfold_batch_norm(weights: np.ndarray, intercept: np.ndarray, norm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and intercept as they were before `fold_batch_norm`; a scale of zero leaves them as they are."""
    _, shift, mean, _ = norm
    factor = _factor(norm)
    factor = np.where(factor == 0, 1, factor).astype(weights.dtype)
    return np.ascontiguousarray(weights / factor), (intercept - shift) / factor + mean


def _factor(norm: np.ndarray) -> np.ndarray:
    scale, _, _, variance = norm
    return scale / np.sqrt(variance + norm.dtype.type(EPSILON))
