"""Points to cluster, dense or sparse: distances to centres, assignment to the nearest, sums of clusters.

Squared distances are computed as |x|^2 - 2 x'c + |c|^2. Dense points are centred first, since these terms cancel all
digits of the distances where points lie far from zero.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.rows.clusters import fits_float32
from transferkit._training.device import PER_SPARSE_ENTRY, as_writable, csr_tensor, threads_for, to_tensor

__all__ = ["Nearest", "Points", "make_points"]

_CACHED = 500_000  # products of points and centres that stay in cache until their minima are found
TIGHT = 1e-4  # squared distances over squared lengths that float32 keeps to about three digits


@dataclass
class Nearest:
    """Nearest centre of each point, the squared distance to it, and that to the second nearest."""

    labels: Tensor
    squares: Tensor
    next_squares: Tensor


class Points:
    """Points with their weights and squared lengths, dense or sparse."""

    def __init__(self, values: Tensor, weights: Tensor, batch_size: int) -> None:
        self.values, self.weights, self.batch_size = values, weights, batch_size
        self.n_points, self.device = len(weights), weights.device
        self.squares = self._squares()

    def assign(self, centres: Tensor, chosen: Tensor | None = None) -> Nearest:
        """Return the nearest centres of all points, or of those chosen."""
        n_points = self.n_points if chosen is None else len(chosen)
        labels = torch.empty(n_points, dtype=torch.int64, device=self.device)
        least = torch.empty(n_points, 2, device=self.device, dtype=self.squares.dtype)
        offsets, doubled = centres.square().sum(1), centres * -2

        def assign_block(block: slice) -> None:
            products = self._products(block if chosen is None else chosen[block], doubled).add_(offsets)
            least[block, 0], labels[block] = products.min(1)
            products.scatter_(1, labels[block, None], torch.inf)
            least[block, 1] = products.amin(1)

        self._run(assign_block, n_points, len(centres))
        least += (self.squares if chosen is None else self.squares[chosen])[:, None]
        least.clamp_(min=0)
        return Nearest(labels, least[:, 0].contiguous(), least[:, 1].contiguous())

    def squared_distances(self, centres: Tensor) -> Tensor:
        """Return the squared distance of each point to each centre, (n_points, n_centres)."""
        products = self._products(slice(0, self.n_points), centres)
        return (products.mul_(-2) + centres.square().sum(1) + self.squares[:, None]).clamp_(min=0)

    def mean_variance(self) -> float:
        """Return the mean of the variances of the features."""
        total = self.weights.sum().double()
        sums, _ = self.sums(torch.zeros(self.n_points, dtype=torch.int64, device=self.device), 1)
        squares = (self.squares.double() * self.weights).sum() / total
        return float((squares - (sums / total).square().sum()) / sums.shape[1])

    def needs_float64(self, squares: Tensor) -> bool:
        """Return whether float32 has too few digits for points at these squared distances from their centres.

        This is so if points are very close to their centres, or their numbers are too large or too small.
        """
        total = float((squares.double() * self.weights).sum())
        length = float((self.squares.double() * self.weights).sum())
        is_tight = 0 < total < TIGHT * length
        return self.squares.dtype == torch.float32 and (is_tight or not fits_float32(length))

    def _run(self, function: Callable[[slice], None], n_points: int, n_centres: int) -> None:
        """Call a function for blocks of points, on a CPU in threads and for blocks whose products stay in cache.

        A thread that is ready takes the next block, instead of waiting for the others after each product.
        """
        on_cpu = self.device.type == "cpu"
        size = min(self.batch_size, max(_CACHED // n_centres, 1)) if on_cpu else self.batch_size
        blocks = [slice(begin, min(begin + size, n_points)) for begin in range(0, n_points, size)]
        with threads_for(self._count_entries() * n_points / self.n_points * n_centres):
            n_threads = min(torch.get_num_threads(), len(blocks)) if on_cpu else 1
        if n_threads == 1:
            for block in blocks:
                function(block)
            return
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(function, blocks))

    def distances_to(self, centres: Tensor, labels: Tensor) -> Tensor:
        """Return the squared distance of each point to the centre of its label."""
        raise NotImplementedError

    def _count_entries(self) -> int:
        """Return how many products of numbers the products of all points with one centre take."""
        raise NotImplementedError

    def _squares(self) -> Tensor:
        raise NotImplementedError

    def _products(self, chosen: Any, centres: Tensor) -> Tensor:
        raise NotImplementedError

    def sums(self, labels: Tensor, n_clusters: int, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the weighted sum (n_clusters, n_features) and the weight of the points of each label."""
        raise NotImplementedError

    def select(self, chosen: Tensor) -> "Points":
        """Return some of the points."""
        raise NotImplementedError

    def take(self, chosen: Tensor) -> Tensor:
        """Return some of the points as a dense tensor."""
        raise NotImplementedError


