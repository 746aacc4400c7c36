"""Use of threads: how many a step may use, how many BLAS gets, and products of many rows slice by slice.

A multi-threaded BLAS spends more time on synchronisation than it saves for decompositions of matrices with up to about
2,000 rows. One thread per matrix is faster, and two matrices, such as one per domain, can then be processed in
parallel. Products of sparse or of tall dense matrices are computed slice by slice on any number of threads.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from joblib import cpu_count
from joblib.parallel import get_active_backend
from scipy import sparse
from threadpoolctl import ThreadpoolController

__all__ = [
    "LARGE_STEP",
    "MOST_ROWS",
    "N_SLICES",
    "Map",
    "TallProducts",
    "blas_threads_for",
    "count_threads",
    "multiply_slices",
    "one_blas_thread",
    "run_both",
    "run_pairs",
    "slice_rows",
]

LARGE_STEP = 2e8  # products of numbers, about 5 ms, from which several threads pay even on a busy machine
_FEWEST_ROWS = 100  # below, starting a second thread costs more than it saves
MOST_ROWS = 2_000  # beyond, a multi-threaded BLAS is faster
PairRunner = Callable[[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]], list[Any]]
Map = Callable[[Callable, Iterable], Iterable]  # the built-in map, or the map of a thread pool
N_SLICES = 16  # of rows; more than threads, for load balancing


def count_threads() -> int:
    """Return how many threads a step may use.

    These are the CPUs that the operating system, the affinity of the process, the CPU quota of its container (cgroup)
    and the environment variable LOKY_MAX_CPU_COUNT leave to it; one in a thread of a joblib worker, since the other
    workers have the others.
    """
    in_thread = threading.current_thread() is not threading.main_thread()
    return 1 if in_thread and get_active_backend()[0].nesting_level else _count_cpus()


@cache
def _count_cpus() -> int:
    """Return the number of CPUs of this process, which takes longer to find than a small fit."""
    return int(cpu_count())


def run_both(n_rows: int, function: Callable[..., Any], first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
    """Return the results of a function for two tuples of arguments, computed as described in `run_pairs`."""
    with run_pairs(n_rows) as run:
        return run(function, first, second)


@contextmanager
def run_pairs(n_rows: int) -> Iterator[PairRunner]:
    """Yield a callable that applies a function to two tuples of arguments and returns both results.

    For matrices of medium size (`n_rows`), both calls run in parallel with one BLAS thread each. For smaller and larger
    ones, they run one after the other with all BLAS threads. The function must release the interpreter lock, as
    products and decompositions of NumPy do and those of SciPy do not.
    """
    if not _is_medium(n_rows) or count_threads() == 1:
        yield lambda function, first, second: [function(*first), function(*second)]
        return

    def run(function: Callable[..., Any], first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
        other = pool.submit(function, *second)
        return [function(*first), other.result()]

    with _limit_blas(1), ThreadPoolExecutor(1) as pool:
        yield run


@contextmanager
def blas_threads_for(n_products: float) -> Iterator[None]:
    """Run a block with one BLAS thread if its largest step is small, else with no more than the process may use.

    The size of a step is its number of products of numbers.
    """
    with _limit_blas(1 if n_products < LARGE_STEP else count_threads()):
        yield


@contextmanager
def one_blas_thread(n_rows: int = MOST_ROWS) -> Iterator[None]:
    """Run a block with one BLAS thread if its matrices are of medium size (`n_rows`)."""
    if not _is_medium(n_rows):
        yield
        return
    with _limit_blas(1):
        yield


def _is_medium(n_rows: int) -> bool:
    return _FEWEST_ROWS <= n_rows <= MOST_ROWS


class _BlasLimits:
    """The limits of all blocks that run now, in any thread; BLAS has one number of threads for the whole process."""

    def __init__(self) -> None:
        self.lock, self.limits, self.given = threading.Lock(), list[int](), list[int]()

    def add(self, most: int) -> None:
        """Apply a limit beside those of other blocks."""
        with self.lock:
            if not self.limits:
                self.given = [library.num_threads for library in _find_blas()]
            self.limits.append(most)
            self._apply()

    def remove(self, most: int) -> None:
        """Lift a limit; the last one gives BLAS back the threads that it had before the first."""
        with self.lock:
            self.limits.remove(most)
            self._apply()

    def _apply(self) -> None:
        for library, given in zip(_find_blas(), self.given, strict=True):
            library.set_num_threads(min([given, *self.limits]))

    def renew_lock(self) -> None:
        """Make the lock anew in a forked child, which lacks the thread that may have held it."""
        self.lock = threading.Lock()


_blas_limits = _BlasLimits()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_blas_limits.renew_lock)


@contextmanager
def _limit_blas(most: int) -> Iterator[None]:
    _blas_limits.add(most)
    try:
        yield
    finally:
        _blas_limits.remove(most)


@cache
def _find_blas() -> list[Any]:
    """Return the loaded BLAS libraries; finding these takes longer than a small fit."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def slice_rows(matrix: sparse.csr_array) -> list[sparse.csr_array]:
    """Cut the rows into slices with about equal numbers of entries."""
    cuts = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, N_SLICES + 1)[1:-1])
    bounds = np.unique([0, *cuts.tolist(), matrix.shape[0]]).tolist()
    return [matrix[a:b] for a, b in pairwise(bounds)]


def multiply_slices(slices: list[sparse.csr_array], right: np.ndarray, run: Map = map) -> np.ndarray:
    """Return the product of the concatenated slices with a dense matrix."""
    return np.concatenate(list(run(lambda part: part @ right, slices)))


class TallProducts:
    """Products of tall dense matrices, summed over slices of rows.

    The slices, and so the rounding errors, do not depend on the number of threads. A multi-threaded BLAS waits for its
    slowest thread in every product, which is slow on shared cores; here idle threads take the next slice.
    """

    def __init__(self, n_rows: int, run: Map = map) -> None:
        bounds = np.linspace(0, n_rows, N_SLICES + 1).astype(int)
        self.spans = [slice(a, b) for a, b in pairwise(bounds.tolist())]
        self.run = run

    def inner(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return left.T @ right."""
        parts = list(self.run(lambda span: left[span].T @ right[span], self.spans))
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def matmul(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return left @ right."""
        return np.concatenate(list(self.run(lambda span: left[span] @ right, self.spans)))

    def orthogonalise(self, columns: np.ndarray, basis: np.ndarray) -> None:
        """Make the columns orthogonal to those of an orthonormal basis, in place."""
        projections = self.inner(basis, columns)

        def subtract(span: slice) -> None:
            columns[span] -= basis[span] @ projections

        for _ in self.run(subtract, self.spans):
            pass
