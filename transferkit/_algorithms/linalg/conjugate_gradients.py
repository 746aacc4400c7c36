"""Symmetric positive definite systems solved by conjugate gradients, all right-hand sides at once."""

from collections.abc import Callable

import numpy as np

__all__ = ["conjugate_gradients"]


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
