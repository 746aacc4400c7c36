"""Terms as sorted arrays: merging, looking up, spelling, alphabetical order."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from transferkit._algorithms.hashing import load_words
from transferkit._algorithms.term_counts import group_equal
from transferkit._algorithms.tokens import pad, take_spans

_RANGE_SIZE = 1 << 18  # terms that are merged at a time, so that the work stays in the cache


class Counted(Protocol):
    """Distinct terms in ascending order of hash, then check, with their text and frequencies."""

    @property
    def hashes(self) -> np.ndarray: ...
    @property
    def checks(self) -> np.ndarray: ...
    @property
    def document_frequency(self) -> np.ndarray: ...
    @property
    def total(self) -> np.ndarray: ...
    @property
    def text(self) -> np.ndarray: ...
    @property
    def ends(self) -> np.ndarray: ...


class Vocabulary(NamedTuple):
    """Distinct terms in ascending order of hash, then check, with their text and frequencies.

    `hashes` and `checks` are uint64, `document_frequency` and `total` int64; the UTF-8 bytes of term t end
    at ``ends[t]`` of `text`, where those of the next one begin.
    """

    hashes: np.ndarray
    checks: np.ndarray
    document_frequency: np.ndarray
    total: np.ndarray
    text: np.ndarray
    ends: np.ndarray

    def select(self, chosen: np.ndarray) -> "Vocabulary":
        """Return the chosen terms (ascending places) only."""
        text, lengths = spell(self, chosen)
        return Vocabulary(
            self.hashes[chosen],
            self.checks[chosen],
            self.document_frequency[chosen],
            self.total[chosen],
            text,
            np.cumsum(lengths),
        )


def spell(terms: Counted, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the UTF-8 bytes of the chosen terms, joined, and their lengths."""
    lengths = np.diff(terms.ends, prepend=0)[chosen]
    return take_spans(terms.text, terms.ends[chosen] - lengths, lengths), lengths


class Merged(NamedTuple):
    """Distinct terms of several parts, in ascending order of hash, then check.

    `terms_of[p]` are the merged terms of the terms of part p; `part` and `place` tell where a merged term
    is first found.
    """

    hashes: np.ndarray
    checks: np.ndarray
    document_frequency: np.ndarray
    total: np.ndarray
    part: np.ndarray
    place: np.ndarray
    terms_of: list[np.ndarray]


def merge_parts(parts: Sequence[Counted]) -> Merged:
    """Find the distinct terms of all parts and add up their frequencies."""
    sizes = np.array([len(part.hashes) for part in parts])
    n_ranges = int(sizes.sum()) // _RANGE_SIZE + 1
    bounds = np.array([(k << 64) // n_ranges for k in range(1, n_ranges)], np.uint64)
    cuts = [np.concatenate([[0], np.searchsorted(part.hashes, bounds), [len(part.hashes)]]) for part in parts]
    frequencies = [(part.document_frequency, part.total) for part in parts]
    terms_of = [np.empty(size, np.int32) for size in sizes]
    columns: list[list[np.ndarray]] = [[] for _ in range(6)]
    n_terms = 0
    for k in range(n_ranges):
        slices = [slice(cut[k], cut[k + 1]) for cut in cuts]
        hashes = np.concatenate([part.hashes[at] for part, at in zip(parts, slices, strict=True)])
        checks = np.concatenate([part.checks[at] for part, at in zip(parts, slices, strict=True)])
        counts = [
            np.concatenate([pair[which][at] for pair, at in zip(frequencies, slices, strict=True)]) for which in (0, 1)
        ]
        if len(hashes) == 0:
            continue
        order, is_first = group_equal(hashes, checks)
        begins = np.flatnonzero(is_first)
        term = np.empty(len(order), np.int32)
        term[order] = np.cumsum(is_first, dtype=np.int32) + np.int32(n_terms - 1)
        widths = np.array([at.stop - at.start for at in slices])
        offsets = np.cumsum(widths) - widths
        for target, at, offset in zip(terms_of, slices, offsets, strict=True):
            target[at] = term[offset : offset + at.stop - at.start]
        first = order[begins]
        part_of = np.searchsorted(np.cumsum(widths), first, side="right")
        starts = np.array([at.start for at in slices])
        found = (
            hashes[first],
            checks[first],
            np.add.reduceat(counts[0][order], begins, dtype=np.int64),
            np.add.reduceat(counts[1][order], begins, dtype=np.int64),
            part_of.astype(np.int32),
            first - offsets[part_of] + starts[part_of],
        )
        for column, values in zip(columns, found, strict=True):
            column.append(values)
        n_terms += len(begins)
    dtypes = (np.uint64, np.uint64, np.int64, np.int64, np.int32, np.intp)
    joined = [np.concatenate([np.empty(0, d), *c]) for c, d in zip(columns, dtypes, strict=True)]
    return Merged(joined[0], joined[1], joined[2], joined[3], joined[4], joined[5], terms_of)


def to_vocabulary(parts: Sequence[Counted], merged: Merged | None = None) -> Vocabulary:
    """Return one vocabulary with all terms of the parts, which it no longer needs."""
    if merged is None:
        merged = merge_parts(parts)
    lengths = np.empty(len(merged.hashes), np.int64)
    pieces, members = [np.empty(0, np.uint8)], [np.empty(0, np.intp)]
    by_part = np.argsort(merged.part, kind="stable")
    bounds = np.searchsorted(merged.part[by_part], np.arange(len(parts) + 1))
    for part, begin, end in zip(parts, bounds[:-1], bounds[1:], strict=True):
        member = by_part[begin:end]
        text, lengths[member] = spell(part, merged.place[member])
        pieces.append(text)
        members.append(member)
    arrived = np.concatenate(members)
    piece_ends = np.cumsum(lengths[arrived])
    starts = np.empty(len(lengths), np.int64)
    starts[arrived] = piece_ends - lengths[arrived]
    text = take_spans(np.concatenate(pieces), starts, lengths)
    return Vocabulary(merged.hashes, merged.checks, merged.document_frequency, merged.total, text, np.cumsum(lengths))


def choose_columns(
    terms: Vocabulary, is_kept: np.ndarray, max_features: int | None, binary: bool, dtype: type
) -> np.ndarray:
    """Return the column of each term in alphabetical order (int32), -1 for terms that are left out.

    Parameters
    ----------
    terms : Vocabulary
        All terms.
    is_kept : ndarray of bool of shape (n_terms,)
        Which of them may be kept.
    max_features : int or None
        Keep at most that many, those that occur most often.
    binary : bool
        A term occurs but once in a document.
    dtype : type
        Type in which occurrences are compared; it decides, as in scikit-learn, which of equally frequent
        terms are kept.

    Returns
    -------
    columns : ndarray of int32 of shape (n_terms,)
        Columns.
    """
    kept = np.flatnonzero(is_kept)
    lengths = np.diff(terms.ends, prepend=0)
    order = kept[sort_terms(pad(terms.text), (terms.ends - lengths)[kept], lengths[kept])]
    if max_features is not None and len(order) > max_features:
        occurrences = (terms.document_frequency if binary else terms.total)[order].astype(dtype)
        order = order[np.sort((-occurrences).argsort()[:max_features])]
    columns = np.full(len(terms.hashes), -1, np.int32)
    columns[order] = np.arange(len(order), dtype=np.int32)
    return columns


def decode_terms(text: np.ndarray, ends: np.ndarray) -> list[str]:
    """Return terms, given as joined UTF-8 bytes and where each ends, as strings."""
    raw, stops = text.tobytes(), ends.tolist()
    if raw.isascii():
        joined = raw.decode("ascii")
        return [joined[a:b] for a, b in zip([0, *stops], stops, strict=False)]
    return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *stops], stops, strict=False)]


