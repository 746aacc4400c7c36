"""Vectors of texts, pooled from the vectors of their words."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.decompositions import fix_signs

__all__ = [
    "common_direction",
    "drop_rounding",
    "max_rows",
    "mean_rows",
    "mean_weights",
    "remove_direction",
    "rotation_onto",
    "row_lengths",
    "smooth_inverse_frequency",
    "sum_of_rows",
]

_BLOCK_ENTRIES = 1 << 14  # word vectors that are gathered at a time
_BLOCK_ROWS = 1 << 10  # a few megabytes of vectors of 300 numbers in float64
_ROUNDING = 10 * np.finfo(np.float32).eps  # relative length


def mean_rows(counts: sparse.csr_matrix, weights: np.ndarray | None, vectors: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the vectors of each text's words; zeros for a text without a word.

    Parameters
    ----------
    counts : CSR matrix of float32 of shape (n_texts, n_words)
        How often each word occurs in each text.
    weights : ndarray of float32 of shape (n_words,) or None
        Weight of an occurrence of each word; None for equal weights.
    vectors : ndarray of float32 of shape (n_words, n_components)
        Word vectors.

    Returns
    -------
    rows : ndarray of float32 of shape (n_texts, n_components)
        Means.
    """
    weighted, totals = _weighted_counts(counts, weights)
    rows = weighted @ vectors
    rows /= totals
    return rows


def mean_weights(counts: sparse.csr_matrix, weights: np.ndarray | None) -> sparse.csr_matrix:
    """Return the matrix whose product with the word vectors is the result of :func:`mean_rows`.

    Parameters are those of :func:`mean_rows`. The row of each text adds up to one, or is zero for a text without words.
    """
    weighted, totals = _weighted_counts(counts, weights)
    weighted.data = (weighted.data / np.repeat(totals.ravel(), np.diff(counts.indptr))).astype(np.float32)
    return weighted


def _weighted_counts(counts: sparse.csr_matrix, weights: np.ndarray | None) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return counts times weights, and their sum for each text as a column, with ones for sums of zero."""
    data = counts.data if weights is None else counts.data * weights.take(counts.indices)
    weighted = sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)
    totals = np.asarray(weighted.sum(axis=1), np.float32)
    return weighted, np.where(totals > 0, totals, np.float32(1))


def max_rows(counts: sparse.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """Return the largest entry of each component among the vectors of each text's words; zeros for none.

    Parameters and result are those of :func:`mean_rows`.
    """
    rows = np.zeros((counts.shape[0], vectors.shape[1]), np.float32)
    begin = 0
    while begin < counts.shape[0]:
        end = int(np.searchsorted(counts.indptr, counts.indptr[begin] + _BLOCK_ENTRIES, side="right")) - 1
        end = min(max(end, begin + 1), counts.shape[0])
        bounds = counts.indptr[begin : end + 1]
        filled = np.flatnonzero(np.diff(bounds) > 0)
        if len(filled):
            gathered = vectors[counts.indices[bounds[0] : bounds[-1]]]
            rows[begin + filled] = np.maximum.reduceat(gathered, bounds[filled] - bounds[0], axis=0)
        begin = end
    return rows


def remove_direction(rows: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the rows less their components along a unit vector."""
    return drop_rounding(rows - np.outer(rows @ direction, direction), np.linalg.norm(rows, axis=1))


def smooth_inverse_frequency(frequency: np.ndarray, a: float) -> np.ndarray:
    """Return a / (a + p) for each word of share p of all words.

    References
    ----------
    .. [1] S. Arora, Y. Liang, T. Ma (2017). A simple but tough-to-beat baseline for sentence
       embeddings. ICLR.
    """
    return (a / (a + frequency)).astype(np.float32)


def common_direction(rows: np.ndarray) -> np.ndarray:
    """Return the first right singular vector of the rows, along which they agree most; zeros if all rows are zero."""
    gram = rows.T.astype(np.float64) @ rows
    if not gram.any():
        return np.zeros(len(gram), np.float32)
    direction = np.linalg.eigh(gram)[1][:, -1:]
    return fix_signs(direction)[:, 0].astype(np.float32)


def row_lengths(rows: np.ndarray) -> np.ndarray:
    """Return the length of each row, computed in blocks to save memory."""
    blocks = range(0, len(rows), _BLOCK_ROWS)
    return np.concatenate([np.linalg.norm(rows[k : k + _BLOCK_ROWS], axis=1) for k in blocks] or [rows[:0, 0]])


def sum_of_rows(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the rows, computed in blocks to save memory."""
    total = np.zeros(rows.shape[1])
    for k in range(0, len(rows), _BLOCK_ROWS):
        total += weights[k : k + _BLOCK_ROWS] @ rows[k : k + _BLOCK_ROWS]
    return total


def drop_rounding(rows: np.ndarray, scale: np.ndarray | float | None = None) -> np.ndarray:
    """Return the rows with zeros in place of those that consist of rounding errors only.

    Parameters
    ----------
    rows : ndarray of float32 of shape (n_rows, n_columns)
        Rows.
    scale : float or ndarray of shape (n_rows,), default=None
        Length of the vectors that each row was computed from; None for the length of the longest row.

    Returns
    -------
    rows : ndarray of float32 of shape (n_rows, n_columns)
        The array itself if there is no such row.
    """
    lengths = np.linalg.norm(rows, axis=1)
    is_rounding = lengths <= _ROUNDING * (lengths.max(initial=0) if scale is None else scale)
    return np.where(is_rounding[:, None], np.float32(0), rows) if is_rounding.any() else rows


def rotation_onto(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrix R that brings rows @ R closest to the targets."""
    left, _, right = np.linalg.svd(rows.T.astype(np.float64) @ targets)
    return (left @ right).astype(np.float32)
