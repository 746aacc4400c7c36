"""Digests of samples, by which equal ones are recognised without being compared in pairs."""

import hashlib
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["digest_samples"]


def digest_samples(X: Any) -> list[bytes] | None:
    """Return a digest of each sample, or None if the samples have no plain content.

    X is a list of texts, or numeric samples in rows: an array, a data frame, a sparse matrix or a list.
    """
    if isinstance(X, list) and isinstance(X[0], (str, bytes)):
        return [_digest(type(text).__name__.encode() + b"\0" + _to_bytes(text)) for text in X]
    if sparse.issparse(X):
        X = X if X.has_canonical_format else X.copy()
        X.sum_duplicates()  # equal rows must have equal arrays; the caller's X is not changed
        header = f"{X.dtype} {X.shape[1]}\0".encode()
        columns = X.indices.astype(np.int64)
        return [
            _digest(header + columns[a:b].tobytes() + X.data[a:b].tobytes())
            for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)
        ]
    names = getattr(X, "columns", None)
    try:
        X = np.asarray(X)
    except ValueError:  # rows of different lengths, such as lists of tokens
        return None
    if X.dtype.hasobject or X.ndim < 2:
        return None
    header = f"{X.dtype} {X.shape[1:]} {None if names is None else list(names)}\0".encode()
    return [_digest(header + row.tobytes()) for row in X]


def _to_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