class Tally:
    """Term statistics of a stream, in memory that grows with the vocabulary and not with the stream.

    Parts are merged when they reach the size of their elders, so that each term is moved only a few times.
    """

    def __init__(self) -> None:
        self._levels: list[Vocabulary] = []

    def add(self, parts: Sequence[Counted]) -> None:
        """Add the terms of some blocks or vocabularies."""
        self._levels.append(to_vocabulary(parts))
        while len(self._levels) > 1 and 2 * len(self._levels[-1].hashes) >= len(self._levels[-2].hashes):
            self._levels[-2:] = [to_vocabulary(self._levels[-2:])]

    def vocabulary(self) -> Vocabulary:
        """Return everything added so far."""
        if len(self._levels) != 1:
            self._levels = [to_vocabulary(self._levels)]
        return self._levels[0]


def find_terms(
    hashes: np.ndarray, checks: np.ndarray, wanted_hashes: np.ndarray, wanted_checks: np.ndarray
) -> np.ndarray:
    """Return the place of each wanted term in a vocabulary sorted by hash, then check; -1 for none.

    Equal hashes of different terms are told apart by their checks.
    """
    places = np.searchsorted(hashes, wanted_hashes)
    result = np.full(len(places), -1, np.intp)
    open_ = np.arange(len(places))
    while len(open_):
        open_ = open_[places[open_] < len(hashes)]
        at = places[open_]
        same_hash = hashes[at] == wanted_hashes[open_]
        open_, at = open_[same_hash], at[same_hash]
        found = checks[at] == wanted_checks[open_]
        result[open_[found]] = at[found]
        open_ = open_[~found]
        places[open_] += 1
    return result


def sort_terms(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the alphabetical order (by code point) of terms given as spans of UTF-8 bytes.

    Parameters
    ----------
    text : ndarray of uint8
        Bytes, with `PADDING` spare ones at the end.
    starts, lengths : ndarray of int of shape (n_terms,)
        Where the (distinct) terms lie.

    Returns
    -------
    order : ndarray of intp of shape (n_terms,)
        Places in alphabetical order.

    Notes
    -----
    Sorts by the first eight bytes, then those that tie by the next eight, and so on. The order of UTF-8
    bytes is the order of code points, which is how Python compares strings.
    """
    order = np.argsort(load_words(text, starts, lengths).byteswap(inplace=True))
    keys = load_words(text, starts[order], lengths[order]).byteswap(inplace=True)
    slots = np.arange(len(order))  # places in `order` that are not settled yet
    run = np.cumsum(np.concatenate([[False], keys[1:] != keys[:-1]])) if len(keys) else slots
    done = 8
    while True:
        tied = np.zeros(len(run), bool)
        tied[1:] = run[1:] == run[:-1]
        tied[:-1] |= tied[1:]
        slots, run = slots[tied], run[tied]
        if len(slots) == 0:
            return order
        terms = order[slots]
        rest = np.maximum(lengths[terms] - done, 0)
        if not rest.any():  # equal but for zero bytes at the end
            order[slots] = terms[np.lexsort((lengths[terms], run))]
            return order
        # A term that has ended loads nothing, wherever that is.
        keys = load_words(text, np.where(rest > 0, starts[terms] + done, 0), rest).byteswap(inplace=True)
        by_key = np.argsort(keys)
        within = by_key[np.argsort(run[by_key], kind="stable")]
        order[slots] = terms[within]
        keys, run = keys[within], run[within]
        new_run = np.zeros(len(run), bool)
        new_run[1:] = (keys[1:] != keys[:-1]) | (run[1:] != run[:-1])
        run = np.cumsum(new_run)
        done += 8
