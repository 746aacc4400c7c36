"""Counts of co-occurrences of words within a context window, and their pointwise mutual information."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.threads import Map, slice_rows
from transferkit._algorithms.text.term_counts import group_equal
from transferkit._algorithms.text.tokens import Tokens, copy_spans, mix, pad
from transferkit._algorithms.text.vocabulary import Vocabulary

__all__ = [
    "MAX_WINDOW",
    "add_pairs",
    "both_directions",
    "count_pairs",
    "drop_rare_pairs",
    "index_words",
    "positive_pmi",
    "relabel_pairs",
]

MAX_WINDOW = 255
_ID_BITS, _WEIGHT_BITS = np.uint64(28), np.uint64(8)
_ID_MASK, _WEIGHT_MASK = np.uint64((1 << 28) - 1), np.uint64((1 << 8) - 1)


def index_words(tokens: Tokens) -> tuple[Vocabulary, np.ndarray]:
    """Return the distinct words of a block, and the place of each token's word among them (int32)."""
    order, is_first = group_equal(tokens.hashes, tokens.checks)
    word_of_token = np.empty(len(order), np.int32)
    word_of_token[order] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    first = np.flatnonzero(is_first)
    rows = tokens.rows.take(order)
    new_row = is_first.copy()
    new_row[1:] |= rows[1:] != rows[:-1]
    n_rows = np.add.reduceat(new_row, first, dtype=np.int64) if len(first) else np.empty(0, np.int64)
    chosen = order[first]
    lengths = tokens.lengths[chosen].astype(np.int32)
    text, starts = copy_spans(tokens.text, tokens.starts[chosen], lengths)
    total = np.diff(first, append=len(order))
    words = Vocabulary(tokens.hashes[chosen], tokens.checks[chosen], n_rows, total, pad(text), starts, lengths)
    return words, word_of_token


def count_pairs(words: np.ndarray, rows: np.ndarray, window: int, n_words: int) -> sparse.csr_array:
    """Count co-occurrences of words: pairs at most `window` tokens apart in the same document.

    `words` are the words of the tokens, from 0 to n_words - 1, at most 2**28 - 1, and `rows` their documents,
    ascending. The result holds unordered pairs as int64: entry (i, j) with i <= j. Adjacent words count `window`, words
    at the largest distance 1.

    Weights decrease linearly with the distance, as they do on average with word2vec's windows of random size. They are
    integers, so that sums of counts are exact in any order. A pair and its weight are packed into one integer, because
    sorting integers is faster than sorting pairs.
    """
    words = words.astype(np.uint64)
    packed = []
    for distance in range(1, min(window, len(words) - 1) + 1):
        together = rows[:-distance] == rows[distance:]
        left, right = words[:-distance][together], words[distance:][together]
        keys = np.minimum(left, right)
        keys <<= _ID_BITS
        keys |= np.maximum(left, right)
        keys <<= _WEIGHT_BITS
        keys |= np.uint64(window + 1 - distance)
        packed.append(keys)
    if not packed:
        return sparse.csr_array((n_words, n_words), dtype=np.int64)
    joined = np.concatenate(packed)
    packed.clear()
    joined.sort()
    weights = (joined & _WEIGHT_MASK).astype(np.int64)
    joined >>= _WEIGHT_BITS
    first = np.flatnonzero(np.concatenate([np.ones(min(len(joined), 1), bool), joined[1:] != joined[:-1]]))
    counts = np.add.reduceat(weights, first) if len(first) else weights
    pairs = joined[first]
    columns = (pairs & _ID_MASK).astype(np.int32)
    indptr = np.searchsorted(pairs, np.arange(n_words + 1, dtype=np.uint64) << _ID_BITS)
    # 64-bit row pointers would make SciPy use 64-bit column indices, which need a third more memory.
    indptr = indptr.astype(np.int32 if len(counts) < 2**31 else np.int64)
    return sparse.csr_array((counts, columns, indptr), shape=(n_words, n_words))


def add_pairs(left: sparse.csr_array, right: sparse.csr_array) -> sparse.csr_array:
    """Add two count matrices; the smaller one is padded with words without counts."""
    n_words = max(left.shape[0], right.shape[0])
    return sparse.csr_array(_grow(left, n_words) + _grow(right, n_words))


def _grow(pairs: sparse.csr_array, n_words: int) -> sparse.csr_array:
    indptr = np.append(pairs.indptr, np.full(n_words - pairs.shape[0], pairs.indptr[-1], pairs.indptr.dtype))
    return sparse.csr_array((pairs.data, pairs.indices, indptr), shape=(n_words, n_words))


