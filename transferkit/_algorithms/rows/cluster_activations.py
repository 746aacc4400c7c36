"""Features from the distances of rows to cluster centres."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

__all__ = ["activate", "check_squares", "fits_float32", "squared_distances"]


CLOSE = 1e-3  # of its squared length: nearer to a centre, a row keeps fewer than about four digits of float32
FAR = 1e6  # of the squared lengths of centres: farther rows keep too few digits of float32 to tell centres apart
MOST = 1e150  # over the number of features: the sum of larger squares overflows
VERY_CLOSE = 1e-10  # likewise, fewer than about five digits of float64


def squared_distances(rows: Any, centres: np.ndarray) -> np.ndarray:
    """Return |x - c|^2 for every row and centre, (n_rows, n_centres), as |x|^2 - 2 x'c + |c|^2, mostly in float32.

    Dense rows are moved to the middle of the centres first, since lengths far from zero leave nothing of distances.
    Those that are still much nearer to a centre than to the middle are computed again in float64 or from differences.
    With rows far from all centres the result is float64, and so are the features that are made of it.

    Parameters
    ----------
    rows : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows.
    centres : ndarray of shape (n_centres, n_features)
        Centres.
    """
    if sp.issparse(rows):
        squares = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
        return _expand(rows, squares, centres.astype(rows.dtype, copy=False))
    middle = centres.mean(axis=0, dtype=np.float64).astype(rows.dtype)
    rows, centres = rows - middle, centres - middle
    with np.errstate(over="ignore"):
        small = rows.astype(np.float32, copy=False)
        squares = np.einsum("ij,ij->i", small, small)
    largest = np.einsum("ij,ij->i", centres, centres).max()
    if squares.max() > FAR * largest or not fits_float32(largest):
        exact = rows.astype(np.float64)
        return _expand(exact, np.einsum("ij,ij->i", exact, exact), centres.astype(np.float64))
    distances = _expand(small, squares, centres.astype(np.float32))
    close = np.flatnonzero(distances.min(axis=1) < CLOSE * squares)
    if len(close):
        exact, centres = rows[close].astype(np.float64), centres.astype(np.float64)
        squares = np.einsum("ij,ij->i", exact, exact)
        found = _expand(exact, squares, centres)
        closer = found.min(axis=1) < VERY_CLOSE * squares
        found[closer] = cdist(exact[closer], centres, "sqeuclidean")
        distances[close] = found
    return distances


def fits_float32(square: float) -> bool:
    """Return whether float32 holds squared lengths like this one, and small parts of it."""
    return 1e-30 < square < 1e30


def _expand(rows: Any, squares: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = np.asarray(rows @ centres.T)
    distances *= -2
    distances += squares[:, None]
    distances += np.einsum("ij,ij->i", centres, centres)
    return np.maximum(distances, 0, out=distances)


def check_squares(rows: Any, name: str) -> None:
    """Raise ValueError unless float64 holds the squared distances of dense rows; `name` is that of the estimator."""
    largest = 0.0 if sp.issparse(rows) else max(float(rows.max()), -float(rows.min()))
    if largest > MOST / rows.shape[1]:
        raise ValueError(
            f"{name} cannot square distances of rows with numbers as large as {largest:.3g}. Scale the features first."
        )


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
