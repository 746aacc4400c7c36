"""Steps of a self-organising map by brute force."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from transferkit._algorithms.rows import self_organising_map
from transferkit._algorithms.rows.self_organising_map import (
    find_best_units,
    grid_coordinates,
    mean_neighbour_distances,
    move_towards,
    update_batch,
)

RNG = np.random.default_rng(0)
ROWS, WEIGHTS = RNG.normal(size=(30, 3)), RNG.normal(size=(6, 3))
CLOSENESS = np.exp(-(cdist(grid_coordinates(2, 3, "rectangular"), grid_coordinates(2, 3, "rectangular")) ** 2))


@pytest.mark.parametrize(("topology", "n_neighbours"), [("rectangular", 4), ("hexagonal", 6)])
def test_neighbours_on_the_grid_are_one_apart(topology, n_neighbours):
    places = grid_coordinates(5, 5, topology)
    distances = np.sort(cdist(places, places), axis=1)[:, 1:]
    np.testing.assert_allclose(distances[:, 0], 1)
    assert (np.isclose(distances, 1).sum(axis=1)).max() == n_neighbours


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_best_units_are_the_two_nearest(convert, monkeypatch):
    monkeypatch.setattr(self_organising_map, "_BLOCK_ENTRIES", 40)
    units, squares = find_best_units(convert(ROWS), WEIGHTS)
    expected = cdist(ROWS, WEIGHTS, "sqeuclidean")
    np.testing.assert_array_equal(units, np.argsort(expected, axis=1)[:, :2])
    np.testing.assert_allclose(squares, np.sort(expected, axis=1)[:, :2], rtol=1e-5)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_a_batch_step_averages_rows_by_closeness(convert):
    best = cdist(ROWS, WEIGHTS).argmin(axis=1)
    shares = CLOSENESS[:, best]
    np.testing.assert_allclose(
        update_batch(convert(ROWS), WEIGHTS, CLOSENESS), shares @ ROWS / shares.sum(axis=1, keepdims=True)
    )


def test_units_without_rows_stay():
    moved = update_batch(ROWS, np.vstack([WEIGHTS, np.full(3, 100.0)]), np.eye(7))
    np.testing.assert_array_equal(moved[-1], 100)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_rows_pull_units_one_after_the_other(convert):
    expected = WEIGHTS.copy()
    for row in ROWS:
        best = np.square(expected - row).sum(axis=1).argmin()
        expected += 0.3 * CLOSENESS[best][:, None] * (row - expected)
    np.testing.assert_allclose(move_towards(convert(ROWS), WEIGHTS, CLOSENESS, 0.3), expected, atol=1e-5)


def test_distances_to_neighbours_are_averaged():
    coordinates = grid_coordinates(1, 3, "rectangular")
    weights = np.array([[0.0], [1.0], [4.0]])
    np.testing.assert_allclose(mean_neighbour_distances(weights, coordinates), [1, 2, 3])
