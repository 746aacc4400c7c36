"""Layers of marginalized denoising autoencoders, in closed form."""

from typing import Any

import numpy as np
from scipy import linalg, sparse

__all__ = ["encode", "fit_layer"]

_RIDGE = 1e-3  # relative to the mean diagonal, for linearly dependent features


def fit_layer(X: Any, columns: np.ndarray, corruption: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (n_features, n_columns) and intercepts (n_columns,) that best reconstruct lost features.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
    columns : array of shape (n_columns,)
        Features to reconstruct.
    corruption : float
        Probability c with which each entry is set to zero, independently.

    Notes
    -----
    The expected squared error over all corruptions is minimised by W = Q^-1 P [1]_. With S = X'X, where X has a column
    of ones that is never set to zero, and the probabilities of survival q (1 - c, and 1 for the ones),
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
    scatter.flat[:: n_features + 2] = survival * diagonal + _RIDGE * (diagonal[:-1].mean() or 1.0)  # 1 if all are zero
    factor = linalg.cho_factor(scatter, lower=True, overwrite_a=True, check_finite=False)
    solution = linalg.cho_solve(factor, right, overwrite_b=True, check_finite=False)
    return np.ascontiguousarray(solution[:-1]), np.ascontiguousarray(solution[-1])


def encode(X: Any, weights: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Return tanh(X W + b), (n_rows, n_columns)."""
    hidden = np.asarray(X @ weights)
    hidden += intercept
    return np.tanh(hidden, out=hidden)
