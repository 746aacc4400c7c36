"""Denoising autoencoders without a hidden bottleneck, in closed form."""

from typing import Any

import numpy as np
from scipy import linalg, sparse

__all__ = ["encode", "fit_layer"]

_RIDGE = 1e-3  # of the mean diagonal, for features that others determine


def fit_layer(X: Any, columns: np.ndarray, corruption: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (n_features, n_columns) and the intercepts (n_columns,) that undo the loss of features best.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
    columns : array of shape (n_columns,)
        Features to reconstruct.
    corruption : float
        Probability c with which each feature of each row is set to zero, each for itself.

    Notes
    -----
    The mean squared error over all ways to corrupt the rows has the minimum W = Q^-1 P [1]_. With S = X'X, X having a
    column of ones that is never lost, and q the probabilities to survive (1 - c, for the ones 1),
    Q_ij = S_ij q_i q_j, Q_ii = S_ii q_i and P_ij = S_ij q_i.

    References
    ----------
    .. [1] M. Chen, Z. Xu, K. Weinberger, F. Sha, "Marginalized denoising autoencoders for domain adaptation", ICML
       (2012).
    """
    n_rows, n_features = X.shape
    scatter = np.empty((n_features + 1, n_features + 1), X.dtype)
    products = X.T @ X
    scatter[:-1, :-1] = products.toarray() if sparse.issparse(products) else products
    scatter[-1, :-1] = scatter[:-1, -1] = np.asarray(X.sum(axis=0)).ravel()
    scatter[-1, -1] = n_rows
    survival = np.full(n_features + 1, 1 - corruption, X.dtype)
    survival[-1] = 1
    right = scatter[:, columns] * survival[:, None]
    diagonal = np.diag(scatter).copy()
    scatter *= survival[:, None]
    scatter *= survival
    scatter.flat[:: n_features + 2] = survival * diagonal + _RIDGE * (diagonal[:-1].mean() or 1.0)  # 1: all are zero
    factor = linalg.cho_factor(scatter, lower=True, overwrite_a=True, check_finite=False)
    solution = linalg.cho_solve(factor, right, overwrite_b=True, check_finite=False)
    return np.ascontiguousarray(solution[:-1]), np.ascontiguousarray(solution[-1])


def encode(X: Any, weights: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Return tanh(X W + b), (n_rows, n_columns)."""
    hidden = np.asarray(X @ weights)
    hidden += intercept
    return np.tanh(hidden, out=hidden)
