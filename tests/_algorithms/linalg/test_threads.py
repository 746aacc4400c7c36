"""Two computations at once, and products slice by slice, give the results of one after the other."""

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info

from transferkit._algorithms.linalg.moments import symmetric_power
from transferkit._algorithms.linalg.threads import (
    MOST_ROWS,
    TallProducts,
    multiply_slices,
    one_blas_thread,
    run_both,
    run_pairs,
    slice_rows,
)


@pytest.mark.parametrize("size", [10, 150, 5000])
def test_both_domains_at_once_come_back_in_order(size):
    matrices = [np.diag(np.linspace(1, 2, 150)), np.diag(np.linspace(3, 4, 150))]
    roots = run_both(size, symmetric_power, (matrices[0], 0.5), (matrices[1], -0.5))
    np.testing.assert_allclose(np.diag(roots[0]) ** 2, np.linspace(1, 2, 150))
    np.testing.assert_allclose(np.diag(roots[1]) ** -2, np.linspace(3, 4, 150))


def test_errors_of_the_other_thread_are_raised():
    with pytest.raises(np.linalg.LinAlgError):
        run_both(150, np.linalg.cholesky, (np.eye(150),), (-np.eye(150),))


@pytest.mark.parametrize("n_rows", [10, 150])
def test_several_pairs_share_a_runner(n_rows):
    with run_pairs(n_rows) as run:
        assert [run(divmod, (7, k), (9, k)) for k in (2, 4)] == [[(3, 1), (4, 1)], [(1, 3), (2, 1)]]


@pytest.mark.parametrize(
    ("n_rows", "is_limited"), [(10, False), (150, True), (MOST_ROWS, True), (MOST_ROWS + 1, False)]
)
def test_matrices_of_medium_size_get_one_thread(n_rows, is_limited):
    def count_threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = count_threads()
    with one_blas_thread(n_rows):
        assert count_threads() == ([1] * len(before) if is_limited else before)
    assert count_threads() == before


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
