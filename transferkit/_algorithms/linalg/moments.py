"""Mean and variance of columns, and shrunk covariances, of dense and sparse matrices.

Covariances are computed in the span of the rows if there are more features than rows: C = Q S Q' + v (I - Q Q') with a
matrix S in the coordinates of an orthonormal basis Q, and one variance v for all directions orthogonal to it. Without a
basis, Q = I. With more features than rows, no matrix of size n_features x n_features is formed.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from transferkit._algorithms.linalg.decompositions import RowProducts, leading_vectors

__all__ = [
    "Moments",
    "PartialMoments",
    "centred_scatter",
    "column_means",
    "estimate_moments",
    "find_joint_basis",
    "ledoit_wolf_shrinkage",
    "mean_and_variance",
    "symmetric_power",
]

_BLOCK_ENTRIES = 1 << 20  # of the differences held in float64 at a time
MOST_FEATURES = 20_000  # with more, no matrix of size n_features x n_features is formed
MOST_SPAN_ROWS = 3_000  # with more rows, only N_LEADING directions of their span are used
N_LEADING = 1_000
_BLOCK_ROWS = 2_000  # centred at a time, to avoid a copy of all rows
_LEAST_VARIANCE = 1e-9  # relative to the mean variance; smaller eigenvalues are rounding errors


def column_means(X: Any, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of each column, summed in float64 and of the type of X (n_columns,).

    `weights` (n_rows,) are those of the rows; None for equal ones.
    """
    exact = X.astype(np.float64, copy=False) if sparse.issparse(X) else X  # SciPy rounds entries to the type of X
    if weights is not None:
        return np.asarray((exact.T @ weights) / weights.sum()).ravel().astype(X.dtype)
    return np.asarray(exact.mean(axis=0, dtype=np.float64)).ravel().astype(X.dtype)


