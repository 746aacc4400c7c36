"""Leading singular vectors and eigenvectors of sparse matrices, and orthonormal, unit and signed columns and rows.

Right singular vectors of rows are found by randomised subspace iteration, eigenvectors of symmetric matrices by block
Lanczos.
"""

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.threads import Map, TallProducts, multiply_slices, slice_rows

__all__ = [
    "BLOCK_SHARE",
    "N_SPARE",
    "N_STEPS",
    "SMALL",
    "RightVectors",
    "RowProducts",
    "SubspaceIteration",
    "draw_start",
    "drop_rounding",
    "fix_signs",
    "leading_eigenvectors",
    "leading_vectors",
    "orthonormal",
    "unit_rows",
]

_BLOCK_ROWS = 8192  # converted to float64 at a time
_ROUNDING = 10 * np.finfo(np.float32).eps  # relative length of a row
N_SPARE = 10  # oversampling: additional vectors, for the accuracy of the last ones requested
SMALL = 1024  # rows of a symmetric matrix, up to which the dense decomposition is faster
N_STEPS = 12  # of block Lanczos
BLOCK_SHARE = 0.35  # width of its blocks, relative to n_vectors
_KEPT = 0.7  # length of a unit column after a projection; below, it is orthogonalised once more
_WEAK = 1e-2  # relative length of a column below which Cholesky factors of float32 products are inaccurate


class RightVectors(NamedTuple):
    """Orthonormal `vectors` of shape (n_columns, n_vectors), and singular `values`, largest first."""

    vectors: np.ndarray
    values: np.ndarray


def leading_vectors(
    rows: "RowProducts", n_vectors: int, n_iter: int, random_state: np.random.RandomState
) -> RightVectors:
    """Find the leading right singular vectors of the rows by subspace iteration [1]_, float32, signed by `fix_signs`.

    There can be at most as many as rows and as columns. Each of `n_iter` power iterations before the last pass over the
    rows reduces the error by the squared ratio of the first singular value left out to the last one included.

    With at most as many rows as columns, Q <- orth(X X' Q) iterates on vectors of length n_rows, otherwise
    B <- orth(X' X B) on vectors of length n_columns, where every step is a sum over rows. Both start from the same
    random numbers per column, take the same number of products, and find the best approximation in the span of
    (X' X)^(n_iter + 1) times the initial vectors. Up to rounding, the result therefore depends neither on this choice
    nor on the order of the rows. Vectors of singular values that are zero are zero.

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
    """Find the singular vectors in the span of an image Z = X' X B, given B' Z and Z' Z in float64.

    Return a float32 matrix R such that Z @ R are right singular vectors (zero for singular values of zero), and the
    singular values, largest first.

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


def leading_eigenvectors(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, run: Map = map
) -> tuple[np.ndarray, np.ndarray]:
    """Find the eigenvectors of a symmetric float32 matrix whose eigenvalues are largest in magnitude.

    Return orthonormal columns (n, n_vectors), or n of them if n is smaller, signed by `fix_signs`, and their
    eigenvalues, largest magnitude first, both float32. `run` maps a function over slices of the rows.

    Block Lanczos [1]_: the Krylov blocks X, M X, M^2 X and so on are orthonormalised one after the other, and the
    matrix is diagonalised in the space they span. A few wide blocks suffice, because all products contribute, unlike in
    subspace iteration, which only keeps the last one. Columns are orthonormalised by Cholesky factors of their Gram
    matrix (CholeskyQR [2]_), and again after projecting out earlier blocks. Memory for ``4.2 * n * n_vectors`` float32
    numbers is needed.

    References
    ----------
    .. [1] C. Musco, C. Musco (2015). Randomized block Krylov methods for stronger and faster
       approximate singular value decomposition. NeurIPS 28.
    .. [2] Y. Yamamoto, Y. Nakatsukasa, Y. Yanagisawa, T. Fukaya (2015). Roundoff error analysis of the CholeskyQR2
       algorithm. Electronic Transactions on Numerical Analysis 44, 306-326.
    """
    n_rows = matrix.shape[0]
    if n_rows <= max(SMALL, 5 * n_vectors):  # the Krylov space must be smaller than the full space
        values, vectors = linalg.eigh(matrix.toarray().astype(np.float64))
    else:
        values, vectors = _decompose_in_krylov_space(matrix, n_vectors, random_state, run)
    order = np.argsort(-np.abs(values), kind="stable")[:n_vectors]
    values, vectors = values[order], vectors[:, order]
    return np.ascontiguousarray(fix_signs(vectors), np.float32), values.astype(np.float32)


