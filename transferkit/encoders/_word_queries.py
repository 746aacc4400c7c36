"""What there is to ask about word vectors: their arrays, neighbours, analogies, similarity."""

import numpy as np

from transferkit._algorithms.vocabulary import find_terms
from transferkit._validation import check_is_fitted
from transferkit.encoders._text_analysis import make_analysis


class WordQueriesMixin:
    """Answers questions from `_vectors`, their `_lengths`, and the encoder of words `_words`."""

    @property
    def vectors_(self):
        """Word vectors, shape (n_words, n_components)."""
        check_is_fitted(self)
        self._settle()
        return self._vectors

    @property
    def frequency_(self):
        """Share of each word, shape (n_words,)."""
        check_is_fitted(self)
        self._settle()
        return self._frequency

    @property
    def idf_(self):
        """Inverse document frequency of each word, shape (n_words,)."""
        check_is_fitted(self)
        self._settle()
        return self._idf

    @property
    def vocabulary_(self):
        """Row of each word."""
        check_is_fitted(self)
        self._settle()
        return self._words.vocabulary_

    @property
    def loss_curve_(self):
        """Objective in each epoch of training."""
        check_is_fitted(self)
        self._settle()
        return self._losses

    def most_similar(self, word, n=10):
        """Return the words whose vectors point in the most similar directions.

        Parameters
        ----------
        word : str or array-like of shape (n_components,)
            A known word, which is left out of the answer, or any vector.
        n : int, default=10
            Number of words.

        Returns
        -------
        similar : list of (str, float)
            Words with the cosines of their vectors, nearest first.

        Raises
        ------
        KeyError
            If the word is not in the vocabulary.
        """
        check_is_fitted(self)
        self._settle()
        if isinstance(word, str):
            row = _row_of_word(self._words, word)
            return self._name_nearest(self._vectors[row], n, [row])
        return self._name_nearest(np.asarray(word, np.float32), n, [])

    def analogy(self, a, b, c, n=10):
        """Return words that relate to c as b relates to a.

        Parameters
        ----------
        a, b, c : str
            Known words, which are left out of the answer: "man", "king", "woman" ask for "queen".
        n : int, default=10
            Number of words.

        Returns
        -------
        answers : list of (str, float)
            Words with the cosines of their vectors and b - a + c, all of unit length, nearest first.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary.
        """
        check_is_fitted(self)
        self._settle()
        rows = [_row_of_word(self._words, word) for word in (a, b, c)]
        first, second, third = (_unit(self._vectors[row]) for row in rows)
        return self._name_nearest(second - first + third, n, rows)

    def similarity(self, a, b):
        """Return the cosine of two words' vectors.

        Parameters
        ----------
        a, b : str
            Known words.

        Returns
        -------
        cosine : float
            From -1 to 1.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary.
        """
        check_is_fitted(self)
        self._settle()
        first, second = (_unit(self._vectors[_row_of_word(self._words, word)]) for word in (a, b))
        return float(first @ second)

    def _name_nearest(self, target, n, excluded):
        rows, cosines = _nearest_rows(self._vectors, self._lengths, target, n, excluded)
        names = self._words.get_feature_names_out()
        return [(names[row], float(cosine)) for row, cosine in zip(rows, cosines, strict=True)]


def _nearest_rows(vectors, lengths, target, n, excluded=()):
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


def _unit(vector):
    """Return the vector divided by its length; one of zeros stays."""
    return vector / (np.linalg.norm(vector) or 1)


def _row_of_word(words, word):
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
