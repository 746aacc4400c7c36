"""Rows that frozen encoders have encoded, kept for the whole process."""

import hashlib
import os
from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._validation import count_rows, take_rows

_BYTES_PER_ENTRY = 400  # the key and the Python objects of one row, about
_MANY = 4096  # rows of numbers in one call: with fewer, nobody minds what keeping them costs
_TRIED = 128  # rows that are encoded to see how long that takes
_MOST_COSTS = 1024  # encoders of which a process remembers how long they take
_SECONDS_TO_KEEP = 2e-5  # per row, about: to digest, copy, look up and stack it


def encode_once(transform, fingerprint, X, max_bytes):
    """Return ``transform(X)``, calling it only on rows that this process has not encoded before.

    Many rows of numbers are not kept, but encoded each time, where that takes less time than to keep them. That depends
    on the clock; the kind of array that is returned does not, and its values do by rounding at most.

    Parameters
    ----------
    transform : callable
        From rows to an array or sparse matrix with as many rows; each row depends on its own input alone.
    fingerprint : str
        Names the encoder: equal for equal fitted state.
    X : list of str, array or sparse matrix of shape (n_samples, n_features), or data frame
        Rows to encode.
    max_bytes : float
        Bound on the memory of all kept rows.

    Returns
    -------
    rows : ndarray or CSR matrix
        Encoded rows in the order of X.
    """
    X = X.tocsr() if sparse.issparse(X) else X
    if _costs_less_than_keeping(transform, fingerprint, X):
        return _to_plain(transform(X))
    digests = _digest_rows(X)
    if not digests:  # rows without a stable content, or none
        return _to_plain(transform(X))
    keys = [(fingerprint, digest) for digest in digests]
    positions = {key: position for position, key in reversed(list(enumerate(keys)))}
    rows = {}
    while missing := [key for key in positions if key not in rows]:
        found, claimed, awaited = _CACHE.claim(missing)
        rows |= found
        if claimed:
            rows |= _encode_claimed(transform, X, claimed, positions, max_bytes)
        # When another thread failed on a row that we need too, the next round claims it for us.
        rows |= {key: future.result() for key, future in awaited.items() if future.exception() is None}
    return _stack([rows[key] for key in keys])


def _costs_less_than_keeping(transform, fingerprint, X):
    """Return whether to encode rows of numbers anew each time; encodes a few of them once to know."""
    if isinstance(X, list) or count_rows(X) < _MANY:
        return False
    cost = _CACHE.cost_of(fingerprint)
    if cost is None:
        few = take_rows(X, list(range(_TRIED)))
        times = [perf_counter()]
        for _ in range(2):  # the first call may load libraries
            transform(few)
            times.append(perf_counter())
        cost = float(np.diff(times).min()) / _TRIED
        _CACHE.remember_cost(fingerprint, cost)
    return cost < _SECONDS_TO_KEEP


def _encode_claimed(transform, X, claimed, positions, max_bytes):
    try:
        encoded = _split(transform(take_rows(X, sorted(positions[key] for key in claimed))))
        rows = dict(zip(sorted(claimed, key=positions.get), encoded, strict=True))
        _CACHE.keep(rows, max_bytes)
    except BaseException as error:  # whatever it is, others may be waiting for these rows
        _CACHE.abandon(claimed, error)
        raise
    return rows


