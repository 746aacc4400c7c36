"""Running a corpus through an analysis block by block, with threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs

from transferkit._algorithms.linalg.sparse_products import Map
from transferkit._algorithms.text.term_counts import TermCounts
from transferkit._algorithms.text.vocabulary import Vocabulary, find_terms
from transferkit._algorithms.text.vocabulary_merging import Tally, to_vocabulary
from transferkit._validation import check_texts
from transferkit.encoders.text._analysis import TextAnalysis

_BATCH = 4096  # texts of a stream that are checked at a time
_PENDING_TERMS = 1 << 19  # terms that wait before they are merged


class TermStatistics(NamedTuple):
    """The terms of a number of documents with their frequencies, which are too low by at most `error`."""

    terms: Vocabulary
    n_documents: int
    error: int = 0

    def merge(self, other: "TermStatistics", max_terms: int | None) -> "TermStatistics":
        """Return the statistics of the documents of both."""
        tally = Tally(max_terms, self.error + other.error)
        tally.add([self.terms, other.terms])
        return TermStatistics(tally.vocabulary(), self.n_documents + other.n_documents, tally.error)


def check_documents(X, accept: tuple[type, ...]) -> Iterable:
    """Return X as a checked list, or, for a generator, checked batch by batch as it is read."""
    return _check_stream(X, accept) if hasattr(X, "__next__") else check_texts(X, accept=accept)


def _check_stream(stream: Iterator, accept: tuple[type, ...]) -> Iterator:
    batch = list(islice(stream, _BATCH))
    yield from check_texts(batch, accept=accept)  # refuses an empty stream too
    while batch := list(islice(stream, _BATCH)):
        yield from check_texts(batch, accept=accept)


def map_blocks(function: Callable, blocks: Iterable, n_jobs: int | None) -> Iterator:
    """Yield the function's result for each block, in order, with few blocks in flight at a time."""
    n_threads = effective_n_jobs(n_jobs)
    if n_threads == 1:
        yield from map(function, blocks)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        running: deque = deque()
        for block in blocks:
            running.append(pool.submit(function, block))
            if len(running) > n_threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def threaded_map(n_jobs: int | None) -> Map:
    """Return a function that maps like the built-in one, with threads."""
    return partial(map_blocks, n_jobs=n_jobs)


def count_blocks(analysis: TextAnalysis, documents: Iterable, n_jobs: int | None) -> list[TermCounts]:
    """Return the counted terms of all blocks."""
    blocks = map_blocks(analysis.count, analysis.split(documents), n_jobs)
    if effective_n_jobs(n_jobs) == 1:
        return list(blocks)
    # The allocator keeps an arena for each thread. Copied from there, what stays does not hold back what was
    # freed around it, which is more than half of the memory.
    return [TermCounts(*map(copy, counts)) for counts in blocks]


def tally_terms(
    analysis: TextAnalysis, documents: Iterable, n_jobs: int | None, max_terms: int | None = None
) -> TermStatistics:
    """Return the terms of all documents with their frequencies."""

    def summarise(block: Sequence[str]) -> tuple[Vocabulary, int]:
        counts = analysis.count(block)
        return to_vocabulary([counts]), counts.n_rows

    tally, parts, n_pending, n_documents = Tally(max_terms), [], 0, 0
    for part, n_rows in map_blocks(summarise, analysis.split(documents), n_jobs):
        parts.append(part)
        n_documents += n_rows
        n_pending += len(part.hashes)
        if n_pending > _PENDING_TERMS:
            tally.add(parts, threaded_map(n_jobs))
            parts, n_pending = [], 0
    if parts:
        tally.add(parts)
    return TermStatistics(tally.vocabulary(), n_documents, tally.error)


def count_given_terms(
    analysis: TextAnalysis, given: Vocabulary, documents: Iterable, n_jobs: int | None
) -> TermStatistics:
    """Return the given terms with their frequencies in the documents."""

    def find(block: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        counts = analysis.count(block)
        places = find_terms(given.hashes, given.checks, counts.hashes, counts.checks)
        known = places >= 0
        frequencies, totals = counts.frequencies(0, len(places))
        return places[known], frequencies[known], totals[known], counts.n_rows

    document_frequency, total = np.zeros_like(given.document_frequency), np.zeros_like(given.total)
    n_documents = 0
    for places, frequencies, totals, n_rows in map_blocks(find, analysis.split(documents), n_jobs):
        document_frequency[places] += frequencies
        total[places] += totals
        n_documents += n_rows
    return TermStatistics(given._replace(document_frequency=document_frequency, total=total), n_documents)
