"""What word vectors give: against loops, SciPy's Procrustes, a dense ridge regression and scikit-learn."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import orthogonal_procrustes
from sklearn.metrics.pairwise import cosine_similarity

from transferkit import TfidfEncoder
from transferkit._algorithms.words.vectors import (
    common_direction,
    fit_ngram_vectors,
    max_rows,
    mean_rows,
    mean_weights,
    nearest_rows,
    ngram_shares,
    remove_direction,
    rotation_onto,
    row_lengths,
    smooth_inverse_frequency,
    sum_of_rows,
)
from transferkit.encoders.text._analyzer import make_analyzer

RNG = np.random.default_rng(0)
COUNTS = sparse.csr_matrix(RNG.integers(0, 4, (9, 6)) * (RNG.random((9, 6)) < 0.5), dtype=np.float32)
COUNTS = sparse.csr_matrix(sparse.vstack([COUNTS, sparse.csr_matrix((1, 6), dtype=np.float32)]))  # a text without words
VECTORS = RNG.normal(size=(6, 3)).astype(np.float32)
POINTS = RNG.normal(size=(40, 5)).astype(np.float32)
LENGTHS = np.linalg.norm(POINTS, axis=1)


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
    assert set(COUNTS.data) <= {1, 2, 3}  # not changed in place


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


def test_rotation_solves_the_procrustes_problem():
    rows, targets = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 4))
    found = rotation_onto(rows.astype(np.float32), targets)
    np.testing.assert_allclose(found, orthogonal_procrustes(rows, targets)[0], atol=1e-5)


def test_frequent_words_weigh_less():
    np.testing.assert_allclose(smooth_inverse_frequency(np.array([0.0, 1e-3, 1e-2]), 1e-3), [1, 1 / 2, 1 / 11])


def test_ngram_vectors_are_those_of_a_ridge_regression():
    rng = np.random.default_rng(0)
    shares = sparse.random_array((80, 30), density=0.2, rng=rng, dtype=np.float32).tocsr()
    vectors = rng.normal(size=(80, 5)).astype(np.float32)
    dense = shares.toarray().astype(np.float64)
    expected = np.linalg.solve(dense.T @ dense + 0.5 * np.eye(30), dense.T @ vectors)
    np.testing.assert_allclose(fit_ngram_vectors(shares, vectors, 0.5, 40), expected, atol=1e-4)


def test_exact_solutions_and_empty_columns_stay_finite():
    shares = sparse.csr_array(np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    vectors = np.array([[1, 2], [0, 0]], np.float32)
    fitted = fit_ngram_vectors(shares, vectors, 1.0, 50)
    np.testing.assert_allclose(fitted, [[0.5, 1], [0, 0], [0, 0]], atol=1e-6)


def test_buckets_share_what_a_word_is_made_of():
    analyzer = make_analyzer(TfidfEncoder(analyzer="char_wb", ngram_range=(3, 3)))
    shares = ngram_shares(analyzer.count(["ababa", "ab", "bab"]), 10_007)
    assert shares.shape == (3, 10_007)
    parts = [[0.2, 0.2, 0.2, 0.4], [0.5, 0.5], [1 / 3] * 3]  # " ab", "aba", "bab", "aba", "ba " ...
    for k, part in enumerate(parts):
        np.testing.assert_allclose(np.sort(shares[[k]].data), part, rtol=1e-6)
    one = ngram_shares(analyzer.count(["ababa", "ab"]), 1)
    np.testing.assert_allclose(one.toarray(), 1)


@pytest.mark.parametrize("n", [1, 7, 39])
def test_neighbours_are_those_of_largest_cosine(n):
    target = RNG.normal(size=5)
    expected = cosine_similarity(POINTS, target[None])[:, 0]
    expected[3] = -np.inf
    rows, cosines = nearest_rows(POINTS, LENGTHS, target, n, [3, -1])
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
    rows, _ = nearest_rows(POINTS[:3], LENGTHS[:3], POINTS[0], 5, [1])
    assert sorted(rows.tolist()) == [0, 2]
    assert len(nearest_rows(POINTS, LENGTHS, POINTS[0], 0)[0]) == 0
