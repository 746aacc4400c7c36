"""Products of blocks of features are those of one dense matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks, multiply_rows, to_dense, to_gram, to_kernel

RNG = np.random.default_rng(0)
DENSE, SPARSE = RNG.normal(size=(7, 2)), RNG.normal(size=(7, 4)) * (RNG.random((7, 4)) < 0.5)
ROWS = np.hstack([DENSE, SPARSE, DENSE])
KINDS = {
    "dense": ROWS,
    "sparse": sp.csr_matrix(ROWS),
    "blocks": FeatureBlocks(DENSE, sp.csr_matrix(SPARSE), sp.csc_array(DENSE)),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def X(request):
    return request.param


def read(X):
    return X.to_sparse().toarray() if isinstance(X, FeatureBlocks) else to_dense(X)


def test_products_are_those_of_the_dense_matrix(X):
    right, left = RNG.normal(size=(8, 3)), RNG.normal(size=(7, 3))
    np.testing.assert_allclose(X @ right, ROWS @ right)
    np.testing.assert_allclose(X @ right[:, 0], ROWS @ right[:, 0])
    np.testing.assert_allclose(X.T @ left, ROWS.T @ left)
    np.testing.assert_allclose(to_gram(X), ROWS.T @ ROWS)
    np.testing.assert_allclose(to_kernel(X), ROWS @ ROWS.T)


def test_rows_are_scaled_and_selected_in_every_block(X):
    factors = RNG.random(7)
    np.testing.assert_allclose(read(multiply_rows(X, factors)), ROWS * factors[:, None])
    np.testing.assert_array_equal(read(X[[3, 0]]), ROWS[[3, 0]])


def test_blocks_are_scaled_one_by_one():
    X = KINDS["blocks"]
    expected = np.hstack([2 * DENSE, SPARSE, 0 * DENSE])
    np.testing.assert_array_equal(read(X.scale([2, 1, 0])), expected)
    assert [ROWS[:, columns].shape[1] for columns in X.slices] == [2, 4, 2]
    assert X.scale([1, 1, 1]).blocks[0] is X.blocks[0]
