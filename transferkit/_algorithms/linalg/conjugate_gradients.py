"""Symmetric positive definite systems solved by conjugate gradients, all right-hand sides at once."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.threads import Map, multiply_slices, slice_rows

__all__ = ["conjugate_gradients", "ridge_by_conjugate_gradients"]


def conjugate_gradients(
    multiply: Callable[[np.ndarray], np.ndarray], right: np.ndarray, n_steps: int, *, tol: float = 0.0
) -> tuple[np.ndarray, bool]:
    """Solve A X = B by the method of conjugate gradients [1]_; return X, and whether every column reached `tol`.

    `multiply` returns A @ V for V of shape (n, n_columns), where A is symmetric and positive definite. `right` is B,
    each column of which is a separate system; it is overwritten with the residual B - A X. The iteration stops when the
    residual of every column is at most the share `tol` of its length at the start.

    References
    ----------
    .. [1] M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of Research
       of the National Bureau of Standards 49 (1952), 409-436.
    """
    residual = right
    solution, direction = np.zeros_like(residual), residual.copy()
    squares = np.einsum("ij,ij->j", residual, residual)
    small = np.float64(tol) ** 2 * squares
    for _ in range(n_steps):
        if (squares <= small).all():
            break
        image = multiply(direction)
        curvature = np.einsum("ij,ij->j", direction, image)
        length = squares / np.where(curvature > 0, curvature, 1)
        solution += length * direction
        residual -= length * image
        before, squares = squares, np.einsum("ij,ij->j", residual, residual)
        direction *= squares / np.where(before > 0, before, 1)
        direction += residual
    return solution, bool((squares <= small).all())


def ridge_by_conjugate_gradients(
    rows: sparse.csr_array, right: np.ndarray, ridge: float, max_iter: int, tol: float = 0.0, run: Map = map
) -> tuple[np.ndarray, bool]:
    """Solve (S' S + ridge I) W = B; return W, and whether every column reached `tol`.

    `rows` are S, `right` is B, which is overwritten. `run` may multiply slices of the rows in threads; the result does
    not depend on their number.
    """
    forward, backward = slice_rows(rows), slice_rows(sparse.csr_array(rows.T))

    def multiply(direction: np.ndarray) -> np.ndarray:
        image = multiply_slices(backward, multiply_slices(forward, direction, run), run)
        image += np.float32(ridge) * direction
        return image

    return conjugate_gradients(multiply, right, max_iter, tol=tol)
