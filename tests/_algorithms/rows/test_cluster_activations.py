"""Distances to centres are those of SciPy, and activations their definitions."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from scipy.special import softmax

from transferkit._algorithms.rows.cluster_activations import activate, squared_distances

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(20, 6)) * (RNG.random((20, 6)) < 0.6)
CENTRES = RNG.normal(size=(4, 6))
SQUARED = cdist(ROWS, CENTRES, "sqeuclidean")


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
