"""Leading right singular vectors of sparse rows, given in blocks that are never joined."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

N_SPARE = 10  # vectors beyond those asked for, which make the last ones asked for accurate


class RightVectors(NamedTuple):
    """Orthonormal `vectors` of shape (n_columns, n_vectors), and singular `values`, largest first."""

    vectors: np.ndarray
    values: np.ndarray


def leading_vectors(
    blocks: Sequence[sparse.csr_matrix],
    n_vectors: int,
    n_iter: int,
    random_state: np.random.RandomState,
    before: RightVectors | None = None,
) -> RightVectors:
    """Find the leading right singular vectors of all rows by subspace iteration.

    Parameters
    ----------
    blocks : sequence of CSR matrices of shape (n_rows_of_block, n_columns)
        Rows.
    n_vectors : int
        Number of vectors, at most the number of rows and of columns.
    n_iter : int
        Passes over the rows before the last one; the error shrinks with each by the squared ratio of singular
        values beyond and within the vectors.
    random_state : RandomState
        Draws the start.
    before : RightVectors or None
        Summary of earlier rows: they count as the rows ``values[:, None] * vectors.T``.

    Returns
    -------
    found : RightVectors
        Vectors in float32; of each, the entry of largest size is positive.

    Notes
    -----
    With the rows X, the iteration Q <- orth(X X' Q) runs on the side (rows or columns) that has fewer entries,
    and each product is a sum over blocks. Vectors of singular values that are zero are zero.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. Tropp (2011). Finding structure with randomness:
       probabilistic algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2).
    """
    rows = _Rows(blocks, before)
    by_row = rows.n_rows <= rows.n_columns
    there, back = (rows.times, rows.transposed_times) if by_row else (rows.transposed_times, rows.times)
    start = random_state.normal(size=(rows.n_columns if by_row else rows.n_rows, n_vectors))
    basis = _orthonormal(there(start.astype(np.float32)))
    for _ in range(n_iter):
        basis = _orthonormal(there(back(basis)))
    image = back(basis)
    squares, rotation = linalg.eigh(image.T @ image)  # squared singular values within the subspace
    squares, rotation = np.maximum(squares[::-1], 0), rotation[:, ::-1]
    values = np.sqrt(squares)
    vectors = (image if by_row else basis) @ rotation
    is_zero = values <= np.finfo(np.float32).eps * len(values) * values[0]
    if by_row:
        vectors /= np.where(is_zero, 1, values)
    vectors[:, is_zero] = 0
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(vectors[largest, np.arange(n_vectors)] < 0, np.float32(-1), np.float32(1))
    return RightVectors(np.ascontiguousarray(vectors, np.float32), values.astype(np.float32))


class _Rows:
    """All rows: those of the blocks, then those that sum up earlier ones."""

    def __init__(self, blocks: Sequence[sparse.csr_matrix], before: RightVectors | None) -> None:
        self._blocks = blocks
        self._before = before
        n_before = 0 if before is None else len(before.values)
        self._ends = np.cumsum([block.shape[0] for block in blocks])
        self.n_rows = int(self._ends[-1]) + n_before
        self.n_columns = blocks[0].shape[1]

    def times(self, right: np.ndarray) -> np.ndarray:
        parts = [block @ right for block in self._blocks]
        if self._before is not None:
            parts.append(self._before.values[:, None] * (self._before.vectors.T @ right))
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def transposed_times(self, right: np.ndarray) -> np.ndarray:
        begins = [0, *self._ends[:-1].tolist()]
        product = np.zeros((self.n_columns, right.shape[1]), np.float32)
        for block, begin, end in zip(self._blocks, begins, self._ends.tolist(), strict=True):
            product += block.T @ right[begin:end]
        if self._before is not None:
            product += self._before.vectors @ (self._before.values[:, None] * right[self._ends[-1] :])
        return product


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    return linalg.qr(vectors, mode="economic", overwrite_a=True, check_finite=False)[0]
