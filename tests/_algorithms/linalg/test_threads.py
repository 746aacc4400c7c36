"""Two computations at once give the results, and the errors, of one after the other."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from transferkit._algorithms.linalg.moments import symmetric_power
from transferkit._algorithms.linalg.threads import MOST_ROWS, one_blas_thread, run_both, run_pairs


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
