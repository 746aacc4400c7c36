"""Positive pointwise mutual information of words that stand near each other."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.sparse_products import Map, slice_rows


def positive_pmi(counts: sparse.csr_array, smoothing: float, run: Map = map) -> sparse.csr_array:
    """Return how much more often words stand together than chance would have it, in nats.

    Parameters
    ----------
    counts : CSR array of shape (n_words, n_words)
        Symmetric counts of pairs.
    smoothing : float
        Power to which the words' shares of all counts are raised before chance is computed; 1 leaves them as they are.
    run : callable, default=map
        Maps a function over slices of the rows.

    Returns
    -------
    ppmi : CSR array of float32 of shape (n_words, n_words)
        Symmetric: max(0, log(p(i, j) / (q(i) q(j)))) with q(i) in proportion to p(i) ** smoothing.

    Notes
    -----
    PMI is largest for rare words, whose counts are the least certain. Raising shares to the power 0.75 makes chance
    meetings of rare words likelier and so takes that back [1]_. There it is done for contexts; doing it for both words
    keeps the matrix symmetric, so that one eigendecomposition does the work of an SVD.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg, I. Dagan (2015). Improving distributional similarity with lessons
       learned from word embeddings. TACL 3, 211-225.
    """
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    powers = totals**smoothing
    with np.errstate(divide="ignore"):  # a word without company has no entries
        chance = np.log(powers) - np.log(powers.sum() or 1.0)
        own = chance + np.log(max(totals.sum(), 1))

    def weigh(numbered: tuple[sparse.csr_array, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part, of_row = numbered
        information = np.log(part.data)
        information -= np.repeat(of_row, np.diff(part.indptr))
        information -= chance.take(part.indices)
        kept = np.flatnonzero(information > 0)
        n_kept = np.diff(np.searchsorted(kept, part.indptr))
        return information.take(kept).astype(np.float32), part.indices.take(kept).astype(np.int32), n_kept

    parts = slice_rows(counts)
    bounds = np.cumsum([0] + [part.shape[0] for part in parts])
    data, indices, n_kept = zip(*run(weigh, zip(parts, np.split(own, bounds[1:-1]), strict=True)), strict=True)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(n_kept))])
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)  # indices of eight bytes would take a third more of memory and its traffic
    return sparse.csr_array((np.concatenate(data), np.concatenate(indices), indptr), shape=counts.shape)