class _DensePoints(Points):
    def _count_entries(self) -> int:
        return self.values.numel()

    def _squares(self) -> Tensor:
        return self.values.square().sum(1)

    def _products(self, chosen: Any, centres: Tensor) -> Tensor:
        return self.values[chosen] @ centres.T

    def distances_to(self, centres: Tensor, labels: Tensor) -> Tensor:
        """Return the squared distance of each point to the centre of its label, from differences."""
        blocks = range(0, self.n_points, self.batch_size)
        parts = [slice(begin, begin + self.batch_size) for begin in blocks]
        return torch.cat([(self.values[part] - centres[labels[part]]).square().sum(1) for part in parts])

    def sums(self, labels: Tensor, n_clusters: int, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = self.weights if chosen is None else self.weights[chosen]
        values = self.values if chosen is None else self.values[chosen]
        counts = torch.bincount(labels, weights.double(), minlength=n_clusters)
        if self.device.type == "cpu":  # SciPy's product sums points faster than torch's index_add_
            picks = sp.csr_array(
                (weights.numpy(), labels.numpy(), np.arange(len(labels) + 1)), (len(labels), n_clusters)
            )
            return torch.from_numpy(picks.T.tocsr() @ values.numpy()).double(), counts
        sums = torch.zeros(n_clusters, values.shape[1], dtype=torch.float64, device=self.device)
        for begin in range(0, len(values), self.batch_size):
            block = slice(begin, begin + self.batch_size)
            sums.index_add_(0, labels[block], values[block].double() * weights[block, None])
        return sums, counts

    def select(self, chosen: Tensor) -> "_DensePoints":
        chosen = chosen.to(self.device)
        return _DensePoints(self.values[chosen], self.weights[chosen], self.batch_size)

    def take(self, chosen: Tensor) -> Tensor:
        return self.values[chosen]


class _SparsePoints(Points):
    def __init__(self, csr: Any, weights: Tensor, batch_size: int) -> None:
        index = np.int32 if max(csr.nnz, *csr.shape) < 2**31 else np.int64
        parts = csr.data, csr.indices.astype(index, copy=False), csr.indptr.astype(index, copy=False)
        self.csr = sp.csr_array(parts, csr.shape)
        self.blocks: dict[tuple[int, int], Tensor] = {}
        super().__init__(weights, weights, batch_size)

    def _count_entries(self) -> int:
        return PER_SPARSE_ENTRY * int(self.csr.nnz)

    def _squares(self) -> Tensor:
        squared = sp.csr_array((np.square(self.csr.data), self.csr.indices, self.csr.indptr), self.csr.shape)
        return torch.from_numpy(np.asarray(squared.sum(axis=1), np.float32).ravel()).to(self.device)

    def _products(self, chosen: Any, centres: Tensor) -> Tensor:
        if not isinstance(chosen, slice):
            return to_tensor(self.csr[chosen.cpu().numpy()], self.device) @ centres.T
        key = chosen.start, chosen.stop
        if key not in self.blocks:
            self.blocks[key] = self._block(chosen)
        return self.blocks[key] @ centres.T

    def _block(self, chosen: slice) -> Tensor:
        """Return consecutive points, which on the CPU share the memory of the matrix."""
        pointers = self.csr.indptr[chosen.start : chosen.stop + 1]
        entries = slice(pointers[0], pointers[-1])
        indices, values = (torch.from_numpy(as_writable(part[entries])) for part in (self.csr.indices, self.csr.data))
        starts = torch.from_numpy(pointers - pointers[0]).to(self.device)
        shape = (len(pointers) - 1, self.csr.shape[1])
        return csr_tensor(starts, indices.to(self.device), values.to(self.device), shape)

    def distances_to(self, centres: Tensor, labels: Tensor) -> Tensor:
        """Return the squared distance of each point to the centre of its label, from products."""
        return self.assign(centres).squares

    def sums(self, labels: Tensor, n_clusters: int, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = (self.weights if chosen is None else self.weights[chosen]).cpu()
        rows = self.csr if chosen is None else self.csr[chosen.cpu().numpy()]
        indices = labels.cpu().numpy()
        picks = sp.csr_array((weights.numpy(), indices, np.arange(len(indices) + 1)), (len(indices), n_clusters))
        counts = torch.bincount(labels, weights.to(labels.device).double(), minlength=n_clusters)
        return torch.from_numpy((picks.T.tocsr() @ rows).toarray()).double().to(self.device), counts

    def select(self, chosen: Tensor) -> "_SparsePoints":
        return _SparsePoints(self.csr[chosen.numpy()], self.weights[chosen.to(self.device)], self.batch_size)

    def take(self, chosen: Tensor) -> Tensor:
        return torch.from_numpy(self.csr[chosen.cpu().numpy()].toarray()).to(self.device)


def make_points(
    X: Any,
    weights: np.ndarray | None,
    device: torch.device,
    batch_size: int,
    shift: np.ndarray | None = None,
    dtype: Any = np.float32,
) -> Points:
    """Return points (n_points, n_features) on a device, each of weight one if no weights are given.

    `batch_size` is the maximum number of points per matrix product. `shift` is subtracted from dense points before they
    are converted to `dtype`; sparse ones are float32.
    """
    is_sparse = sp.issparse(X)
    given = np.ones(X.shape[0]) if weights is None else weights
    on_device = torch.from_numpy(np.asarray(given, np.float32 if is_sparse else dtype)).to(device)
    if is_sparse:
        return _SparsePoints(X.tocsr(), on_device, batch_size)
    values = X if shift is None else np.subtract(X, shift, dtype=np.result_type(X, dtype))
    return _DensePoints(to_tensor(np.asarray(values, dtype), device), on_device, batch_size)
