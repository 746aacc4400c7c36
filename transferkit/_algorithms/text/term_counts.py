"""Counts of terms by document, and their TF-IDF weights."""

from copy import copy
from functools import lru_cache
from math import sqrt
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.tokens import NGrams, copy_spans, pad

__all__ = [
    "Rows",
    "TermCounts",
    "column_weights",
    "count_terms",
    "count_through_words",
    "counts_by_row",
    "group_equal",
    "inverse_document_frequency",
    "stack_rows",
    "to_matrix",
    "weight_counts",
    "within_bounds",
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
    """Bring equal pairs of hash and check (uint64) together.

    Returns the order of places, by hash, then by check, then by place, and whether a new term begins at each position
    of that order.

    Hash and place are packed into one integer, because sorting integers is several times as fast as an indirect sort by
    key. The place takes the lower bits of the hash; the rare runs in which that mixes different terms are sorted again.
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


class Rows(NamedTuple):
    """The three arrays of a CSR matrix; column indices ascend within each row."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def counts_by_row(counts: TermCounts, columns: np.ndarray, dtype: type) -> Rows:
    """Return the counts of a block by row, with the columns given for its terms (-1: left out)."""
    kept = np.flatnonzero(columns >= 0)
    by_column = kept[np.argsort(columns[kept])]
    # The conversion keeps the order of terms, which is that of columns, so each row comes out sorted.
    rows = counts.to_matrix(dtype)[by_column].tocsc()
    return Rows(rows.data, columns[by_column].take(rows.indices), rows.indptr)


def weight_counts(rows: Rows, idf: np.ndarray | None, *, binary: bool, sublinear_tf: bool, norm: str | None) -> None:
    """Turn counts into TF-IDF weights, in place, by scikit-learn's parameters of the same names."""
    data = rows.data
    if binary:
        data.fill(1)
    if sublinear_tf:
        np.log(data, out=data)
        data += 1
    if idf is not None:
        data *= idf.take(rows.indices)
    if norm is not None and len(data):
        powers = data * data if norm == "l2" else np.abs(data)
        if len(rows.indptr) == 2:
            total = powers.sum(dtype=np.float64)
            data /= data.dtype.type(sqrt(total) if norm == "l2" else total)
            return
        sizes = np.diff(rows.indptr)
        begins = rows.indptr[:-1][sizes > 0]
        norms = np.add.reduceat(powers, begins, dtype=np.float64)
        if norm == "l2":
            np.sqrt(norms, out=norms)
        data /= np.repeat(norms.astype(data.dtype), sizes[sizes > 0])


def stack_rows(blocks: list[Rows], n_terms: int) -> sparse.csr_matrix:
    """Return the rows of all blocks as one matrix; the list is emptied, so that memory is freed on the way."""
    data, indices = [block.data for block in blocks], [block.indices for block in blocks]
    sizes = np.concatenate([np.diff(block.indptr) for block in blocks])
    blocks.clear()
    n_entries = sum(map(len, data))
    index_dtype = np.int32 if n_entries <= np.iinfo(np.int32).max else np.int64
    indptr = np.zeros(len(sizes) + 1, index_dtype)
    np.cumsum(sizes, out=indptr[1:])
    arrays = _join(data), _join(indices).astype(index_dtype, copy=False), indptr
    matrix = sparse.csr_matrix(arrays, shape=(len(sizes), n_terms))
    matrix.has_canonical_format = True
    return matrix


def to_matrix(rows: Rows, n_terms: int) -> sparse.csr_matrix:
    """Return the rows as a matrix."""
    if len(rows.indptr) != 2:
        return stack_rows([rows], n_terms)
    matrix = copy(_empty_row(n_terms, rows.data.dtype))  # building one takes longer than encoding a short text
    matrix.data, matrix.indices, matrix.indptr = rows
    return matrix


@lru_cache(maxsize=16)
def _empty_row(n_terms: int, dtype: np.dtype) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix((1, n_terms), dtype=dtype)
    matrix.has_canonical_format = True
    return matrix


def _join(parts: list[np.ndarray]) -> np.ndarray:
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
    parts.clear()
    return joined


def inverse_document_frequency(
    document_frequency: np.ndarray, n_documents: int, smooth: bool, dtype: type
) -> np.ndarray:
    """Return log(n / df) + 1, with one added to both n and df if `smooth`."""
    frequency: np.ndarray = document_frequency.astype(dtype)
    frequency += float(smooth)
    idf = np.full_like(frequency, n_documents + int(smooth))
    idf /= frequency
    np.log(idf, out=idf)
    idf += 1
    return idf


def column_weights(
    document_frequency: np.ndarray,
    columns: np.ndarray | None,
    n_documents: int,
    *,
    use_idf: bool,
    smooth: bool,
    dtype: type,
) -> np.ndarray:
    """Return the weight of each column: the inverse document frequency of its term, or one without `use_idf`.

    `columns` gives the column of each term, -1 for none and every number from 0 on once; None if terms are in the order
    of columns.
    """
    n_columns = len(document_frequency) if columns is None else int(columns.max(initial=-1)) + 1
    if not use_idf:
        return np.ones(n_columns, dtype)
    if columns is not None:
        kept = columns >= 0
        frequency = np.ones(n_columns, np.int64)
        frequency[columns[kept]] = document_frequency[kept]
        document_frequency = frequency
    return inverse_document_frequency(document_frequency, n_documents, smooth, dtype)


def within_bounds(document_frequency: np.ndarray, n_documents: int, min_df: float, max_df: float) -> np.ndarray:
    """Return whether each term is in enough documents and not in too many.

    An int bounds the number of documents, a float their share.
    """
    highest = max_df if isinstance(max_df, Integral) else max_df * n_documents
    lowest = min_df if isinstance(min_df, Integral) else min_df * n_documents
    if highest < lowest:
        raise ValueError(f"max_df={max_df} corresponds to fewer documents than min_df={min_df}: no term can be kept.")
    return (document_frequency <= highest) & (document_frequency >= lowest)
