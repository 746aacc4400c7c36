"""Tokens of a block of documents, and n-grams of words or characters, as hashed spans of bytes."""

from typing import NamedTuple

import numpy as np

from transferkit._algorithms.text.hashing import combine_hashes, hash_spans, load_words
from transferkit._algorithms.text.text_bytes import PADDING, SPACE, TextBytes

__all__ = [
    "NGrams",
    "Tokens",
    "character_ngrams",
    "copy_spans",
    "expand_ranges",
    "find_words",
    "pad",
    "take_spans",
    "word_ngrams",
]


class Tokens(NamedTuple):
    """Occurrences of words, in the order of the text.

    `hashes` and `checks` (uint64) identify the word, `rows` (int32) is the document, and
    ``text[starts : starts + lengths]`` are its bytes.
    """

    hashes: np.ndarray
    checks: np.ndarray
    rows: np.ndarray
    text: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def select(self, chosen: np.ndarray) -> "Tokens":
        """Return the chosen occurrences only."""
        return Tokens(
            self.hashes[chosen],
            self.checks[chosen],
            self.rows[chosen],
            self.text,
            self.starts[chosen],
            self.lengths[chosen],
        )


def find_words(text: TextBytes, min_characters: int) -> Tokens:
    """Return the maximal runs of bytes other than the space, as hashed tokens.

    Parameters
    ----------
    text : TextBytes
        Documents with spaces where no token is.
    min_characters : {1, 2}
        Shorter tokens are left out.

    Returns
    -------
    tokens : Tokens
        Words in the order of the text.
    """
    inside = text.bytes != SPACE
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    edges += 1
    starts, lengths = edges[0::2], edges[1::2] - edges[0::2]
    if min_characters > 1:
        one = 1 if text.is_ascii else _character_width(text.bytes.take(starts))
        long_enough = lengths > one
        starts, lengths = starts[long_enough], lengths[long_enough]
    hashes, checks = hash_spans(text.bytes, starts, lengths)
    return Tokens(hashes, checks, _rows_of(text, starts), text.bytes, starts, lengths)


def _character_width(lead: np.ndarray) -> np.ndarray:
    return 1 + (lead >= 0xC0).astype(np.int64) + (lead >= 0xE0) + (lead >= 0xF0)


def _rows_of(text: TextBytes, starts: np.ndarray) -> np.ndarray:
    up_to = np.searchsorted(starts, text.ends)
    return np.repeat(np.arange(len(up_to), dtype=np.int32), np.diff(up_to, prepend=0))


