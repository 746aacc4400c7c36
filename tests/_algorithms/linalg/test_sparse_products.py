"""Products slice by slice are the products."""

import numpy as np
import pytest
from scipy import sparse

from transferkit._algorithms.linalg.threads import TallProducts, multiply_slices, slice_rows

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_rows", [1, 15, 200])
def test_slices_are_all_rows_in_order(n_rows):
    matrix = sparse.csr_array(RNG.normal(size=(n_rows, 7)) * (RNG.random((n_rows, 7)) < 0.3))
    slices = slice_rows(matrix)
    np.testing.assert_array_equal(sparse.vstack(slices).toarray(), matrix.toarray())
    right = RNG.normal(size=(7, 3))
    np.testing.assert_allclose(multiply_slices(slices, right), matrix @ right)


def test_slices_have_about_as_many_entries_each():
    counts = RNG.integers(0, 50, 2000)
    matrix = sparse.csr_array(
        (np.ones(counts.sum()), np.zeros(counts.sum(), int), np.r_[0, counts.cumsum()]), shape=(2000, 1)
    )
    sizes = [part.nnz for part in slice_rows(matrix)]
    assert len(sizes) == 16
    assert max(sizes) - min(sizes) <= 100


@pytest.mark.parametrize("n_rows", [3, 100])
def test_tall_products_are_those_of_whole_matrices(n_rows):
    tall = TallProducts(n_rows)
    left, right, small = RNG.normal(size=(n_rows, 3)), RNG.normal(size=(n_rows, 2)), RNG.normal(size=(3, 4))
    np.testing.assert_allclose(tall.inner(left, right), left.T @ right)
    np.testing.assert_allclose(tall.matmul(left, small), left @ small)
    basis = np.linalg.qr(left)[0]
    columns = right.copy()
    tall.orthogonalise(columns, basis)
    np.testing.assert_allclose(columns, right - basis @ (basis.T @ right), atol=1e-12)
