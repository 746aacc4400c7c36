"""Nearest neighbours by cosine: against scikit-learn, with ties and exclusions."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from transferkit._algorithms.words.neighbours import nearest_rows

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 5)).astype(np.float32)
LENGTHS = np.linalg.norm(VECTORS, axis=1)


@pytest.mark.parametrize("n", [1, 7, 39])
def test_neighbours_are_those_of_largest_cosine(n):
    target = RNG.normal(size=5)
    expected = cosine_similarity(VECTORS, target[None])[:, 0]
    expected[3] = -np.inf
    rows, cosines = nearest_rows(VECTORS, LENGTHS, target, n, [3, -1])
    np.testing.assert_array_equal(rows, np.argsort(-expected, kind="stable")[:n])
    np.testing.assert_allclose(cosines, expected[rows], atol=1e-6)


def test_ties_are_in_the_order_of_rows():
    vectors = np.array([[0, 1], [1, 0], [2, 0], [0, 0], [1, 0]], np.float32)
    rows, cosines = nearest_rows(vectors, np.linalg.norm(vectors, axis=1), np.array([3.0, 0]), 2)
    np.testing.assert_array_equal(rows, [1, 2])
    np.testing.assert_allclose(cosines, 1)
    rows, cosines = nearest_rows(vectors, np.linalg.norm(vectors, axis=1), np.array([3.0, 0]), 9)
    np.testing.assert_array_equal(rows, [1, 2, 4, 0, 3])
    assert cosines[-1] == 0


def test_no_more_neighbours_than_there_are():
    rows, _ = nearest_rows(VECTORS[:3], LENGTHS[:3], VECTORS[0], 5, [1])
    assert sorted(rows.tolist()) == [0, 2]
    assert len(nearest_rows(VECTORS, LENGTHS, VECTORS[0], 0)[0]) == 0
