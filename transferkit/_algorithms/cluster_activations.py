"""Features from the distances of rows to cluster centres."""

from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["activate", "squared_distances"]


def squared_distances(rows: Any, centres: np.ndarray) -> np.ndarray:
    """Return |x - c|^2 for every row and centre, (n_rows, n_centres), as |x|^2 - 2 x'c + |c|^2.

    Parameters
    ----------
    rows : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows.
    centres : ndarray of shape (n_centres, n_features)
        Centres.
    """
    squares = rows.multiply(rows).sum(axis=1) if sp.issparse(rows) else np.einsum("ij,ij->i", rows, rows)
    distances = np.asarray(rows @ centres.T)
    distances *= -2
    distances += np.asarray(squares).reshape(-1, 1)
    distances += np.einsum("ij,ij->i", centres, centres)
    return np.maximum(distances, 0, out=distances)


def activate(squared: np.ndarray, kind: str, scale: float) -> Any:
    """Turn squared distances to centres into features.

    Parameters
    ----------
    squared : ndarray of shape (n_rows, n_centres)
        Squared distances; may be overwritten.
    kind : {"onehot", "distance", "soft", "triangle"}
        "onehot": a one for the nearest centre (a CSR matrix). "distance": the distances. "soft": shares proportional to
        exp(-d^2 / (2 scale)). "triangle": max(0, mean distance - distance) [1]_.
    scale : float
        Mean squared distance of the training rows to their nearest centre.

    References
    ----------
    .. [1] A. Coates, A. Ng (2012). Learning feature representations with k-means. Neural Networks: Tricks of the Trade.
    """
    if kind == "onehot":
        nearest = squared.argmin(axis=1)
        ones = np.ones(len(nearest), squared.dtype)
        return sp.csr_array((ones, nearest, np.arange(len(nearest) + 1)), shape=squared.shape)
    if kind == "soft":
        squared -= squared.min(axis=1, keepdims=True)
        shares = np.exp(squared / (-2 * max(scale, 1e-30)))
        return shares / shares.sum(axis=1, keepdims=True)
    distances = np.sqrt(squared, out=squared)
    if kind == "distance":
        return distances
    return np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0)
