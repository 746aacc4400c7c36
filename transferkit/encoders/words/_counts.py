"""Counts of words and of their co-occurrences in a stream of texts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.vocabulary import (
    Vocabulary,
    decode_terms,
    merge_parts,
    most_frequent,
    sort_terms,
    to_vocabulary,
)
from transferkit._algorithms.words.cooccurrence import (
    add_pairs,
    count_pairs,
    drop_rare_pairs,
    index_words,
    relabel_pairs,
)
from transferkit.encoders.text._counting import map_blocks, threaded_map

__all__ = ["Bounds", "WordCounts", "WordPass", "count_unseen_words"]

_BATCH_TOKENS = 1 << 21  # tokens that are counted at a time
_N_PARTS = 8  # of a batch, for threads; a fixed number, so that pruning does not depend on the number of threads


class Bounds(NamedTuple):
    """The largest number of pairs, and of distinct words, that are kept while counting (None: no bound)."""

    pairs: int
    words: int | None = None


@dataclass(frozen=True)
class WordCounts:
    """Counts of all words of some texts and of their co-occurrences; no method changes the arrays in place.

    Pairs of words are counted as in a log-structured merge tree: `pairs` is a sequence of upper triangular matrices
    whose sum is the count, each with more than twice as many entries as the next, so that each entry is merged only
    a few times. Row and column numbers of the matrices are the `ids` of the words. In counts made by this version the
    id of a word is its place in `terms`, so new words shift the ids of others but keep their order, and no matrix
    has to be sorted again. Counts from files of earlier versions may have other ids.
    """

    terms: Vocabulary | None = None  # all words with their frequencies
    ids: np.ndarray | None = None  # (n_words,) int32
    pairs: tuple = ()
    n_documents: int = 0
    error: int = 0  # by which the number of occurrences of a word may be too low
    pair_error: int = 0  # by which the count of a pair may be too low

    @classmethod
    def from_state(cls, state):
        """Return the counts in a tuple made by `to_state`."""
        return cls(Vocabulary(*state[0]), *state[1:])

    def to_state(self):
        """Return the counts as nested plain tuples of arrays, which a model file can hold."""
        return tuple(self.terms), self.ids, self.pairs, self.n_documents, self.error, self.pair_error

    def add(self, analyzer, documents, window, bounds, n_jobs):
        """Return the counts with those of more documents added."""
        counts, batch, n_tokens, n_rows = self, [], 0, 0
        for words, word_of_token, rows, n_new in map_blocks(
            lambda block: _index_block(analyzer, block), analyzer.split(documents), n_jobs
        ):
            batch.append((words, word_of_token, rows + n_rows))
            n_rows += n_new
            n_tokens += len(rows)
            if n_tokens > _BATCH_TOKENS:
                counts, batch, n_tokens = counts.add_batch(batch, window, bounds, n_jobs), [], 0
        if batch:
            counts = counts.add_batch(batch, window, bounds, n_jobs)
        return replace(counts, n_documents=self.n_documents + n_rows)

    def merge(self, other, bounds, n_jobs=None):
        """Return the sum of two counts."""
        counts, (places,) = self._add_words([other.terms], n_jobs)
        pairs = relabel_pairs(other.all_pairs(), _new_ids(other.ids, places), len(counts.ids))
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("n_documents", "error", "pair_error")}
        return replace(counts, **sums).add_level(pairs, bounds)

    def scaled(self, factor):
        """Return the counts of the same documents repeated `factor` times."""
        hashes, checks, document_frequency, total, *names = self.terms
        terms = Vocabulary(hashes, checks, document_frequency * factor, total * factor, *names)
        products = {name: getattr(self, name) * factor for name in ("n_documents", "error", "pair_error")}
        return replace(self, terms=terms, pairs=tuple(level * factor for level in self.pairs), **products)

    def all_pairs(self):
        """Return the counts of pairs as one upper triangular matrix."""
        n_words = len(self.ids)
        pairs = sparse.csr_array((0, 0), dtype=np.int64)
        for level in reversed(self.pairs):
            pairs = add_pairs(level, pairs)
        return add_pairs(pairs, sparse.csr_array((n_words, n_words), dtype=np.int64))

    def choose(self, min_count, max_features):
        """Return the places in `terms` of the words to keep: by descending frequency, ties in alphabetical order."""
        terms = self.terms
        kept = np.flatnonzero(terms.total >= min_count)
        alphabetical = kept[sort_terms(terms.text, terms.starts[kept], terms.lengths[kept])]
        return alphabetical[np.argsort(-terms.total[alphabetical], kind="stable")[:max_features]]

    def pairs_of(self, chosen):
        """Return the counts of pairs of the chosen words, numbered in their order, as an upper triangular matrix."""
        new_ids = self._ids_after_choice(chosen)
        pairs = sparse.csr_array((len(chosen), len(chosen)), dtype=np.int64)
        for level in reversed(self.pairs):
            pairs = add_pairs(relabel_pairs(level, new_ids, len(chosen)), pairs)
        return pairs

    def add_batch(self, batch, window, bounds, n_jobs):
        """Return the counts with those of blocks of tokens added, each given by words, word of each token, and rows."""
        counts, places = self._add_words([words for words, _, _ in batch], n_jobs)
        tokens = np.concatenate(
            [place[word_of_token] for place, (_, word_of_token, _) in zip(places, batch, strict=True)]
        )
        rows = np.concatenate([rows for _, _, rows in batch])
        run, n_words = threaded_map(n_jobs), len(counts.ids)
        cuts = np.searchsorted(rows, rows[np.arange(1, _N_PARTS) * len(rows) // _N_PARTS]) if len(rows) else []
        spans = [slice(*span) for span in pairwise([0, *cuts, len(rows)])]
        parts = list(run(lambda span: count_pairs(tokens[span], rows[span], window, n_words), spans))
        while len(parts) > 1:
            parts = list(run(lambda two: add_pairs(*two), zip(parts[::2], parts[1::2], strict=True)))
        return counts.add_level(parts[0], bounds)

    def _add_words(self, vocabularies, n_jobs):
        """Return these counts with the words of some vocabularies added, and the ids of the words of each."""
        run = threaded_map(n_jobs)
        known = [] if self.terms is None else [self.terms]
        merged = merge_parts([*known, *vocabularies], run)
        terms = to_vocabulary([*known, *vocabularies], merged, run)
        n_words, pairs = len(terms.hashes), self.pairs
        if known:
            new_ids = _new_ids(self.ids, merged.terms_of[0])
            pairs = tuple(relabel_pairs(level, new_ids, n_words) for level in pairs)
        counts = replace(self, terms=terms, ids=np.arange(n_words, dtype=np.int32), pairs=pairs)
        return counts, merged.terms_of[len(known) :]

    def add_level(self, pairs, bounds):
        """Return the counts with a matrix of pairs added, levels merged, and rare pairs and words pruned."""
        levels = [*self.pairs, pairs]
        while len(levels) > 1 and (
            2 * levels[-1].nnz >= levels[-2].nnz or sum(level.nnz for level in levels) > bounds.pairs
        ):
            levels[-2:] = [add_pairs(*levels[-2:])]
        dropped = 0
        if levels[0].nnz > bounds.pairs:
            hashes = np.empty(len(self.ids), np.uint64)
            hashes[self.ids] = self.terms.hashes
            levels[0], dropped = drop_rare_pairs(levels[0], bounds.pairs // 2, hashes)
        counts = replace(self, pairs=tuple(levels), pair_error=self.pair_error + dropped)
        is_within = bounds.words is None or len(self.ids) <= bounds.words
        return counts if is_within else counts.drop_rare_words(bounds.words // 2)

    def drop_rare_words(self, n_most):
        """Return the counts of the `n_most` most frequent words only."""
        kept, dropped = most_frequent(self.terms.total, n_most)
        new_ids = self._ids_after_choice(kept)
        pairs = tuple(relabel_pairs(level, new_ids, len(kept)) for level in self.pairs)
        ids = np.arange(len(kept), dtype=np.int32)
        return replace(self, terms=self.terms.select(kept), ids=ids, pairs=pairs, error=self.error + dropped)

    def _ids_after_choice(self, chosen):
        """Return the new id of each old one: the position of a word in `chosen` (places in `terms`), or -1."""
        new_ids = np.full(len(self.ids), -1, np.int32)
        new_ids[self.ids[chosen]] = np.arange(len(chosen), dtype=np.int32)
        return new_ids


def _new_ids(ids, places):
    """Return the new id of each old one, for words with these old ids whose new ids are `places`."""
    new_ids = np.empty(len(ids), np.int32)
    new_ids[ids] = places
    return new_ids


def _index_block(analyzer, block):
    tokens = analyzer.tokens(block)
    return *index_words(tokens), tokens.rows.astype(np.int64), len(block)


@dataclass(frozen=True)
class WordPass:
    """Counts words and their co-occurrences for a WordVectorEncoder."""

    count: Callable[[WordCounts, Any], WordCounts]  # returns the counts with those of texts added
    bounds: Bounds
    finish: Callable[[WordCounts], Any]  # returns the encoder with the vectors that follow from the counts

    def add(self, total, X, shard_number):
        """Return the counts plus those of more texts."""
        return self.count(WordCounts() if total is None else total, X)

    def merge(self, left, right):
        """Return the counts of both."""
        return left.merge(right, self.bounds)


def count_unseen_words(analyzer, known, documents, n_jobs):
    """Return the words of the documents that are not among the fitted terms `known`, and their counts per document.

    The counts are a CSR array of float32 of shape (n_documents, n_names).
    """

    def find(block):
        terms = analyzer.count(block)
        new = np.flatnonzero(known.columns_of(terms) < 0)
        names = decode_terms(terms.text, terms.starts[new], terms.lengths[new])
        return names, terms.to_matrix(np.float32)[new].T

    columns: dict[str, int] = {}
    blocks = []
    for names, counts in map_blocks(find, analyzer.split(documents), n_jobs):
        places = np.array([columns.setdefault(name, len(columns)) for name in names], np.int32)
        blocks.append((places, sparse.coo_array(counts)))
    n_rows = np.cumsum([0, *(counts.shape[0] for _, counts in blocks)])
    entries = np.concatenate([counts.data for _, counts in blocks])
    rows = np.concatenate([counts.row + first for first, (_, counts) in zip(n_rows, blocks, strict=False)])
    where = np.concatenate([places[counts.col] for places, counts in blocks])
    return list(columns), sparse.csr_array((entries, (rows, where)), shape=(n_rows[-1], len(columns)))
