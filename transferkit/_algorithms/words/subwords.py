"""Vectors of character n-grams, from which unseen words get vectors."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.conjugate_gradients import conjugate_gradients
from transferkit._algorithms.linalg.threads import Map, multiply_slices, slice_rows
from transferkit._algorithms.text.term_counts import TermCounts

__all__ = ["fit_ngram_vectors", "ngram_shares"]


def ngram_shares(ngrams: TermCounts, n_buckets: int) -> sparse.csr_array:
    """Return the share of each hash bucket among the n-grams of each word.

    Parameters
    ----------
    ngrams : TermCounts
        Occurrences of n-grams in words.
    n_buckets : int
        Number of buckets.

    Returns
    -------
    shares : CSR array of float32 of shape (n_words, n_buckets)
        Rows that sum to one; zeros for a word without n-grams.
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

    Parameters
    ----------
    shares : CSR array of float32 of shape (n_words, n_ngrams)
        Share of each n-gram in each word.
    vectors : ndarray of float32 of shape (n_words, n_components)
        Vectors of the words.
    alpha : float
        Weight of the squared norms of the n-gram vectors relative to the squared errors.
    n_steps : int
        Steps of conjugate gradients; a few are enough, and stopping early regularises as well.
    run : callable, default=map
        Maps a function over slices.

    Returns
    -------
    ngram_vectors : ndarray of float32 of shape (n_ngrams, n_components)
        Minimiser of ``||shares @ ngram_vectors - vectors||^2 + alpha ||ngram_vectors||^2``, or nearly so.

    Notes
    -----
    fastText [1]_ trains the vectors of n-grams together with those of words. Fitting them to trained word vectors
    [2]_ leaves these unchanged and takes seconds.

    References
    ----------
    .. [1] P. Bojanowski, E. Grave, A. Joulin, T. Mikolov (2017). Enriching word vectors with subword information.
       TACL 5, 135-146.
    .. [2] J. Zhao, S. Mudgal, Y. Liang (2018). Generalizing word embeddings using bag of subwords. EMNLP.
    """
    forward, backward = slice_rows(shares), slice_rows(sparse.csr_array(shares.T))

    def multiply(direction: np.ndarray) -> np.ndarray:
        image = multiply_slices(backward, multiply_slices(forward, direction, run), run)
        image += np.float32(alpha) * direction
        return image

    return conjugate_gradients(multiply, multiply_slices(backward, vectors, run), n_steps)[0]