class NGrams(NamedTuple):
    """Occurrences of terms: occurrence k of a term is in row ``rows[k]`` (int32).

    Its bytes run from ``starts[first[k]]`` to ``ends[last[k]]`` of `text` (the words or characters that it
    begins and ends with). Within one term, rows ascend.
    """

    hashes: np.ndarray
    checks: np.ndarray
    rows: np.ndarray
    text: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def spans(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the chosen occurrences start, and their lengths."""
        starts = self.starts[self.first[chosen]]
        return starts, self.ends[self.last[chosen]] - starts


def word_ngrams(tokens: Tokens, ngram_range: tuple[int, int]) -> NGrams:
    """Return the n-grams of neighbouring words of one document, for every n in the (closed) range."""
    lowest, highest = ngram_range
    if highest > 1:
        tokens = _join_words(tokens)
    n_tokens = len(tokens.hashes)
    pair = tokens.hashes, tokens.checks
    first = np.arange(n_tokens, dtype=np.int32)
    hashes, checks, firsts, lasts = [], [], [], []
    for n in range(1, highest + 1):
        if n > 1:
            ahead = first[: np.searchsorted(first, n_tokens - n + 1)]
            stay = np.flatnonzero(tokens.rows[ahead] == tokens.rows[ahead + (n - 1)])
            first, pair = first[stay], (pair[0][stay], pair[1][stay])
            last = first + (n - 1)
            pair = combine_hashes(pair, (tokens.hashes[last], tokens.checks[last]))
        if n >= lowest:
            hashes.append(pair[0])
            checks.append(pair[1])
            firsts.append(first)
            lasts.append(first + (n - 1))
        if len(first) == 0:
            break
    first = _concatenate(firsts, np.int32)
    return NGrams(
        _concatenate(hashes, np.uint64),
        _concatenate(checks, np.uint64),
        tokens.rows[first],
        tokens.text,
        tokens.starts,
        tokens.starts + tokens.lengths,
        first,
        _concatenate(lasts, np.int32),
    )


def _join_words(tokens: Tokens) -> Tokens:
    """Return the tokens in a text where they are one space apart, so that n-grams of words are spans of it."""
    widths = tokens.lengths + 1  # a space follows each token
    if len(widths) and (np.diff(tokens.starts) > 0).all():
        step = np.zeros(len(tokens.text) + 1, np.int8)
        step[tokens.starts] = 1
        step[tokens.starts + widths] -= 1
        text = tokens.text[np.cumsum(step[:-1], dtype=np.int8).view(bool)]
    else:
        text = take_spans(tokens.text, tokens.starts, widths)
    return tokens._replace(text=pad(text), starts=np.cumsum(widths) - widths)


def _concatenate(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def character_ngrams(
    text: TextBytes, starts: np.ndarray, ends: np.ndarray, ngram_range: tuple[int, int], keep_short: bool
) -> NGrams:
    """Return the n-grams of characters within spans of the text.

    Parameters
    ----------
    text : TextBytes
        The text.
    starts, ends : ndarray of int of shape (n_spans,)
        Bounds of the spans in bytes; the row of an n-gram is the index of its span.
    ngram_range : tuple (min_n, max_n)
        Number of characters.
    keep_short : bool
        Whether a span shorter than min_n gives one n-gram, the whole span, rather than none.

    Returns
    -------
    ngrams : NGrams
        Occurrences, by n and then by place.
    """
    if text.is_ascii:
        first, last, rows = _slide(starts, ends, ngram_range, keep_short)
    else:
        begins = (text.bytes & 0xC0) != 0x80
        character = np.cumsum(begins, dtype=np.int32) - 1  # of each byte
        position = np.flatnonzero(begins)
        first, last, rows = _slide(character[starts], character[ends], ngram_range, keep_short)
        first, last = position[first], position[last]
    hashes, checks = hash_spans(text.bytes, first, last - first)
    place = np.arange(len(first), dtype=np.int32)
    return NGrams(hashes, checks, rows, text.bytes, first, last, place, place)


def _slide(
    starts: np.ndarray, ends: np.ndarray, ngram_range: tuple[int, int], keep_short: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, end and span of every n-gram of positions within the spans."""
    sizes = ends - starts
    firsts, lasts, rows = [], [], []
    for n in range(ngram_range[0], ngram_range[1] + 1):
        counts = np.maximum(sizes - (n - 1), 0)
        is_short = (counts == 0) if keep_short and n == ngram_range[0] else None
        if is_short is not None:
            counts[is_short] = 1
        first = expand_ranges(starts, counts)
        last = first + n
        if is_short is not None:
            np.minimum(last, np.repeat(ends, counts), out=last)
        firsts.append(first)
        lasts.append(last)
        rows.append(np.repeat(np.arange(len(starts), dtype=np.int32), counts))
    return np.concatenate(firsts), np.concatenate(lasts), np.concatenate(rows)


def expand_ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the integers from each start up to start + count, joined."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def take_spans(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the bytes of every span, joined."""
    return text.take(expand_ranges(starts, lengths))


def copy_spans(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of all spans, each filled up to a multiple of eight, and where each starts."""
    n_words = (lengths.astype(np.int64) + 7) >> 3
    word_ends = np.cumsum(n_words)
    offset = 8 * expand_ranges(np.zeros(len(n_words), np.int64), n_words)
    words = load_words(text, np.repeat(starts, n_words) + offset, np.repeat(lengths, n_words) - offset)
    return words.view(np.uint8), 8 * (word_ends - n_words)


def pad(text: np.ndarray) -> np.ndarray:
    """Return the bytes followed by `PADDING` spare ones, which loading eight bytes at a time needs."""
    return np.concatenate([text, np.zeros(PADDING, np.uint8)])
