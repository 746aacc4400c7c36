"""Mean and variance of the columns of dense and sparse matrices."""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

__all__ = ["PartialMoments", "column_means", "mean_and_variance"]

_BLOCK_ENTRIES = 1 << 20  # of the differences held in float64 at a time


def column_means(X: Any) -> np.ndarray:
    """Return the mean of each column, summed in float64 and of the type of X (n_columns,)."""
    exact = X.astype(np.float64, copy=False) if sparse.issparse(X) else X  # SciPy rounds entries to the type of X
    return np.asarray(exact.mean(axis=0, dtype=np.float64)).ravel().astype(X.dtype)


def mean_and_variance(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance of each column in float64, from differences to the mean.

    Squares of numbers far from zero would leave no digits of the variance. A variance within the rounding error of
    the mean is zero, so that constant columns have none.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_columns)

    Returns
    -------
    mean, variance : arrays of shape (n_columns,)
        The variance is divided by n_rows.
    """
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X.tocsr().astype(np.float64, copy=False), axis=0)
    else:
        mean = X.mean(axis=0, dtype=np.float64)
        variance = np.zeros(X.shape[1])
        size = max(1, _BLOCK_ENTRIES // max(1, X.shape[1]))
        for begin in range(0, len(X), size):
            difference = X[begin : begin + size] - mean
            variance += np.einsum("ij,ij->j", difference, difference)
        variance /= len(X)
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
