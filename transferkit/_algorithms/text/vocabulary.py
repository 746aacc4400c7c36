"""Terms as arrays sorted by hash: lookup, alphabetical order, choice of columns."""

from typing import NamedTuple, Protocol

import numpy as np

from transferkit._algorithms.text.tokens import copy_spans, pad

__all__ = [
    "Counted",
    "Vocabulary",
    "choose_columns",
    "decode_terms",
    "find_terms",
    "sort_terms",
]


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

    Parameters
    ----------
    terms : Vocabulary
        All terms.
    is_kept : ndarray of bool of shape (n_terms,)
        Which of them may be kept.
    max_features : int or None
        Keep at most that many, the most frequent ones.
    binary : bool
        Count each term once per document.
    dtype : type
        Type in which occurrences are compared; it decides, as in scikit-learn, which of equally frequent
        terms are kept.

    Returns
    -------
    columns : ndarray of int32 of shape (n_terms,)
        Columns.
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
    """Return the alphabetical order (by code point) of terms given as UTF-8 bytes.

    Parameters
    ----------
    text : ndarray of uint8
        Bytes of the terms, each from a multiple of eight on and filled up with zeros.
    starts, lengths : ndarray of int of shape (n_terms,)
        Start and length of each (distinct) term in bytes.

    Returns
    -------
    order : ndarray of intp of shape (n_terms,)
        Places in alphabetical order.

    Notes
    -----
    Sorts by the first eight bytes, then those that tie by the next eight, and so on. The order of UTF-8
    bytes is the order of code points, which is how Python compares strings.
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
