"""Where the tokens of a block of documents lie, and the n-grams made of them."""

from typing import NamedTuple

import numpy as np

from transferkit._algorithms.hashing import fold, hash_spans
from transferkit._algorithms.text_bytes import PADDING, SPACE, TextBytes


class Tokens(NamedTuple):
    """Occurrences of words, in the order of the text.

    `hashes` and `checks` (uint64) name the word, `rows` (int32) is the document, and
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
        Documents in which all but tokens is spaces.
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
    """Occurrences of terms: hashes, row (document), and what is needed to spell them.

    Occurrence k is ``text[starts[k] : starts[k] + lengths[k]]``; where `first_word` is given, it is the
    `n_words[k]` words from ``first_word[k]`` on, and `starts` and `lengths` are those of words. Within one
    term, rows ascend.
    """

    hashes: np.ndarray
    checks: np.ndarray
    rows: np.ndarray
    first_word: np.ndarray | None
    n_words: np.ndarray | None
    text: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def spell(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the UTF-8 bytes of the chosen occurrences, one after the other, and their lengths."""
        if self.first_word is None or self.n_words is None:
            lengths = self.lengths[chosen]
            return take_spans(self.text, self.starts[chosen], lengths), lengths
        n_words = self.n_words[chosen].astype(np.int64)
        words = expand_ranges(self.first_word[chosen], n_words)
        pieces = self.lengths[words] + 1  # one byte more each, for the space between words
        spelled = take_spans(self.text, self.starts[words], pieces)
        spelled[np.cumsum(pieces) - 1] = SPACE
        last = np.cumsum(n_words) - 1
        ends = np.cumsum(pieces)[last]
        lengths = np.diff(ends, prepend=0) - 1
        is_text = np.ones(len(spelled), bool)
        is_text[ends - 1] = False
        return spelled[is_text], lengths


def word_ngrams(tokens: Tokens, ngram_range: tuple[int, int]) -> NGrams:
    """Return the n-grams of neighbouring words of one document, for every n in the (closed) range."""
    lowest, highest = ngram_range
    n_tokens = len(tokens.hashes)
    pair = tokens.hashes, tokens.checks
    hashes, checks, first_words = [], [], []
    first = np.arange(n_tokens, dtype=np.int32)
    for n in range(1, highest + 1):
        if n > 1:
            ahead = first[: np.searchsorted(first, n_tokens - n + 1)]
            stay = np.flatnonzero(tokens.rows[ahead] == tokens.rows[ahead + (n - 1)])
            first, pair = first[stay], (pair[0][stay], pair[1][stay])
            last = first + (n - 1)
            pair = fold(pair, (tokens.hashes[last], tokens.checks[last]))
        if n >= lowest:
            hashes.append(pair[0])
            checks.append(pair[1])
            first_words.append(first)
        if len(first) == 0:
            break
    first_word = _join(first_words, np.int32)
    n_words = np.repeat(
        np.arange(lowest, lowest + len(first_words), dtype=np.uint8), [len(part) for part in first_words]
    )
    return NGrams(
        _join(hashes, np.uint64),
        _join(checks, np.uint64),
        tokens.rows[first_word],
        first_word,
        n_words,
        tokens.text,
        tokens.starts,
        tokens.lengths,
    )


def _join(parts: list[np.ndarray], dtype: type) -> np.ndarray:
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
        Bytes between which n-grams are made; the index of the span is their row.
    ngram_range : tuple (min_n, max_n)
        Number of characters.
    keep_short : bool
        A span shorter than min_n is taken as a whole, instead of giving nothing.

    Returns
    -------
    ngrams : NGrams
        Occurrences, by n and then by place.
    """
    position_of = None
    if not text.is_ascii:  # count in characters, and go back to bytes below
        position_of = np.flatnonzero((text.bytes & 0xC0) != 0x80)
        starts, ends = np.searchsorted(position_of, starts), np.searchsorted(position_of, ends)
    sizes = ends - starts
    all_starts, all_ends, rows = [], [], []
    for n in range(ngram_range[0], ngram_range[1] + 1):
        counts = np.maximum(sizes - (n - 1), 0)
        if keep_short and n == ngram_range[0]:
            counts[counts == 0] = 1
        first = expand_ranges(starts, counts)
        last = first + n
        if keep_short and n == ngram_range[0]:
            np.minimum(last, np.repeat(ends, counts), out=last)
        all_starts.append(first)
        all_ends.append(last)
        rows.append(np.repeat(np.arange(len(starts), dtype=np.int32), counts))
    first, last = np.concatenate(all_starts), np.concatenate(all_ends)
    if position_of is not None:
        first, last = position_of[first], position_of[last]
    lengths = last - first
    hashes, checks = hash_spans(text.bytes, first, lengths)
    return NGrams(hashes, checks, np.concatenate(rows), None, None, text.bytes, first, lengths)


def expand_ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return start, start + 1, ... (count of them) for every start, joined."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def take_spans(text: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the bytes of every span, joined."""
    return text.take(expand_ranges(starts, lengths))


def pad(text: np.ndarray) -> np.ndarray:
    """Return the bytes with the spare ones that loading eight at a time needs."""
    return np.concatenate([text, np.zeros(PADDING, np.uint8)])
