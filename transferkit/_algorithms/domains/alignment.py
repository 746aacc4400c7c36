"""Linear maps of source rows to the covariance, or the principal axes, of the target."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.decompositions import fix_signs
from transferkit._algorithms.linalg.moments import (
    Moments,
    centred_scatter,
    column_means,
    mean_and_variance,
    symmetric_power,
)
from transferkit._algorithms.linalg.threads import one_blas_thread, run_both
from transferkit._algorithms.linear.feature_blocks import to_kernel

__all__ = ["RowMap", "coral_map", "feature_scales", "joint_axes", "monge_map", "principal_axes", "reflection_evidence"]


@dataclass
class RowMap:
    """The map x -> x Q M Q' + scale * x (I - Q Q') of rows; without a basis, Q = I."""

    matrix: np.ndarray  # (n_features, n_features), or (rank, rank) in the basis
    basis: np.ndarray | None  # (n_features, rank)
    scale: float

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Return the mapped rows (n_rows, n_features)."""
        if self.basis is None:
            return rows @ self.matrix.astype(rows.dtype, copy=False)
        basis = self.basis.astype(rows.dtype, copy=False)
        change = (self.matrix - self.scale * np.eye(len(self.matrix))).astype(rows.dtype)
        return self.scale * rows + ((rows @ basis) @ change) @ basis.T


def coral_map(source: Moments, target: Moments, basis: np.ndarray | None) -> RowMap:
    """Return A = Cs^(-1/2) Ct^(1/2), with A' Cs A = Ct: whitening by the source, re-colouring by the target [1]_.

    Orthogonal to the basis, where both covariances are multiples of the identity, A is the square root of their ratio.

    References
    ----------
    .. [1] B. Sun, J. Feng, K. Saenko, "Return of frustratingly easy domain adaptation", AAAI (2016).
    """
    size = len(source.covariance)
    roots = run_both(size, symmetric_power, (source.covariance, -0.5), (target.covariance, 0.5))
    matrix = roots[0] @ roots[1]
    return RowMap(matrix, basis, _outer_scale(source, target, basis))


def monge_map(source: Moments, target: Moments, basis: np.ndarray | None) -> RowMap:
    """Return A = Cs^(-1/2) (Cs^(1/2) Ct Cs^(1/2))^(1/2) Cs^(-1/2), the optimal transport of Gaussians [1]_ [2]_.

    A is the only symmetric positive definite matrix with A Cs A = Ct. With the Cholesky factor Cs = L L', it is
    L^-T (L' Ct L)^(1/2) L^-1, which takes one eigendecomposition instead of two.

    References
    ----------
    .. [1] M. Knott and C. S. Smith, "On the optimal mapping of distributions", Journal of Optimization Theory and
       Applications 43 (1984), 39-49.
    .. [2] R. Flamary, K. Lounici, A. Ferrari, "Concentration bounds for linear Monge mapping estimation and optimal
       transport domain adaptation", arXiv:1905.10155 (2019).
    """
    factor = linalg.cholesky(source.covariance, lower=True, check_finite=False)
    product = factor.T @ target.covariance @ factor
    with one_blas_thread(len(factor)):
        root = symmetric_power(product, 0.5)
    half = linalg.solve_triangular(factor, root, trans="T", lower=True, check_finite=False)
    matrix = linalg.solve_triangular(factor, half.T, trans="T", lower=True, check_finite=False)
    matrix = (matrix + matrix.T) / 2
    return RowMap(matrix, basis, _outer_scale(source, target, basis))


def _outer_scale(source: Moments, target: Moments, basis: np.ndarray | None) -> float:
    """Return the ratio of standard deviations, target to source, of directions orthogonal to the basis."""
    return 1.0 if basis is None else float(np.sqrt(target.outside / source.outside))


def feature_scales(
    source: Any, target: Any, weights: np.ndarray | None = None, *, shrinkage: float, ridge: float, centre: bool
) -> np.ndarray:
    """Return the ratio of standard deviations, target to source, of each feature (n_features,).

    This is CORAL as well as the Monge map for diagonal covariances. Variances are shrunk to their mean as covariances
    are. The scale of a feature that is constant in the source is 1. `weights` (n_source_rows,) are of source rows.
    """
    variances = []
    for X, weights_of_rows in ((source, weights), (target, None)):
        mean, variance = mean_and_variance(X, weights_of_rows)
        if not centre:
            variance += mean**2
        variances.append((1 - shrinkage) * variance + shrinkage * variance.mean() + ridge)
    known = variances[0] > 0
    return np.where(known, np.sqrt(variances[1] / np.where(known, variances[0], 1)), 1.0)


