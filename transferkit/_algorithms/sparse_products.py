"""Products of a large sparse matrix and a dense one, slice by slice."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
from scipy import sparse

Map = Callable[[Callable, Iterable], Iterable]  # the built-in map, or one that uses threads

_N_SLICES = 16  # of rows; threads share them, and more of them balance better


def slice_rows(matrix: sparse.csr_array) -> list[sparse.csr_array]:
    """Cut the rows into slices with about as many entries each."""
    cuts = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, _N_SLICES + 1)[1:-1])
    bounds = np.unique([0, *cuts.tolist(), matrix.shape[0]]).tolist()
    return [matrix[a:b] for a, b in pairwise(bounds)]


def times(slices: list[sparse.csr_array], right: np.ndarray, run: Map = map) -> np.ndarray:
    """Return the slices, one below the other, times a dense matrix."""
    return np.concatenate(list(run(lambda part: part @ right, slices)))
