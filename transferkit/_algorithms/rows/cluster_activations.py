"""Features from the distances of samples to cluster centres."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

__all__ = ["activate", "check_squares", "fits_float32", "squared_distances"]


CLOSE = 1e-3  # squared distance over squared length, below which float32 keeps fewer than about four digits
FAR = 1e6  # squared length over those of the centres, above which float32 has too few digits to distinguish centres
MOST = 1e150  # larger numbers, divided by the number of features, have sums of squares that overflow
VERY_CLOSE = 1e-10  # as CLOSE, below which float64 keeps fewer than about five digits


def squared_distances(rows: Any, centres: np.ndarray) -> np.ndarray:
    """Return |x - c|^2 for every sample and centre, (n_samples, n_centres), as |x|^2 - 2 x'c + |c|^2.

    Dense samples are shifted by the mean of the centres first, since these terms cancel all digits of the distances
    where samples lie far from zero. Distances that are still much smaller than the distance to this mean are computed
    again in float64 or from differences. The result is float32; float64 if samples lie far from all centres, and then
    features computed from it are float64, too.
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
    """Return whether float32 can represent a squared length like this, and small fractions of it."""
    return 1e-30 < square < 1e30


def _expand(rows: Any, squares: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = np.asarray(rows @ centres.T)
    distances *= -2
    distances += squares[:, None]
    distances += np.einsum("ij,ij->i", centres, centres)
    return np.maximum(distances, 0, out=distances)


def check_squares(rows: Any, name: str) -> None:
    """Raise ValueError if squared distances of dense samples overflow float64; `name` is that of the estimator."""
    largest = 0.0 if sp.issparse(rows) else max(float(rows.max()), -float(rows.min()))
    if largest > MOST / rows.shape[1]:
        raise ValueError(
            f"{name} cannot square distances of samples with values as large as {largest:.3g}. Scale the features "
            "first."
        )


def activate(squared: np.ndarray, kind: str, scale: float) -> Any:
    """Turn squared distances to centres, which may be overwritten, into features.

    "onehot": one for the nearest centre (a CSR matrix). "distance": the distances. "soft": proportional to exp(-d^2 /
    (2 scale)), with sum one, where `scale` is the mean squared distance of the training samples to their nearest
    centre. "triangle": max(0, mean distance - distance) [1]_.

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