def mean_and_variance(X: Any, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance of each column in float64, from differences to the mean.

    `weights` (n_rows,) are those of the rows; None for equal ones.

    Squares of numbers far from zero would leave no digits of the variance. A variance within the rounding error of the
    mean is zero, so that constant columns have none.
    """
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X.tocsr().astype(np.float64, copy=False), axis=0, weights=weights)
    else:
        mean = np.average(X, axis=0, weights=weights) if weights is not None else X.mean(axis=0, dtype=np.float64)
        variance = np.zeros(X.shape[1])
        size = max(1, _BLOCK_ENTRIES // max(1, X.shape[1]))
        for begin in range(0, len(X), size):
            difference = X[begin : begin + size] - mean
            part = difference if weights is None else difference * weights[begin : begin + size, None]
            variance += np.einsum("ij,ij->j", part, difference)
        variance /= len(X) if weights is None else weights.sum()
    rounding = (X.shape[0] * np.finfo(np.float64).eps * mean) ** 2
    return mean, np.where(variance <= rounding, 0.0, variance)


class PartialMoments(NamedTuple):
    """Moments of a part of the rows, which add up: number, mean, and sums of squared differences to it, in float64.

    Sums over the rows as they are would lose all digits of the variances if rows are far from zero [1]_.

    References
    ----------
    .. [1] T. Chan, G. Golub, R. LeVeque (1983). Algorithms for computing the sample variance: analysis and
       recommendations. The American Statistician 37.
    """

    n_rows: int
    mean: np.ndarray  # (n_features,)
    squares: float  # sum of the squared distances to the mean
    products: np.ndarray | None  # (n_features, n_features), sum of outer products

    @classmethod
    def of(cls, rows: Any, with_products: bool = False) -> "PartialMoments":
        """Return the moments of an array or CSR matrix; the products are those of dense rows only."""
        rows = rows.astype(np.float64)
        n_rows, mean = rows.shape[0], np.asarray(rows.mean(axis=0)).ravel()
        if sparse.issparse(rows):
            return cls(n_rows, mean, float(np.square(rows.data).sum() - n_rows * (mean @ mean)), None)
        rows -= mean
        return cls(n_rows, mean, float(np.square(rows).sum()), rows.T @ rows if with_products else None)

    def merge(self, other: "PartialMoments") -> "PartialMoments":
        """Return the moments of the rows of both."""
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"Shards differ in their numbers of features: {len(self.mean)} and {len(other.mean)}.")
        difference, n_rows = other.mean - self.mean, self.n_rows + other.n_rows
        weight = self.n_rows * other.n_rows / n_rows
        products = None
        if self.products is not None and other.products is not None:
            products = self.products + other.products + weight * np.outer(difference, difference)
        return PartialMoments(
            n_rows,
            self.mean + difference * (other.n_rows / n_rows),
            self.squares + other.squares + weight * float(difference @ difference),
            products,
        )


@dataclass
class Moments:
    """Mean and shrunk covariance of rows."""

    mean: np.ndarray  # (n_features,)
    covariance: np.ndarray  # (n_features, n_features), or (rank, rank) in a basis
    outside: float  # variance of each direction outside of the basis
    shrinkage: float
    is_singular: bool  # before _LEAST_VARIANCE was added


def find_joint_basis(source: Any, target: Any, random_state: np.random.RandomState) -> np.ndarray | None:
    """Return an orthonormal basis (n_features, rank) of the span of the centred rows of both domains.

    It is None if there are no more features than rows, so that a basis would not reduce the dimension. With more than
    3,000 rows it holds the 1,000 leading directions, from a randomised search.
    """
    n_rows, n_features = source.shape[0] + target.shape[0], source.shape[1]
    if n_features <= min(n_rows, MOST_FEATURES):
        return None
    parts = [np.asarray((X if not sparse.issparse(X) else X.toarray()) - column_means(X)) for X in (source, target)]
    rows = np.concatenate(parts)
    if n_rows > MOST_SPAN_ROWS:
        return leading_vectors(RowProducts(sparse.csr_matrix(rows)), N_LEADING, 2, random_state).vectors
    squares, vectors = linalg.eigh(np.asarray(rows @ rows.T, np.float64))
    kept = squares > 1e-7 * max(squares[-1], np.finfo(float).tiny)  # of squares: half of the digits
    basis = rows.T @ (vectors[:, kept] / np.sqrt(squares[kept])).astype(rows.dtype)
    return np.linalg.qr(basis)[0]


def estimate_moments(
    X: Any,
    basis: np.ndarray | None,
    weights: np.ndarray | None = None,
    *,
    shrinkage: float | str | None,
    ridge: float,
    centre: bool,
) -> Moments:
    """Return the mean and the shrunk covariance (1 - s) C + (s trace(C) / n_features + ridge) I of rows.

    `shrinkage` is s, from 0 to 1; "auto" is the estimate of Ledoit and Wolf. Without `centre` the mean is taken to be
    zero. `weights` (n_rows,) are those of the rows, with mean 1.
    """
    n_rows, n_features = X.shape
    mean = column_means(X, weights) if centre else np.zeros(n_features, X.dtype)
    if weights is None:
        covariance, squares = centred_scatter(X, mean, basis)
    else:  # moments about zero of weighted differences, whose lengths also give the shrinkage
        weighted = (X - mean) * np.sqrt(weights).astype(X.dtype)[:, None]
        covariance, squares = centred_scatter(weighted, np.zeros_like(mean), basis)
    covariance /= n_rows
    mean_variance = squares.mean() / n_features
    if shrinkage == "auto":
        s = ledoit_wolf_shrinkage(squares, float(np.einsum("ij,ij->", covariance, covariance)), n_features)
    else:
        s = float(shrinkage or 0.0)
    floor = s * mean_variance + ridge
    n_outside = n_features - len(covariance)
    outside = 0.0 if n_outside == 0 else max(squares.mean() - np.trace(covariance), 0.0) / n_outside
    covariance *= 1 - s
    covariance.flat[:: len(covariance) + 1] += floor
    least = _LEAST_VARIANCE * mean_variance if mean_variance > 0 else 1.0
    rank = min(n_rows - centre, n_features)
    is_singular = floor < least and (rank < n_features or _is_singular(covariance, least))
    if is_singular:
        covariance.flat[:: len(covariance) + 1] += least
        floor += least
    return Moments(mean, covariance, float((1 - s) * outside + floor), s, is_singular)


def centred_scatter(X: np.ndarray, mean: np.ndarray, basis: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return sum_i z_i z_i' of the centred rows z_i, in the coordinates of the basis, and their squared lengths."""
    size = X.shape[1] if basis is None else basis.shape[1]
    scatter, squares = np.zeros((size, size)), np.empty(len(X))
    for begin in range(0, len(X), _BLOCK_ROWS):
        part = slice(begin, begin + _BLOCK_ROWS)
        centred = X[part] - mean
        squares[part] = np.einsum("ij,ij->i", centred, centred)
        rows = centred if basis is None else centred @ basis
        scatter += rows.T @ rows
    return scatter, squares


def ledoit_wolf_shrinkage(squares: np.ndarray, size: float, n_features: int) -> float:
    """Return the shrinkage towards the scaled identity with the least expected squared error (Ledoit and Wolf [1]_).

    `squares` (n_rows,) are the squared lengths of the centred rows x_i, and `size` is ||C||^2, the sum of the squared
    entries, or eigenvalues, of the covariance C = sum_i x_i x_i' / n_rows.

    With m = trace(C) / p for p features, the shrinkage is b / d. d = ||C||^2 - p m^2 is the squared distance of C from
    m I, and b = (mean_i ||x_i||^4 - ||C||^2) / n_rows, at most d, estimates the squared error of C.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
       Multivariate Analysis 88 (2004), 365-411.
    """
    distance = size - (squares.mean()) ** 2 / n_features
    error = (float((squares**2).mean()) - size) / len(squares)
    return 0.0 if distance <= 1e-12 * size else float(min(max(error, 0.0), distance) / distance)


def symmetric_power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of a symmetric positive semi-definite matrix; eigenvalues are at least eps times the largest."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, values[-1] * np.finfo(values.dtype).eps)
    half = vectors * values ** (exponent / 2)
    return np.asarray(half @ half.T)  # a product of this form takes half of the time


def _is_singular(covariance: np.ndarray, least: float) -> bool:
    try:
        return bool(np.diag(linalg.cholesky(covariance, lower=True)).min() ** 2 < least)
    except linalg.LinAlgError:
        return True
