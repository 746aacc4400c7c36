"""Leading right singular vectors of sparse rows."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.normalisation import fix_signs, orthonormal

_BLOCK_ROWS = 8192  # that are float64 at a time
N_SPARE = 10  # vectors beyond those asked for, which make the last ones asked for accurate


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
    With fewer rows than columns the iteration Q <- orth(X X' Q) runs on the side of the rows, else B <- orth(X' X B) on
    that of the columns, where every step is a sum over rows. Both start from the same numbers for each column and take
    as many products, and both find the best approximation in the span of (X' X)^(n_iter + 1) times the start: but for
    rounding, the result depends neither on the side nor on the order of the rows. Vectors of singular values that are
    zero are zero.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. Tropp (2011). Finding structure with randomness:
       probabilistic algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2).
    """
    start = draw_start(rows.n_columns, n_vectors, random_state)
    if rows.n_rows > rows.n_columns:
        basis, image = start, rows.transposed_times(rows.times(start))
        for _ in range(n_iter):
            basis = orthonormal(image)
            image = rows.transposed_times(rows.times(basis))
        rotation, values = best_rotation(inner_products(basis, image), inner_products(image, image))
        return _to_vectors(image @ rotation, values)
    basis = orthonormal(rows.times(start))
    for _ in range(n_iter):
        basis = orthonormal(rows.times(rows.transposed_times(basis)))
    image = rows.transposed_times(basis)
    squares, rotation = linalg.eigh(image.T @ image)  # squared singular values within the subspace
    squares, rotation = np.maximum(squares[::-1], 0), np.ascontiguousarray(rotation[:, ::-1])
    values = np.sqrt(squares)
    vectors = image @ rotation
    is_zero = values <= np.finfo(np.float32).eps * len(values) * values[0]
    vectors /= np.where(is_zero, 1, values)
    vectors[:, is_zero] = 0
    return _to_vectors(vectors, values)


def draw_start(n_columns: int, n_vectors: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return the numbers that the iteration starts from, float32 of shape (n_columns, n_vectors)."""
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
        Z times this are right singular vectors; columns of zeros stand for singular values of zero.
    values : ndarray of float64 of shape (n_vectors,)
        Singular values, largest first.

    Notes
    -----
    Q = X B (B' Z)^(-1/2) is orthonormal and X' Q = Z (B' Z)^(-1/2), so the Gram matrix of X' Q, whose eigenvalues are
    the squares sought, needs nothing but the two products. B' Z is first brought to a diagonal of ones: its columns
    are accurate each in proportion to its own length, and what is small is then told from what is rounding.
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
    """Return them in float32, the largest entry of each positive."""
    return RightVectors(np.ascontiguousarray(fix_signs(vectors), np.float32), values.astype(np.float32))


def vectors_of_image(basis: np.ndarray, image: np.ndarray) -> RightVectors:
    """Return the leading right singular vectors of rows X in the span of the image X' X B of a basis B."""
    rotation, values = best_rotation(inner_products(basis, image), inner_products(image, image))
    return _to_vectors(image @ rotation, values)


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
