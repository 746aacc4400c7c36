"""The terms of a fitted encoder: their columns and weights, how they are looked up, and how model files hold them."""

from functools import cached_property

import numpy as np

from transferkit._algorithms.text.tokens import hash_strings
from transferkit._algorithms.text.vocabulary import TermStatistics, Vocabulary, decode_terms, find_terms
from transferkit.encoders.text._packed_terms import (
    AlphabeticalIndex,
    PackedTerms,
    pack_terms,
    require,
    unpack_integers,
    unpack_terms,
)

__all__ = ["STATE", "FittedTerms", "to_state", "to_statistics"]

_ARRAYS = ("_hashes", "_checks", "_document_frequency", "_total", "_term_text", "_term_starts", "_term_lengths")
# The attributes of an encoder that its pickles and model files hold; files of earlier versions have a `_tally`, too.
STATE = (*_ARRAYS, "_columns", "_idf", "_packed", "_keeps_all", "_is_complete", "_vocabulary_error", "_tally")
_MOST_PACKED = 200_000  # terms; with more, unpacking would cost each process more than it saves in the file
_MEMO_SIZE = 1 << 16  # terms whose column is remembered


class FittedTerms:
    """Terms with their frequencies, columns and weights.

    Terms are looked up by their hashes. Those from a model file may be packed: then they are looked up in alphabetical
    order, until as many have been looked up as there are. By then hashing all of them would have taken as long as it
    saves, so they are hashed, and later ones are looked up by hash. They are hashed earlier if the encoder is fitted
    further.

    Parameters
    ----------
    statistics : TermStatistics
        The terms and their frequencies; its terms are None if they are packed.
    columns : ndarray of int32 of shape (n_terms,) or None
        Column of each term, -1 for terms that the bounds of the encoder exclude; None if the terms are packed.
    idf : ndarray of shape (n_columns,)
        Weight of each column.
    by_word : bool
        Whether terms are hashed word by word.
    keeps_excluded : bool
        Whether pickles and model files hold the excluded terms, too, so that fitting can continue.
    is_complete : bool, default=True
        Whether the excluded terms are present.
    packed : PackedTerms, default=None
        The terms and their columns, if they are packed.
    """

    def __init__(self, statistics, columns, idf, *, by_word, keeps_excluded, is_complete=True, packed=None):
        terms, self.n_documents, self.error = statistics
        if packed is None:
            self.vocabulary, self.columns = terms, columns  # sets the values of the cached properties
        self.idf = idf
        self.keeps_excluded, self.is_complete = keeps_excluded, is_complete
        self._by_word, self._packed = by_word, packed
        self._column_of, self._n_sought = {}, 0

    @classmethod
    def from_state(cls, state, n_documents, by_word, weight):
        """Return the terms that the attributes `STATE` of a pickle or a model file hold, after checking that they fit.

        `weight` computes the weights of columns from document frequencies and columns, for files that do not hold them.
        """
        flags = {
            "by_word": by_word,
            "keeps_excluded": state["_keeps_all"],
            "is_complete": state["_is_complete"],
        }
        if state.get("_packed") is not None:
            packed = PackedTerms(*state["_packed"])
            packed.check()
            idf = _weights_of_packed(packed, weight)
            require(state.setdefault("_idf", idf).shape == idf.shape)
            statistics = TermStatistics(None, n_documents, state.get("_vocabulary_error", 0))
            return cls(statistics, None, state["_idf"], packed=packed, **flags)
        _check_arrays(state)
        return cls(to_statistics(state, n_documents), state["_columns"], state["_idf"], **flags)

    @cached_property
    def vocabulary(self):
        """The terms in ascending order of hash, with their text and frequencies."""
        return self._unpacked[0]

    @cached_property
    def columns(self):
        """Column of each term, -1 for excluded ones."""
        return self._unpacked[1]

    @cached_property
    def _unpacked(self):
        return unpack_terms(self._packed, self._by_word)

    def statistics(self):
        """Return the terms and their frequencies, including those without a column."""
        return TermStatistics(self.vocabulary, self.n_documents, self.error)

    @property
    def kept(self):
        """The terms that have a column, and their columns."""
        kept = np.flatnonzero(self.columns >= 0)
        return self.vocabulary.select(kept), self.columns[kept]

    def names(self):
        """Return the terms in the order of the columns."""
        kept = np.flatnonzero(self.columns >= 0)
        order = kept[np.argsort(self.columns[kept])]
        terms = self.vocabulary
        return decode_terms(terms.text, terms.starts[order], terms.lengths[order])

    def columns_of(self, terms):
        """Return the columns of distinct terms, as counted in texts or of another vocabulary; -1 for unknown ones."""
        self._n_sought += len(terms.hashes)
        if "vocabulary" not in vars(self) and self._n_sought <= len(self._packed.lengths):
            return self._index.find(terms.text, terms.starts, terms.lengths)
        return self._columns_by_hash(terms.hashes, terms.checks)

    def _columns_by_hash(self, hashes, checks):
        places = find_terms(self.vocabulary.hashes, self.vocabulary.checks, hashes, checks)
        return np.where(places >= 0, self.columns[places], np.int32(-1))

    def find_columns(self, terms):
        """Return the columns of terms given as strings, -1 for unknown ones, and remember them."""
        column_of = self._column_of
        columns = [column_of.get(term) for term in terms]
        if None in columns:
            new = list({term for term in terms if term not in column_of})
            found = dict(zip(new, self._search(new), strict=True))
            if len(column_of) + len(new) > _MEMO_SIZE:
                self._column_of = column_of = {}
            column_of.update(found)
            columns = [found[term] if column is None else column for term, column in zip(terms, columns, strict=True)]
        return columns

    def _search(self, terms):
        if self._packed is not None:
            return self._index.find_strings(terms)
        return self._columns_by_hash(*hash_strings(terms, self._by_word)).tolist()

    @cached_property
    def _index(self):
        return AlphabeticalIndex(self._packed)

    def check_complete(self, name):
        """Raise ValueError unless fitting can continue; `name` is the class of the user's encoder."""
        if not self.is_complete:
            raise ValueError(
                f"This {name} was fitted with fit and then pickled or saved, which leaves out the terms that min_df, "
                "max_df or max_features exclude, so it cannot be fitted further exactly. Fit it with partial_fit, "
                "which keeps them."
            )

    def without_excluded(self):
        """Return the terms that have a column, or these terms if none are excluded."""
        if self._packed is not None or not (self.columns < 0).any():
            return self
        terms, columns = self.kept
        statistics = TermStatistics(terms, self.n_documents, self.error)
        return FittedTerms(
            statistics, columns, self.idf, by_word=self._by_word, keeps_excluded=False, is_complete=False
        )

    def get_state(self):
        """Return the attributes that a pickle holds; see `STATE`."""
        terms = self if self.keeps_excluded else self.without_excluded()
        state = {
            "_idf": terms.idf,
            "_packed": terms._packed,
            "_keeps_all": terms.keeps_excluded,
            "_is_complete": terms.is_complete,
            "_vocabulary_error": terms.error,
        }
        if terms._packed is not None:
            return state
        return state | to_state(terms.statistics()) | {"_columns": terms.columns}

    def get_file_state(self, by_word, weight):
        """Return the attributes that a model file holds: up to `_MOST_PACKED` terms are packed.

        `by_word` says how the encoder, once loaded, hashes terms: parameters may have been set since the fit. Weights
        are stored only if they differ from those that `weight` computes from document frequencies and columns.
        """
        state = self.get_state()
        packed = state["_packed"]
        if packed is None:
            if len(state["_columns"]) > _MOST_PACKED:
                return state
            terms, columns = to_statistics(state, self.n_documents).terms, state["_columns"]
            packed = pack_terms(terms, columns)
            again, columns_again = unpack_terms(packed, by_word)
            if not all(map(np.array_equal, (*again[:4], columns_again), (*terms[:4], columns))):
                return state  # parameters set since the fit change the hashes
        state = {name: value for name, value in state.items() if name not in (*_ARRAYS, "_columns")}
        if np.array_equal(self.idf, _weights_of_packed(packed, weight)):
            del state["_idf"]
        return state | {"_packed": tuple(packed)}


def to_state(statistics):
    """Return the attributes that a pickle holds of term statistics."""
    return {**dict(zip(_ARRAYS, statistics.terms, strict=True)), "_vocabulary_error": statistics.error}


def to_statistics(state, n_documents):
    """Return the term statistics that attributes hold."""
    terms = Vocabulary(*(state[name] for name in _ARRAYS))
    return TermStatistics(terms, n_documents, state.get("_vocabulary_error", 0))  # missing in the oldest files


def _weights_of_packed(packed, weight):
    frequency = unpack_integers(packed.document_frequency, packed.large_document_frequency)
    with np.errstate(divide="ignore"):  # terms of a given vocabulary that are in no document
        return weight(frequency, packed.columns)


def _check_arrays(state):
    """Raise ValueError for columns with which compiled code would read beyond the weights of a model."""
    columns, n_columns = state["_columns"], len(state["_idf"])
    per_term = [state[name] for name in _ARRAYS if name != "_term_text"]
    require(all(array.shape == columns.shape for array in per_term))
    require(columns.ndim == 1 and columns.dtype == np.int32)
    if len(columns) and not (columns.min() >= -1 and columns.max() < n_columns):
        raise ValueError("the columns of terms are out of range")
