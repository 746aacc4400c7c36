"""Terms in few bytes, as most model files hold them, and their lookup without unpacking."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.text.text_bytes import PADDING
from transferkit._algorithms.text.tokens import copy_spans, hash_terms, load_words, pad, take_spans
from transferkit._algorithms.text.vocabulary import Vocabulary, sort_terms

__all__ = [
    "AlphabeticalIndex",
    "PackedTerms",
    "pack_integers",
    "pack_terms",
    "require",
    "unpack_integers",
    "unpack_terms",
]

_LARGE = 255  # in place of a number that is stored among the large ones
_WORD = 8  # bytes that are compared at once
_BLOCK = 1 << 13  # terms that are read at once: their arrays stay in the cache
_LONG = 64  # bytes; longer terms are few, and are compared one by one


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
            require(small.dtype == np.uint8 and small.shape == (len(self.lengths),))
            require(large.dtype == np.int64 and large.shape == (np.count_nonzero(small == _LARGE),))
            require(large.min(initial=_LARGE) >= _LARGE)
        require(self.text.dtype == np.uint8 and self.large_lengths.max(initial=0) <= len(self.text))
        require(self.text.shape == (unpack_integers(self.lengths, self.large_lengths).sum(),))
        if self.columns is not None:
            require(self.columns.dtype == np.int32 and self.columns.shape == self.lengths.shape)
            require(self.columns.min(initial=0) >= -1 and self.columns.max(initial=-1) < len(self.columns))


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


def require(fits: bool | np.bool_) -> None:
    if not fits:
        raise ValueError("the arrays of terms do not fit each other")


class AlphabeticalIndex:
    """Finds the columns of packed terms by binary search in their alphabetical order.

    It needs the first eight bytes of each term, which are read in a tenth of the time that computing and sorting hashes
    takes. Terms that share these bytes are distinguished by the next eight, and so on.
    """

    def __init__(self, packed: PackedTerms) -> None:
        self._text, self._bounds, self._columns = pad(packed.text), packed.bounds, packed.columns
        self._lengths = np.diff(self._bounds)
        self._first_words = np.empty(len(self._lengths), np.uint64)
        for first in range(0, len(self._lengths), _BLOCK):
            block, starts = slice(first, first + _BLOCK), self._bounds[first : first + _BLOCK + 1]
            text = self._text[starts[0] : starts[-1] + PADDING]
            self._first_words[block] = load_words(text, starts[:-1] - starts[0], self._lengths[block])
        self._first_words.byteswap(inplace=True)
        self._raw, self._keys = memoryview(packed.text.data), memoryview(self._first_words.data)

    def find_strings(self, terms: Iterable[str]) -> list[int]:
        """Return the column of each term, -1 for unknown ones: a few terms, one by one."""
        return [self._find(term.encode("utf-8", "surrogatepass")) for term in terms]

    def find(self, text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the column of each term (int32), -1 for unknown ones: many terms, with array operations.

        Terms are given as spans of bytes of a text that ends with `PADDING` spare ones.
        """
        words = load_words(text, starts, lengths).byteswap()
        order = np.argsort(words)  # neighbours are found in neighbouring places, which are in the cache
        starts, lengths = starts[order], lengths[order]
        low, high = self._narrow(words[order], text, starts, lengths)
        columns = np.full(len(order), -1, np.int32)
        found = np.flatnonzero(low < high)
        places = low[found]
        exact = self._lengths[places] == lengths[found]
        columns[order[found[exact]]] = places[exact] if self._columns is None else self._columns[places[exact]]
        # Terms that differ in zero bytes at their end share a place; of long ones only the beginning was compared.
        for k in found[(self._lengths[places] < lengths[found]) | (lengths[found] > _LONG)]:
            columns[order[k]] = self._find(text[starts[k] : starts[k] + lengths[k]].tobytes())
        return columns

    def _narrow(
        self, words: np.ndarray, text: np.ndarray, starts: np.ndarray, lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the range of places whose terms begin like each term, whose first words are given, in ascending order.

        Up to `_LONG` bytes are compared. The range is reduced to its first place unless a term has more.
        """
        low = np.searchsorted(self._first_words, words)
        high = low + (self._first_words.take(low, mode="clip") == words)
        longer = np.flatnonzero((low < high) & (lengths > _WORD))
        high[longer] = np.searchsorted(self._first_words, words[longer], side="right")
        for done in range(_WORD, _LONG, _WORD):
            if len(longer) == 0:
                break
            words = load_words(text, starts[longer] + done, lengths[longer] - done).byteswap()
            first, end = self._bisect(low[longer], high[longer] - 1, words, done, np.less), high[longer]
            matches = self._load(first, done) == words
            low[longer], high[longer] = first, first + matches
            goes_on = matches & (lengths[longer] > done + _WORD)
            longer, words, first, end = longer[goes_on], words[goes_on], first[goes_on], end[goes_on]
            high[longer] = self._bisect(first + 1, end, words, done, np.less_equal)
        return low, high

    def _bisect(
        self, low: np.ndarray, high: np.ndarray, words: np.ndarray, done: int, goes_before: np.ufunc
    ) -> np.ndarray:
        """Return the first place of each range whose word after `done` bytes does not go before the given one."""
        low, high = low.copy(), high.copy()
        wide = np.flatnonzero(low < high)
        while len(wide):
            middle = (low[wide] + high[wide]) >> 1
            before = goes_before(self._load(middle, done), words[wide])
            low[wide[before]] = middle[before] + 1
            high[wide[~before]] = middle[~before]
            wide = wide[low[wide] < high[wide]]
        return low

    def _load(self, places: np.ndarray, done: int) -> np.ndarray:
        """Return eight bytes of the terms at these places after `done` bytes as numbers, zeros beyond their end."""
        starts = np.minimum(self._bounds[places] + done, self._bounds[-1])
        return load_words(self._text, starts, self._lengths[places] - done).byteswap()

    def _find(self, term: bytes) -> int:
        first_word = int.from_bytes(term[:_WORD].ljust(_WORD, b"\0"), "big")
        low = bisect_left(self._keys, first_word)
        high = bisect_right(self._keys, first_word, low)
        place = bisect_left(range(high), term, low, key=self._spell)
        if place == high or self._spell(place) != term:
            return -1
        return place if self._columns is None else int(self._columns[place])

    def _spell(self, place: int) -> bytes:
        return self._raw[self._bounds[place] : self._bounds[place + 1]].tobytes()
