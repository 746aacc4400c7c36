"""Ridge regression for many penalties from one eigendecomposition, with exact leave-one-out errors.

Rows and targets are centred by their weighted mean and multiplied by the square roots of the row weights, so that
the problem is ||B W - T||^2 + alpha ||W||^2 and the free intercept has left it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from transferkit._algorithms.feature_blocks import multiply_rows, to_gram, to_kernel

__all__ = ["CentredRows", "Ridge", "decompose", "solve_by_conjugate_gradients"]

CHUNK_ENTRIES = 4_000_000  # entries of a dense block of rows


@dataclass
class CentredRows:
    """The matrix B = sqrt(w) * (X - mean) of weighted, centred rows; sparse X stays sparse."""

    X: Any
    roots: np.ndarray  # (n_rows,), square roots of the weights
    mean: np.ndarray  # (n_columns,)

    def times(self, weights: np.ndarray) -> np.ndarray:
        """Return B @ weights."""
        return self.roots[:, None] * (np.asarray(self.X @ weights) - self.mean @ weights)

    def transposed_times(self, values: np.ndarray) -> np.ndarray:
        """Return B.T @ values."""
        scaled = self.roots[:, None] * values
        return np.asarray(self.X.T @ scaled) - np.outer(self.mean, scaled.sum(0))

    def gram(self) -> np.ndarray:
        """Return B.T @ B."""
        product = to_gram(multiply_rows(self.X, self.roots))
        weights = self.roots**2
        cross = np.outer(np.asarray(self.X.T @ weights), self.mean)
        return product - cross - cross.T + weights.sum() * np.outer(self.mean, self.mean)

    def kernel(self) -> np.ndarray:
        """Return B @ B.T."""
        scaled = multiply_rows(self.X, self.roots)
        product = to_kernel(scaled)
        cross = np.outer(np.asarray(scaled @ self.mean), self.roots)
        return product - cross - cross.T + (self.mean @ self.mean) * np.outer(self.roots, self.roots)

    def blocks(self) -> Iterator[tuple[slice, "CentredRows"]]:
        """Yield blocks of rows small enough to be dense."""
        n_rows, n_columns = self.X.shape
        size = max(1, CHUNK_ENTRIES // max(1, n_columns))
        for begin in range(0, n_rows, size):
            rows = slice(begin, begin + size)
            yield rows, CentredRows(self.X[rows], self.roots[rows], self.mean)


@dataclass
class Ridge:
    """Eigenvectors of the smaller of B.T @ B and B @ B.T, and the targets in them."""

    rows: CentredRows
    vectors: np.ndarray
    spectrum: np.ndarray
    projected: np.ndarray  # (n_vectors, n_outputs)
    is_dual: bool

    def weights(self, alpha: float) -> np.ndarray:
        """Return the weights (n_columns, n_outputs) at a penalty."""
        solution = self.vectors @ (self.projected / (self.spectrum + alpha)[:, None])
        return self.rows.transposed_times(solution) if self.is_dual else solution

    def leverages(self, alphas: np.ndarray) -> np.ndarray:
        """Return the diagonals of B (B.T B + alpha I)^-1 B.T, (n_rows, n_alphas)."""
        if self.is_dual:
            return self.vectors**2 @ (self.spectrum[:, None] / (self.spectrum[:, None] + alphas))
        found = np.empty((len(self.rows.roots), len(alphas)))
        for rows, block in self.rows.blocks():
            found[rows] = block.times(self.vectors) ** 2 @ (1 / (self.spectrum[:, None] + alphas))
        return found

    def leave_one_out_errors(self, targets: np.ndarray, alphas: np.ndarray, has_intercept: bool) -> np.ndarray:
        """Return the weighted mean squared error of each alpha when each row is predicted without itself.

        Parameters
        ----------
        targets : array of shape (n_rows, n_outputs)
            Targets T, centred and multiplied by the roots of the weights.
        alphas : array of shape (n_alphas,)
        has_intercept : bool
            Whether rows were centred, so that each row also has leverage on the intercept.
        """
        weights = self.rows.roots**2
        leverages = self.leverages(alphas)
        if has_intercept:
            leverages = leverages + (weights / weights.sum())[:, None]
        errors = np.empty(len(alphas))
        for i, alpha in enumerate(alphas):
            residuals = targets - self.rows.times(self.weights(alpha))
            left_out = residuals / np.maximum(1 - leverages[:, i], np.finfo(float).eps)[:, None]
            errors[i] = (left_out**2).sum() / (weights.sum() * targets.shape[1])
        return errors

    def held_out_errors(
        self, targets: np.ndarray, alphas: np.ndarray, folds: list[np.ndarray], has_intercept: bool
    ) -> np.ndarray:
        """Return the weighted mean squared error of each alpha when the rows of each fold are predicted without them.

        With H the hat matrix, the errors of a fold's rows in the model of the others are (I - H_ff)^-1 times their
        residuals, so no other model is fitted.
        """
        weights = self.rows.roots**2
        errors, total = np.zeros(len(alphas)), 0.0
        for i, alpha in enumerate(alphas):
            residuals = targets - self.rows.times(self.weights(alpha))
            shrinkage = 1 / (self.spectrum + alpha)
            for fold in folds:
                left_out = self._leave_out(fold, shrinkage, residuals[fold], has_intercept)
                errors[i] += (left_out**2).sum()
        total = sum(float(weights[fold].sum()) for fold in folds)
        return errors / (total * targets.shape[1])

    def _leave_out(
        self, fold: np.ndarray, shrinkage: np.ndarray, residuals: np.ndarray, has_intercept: bool
    ) -> np.ndarray:
        roots = self.rows.roots[fold]
        if self.is_dual:
            factors, middle = self.vectors[fold], self.spectrum * shrinkage
        else:
            part = CentredRows(self.rows.X[fold], roots, self.rows.mean)
            factors, middle = part.times(self.vectors), shrinkage
        if has_intercept:
            factors = np.column_stack([factors, roots])
            middle = np.append(middle, 1 / (self.rows.roots**2).sum())
        if self.is_dual or len(fold) <= len(middle):
            return np.linalg.solve(np.eye(len(fold)) - (factors * middle) @ factors.T, residuals)
        inner = np.diag(1 / middle) - factors.T @ factors  # Woodbury's identity: fewer columns than rows
        return residuals + factors @ np.linalg.solve(inner, factors.T @ residuals)


def decompose(rows: CentredRows, targets: np.ndarray) -> Ridge:
    """Return the ridge problem of rows B and targets T (n_rows, n_outputs) in its eigenvectors."""
    n_rows, n_columns = rows.X.shape
    is_dual = n_rows < n_columns
    spectrum, vectors = np.linalg.eigh(rows.kernel() if is_dual else rows.gram())
    right = targets if is_dual else rows.transposed_times(targets)
    return Ridge(rows, vectors, np.maximum(spectrum, 0), vectors.T @ right, is_dual)


def solve_by_conjugate_gradients(
    rows: CentredRows, targets: np.ndarray, alpha: float, tol: float, max_iter: int
) -> tuple[np.ndarray, bool]:
    """Return the weights (n_columns, n_outputs) at one penalty, and whether every output converged."""
    n_columns = rows.X.shape[1]

    def multiply(vector: np.ndarray) -> np.ndarray:
        column = vector.reshape(-1, 1)
        return (rows.transposed_times(rows.times(column)) + alpha * column).ravel()

    operator = LinearOperator((n_columns, n_columns), matvec=multiply, dtype=np.float64)
    right = rows.transposed_times(targets)
    solved = [cg(operator, column, rtol=tol, maxiter=max_iter) for column in right.T]
    return np.stack([weights for weights, _ in solved], axis=1), all(status == 0 for _, status in solved)
