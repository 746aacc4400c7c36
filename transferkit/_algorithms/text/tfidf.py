"""Term counts by document, and their TF-IDF weights."""

from copy import copy
from functools import lru_cache
from math import sqrt
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.term_counts import TermCounts

__all__ = [
    "Rows",
    "Weighting",
    "column_weights",
    "counts_by_row",
    "inverse_document_frequency",
    "stack_rows",
    "to_matrix",
    "weight_counts",
    "within_bounds",
]


class Rows(NamedTuple):
    """The three arrays of a CSR matrix; column indices ascend within each row."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


class Weighting(NamedTuple):
    """How counts become weights: scikit-learn's parameters of the same names."""

    binary: bool
    sublinear_tf: bool
    norm: str | None


def counts_by_row(counts: TermCounts, columns: np.ndarray, dtype: type) -> Rows:
    """Return the counts of a block by row, with the columns given for its terms (-1: left out)."""
    kept = np.flatnonzero(columns >= 0)
    by_column = kept[np.argsort(columns[kept])]
    # The conversion keeps the order of terms, which is that of columns, so each row comes out sorted.
    rows = counts.to_matrix(dtype)[by_column].tocsc()
    return Rows(rows.data, columns[by_column].take(rows.indices), rows.indptr)


def weight_counts(rows: Rows, idf: np.ndarray | None, weighting: Weighting) -> None:
    """Turn counts into TF-IDF weights, in place."""
    data = rows.data
    if weighting.binary:
        data.fill(1)
    if weighting.sublinear_tf:
        np.log(data, out=data)
        data += 1
    if idf is not None:
        data *= idf.take(rows.indices)
    if weighting.norm is not None and len(data):
        powers = data * data if weighting.norm == "l2" else np.abs(data)
        if len(rows.indptr) == 2:
            norm = powers.sum(dtype=np.float64)
            data /= data.dtype.type(sqrt(norm) if weighting.norm == "l2" else norm)
            return
        sizes = np.diff(rows.indptr)
        begins = rows.indptr[:-1][sizes > 0]
        norms = np.add.reduceat(powers, begins, dtype=np.float64)
        if weighting.norm == "l2":
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
    """Return the weight of each column: the inverse document frequency of its term, or one.

    Parameters
    ----------
    document_frequency : ndarray of int of shape (n_terms,)
        Number of documents that hold each term.
    columns : ndarray of int of shape (n_terms,) or None
        Column of each term, -1 for none; every number from 0 on once. None if terms are in the order of columns.
    n_documents : int
        Number of documents.
    use_idf : bool
        Whether weights depend on the document frequency.
    smooth : bool
        See :func:`inverse_document_frequency`.
    dtype : type
        Type of the weights.
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
