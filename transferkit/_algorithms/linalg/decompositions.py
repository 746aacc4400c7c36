"""Leading singular vectors and eigenvectors of sparse matrices, and orthonormal, unit and signed columns and rows.

Both are found in block Krylov spaces from random vectors.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.krylov import KrylovSpace
from transferkit._algorithms.linalg.threads import Map, multiply_slices, slice_rows

__all__ = [
    "BLOCK_SHARE",
    "N_STEPS",
    "SMALL",
    "RightVectors",
    "RowProducts",
    "drop_rounding",
    "fix_signs",
    "leading_eigenvectors",
    "leading_vectors",
    "orthonormal",
    "right_vectors",
    "start_row_space",
    "unit_rows",
]

_ROUNDING = 10 * np.finfo(np.float32).eps  # relative length of a row
_N_SPARE = 10  # oversampling: additional vectors, for the accuracy of the last ones requested
_NOISE = 1e-6  # relative eigenvalue that may be a rounding error
_WIDTH = 0.5  # of blocks of the Krylov space of rows, relative to the number of vectors
SMALL = 1024  # rows of a symmetric matrix, up to which the dense decomposition is faster
N_STEPS = 12  # of block Lanczos
BLOCK_SHARE = 0.35  # width of its blocks, relative to n_vectors


class RightVectors(NamedTuple):
    """Orthonormal `vectors` of shape (n_columns, n_vectors), and singular `values`, largest first."""

    vectors: np.ndarray
    values: np.ndarray


def leading_vectors(
    rows: "RowProducts",
    n_vectors: int,
    n_iter: int,
    random_state: np.random.RandomState,
    run: Map = map,
    on_iteration: Callable[[], object] = lambda: None,
) -> RightVectors:
    """Find the leading right singular vectors of the rows in a block Krylov space [1]_, float32, signed by `fix_signs`.

    There can be at most as many as rows and as columns. Each of `n_iter` power iterations before the last pass over the
    rows adds a block to the space. All blocks contribute to the vectors, unlike in subspace iteration, which only keeps
    the last one, so that narrower blocks find better vectors. Where the blocks would fill the full space, the
    decomposition is exact.

    With at most as many rows as columns, the space is that of X X', from X G with random G, otherwise that of X' X,
    from G, where every step is a sum over rows. Both start from the same random numbers per column, and find the best
    approximation in the span of X' X G, (X' X)^2 G, ..., (X' X)^(n_iter + 1) G. Up to rounding, the result therefore
    depends neither on this choice nor on the order of the rows. Vectors of singular values that are zero are zero.
    `run` maps a function over slices; give BLAS one thread, which is faster for products of slices. `on_iteration` is
    called after each block, of which there are at most `n_iter` + 1.

    References
    ----------
    .. [1] C. Musco, C. Musco (2015). Randomized block Krylov methods for stronger and faster
       approximate singular value decomposition. NeurIPS 28.
    """
    if rows.n_rows > rows.n_columns:
        space = start_row_space(rows.n_columns, n_vectors, n_iter, random_state, run)
        _complete(space, n_vectors, lambda block: rows.rmatmul(rows.matmul(block)), on_iteration)
        return right_vectors(space, n_vectors)
    width, n_blocks = _shape_blocks(rows.n_rows, n_vectors, n_iter)
    is_full = width == rows.n_rows
    start = _identity(width) if is_full else rows.matmul(_draw(rows.n_columns, width, random_state))
    space = KrylovSpace(start, n_blocks, random_state, run)
    _complete(space, n_vectors, lambda block: rows.matmul(rows.rmatmul(block)), on_iteration)
    image = rows.rmatmul(space.leading(n_vectors)[1])
    squares, rotation = linalg.eigh(image.T @ image)  # squared singular values within the subspace
    squares, rotation = np.maximum(squares[::-1], 0), np.ascontiguousarray(rotation[:, ::-1])
    values = np.sqrt(squares)
    vectors = image @ rotation
    is_zero = values <= np.finfo(np.float32).eps * len(values) * values[0]
    vectors /= np.where(is_zero, 1, values)
    vectors[:, is_zero] = 0
    return _to_vectors(vectors, values)


def start_row_space(
    n_columns: int, n_vectors: int, n_iter: int, random_state: np.random.RandomState, run: Map = map
) -> KrylovSpace:
    """Return the space of X' X in which `leading_vectors` searches, for rows X that may be divided among machines."""
    width, n_blocks = _shape_blocks(n_columns, n_vectors, n_iter)
    start = _identity(width) if width == n_columns else _draw(n_columns, width, random_state)
    return KrylovSpace(start, n_blocks, random_state, run)


def right_vectors(space: KrylovSpace, n_vectors: int) -> RightVectors:
    """Return the leading right singular vectors of rows X, given the complete Krylov space of X' X.

    With its basis K, T = K' X' X K = W L W' and the rest R of the last image, Q = X K W L^(-1/2) is orthonormal and
    X' Q = (K T + [0, R]) W L^(-1/2). The eigenvalues of the Gram matrix of X' Q are the squared singular values, and
    its eigenvectors rotate X' Q to right singular vectors. Eigenvalues in L that may be rounding errors are left out.
    """
    lengths, axes = linalg.eigh(space.projected)
    is_there = lengths > _NOISE * lengths[-1]
    lengths, axes = lengths[is_there], axes[:, is_there]
    rest, ends = space.rest, axes[-space.width :] / np.sqrt(lengths)
    gram = np.diag(lengths) + ends.T @ (rest.T @ rest) @ ends
    wanted = [max(0, len(gram) - n_vectors), len(gram) - 1]
    squares, rotation = linalg.eigh(gram, subset_by_index=wanted) if len(gram) else (lengths, gram)
    values = np.sqrt(squares[::-1])
    rotation = rotation[:, ::-1] / values
    vectors = space.combine(axes * np.sqrt(lengths) @ rotation) + rest @ (ends @ rotation).astype(np.float32)
    missing = n_vectors - len(values)
    return _to_vectors(np.pad(vectors, [(0, 0), (0, missing)]), np.pad(values, (0, missing)))


def _shape_blocks(size: int, n_vectors: int, n_iter: int) -> tuple[int, int]:
    """Return the width and the number of the blocks of a Krylov space; one block if they would fill the full space."""
    width = int(np.ceil(max(_WIDTH, 1 / (n_iter + 1)) * (n_vectors + _N_SPARE)))
    n_blocks = n_iter + 1
    return (size, 1) if size <= width * n_blocks else (width, n_blocks)


def _draw(n_columns: int, width: int, random_state: np.random.RandomState) -> np.ndarray:
    return random_state.normal(size=(n_columns, width)).astype(np.float32)


def _identity(size: int) -> np.ndarray:
    return np.eye(size, dtype=np.float32)


def _complete(
    space: KrylovSpace,
    n_vectors: int,
    multiply: Callable[[np.ndarray], np.ndarray],
    on_iteration: Callable[[], object],
) -> None:
    """Add all blocks; `multiply` gets at most as many columns at a time as there will be vectors, to save memory."""
    while not space.is_complete:
        block = space.block
        parts = [multiply(block[:, begin : begin + n_vectors]) for begin in range(0, space.width, n_vectors)]
        space.add(np.concatenate(parts, axis=1))
        on_iteration()


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
    matrix: sparse.csr_array,
    n_vectors: int,
    random_state: np.random.RandomState,
    run: Map = map,
    on_iteration: Callable[[], object] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the eigenvectors of a symmetric float32 matrix whose eigenvalues are largest in magnitude.

    Return orthonormal columns (n, n_vectors), or n of them if n is smaller, signed by `fix_signs`, and their
    eigenvalues, largest magnitude first, both float32. `run` maps a function over slices of the rows, and
    `on_iteration` is called after each of at most `N_STEPS` products with the matrix.

    Block Lanczos [1]_: the Krylov blocks X, M X, M^2 X and so on are orthonormalised one after the other, and the
    matrix is diagonalised in the space they span. Memory for ``4.2 * n * n_vectors`` float32 numbers is needed.

    References
    ----------
    .. [1] C. Musco, C. Musco (2015). Randomized block Krylov methods for stronger and faster
       approximate singular value decomposition. NeurIPS 28.
    """
    n_rows = matrix.shape[0]
    if n_rows <= max(SMALL, 5 * n_vectors):  # the Krylov space must be smaller than the full space
        values, vectors = linalg.eigh(matrix.toarray().astype(np.float64))
    else:
        values, vectors = _decompose_in_krylov_space(matrix, n_vectors, random_state, run, on_iteration)
    order = np.argsort(-np.abs(values), kind="stable")[:n_vectors]
    values, vectors = values[order], vectors[:, order]
    return np.ascontiguousarray(fix_signs(vectors), np.float32), values.astype(np.float32)


def _decompose_in_krylov_space(
    matrix: sparse.csr_array,
    n_vectors: int,
    random_state: np.random.RandomState,
    run: Map,
    on_iteration: Callable[[], object],
) -> tuple[np.ndarray, np.ndarray]:
    width = int(np.ceil(BLOCK_SHARE * n_vectors))
    slices = slice_rows(matrix)
    start = random_state.standard_normal((matrix.shape[0], width)).astype(np.float32)
    space = KrylovSpace(multiply_slices(slices, start, run), N_STEPS, random_state, run)
    while not space.is_complete:
        space.add(multiply_slices(slices, space.block, run))
        on_iteration()
    return space.leading(n_vectors)


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
