"""Counting the terms of a corpus, block by block and with threads."""

import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from itertools import islice

import numpy as np
from joblib import effective_n_jobs

from transferkit._algorithms.linalg.threads import Map
from transferkit._algorithms.text.term_counts import Rows, TermCounts
from transferkit._algorithms.text.tokens import hash_strings
from transferkit._algorithms.text.vocabulary import (
    TermAccumulator,
    TermStatistics,
    Vocabulary,
    find_terms,
    to_vocabulary,
)
from transferkit._validation import check_texts
from transferkit.encoders.text._analyzer import Analyzer, join_texts
from transferkit.exceptions import count_inner_frames

__all__ = [
    "check_documents",
    "count_blocks",
    "count_corpus",
    "count_given_terms",
    "count_small",
    "index_given_vocabulary",
    "is_small",
    "map_blocks",
    "threaded_map",
]

_BATCH = 4096  # texts of a stream that are checked at a time
_PENDING_TERMS = 1 << 19  # terms that wait before they are merged
_FEW, _FEW_CHARACTERS = 16, 4096  # documents, and characters in total, that plain Python counts faster


def check_documents(X, accept: tuple[type, ...]) -> Iterable:
    """Return X as a checked list, or, for a generator, checked batch by batch as it is read."""
    return _check_stream(X, accept) if hasattr(X, "__next__") else check_texts(X, accept=accept)


def _check_stream(stream: Iterator, accept: tuple[type, ...]) -> Iterator:
    batch = list(islice(stream, _BATCH))
    yield from check_texts(batch, accept=accept)  # also raises if the stream is empty
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


def count_blocks(analyzer: Analyzer, documents: Iterable, n_jobs: int | None) -> list[TermCounts]:
    """Return the counted terms of all blocks."""
    blocks = map_blocks(analyzer.count, analyzer.split(documents), n_jobs)
    if effective_n_jobs(n_jobs) == 1:
        return list(blocks)
    # The allocator keeps an arena for each thread. Without a copy, the arrays that stay would keep the freed memory
    # between them, more than half of an arena, from being returned.
    return [TermCounts(*map(copy, counts)) for counts in blocks]


def count_corpus(
    analyzer: Analyzer, documents: Iterable, n_jobs: int | None, max_terms: int | None = None
) -> TermStatistics:
    """Return the statistics of all terms of the documents; see TermAccumulator for `max_terms`."""

    def summarise(block: Sequence[str]) -> tuple[Vocabulary, int]:
        counts = analyzer.count(block)
        return to_vocabulary([counts]), counts.n_rows

    accumulator, run = TermAccumulator(max_terms), threaded_map(n_jobs)
    parts: list[Vocabulary] = []
    n_pending, n_documents = 0, 0
    for part, n_rows in map_blocks(summarise, analyzer.split(documents), n_jobs):
        parts.append(part)
        n_pending += len(part.hashes)
        n_documents += n_rows
        if n_pending > _PENDING_TERMS:
            accumulator.add_parts(parts, n_documents, run=run)
            parts, n_pending, n_documents = [], 0, 0
    if parts:
        accumulator.add_parts(parts, n_documents)
    return accumulator.statistics()


def count_given_terms(analyzer: Analyzer, given: Vocabulary, documents: Iterable, n_jobs: int | None) -> TermStatistics:
    """Return the statistics of the given terms in the documents."""

    def find(block: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        counts = analyzer.count(block)
        places = find_terms(given.hashes, given.checks, counts.hashes, counts.checks)
        known = places >= 0
        frequencies, totals = counts.frequencies(0, len(places))
        return places[known], frequencies[known], totals[known], counts.n_rows

    document_frequency, total = np.zeros_like(given.document_frequency), np.zeros_like(given.total)
    n_documents = 0
    for places, frequencies, totals, n_rows in map_blocks(find, analyzer.split(documents), n_jobs):
        document_frequency[places] += frequencies
        total[places] += totals
        n_documents += n_rows
    return TermStatistics(given._replace(document_frequency=document_frequency, total=total), n_documents)


def index_given_vocabulary(vocabulary, analyzer: Analyzer) -> tuple[Vocabulary, np.ndarray]:
    """Return terms given by the user, not counted yet and sorted by hash, then check, and their columns (int32).

    The vocabulary is a mapping of terms to columns, or an iterable in the order of columns; the terms of a set are
    sorted. Terms with capitals give a warning if the analyzer lowercases texts.
    """
    if isinstance(vocabulary, (set, frozenset)):
        vocabulary = sorted(vocabulary)
    if isinstance(vocabulary, Mapping):
        names, columns = list(vocabulary), np.array(list(vocabulary.values()), np.int64)
        if not np.array_equal(np.sort(columns), np.arange(len(names))):
            raise ValueError(f"The columns in 'vocabulary' must be 0 to {len(names) - 1}, each once.")
    else:
        names = list(vocabulary)
        columns = np.arange(len(names))
        if len(set(names)) != len(names):
            raise ValueError(f"Duplicate term in vocabulary: {Counter(names).most_common(1)[0][0]!r}")
    if not names:
        raise ValueError("empty vocabulary passed to fit")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"The terms in 'vocabulary' must be str. Got {name!r} ({type(name).__name__}).")
    if analyzer.lowercase and any(map(str.isupper, "".join(names))):
        warnings.warn(
            "Upper case characters found in vocabulary while 'lowercase' is True. These entries will not be "
            "matched with any documents",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
    hashes, checks = hash_strings(names, by_word=analyzer.unit == "word")
    order = np.lexsort((checks, hashes))
    text, starts, lengths = join_texts(names)
    zeros = np.zeros(len(names), np.int64)
    terms = Vocabulary(hashes, checks, zeros, zeros, text, starts, lengths.astype(np.int32))
    return terms.select(order), columns[order].astype(np.int32)


def is_small(documents: Iterable) -> bool:
    """Return whether plain Python counts the documents faster, because array operations have a fixed cost."""
    return (
        isinstance(documents, list)
        and len(documents) <= _FEW
        and sum(len(text) if type(text) is str else _FEW_CHARACTERS for text in documents) < _FEW_CHARACTERS
    )


def count_small(analyzer: Analyzer, documents: list, find_columns: Callable, dtype: type) -> Rows:
    """Return the counts of a few short documents; `find_columns` gives the column of each term, -1 if unknown."""
    data, indices, indptr = [], [], [0]
    for document in documents:
        counts: dict[int, int] = {}
        for column in find_columns(analyzer.analyze(document)):
            counts[column] = counts.get(column, 0) + 1
        counts.pop(-1, None)
        columns = sorted(counts)
        indices += columns
        data += [counts[column] for column in columns]
        indptr.append(len(indices))
    return Rows(np.array(data, dtype), np.array(indices, np.int32), np.array(indptr, np.int32))
