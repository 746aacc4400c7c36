"""Standard forms of vectors: rows of unit length, columns of a fixed sign, orthonormal columns."""

import numpy as np
from scipy import linalg

__all__ = ["fix_signs", "orthonormal", "unit_rows"]


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