class _RowCache:
    """Least recently used rows under a bound on their memory, and who is encoding which just now."""

    def __init__(self):
        self.clear()

    def clear(self):
        """Forget everything."""
        self._lock = Lock()
        self._rows = OrderedDict()
        self._in_flight = {}
        self._n_bytes = 0
        self._costs = OrderedDict()  # seconds per row of numbers, by the encoder's fingerprint

    def cost_of(self, fingerprint):
        """Return how many seconds an encoder takes per row of numbers, or None if that is not known."""
        with self._lock:
            if fingerprint in self._costs:
                self._costs.move_to_end(fingerprint)
            return self._costs.get(fingerprint)

    def remember_cost(self, fingerprint, seconds):
        """Note the cost of an encoder, and forget those that were asked for the longest time ago."""
        with self._lock:
            self._costs[fingerprint] = seconds
            while len(self._costs) > _MOST_COSTS:
                self._costs.popitem(last=False)

    def claim(self, keys):
        """Return rows that are there, keys the caller must now encode, and futures of rows others encode."""
        found, claimed, awaited = {}, [], {}
        with self._lock:
            for key in keys:
                if key in self._rows:
                    self._rows.move_to_end(key)
                    found[key] = self._rows[key]
                elif key in self._in_flight:
                    awaited[key] = self._in_flight[key]
                else:
                    self._in_flight[key] = Future()
                    claimed.append(key)
        return found, claimed, awaited

    def keep(self, rows, max_bytes):
        """Take in encoded rows, hand them to those who wait, and drop the least recently used."""
        with self._lock:
            for key, row in rows.items():
                self._n_bytes += _count_bytes(row)
                self._rows[key] = row
                self._in_flight.pop(key).set_result(row)
            while self._n_bytes > max_bytes and self._rows:
                self._n_bytes -= _count_bytes(self._rows.popitem(last=False)[1])

    def abandon(self, keys, error):
        """Tell those who wait that these rows could not be encoded; rows that were handed out already are left."""
        with self._lock:
            for key in keys:
                if (future := self._in_flight.pop(key, None)) is not None:
                    future.set_exception(error)


_CACHE = _RowCache()
if hasattr(os, "register_at_fork"):  # a forked child must not wait for threads it does not have
    os.register_at_fork(after_in_child=_CACHE.clear)


def _digest_rows(X):
    """Return a digest of each row's content, or None where rows have no plain content."""
    if isinstance(X, list) and isinstance(X[0], (str, bytes)):
        return [_digest(type(text).__name__.encode(), _to_bytes(text)) for text in X]
    if sparse.issparse(X):
        X = X if X.has_canonical_format else X.copy()
        X.sum_duplicates()  # equal rows must have equal arrays; the caller's X stays as it is
        header = f"{X.dtype} {X.shape[1]}".encode()
        columns = X.indices.astype(np.int64)
        return [
            _digest(header, columns[a:b].tobytes(), X.data[a:b].tobytes())
            for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)
        ]
    names = getattr(X, "columns", None)
    try:
        X = np.asarray(X)
    except ValueError:  # rows of different lengths, such as lists of tokens
        return None
    if X.dtype.hasobject or X.ndim < 2:
        return None
    header = f"{X.dtype} {X.shape[1:]} {None if names is None else list(names)}".encode()
    return [_digest(header, row.tobytes()) for row in X]


def _to_bytes(text):
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _digest(*parts):
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
        digest.update(b"\0")
    return digest.digest()


class _SparseRow(NamedTuple):
    """The stored entries of one row of a sparse matrix."""

    data: np.ndarray
    indices: np.ndarray
    like: type
    n_columns: int


def _split(encoded):
    """Return the rows of an encoded block as arrays of their own, so that dropping one frees its memory."""
    if not sparse.issparse(encoded):
        return [row.copy() for row in np.asarray(encoded)]
    encoded = encoded.tocsr()
    return [
        _SparseRow(encoded.data[a:b].copy(), encoded.indices[a:b].copy(), type(encoded), encoded.shape[1])
        for a, b in zip(encoded.indptr[:-1], encoded.indptr[1:], strict=True)
    ]


def _to_plain(encoded):
    """Return encoded rows as `_stack` does: a CSR matrix, or an array, whatever the encoder returns."""
    return encoded.tocsr() if sparse.issparse(encoded) else np.asarray(encoded)


def _stack(rows):
    if not isinstance(rows[0], _SparseRow):
        return np.stack(rows)
    ends = np.cumsum([len(row.data) for row in rows])
    data, indices = (np.concatenate(parts) for parts in zip(*[row[:2] for row in rows], strict=True))
    indptr = np.concatenate([[0], ends])  # int64; SciPy narrows it where that is possible
    return rows[0].like((data, indices, indptr), shape=(len(rows), rows[0].n_columns))


def _count_bytes(row):
    arrays = row[:2] if isinstance(row, _SparseRow) else (row,)
    return _BYTES_PER_ENTRY + sum(array.nbytes for array in arrays)
