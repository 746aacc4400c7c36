"""Leading right singular vectors of sparse rows."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import linalg, sparse

N_SPARE = 10  # vectors beyond those asked for, which make the last ones asked for accurate


class RightVectors(NamedTuple):
    """Orthonormal `vectors` of shape (n_columns, n_vectors), and singular `values`, largest first."""

    vectors: np.ndarray
    values: np.ndarray


class Products(Protocol):
    """Rows X as what the iteration needs of them; vectors are arrays of one library."""

    n_rows: int
    n_columns: int

    def times(self, right: Any) -> Any:
        """Return X @ right."""

    def transposed_times(self, right: Any) -> Any:
        """Return X.T @ right."""

    def orthonormal(self, vectors: Any) -> Any:
        """Return an orthonormal basis of the span."""

    def put(self, array: np.ndarray) -> Any:
        """Return a NumPy array as one of that library."""

    def get(self, array: Any) -> np.ndarray:
        """Return it as a NumPy array."""


def leading_vectors(rows: Products, n_vectors: int, n_iter: int, random_state: np.random.RandomState) -> RightVectors:
    """Find the leading right singular vectors of the rows by subspace iteration.

    Parameters
    ----------
    rows : RowProducts, or its like on a device
        Rows.
    n_vectors : int
        Number of vectors, at most the number of rows and of columns.
    n_iter : int
        Passes over the rows before the last one; the error shrinks with each by the squared ratio of singular
        values beyond and within the vectors.
    random_state : RandomState
        Draws the start.

    Returns
    -------
    found : RightVectors
        Vectors in float32; of each, the entry of largest size is positive.

    Notes
    -----
    With the rows X, the iteration Q <- orth(X X' Q) runs on the side (rows or columns) that has fewer entries.
    Vectors of singular values that are zero are zero.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. Tropp (2011). Finding structure with randomness:
       probabilistic algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2).
    """
    by_row = rows.n_rows <= rows.n_columns
    there, back = (rows.times, rows.transposed_times) if by_row else (rows.transposed_times, rows.times)
    start = random_state.normal(size=(rows.n_columns if by_row else rows.n_rows, n_vectors))
    basis = rows.orthonormal(there(rows.put(start.astype(np.float32))))
    for _ in range(n_iter):
        basis = rows.orthonormal(there(back(basis)))
    image = back(basis)
    squares, rotation = linalg.eigh(rows.get(image.T @ image))  # squared singular values within the subspace
    squares, rotation = np.maximum(squares[::-1], 0), np.ascontiguousarray(rotation[:, ::-1])
    values = np.sqrt(squares)
    vectors = rows.get((image if by_row else basis) @ rows.put(rotation))
    is_zero = values <= np.finfo(np.float32).eps * len(values) * values[0]
    if by_row:
        vectors /= np.where(is_zero, 1, values)
    vectors[:, is_zero] = 0
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(vectors[largest, np.arange(n_vectors)] < 0, np.float32(-1), np.float32(1))
    return RightVectors(np.ascontiguousarray(vectors, np.float32), values.astype(np.float32))


class RowProducts:
    """Products with sparse rows, and with a summary of earlier rows.

    The summary counts as the rows ``values[:, None] * vectors.T``.
    """

    def __init__(self, rows: sparse.csr_matrix, before: RightVectors | None = None) -> None:
        self._rows = rows
        self._before = before
        self.n_rows = rows.shape[0] + (0 if before is None else len(before.values))
        self.n_columns = rows.shape[1]

    def times(self, right: np.ndarray) -> np.ndarray:
        """Return X @ right."""
        product = self._rows @ right
        if self._before is None:
            return product
        return np.concatenate([product, self._before.values[:, None] * (self._before.vectors.T @ right)])

    def transposed_times(self, right: np.ndarray) -> np.ndarray:
        """Return X.T @ right."""
        if self._before is None:
            return self._rows.T @ right
        n_new = self._rows.shape[0]
        return self._rows.T @ right[:n_new] + self._before.vectors @ (self._before.values[:, None] * right[n_new:])

    def orthonormal(self, vectors: np.ndarray) -> np.ndarray:
        """Return an orthonormal basis of the span."""
        return linalg.qr(vectors, mode="economic", overwrite_a=True, check_finite=False)[0]

    def put(self, array: np.ndarray) -> np.ndarray:
        """Return the array."""
        return array

    def get(self, array: np.ndarray) -> np.ndarray:
        """Return the array."""
        return array
