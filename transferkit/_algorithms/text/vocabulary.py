"""Vocabularies: lookup, order and choice of terms, and terms of blocks, batches or shards merged into one."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from transferkit._algorithms.linalg.threads import Map
from transferkit._algorithms.text.term_counts import group_equal
from transferkit._algorithms.text.text_bytes import PADDING
from transferkit._algorithms.text.tokens import copy_spans, pad

__all__ = [
    "Counted",
    "TermAccumulator",
    "TermStatistics",
    "Vocabulary",
    "choose_columns",
    "decode_terms",
    "find_terms",
    "merge_parts",
    "most_frequent",
    "sort_terms",
    "to_vocabulary",
]

_RANGE_SIZE = 1 << 16  # terms that are merged at a time, so that the work stays in the cache


class Counted(Protocol):
    """Distinct terms in ascending order of hash, then check, with their text and frequencies."""

    @property
    def hashes(self) -> np.ndarray: ...
    @property
    def checks(self) -> np.ndarray: ...
    def frequencies(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]: ...
    @property
    def text(self) -> np.ndarray: ...
    @property
    def starts(self) -> np.ndarray: ...
    @property
    def lengths(self) -> np.ndarray: ...


class Vocabulary(NamedTuple):
    """Distinct terms in ascending order of hash, then check, with their text and frequencies.

    `hashes` and `checks` are uint64, `document_frequency` and `total` int64. Term t is the UTF-8 bytes
    ``text[starts[t] : starts[t] + lengths[t]]``; each starts at a multiple of eight, filled up with zeros.
    """

    hashes: np.ndarray
    checks: np.ndarray
    document_frequency: np.ndarray
    total: np.ndarray
    text: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def frequencies(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of documents and of occurrences of the terms from `begin` up to `end`."""
        return self.document_frequency[begin:end], self.total[begin:end]

    def select(self, chosen: np.ndarray) -> "Vocabulary":
        """Return the chosen terms (ascending places) only."""
        text, starts = copy_spans(self.text, self.starts[chosen], self.lengths[chosen])
        return Vocabulary(
            self.hashes[chosen],
            self.checks[chosen],
            self.document_frequency[chosen],
            self.total[chosen],
            pad(text),
            starts,
            self.lengths[chosen],
        )


def choose_columns(
    terms: Vocabulary, is_kept: np.ndarray, max_features: int | None, binary: bool, dtype: type
) -> np.ndarray:
    """Return the column of each term in alphabetical order (int32), -1 for terms that are left out.

    Of the terms in `is_kept`, at most `max_features` are kept, the most frequent ones; with `binary`, a term counts
    once per document. Occurrences are compared in `dtype`, which decides, as in scikit-learn, which of equally frequent
    terms are kept.
    """
    kept = np.flatnonzero(is_kept)
    order = kept[sort_terms(terms.text, terms.starts[kept], terms.lengths[kept])]
    if max_features is not None and len(order) > max_features:
        occurrences = (terms.document_frequency if binary else terms.total)[order].astype(dtype)
        order = order[np.sort((-occurrences).argsort()[:max_features])]
    columns = np.full(len(terms.hashes), -1, np.int32)
    columns[order] = np.arange(len(order), dtype=np.int32)
    return columns


def decode_terms(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> list[str]:
    """Return terms, given as spans of UTF-8 bytes, as strings."""
    raw, spans = text.tobytes(), zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    if raw.isascii():
        joined = raw.decode("ascii")
        return [joined[a:b] for a, b in spans]
    return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in spans]


def find_terms(
    hashes: np.ndarray, checks: np.ndarray, wanted_hashes: np.ndarray, wanted_checks: np.ndarray
) -> np.ndarray:
    """Return the place of each wanted term in a vocabulary sorted by hash, then check; -1 for none.

    Checks distinguish different terms of equal hash.
    """
    places = np.searchsorted(hashes, wanted_hashes)
    result = np.full(len(places), -1, np.intp)
    pending = np.arange(len(places))
    while len(pending):
        pending = pending[places[pending] < len(hashes)]
        at = places[pending]
        same_hash = hashes[at] == wanted_hashes[pending]
        pending, at = pending[same_hash], at[same_hash]
        found = checks[at] == wanted_checks[pending]
        result[pending[found]] = at[found]
        pending = pending[~found]
        places[pending] += 1
    return result


