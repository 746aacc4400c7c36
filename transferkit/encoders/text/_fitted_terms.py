"""The terms of a fitted encoder: their columns and weights, how they are looked up, and how model files hold them."""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.text.tokens import copy_spans, hash_strings, hash_terms, pad, take_spans
from transferkit._algorithms.text.vocabulary import TermStatistics, Vocabulary, decode_terms, find_terms, sort_terms

__all__ = [
    "STATE",
    "FittedTerms",
    "PackedTerms",
    "StringIndex",
    "pack_integers",
    "pack_terms",
    "to_state",
    "to_statistics",
    "unpack_integers",
    "unpack_terms",
]

_ARRAYS = ("_hashes", "_checks", "_document_frequency", "_total", "_term_text", "_term_starts", "_term_lengths")
# The attributes of an encoder that its pickles and model files hold; files of earlier versions have a `_tally`, too.
STATE = (*_ARRAYS, "_columns", "_idf", "_packed", "_keeps_all", "_is_complete", "_vocabulary_error", "_tally")
_MOST_PACKED = 200_000  # terms; with more, unpacking would cost each process more than it saves in the file
_MEMO_SIZE = 1 << 16  # terms whose column is remembered
_LARGE = 255  # in place of a number that is stored among the large ones


class FittedTerms:
    """Terms with their frequencies, columns and weights.

    A term is looked up by its hashes where many texts are encoded, and by its string where a few are. Terms from a
    model file may be packed: then strings are found by binary search, and the arrays of hashes are made when they are
    first needed.

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
        self._column_of = {}

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
            _require(state.setdefault("_idf", idf).shape == idf.shape)
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

    def columns_of(self, hashes, checks):
        """Return the columns of terms given by their hashes, -1 for unknown ones."""
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
            return self._index.find_columns(terms)
        return self.columns_of(*hash_strings(terms, self._by_word)).tolist()

    @cached_property
    def _index(self):
        return StringIndex(self._packed)

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
    _require(all(array.shape == columns.shape for array in per_term))
    _require(columns.ndim == 1 and columns.dtype == np.int32)
    if len(columns) and not (columns.min() >= -1 and columns.max() < n_columns):
        raise ValueError("the columns of terms are out of range")


class PackedTerms(NamedTuple):
    """Terms in alphabetical order, a third of the bytes of a :class:`Vocabulary`.

    `text` is their UTF-8 bytes without gaps. Each of the following pairs holds one number per term as uint8, 255 if
    it is larger than 254, and these larger numbers in order, as int64: the length in bytes, the document frequency, and
    the number of occurrences minus the document frequency. `columns` (int32) is None when the terms are in
    the order of the columns.
    """

    text: np.ndarray
    lengths: np.ndarray
    large_lengths: np.ndarray
    document_frequency: np.ndarray
    large_document_frequency: np.ndarray
    repeats: np.ndarray
    large_repeats: np.ndarray
    columns: np.ndarray | None

    @property
    def bounds(self) -> np.ndarray:
        """Where each term starts in the text, and where the last one ends, shape (n_terms + 1,)."""
        bounds = np.zeros(len(self.lengths) + 1, np.int64)
        np.cumsum(unpack_integers(self.lengths, self.large_lengths), out=bounds[1:])
        return bounds

    def check(self) -> None:
        """Raise ValueError unless the arrays fit each other, as those of a file may not."""
        for small, large in (
            (self.lengths, self.large_lengths),
            (self.document_frequency, self.large_document_frequency),
            (self.repeats, self.large_repeats),
        ):
            _require(small.dtype == np.uint8 and small.shape == (len(self.lengths),))
            _require(large.dtype == np.int64 and large.shape == (np.count_nonzero(small == _LARGE),))
            _require(large.min(initial=_LARGE) >= _LARGE)
        _require(self.text.dtype == np.uint8 and self.large_lengths.max(initial=0) <= len(self.text))
        _require(self.text.shape == (unpack_integers(self.lengths, self.large_lengths).sum(),))
        if self.columns is not None:
            _require(self.columns.dtype == np.int32 and self.columns.shape == self.lengths.shape)
            _require(self.columns.min(initial=0) >= -1 and self.columns.max(initial=-1) < len(self.columns))


def pack_terms(terms: Vocabulary, columns: np.ndarray) -> PackedTerms:
    """Return terms, and the column of each (-1 for none), in few bytes."""
    order = sort_terms(terms.text, terms.starts, terms.lengths)
    lengths, frequency = terms.lengths[order].astype(np.int64), terms.document_frequency[order]
    columns = columns[order]
    return PackedTerms(
        take_spans(terms.text, terms.starts[order].astype(np.int64), lengths),
        *pack_integers(lengths),
        *pack_integers(frequency),
        *pack_integers(terms.total[order] - frequency),
        None if np.array_equal(columns, np.arange(len(columns))) else columns,
    )


def unpack_terms(packed: PackedTerms, by_word: bool) -> tuple[Vocabulary, np.ndarray]:
    """Return the vocabulary and the column of each term; `by_word` is that of `hash_terms`."""
    starts, lengths = packed.bounds[:-1], unpack_integers(packed.lengths, packed.large_lengths)
    text = pad(packed.text)
    hashes, checks = hash_terms(text, starts, lengths, by_word)
    order = np.argsort(hashes)
    ascending = hashes[order]
    if (ascending[1:] == ascending[:-1]).any():
        order = np.lexsort((checks, hashes))
    text, starts = copy_spans(text, starts[order], lengths[order])
    frequency = unpack_integers(packed.document_frequency, packed.large_document_frequency)[order]
    repeats = unpack_integers(packed.repeats, packed.large_repeats)[order]
    columns = order.astype(np.int32) if packed.columns is None else packed.columns[order]
    lengths = lengths[order].astype(np.int32)
    return Vocabulary(hashes[order], checks[order], frequency, frequency + repeats, pad(text), starts, lengths), columns


def pack_integers(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts as bytes, 255 for larger ones, and the larger ones (int64)."""
    return np.minimum(numbers, _LARGE).astype(np.uint8), numbers[numbers >= _LARGE].astype(np.int64)


def unpack_integers(small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """Return the counts (int64) that `pack_integers` was given."""
    numbers = small.astype(np.int64)
    numbers[small == _LARGE] = large
    return numbers


def _require(fits: bool | np.bool_) -> None:
    if not fits:
        raise ValueError("the arrays of terms do not fit each other")


class StringIndex:
    """Finds the columns of packed terms by binary search: slower than by hash, but needs no preparation."""

    def __init__(self, packed: PackedTerms) -> None:
        self._text, self._bounds, self._columns = memoryview(packed.text.data), packed.bounds, packed.columns

    def find_columns(self, terms: Iterable[str]) -> list[int]:
        """Return the column of each term, -1 for unknown ones."""
        return [self._find_column(term.encode("utf-8", "surrogatepass")) for term in terms]

    def _find_column(self, term: bytes) -> int:
        low, high = 0, len(self._bounds) - 1
        while low < high:
            middle = (low + high) // 2
            if self._spell(middle) < term:
                low = middle + 1
            else:
                high = middle
        if low == len(self._bounds) - 1 or self._spell(low) != term:
            return -1
        return low if self._columns is None else int(self._columns[low])

    def _spell(self, place: int) -> bytes:
        return self._text[self._bounds[place] : self._bounds[place + 1]].tobytes()
