"""Occurrences of terms, grouped into counts."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.tokens import NGrams, copy_spans, pad

__all__ = [
    "TermCounts",
    "count_terms",
    "count_through_words",
    "group_equal",
]

_ONE = np.uint64(1)


class TermCounts(NamedTuple):
    """How often each distinct term occurs in each row of a block, by term.

    `hashes` (ascending) and `checks` identify the terms. Term t occurs ``counts[a:b]`` times in
    ``rows[a:b]``, where a, b are ``indptr[t : t + 2]``; its UTF-8 bytes are
    ``text[starts[t] : starts[t] + lengths[t]]``.
    """

    hashes: np.ndarray
    checks: np.ndarray
    indptr: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    n_rows: int
    text: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def document_frequency(self) -> np.ndarray:
        """Number of rows that hold the term."""
        return np.diff(self.indptr)

    def frequencies(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of rows and of occurrences of the terms from `begin` up to `end`."""
        bounds = self.indptr[begin : end + 1]
        if begin == end:
            return np.diff(bounds), np.diff(bounds)
        counts = self.counts[bounds[0] : bounds[-1]]
        return np.diff(bounds), np.add.reduceat(counts, bounds[:-1] - bounds[0], dtype=np.int64)

    def to_matrix(self, dtype: type) -> sparse.csr_array:
        """Return the counts as a matrix of shape (n_terms, n_rows)."""
        return sparse.csr_array(
            (self.counts.astype(dtype), self.rows.astype(np.int32), self.indptr),
            shape=(len(self.indptr) - 1, self.n_rows),
        )


def group_equal(hashes: np.ndarray, checks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring equal pairs together.

    Parameters
    ----------
    hashes, checks : ndarray of uint64 of shape (n,)
        Pairs that identify a term.

    Returns
    -------
    order : ndarray of intp of shape (n,)
        Places, by hash, then by check, then by place.
    is_first : ndarray of bool of shape (n,)
        Whether a new term begins at that position of the order.

    Notes
    -----
    Hash and place are packed into one integer, because sorting integers is several times as fast as an
    indirect sort by key. The place takes the lower bits of the hash; the rare runs in which that mixes different
    terms are sorted again.
    """
    n = len(hashes)
    n_bits = np.uint64(max(n - 1, 1).bit_length())
    packed = hashes >> n_bits
    packed <<= n_bits
    packed |= np.arange(n, dtype=np.uint64)
    packed.sort()
    order = (packed & ((_ONE << n_bits) - _ONE)).astype(np.intp)
    packed >>= n_bits
    is_first = _differs_from_last(hashes.take(order), checks.take(order))
    new_run = packed[1:] != packed[:-1]
    mixed = np.flatnonzero(is_first[1:] & ~new_run)
    if len(mixed):
        run = np.concatenate([np.zeros(1, np.intp), np.cumsum(new_run)])
        is_mixed = np.zeros(int(run[-1]) + 1, bool)
        is_mixed[run[mixed + 1]] = True
        positions = np.flatnonzero(is_mixed[run])
        places = order[positions]
        order[positions] = places[np.lexsort((places, checks[places], hashes[places]))]
        is_first = _differs_from_last(hashes.take(order), checks.take(order))
    return order, is_first


def _differs_from_last(hashes: np.ndarray, checks: np.ndarray) -> np.ndarray:
    differs = np.ones(len(hashes), bool)
    np.not_equal(hashes[1:], hashes[:-1], out=differs[1:])
    differs[1:] |= checks[1:] != checks[:-1]
    return differs


def count_terms(ngrams: NGrams, n_rows: int, in_place: bool = False) -> TermCounts:
    """Count the occurrences of each term in each of `n_rows` rows.

    With `in_place`, the terms are spans of the text of the n-grams. Otherwise they may be spans of a smaller copy.
    """
    order, is_first = group_equal(ngrams.hashes, ngrams.checks)
    rows = ngrams.rows.take(order)
    new_entry = is_first.copy()
    new_entry[1:] |= rows[1:] != rows[:-1]
    entries = np.flatnonzero(new_entry)
    terms = order[is_first]
    starts, lengths = ngrams.spans(terms)
    text = ngrams.text
    if not in_place and 12 * len(starts) < len(text):  # then the copy is likely smaller
        text, starts = copy_spans(text, starts, lengths)
        text = pad(text)
    return TermCounts(
        ngrams.hashes.take(terms),
        ngrams.checks.take(terms),
        np.append(np.flatnonzero(is_first[entries]), len(entries)).astype(np.int32),
        _downcast(rows.take(entries), n_rows),
        _downcast(np.diff(entries, append=len(order))),
        n_rows,
        text,
        starts.astype(np.int32),
        lengths.astype(np.int32),
    )


def _downcast(values: np.ndarray, bound: int | None = None) -> np.ndarray:
    """Return the values in two bytes each if they fit, because counted blocks wait in memory."""
    if bound is None:
        bound = int(values.max(initial=0)) + 1
    return values.astype(np.uint16 if bound <= 1 << 16 else np.int32)


def count_through_words(words: TermCounts, ngrams: TermCounts) -> TermCounts:
    """Count n-grams in documents, given words in documents and n-grams in (distinct) words."""
    product = ngrams.to_matrix(np.int32) @ words.to_matrix(np.int32)
    return ngrams._replace(
        indptr=product.indptr,
        rows=_downcast(product.indices, words.n_rows),
        counts=_downcast(product.data),
        n_rows=words.n_rows,
    )
