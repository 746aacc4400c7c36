"""Ridge regression for many penalties from one decomposition, with exact leave-one-out errors.

Rows and targets are centred by their weighted mean and multiplied by the square roots of the sample weights, so that
the problem is min ||B W - T||^2 + alpha ||W||^2, without the unpenalised intercept.

One eigendecomposition of B.T @ B (`PrimalRidge`) or B @ B.T (`DualRidge`), whichever is smaller, serves all penalties.
These products square the condition number. If it is too large for that, a QR decomposition of B (`TallTriangleRidge`,
`WideTriangleRidge`) is used for each penalty, whose errors are small relative to each column.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgWarning, qr, solve_triangular

from transferkit._algorithms.linalg.conjugate_gradients import conjugate_gradients
from transferkit._algorithms.linalg.threads import one_blas_thread
from transferkit._algorithms.linear.feature_blocks import CentredRows
from transferkit.exceptions import count_inner_frames

__all__ = ["MAX_DECOMPOSED", "Ridge", "decompose", "solve_by_conjugate_gradients"]

MAX_DECOMPOSED = 4000  # rows or features: the smaller side of B, whose product is decomposed
MOST_SPREAD = 1e10  # condition number of B.T @ B + alpha I up to which about six digits are correct
LEAST_REST = 1e-6  # one minus a leverage; below, too few digits are left
LEAST_LENGTH = 1e-13  # relative length of a column orthogonal to the others; below, it is rounding error


@dataclass
class Ridge(ABC):
    """The ridge problem of rows B and targets T in a decomposition."""

    rows: CentredRows
    targets: np.ndarray  # (n_rows, n_outputs), centred and multiplied by the roots of the weights
    has_intercept: bool  # whether rows were centred, so that the intercept adds to the leverage of each row

    @abstractmethod
    def weights(self, alpha: float) -> np.ndarray:
        """Return the weights (n_columns, n_outputs) at a penalty."""

    @abstractmethod
    def leave_one_out(self, alphas: np.ndarray) -> Iterator[np.ndarray]:
        """Yield, for each alpha, the leave-one-out errors (n_rows, n_outputs)."""

    @abstractmethod
    def leave_out(self, folds: list[np.ndarray], alpha: float) -> Iterator[np.ndarray]:
        """Yield, for each fold, the errors of its rows in the model trained without the fold."""

    def leave_one_out_errors(self, alphas: np.ndarray) -> np.ndarray:
        """Return the weighted mean squared leave-one-out error of each alpha."""
        total = (self.rows.roots**2).sum() * self.targets.shape[1]
        return np.array([(left_out**2).sum() / total for left_out in self.leave_one_out(alphas)])

    def held_out_errors(self, alphas: np.ndarray, folds: list[np.ndarray]) -> np.ndarray:
        """Return the weighted mean squared error of each alpha on rows that are held out fold by fold.

        With the hat matrix H, the errors of held-out rows are (I - H_ff)^-1 times their residuals in the model of all
        rows, so no other model is fitted.
        """
        total = sum(float((self.rows.roots[fold] ** 2).sum()) for fold in folds) * self.targets.shape[1]
        sums = [sum((left_out**2).sum() for left_out in self.leave_out(folds, alpha)) for alpha in alphas]
        return np.array(sums) / total


class HatRidge(Ridge):
    """For more rows than columns: held-out errors from residuals and the hat matrix H = U U.T + s s.T.

    s is the vector of square roots of the sample weights, divided by its length: the part of the intercept.
    """

    @abstractmethod
    def basis(self, alpha: float) -> np.ndarray:
        """Return the matrix that `factors` computes U from."""

    @abstractmethod
    def factors(self, block: CentredRows, basis: np.ndarray) -> np.ndarray:
        """Return rows of U."""

    def leverages(self, alphas: np.ndarray) -> np.ndarray:
        """Return the diagonals of U U.T, (n_rows, n_alphas)."""
        found = np.empty((len(self.targets), len(alphas)))
        bases = [self.basis(alpha) for alpha in alphas]
        for rows, block in self.rows.blocks():
            for i, basis in enumerate(bases):
                found[rows, i] = (self.factors(block, basis) ** 2).sum(axis=1)
        return found

    def leave_one_out(self, alphas: np.ndarray) -> Iterator[np.ndarray]:
        """Yield residuals over one minus leverages."""
        rest = 1 - self.leverages(alphas)
        if self.has_intercept:
            rest -= (self.rows.roots**2 / (self.rows.roots**2).sum())[:, None]
        far = np.flatnonzero(rest.min(axis=1) < LEAST_REST)
        others = None
        if 0 < len(far) < len(rest) and self.rows.can_be_dense():
            others = triangulate(self.rows, self.targets, self.has_intercept, left_out=far)
        for i, alpha in enumerate(alphas):
            residuals = self.targets - self.rows.matmul(self.weights(alpha))
            left_out = residuals / np.maximum(rest[:, i], np.finfo(float).eps)[:, None]
            if others is not None:
                left_out[far] = others.leave_out_unseen(self.rows.take(far), self.targets[far], alpha)
            yield left_out

    def leave_out(self, folds: list[np.ndarray], alpha: float) -> Iterator[np.ndarray]:
        """Yield (I - H_ff)^-1 times the residuals."""
        residuals, basis = self.targets - self.rows.matmul(self.weights(alpha)), self.basis(alpha)
        for fold in folds:
            factors = self.factors(self.rows.take(fold), basis)
            if self.has_intercept:
                factors = np.column_stack([factors, self.rows.roots[fold] / np.linalg.norm(self.rows.roots)])
            n_rows, n_factors = factors.shape
            if n_rows <= n_factors:
                yield np.linalg.solve(np.eye(n_rows) - factors @ factors.T, residuals[fold])
            else:  # Woodbury's identity: fewer columns than rows
                inner = np.eye(n_factors) - factors.T @ factors
                yield residuals[fold] + factors @ np.linalg.solve(inner, factors.T @ residuals[fold])


class ComplementRidge(Ridge):
    """For few rows: held-out errors from I - H = c F F.T, which is accurate also if all leverages are close to one."""

    @abstractmethod
    def complement(self, alpha: float) -> np.ndarray:
        """Return F (n_rows, n_vectors)."""

    def leave_one_out(self, alphas: np.ndarray) -> Iterator[np.ndarray]:
        """Yield (F F.T T)_i / (F F.T)_ii."""
        for alpha in alphas:
            factors = self.complement(alpha)
            diagonal = np.maximum((factors**2).sum(axis=1), np.finfo(float).tiny)
            yield factors @ (factors.T @ self.targets) / diagonal[:, None]

    def leave_out(self, folds: list[np.ndarray], alpha: float) -> Iterator[np.ndarray]:
        """Yield (F F.T)_ff^-1 (F F.T T)_f."""
        factors = self.complement(alpha)
        values = factors.T @ self.targets
        for fold in folds:
            part = factors[fold]
            yield np.linalg.solve(part @ part.T, part @ values)


@dataclass
class PrimalRidge(HatRidge):
    """Eigenvectors V and eigenvalues L of B.T @ B."""

    vectors: np.ndarray
    spectrum: np.ndarray

    def __post_init__(self) -> None:
        self.projected = self.vectors.T @ self.rows.rmatmul(self.targets)

    def weights(self, alpha: float) -> np.ndarray:
        """Return the weights."""
        return self.vectors @ (self.projected / (self.spectrum + alpha)[:, None])

    def basis(self, alpha: float) -> np.ndarray:
        """Return V (L + alpha I)^(-1/2)."""
        return self.vectors / np.sqrt(self.spectrum + alpha)

    def factors(self, block: CentredRows, basis: np.ndarray) -> np.ndarray:
        """Return rows of B V (L + alpha I)^(-1/2)."""
        return block.matmul(basis)

    def leverages(self, alphas: np.ndarray) -> np.ndarray:
        """Return the diagonals of U U.T for all alphas from one product."""
        found = np.empty((len(self.targets), len(alphas)))
        for rows, block in self.rows.blocks():
            found[rows] = block.matmul(self.vectors) ** 2 @ (1 / (self.spectrum[:, None] + alphas))
        return found


@dataclass
class DualRidge(ComplementRidge):
    """Eigenvectors V and eigenvalues L of B @ B.T, without the eigenvector of the intercept."""

    vectors: np.ndarray
    spectrum: np.ndarray

    def weights(self, alpha: float) -> np.ndarray:
        """Return the weights."""
        projected = self.vectors.T @ self.targets
        return self.rows.rmatmul(self.vectors @ (projected / (self.spectrum + alpha)[:, None]))

    def complement(self, alpha: float) -> np.ndarray:
        """Return V (L + alpha I)^(-1/2)."""
        return self.vectors / np.sqrt(self.spectrum + alpha)


@dataclass
class TallTriangleRidge(HatRidge):
    """The factor R of [s, B] = Q R, and Q.T @ T, from which the Cholesky factor of B.T @ B + alpha I is computed."""

    triangle: np.ndarray
    projected: np.ndarray

    def weights(self, alpha: float) -> np.ndarray:
        """Return the weights."""
        triangle, projected = self._penalise(alpha)
        return solve_triangular(triangle, projected)[int(self.has_intercept) :]

    def basis(self, alpha: float) -> np.ndarray:
        """Return the upper Cholesky factor of B.T @ B + alpha I."""
        triangle, _ = self._penalise(alpha)
        return triangle[int(self.has_intercept) :, int(self.has_intercept) :]

    def factors(self, block: CentredRows, basis: np.ndarray) -> np.ndarray:
        """Return rows of B times the inverse of the Cholesky factor."""
        return solve_triangular(basis, block.dense().T, trans="T").T

    def leave_out_unseen(self, rows: CentredRows, targets: np.ndarray, alpha: float) -> np.ndarray:
        """Return the leave-one-out errors of rows of high leverage that were excluded from this decomposition.

        The problem in question has all excluded rows. With G = their rows times the inverse of the Cholesky factor of
        the other rows, the block of I - H for these rows is (I + G G.T)^-1, which is accurate also if it is close to
        zero, and their residuals are that times their errors in the model of the other rows.
        """
        triangle, projected = self._penalise(alpha)
        columns = rows.dense()
        if self.has_intercept:
            columns = np.column_stack([rows.roots, columns])
        factors = solve_triangular(triangle, columns.T, trans="T").T
        rest = np.linalg.inv(np.eye(len(factors)) + factors @ factors.T)
        return rest @ (targets - factors @ projected) / np.diag(rest)[:, None]

    def _penalise(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        n_columns = self.triangle.shape[1]
        least = LEAST_LENGTH * np.linalg.norm(self.triangle, axis=0)  # less would vanish in rounding
        below = np.diag(np.maximum(np.sqrt(alpha), least))[int(self.has_intercept) :]
        system = np.vstack([self.triangle, below])
        right = np.vstack([self.projected, np.zeros((len(below), self.projected.shape[1]))])
        found = np.asarray(np.linalg.qr(np.hstack([system, right]), mode="r"))
        return found[:n_columns, :n_columns], found[:n_columns, n_columns:]


@dataclass
class WideTriangleRidge(ComplementRidge):
    """The factors of B = R.T Q.T (with permuted rows), so that W = Q Z, and Z solves a smaller ridge problem."""

    basis: np.ndarray  # Q, (n_columns, n_vectors), as many as the smaller side of B
    triangle: np.ndarray  # R.T, (n_rows, n_vectors)

    def weights(self, alpha: float) -> np.ndarray:
        """Return the weights."""
        vectors, triangle = np.linalg.qr(self._stack(alpha))
        solution = solve_triangular(triangle, vectors[: len(self.targets)].T @ self.targets)
        return self.basis @ solution[int(self.has_intercept) :]

    def complement(self, alpha: float) -> np.ndarray:
        """Return the upper rows of an orthonormal basis of the complement of the columns of `_stack`."""
        system = self._stack(alpha)
        return np.linalg.qr(system, mode="complete")[0][: len(self.targets), system.shape[1] :]

    def _stack(self, alpha: float) -> np.ndarray:
        """Return R.T stacked on sqrt(alpha) I, after the column of the intercept."""
        n_vectors = self.triangle.shape[1]
        system = np.vstack([self.triangle, np.sqrt(alpha) * np.eye(n_vectors)])
        if self.has_intercept:
            system = np.column_stack([np.append(self.rows.roots, np.zeros(n_vectors)), system])
        return system


def decompose(rows: CentredRows, targets: np.ndarray, least_alpha: float, has_intercept: bool) -> Ridge:
    """Decompose the ridge problem of rows B and targets T, by the method that suits its shape and condition.

    Targets are centred and multiplied by the roots of the weights; `least_alpha` is the smallest penalty to be used.
    """
    n_rows, n_columns = rows.X.shape
    is_wide = n_rows <= n_columns + has_intercept  # else some rows have a leverage of one
    if is_wide:
        spectrum, vectors = _decompose_kernel(rows, has_intercept)
    else:
        gram = rows.gram()
        with one_blas_thread(len(gram)):
            spectrum, vectors = np.linalg.eigh(gram)
    spectrum = np.maximum(spectrum, 0)
    is_precise = len(spectrum) == 0 or spectrum[-1] <= MOST_SPREAD * (spectrum[0] + least_alpha)
    if not is_precise and rows.can_be_dense():
        return (_triangulate_wide if is_wide else triangulate)(rows, targets, has_intercept)
    if not is_precise:
        _warn_of_scales(rows, least_alpha)
    kind = DualRidge if is_wide else PrimalRidge
    return kind(rows, targets, has_intercept, vectors, spectrum)


def _warn_of_scales(rows: CentredRows, least_alpha: float) -> None:
    """Warn if columns differ so much in length that the short ones vanish in rounding errors of products."""
    squares = rows.column_squares()
    if squares.max() > MOST_SPREAD * (squares[squares > 0].min() + least_alpha):
        warnings.warn(
            "Ill-conditioned: columns of X differ so much in scale that the small ones are lost in rounding. Scale "
            "the columns, for example with MaxAbsScaler.",
            LinAlgWarning,
            stacklevel=count_inner_frames(),
        )


def _decompose_kernel(rows: CentredRows, has_intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and eigenvectors of B @ B.T, except the eigenvector of the intercept, of eigenvalue zero."""
    kernel = rows.kernel()
    if not has_intercept:
        with one_blas_thread(len(kernel)):
            return np.linalg.eigh(kernel)
    size = np.linalg.norm(kernel) or 1.0  # at least the largest eigenvalue: that of the intercept is shifted beyond it
    kernel += 2 * size * np.outer(rows.roots, rows.roots / (rows.roots @ rows.roots))
    with one_blas_thread(len(kernel)):
        spectrum, vectors = np.linalg.eigh(kernel)
    return spectrum[:-1], vectors[:, :-1]


