"""Embeddings computed by frozen encoders, kept for the whole process."""

import os
from collections import OrderedDict
from itertools import count
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from scipy import sparse

from transferkit._algorithms.rows.digests import digest_samples
from transferkit._validation import count_rows, take_rows

__all__ = ["clear_embeddings", "encode_once"]

_BLOCK = 256  # embeddings that are stored, and dropped, together
_BYTES_PER_SAMPLE, _BYTES_PER_BLOCK = 200, 400  # digests and Python objects, about
_MANY = 4096  # numeric samples per call; with fewer, the time to keep their embeddings does not matter
_TRIED = 128  # samples that are encoded to measure the time
_MOST_COSTS = 1024  # encoders whose time is remembered
_SECONDS_TO_KEEP = 1e-5  # per sample, about: to compute its digest, to store its embedding and to look it up


def encode_once(transform, fingerprint, X, max_bytes):
    """Return ``transform(X)``, calling it only with samples that this process has not encoded before.

    `transform` returns an array or sparse matrix with one row per sample, which depends on that sample alone. Equal
    fingerprints identify encoders of equal fitted state. `max_bytes` bounds the memory of all embeddings kept.

    Embeddings of many numeric samples are not kept if encoding them again takes less time. That depends on the clock;
    the type of the result does not, and its values do only up to rounding.
    """
    X = X.tocsr() if sparse.issparse(X) else X
    digests = None if _costs_less_than_keeping(transform, fingerprint, X) else digest_samples(X)
    if not digests:  # also if the samples have no stable content, or there are none
        return _to_plain(transform(X))
    encoder = _CACHE.find_encoder(fingerprint)
    places, blocks = _CACHE.look_up(encoder, digests)
    if None not in places:
        return _gather(places, blocks)
    with encoder.lock:  # a thread that needs the same samples waits for them here
        places, blocks = _CACHE.look_up(encoder, digests)
        missing = sorted({digest: i for i, digest in enumerate(digests) if places[i] is None}.values())
        if not missing:
            return _gather(places, blocks)
        encoded = _to_plain(transform(take_rows(X, missing)))
        new = _CACHE.keep(encoder, [digests[i] for i in missing], encoded, max_bytes)
    if len(missing) == len(digests):
        return encoded
    new_places = {}
    for key, block in new.items():
        new_places |= block.places(key)
    places = [new_places[digest] if place is None else place for place, digest in zip(places, digests, strict=True)]
    return _gather(places, blocks | new)


def clear_embeddings():
    """Forget all embeddings."""
    _CACHE.clear()


def _costs_less_than_keeping(transform, fingerprint, X):
    """Return whether to encode numeric samples each time; measures the time of an encoder once, on a few of them."""
    if isinstance(X, list) or count_rows(X) < _MANY:
        return False
    cost = _CACHE.costs.get(fingerprint)
    if cost is None:
        few = take_rows(X, list(range(_TRIED)))
        times = [perf_counter()]
        for _ in range(2):  # the first call may load libraries
            transform(few)
            times.append(perf_counter())
        cost = float(np.diff(times).min()) / _TRIED
        _CACHE.remember_cost(fingerprint, cost)
    return cost < _SECONDS_TO_KEEP


class _Encoder:
    """An encoder whose embeddings are kept: their places, and a lock that is held while others are computed."""

    def __init__(self):
        self.lock = Lock()
        self.places = {}  # digest of a sample -> _BLOCK * key of a block + position in it


class _Block(NamedTuple):
    """Embeddings that are stored together."""

    embeddings: Any  # ndarray or CSR matrix
    digests: list
    encoder: _Encoder

    def places(self, key):
        """Return the places of the embeddings by the digests of their samples, if this block has the given key."""
        return dict(zip(self.digests, range(_BLOCK * key, _BLOCK * (key + 1)), strict=False))

    def count_bytes(self):
        parts = self.embeddings
        arrays = (parts.data, parts.indices, parts.indptr) if sparse.issparse(parts) else (parts,)
        return _BYTES_PER_BLOCK + _BYTES_PER_SAMPLE * len(self.digests) + sum(array.nbytes for array in arrays)


class _EmbeddingCache:
    """Blocks of embeddings under a bound on their memory; the least recently used are dropped."""

    _keys = count()  # never reused, so that the places of a thread that a fork interrupts stay unambiguous

    def __init__(self):
        self.clear()

    def clear(self):
        self._lock = Lock()
        self._blocks = OrderedDict()
        self._encoders = WeakValueDictionary()  # an encoder is forgotten with its last block
        self._n_bytes = 0
        self.costs = {}  # seconds per numeric sample, by the encoder's fingerprint

    def find_encoder(self, fingerprint):
        """Return the encoder of this fingerprint, the same object for all threads."""
        with self._lock:
            encoder = self._encoders.get(fingerprint)
            if encoder is None:
                encoder = self._encoders[fingerprint] = _Encoder()
            return encoder

    def look_up(self, encoder, digests):
        """Return the places of embeddings (None for those not kept) and the blocks that hold them, by key."""
        with self._lock:
            places = list(map(encoder.places.get, digests))
            keys = {place // _BLOCK for place in places if place is not None}
            for key in keys:
                self._blocks.move_to_end(key)
            return places, {key: self._blocks[key] for key in keys}

    def keep(self, encoder, digests, encoded, max_bytes):
        """Store embeddings, drop the least recently used blocks, and return the new ones by key."""
        parts = [slice(start, start + _BLOCK) for start in range(0, len(digests), _BLOCK)]
        # copies: dropping one block frees its memory, and the caller may change the result
        blocks = {next(self._keys): _Block(encoded[part].copy(), digests[part], encoder) for part in parts}
        sizes = sum(block.count_bytes() for block in blocks.values())
        with self._lock:
            for key, block in blocks.items():
                encoder.places |= block.places(key)
            self._blocks |= blocks
            self._n_bytes += sizes
            while self._n_bytes > max_bytes and self._blocks:
                _, dropped = self._blocks.popitem(last=False)
                self._n_bytes -= dropped.count_bytes()
                for digest in dropped.digests:
                    del dropped.encoder.places[digest]
        return blocks

    def remember_cost(self, fingerprint, seconds):
        """Store the time of an encoder, and forget the oldest if there are too many."""
        with self._lock:
            self.costs[fingerprint] = seconds
            if len(self.costs) > _MOST_COSTS:
                del self.costs[next(iter(self.costs))]


_CACHE = _EmbeddingCache()
if hasattr(os, "register_at_fork"):  # a forked child must not wait for threads it does not have
    os.register_at_fork(after_in_child=_CACHE.clear)


def _gather(places, blocks):
    """Return the embeddings at the given places."""
    keys, positions = np.divmod(places, _BLOCK)
    if len(blocks) == 1:
        embeddings = blocks[keys[0]].embeddings
        is_whole = len(positions) == embeddings.shape[0] and (positions[1:] > positions[:-1]).all()
        return embeddings.copy() if is_whole else embeddings[positions]
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    groups = np.split(order, starts[1:])
    parts = [blocks[keys[group[0]]].embeddings[positions[group]] for group in groups]
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    stacked = sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)
    return stacked[inverse]


def _to_plain(encoded):
    """Return embeddings as a CSR matrix or an array, whatever the encoder returns."""
    return encoded.tocsr() if sparse.issparse(encoded) else np.asarray(encoded)
