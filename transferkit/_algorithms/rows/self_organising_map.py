"""Self-organising maps: units on a grid whose weights follow the samples, and those of neighbours with them."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from transferkit._algorithms.rows.cluster_activations import squared_distances

__all__ = ["find_best_units", "grid_coordinates", "mean_neighbour_distances", "move_towards", "update_batch"]

_BLOCK_ENTRIES = 1 << 23


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
