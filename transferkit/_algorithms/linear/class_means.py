"""Mean rows of classes, and how much probability the scores of known classes leave to another one."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

__all__ = ["compute_class_means", "compute_log_sums", "keep_largest"]


def compute_class_means(rows: Any, targets: np.ndarray, weights: np.ndarray, n_classes: int) -> Any:
    """Return the weighted mean row of each class, (n_classes, n_features), zero for a class without rows.

    `rows` is an array or CSR matrix (n_rows, n_features), and so is the result, of the same dtype; `targets` are class
    numbers (n_rows,).
    """
    totals = np.bincount(targets, weights, n_classes)
    shares = (weights / np.where(totals > 0, totals, 1)[targets]).astype(rows.dtype)
    members = sparse.csr_matrix((shares, (targets, np.arange(len(targets)))), shape=(n_classes, len(targets)))
    means = members @ rows
    return means.tocsr() if sparse.issparse(means) else np.asarray(means)


def keep_largest(rows: sparse.csr_matrix, n_values: int) -> sparse.csr_matrix:
    """Return the rows with their `n_values` largest values, and zero elsewhere."""
    kept = [_largest(rows.data[begin:end], n_values) + begin for begin, end in pairwise(rows.indptr)]
    indptr = np.concatenate([[0], np.cumsum([len(places) for places in kept])])
    places = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    return sparse.csr_matrix((rows.data[places], rows.indices[places], indptr), shape=rows.shape)


def compute_log_sums(scores: np.ndarray) -> np.ndarray:
    """Return the log of the summed exponentials of the scores of each row, (n_rows,), after centring them.

    Softmax probabilities do not change if all scores of a row do by the same amount; centred ones are comparable
    between models. A single score (n_rows, 1) is the difference of those of two classes.
    """
    if scores.shape[1] == 1:
        scores = np.hstack([-scores / 2, scores / 2])
    scores = scores.astype(np.float64)
    return logsumexp(scores - scores.mean(1, keepdims=True), axis=1)


def _largest(values: np.ndarray, n_values: int) -> np.ndarray:
    if len(values) <= n_values:
        return np.arange(len(values))
    return np.sort(np.argsort(-values, kind="stable")[:n_values])
