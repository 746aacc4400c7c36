"""Krylov spaces of symmetric matrices, built block by block from products with them (block Lanczos)."""

import numpy as np
from scipy import linalg

from transferkit._algorithms.linalg.threads import Map, TallProducts

__all__ = ["KrylovSpace"]

_KEPT = 0.7  # length of a unit column after a projection; below, it is orthogonalised once more
_WEAK = 1e-2  # relative length of a column below which Cholesky factors of float32 products are inaccurate


class KrylovSpace:
    """Orthonormal basis of the span of B, M B, M^2 B and so on for a symmetric matrix M, float32.

    `block` holds the columns to multiply by M next, and `add` takes their image. Columns are orthonormalised by
    Cholesky factors of their Gram matrix (CholeskyQR [1]_), and again after projecting out earlier blocks.

    Attributes
    ----------
    basis : ndarray of shape (n, width * n_blocks), float32
        Orthonormal columns K; those of blocks that are still missing are not set.
    projected : ndarray of shape (width * n_blocks, width * n_blocks)
        K' M K; zero for blocks without an image.
    rest : ndarray of shape (n, width), float32
        Part of the image of the last block that is orthogonal to the basis: M K = K (K' M K) + [0, rest].
    is_complete : bool
        Whether all blocks have an image.

    References
    ----------
    .. [1] Y. Yamamoto, Y. Nakatsukasa, Y. Yanagisawa, T. Fukaya (2015). Roundoff error analysis of the CholeskyQR2
       algorithm. Electronic Transactions on Numerical Analysis 44, 306-326.
    """

    def __init__(self, start: np.ndarray, n_blocks: int, random_state: np.random.RandomState, run: Map = map) -> None:
        n_rows, self.width = start.shape
        size = self.width * n_blocks
        self.basis = np.empty((n_rows, size), np.float32, order="F")  # a block of columns is contiguous
        self.projected = np.zeros((size, size))
        self.rest, self.is_complete = np.empty((n_rows, 0), np.float32), False
        self._random_state, self._tall, self._begin = random_state, TallProducts(n_rows, run), 0
        self.basis[:, : self.width] = _orthonormal(start, 0.0, random_state, self._tall)

    @property
    def block(self) -> np.ndarray:
        """The last block of the basis, in C order."""
        return np.ascontiguousarray(self.basis[:, self._begin : self._begin + self.width])

    def add(self, image: np.ndarray) -> None:
        """Take the image of the last block, and find the next block."""
        begin, end = self._begin, self._begin + self.width
        diagonal = self._tall.inner(self.basis[:, begin:end], image)
        self.projected[begin:end, begin:end] = (diagonal + diagonal.T) / 2
        if end == len(self.projected):
            self.rest, self.is_complete = image.copy(), True
            self._tall.orthogonalise(self.rest, self.basis)
            return
        following = slice(end, end + self.width)
        self.basis[:, following] = block = self._next_block(image.copy(), self.basis[:, :end])
        self.projected[following, begin:end] = coupling = self._tall.inner(block, image)
        self.projected[begin:end, following] = coupling.T
        self._begin = end

    def leading(self, n_vectors: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the eigenvalues of largest magnitude of K' M K, largest first, and their vectors in the basis."""
        values, rotation = linalg.eigh(self.projected)
        order = np.argsort(-np.abs(values), kind="stable")[:n_vectors]
        return values[order], self.combine(rotation[:, order])

    def combine(self, rotation: np.ndarray) -> np.ndarray:
        """Return the product of the basis and a matrix."""
        return self._tall.matmul(self.basis, rotation.astype(np.float32))

    def _next_block(self, block: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the image of the last block (overwritten), orthonormalised against known columns."""
        random_state, tall = self._random_state, self._tall
        scale = float(np.linalg.norm(block, axis=0).max())
        tall.orthogonalise(block, known[:, -2 * self.width :])  # but for rounding, it has no part along earlier blocks
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