def triangulate(
    rows: CentredRows, targets: np.ndarray, has_intercept: bool, left_out: np.ndarray | None = None
) -> TallTriangleRidge:
    """Return the QR decomposition of the problem, of all rows or without some of them."""
    n_columns = rows.X.shape[1] + has_intercept
    found = np.empty((0, n_columns + targets.shape[1]))
    for part, block in rows.blocks():
        stacked = np.hstack([*[block.roots[:, None]] * has_intercept, block.dense(), targets[part]])
        if left_out is not None:
            within = left_out[(left_out >= part.start) & (left_out < part.stop)] - part.start
            stacked = np.delete(stacked, within, axis=0)
        found = np.asarray(np.linalg.qr(np.vstack([found, stacked]), mode="r"))
    triangle, projected = _drop_rounding(found[:, :n_columns], found[:, n_columns:])
    return TallTriangleRidge(rows, targets, has_intercept, triangle, projected)


def _drop_rounding(triangle: np.ndarray, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove the directions in which columns are linearly dependent, so that only the penalty acts there.

    Entries of the triangular factor along these directions are rounding errors proportional to the columns. With a
    small penalty they would be mistaken for data.
    """
    lengths = np.linalg.norm(triangle, axis=0)
    lengths[lengths == 0] = 1
    vectors, found, pivots = qr(triangle / lengths, mode="economic", pivoting=True)
    kept = np.abs(np.diag(found)) > LEAST_LENGTH
    restored = np.empty((kept.sum(), len(lengths)))
    restored[:, pivots] = found[kept] * lengths[pivots]
    return restored, vectors.T[kept] @ projected


def _triangulate_wide(rows: CentredRows, targets: np.ndarray, has_intercept: bool) -> WideTriangleRidge:
    """Decompose B.T with rows sorted by length and column pivoting, which is accurate for its small rows too [1]_.

    References
    ----------
    .. [1] A. J. Cox, N. J. Higham, "Stability of Householder QR factorization for weighted least squares problems",
       Numerical Analysis 1997, Pitman Research Notes 380 (1998), 57-73.
    """
    columns = rows.dense().T
    order = np.argsort(-np.linalg.norm(columns, axis=1), kind="stable")
    vectors, found, pivots = qr(columns[order], mode="economic", pivoting=True)
    basis, triangle = np.empty_like(vectors), np.empty_like(found.T)
    basis[order], triangle[pivots] = vectors, found.T
    return WideTriangleRidge(rows, targets, has_intercept, basis, triangle)


def solve_by_conjugate_gradients(
    rows: CentredRows, targets: np.ndarray, alpha: float, tol: float, max_iter: int
) -> tuple[np.ndarray, bool]:
    """Return the weights (n_columns, n_outputs) at one penalty, and whether every output converged.

    The system is scaled to a unit diagonal (Jacobi preconditioning), so that the residual measures all columns alike.
    """
    scales = (1 / np.sqrt(np.maximum(rows.column_squares(), 0) + alpha))[:, None]

    def multiply(vectors: np.ndarray) -> np.ndarray:
        scaled = scales * vectors
        return scales * (rows.rmatmul(rows.matmul(scaled)) + alpha * scaled)

    weights, converged = conjugate_gradients(multiply, scales * rows.rmatmul(targets), max_iter, tol=tol)
    return scales * weights, converged
