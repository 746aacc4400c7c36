"""The same work for two domains at once, and decompositions that do not wait for threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

__all__ = ["LARGEST_ALONE", "SMALLEST_SHARED", "for_both", "one_thread_for", "symmetric_power", "two_at_once"]

SMALLEST_SHARED = 100  # rows of a matrix below which a second thread is not worth its start
LARGEST_ALONE = 2_000  # up to which more threads cost a decomposition more time than they save


Runner = Callable[[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]], list[Any]]


def for_both(size: int, function: Callable[..., Any], first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
    """Return the results of a function for two tuples of arguments; see `two_at_once`."""
    with two_at_once(size) as run:
        return run(function, first, second)


@contextmanager
def two_at_once(size: int) -> Iterator[Runner]:
    """Yield what runs a function for two tuples of arguments and returns both results.

    Both run at the same time, each on one thread of BLAS, but for tiny and large matrices (of `size` rows): these
    come one after the other, with all threads. The function must leave the interpreter lock, as NumPy's products and
    decompositions do and SciPy's do not.
    """
    if not SMALLEST_SHARED <= size <= LARGEST_ALONE or os.cpu_count() == 1:
        yield lambda function, first, second: [function(*first), function(*second)]
        return

    def run(function: Callable[..., Any], first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
        other = pool.submit(function, *second)
        return [function(*first), other.result()]

    with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(1) as pool:
        yield run


@contextmanager
def one_thread_for(size: int) -> Iterator[None]:
    """Run a block with one thread of BLAS where its matrices are small."""
    if not SMALLEST_SHARED <= size <= LARGEST_ALONE:
        yield
        return
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> Any:
    """Return what knows the libraries of NumPy and SciPy; to look for them takes longer than a small fit."""
    return ThreadpoolController()


def symmetric_power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of a symmetric matrix that is positive but for rounding."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, values[-1] * np.finfo(values.dtype).eps)
    half = vectors * values ** (exponent / 2)
    return np.asarray(half @ half.T)  # a symmetric product, which takes half of the time