def principal_axes(source: Any, target: Any, n_axes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each domain, the mean (n_features,) and the leading principal axes (n_features, n_axes).

    Computed from the covariance or, with more features than rows, from the Gram matrix of the rows. Sparse rows are
    centred implicitly, in the products, and stay sparse.
    """
    sizes = [min(X.shape) for X in (source, target)]
    moments = run_both(max(sizes), _gram, (source,), (target,))
    return [_find_axes(X, mean, gram, n_axes) for X, (mean, gram) in zip((source, target), moments, strict=True)]


def joint_axes(rows: Any, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the leading principal axes of the rows of both domains, as `principal_axes` does."""
    mean, gram = _gram(rows)
    return _find_axes(rows, mean, gram, n_axes)


def _find_axes(X: Any, mean: np.ndarray, gram: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    with one_blas_thread(len(gram)):
        vectors = _leading(gram, n_axes)
    if X.shape[1] > X.shape[0]:
        if sparse.issparse(X):
            axes = np.asarray(X.T @ vectors) - np.outer(mean, vectors.sum(0))
        else:
            axes = (X - mean.astype(X.dtype)).T @ vectors
        vectors = np.linalg.qr(axes)[0]  # orthonormal also for eigenvalues of zero
    return mean.astype(X.dtype), np.ascontiguousarray(fix_signs(vectors), X.dtype)


def _gram(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the covariance or, if there are fewer rows than features, the Gram matrix of centred rows."""
    n_rows, n_features = X.shape
    mean = column_means(X).astype(np.float64)
    if n_features <= n_rows and not sparse.issparse(X):
        return mean, centred_scatter(X, mean.astype(X.dtype))[0] / n_rows
    if n_features <= n_rows:
        return mean, np.asarray((X.T @ X).toarray(), np.float64) / n_rows - np.outer(mean, mean)
    if not sparse.issparse(X):
        centred = X - mean.astype(X.dtype)
        return mean, np.asarray(centred @ centred.T, np.float64)
    kernel = np.asarray(to_kernel(X), np.float64)
    cross = np.asarray(X @ mean, np.float64)
    kernel += mean @ mean - cross[:, None] - cross
    return mean, kernel


def reflection_evidence(source: np.ndarray, target: np.ndarray, n_parts: int = 20) -> float:
    """Return the evidence that centred target rows are a reflection of centred source rows, in standard errors.

    A reflection at the mean changes the sign of odd moments only. The statistic is T = -sum_j m_j(source) m_j(target),
    where m_j is the mean cube of feature j, standardised and clipped at 2 standard deviations against outliers. T is
    divided by its jackknife standard error over `n_parts` parts of the rows. Positive values indicate a reflection.
    """
    cubes = [_bounded_cubes(np.asarray(X, np.float64)) for X in (source, target)]
    totals = [cube.sum(0) for cube in cubes]
    n_parts = min(n_parts, *(len(cube) for cube in cubes))
    left_out = np.empty(n_parts)
    for part in range(n_parts):
        kept = []
        for cube, total in zip(cubes, totals, strict=True):
            rows = cube[part::n_parts]
            kept.append((total - rows.sum(0)) / max(len(cube) - len(rows), 1))
        left_out[part] = -float(kept[0] @ kept[1])
    means = [total / len(cube) for total, cube in zip(totals, cubes, strict=True)]
    error = np.sqrt((n_parts - 1) / n_parts * np.square(left_out - left_out.mean()).sum())
    return -float(means[0] @ means[1]) / float(error) if error > 0 else 0.0


def _bounded_cubes(rows: np.ndarray) -> np.ndarray:
    spread = rows.std(axis=0)
    return np.clip(rows / np.where(spread > 0, spread, 1), -2, 2) ** 3


def _leading(matrix: np.ndarray, n_vectors: int) -> np.ndarray:
    """Return the eigenvectors of the largest eigenvalues of a symmetric matrix, largest first."""
    size = len(matrix)
    if n_vectors > size // 4:
        vectors = np.linalg.eigh(matrix)[1]
        return vectors[:, ::-1][:, :n_vectors]
    return linalg.eigh(matrix, subset_by_index=[size - n_vectors, size - 1], check_finite=False)[1][:, ::-1]
