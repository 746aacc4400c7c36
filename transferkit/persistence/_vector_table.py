"""Word vectors as they are collected from a file: one array, and the problems met on the way."""

import warnings

import numpy as np

from transferkit.exceptions import ModelFileError


class VectorTable:
    """Words, their ranks, and their vectors in one array that grows in place.

    Parameters
    ----------
    name : str
        The file, for messages.
    n_components : int
        Length of the vectors.
    most_rows : int or None
        Bound on the number of rows, all of which get memory at once; None where there is none.
    """

    def __init__(self, name, n_components, most_rows):
        self.name = name
        self.n_components = n_components
        self.n_repeated = 0
        self._words = {}
        self._ranks = []
        self._vectors = np.empty((most_rows or 0, n_components), np.float32)

    def add(self, words, ranks, rows):
        """Take in words of a block in the order of the file; of a word that occurs again, the first row is kept."""
        new = []
        for place, (word, rank) in enumerate(zip(words, ranks, strict=True)):
            if word in self._words:
                self.n_repeated += 1
            else:
                self._words[word] = len(self._words)
                self._ranks.append(rank)
                new.append(place)
        end = len(self._words)
        if end > len(self._vectors):  # references are not counted: nobody else has the array yet
            self._vectors.resize((max(end, len(self._vectors) * 5 // 4), self.n_components), refcheck=False)
        self._vectors[end - len(new) : end] = rows if len(new) == len(rows) else rows[new]

    def finish(self):
        """Return words, ranks and vectors."""
        if not self._words:
            raise ModelFileError(f"None of the wanted words is in {self.name!r}.")
        if self.n_repeated:
            warnings.warn(
                f"{self.n_repeated} words of {self.name!r} occur again; their first vectors are kept.",
                UserWarning,
                stacklevel=4,
            )
        self._vectors.resize((len(self._words), self.n_components), refcheck=False)
        return list(self._words), np.array(self._ranks, np.int64), self._vectors
