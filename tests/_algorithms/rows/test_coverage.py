"""Similarities relative to a data set, and greedy facility location."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity

from transferkit._algorithms.rows.coverage import Similarity, choose_representatives


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(30, 5)) + 3


def test_angular_similarity_is_the_squared_cosine_of_centred_samples(rows):
    centred = rows - rows.mean(axis=0)
    expected = np.maximum(cosine_similarity(centred, centred[:4]), 0) ** 2
    np.testing.assert_allclose(Similarity(rows, angular=True).between(rows, rows[:4]), expected, atol=1e-6)


def test_other_similarity_falls_with_the_squared_distance(rows):
    squares = cdist(rows, rows, "sqeuclidean")
    expected = np.maximum(1 - squares / squares.mean(), 0) ** 2
    np.testing.assert_allclose(Similarity(rows, angular=False).between(rows, rows), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [np.array, sp.csr_matrix])
def test_zeros_have_no_direction(kind, rows):
    rows[3] = 0
    similarities = Similarity(kind(rows), angular=True).between(kind(rows), kind(rows))
    assert (similarities[3] == 0).all()
    assert (np.delete(similarities.diagonal(), 3) > 0.99).all()
    assert choose_representatives(similarities, 30, most_similar=0.9)[-1] == 3


@pytest.mark.parametrize("angular", [True, False])
def test_sparse_and_dense_samples_are_equally_similar(angular, rows):
    rows = rows * (rows > 3)
    dense, sparse = Similarity(rows, angular), Similarity(sp.csr_matrix(rows), angular)
    expected = dense.between(rows, rows[:7])
    np.testing.assert_allclose(sparse.between(sp.csr_matrix(rows), sp.csr_matrix(rows[:7])), expected, atol=1e-6)


def test_position_and_scale_do_not_matter(rows):
    expected = Similarity(rows, angular=False).between(rows, rows)
    moved = 1e-3 * rows + 1e5
    np.testing.assert_allclose(Similarity(moved, angular=False).between(moved, moved), expected, atol=1e-4)


def test_equal_samples_have_similarity_one_or_none_in_the_middle():
    rows = np.ones((4, 3))
    assert (Similarity(rows, angular=False).between(rows, rows) == 1).all()
    assert (Similarity(rows, angular=True).between(rows, rows) == 0).all()


def test_nearest_is_the_largest_similarity_in_any_block(rows, monkeypatch):
    monkeypatch.setattr("transferkit._algorithms.rows.coverage._BLOCK_ENTRIES", 100)
    similarity = Similarity(rows, angular=True)
    expected = similarity.between(rows, rows[:10]).max(axis=1)
    np.testing.assert_allclose(similarity.to_nearest(rows, rows[:10]), expected, rtol=1e-5)
    assert (similarity.to_nearest(rows, rows[:0]) == 0).all()


def test_each_step_adds_most(rows):
    similarities = Similarity(rows, angular=True).between(rows, rows)
    chosen, nearest = [], np.zeros(30)
    for _ in range(6):
        gains = np.maximum(similarities - nearest, 0).sum(axis=1)
        chosen.append(int(gains.argmax()))
        nearest = np.maximum(nearest, similarities[chosen[-1]])
    assert choose_representatives(similarities, 6).tolist() == chosen


def test_the_choice_is_nearly_as_good_as_the_best(rows):
    similarities = Similarity(rows, angular=True).between(rows, rows)
    best = max(similarities[list(rows)].max(axis=0).sum() for rows in combinations(range(30), 3))
    found = similarities[choose_representatives(similarities, 3)].max(axis=0).sum()
    assert found >= (1 - 1 / np.e) * best


def test_what_is_covered_needs_no_other_representative():
    blocks = np.kron(np.diag([0.8, 0.8, 0.8]), np.ones((4, 4))).astype(np.float32)
    covered = np.array([0.8] * 4 + [0] * 8)
    assert {i // 4 for i in choose_representatives(blocks, 2, covered=covered)} == {1, 2}


def test_factors_multiply_what_a_sample_adds():
    blocks = np.kron(np.diag([0.8, 0.8]), np.ones((4, 4))).astype(np.float32)
    factors = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5, 0.1])
    assert choose_representatives(blocks, 2, factors=factors).tolist() == [6, 0]


def test_near_duplicates_come_last_and_all_are_found():
    similarities = np.eye(8, dtype=np.float32)
    similarities[0, 2:5] = similarities[2:5, 0] = 0.6
    similarities[1, 5:] = similarities[5:, 1] = 0.55  # so that 1 would be second
    similarities[0, 1] = similarities[1, 0] = 0.95
    chosen = choose_representatives(similarities, 8, most_similar=0.9).tolist()
    assert (chosen[0], chosen[-1]) == (0, 1)
    assert sorted(chosen) == list(range(8))


def test_near_duplicates_of_earlier_choices_come_last():
    similarities = np.eye(3, dtype=np.float32)
    similarities[0, 1:] = similarities[1:, 0] = 0.6  # so that 0 would be first
    covered = np.array([0.95, 0, 0])
    assert choose_representatives(similarities, 3, covered=covered, most_similar=0.9)[-1] == 0
