"""Terms of a block of documents, found, hashed and counted on a device."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transferkit._algorithms.text import hashing
from transferkit._algorithms.text.term_counts import TermCounts, narrow
from transferkit._algorithms.text.text_bytes import SPACE, TextBytes
from transferkit._algorithms.text.tokens import pad
from transferkit._algorithms.text.vocabulary import decode_terms
from transferkit._training.device import as_writable
from transferkit._training.modes import with_own_modes

__all__ = ["count_on_device"]

Pair = tuple[Tensor, Tensor]
Stem = Callable[[list[str]], tuple[np.ndarray, np.ndarray, np.ndarray]]

_SIGN = -(1 << 63)  # torch sorts signed integers only: with this bit flipped, they are in unsigned order


class _Terms(NamedTuple):
    """Occurrences of terms; hashes and checks are int64 with the bits that NumPy holds as uint64."""

    hashes: Tensor
    checks: Tensor
    rows: Tensor
    text: Tensor
    starts: Tensor
    lengths: Tensor


@with_own_modes()
def count_on_device(
    text: TextBytes,
    unit: str,
    ngram_range: tuple[int, int],
    stop_words: tuple[np.ndarray, np.ndarray] | None,
    stem: Stem | None,
    device: torch.device,
) -> TermCounts:
    """Count the terms of each document, to the same arrays as on NumPy.

    Parameters
    ----------
    text : TextBytes
        Normalised documents; their bytes go to the device once, and distinct terms come back.
    unit : {'word', 'char_wb', 'char'}
        What terms are made of.
    ngram_range : tuple (min_n, max_n)
        Number of words or characters.
    stop_words : tuple (hashes, checks) of ndarray of uint64, or None
        Words to leave out.
    stem : callable or None
        From distinct words to the bytes of their stems (each followed by a space), their starts and lengths.
    device : torch.device
        Where the work is done.

    Returns
    -------
    counts : TermCounts
        Counts by term, as NumPy arrays.
    """
    raw, starts, ends = (torch.from_numpy(as_writable(part)).to(device) for part in text[:3])
    if unit == "word":
        starts, lengths = _find_words(raw, 2, text.is_ascii)
        rows = torch.searchsorted(ends, starts, right=True)
        terms = _Terms(*_hash_spans(raw, starts, lengths), rows, raw, starts, lengths)
        if stop_words is not None:
            terms = _without(terms, stop_words)
        if stem is not None:
            terms = _stemmed(terms, stem)
        return _count(_word_ngrams(terms, ngram_range), len(text.starts))
    rows = torch.arange(len(starts), device=device)
    if unit == "char_wb":
        starts, lengths = _find_words(raw, 1, text.is_ascii)
        rows = torch.searchsorted(ends, starts, right=True)
        starts, ends = starts - 1, starts + lengths + 1  # with the space on either side
    ngrams = _character_ngrams(raw, (starts, ends), rows, ngram_range, text.is_ascii, keep_short=unit == "char_wb")
    return _count(ngrams, len(text.starts))


def _find_words(text: Tensor, min_characters: int, is_ascii: bool) -> Pair:
    """Return starts and lengths of the runs of bytes other than the space."""
    inside = text != SPACE
    edges = _where(inside[1:] != inside[:-1]) + 1
    starts, lengths = edges[0::2].contiguous(), edges[1::2] - edges[0::2]
    if min_characters == 1:
        return starts, lengths
    width = torch.ones_like(starts)  # of the first character, in bytes
    if not is_ascii:
        lead = text[starts]
        width += (lead >= 0xC0).long() + (lead >= 0xE0) + (lead >= 0xF0)
    long_enough = lengths > width
    return starts[long_enough], lengths[long_enough]


def _hash_spans(text: Tensor, starts: Tensor, lengths: Tensor) -> Pair:
    """Return what :func:`hashing.hash_spans` returns, bit for bit."""
    checks = _load_words(text, starts, lengths)
    hashes = checks + lengths * _signed(hashing.ROOT)
    longer, done = _where(lengths > 8), 8
    while len(longer) and done < hashing.LONG:
        words = _load_words(text, starts[longer] + done, lengths[longer] - done)
        hashes[longer] = _mix(hashes[longer]) + words * _signed(hashing.PI)
        checks[longer] = checks[longer] * _signed(hashing.E) + words
        done += 8
        longer = longer[lengths[longer] > done]
    if len(longer):  # a few, and their digests are made by Python
        rest = hashing.digest_spans(
            text.cpu().numpy(), (starts[longer] + done).cpu().numpy(), (lengths[longer] - done).cpu().numpy()
        )
        digests = torch.from_numpy(rest.view(np.int64)).to(text.device)  # (n_longer, 2)
        hashes[longer] = _mix(hashes[longer]) ^ digests[:, 0]
        checks[longer] ^= digests[:, 1]
    return _mix(hashes), checks


def _load_words(text: Tensor, positions: Tensor, lengths: Tensor) -> Tensor:
    """Return the (up to) eight bytes at each position as little-endian integers, zeros beyond the length."""
    words = text.unfold(0, 8, 1)[positions].view(torch.int64)[:, 0]  # (n, 8) bytes are (n, 1) integers
    keep = torch.tensor([(1 << 8 * n) - 1 for n in range(8)] + [-1], device=text.device)
    return words & keep[lengths.clamp(0, 8)]


def _mix(hashes: Tensor) -> Tensor:
    for factor in (hashing.GOLDEN, hashing.E):
        hashes = hashes * _signed(factor)
        hashes = hashes ^ ((hashes >> 32) & 0xFFFFFFFF)
    return hashes


def _signed(constant: np.uint64) -> int:
    return int(constant.view(np.int64))


def _without(words: _Terms, stop_words: tuple[np.ndarray, np.ndarray]) -> _Terms:
    hashes, checks = (torch.from_numpy(part.view(np.int64)).to(words.hashes.device) for part in stop_words)
    stay = ~(torch.isin(words.hashes, hashes) & torch.isin(words.checks, checks))
    return words._replace(
        hashes=words.hashes[stay],
        checks=words.checks[stay],
        rows=words.rows[stay],
        starts=words.starts[stay],
        lengths=words.lengths[stay],
    )


def _stemmed(words: _Terms, stem: Stem) -> _Terms:
    """Replace each word by its stem, which is asked for once for each distinct word."""
    order, is_first = _group(words.hashes, words.checks)
    distinct = order[is_first]
    spans = _copy_spans(words.text, words.starts[distinct], words.lengths[distinct])
    joined, starts, lengths = stem(decode_terms(*spans))
    hashes, checks = hashing.hash_spans(joined, starts, lengths)
    word = torch.empty_like(order)
    word[order] = is_first.cumsum(0) - 1
    arrays = (hashes.view(np.int64), checks.view(np.int64), starts, lengths)
    stem_hashes, stem_checks, stem_starts, stem_lengths = (
        torch.from_numpy(array).to(word.device)[word] for array in arrays
    )
    text = torch.from_numpy(as_writable(joined)).to(word.device)
    return _Terms(stem_hashes, stem_checks, words.rows, text, stem_starts, stem_lengths)


def _word_ngrams(words: _Terms, ngram_range: tuple[int, int]) -> _Terms:
    """Return the n-grams of neighbouring words of one document."""
    lowest, highest = ngram_range
    if highest == 1:
        return words
    # The words are written one space apart, so that n-grams are spans of the text.
    text = words.text[_expand(words.starts, words.lengths + 1)[0]]
    ends = (words.lengths + 1).cumsum(0) - 1
    starts = ends - words.lengths
    first = torch.arange(len(words.rows), device=text.device)
    hashes, checks = words.hashes, words.checks
    found = []
    for n in range(1, highest + 1):
        last = first + (n - 1)
        if n > 1:
            stay = last < len(words.rows)
            stay[stay.clone()] = words.rows[first[stay]] == words.rows[last[stay]]
            first, last = first[stay], last[stay]
            hashes = hashes[stay] * _signed(hashing.GOLDEN) + words.hashes[last]
            checks = checks[stay] * _signed(hashing.PI) + words.checks[last]
        if n >= lowest:
            found.append((hashes, checks, words.rows[first], starts[first], ends[last] - starts[first]))
    hashes, checks, rows, first, lengths = (torch.cat(parts) for parts in zip(*found, strict=True))
    return _Terms(hashes, checks, rows, torch.cat([text, text.new_zeros(8)]), first, lengths)


def _character_ngrams(
    text: Tensor, spans: Pair, rows: Tensor, ngram_range: tuple[int, int], is_ascii: bool, keep_short: bool
) -> _Terms:
    """Return the n-grams of characters between the starts and ends of the spans; short spans whole if asked for."""
    starts, ends = spans
    position = None
    if not is_ascii:
        begins = (text & 0xC0) != 0x80
        character = begins.cumsum(0) - 1  # of each byte
        position = _where(begins)
        starts, ends = character[starts], character[ends]
    found = []
    for n in range(ngram_range[0], ngram_range[1] + 1):
        at_least = int(keep_short and n == ngram_range[0])
        first, span = _expand(starts, (ends - starts - (n - 1)).clamp(min=at_least))
        found.append((first, torch.minimum(first + n, ends[span]), rows[span]))
    first, last, rows = (torch.cat(parts) for parts in zip(*found, strict=True))
    if position is not None:
        first, last = position[first], position[last]
    return _Terms(*_hash_spans(text, first, last - first), rows, text, first, last - first)


def _expand(starts: Tensor, counts: Tensor) -> Pair:
    """Return start, start + 1, ... (count of them) for every start, and the index of the start for each."""
    index = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    before = counts.cumsum(0) - counts
    return torch.arange(len(index), device=counts.device) + (starts - before)[index], index


def _group(hashes: Tensor, checks: Tensor) -> Pair:
    """Return the order by hash, then check, then place, and whether a new term begins in that order."""
    order = torch.argsort(hashes ^ _SIGN, stable=True)
    new_hash = _differs(hashes[order])
    is_first = new_hash | _differs(checks[order])
    if not torch.equal(new_hash, is_first):  # different terms share a hash: rare, and worth sorting twice
        order = torch.argsort(checks ^ _SIGN, stable=True)
        order = order[torch.argsort(hashes[order] ^ _SIGN, stable=True)]
        is_first = _differs(hashes[order]) | _differs(checks[order])
    return order, is_first


def _differs(values: Tensor) -> Tensor:
    """Return whether each value is another than the one before."""
    differs = torch.ones(len(values), dtype=torch.bool, device=values.device)
    differs[1:] = values[1:] != values[:-1]
    return differs


def _count(terms: _Terms, n_rows: int) -> TermCounts:
    order, is_first = _group(terms.hashes, terms.checks)
    rows = terms.rows[order]
    entries = _where(is_first | _differs(rows))
    total = entries.new_tensor([len(order)])
    counts = torch.diff(torch.cat([entries, total]))
    indptr = torch.cat([_where(is_first[entries]), entries.new_tensor([len(entries)])])
    distinct = order[is_first]
    hashes, checks = (part[distinct].cpu().numpy().view(np.uint64) for part in (terms.hashes, terms.checks))
    text, starts, lengths = _copy_spans(terms.text, terms.starts[distinct], terms.lengths[distinct])
    return TermCounts(
        hashes,
        checks,
        indptr.int().cpu().numpy(),
        narrow(rows[entries].int().cpu().numpy(), n_rows),
        narrow(counts.int().cpu().numpy()),
        n_rows,
        pad(text),
        starts.astype(np.int32),
        lengths.astype(np.int32),
    )


def _copy_spans(text: Tensor, starts: Tensor, lengths: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bytes of the spans, each filled up to a multiple of eight, where each starts, and its length."""
    n_words = (lengths + 7) >> 3
    offset, span = _expand(torch.zeros_like(n_words), n_words)
    offset = 8 * offset
    words = _load_words(text, starts[span] + offset, lengths[span] - offset)
    begins = 8 * (n_words.cumsum(0) - n_words)
    return words.cpu().numpy().view(np.uint8), begins.cpu().numpy(), lengths.cpu().numpy()


def _where(mask: Tensor) -> Tensor:
    return torch.nonzero(mask)[:, 0]
