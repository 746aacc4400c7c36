"""Leading right singular vectors of sparse rows, by randomised subspace iteration."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.normalisation import fix_signs, orthonormal

__all__ = [
    "N_SPARE",
    "RightVectors",
    "RowProducts",
    "SubspaceIteration",
    "draw_start",
    "leading_vectors",
]

_BLOCK_ROWS = 8192  # converted to float64 at a time
N_SPARE = 10  # oversampling: additional vectors, for the accuracy of the last ones requested


class RightVectors(NamedTuple):
    """Orthonormal `vectors` of shape (n_columns, n_vectors), and singular `values`, largest first."""

    vectors: np.ndarray
    values: np.ndarray


def leading_vectors(
    rows: "RowProducts", n_vectors: int, n_iter: int, random_state: np.random.RandomState
) -> RightVectors:
    """Find the leading right singular vectors of the rows by subspace iteration.

    Parameters
    ----------
    rows : RowProducts
        Rows.
    n_vectors : int
        Number of vectors, at most the number of rows and of columns.
    n_iter : int
        Number of power iterations before the last pass over the rows. Each reduces the error by the squared ratio of
        the first singular value left out to the last one included.
    random_state : RandomState
        Draws the initial vectors.

    Returns
    -------
    found : RightVectors
        Vectors in float32; the entry of largest magnitude of each is positive.

    Notes
    -----
    Subspace iteration [1]_. With at most as many rows as columns, Q <- orth(X X' Q) iterates on vectors of length
    n_rows, otherwise B <- orth(X' X B) on vectors of length n_columns, where every step is a sum over rows. Both start
    from the same random numbers per column, take the same number of products, and find the best approximation in the
    span of (X' X)^(n_iter + 1) times the initial vectors. Up to rounding, the result therefore depends neither on this
    choice nor on the order of the rows. Vectors of singular values that are zero are zero.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. Tropp (2011). Finding structure with randomness:
       probabilistic algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2).
    """
    start = draw_start(rows.n_columns, n_vectors, random_state)
    if rows.n_rows > rows.n_columns:
        state: SubspaceIteration | RightVectors = SubspaceIteration(start, n_iter)
        while isinstance(state, SubspaceIteration):
            state = state.advance(rows.rmatmul(rows.matmul(state.basis)))
        return state
    basis = orthonormal(rows.matmul(start))
    for _ in range(n_iter):
        basis = orthonormal(rows.matmul(rows.rmatmul(basis)))
    image = rows.rmatmul(basis)
    squares, rotation = linalg.eigh(image.T @ image)  # squared singular values within the subspace
    squares, rotation = np.maximum(squares[::-1], 0), np.ascontiguousarray(rotation[:, ::-1])
    values = np.sqrt(squares)
    vectors = image @ rotation
    is_zero = values <= np.finfo(np.float32).eps * len(values) * values[0]
    vectors /= np.where(is_zero, 1, values)
    vectors[:, is_zero] = 0
    return _to_vectors(vectors, values)


class SubspaceIteration(NamedTuple):
    """State of the iteration B <- orth(X' X B), for rows X that may be divided among several machines."""

    basis: np.ndarray  # B, (n_columns, n_vectors)
    n_left: int  # steps before the vectors are computed

    def advance(self, image: np.ndarray) -> "SubspaceIteration | RightVectors":
        """Return the next state, or after the last step the leading vectors, given the image X' X B."""
        if self.n_left:
            return SubspaceIteration(orthonormal(image), self.n_left - 1)
        rotation, values = best_rotation(inner_products(self.basis, image), inner_products(image, image))
        return _to_vectors(image @ rotation, values)


def draw_start(n_columns: int, n_vectors: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return the initial vectors of the iteration, float32 of shape (n_columns, n_vectors)."""
    return random_state.normal(size=(n_columns, n_vectors)).astype(np.float32)


def inner_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left.T @ right of tall matrices, summed in float64."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for begin in range(0, len(left), _BLOCK_ROWS):
        block = slice(begin, begin + _BLOCK_ROWS)
        total += left[block].astype(np.float64).T @ right[block].astype(np.float64)
    return total


def best_rotation(basis_image: np.ndarray, image_image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the singular vectors in the span of an image Z = X' X B.

    Parameters
    ----------
    basis_image : ndarray of float64 of shape (n_vectors, n_vectors)
        B' Z.
    image_image : ndarray of float64 of shape (n_vectors, n_vectors)
        Z' Z.

    Returns
    -------
    rotation : ndarray of float32 of shape (n_vectors, n_vectors)
        Z @ rotation are right singular vectors; its columns are zero for singular values of zero.
    values : ndarray of float64 of shape (n_vectors,)
        Singular values, largest first.

    Notes
    -----
    Q = X B (B' Z)^(-1/2) is orthonormal and X' Q = Z (B' Z)^(-1/2), so the Gram matrix of X' Q, whose eigenvalues are
    the squared singular values, follows from the two products. B' Z is first scaled to a unit diagonal: the errors of
    its columns are proportional to their lengths, and small columns can then be distinguished from rounding errors.
    """
    eps = np.finfo(np.float32).eps * len(basis_image)
    squares = np.diag(basis_image)
    is_there = squares > eps**2 * squares.max()
    scale = np.where(is_there, 1 / np.sqrt(np.where(is_there, squares, 1)), 0)
    lengths, axes = linalg.eigh((basis_image + basis_image.T) / 2 * scale * scale[:, None])
    is_there = lengths > eps * lengths[-1]
    whitening = scale[:, None] * np.where(is_there, axes / np.sqrt(np.where(is_there, lengths, 1)), 0)
    gram = whitening.T @ image_image @ whitening
    squares, rotation = linalg.eigh((gram + gram.T) / 2)
    values = np.sqrt(np.maximum(squares[::-1], 0))
    is_zero = values <= eps * values[0]
    rotation = np.where(is_zero, 0, whitening @ rotation[:, ::-1] / np.where(is_zero, 1, values))
    return rotation.astype(np.float32), np.where(is_zero, 0, values)


def _to_vectors(vectors: np.ndarray, values: np.ndarray) -> RightVectors:
    """Return the vectors in float32 with fixed signs."""
    return RightVectors(np.ascontiguousarray(fix_signs(vectors), np.float32), values.astype(np.float32))


class RowProducts:
    """Products with sparse rows X, preceded by a summary of earlier rows.

    The summary represents the rows ``values[:, None] * vectors.T``.
    """

    def __init__(self, rows: sparse.csr_matrix, before: RightVectors | None = None) -> None:
        self._rows = rows
        self._before = before
        self.n_rows = rows.shape[0] + (0 if before is None else len(before.values))
        self.n_columns = rows.shape[1]

    def matmul(self, right: np.ndarray) -> np.ndarray:
        """Return X @ right."""
        product = self._rows @ right
        if self._before is None:
            return product
        return np.concatenate([product, self._before.values[:, None] * (self._before.vectors.T @ right)])

    def rmatmul(self, right: np.ndarray) -> np.ndarray:
        """Return X.T @ right."""
        if self._before is None:
            return self._rows.T @ right
        n_new = self._rows.shape[0]
        return self._rows.T @ right[:n_new] + self._before.vectors @ (self._before.values[:, None] * right[n_new:])
