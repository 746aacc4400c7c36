"""Products of matrices of many rows, sparse or tall and dense, slice by slice."""

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


class TallProducts:
    """Products of tall dense matrices by slices of rows: the same slices, and so the same sums, on any threads.

    A BLAS that has its own threads waits for the slowest of them at each product, which takes many times as long where
    others use the cores too; slices that threads take as they come do not wait.
    """

    def __init__(self, n_rows: int, run: Map = map) -> None:
        bounds = np.linspace(0, n_rows, _N_SLICES + 1).astype(int)
        self.spans = [slice(a, b) for a, b in pairwise(bounds.tolist())]
        self.run = run

    def inner(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return left.T @ right."""
        parts = list(self.run(lambda span: left[span].T @ right[span], self.spans))
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def times(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return left @ right."""
        return np.concatenate(list(self.run(lambda span: left[span] @ right, self.spans)))

    def take_out(self, columns: np.ndarray, known: np.ndarray) -> None:
        """Make the columns orthogonal to known orthonormal ones, in place."""
        shares = self.inner(known, columns)

        def subtract(span: slice) -> None:
            columns[span] -= known[span] @ shares

        for _ in self.run(subtract, self.spans):
            pass
