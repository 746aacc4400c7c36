"""Positive pointwise mutual information is its formula."""

import numpy as np
import pytest
from scipy import sparse

from transferkit._algorithms.words.ppmi import positive_pmi


def test_information_is_measured_against_smoothed_chance():
    counts = np.array([[0, 4, 1], [4, 2, 0], [1, 0, 0]], float)
    shares = counts.sum(axis=1) ** 0.5 / (counts.sum(axis=1) ** 0.5).sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log(counts / counts.sum() / np.outer(shares, shares)), 0)
    np.testing.assert_allclose(positive_pmi(sparse.csr_array(counts), 0.5).toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
def test_information_is_symmetric_and_zero_for_words_without_context(smoothing):
    rng = np.random.default_rng(0)
    half = rng.integers(0, 3, (40, 40))
    counts = half + half.T
    counts[7] = counts[:, 7] = 0
    found = positive_pmi(sparse.csr_array(counts.astype(float)), smoothing)
    assert found.dtype == np.float32
    assert found.data.min() > 0
    dense = found.toarray()
    np.testing.assert_allclose(dense, dense.T, rtol=1e-6)
    assert not dense[7].any()
    np.testing.assert_array_equal(positive_pmi(sparse.csr_array(counts.astype(float)), smoothing).toarray(), dense)


def test_no_counts_give_no_information():
    assert positive_pmi(sparse.csr_array((3, 3)), 0.75).nnz == 0