def relabel_pairs(pairs: sparse.csr_array, new: np.ndarray, n_words: int) -> sparse.csr_array:
    """Give the words new numbers, which must be distinct, and drop pairs of words numbered -1."""
    new_of_row = new[: pairs.shape[0]]
    if len(new_of_row) and new_of_row[0] >= 0 and (new_of_row[1:] > new_of_row[:-1]).all():
        # The order is kept, so no sorting is needed.
        n_before = np.searchsorted(new_of_row, np.arange(n_words + 1))
        return sparse.csr_array((pairs.data, new.take(pairs.indices), pairs.indptr[n_before]), shape=(n_words, n_words))
    kept = np.flatnonzero(new.take(pairs.indices) >= 0)
    rows = np.repeat(new_of_row, np.diff(np.searchsorted(kept, pairs.indptr)))
    columns = new.take(pairs.indices.take(kept))
    data = pairs.data.take(kept)
    if rows.min(initial=0) < 0:
        known = np.flatnonzero(rows >= 0)
        rows, columns, data = rows.take(known), columns.take(known), data.take(known)
    renamed = sparse.coo_array((data, (np.minimum(rows, columns), np.maximum(rows, columns))), shape=(n_words, n_words))
    renamed.has_canonical_format = True  # pairs are distinct, and transposing the matrix twice sorts it
    return renamed.tocsc().tocsr()


def drop_rare_pairs(pairs: sparse.csr_array, n_most: int, hashes: np.ndarray) -> tuple[sparse.csr_array, int]:
    """Drop the pairs with the lowest counts beyond `n_most`, and also return the highest count dropped, or 0.

    `hashes` are those of the words. Of pairs with equal counts, those with the lowest hashes are kept, so that the
    choice does not depend on the order or the numbers of the words.
    """
    n_dropped = pairs.nnz - n_most
    if n_dropped <= 0:
        return pairs, 0
    bound = np.partition(pairs.data, n_dropped - 1)[n_dropped - 1]
    kept = pairs.data > bound
    tied = np.flatnonzero(pairs.data == bound)
    rows = np.searchsorted(pairs.indptr, tied, side="right") - 1
    keys = mix(mix(hashes[rows]) + mix(hashes[pairs.indices[tied]]))  # symmetric in the two words
    n_more = n_most - np.count_nonzero(kept)
    kept[tied[np.argpartition(keys, n_more)[:n_more]]] = True
    n_kept = np.concatenate([[0], np.cumsum(kept)])[pairs.indptr].astype(pairs.indptr.dtype)
    return sparse.csr_array((pairs.data[kept], pairs.indices[kept], n_kept), shape=pairs.shape), int(bound)


def both_directions(pairs: sparse.csr_array) -> sparse.csr_array:
    """Return the symmetric matrix of counts from its upper triangle (the diagonal is doubled)."""
    return sparse.csr_array(pairs + pairs.T)


def positive_pmi(counts: sparse.csr_array, smoothing: float, run: Map = map) -> sparse.csr_array:
    """Return the positive pointwise mutual information (PPMI) of pairs of words, in nats: symmetric, float32.

    Its entries are max(0, log(p(i, j) / (q(i) q(j)))), where q(i) is proportional to p(i) ** smoothing, with p from the
    symmetric counts. PMI is biased towards rare words, whose counts are the least certain. Context-distribution
    smoothing with an exponent of 0.75 raises the co-occurrences of rare words that are expected by chance, and so
    reduces that bias [1]_. There only contexts are smoothed; smoothing both words keeps the matrix symmetric, so that
    an eigendecomposition gives its singular value decomposition.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg, I. Dagan (2015). Improving distributional similarity with lessons
       learned from word embeddings. TACL 3, 211-225.
    """
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    powers = totals**smoothing
    with np.errstate(divide="ignore"):  # words without co-occurrences have no entries
        log_shares = np.log(powers) - np.log(powers.sum() or 1.0)
        log_expected = log_shares + np.log(max(totals.sum(), 1))

    def compute(rows: tuple[sparse.csr_array, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part, expected_of_row = rows
        information = np.log(part.data)
        information -= np.repeat(expected_of_row, np.diff(part.indptr))
        information -= log_shares.take(part.indices)
        kept = np.flatnonzero(information > 0)
        n_kept = np.diff(np.searchsorted(kept, part.indptr))
        return information.take(kept).astype(np.float32), part.indices.take(kept).astype(np.int32), n_kept

    parts = slice_rows(counts)
    bounds = np.cumsum([0] + [part.shape[0] for part in parts])
    data, indices, n_kept = zip(
        *run(compute, zip(parts, np.split(log_expected, bounds[1:-1]), strict=True)), strict=True
    )
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(n_kept))])
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)  # 64-bit indices would take a third more memory
    return sparse.csr_array((np.concatenate(data), np.concatenate(indices), indptr), shape=counts.shape)
