"""Leading eigenvectors of a large sparse symmetric matrix."""

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.normalisation import fix_signs
from transferkit._algorithms.linalg.sparse_products import Map, TallProducts, slice_rows, times

SMALL = 1024  # up to this many rows, the dense decomposition is the faster one
N_STEPS = 12
BLOCK_SHARE = 0.35  # of the vectors asked for
_KEPT = 0.7  # of a column's length; when less is left, rounding is a large part of it
_WEAK = 1e-2  # relative length of a column below which squares of float32 numbers tell too little about it


def leading_eigenvectors(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, run: Map = map
) -> tuple[np.ndarray, np.ndarray]:
    """Find the eigenvectors whose eigenvalues are largest in size.

    Parameters
    ----------
    matrix : CSR array of float32 of shape (n, n)
        Symmetric.
    n_vectors : int
        How many; fewer are returned where n is smaller.
    random_state : RandomState
        Draws the start.
    run : callable, default=map
        Maps a function over slices of the rows.

    Returns
    -------
    vectors : ndarray of float32 of shape (n, n_vectors)
        Orthonormal columns, of each the entry of largest size positive.
    values : ndarray of float32 of shape (n_vectors,)
        Eigenvalues, largest size first.

    Notes
    -----
    Block Lanczos: blocks X, M X, M M X ... are made orthonormal, each to all before it, and the matrix is diagonalised
    in the space that they span. A few wide blocks suffice, because all products count, unlike in subspace
    iteration, which keeps the last one. Columns are made orthonormal by Cholesky factors of their Gram matrix [2]_,
    and once more after the earlier blocks were taken out. Needs ``4.2 * n * n_vectors`` float32 numbers.

    References
    ----------
    .. [1] C. Musco, C. Musco (2015). Randomized block Krylov methods for stronger and faster
       approximate singular value decomposition. NeurIPS 28.
    .. [2] Y. Yamamoto, Y. Nakatsukasa, Y. Yanagisawa, T. Fukaya (2015). Roundoff error analysis of the CholeskyQR2
       algorithm. Electronic Transactions on Numerical Analysis 44, 306-326.
    """
    n_rows = matrix.shape[0]
    if n_rows <= max(SMALL, 5 * n_vectors):  # the space below must be smaller than the whole
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
    basis[:, :width] = _orthonormal(times(slices, start, run), 0.0, random_state, tall)
    for step in range(N_STEPS):
        begin, end = step * width, (step + 1) * width
        image = times(slices, np.ascontiguousarray(basis[:, begin:end]), run)
        projected[begin:end, begin:end] = tall.inner(basis[:, begin:end], image)
        if step == N_STEPS - 1:
            break
        residual = image.copy()
        basis[:, end : end + width] = block = _next_block(residual, basis[:, :end], width, random_state, tall)
        projected[end : end + width, begin:end] = tall.inner(block, image)
    values, rotation = linalg.eigh(projected, lower=True)
    order = np.argsort(-np.abs(values), kind="stable")[:n_vectors]
    return values[order], tall.times(basis, rotation[:, order].astype(np.float32))


def _next_block(
    block: np.ndarray, known: np.ndarray, width: int, random_state: np.random.RandomState, tall: TallProducts
) -> np.ndarray:
    """Return an orthonormal basis of what the image of the last block (overwritten) adds to known columns."""
    scale = float(np.linalg.norm(block, axis=0).max())
    tall.take_out(block, known[:, -2 * width :])  # but for rounding, the image lies in these blocks and the next
    block = _orthonormal(block, scale, random_state, tall)
    tall.take_out(block, known)  # what rounding left of all the earlier ones
    if np.linalg.norm(block, axis=0).min() < _KEPT:
        block = _orthonormal(block, 1.0, random_state, tall)
        tall.take_out(block, known)
    return _orthonormal(block, 1.0, random_state, tall)


def _orthonormal(
    columns: np.ndarray, scale: float, random_state: np.random.RandomState, tall: TallProducts
) -> np.ndarray:
    """Return an orthonormal basis of the columns, any directions in place of columns that are nil beside `scale`."""
    try:
        factor = linalg.cholesky(tall.inner(columns, columns))
        if np.diag(factor).min() > _WEAK * max(scale, float(np.diag(factor).max())):  # then as good as QR, and faster
            inverse = linalg.solve_triangular(factor, np.eye(len(factor), dtype=np.float32), check_finite=False)
            return tall.times(columns, inverse)
    except linalg.LinAlgError:
        pass
    block, triangle = linalg.qr(columns, mode="economic", check_finite=False)
    weak = np.abs(np.diag(triangle)) <= 100 * np.finfo(np.float32).eps * scale
    if weak.any():  # nothing but rounding is left where all eigenvectors are found: any directions will do
        block[:, weak] = random_state.standard_normal((len(block), int(weak.sum()))) / np.sqrt(len(block))
        block = linalg.qr(block, mode="economic", check_finite=False)[0]
    return np.ascontiguousarray(block)
