"""Leading eigenvectors of large sparse symmetric matrices, by block Lanczos."""

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.normalisation import fix_signs
from transferkit._algorithms.linalg.sparse_products import Map, TallProducts, multiply_slices, slice_rows

__all__ = ["BLOCK_SHARE", "N_STEPS", "SMALL", "leading_eigenvectors"]

SMALL = 1024  # up to this many rows, the dense decomposition is faster
N_STEPS = 12
BLOCK_SHARE = 0.35  # width of a block, relative to n_vectors
_KEPT = 0.7  # length of a unit column after a projection; below, it is orthogonalised once more
_WEAK = 1e-2  # relative length of a column below which Cholesky factors of float32 products are inaccurate


def leading_eigenvectors(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, run: Map = map
) -> tuple[np.ndarray, np.ndarray]:
    """Find the eigenvectors whose eigenvalues are largest in magnitude.

    Parameters
    ----------
    matrix : CSR array of float32 of shape (n, n)
        Symmetric.
    n_vectors : int
        Number of eigenvectors; n are returned if n is smaller.
    random_state : RandomState
        Draws the initial block.
    run : callable, default=map
        Maps a function over slices of the rows.

    Returns
    -------
    vectors : ndarray of float32 of shape (n, n_vectors)
        Orthonormal columns; the entry of largest magnitude of each is positive.
    values : ndarray of float32 of shape (n_vectors,)
        Eigenvalues, largest magnitude first.

    Notes
    -----
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
