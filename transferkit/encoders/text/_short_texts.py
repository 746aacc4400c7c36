"""A few short texts, encoded without the fixed cost of array operations on blocks."""

from copy import copy

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.tfidf import Rows, stack_rows

_FEW = 16
_FEW_CHARACTERS = 4096  # up to here, plain Python beats the fixed cost of array operations
_MEMO_SIZE = 1 << 16  # terms whose column is remembered


def are_few(documents):
    """Return whether plain Python is the faster way."""
    return (
        isinstance(documents, list)
        and len(documents) <= _FEW
        and sum(len(text) if type(text) is str else _FEW_CHARACTERS for text in documents) < _FEW_CHARACTERS
    )


class ShortTexts:
    """Counts terms one text at a time, and remembers the columns of terms met.

    Parameters
    ----------
    analysis : TextAnalysis
        From texts to terms.
    find_columns : callable
        From terms (list of str) to the column of each, -1 for unknown ones.
    n_columns : int
        Number of columns.
    dtype : type
        Type of the rows.
    """

    def __init__(self, analysis, find_columns, n_columns, dtype):
        self._analysis, self._find_columns = analysis, find_columns
        self._empty_row = sparse.csr_matrix((1, n_columns), dtype=dtype)
        self._empty_row.has_canonical_format = True
        self._column_of = {}

    def encode(self, documents, weigh):
        """Return the rows of the texts, which `weigh` turns from counts to weights in place."""
        data, indices, indptr = [], [], [0]
        for document in documents:
            counts = {}
            for column in self._columns_of(self._analysis.analyze(document)):
                counts[column] = counts.get(column, 0) + 1
            counts.pop(-1, None)
            columns = sorted(counts)
            indices += columns
            data += [counts[column] for column in columns]
            indptr.append(len(indices))
        rows = Rows(np.array(data, self._empty_row.dtype), np.array(indices, np.int32), np.array(indptr, np.int32))
        weigh(rows)
        if len(documents) > 1:
            return stack_rows([rows], self._empty_row.shape[1])
        matrix = copy(self._empty_row)  # building one anew takes longer than all the rest
        matrix.data, matrix.indices, matrix.indptr = rows
        return matrix

    def _columns_of(self, terms):
        """Return the column of each term, -1 for unknown ones."""
        column_of = self._column_of
        columns = [column_of.get(term) for term in terms]
        if None in columns:
            new = list({term for term in terms if term not in column_of})
            found = self._find_columns(new)
            if len(column_of) + len(new) > _MEMO_SIZE:
                self._column_of = column_of = {}
            column_of.update(zip(new, found, strict=True))
            known = dict(zip(new, found, strict=True))
            columns = [known[term] if column is None else column for term, column in zip(terms, columns, strict=True)]
        return columns
