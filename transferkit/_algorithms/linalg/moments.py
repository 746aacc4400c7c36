"""Mean and variance of the columns of dense and sparse matrices."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

__all__ = ["column_means", "mean_and_variance"]

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
