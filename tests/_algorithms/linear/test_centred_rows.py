"""Products with weighted, centred rows are those of the dense matrix, for dense, sparse and mixed columns."""

import numpy as np
import pytest
import scipy.sparse as sp

from transferkit._algorithms.linear import feature_blocks
from transferkit._algorithms.linear.feature_blocks import FeatureBlocks, centre_rows

RNG = np.random.default_rng(0)
DENSE = RNG.normal(size=(20, 3)) + 4
SPARSE = RNG.normal(size=(20, 5)) * (RNG.random((20, 5)) < 0.4)
SPARSE[:, 2] = RNG.normal(size=20) + 7  # a sparse column without zeros
KINDS = {
    "dense": (np.hstack([DENSE, SPARSE]), np.hstack([DENSE, SPARSE])),
    "sparse": (sp.csr_matrix(SPARSE), SPARSE),
    "blocks": (FeatureBlocks(DENSE, sp.csr_matrix(SPARSE)), np.hstack([DENSE, SPARSE])),
}
WEIGHTS = {"equal": np.ones(20), "different": RNG.integers(0, 4, 20).astype(float)}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("has_intercept", [True, False])
def test_products_are_those_of_the_dense_matrix(kind, weights, has_intercept):
    X, rows = kind
    mean = np.average(rows, axis=0, weights=weights) if has_intercept else np.zeros(rows.shape[1])
    expected = np.sqrt(weights)[:, None] * (rows - mean)
    found, shift = centre_rows(X, weights, has_intercept)
    right, left = RNG.normal(size=(rows.shape[1], 2)), RNG.normal(size=(20, 2))
    np.testing.assert_allclose(shift, mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.dense(), expected, atol=1e-10)
    np.testing.assert_allclose(found.matmul(right), expected @ right, atol=1e-10)
    np.testing.assert_allclose(found.rmatmul(left), expected.T @ left, atol=1e-10)
    np.testing.assert_allclose(found.gram(), expected.T @ expected, atol=1e-9)
    np.testing.assert_allclose(found.kernel(), expected @ expected.T, atol=1e-9)
    np.testing.assert_allclose(found.column_squares(), np.square(expected).sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.take([3, 1]).dense(), expected[[3, 1]], atol=1e-10)


def test_blocks_of_rows_are_all_rows(kind, monkeypatch):
    monkeypatch.setattr(feature_blocks, "CHUNK_ENTRIES", 1)
    found, _ = centre_rows(kind[0], np.ones(20), True)
    parts = list(found.blocks())
    assert len(parts) > 1
    np.testing.assert_allclose(np.vstack([part.dense() for _, part in parts]), found.dense())
    np.testing.assert_array_equal(np.concatenate([np.arange(20)[rows] for rows, _ in parts]), np.arange(20))


def test_differences_far_from_zero_keep_their_digits():
    found, mean = centre_rows(DENSE + 1e9, np.ones(20), True)
    rows = DENSE + 1e9 - 1e9  # as float64 holds them
    np.testing.assert_allclose(found.dense(), rows - rows.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(mean, rows.mean(axis=0) + 1e9)


def test_only_large_sparse_rows_must_stay_sparse(kind, monkeypatch):
    found, _ = centre_rows(kind[0], np.ones(20), True)
    assert found.can_be_dense()
    monkeypatch.setattr(feature_blocks, "MOST_SPARSE", 10)
    assert found.can_be_dense() == isinstance(kind[0], np.ndarray)
