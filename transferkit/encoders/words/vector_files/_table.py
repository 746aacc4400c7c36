"""A table of word vectors that grows while a file is read, and the handling of entries that cannot be read."""

import warnings

import numpy as np

from transferkit._warnings import count_inner_frames
from transferkit.exceptions import ModelFileError

__all__ = ["VectorTable"]

_SKIP = "errors='skip' leaves out what cannot be read."


class VectorTable:
    """Words, their ranks, and their vectors in one array that grows in place.

    Parameters
    ----------
    name : str
        Name of the file, for messages.
    encoding : str
        Encoding of the words.
    errors : {'strict', 'replace', 'ignore', 'skip'}
        How to handle bytes that are invalid in that encoding; "skip" leaves out all entries that cannot be read.
    """

    def __init__(self, name, encoding, errors):
        self.name = name
        self._encoding = encoding
        self._skips = errors == "skip"
        self._errors = "strict" if self._skips else errors
        self._n_skipped = self._n_repeated = 0
        self._first_problem = self._wrong_count = None
        self._words = {}
        self._ranks = []

    def begin(self, n_components, most_rows, n_announced):
        """Allocate memory for the vectors.

        Parameters
        ----------
        n_components : int
            Length of the vectors.
        most_rows : int or None
            Upper bound on the number of rows, for which memory is allocated at once; None if unknown.
        n_announced : int or None
            Number of words according to the header; None without a header.
        """
        self.n_components, self.n_announced = n_components, n_announced
        self._vectors = np.empty((most_rows or 0, n_components), np.float32)

    def decode(self, word, place, number):
        """Return a word as a str, or None to leave it out; `place` ("Line" or "Word") and `number` locate it."""
        try:
            return word.decode(self._encoding, self._errors)
        except UnicodeError:
            name = "UTF-8" if self._encoding.lower() in ("utf-8", "utf8") else self._encoding
        self.refuse(
            f"{place} {number} of {self.name!r} begins with a word that is not valid {name}: {word[:60]!r}.",
            "Give the encoding of the file, encoding='latin-1' for example, or errors='replace', 'ignore' or 'skip', "
            "which leaves such words out.",
        )
        return None

    def refuse(self, problem, remedy=_SKIP):
        """Raise ModelFileError about an entry that cannot be read, or count it with errors='skip'."""
        if not self._skips:
            raise ModelFileError(f"{problem} {remedy}")
        self._n_skipped += 1
        self._first_problem = self._first_problem or problem

    def refuse_count(self, problem):
        """Raise ModelFileError about a wrong number of words in the header, or note it with errors='skip'."""
        if not self._skips:
            raise ModelFileError(f"{problem} errors='skip' reads those that are there.")
        self._wrong_count = problem

    def add(self, words, ranks, rows):
        """Add the words of a block in the order of the file; of a repeated word the first row is kept."""
        new = []
        for place, (word, rank) in enumerate(zip(words, ranks, strict=True)):
            if word in self._words:
                self._n_repeated += 1
            else:
                self._words[word] = len(self._words)
                self._ranks.append(rank)
                new.append(place)
        end = len(self._words)
        if end > len(self._vectors):  # no reference check: the array is not shared yet
            self._vectors.resize((max(end, len(self._vectors) * 5 // 4), self.n_components), refcheck=False)
        self._vectors[end - len(new) : end] = rows if len(new) == len(rows) else rows[new]

    def finish(self):
        """Return words, ranks and vectors, and warn of entries that were left out."""
        left_out = ""
        if self._n_skipped:
            left_out = f"{self._n_skipped} lines or words of {self.name!r} could not be read. {self._first_problem}"
        left_out = " ".join(filter(None, [left_out, self._wrong_count]))
        if not self._words:
            raise ModelFileError(f"None of the wanted words is in {self.name!r}. {left_out}".rstrip())
        if left_out:
            warnings.warn(f"{left_out} What could be read is used.", UserWarning, stacklevel=count_inner_frames())
        if self._n_repeated:
            warnings.warn(
                f"{self._n_repeated} words of {self.name!r} occur again; their first vectors are kept.",
                UserWarning,
                stacklevel=count_inner_frames(),
            )
        self._vectors.resize((len(self._words), self.n_components), refcheck=False)
        return list(self._words), np.array(self._ranks, np.int64), self._vectors
