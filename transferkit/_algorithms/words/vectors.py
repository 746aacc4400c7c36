"""What word vectors give: vectors of texts, by pooling; of n-grams, for unseen words; and the nearest words."""

from collections.abc import Iterable
from copy import copy

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.conjugate_gradients import ridge_by_conjugate_gradients
from transferkit._algorithms.linalg.decompositions import drop_rounding, fix_signs
from transferkit._algorithms.linalg.threads import Map, multiply_slices, slice_rows
from transferkit._algorithms.text.term_counts import TermCounts

__all__ = [
    "common_direction",
    "fit_ngram_vectors",
    "max_rows",
    "mean_rows",
    "mean_weights",
    "nearest_rows",
    "ngram_shares",
    "remove_direction",
    "rotation_onto",
    "row_lengths",
    "smooth_inverse_frequency",
    "sum_of_rows",
]

_BLOCK_ENTRIES = 1 << 14  # word vectors that are gathered at a time
_BLOCK_ROWS = 1 << 10  # a few megabytes of vectors of 300 numbers in float64


def mean_rows(counts: sparse.csr_matrix, weights: np.ndarray | None, vectors: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the vectors of each text's words, float32; zeros for a text without a word.

    `counts` (n_texts, n_words) tells how often each word occurs in each text, `weights` (n_words,) the weight of an
    occurrence; None for equal weights.
    """
    weighted, totals = _weighted_counts(counts, weights)
    rows = weighted @ vectors
    rows /= totals
    return rows


def mean_weights(counts: sparse.csr_matrix, weights: np.ndarray | None) -> sparse.csr_matrix:
    """Return the matrix whose product with the word vectors is the result of :func:`mean_rows`.

    The row of each text adds up to one, or is zero for a text without words.
    """
    weighted, totals = _weighted_counts(counts, weights)
    weighted = copy(weighted)
    weighted.data = (weighted.data / np.repeat(totals.ravel(), np.diff(counts.indptr))).astype(np.float32)
    return weighted


def _weighted_counts(counts: sparse.csr_matrix, weights: np.ndarray | None) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return counts times weights, and their sum for each text as a column, with ones for sums of zero."""
    weighted = counts
    if weights is not None:
        weighted = copy(counts)  # for a short text, building a matrix takes as long as finding its words
        weighted.data = counts.data * weights.take(counts.indices)
    totals = np.zeros((counts.shape[0], 1), np.float32)
    filled = np.flatnonzero(counts.indptr[1:] > counts.indptr[:-1])
    totals[filled, 0] = np.add.reduceat(weighted.data, counts.indptr[filled])
    return weighted, np.where(totals > 0, totals, np.float32(1))


def max_rows(counts: sparse.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """Return the largest entry of each component among the vectors of each text's words; zeros for none."""
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


def rotation_onto(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrix R that brings rows @ R closest to the targets."""
    left, _, right = np.linalg.svd(rows.T.astype(np.float64) @ targets)
    return (left @ right).astype(np.float32)


def ngram_shares(ngrams: TermCounts, n_buckets: int) -> sparse.csr_array:
    """Return the share of each hash bucket among the n-grams of each word, float32 (n_words, n_buckets).

    Rows sum to one, or are zero for a word without n-grams.
    """
    buckets = (ngrams.hashes % np.uint64(n_buckets)).astype(np.int32)
    columns = np.repeat(buckets, np.diff(ngrams.indptr))
    counts = sparse.csr_array(
        (ngrams.counts.astype(np.float32), (ngrams.rows.astype(np.int32), columns)), shape=(ngrams.n_rows, n_buckets)
    )
    counts.sum_duplicates()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts.data /= np.repeat(totals, np.diff(counts.indptr)).astype(np.float32)
    return counts


def fit_ngram_vectors(
    shares: sparse.csr_array, vectors: np.ndarray, alpha: float, n_steps: int, run: Map = map
) -> np.ndarray:
    """Return vectors of n-grams whose means come close to the vectors of words: a ridge regression.

    `shares` are those of each n-gram in each word. The result nearly minimises ``||shares @ ngram_vectors - vectors||^2
    + alpha ||ngram_vectors||^2``: a few steps of conjugate gradients are enough, and stopping early regularises as
    well.

    fastText [1]_ trains the vectors of n-grams together with those of words. Fitting them to trained word vectors [2]_
    leaves these unchanged and takes seconds.

    References
    ----------
    .. [1] P. Bojanowski, E. Grave, A. Joulin, T. Mikolov (2017). Enriching word vectors with subword information.
       TACL 5, 135-146.
    .. [2] J. Zhao, S. Mudgal, Y. Liang (2018). Generalizing word embeddings using bag of subwords. EMNLP.
    """
    slices = slice_rows(sparse.csr_array(shares.T))
    return ridge_by_conjugate_gradients(shares, multiply_slices(slices, vectors, run), alpha, n_steps, run=run)[0]


def nearest_rows(
    vectors: np.ndarray, lengths: np.ndarray, target: np.ndarray, n: int, excluded: Iterable[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the largest cosine similarity to the target, and the cosines, nearest first.

    `lengths` are those of the vectors; `excluded` rows are left out, where negative numbers are ignored. Ties are in
    the order of rows, and rows of zeros have a cosine of 0.
    """
    cosines = vectors @ target.astype(vectors.dtype)
    cosines /= np.where(lengths > 0, lengths, 1) * max(np.linalg.norm(target), np.finfo(np.float32).tiny)
    left_out = {row for row in excluded if row >= 0}
    cosines[list(left_out)] = -np.inf
    n = min(n, len(cosines) - len(left_out))
    last = -np.partition(-cosines, max(n - 1, 0))[max(n - 1, 0)]
    nearest = np.flatnonzero(cosines >= last)  # more than n if several rows are tied for the last place
    nearest = nearest[np.argsort(-cosines[nearest], kind="stable")][:n]
    return nearest, cosines[nearest]
