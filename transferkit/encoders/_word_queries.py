"""Which words are near a vector."""

import numpy as np

from transferkit._algorithms.vocabulary import find_terms
from transferkit.encoders._text_analysis import make_analysis


def nearest_rows(vectors, lengths, target, n, excluded=()):
    """Return the rows whose cosine with the target is largest, and the cosines.

    Parameters
    ----------
    vectors : ndarray of shape (n_words, n_components)
        Word vectors.
    lengths : ndarray of shape (n_words,)
        Their lengths.
    target : ndarray of shape (n_components,)
        What they are compared with.
    n : int
        Number of rows to return.
    excluded : iterable of int
        Rows that are left out.

    Returns
    -------
    rows, cosines : ndarrays of shape (n,)
        Nearest first; rows of zeros have a cosine of 0.
    """
    cosines = vectors @ target.astype(vectors.dtype)
    cosines /= np.where(lengths > 0, lengths, 1) * max(np.linalg.norm(target), np.finfo(np.float32).tiny)
    cosines[list(excluded)] = -np.inf
    n = min(n, len(cosines) - len(set(excluded)))
    nearest = np.argpartition(-cosines, max(n - 1, 0))[:n]
    nearest = nearest[np.lexsort((nearest, -cosines[nearest]))]
    return nearest, cosines[nearest]


def unit(vector):
    """Return the vector divided by its length; one of zeros stays."""
    return vector / (np.linalg.norm(vector) or 1)


def row_of_word(words, word):
    """Return the row of a word in an encoder of words.

    Raises
    ------
    KeyError
        If it is not in the vocabulary.
    """
    place = int(find_terms(words._hashes, words._checks, *make_analysis(words).hash_terms([word]))[0])
    if place < 0:
        raise KeyError(f"The word {word!r} is not in the vocabulary.")
    return int(words._columns[place])