def _decompose_in_krylov_space(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, run: Map
) -> tuple[np.ndarray, np.ndarray]:
    width = int(np.ceil(BLOCK_SHARE * n_vectors))
    n_rows, size = matrix.shape[0], width * N_STEPS
    slices, tall = slice_rows(matrix), TallProducts(n_rows, run)
    basis = np.empty((n_rows, size), np.float32, order="F")  # a block of columns is contiguous
    projected = np.zeros((size, size))  # its lower triangle; blocks further from the diagonal are zero
    start = random_state.standard_normal((n_rows, width)).astype(np.float32)
    basis[:, :width] = _orthonormal(multiply_slices(slices, start, run), 0.0, random_state, tall)
    for step in range(N_STEPS):
        begin, end = step * width, (step + 1) * width
        image = multiply_slices(slices, np.ascontiguousarray(basis[:, begin:end]), run)
        projected[begin:end, begin:end] = tall.inner(basis[:, begin:end], image)
        if step == N_STEPS - 1:
            break
        residual = image.copy()
        basis[:, end : end + width] = block = _next_block(residual, basis[:, :end], width, random_state, tall)
        projected[end : end + width, begin:end] = tall.inner(block, image)
    values, rotation = linalg.eigh(projected, lower=True)
    order = np.argsort(-np.abs(values), kind="stable")[:n_vectors]
    return values[order], tall.matmul(basis, rotation[:, order].astype(np.float32))


def _next_block(
    block: np.ndarray, known: np.ndarray, width: int, random_state: np.random.RandomState, tall: TallProducts
) -> np.ndarray:
    """Return the next Krylov block: the image of the last one (overwritten), orthonormalised against known columns."""
    scale = float(np.linalg.norm(block, axis=0).max())
    tall.orthogonalise(block, known[:, -2 * width :])  # without rounding errors, it has no part along earlier blocks
    block = _orthonormal(block, scale, random_state, tall)
    tall.orthogonalise(block, known)  # rounding errors leave components along all of them
    if np.linalg.norm(block, axis=0).min() < _KEPT:
        block = _orthonormal(block, 1.0, random_state, tall)
        tall.orthogonalise(block, known)
    return _orthonormal(block, 1.0, random_state, tall)


def _orthonormal(
    columns: np.ndarray, scale: float, random_state: np.random.RandomState, tall: TallProducts
) -> np.ndarray:
    """Return an orthonormal basis of the columns; random directions replace those that vanish relative to `scale`."""
    try:
        factor = linalg.cholesky(tall.inner(columns, columns))
        if np.diag(factor).min() > _WEAK * max(scale, float(np.diag(factor).max())):  # as accurate as QR, and faster
            inverse = linalg.solve_triangular(factor, np.eye(len(factor), dtype=np.float32), check_finite=False)
            return tall.matmul(columns, inverse)
    except linalg.LinAlgError:
        pass
    block, triangle = linalg.qr(columns, mode="economic", check_finite=False)
    weak = np.abs(np.diag(triangle)) <= 100 * np.finfo(np.float32).eps * scale
    if weak.any():  # all eigenvectors are found: any directions will do
        block[:, weak] = random_state.standard_normal((len(block), int(weak.sum()))) / np.sqrt(len(block))
        block = linalg.qr(block, mode="economic", check_finite=False)[0]
    return np.ascontiguousarray(block)


def unit_rows(rows: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the rows divided by their Euclidean lengths; rows of zeros stay as they are."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    lengths[lengths == 0] = 1
    return np.divide(rows, lengths[:, None], out=out)


def fix_signs(vectors: np.ndarray) -> np.ndarray:
    """Return the columns, each multiplied by -1 where its entry of largest magnitude is negative.

    Eigenvectors and singular vectors are only determined up to sign. This rule makes results independent of the
    solver.
    """
    largest = np.abs(vectors).argmax(axis=0)
    is_negative = vectors[largest, np.arange(vectors.shape[1])] < 0
    return vectors * np.where(is_negative, -1, 1).astype(vectors.dtype)


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """Return the orthonormal factor Q of the QR decomposition whose R has a non-negative diagonal.

    `columns`, of shape (n_rows, n_columns) with n_columns <= n_rows, are overwritten.
    """
    basis, triangle = linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)
    basis *= np.where(np.diag(triangle) < 0, -1, 1).astype(basis.dtype)
    return basis


def drop_rounding(rows: np.ndarray, scale: np.ndarray | float | None = None) -> np.ndarray:
    """Return the rows (float32) with zeros in place of those that consist of rounding errors only.

    `scale` is the length of the vectors that each row was computed from; None for the length of the longest row. The
    result is the array itself if there is no such row.
    """
    lengths = np.linalg.norm(rows, axis=1)
    is_rounding = lengths <= _ROUNDING * (lengths.max(initial=0) if scale is None else scale)
    return np.where(is_rounding[:, None], np.float32(0), rows) if is_rounding.any() else rows
