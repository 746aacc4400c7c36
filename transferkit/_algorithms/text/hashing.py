"""Two independent 64-bit hashes of spans of bytes, which together identify a term."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from transferkit._algorithms.text.text_bytes import PADDING, SPACE

__all__ = [
    "combine_hashes",
    "hash_spans",
    "hash_strings",
    "hash_terms",
    "load_words",
    "mix",
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
    """Hash the bytes ``text[start : start + length]`` of every span.

    Parameters
    ----------
    text : ndarray of uint8
        Bytes, with `PADDING` spare ones at the end.
    starts, lengths : ndarray of int of shape (n_spans,)
        Start and length of each span in bytes.

    Returns
    -------
    hashes, checks : ndarray of uint64 of shape (n_spans,)
        Two hashes. Spans of up to eight bytes never share both; longer ones do with a chance of about
        n_distinct**2 / 2**129.

    Notes
    -----
    Eight bytes are taken at a time, so the cost is per token and not per character.
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


def combine_hashes(
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
        term_hashes[more], term_checks[more] = combine_hashes(
            (term_hashes[more], term_checks[more]), (hashes[right], checks[right])
        )
    return term_hashes, term_checks
