"""Predictions of small networks in NumPy: dense, sparse or quantised weights, one row without a copy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import erf, expit

__all__ = ["ACTIVATIONS", "apply_activation", "compute_outputs", "multiply"]

ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity")
LEAK = 0.01  # slope of leaky_relu below zero
FEW_COLUMNS = 0.5  # of a narrow weight matrix: fewer than this share are widened alone


def compute_outputs(
    X: Any, coefs: Sequence[Any], intercepts: Sequence[np.ndarray], activation: str, scales: Sequence[Any] | None = None
) -> np.ndarray:
    """Return the outputs of a network, before any link function.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
    coefs : arrays or sparse arrays of shape (n_inputs, n_outputs)
        Weights of the layers; float16 and int8 are widened as they are used.
    intercepts : arrays of shape (n_outputs,)
    activation : str
        Of the hidden layers.
    scales : arrays of shape (n_outputs,) or None each, optional
        What the columns of int8 weights are multiplied by.

    Returns
    -------
    outputs : array of shape (n_rows, n_outputs)
    """
    hidden = X
    for position, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        hidden = multiply(hidden, coef)
        if scales is not None and scales[position] is not None:
            hidden *= scales[position]
        hidden += intercept
        if position < len(coefs) - 1:
            hidden = apply_activation(hidden, activation)
    return hidden


def multiply(X: Any, coef: Any) -> np.ndarray:
    """Return X @ coef as a dense array in the type of X; both may be sparse, and the weights narrow."""
    dtype = X.dtype
    entries = coef.data if sp.issparse(coef) else coef
    if entries.dtype.itemsize >= 4:
        product = X @ coef
    elif sp.issparse(X) and not sp.issparse(coef) and X.nnz < FEW_COLUMNS * X.shape[1]:
        used, local = np.unique(X.indices, return_inverse=True)
        narrow = sp.csr_array((X.data, local, X.indptr), shape=(X.shape[0], len(used)))
        product = narrow @ coef[used].astype(dtype)
    else:
        product = X @ coef.astype(dtype)
    return np.asarray(product.toarray() if sp.issparse(product) else product)


def apply_activation(x: np.ndarray, activation: str) -> np.ndarray:
    """Return the activation of x, in x's own memory where that is possible."""
    if activation == "relu":
        return np.maximum(x, 0, out=x)
    if activation == "leaky_relu":
        return np.maximum(x, x * x.dtype.type(LEAK), out=x)
    if activation == "elu":
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    if activation == "tanh":
        return np.tanh(x, out=x)
    if activation == "sigmoid":
        return expit(x, out=x)
    if activation == "gelu":
        return x * (0.5 * (1 + erf(x * x.dtype.type(0.5**0.5)))).astype(x.dtype)
    return x
