"""Positive pointwise mutual information of words and their contexts."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.threads import Map, slice_rows

__all__ = ["positive_pmi"]


def positive_pmi(counts: sparse.csr_array, smoothing: float, run: Map = map) -> sparse.csr_array:
    """Return the positive pointwise mutual information (PPMI) of pairs of words, in nats.

    Parameters
    ----------
    counts : CSR array of shape (n_words, n_words)
        Symmetric co-occurrence counts.
    smoothing : float
        Exponent of the smoothed distribution q of words (context-distribution smoothing); 1 for none.
    run : callable, default=map
        Maps a function over slices of the rows.

    Returns
    -------
    ppmi : CSR array of float32 of shape (n_words, n_words)
        Symmetric: max(0, log(p(i, j) / (q(i) q(j)))), where q(i) is proportional to p(i) ** smoothing.

    Notes
    -----
    PMI is biased towards rare words, whose counts are the least certain. Context-distribution smoothing with an
    exponent of 0.75 raises the co-occurrences of rare words that are expected by chance, and so reduces that bias
    [1]_. There only contexts are smoothed; smoothing both words keeps the matrix symmetric, so that an
    eigendecomposition gives its singular value decomposition.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg, I. Dagan (2015). Improving distributional similarity with lessons
       learned from word embeddings. TACL 3, 211-225.
    """
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    powers = totals**smoothing
    with np.errstate(divide="ignore"):  # words without co-occurrences have no entries
        log_shares = np.log(powers) - np.log(powers.sum() or 1.0)
        log_expected = log_shares + np.log(max(totals.sum(), 1))

    def compute(rows: tuple[sparse.csr_array, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part, expected_of_row = rows
        information = np.log(part.data)
        information -= np.repeat(expected_of_row, np.diff(part.indptr))
        information -= log_shares.take(part.indices)
        kept = np.flatnonzero(information > 0)
        n_kept = np.diff(np.searchsorted(kept, part.indptr))
        return information.take(kept).astype(np.float32), part.indices.take(kept).astype(np.int32), n_kept

    parts = slice_rows(counts)
    bounds = np.cumsum([0] + [part.shape[0] for part in parts])
    data, indices, n_kept = zip(
        *run(compute, zip(parts, np.split(log_expected, bounds[1:-1]), strict=True)), strict=True
    )
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(n_kept))])
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)  # 64-bit indices would take a third more memory
    return sparse.csr_array((np.concatenate(data), np.concatenate(indices), indptr), shape=counts.shape)
