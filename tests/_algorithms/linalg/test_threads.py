"""Steps use the CPUs of the process; two at once, and products slice by slice, give the results of one by one."""

import math
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from transferkit._algorithms.linalg import threads
from transferkit._algorithms.linalg.moments import symmetric_power
from transferkit._algorithms.linalg.threads import (
    LARGE_STEP,
    MOST_ROWS,
    TallProducts,
    blas_threads_for,
    count_threads,
    multiply_slices,
    one_blas_thread,
    run_both,
    run_pairs,
    slice_rows,
)
from transferkit._algorithms.linear import kernel_lbfgs


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


def test_overlapping_blocks_of_several_threads_leave_blas_its_threads():
    def count_threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before, first, second = count_threads(), one_blas_thread(), blas_threads_for(0)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert count_threads() == [1] * len(before)  # the second block still runs
        second.__exit__(None, None, None)
        assert count_threads() == before


@pytest.mark.parametrize(
    ("n_products", "n_allowed", "n_given", "expected"),
    [(LARGE_STEP - 1, 4, 2, 1), (LARGE_STEP, 4, 2, 2), (LARGE_STEP, 2, 2, 2), (math.inf, 1, 2, 1)],
)
def test_small_steps_get_one_thread_of_blas_and_large_ones_no_more_than_allowed(
    n_products, n_allowed, n_given, expected, monkeypatch
):
    monkeypatch.setattr(threads, "count_threads", lambda: n_allowed)
    with threadpool_limits(n_given, user_api="blas"):
        before = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
        with blas_threads_for(n_products):
            found = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
        after = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    assert found == {min(expected, *before)}
    assert after == before


@pytest.mark.parametrize(("limit", "expected"), [(6 * 6 * 3 + 1, 1), (6 * 6 * 3, 2)])
def test_few_rows_are_searched_by_one_thread_of_blas(limit, expected, monkeypatch):
    found = []

    def count(*arguments):
        found.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return multiply(*arguments)

    multiply = kernel_lbfgs.multiply
    monkeypatch.setattr(threads, "LARGE_STEP", limit)
    monkeypatch.setattr(kernel_lbfgs, "multiply", count)
    monkeypatch.setattr(threads, "count_threads", lambda: 2)
    loss = kernel_lbfgs.CrossEntropy(np.arange(6) % 3, np.ones((6, 1)), 3, np.float64)
    problem = kernel_lbfgs.KernelProblem(loss, np.ones(6), None, None, True)
    with threadpool_limits(2, user_api="blas"):
        kernel_lbfgs.minimise(np.eye(6)[None], problem, 1.0, problem.zeros(1), tol=1e-4, max_iter=9)
    assert set(found) == {expected}


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


def run_alone(code, **environment):
    """Return what a new process prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(
        command, env=os.environ | environment, check=True, timeout=60, text=True, stdout=subprocess.PIPE
    ).stdout.strip()


def test_a_step_may_use_the_cpus_of_the_process():
    assert count_threads() == joblib.cpu_count()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count_threads).result() == joblib.cpu_count()


def test_a_step_may_use_no_more_than_the_environment_says():
    code = "from transferkit._algorithms.linalg.threads import count_threads; print(count_threads())"
    assert run_alone(code, LOKY_MAX_CPU_COUNT="1") == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux sets the affinity of a process")
def test_a_step_may_use_the_cpus_that_taskset_leaves():
    code = """
    import os
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    from transferkit._algorithms.linalg.threads import count_threads
    print(count_threads())
    """
    assert run_alone(code) == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has cgroups")
def test_a_step_may_use_the_quota_of_the_container():
    code = """
    import io, os
    from unittest import mock

    FILES = {"/sys/fs/cgroup/cpu.max": "100000 100000"}  # the time of one CPU
    exists, plain = os.path.exists, open
    os.path.exists = lambda path: path in FILES or exists(path)

    def open_file(path, *args):
        return io.StringIO(FILES[path]) if path in FILES else plain(path, *args)

    with mock.patch("builtins.open", open_file):
        from transferkit._algorithms.linalg.threads import count_threads
        print(count_threads())
    """
    assert run_alone(code) == "1"


def test_workers_in_threads_share_the_cpus():
    alone = joblib.Parallel(n_jobs=1)(joblib.delayed(count_threads)() for _ in range(2))
    assert alone == [joblib.cpu_count()] * 2
    assert joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(count_threads)() for _ in range(4)) == [1] * 4
