"""Distances of samples to cluster centres, features from them, and self-organising maps."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

__all__ = [
    "activate",
    "check_squares",
    "find_best_units",
    "fits_float32",
    "grid_coordinates",
    "mean_neighbour_distances",
    "move_towards",
    "squared_distances",
    "update_batch",
]

CLOSE = 1e-3  # squared distance over squared length, below which float32 keeps fewer than about four digits
FAR = 1e6  # squared length over those of the centres, above which float32 has too few digits to distinguish centres
MOST = 1e150  # larger numbers, divided by the number of features, have sums of squares that overflow
VERY_CLOSE = 1e-10  # as CLOSE, below which float64 keeps fewer than about five digits
_BLOCK_ENTRIES = 1 << 23


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


def grid_coordinates(n_rows: int, n_columns: int, topology: str) -> np.ndarray:
    """Return the coordinates of the units, (n_rows * n_columns, 2), with neighbours at distance one.

    In a hexagonal grid every second row is shifted by half a unit, and rows are closer than in a rectangular one.
    """
    row, column = np.divmod(np.arange(n_rows * n_columns), n_columns)
    if topology == "rectangular":
        return np.column_stack([row, column]).astype(np.float64)
    return np.column_stack([row * np.sqrt(0.75), column + 0.5 * (row % 2)])


def find_best_units(rows: Any, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two nearest units of each sample, (n_samples, 2), and the squared distances to them."""
    units = np.empty((rows.shape[0], 2), np.intp)
    squares = np.empty((rows.shape[0], 2), np.float64)
    step = max(_BLOCK_ENTRIES // len(weights), 1)
    for begin in range(0, rows.shape[0], step):
        block = slice(begin, begin + step)
        distances = squared_distances(rows[block], weights)
        pair = np.argpartition(distances, 1, axis=1)[:, :2]
        found = np.take_along_axis(distances, pair, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        units[block] = np.take_along_axis(pair, order, axis=1)
        squares[block] = np.take_along_axis(found, order, axis=1)
    return units, squares


def update_batch(rows: Any, weights: np.ndarray, neighbourhood: np.ndarray) -> np.ndarray:
    """Return the weights after one epoch of the batch algorithm.

    Each unit becomes the mean of all samples, weighted by the neighbourhood (n_units, n_units) of the unit and the
    sample's best unit [1]_.

    References
    ----------
    .. [1] T. Kohonen (2013). Essentials of the self-organizing map. Neural Networks 37.
    """
    best = find_best_units(rows, weights)[0][:, 0]
    n_samples, n_units = len(best), len(weights)
    picks = sp.csr_array((np.ones(n_samples), (best, np.arange(n_samples))), shape=(n_units, n_samples))
    sums = picks @ rows
    sums = sums.toarray() if sp.issparse(sums) else sums
    shares = neighbourhood @ np.bincount(best, minlength=n_units)
    moved = (neighbourhood @ sums) / np.where(shares > 0, shares, 1)[:, None]
    return np.where(shares[:, None] > 1e-12, moved, weights).astype(weights.dtype)


def move_towards(rows: Any, weights: np.ndarray, neighbourhood: np.ndarray, rate: float) -> np.ndarray:
    """Return the weights after an epoch of the online algorithm: each sample pulls its best unit and the neighbours.

    Samples are presented in the given order; the best unit moves by the share `rate` of its distance to the sample.
    """
    weights = weights.copy()
    for index in range(rows.shape[0]):
        row = rows[[index]].toarray()[0] if sp.issparse(rows) else rows[index]
        best = int(np.square(weights - row).sum(axis=1).argmin())
        pull = (rate * neighbourhood[best]).astype(weights.dtype)
        near = np.flatnonzero(pull > 1e-6)
        weights[near] += pull[near, None] * (row - weights[near])
    return weights


def mean_neighbour_distances(weights: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Return the mean distance of the weights of each unit to those of its neighbours on the grid."""
    apart = cdist(coordinates, coordinates)
    units, neighbours = np.nonzero((apart > 0.1) & (apart < 1.1))
    distances = np.linalg.norm(weights[units] - weights[neighbours], axis=1)
    n_units = len(weights)
    return np.bincount(units, distances, n_units) / np.maximum(np.bincount(units, minlength=n_units), 1)
