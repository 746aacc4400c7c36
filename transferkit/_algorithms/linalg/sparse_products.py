"""Products of matrices with many rows, sparse or tall and dense, computed slice by slice on any number of threads."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
from scipy import sparse

__all__ = ["Map", "TallProducts", "multiply_slices", "slice_rows"]

Map = Callable[[Callable, Iterable], Iterable]  # the built-in map, or the map of a thread pool

_N_SLICES = 16  # of rows; more than threads, for load balancing


def slice_rows(matrix: sparse.csr_array) -> list[sparse.csr_array]:
    """Cut the rows into slices with about equal numbers of entries."""
    cuts = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, _N_SLICES + 1)[1:-1])
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
