"""What there is to ask about word vectors: their arrays, neighbours, analogies, similarity."""

import numpy as np

from transferkit._algorithms.linalg.normalisation import unit_rows
from transferkit._validation import check_count, check_is_fitted
from transferkit.encoders.text._analyzer import make_analyzer
from transferkit.encoders.words._subwords import spell_vectors


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
        return getattr(self, "_losses", [])  # older files have none

    def most_similar(self, word, n=10):
        """Return the words whose vectors point in the most similar directions.

        Parameters
        ----------
        word : str or array-like of shape (n_components,)
            A known word, which is left out of the answer, or any vector. A word that is not known as it is written is
            looked up as a text would be split into words: in lower case, for example.
        n : int, default=10
            Number of words.

        Returns
        -------
        similar : list of (str, float)
            Words with the cosines of their vectors, nearest first.

        Raises
        ------
        KeyError
            If the word is not in the vocabulary (with `subword`, if none of its n-grams is known either).
        ValueError
            If `n` is negative or not a whole number.
        """
        check_count("n", n, "most_similar")
        check_is_fitted(self)
        self._settle()
        if isinstance(word, str):
            (row,), (vector,) = self._look_up(word)
            return self._name_nearest(vector, n, [row])
        return self._name_nearest(np.asarray(word, np.float32), n, [])

    def analogy(self, a, b, c, n=10):
        """Return words that relate to c as b relates to a.

        Parameters
        ----------
        a, b, c : str
            Known words, looked up as in :meth:`most_similar` and left out of the answer: "man", "king", "woman" ask
            for "queen".
        n : int, default=10
            Number of words.

        Returns
        -------
        answers : list of (str, float)
            Words with the cosines of their vectors and b - a + c, all of unit length, nearest first.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary (with `subword`, if none of its n-grams is known either).
        ValueError
            If `n` is negative or not a whole number.
        """
        check_count("n", n, "analogy")
        check_is_fitted(self)
        self._settle()
        rows, vectors = self._look_up(a, b, c)
        first, second, third = unit_rows(np.stack(vectors))
        return self._name_nearest(second - first + third, n, rows)

    def similarity(self, a, b):
        """Return the cosine of two words' vectors.

        Parameters
        ----------
        a, b : str
            Known words, looked up as in :meth:`most_similar`.

        Returns
        -------
        cosine : float
            From -1 to 1.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary (with `subword`, if none of its n-grams is known either).
        """
        check_is_fitted(self)
        self._settle()
        first, second = unit_rows(np.stack(self._look_up(a, b)[1]))
        return float(first @ second)

    def _look_up(self, *words):
        """Return the rows of the words (-1 for one that only its spelling tells about), and their vectors."""
        rows = find_rows(self._words, words)
        names = list(words)
        unknown = [k for k, row in enumerate(rows) if row < 0]
        if unknown:
            analyze = make_analyzer(self._words).analyze
            for k in unknown:  # as the word would be found in a text
                tokens = analyze(words[k])
                names[k] = tokens[0] if len(tokens) == 1 else words[k].lower() if self.lowercase else words[k]
            rows = find_rows(self._words, names)
        vectors = [self._vectors[row] for row in rows]
        unseen = [k for k, row in enumerate(rows) if row < 0]
        if unseen and self.subword:
            for k, vector in zip(unseen, spell_vectors(self, [names[k] for k in unseen]), strict=True):
                vectors[k] = vector
        for k in unseen:
            if not self.subword or not vectors[k].any():
                raise KeyError(f"The word {words[k]!r} is not in the vocabulary.")
        return rows, vectors

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
        Nearest first, and the first row first where several are as near; rows of zeros have a cosine of 0.
    """
    cosines = vectors @ target.astype(vectors.dtype)
    cosines /= np.where(lengths > 0, lengths, 1) * max(np.linalg.norm(target), np.finfo(np.float32).tiny)
    excluded = {row for row in excluded if row >= 0}
    cosines[list(excluded)] = -np.inf
    n = min(n, len(cosines) - len(excluded))
    last = -np.partition(-cosines, max(n - 1, 0))[max(n - 1, 0)]
    nearest = np.flatnonzero(cosines >= last)  # more than n, where some are tied for the last place
    nearest = nearest[np.argsort(-cosines[nearest], kind="stable")][:n]
    return nearest, cosines[nearest]


def find_rows(words, names):
    """Return the row of each name in an encoder of words, -1 for one that is not in the vocabulary."""
    return words.terms_.find_columns(names)