def sort_terms(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the alphabetical order (by code point) of distinct terms given as spans of UTF-8 bytes.

    Each term starts at a multiple of eight and is filled up with zeros. Terms are sorted by their first eight bytes,
    then those that tie by the next eight, and so on. The order of UTF-8 bytes is the order of code points, which is how
    Python compares strings.
    """
    words = text.view("<u8").byteswap()  # the first byte of each word counts most
    at, n_words = starts >> 3, (lengths.astype(np.int64) + 7) >> 3
    keys = _take_words(words, at, n_words)
    order = np.argsort(keys)
    keys = keys[order]
    positions = np.arange(len(order))  # in `order`, of terms that still tie
    run = np.cumsum(np.concatenate([[False], keys[1:] != keys[:-1]])) if len(keys) else positions
    done = 1
    while True:
        tied = np.zeros(len(run), bool)
        tied[1:] = run[1:] == run[:-1]
        tied[:-1] |= tied[1:]
        positions, run = positions[tied], run[tied]
        if len(positions) == 0:
            return order
        terms = order[positions]
        rest = n_words[terms] - done
        if rest.max() <= 0:  # equal but for zero bytes at the end
            order[positions] = terms[np.lexsort((lengths[terms], run))]
            return order
        keys = _take_words(words, at[terms] + done, rest)
        by_key = np.argsort(keys)
        within = by_key[np.argsort(run[by_key], kind="stable")]
        order[positions] = terms[within]
        keys, run = keys[within], run[within]
        new_run = np.zeros(len(run), bool)
        new_run[1:] = (keys[1:] != keys[:-1]) | (run[1:] != run[:-1])
        run = np.cumsum(new_run)
        done += 1


def _take_words(words: np.ndarray, at: np.ndarray, n_left: np.ndarray) -> np.ndarray:
    """Return one word of each term, zero for terms that have ended."""
    keys = words.take(at, mode="clip")
    keys[n_left <= 0] = 0
    return keys


class MergedTerms(NamedTuple):
    """Distinct terms of several parts, in ascending order of hash, then check.

    `terms_of[p]` is the place of each term of part p among the merged terms. Merged term t is first found at place
    ``place[t]`` of part ``part[t]``.
    """

    hashes: np.ndarray
    checks: np.ndarray
    document_frequency: np.ndarray
    total: np.ndarray
    part: np.ndarray
    place: np.ndarray
    terms_of: list[np.ndarray]


def merge_parts(parts: Sequence[Counted], run: Map = map) -> MergedTerms:
    """Find the distinct terms of all parts (at least one) and add up their frequencies.

    `run` maps a function over ranges of hashes, which are merged independently.
    """
    sizes = [len(part.hashes) for part in parts]
    n_ranges = sum(sizes) // _RANGE_SIZE + 1
    bounds = np.array([(k << 64) // n_ranges for k in range(1, n_ranges)], np.uint64)
    cuts = np.array([[0, *np.searchsorted(part.hashes, bounds), len(part.hashes)] for part in parts])
    terms_of = [np.empty(size, np.int32) for size in sizes]

    def merge_range(k: int) -> list[np.ndarray]:
        found, term = _merge_slices(parts, cuts[:, k], cuts[:, k + 1])
        ends = np.cumsum(cuts[:, k + 1] - cuts[:, k])
        for target, first, last, end in zip(terms_of, cuts[:, k], cuts[:, k + 1], ends, strict=True):
            target[first:last] = term[end - (last - first) : end]
        return found

    ranges = list(run(merge_range, range(n_ranges)))
    n_before = np.cumsum([0, *(len(found[0]) for found in ranges)])
    for terms, cut in zip(terms_of, cuts, strict=True):  # so far counted within each range
        terms += np.repeat(n_before[:-1], np.diff(cut)).astype(np.int32)
    joined = [np.concatenate(column) for column in zip(*ranges, strict=True)]
    return MergedTerms(joined[0], joined[1], joined[2], joined[3], joined[4], joined[5], terms_of)


def _merge_slices(parts: Sequence[Counted], first: np.ndarray, last: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Merge a slice of each part; return the fields of MergedTerms, and the merged term of each joined term."""
    slices = list(zip(parts, first.tolist(), last.tolist(), strict=True))
    hashes = np.concatenate([part.hashes[a:b] for part, a, b in slices])
    checks = np.concatenate([part.checks[a:b] for part, a, b in slices])
    order, is_first = group_equal(hashes, checks)
    begins = np.flatnonzero(is_first)
    term = np.empty(len(order), np.int32)
    term[order] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    chosen = order[begins]
    ends = np.cumsum(last - first)
    part = np.searchsorted(ends, chosen, side="right")
    place = chosen - (ends - last)[part]
    if len(begins) == 0:
        frequency = total = np.empty(0, np.int64)
    else:
        frequency, total = (
            np.add.reduceat(np.concatenate(counts)[order], begins, dtype=np.int64)
            for counts in zip(*(part.frequencies(a, b) for part, a, b in slices), strict=True)
        )
    return [hashes[chosen], checks[chosen], frequency, total, part.astype(np.int32), place], term


def to_vocabulary(parts: Sequence[Counted], merged: MergedTerms | None = None, run: Map = map) -> Vocabulary:
    """Return one vocabulary with all terms of the parts, as a copy that does not refer to them.

    `merged` are their distinct terms, if `merge_parts` has found them already; `run` maps a function over the parts.
    """
    if merged is None:
        merged = merge_parts(parts, run)
    by_part = np.argsort(merged.part, kind="stable")
    bounds = np.searchsorted(merged.part[by_part], np.arange(len(parts) + 1))

    def spell(p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = merged.place[by_part[bounds[p] : bounds[p + 1]]]
        lengths = parts[p].lengths[place]
        return *copy_spans(parts[p].text, parts[p].starts[place], lengths), lengths

    spelled = list(run(spell, range(len(parts))))
    n_before = np.cumsum([0, *(len(text) for text, _, _ in spelled)])
    starts, lengths = np.empty(len(by_part), np.int64), np.empty(len(by_part), np.int32)
    starts[by_part] = np.concatenate([begin + n for (_, begin, _), n in zip(spelled, n_before[:-1], strict=True)])
    lengths[by_part] = np.concatenate([length for _, _, length in spelled])
    text = np.concatenate([*(piece for piece, _, _ in spelled), np.zeros(PADDING, np.uint8)])
    return Vocabulary(merged.hashes, merged.checks, merged.document_frequency, merged.total, text, starts, lengths)


def most_frequent(frequency: np.ndarray, n_most: int) -> tuple[np.ndarray, int]:
    """Return the places of the highest frequencies, ascending, and the highest one that is left out (or 0).

    Of equal frequencies the first are taken: for terms in the order of their hashes, the choice does not depend on the
    order of the texts.
    """
    order = np.argsort(-frequency, kind="stable")
    left_out = order[n_most : n_most + 1]
    return np.sort(order[:n_most]), int(frequency[left_out].sum())


class TermStatistics(NamedTuple):
    """The terms of a number of documents, with frequencies that are too low by at most `error`."""

    terms: Vocabulary
    n_documents: int
    error: int = 0

    def merge(self, other: "TermStatistics", max_terms: int | None) -> "TermStatistics":
        """Return the statistics of the documents of both."""
        both = TermAccumulator(max_terms)
        both.add_parts([self.terms, other.terms], self.n_documents + other.n_documents, self.error + other.error)
        return both.statistics()


class TermAccumulator:
    """Adds up the term statistics of a stream, in memory that grows with the vocabulary and not with the stream.

    Parameters
    ----------
    max_terms : int, default=None
        If there are more distinct terms, those in the fewest documents are dropped until half of `max_terms` are left.
        A frequency is then too low by at most `error`: the sum, over all times that terms were dropped, of the highest
        frequency among them. No missing term is in more documents than that. None keeps all terms.
    start : TermStatistics, default=None
        Statistics to begin with.

    Notes
    -----
    A log-structured merge: vocabularies are merged when one is at least half as large as the one before it, so that
    each term is moved only a few times.
    """

    def __init__(self, max_terms: int | None = None, start: TermStatistics | None = None) -> None:
        self._levels: list[Vocabulary] = [] if start is None else [start.terms]
        self._max_terms = max_terms
        self._error = 0 if start is None else start.error
        self.n_documents = 0 if start is None else start.n_documents

    def add(self, statistics: TermStatistics) -> None:
        """Add the statistics of other documents."""
        self.add_parts([statistics.terms], statistics.n_documents, statistics.error)

    def add_parts(self, parts: Sequence[Counted], n_documents: int, error: int = 0, run: Map = map) -> None:
        """Add the terms of some blocks or vocabularies, of `n_documents` documents in all."""
        self.n_documents += n_documents
        self._error += error
        self._levels.append(to_vocabulary(parts, run=run))
        while len(self._levels) > 1 and 2 * len(self._levels[-1].hashes) >= len(self._levels[-2].hashes):
            self._levels[-2:] = [to_vocabulary(self._levels[-2:], run=run)]
        if self._max_terms is not None and len(self._levels[-1].hashes) > self._max_terms:
            self._levels[-1] = self._drop_rare(self._levels[-1], self._max_terms // 2)

    def statistics(self) -> TermStatistics:
        """Return the statistics of everything added so far."""
        if len(self._levels) != 1:
            terms = to_vocabulary(self._levels)
            if self._max_terms is not None and len(terms.hashes) > self._max_terms:
                terms = self._drop_rare(terms, self._max_terms)
            self._levels = [terms]
        return TermStatistics(self._levels[0], self.n_documents, self._error)

    def copy(self) -> "TermAccumulator":
        """Return a copy, to which statistics are added independently."""
        other = TermAccumulator(self._max_terms)
        other._levels, other._error, other.n_documents = list(self._levels), self._error, self.n_documents
        return other

    def _drop_rare(self, terms: Vocabulary, n_most: int) -> Vocabulary:
        kept, dropped = most_frequent(terms.document_frequency, n_most)
        self._error += dropped
        return terms.select(kept)
