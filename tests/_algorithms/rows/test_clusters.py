"""Distances to centres are those of SciPy, activations their definitions, and steps of maps those of brute force."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from scipy.special import softmax

from transferkit._algorithms.rows import clusters
from transferkit._algorithms.rows.clusters import (
    activate,
    find_best_units,
    grid_coordinates,
    mean_neighbour_distances,
    move_towards,
    squared_distances,
    update_batch,
)

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(20, 6)) * (RNG.random((20, 6)) < 0.6)
CENTRES = RNG.normal(size=(4, 6))
SQUARED = cdist(ROWS, CENTRES, "sqeuclidean")
SAMPLES, WEIGHTS = RNG.normal(size=(30, 3)), RNG.normal(size=(6, 3))
CLOSENESS = np.exp(-(cdist(grid_coordinates(2, 3, "rectangular"), grid_coordinates(2, 3, "rectangular")) ** 2))


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_distances_are_those_of_scipy(convert):
    np.testing.assert_allclose(squared_distances(convert(ROWS), CENTRES), SQUARED, rtol=1e-5)
    itself = squared_distances(convert(CENTRES), CENTRES)
    assert (itself >= 0).all()
    np.testing.assert_allclose(np.diag(itself), 0, atol=1e-12)


@pytest.mark.parametrize(("offset", "spread"), [(1e6, 1.0), (0.0, 1e-4), (0.0, 1e20)])
def test_dense_rows_far_from_zero_or_near_a_centre_keep_their_digits(offset, spread):
    rows, centres = offset + spread * ROWS, offset + spread * CENTRES
    rows[:4] = centres + 1e-3 * spread
    found = squared_distances(rows, centres)
    np.testing.assert_allclose(found, cdist(rows, centres, "sqeuclidean"), rtol=1e-4)


def test_rows_far_from_all_centres_are_distinguished():
    rows = 1e6 + ROWS
    np.testing.assert_allclose(squared_distances(rows, CENTRES), cdist(rows, CENTRES, "sqeuclidean"), rtol=1e-12)


def test_activations_are_their_definitions():
    onehot = activate(SQUARED.copy(), "onehot", 1.0)
    np.testing.assert_array_equal(onehot.toarray(), np.eye(4)[SQUARED.argmin(axis=1)])
    distances = np.sqrt(SQUARED)
    np.testing.assert_allclose(activate(SQUARED.copy(), "distance", 1.0), distances)
    np.testing.assert_allclose(activate(SQUARED.copy(), "soft", 1.7), softmax(SQUARED / -3.4, axis=1))
    expected = np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0)
    np.testing.assert_allclose(activate(SQUARED.copy(), "triangle", 1.0), expected)


def test_a_scale_of_zero_chooses_the_nearest():
    np.testing.assert_allclose(activate(SQUARED.copy(), "soft", 0.0), np.eye(4)[SQUARED.argmin(axis=1)])


@pytest.mark.parametrize(("topology", "n_neighbours"), [("rectangular", 4), ("hexagonal", 6)])
def test_neighbours_on_the_grid_are_one_apart(topology, n_neighbours):
    places = grid_coordinates(5, 5, topology)
    distances = np.sort(cdist(places, places), axis=1)[:, 1:]
    np.testing.assert_allclose(distances[:, 0], 1)
    assert (np.isclose(distances, 1).sum(axis=1)).max() == n_neighbours


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_best_units_are_the_two_nearest(convert, monkeypatch):
    monkeypatch.setattr(clusters, "_BLOCK_ENTRIES", 40)
    units, squares = find_best_units(convert(SAMPLES), WEIGHTS)
    expected = cdist(SAMPLES, WEIGHTS, "sqeuclidean")
    np.testing.assert_array_equal(units, np.argsort(expected, axis=1)[:, :2])
    np.testing.assert_allclose(squares, np.sort(expected, axis=1)[:, :2], rtol=1e-5)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_a_batch_step_averages_rows_by_closeness(convert):
    best = cdist(SAMPLES, WEIGHTS).argmin(axis=1)
    shares = CLOSENESS[:, best]
    np.testing.assert_allclose(
        update_batch(convert(SAMPLES), WEIGHTS, CLOSENESS), shares @ SAMPLES / shares.sum(axis=1, keepdims=True)
    )


def test_units_without_rows_stay():
    moved = update_batch(SAMPLES, np.vstack([WEIGHTS, np.full(3, 100.0)]), np.eye(7))
    np.testing.assert_array_equal(moved[-1], 100)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_rows_pull_units_one_after_the_other(convert):
    expected = WEIGHTS.copy()
    for row in SAMPLES:
        best = np.square(expected - row).sum(axis=1).argmin()
        expected += 0.3 * CLOSENESS[best][:, None] * (row - expected)
    np.testing.assert_allclose(move_towards(convert(SAMPLES), WEIGHTS, CLOSENESS, 0.3), expected, atol=1e-5)


def test_distances_to_neighbours_are_averaged():
    coordinates = grid_coordinates(1, 3, "rectangular")
    weights = np.array([[0.0], [1.0], [4.0]])
    np.testing.assert_allclose(mean_neighbour_distances(weights, coordinates), [1, 2, 3])
