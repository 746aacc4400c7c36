"""Nearest neighbours among word vectors by cosine similarity."""

from collections.abc import Iterable

import numpy as np

__all__ = ["nearest_rows"]


def nearest_rows(
    vectors: np.ndarray, lengths: np.ndarray, target: np.ndarray, n: int, excluded: Iterable[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the largest cosine similarity to the target, and the cosines.

    Parameters
    ----------
    vectors : ndarray of shape (n_words, n_components)
        Word vectors.
    lengths : ndarray of shape (n_words,)
        Their lengths.
    target : ndarray of shape (n_components,)
        Vector to compare them with.
    n : int
        Number of rows to return.
    excluded : iterable of int
        Rows to leave out; negative numbers are ignored.

    Returns
    -------
    rows, cosines : ndarrays of shape (n,)
        Nearest first, ties in the order of rows. Rows of zeros have a cosine of 0.
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
