"""Mean and variance of columns, dense and sparse, also far from zero."""

import numpy as np
import pytest
import scipy.sparse as sp

from transferkit._algorithms.linalg import moments
from transferkit._algorithms.linalg.moments import column_means, mean_and_variance

RNG = np.random.default_rng(0)
KINDS = {"dense": np.asarray, "csr_array": sp.csr_array, "csr_matrix": sp.csr_matrix}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_are_those_of_float64(kind, dtype, monkeypatch):
    monkeypatch.setattr(moments, "_BLOCK_ENTRIES", 50)  # blocks of ten rows
    rows = (RNG.normal(size=(37, 5)) * (RNG.random((37, 5)) < 0.5)).astype(dtype)
    mean, variance = mean_and_variance(KINDS[kind](rows))
    assert mean.dtype == variance.dtype == np.float64
    np.testing.assert_allclose(mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, rows.astype(np.float64).var(axis=0), rtol=1e-12)
    found = column_means(KINDS[kind](rows))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, mean, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_digits_are_kept_far_from_zero(kind):
    rows = RNG.normal(size=(200, 3))
    _, variance = mean_and_variance(KINDS[kind](rows + 1e7))
    np.testing.assert_allclose(variance, (rows + 1e7 - 1e7).var(axis=0), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_columns_have_no_variance(kind, dtype):
    rows = np.tile(np.array([0.1, 1e6 / 3, 0, -7e-9], dtype), (1001, 1))
    np.testing.assert_array_equal(mean_and_variance(KINDS[kind](rows))[1], 0)
