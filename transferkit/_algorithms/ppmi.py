"""Positive pointwise mutual information of words that stand near each other."""

import numpy as np
from scipy import sparse


def positive_pmi(counts: sparse.csr_array, smoothing: float) -> sparse.csr_array:
    """Return how much more often words stand together than chance would have it, in nats.

    Parameters
    ----------
    counts : CSR array of shape (n_words, n_words)
        Symmetric counts of pairs.
    smoothing : float
        Power to which the words' shares of all counts are raised before chance is computed; 1 leaves them as they are.

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
        chance = np.log(powers) - np.log(powers.sum())
    rows = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
    information = np.log(counts.data / max(totals.sum(), 1))
    information -= chance[rows]
    information -= chance[counts.indices]
    kept = information > 0
    n_kept = np.concatenate([[0], np.cumsum(kept)])[counts.indptr]
    data = information[kept].astype(np.float32)
    return sparse.csr_array((data, counts.indices[kept], n_kept), shape=counts.shape)
