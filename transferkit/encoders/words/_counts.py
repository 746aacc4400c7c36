"""Words of a stream of texts, and how often they stand near each other."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.term_statistics import merge_parts, most_frequent, to_vocabulary
from transferkit._algorithms.text.vocabulary import Vocabulary, sort_terms
from transferkit._algorithms.words.cooccurrence import (
    add_pairs,
    count_pairs,
    drop_rare_pairs,
    index_words,
    relabel_pairs,
)
from transferkit.encoders.text._counting import map_blocks, threaded_map

_BATCH_TOKENS = 1 << 21  # that are counted at a time
_N_PARTS = 8  # of a batch, for threads; however many there are, so that pruning does not depend on them


class Bounds(NamedTuple):
    """How many pairs, and how many distinct words, are counted at most (None for any number)."""

    pairs: int
    words: int | None = None


class WordCounts(NamedTuple):
    """All words met and their pairs: plain arrays that are never changed in place.

    `pairs` are upper triangles over the numbers of words, whose sum is the count of pairs, each larger than the next.
    `ids` are these numbers: the words' places in `terms`, so that new words move the others up and never past each
    other, and nothing has to be sorted again (older counts, from files, may have other numbers).
    """

    terms: tuple | None = None
    ids: np.ndarray | None = None
    pairs: tuple = ()
    n_documents: int = 0
    error: int = 0  # by which the number of a word's occurrences may be too low
    pair_error: int = 0  # by which the count of a pair may be too low

    def add(self, analysis, documents, window, bounds, n_jobs):
        """Return the counts with those of more documents added."""
        counts, batch, n_tokens, n_rows = self, [], 0, 0
        for words, word_of_token, rows, n_new in map_blocks(
            lambda block: _index_block(analysis, block), analysis.split(documents), n_jobs
        ):
            batch.append((words, word_of_token, rows + n_rows))
            n_rows += n_new
            n_tokens += len(rows)
            if n_tokens > _BATCH_TOKENS:
                counts, batch, n_tokens = counts._add_batch(batch, window, bounds, n_jobs), [], 0
        if batch:
            counts = counts._add_batch(batch, window, bounds, n_jobs)
        return counts._replace(n_documents=self.n_documents + n_rows)

    def merge(self, other, bounds, n_jobs=None):
        """Return the sum of two counts."""
        counts, (theirs,) = self._meet([Vocabulary(*other.terms)], n_jobs)
        pairs = relabel_pairs(other.all_pairs(), _renumber(other.ids, theirs), len(counts.ids))
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("n_documents", "error", "pair_error")}
        return counts._replace(**sums)._push(pairs, bounds)

    def times(self, factor):
        """Return the counts of the same documents given `factor` times."""
        terms = Vocabulary(*self.terms)
        terms = terms._replace(document_frequency=terms.document_frequency * factor, total=terms.total * factor)
        pairs = tuple(part * factor for part in self.pairs)
        products = {name: getattr(self, name) * factor for name in ("n_documents", "error", "pair_error")}
        return self._replace(terms=tuple(terms), pairs=pairs, **products)

    def all_pairs(self):
        """Return the counts of pairs as one upper triangle."""
        pairs = sparse.csr_array((0, 0), dtype=np.int64)
        for part in reversed(self.pairs):
            pairs = add_pairs(part, pairs)
        n_words = len(self.ids)
        return add_pairs(pairs, sparse.csr_array((n_words, n_words), dtype=np.int64))

    def choose(self, min_count, max_features):
        """Return the words kept, as places in `terms`: the most frequent first, equally frequent ones by alphabet."""
        terms = Vocabulary(*self.terms)
        kept = np.flatnonzero(terms.total >= min_count)
        alphabetical = kept[sort_terms(terms.text, terms.starts[kept], terms.lengths[kept])]
        return alphabetical[np.argsort(-terms.total[alphabetical], kind="stable")[:max_features]]

    def pairs_of(self, chosen):
        """Return the counts of pairs of the chosen words, numbered in their order."""
        new = np.full(len(self.ids), -1, np.int32)
        new[self.ids[chosen]] = np.arange(len(chosen), dtype=np.int32)
        pairs = sparse.csr_array((len(chosen), len(chosen)), dtype=np.int64)
        for part in reversed(self.pairs):
            pairs = add_pairs(relabel_pairs(part, new, len(chosen)), pairs)
        return pairs

    def _add_batch(self, batch, window, bounds, n_jobs):
        counts, places = self._meet([words for words, _, _ in batch], n_jobs)
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
        return counts._push(parts[0], bounds)

    def _meet(self, parts, n_jobs):
        """Return these counts with the words of the parts among the known ones, and the places of the parts' words."""
        run = threaded_map(n_jobs)
        known = [] if self.terms is None else [Vocabulary(*self.terms)]
        merged = merge_parts([*known, *parts], run)
        terms = to_vocabulary([*known, *parts], merged, run)
        n_words, pairs = len(terms.hashes), self.pairs
        if known:
            new = _renumber(self.ids, merged.terms_of[0])
            pairs = tuple(relabel_pairs(part, new, n_words) for part in pairs)
        counts = self._replace(terms=tuple(terms), ids=np.arange(n_words, dtype=np.int32), pairs=pairs)
        return counts, merged.terms_of[len(known) :]

    def _push(self, pairs, bounds):
        """Add pairs; parts are joined when they reach the size of their elders, and pruned when they are too many."""
        max_pairs = bounds.pairs
        parts = [*self.pairs, pairs]
        while len(parts) > 1 and (2 * parts[-1].nnz >= parts[-2].nnz or sum(p.nnz for p in parts) > max_pairs):
            parts[-2:] = [add_pairs(*parts[-2:])]
        dropped = 0
        if parts[0].nnz > max_pairs:
            hashes = np.empty(len(self.ids), np.uint64)
            hashes[self.ids] = Vocabulary(*self.terms).hashes
            parts[0], dropped = drop_rare_pairs(parts[0], max_pairs // 2, hashes)
        counts = self._replace(pairs=tuple(parts), pair_error=self.pair_error + dropped)
        return counts if bounds.words is None or len(self.ids) <= bounds.words else counts._drop_rare(bounds.words // 2)

    def _drop_rare(self, n_most):
        """Drop all words but the most frequent, and their pairs."""
        terms = Vocabulary(*self.terms)
        kept, dropped = most_frequent(terms.total, n_most)
        new = np.full(len(self.ids), -1, np.int32)
        new[self.ids[kept]] = ids = np.arange(len(kept), dtype=np.int32)
        pairs = tuple(relabel_pairs(part, new, len(kept)) for part in self.pairs)
        return self._replace(terms=tuple(terms.select(kept)), ids=ids, pairs=pairs, error=self.error + dropped)


def _renumber(ids, places):
    """Return the new number of each old one, for words numbered `ids` that are now at these places."""
    new = np.empty(len(ids), np.int32)
    new[ids] = places
    return new


def _index_block(analysis, block):
    tokens = analysis.tokens(block)
    return *index_words(tokens), tokens.rows.astype(np.int64), len(block)
