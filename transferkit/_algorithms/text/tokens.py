"""Words and n-grams of a block of documents as hashed spans of bytes; two 64-bit hashes identify a term."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.text.text_bytes import PADDING, SPACE, TextBytes

__all__ = [
    "NGrams",
    "Tokens",
    "character_ngrams",
    "copy_spans",
    "expand_ranges",
    "find_words",
    "hash_spans",
    "hash_strings",
    "hash_terms",
    "load_words",
    "mix",
    "pad",
    "take_spans",
    "word_ngrams",
]

# Odd, so that multiplying modulo 2**64 loses nothing. Digits of the golden ratio, pi, e and sqrt(2).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_PI = np.uint64(0x3243F6A8885A308D)
_E = np.uint64(0xB7E151628AED2A6B)
_ROOT = np.uint64(0x6A09E667F3BCC909)
_LONG = 64  # bytes that are hashed eight at a time
_HALF = np.uint64(32)
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


def load_words(text: np.ndarray, positions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the (up to) eight bytes at each position as little-endian integers, zeros beyond the length."""
    eight = np.ndarray((len(text) - PADDING + 1,), "<u8", buffer=text, strides=(1,))
    # `take` is faster at each position but first copies the (overlapping) words of the whole text.
    words = eight.take(positions) if 8 * len(positions) > len(text) else eight[positions]
    words &= _KEEP.take(lengths, mode="clip")
    return words


def hash_spans(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two hashes (uint64) of the bytes ``text[start : start + length]`` of every span.

    The text needs `PADDING` spare bytes at its end. Spans of up to eight bytes never share both hashes; longer ones do
    with a probability of about n_distinct**2 / 2**129. Eight bytes are taken at a time, so the cost is per token and
    not per character.
    """
    checks = load_words(text, starts, lengths)
    hashes = checks + lengths.astype(np.uint64) * _ROOT
    longer = np.flatnonzero(lengths > 8)
    done = 8
    while len(longer) and done < _LONG:
        words = load_words(text, starts[longer] + done, lengths[longer] - done)
        hashes[longer] = mix(hashes[longer]) + words * _PI
        checks[longer] = checks[longer] * _E + words
        done += 8
        longer = longer[lengths[longer] > done]
    if len(longer):  # lines of dashes, encoded files: few, but each would need many more steps
        digests = _digest_spans(text, starts[longer] + done, lengths[longer] - done)
        hashes[longer] = mix(hashes[longer]) ^ digests[:, 0]
        checks[longer] ^= digests[:, 1]
    return mix(hashes), checks


def _digest_spans(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return two hashes (uint64) of each span, computed one span at a time, shape (n_spans, 2)."""
    spans = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    joined = b"".join(blake2b(text[start:end].tobytes(), digest_size=16).digest() for start, end in spans)
    return np.frombuffer(bytearray(joined), "<u8").reshape(-1, 2)


def mix(hashes: np.ndarray) -> np.ndarray:
    """Spread every bit over the upper ones, without loss (in place)."""
    hashes *= _GOLDEN
    hashes ^= hashes >> _HALF
    hashes *= _E
    hashes ^= hashes >> _HALF
    return hashes


def _combine_hashes(
    left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of n-grams from those of their first n - 1 words (`left`) and of their last word (`right`)."""
    return left[0] * _GOLDEN + right[0], left[1] * _PI + right[1]


def hash_strings(terms: Sequence[str], by_word: bool) -> tuple[np.ndarray, np.ndarray]:
    """Hash terms given as strings; `by_word` combines the hashes of words between spaces, as n-grams of words do."""
    encoded = [term.encode("utf-8", "surrogatepass") for term in terms]
    text = np.frombuffer(b"".join(encoded) + b" " * PADDING, np.uint8)
    lengths = np.array([len(term) for term in encoded], np.int64)
    return hash_terms(text, np.cumsum(lengths) - lengths, lengths, by_word)


def hash_terms(
    text: np.ndarray, starts: np.ndarray, lengths: np.ndarray, by_word: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Hash terms given as spans of bytes that follow each other without gaps, as `hash_strings` does."""
    n_bytes = len(text) - PADDING
    spaces = np.flatnonzero(text[:n_bytes] == SPACE) if by_word else np.zeros(0, np.int64)
    if len(spaces) == 0:
        return hash_spans(text, starts, lengths)
    term_of_space = np.searchsorted(starts, spaces, side="right") - 1
    n_words = np.bincount(term_of_space, minlength=len(starts)) + 1
    first = np.cumsum(n_words) - n_words
    word_starts, word_ends = np.empty((2, n_words.sum()), np.int64)
    is_first = np.zeros(len(word_starts), bool)
    is_first[first] = True
    word_starts[is_first], word_starts[~is_first] = starts, spaces + 1
    is_last = np.append(is_first[1:], True)
    word_ends[is_last], word_ends[~is_last] = starts + lengths, spaces
    hashes, checks = hash_spans(text, word_starts, word_ends - word_starts)
    term_hashes, term_checks = hashes[first], checks[first]
    for position in range(1, n_words.max(initial=1)):
        more = np.flatnonzero(n_words > position)
        right = first[more] + position
        term_hashes[more], term_checks[more] = _combine_hashes(
            (term_hashes[more], term_checks[more]), (hashes[right], checks[right])
        )
    return term_hashes, term_checks


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
    """Return the maximal runs of bytes other than the space, as hashed tokens in the order of the text.

    Tokens of fewer than `min_characters` (1 or 2) characters are left out.
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
            pair = _combine_hashes(pair, (tokens.hashes[last], tokens.checks[last]))
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
    """Return the n-grams of characters within spans of the text, by n and then by place.

    The spans are given by bounds in bytes; the row of an n-gram is the index of its span. With `keep_short`, a span
    shorter than the smallest n gives one n-gram, the whole span, rather than none.
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
