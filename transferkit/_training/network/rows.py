"""Rows of features that stay on the device, and the chunks and batches that are cut from them."""

from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._training.device import as_writable
from transferkit._training.network.sparse_batches import SparseBatch, make_sparse_batch

__all__ = ["DenseRows", "Mixing", "Rows", "SparseRows", "make_rows"]

Mixing = tuple[Tensor, np.ndarray]  # order of the partner rows, and the share (n,) of the first of each pair


class Rows(Protocol):
    """Rows on a device."""

    n_rows: int
    row_bytes: int  # of an average row

    def take(self, order: Tensor, mixing: Mixing | None = None) -> Self:
        """Return these rows in this order, each mixed with a partner if asked to."""

    def perturb(self, noise: float, dropout: float, generator: torch.Generator) -> None:
        """Add normal noise and drop entries, in place."""

    def part(self, begin: int, end: int) -> Any:
        """Return the batch of the rows from `begin` to `end`."""


class DenseRows:
    """A matrix; a batch is a view of it."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.n_rows = len(matrix)
        self.row_bytes = matrix.shape[1] * matrix.element_size()

    def take(self, order: Tensor, mixing: Mixing | None = None) -> "DenseRows":
        rows = self.matrix.index_select(0, order)
        if mixing is not None:
            partner, share = mixing
            rows = torch.lerp(self.matrix.index_select(0, partner), rows, _to(share, rows)[:, None])
        return DenseRows(rows)

    def perturb(self, noise: float, dropout: float, generator: torch.Generator) -> None:
        _perturb(self.matrix, noise, dropout, generator)

    def part(self, begin: int, end: int) -> Tensor:
        return self.matrix[begin:end]


class SparseRows:
    """A CSR matrix: entries on the device, the bounds of the rows on the host, so that no length is asked for."""

    def __init__(self, indices: Tensor, values: Tensor, indptr: np.ndarray, n_columns: int) -> None:
        self.indices, self.values, self.indptr, self.n_columns = indices, values, indptr, n_columns
        self.n_rows = len(indptr) - 1
        self.row_bytes = 16 * max(1, len(indices) // max(1, self.n_rows))

    def take(self, order: Tensor, mixing: Mixing | None = None) -> "SparseRows":
        if mixing is None:
            return self._gather(order.numpy())
        partner, share = mixing
        pairs = self._gather(torch.stack([order, partner], 1).ravel().numpy())
        shares = np.stack([share, 1 - share], 1).ravel().repeat(np.diff(pairs.indptr))
        values = pairs.values * _to(shares, pairs.values)
        return SparseRows(pairs.indices, values, pairs.indptr[::2].copy(), self.n_columns)

    def perturb(self, noise: float, dropout: float, generator: torch.Generator) -> None:
        _perturb(self.values, noise, dropout, generator)

    def part(self, begin: int, end: int) -> SparseBatch:
        first, last = int(self.indptr[begin]), int(self.indptr[end])
        bounds = self.indptr[begin : end + 1] - first
        return make_sparse_batch(self.indices[first:last], self.values[first:last], bounds, self.n_columns)

    def _gather(self, order: np.ndarray) -> "SparseRows":
        starts, lengths = self.indptr[order], np.diff(self.indptr)[order]
        indptr = np.zeros(len(order) + 1, dtype=self.indptr.dtype)
        np.cumsum(lengths, out=indptr[1:])
        shifts = torch.from_numpy(starts - indptr[:-1]).to(self.indices.device)
        counts = torch.from_numpy(lengths).to(self.indices.device)
        positions = torch.repeat_interleave(shifts, counts, output_size=int(indptr[-1]))
        positions = positions.add_(torch.arange(len(positions), device=positions.device, dtype=positions.dtype))
        return SparseRows(self.indices[positions], self.values[positions], indptr, self.n_columns)


def make_rows(X: Any, device: torch.device) -> DenseRows | SparseRows:
    """Move a NumPy array or a SciPy matrix to the device."""
    if not sp.issparse(X):
        return DenseRows(torch.from_numpy(as_writable(np.ascontiguousarray(X))).to(device))
    csr = X.tocsr()
    on_device = np.int64 if device.type == "cuda" or max(csr.nnz, csr.shape[1]) >= 2**31 else np.int32
    indices = torch.from_numpy(csr.indices.astype(on_device)).to(device)
    values = torch.from_numpy(as_writable(csr.data)).to(device)
    return SparseRows(indices, values, csr.indptr.astype(on_device), csr.shape[1])


def _perturb(values: Tensor, noise: float, dropout: float, generator: torch.Generator) -> None:
    if noise > 0:
        values.add_(torch.empty_like(values).normal_(0, noise, generator=generator))
    if dropout > 0:
        values.mul_(torch.empty_like(values).bernoulli_(1 - dropout, generator=generator).div_(1 - dropout))


def _to(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like)
