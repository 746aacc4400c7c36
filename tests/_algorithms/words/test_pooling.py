"""Pooling of word vectors: against loops, a singular value decomposition and SciPy's Procrustes."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import orthogonal_procrustes

from transferkit._algorithms.words.pooling import (
    common_direction,
    drop_rounding,
    max_rows,
    mean_rows,
    mean_weights,
    remove_direction,
    rotation_onto,
    row_lengths,
    smooth_inverse_frequency,
    sum_of_rows,
)

RNG = np.random.default_rng(0)
COUNTS = sparse.csr_matrix(RNG.integers(0, 4, (9, 6)) * (RNG.random((9, 6)) < 0.5), dtype=np.float32)
COUNTS = sparse.csr_matrix(sparse.vstack([COUNTS, sparse.csr_matrix((1, 6), dtype=np.float32)]))  # a text without words
VECTORS = RNG.normal(size=(6, 3)).astype(np.float32)


@pytest.mark.parametrize("weights", [None, RNG.uniform(0.5, 2, 6).astype(np.float32)], ids=["equal", "weighted"])
def test_means_are_weighted_by_occurrence(weights):
    expected = np.zeros((10, 3))
    for i, row in enumerate(COUNTS.toarray()):
        of_words = row * (1 if weights is None else weights)
        if of_words.any():
            expected[i] = np.average(VECTORS, axis=0, weights=of_words)
    found = mean_rows(COUNTS, weights, VECTORS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    shares = mean_weights(COUNTS, weights)
    np.testing.assert_allclose(shares.sum(axis=1).A1, [1] * 9 + [0], atol=1e-6)


def test_largest_entries_are_found_across_blocks():
    rng = np.random.RandomState(0)
    vectors = rng.normal(size=(50, 3)).astype(np.float32)
    counts = sparse.csr_matrix(rng.random((900, 50)) < 0.7 * (np.arange(900) % 3 > 0)[:, None]).astype(np.float32)
    rows = max_rows(counts, vectors)
    for k in (0, 1, 2, 500, 898, 899):
        known = counts[k].indices
        np.testing.assert_array_equal(rows[k], vectors[known].max(axis=0) if len(known) else np.zeros(3))


def test_lengths_and_sums_of_many_rows_need_no_copy_of_them():
    rows = np.random.default_rng(0).standard_normal((40_000, 50)).astype(np.float32)
    weights = np.random.default_rng(1).random(40_000)
    tracemalloc.start()
    lengths, total = row_lengths(rows), sum_of_rows(weights, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(lengths, np.linalg.norm(rows, axis=1))
    np.testing.assert_allclose(total, weights @ rows, rtol=1e-9)
    assert peak < rows.nbytes
    assert row_lengths(rows[:0]).shape == (0,)


def test_common_direction_is_the_first_singular_vector():
    rows = (RNG.normal(size=(50, 4)) + np.array([3, 0, -2, 0])).astype(np.float32)
    found = common_direction(rows)
    expected = np.linalg.svd(rows)[2][0]
    np.testing.assert_allclose(found, expected * np.sign(expected[np.abs(expected).argmax()]), atol=1e-5)
    np.testing.assert_array_equal(common_direction(np.zeros((3, 4), np.float32)), np.zeros(4))


def test_removed_directions_leave_rows_orthogonal_to_them():
    rows = RNG.normal(size=(20, 4)).astype(np.float32)
    direction = common_direction(rows)
    removed = remove_direction(rows, direction)
    np.testing.assert_allclose(removed @ direction, 0, atol=1e-5)
    np.testing.assert_allclose(rows - removed, np.outer(rows @ direction, direction), atol=1e-5)
    np.testing.assert_array_equal(remove_direction(direction[None] * 7, direction), 0)  # nothing but rounding is left


def test_rounding_is_relative_to_the_scale():
    rows = np.array([[1, 0], [1e-9, 0]], np.float32)
    np.testing.assert_array_equal(drop_rounding(rows), [[1, 0], [0, 0]])
    assert drop_rounding(rows, np.array([1, 1e-9])) is rows


def test_rotation_solves_the_procrustes_problem():
    rows, targets = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 4))
    found = rotation_onto(rows.astype(np.float32), targets)
    np.testing.assert_allclose(found, orthogonal_procrustes(rows, targets)[0], atol=1e-5)


def test_frequent_words_weigh_less():
    np.testing.assert_allclose(smooth_inverse_frequency(np.array([0.0, 1e-3, 1e-2]), 1e-3), [1, 1 / 2, 1 / 11])
