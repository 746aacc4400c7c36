"""A vocabulary in few bytes: terms in alphabetical order, counts as bytes, hashes computed again from the text."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.text.tokens import copy_spans, hash_terms, pad, take_spans
from transferkit._algorithms.text.vocabulary import Vocabulary, sort_terms

__all__ = [
    "PackedTerms",
    "StringIndex",
    "pack_integers",
    "pack_terms",
    "unpack_integers",
    "unpack_terms",
]

_LARGE = 255  # in place of a number that is stored among the large ones


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
    """Finds the columns of terms by binary search: slower than by hash, but needs no preparation.

    Parameters
    ----------
    packed : PackedTerms
        The terms.
    """

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
