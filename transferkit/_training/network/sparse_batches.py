"""Products of a batch of sparse samples with all weights, or with the rows of the weights that the batch uses."""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

__all__ = ["SparseBatch", "make_sparse_batch"]


def make_sparse_batch(indices: Tensor, values: Tensor, indptr: np.ndarray, n_columns: int) -> "SparseBatch":
    """Return the batch with these entries; `indptr` stays on the host."""
    kind = DeviceSparseBatch if indices.is_cuda else HostSparseBatch
    return kind(indices, values, indptr, n_columns)


class SparseBatch:
    """A batch X in CSR form, `indices` and `values` on the device, `indptr` on the host."""

    def __init__(self, indices: Tensor, values: Tensor, indptr: np.ndarray, n_columns: int) -> None:
        self.indices, self.values, self.indptr, self.n_columns = indices, values, indptr, n_columns

    def find_used(self, n_rows: int) -> Tensor:
        """Return the indices of the used features, the order of the weights in `matmul_used` and `rmatmul_used`."""
        raise NotImplementedError

    def matmul(self, weights: Tensor) -> Tensor:
        """Return X @ weights."""
        raise NotImplementedError

    def matmul_used(self, weights: Tensor) -> Tensor:
        """Return X @ weights, given the used rows of the weights alone."""
        raise NotImplementedError

    def rmatmul_used(self, gradient: Tensor) -> Tensor:
        """Return the used rows of X.T @ gradient."""
        raise NotImplementedError


class HostSparseBatch(SparseBatch):
    """A batch on the CPU, where SciPy's products are the fastest for samples this short."""

    def find_used(self, n_rows: int) -> Tensor:
        indices = self.indices.numpy()
        seen = np.zeros(n_rows, dtype=bool)
        seen[indices] = True
        rows = np.flatnonzero(seen)
        position = np.empty(n_rows, dtype=indices.dtype)  # only the entries of `rows` are ever read
        position[rows] = np.arange(len(rows), dtype=indices.dtype)
        self.local = self._matrix(position[indices], len(rows))
        return torch.from_numpy(rows)

    def matmul(self, weights: Tensor) -> Tensor:
        return torch.from_numpy(self._matrix(self.indices.numpy(), self.n_columns) @ weights.numpy())

    def matmul_used(self, weights: Tensor) -> Tensor:
        return torch.from_numpy(self.local @ weights.numpy())

    def rmatmul_used(self, gradient: Tensor) -> Tensor:
        return torch.from_numpy(self.local.T @ gradient.numpy())

    def _matrix(self, indices: np.ndarray, n_columns: int) -> sp.csr_array:
        return sp.csr_array((self.values.numpy(), indices, self.indptr), shape=(len(self.indptr) - 1, n_columns))


class DeviceSparseBatch(SparseBatch):
    """A batch on a GPU: the list of used features is padded to the number of entries, a length known on the host."""

    def find_used(self, n_rows: int) -> Tensor:
        ordered, order = torch.sort(self.indices, stable=True)
        first = torch.ones_like(ordered)
        first[1:] = (ordered[1:] != ordered[:-1]).to(first.dtype)
        rank = torch.cumsum(first, 0) - 1
        self.local = torch.empty_like(rank).index_copy_(0, order, rank)
        return torch.full_like(ordered, n_rows).scatter_(0, rank, ordered)

    def matmul(self, weights: Tensor) -> Tensor:
        return self._bag(self.indices, weights)

    def matmul_used(self, weights: Tensor) -> Tensor:
        return self._bag(self.local, weights)

    def rmatmul_used(self, gradient: Tensor) -> Tensor:
        counts = torch.from_numpy(np.diff(self.indptr)).to(self.indices.device)
        of_entry = torch.repeat_interleave(gradient, counts, dim=0, output_size=len(self.indices))
        rows = gradient.new_zeros(len(self.indices), gradient.shape[1])
        return rows.index_put_((self.local,), of_entry.mul_(self.values[:, None]), accumulate=True)

    def _bag(self, indices: Tensor, weights: Tensor) -> Tensor:
        offsets = torch.from_numpy(self.indptr[:-1]).to(indices.device, torch.int64)
        return torch.nn.functional.embedding_bag(indices, weights, offsets, mode="sum", per_sample_weights=self.values)
