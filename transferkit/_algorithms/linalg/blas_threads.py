"""Number of BLAS threads for matrices of medium size, and two computations at the same time.

A multi-threaded BLAS spends more time on synchronisation than it saves for decompositions of matrices with up to about
2,000 rows. One thread per matrix is faster, and two matrices, such as one per domain, can then be processed in
parallel.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["MOST_ROWS", "one_blas_thread", "run_both", "run_pairs"]

_FEWEST_ROWS = 100  # below, starting a second thread costs more than it saves
MOST_ROWS = 2_000  # beyond, a multi-threaded BLAS is faster

PairRunner = Callable[[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]], list[Any]]


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
    if not _is_medium(n_rows) or os.cpu_count() == 1:
        yield lambda function, first, second: [function(*first), function(*second)]
        return

    def run(function: Callable[..., Any], first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
        other = pool.submit(function, *second)
        return [function(*first), other.result()]

    with _controller().limit(limits=1, user_api="blas"), ThreadPoolExecutor(1) as pool:
        yield run


@contextmanager
def one_blas_thread(n_rows: int = MOST_ROWS) -> Iterator[None]:
    """Run a block with one BLAS thread if its matrices are of medium size (`n_rows`)."""
    if not _is_medium(n_rows):
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


def _is_medium(n_rows: int) -> bool:
    return _FEWEST_ROWS <= n_rows <= MOST_ROWS


@cache
def _controller() -> Any:
    """Return the controller of the loaded BLAS libraries; finding these takes longer than a small fit."""
    return ThreadpoolController()
