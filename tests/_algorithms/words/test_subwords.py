"""Vectors of n-grams: against a dense ridge regression."""

import numpy as np
from scipy import sparse

from transferkit import TfidfEncoder
from transferkit._algorithms.words.subwords import fit_ngram_vectors, ngram_shares
from transferkit.encoders.text._analyzer import make_analyzer


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
