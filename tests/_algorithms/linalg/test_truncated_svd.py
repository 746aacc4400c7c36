"""Leading right singular vectors against the dense SVD."""

import numpy as np
import pytest
from scipy import sparse

from transferkit._algorithms.linalg.decompositions import RightVectors, RowProducts, leading_vectors


def decaying_rows(n_rows, n_columns, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, 20)))[0] for n in (n_rows, n_columns))
    return sparse.csr_matrix(left * 0.7 ** np.arange(20) @ right.T, dtype=np.float32)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_equals_the_dense_svd(shape):
    rows = decaying_rows(*shape)
    found = leading_vectors(RowProducts(rows), 12, 6, np.random.RandomState(0))
    _, values, vectors = np.linalg.svd(rows.toarray(), full_matrices=False)
    np.testing.assert_allclose(found.values, values[:12], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(found.vectors[:, :8] * vectors[:8].T, axis=0)), 1, atol=1e-4)
    assert found.vectors.dtype == found.values.dtype == np.float32


def test_summary_stands_for_the_rows_it_sums_up():
    rows = decaying_rows(90, 70)
    first, second = rows[:50], rows[50:]
    _, values, vectors = np.linalg.svd(first.toarray(), full_matrices=False)
    summary = RightVectors(vectors.T, values)
    found = leading_vectors(RowProducts(second, summary), 8, 6, np.random.RandomState(0))
    expected = np.linalg.svd(rows.toarray(), compute_uv=False)[:8]
    np.testing.assert_allclose(found.values, expected, rtol=1e-3)


def test_vectors_beyond_the_rank_are_zero():
    rows = sparse.csr_matrix(np.ones((5, 9), np.float32))
    found = leading_vectors(RowProducts(rows), 4, 4, np.random.RandomState(0))
    np.testing.assert_allclose(found.vectors[:, 0], 1 / 3, rtol=1e-5)
    assert not found.vectors[:, 1:].any()


def test_result_depends_neither_on_the_side_nor_on_the_order_of_rows():
    wide = decaying_rows(150, 151)
    tall = sparse.vstack(
        [wide, sparse.csr_matrix((10, 151), dtype=np.float32)], format="csr"
    )  # rows of zeros add nothing
    by_row, by_column, shuffled = (
        leading_vectors(RowProducts(rows), 9, 2, np.random.RandomState(0))
        for rows in (wide, tall, tall[np.random.RandomState(1).permutation(160)])
    )
    for other in (by_column, shuffled):
        np.testing.assert_allclose(other.values, by_row.values, rtol=1e-5)
        np.testing.assert_allclose(np.abs(np.sum(other.vectors * by_row.vectors, axis=0)), 1, atol=1e-5)
