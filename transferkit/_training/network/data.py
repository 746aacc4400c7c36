"""The training data on the device: samples, targets and weights, and the batches of each epoch.

A batch of sparse samples multiplies all weights, or only the rows of the weights whose features it uses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._training.device import to_tensor

__all__ = [
    "Augmentation",
    "Batch",
    "Examples",
    "Samples",
    "SparseBatch",
    "Targets",
    "TrainingData",
    "make_samples",
    "split_samples",
]

CHUNK_BYTES = 2**26  # of samples that are gathered at once; batches are views of the chunk
Mixing = tuple[Tensor, np.ndarray]  # indices of the partner samples, and the share (n,) of the first of each pair


@dataclass(frozen=True)
class Examples:
    """Samples with targets, in NumPy and SciPy.

    Targets are class indices (n_samples,) for a softmax, or probabilities (n_samples, n_outputs) if
    `are_probabilities`; else a matrix (n_samples, n_outputs): zeros and ones, or probabilities, for independent
    classes, numbers for a regression. A sparse matrix of targets is converted to dense batch by batch.
    """

    X: Any  # array or CSR matrix (n_samples, n_features), float32 or float64
    targets: Any
    weights: np.ndarray | None = None  # (n_samples,)
    are_probabilities: bool = False

    @property
    def exclusive(self) -> bool:
        """Whether each sample has exactly one class."""
        return self.are_probabilities or self.targets.ndim == 1


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the samples, drawn anew in each epoch."""

    mixup: float = 0.0  # of the Beta distribution of a sample's share when mixed with a random partner (Zhang 2018)
    noise: float = 0.0  # standard deviation of the noise added to each entry (each stored entry of sparse samples)
    dropout: float = 0.0  # probability with which an entry is set to zero; the others are scaled up


class Samples(Protocol):
    """Samples on the device."""

    n_samples: int
    sample_bytes: int  # of an average sample

    def take(self, indices: Tensor, mixing: Mixing | None = None) -> Self:
        """Return these samples in this order, each mixed with a partner on request."""

    def perturb(self, noise: float, dropout: float, generator: torch.Generator) -> None:
        """Add normal noise and drop entries, in place."""

    def part(self, begin: int, end: int) -> Any:
        """Return the batch of the samples from `begin` to `end`."""


class DenseSamples:
    """A matrix; a batch is a view of it."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.n_samples = len(matrix)
        self.sample_bytes = matrix.shape[1] * matrix.element_size()

    def take(self, indices: Tensor, mixing: Mixing | None = None) -> "DenseSamples":
        taken = self.matrix.index_select(0, indices)
        if mixing is not None:
            partners, share = mixing
            taken = torch.lerp(self.matrix.index_select(0, partners), taken, torch.from_numpy(share).to(taken)[:, None])
        return DenseSamples(taken)

    def perturb(self, noise: float, dropout: float, generator: torch.Generator) -> None:
        _perturb(self.matrix, noise, dropout, generator)

    def part(self, begin: int, end: int) -> Tensor:
        return self.matrix[begin:end]


class SparseSamples:
    """A CSR matrix: entries on the device, row pointers on the host, so that lengths need no synchronisation."""

    def __init__(self, indices: Tensor, values: Tensor, indptr: np.ndarray, n_columns: int) -> None:
        self.indices, self.values, self.indptr, self.n_columns = indices, values, indptr, n_columns
        self.n_samples = len(indptr) - 1
        self.sample_bytes = 16 * max(1, len(indices) // max(1, self.n_samples))

    def take(self, indices: Tensor, mixing: Mixing | None = None) -> "SparseSamples":
        if mixing is None:
            return self._gather(indices.numpy())
        partners, share = mixing
        pairs = self._gather(torch.stack([indices, partners], 1).ravel().numpy())
        shares = np.stack([share, 1 - share], 1).ravel().repeat(np.diff(pairs.indptr))
        values = pairs.values * torch.from_numpy(shares).to(pairs.values)
        return SparseSamples(pairs.indices, values, pairs.indptr[::2].copy(), self.n_columns)

    def perturb(self, noise: float, dropout: float, generator: torch.Generator) -> None:
        _perturb(self.values, noise, dropout, generator)

    def part(self, begin: int, end: int) -> "SparseBatch":
        first, last = int(self.indptr[begin]), int(self.indptr[end])
        pointers = self.indptr[begin : end + 1] - first
        kind = DeviceSparseBatch if self.indices.is_cuda else HostSparseBatch
        return kind(self.indices[first:last], self.values[first:last], pointers, self.n_columns)

    def _gather(self, order: np.ndarray) -> "SparseSamples":
        starts, lengths = self.indptr[order], np.diff(self.indptr)[order]
        indptr = np.zeros(len(order) + 1, dtype=self.indptr.dtype)
        np.cumsum(lengths, out=indptr[1:])
        shifts = torch.from_numpy(starts - indptr[:-1]).to(self.indices.device)
        counts = torch.from_numpy(lengths).to(self.indices.device)
        positions = torch.repeat_interleave(shifts, counts, output_size=int(indptr[-1]))
        positions = positions.add_(torch.arange(len(positions), device=positions.device, dtype=positions.dtype))
        return SparseSamples(self.indices[positions], self.values[positions], indptr, self.n_columns)


def make_samples(X: Any, device: torch.device) -> DenseSamples | SparseSamples:
    """Move a NumPy array or a SciPy matrix to the device."""
    if not sp.issparse(X):
        return DenseSamples(to_tensor(X, device))
    csr = X.tocsr()
    index = np.int64 if device.type == "cuda" or max(csr.nnz, csr.shape[1]) >= 2**31 else np.int32
    indices, values = to_tensor(csr.indices.astype(index), device), to_tensor(csr.data, device)
    return SparseSamples(indices, values, csr.indptr.astype(index), csr.shape[1])


def split_samples(samples: Samples) -> Iterator[Any]:
    """Yield all samples in batches of bounded memory."""
    size = max(1, CHUNK_BYTES // samples.sample_bytes)
    for begin in range(0, samples.n_samples, size):
        yield samples.part(begin, min(begin + size, samples.n_samples))


class Targets:
    """Targets on the device, as rows (n, n_outputs) for the loss.

    `smoothing` is the share of each sample's probability that is spread evenly (Szegedy et al. 2016); with independent
    outputs 0 and 1 move towards one half. It is not applied to sparse targets.
    """

    def __init__(
        self, examples: Examples, n_outputs: int, smoothing: float, device: torch.device, dtype: torch.dtype
    ) -> None:
        values = examples.targets
        self.n_outputs, self.smoothing, self.device, self.dtype = n_outputs, smoothing, device, dtype
        self.sparse = values.tocsr() if sp.issparse(values) else None
        self.are_indices = values.ndim == 1
        self.even = 1 / n_outputs if examples.exclusive else 1 / 2
        if self.sparse is None:
            self.values = to_tensor(values, device, torch.int64 if self.are_indices else dtype)

    def take(self, indices: Tensor) -> Tensor:
        """Return the targets (n, n_outputs) of these samples."""
        if self.sparse is not None:
            dense = self.sparse[indices.cpu().numpy()].toarray()
            return torch.from_numpy(dense).to(device=self.device, dtype=self.dtype)
        chosen = self.values.index_select(0, indices.to(self.device))
        low = self.smoothing * self.even
        if not self.are_indices:
            return chosen.mul_(1 - self.smoothing).add_(low) if self.smoothing else chosen
        rows = torch.full((len(chosen), self.n_outputs), low, dtype=self.dtype, device=self.device)
        return rows.scatter_(1, chosen[:, None], 1 - self.smoothing + low)


@dataclass
class Batch:
    """Samples, their targets, the factors of their gradients, and memory for their losses."""

    x: Any
    targets: Tensor
    scale: Tensor | float
    losses: Tensor


class TrainingData:
    """Training examples on the device, cut into batches in a new random order in each epoch.

    Parameters
    ----------
    dtype
        Type of targets and weights.
    seed
        Seed of the generators of order, noise and mixing; no global state is used.
    shuffle
        Whether each epoch has its own order.
    merge_single
        Whether a single sample that is left over joins the batch before it, because batch normalisation needs two.
    """

    def __init__(
        self,
        examples: Examples,
        n_outputs: int,
        device: torch.device,
        dtype: torch.dtype,
        seed: int,
        *,
        smoothing: float = 0.0,
        augmentation: Augmentation | None = None,
        shuffle: bool = True,
        merge_single: bool = False,
    ) -> None:
        self.samples = make_samples(examples.X, device)
        self.targets = Targets(examples, n_outputs, smoothing, device, dtype)
        self.weights: Tensor | None = None  # of mean one
        if examples.weights is not None:
            self.weights = to_tensor(examples.weights / examples.weights.mean(), device, dtype)
        self.augmentation, self.shuffle, self.merge_single = augmentation or Augmentation(), shuffle, merge_single
        self.n_samples, self.device, self.is_sparse = self.samples.n_samples, device, sp.issparse(examples.X)
        self.losses = torch.zeros(self.n_samples, dtype=dtype, device=device)  # of the current epoch
        order_device = torch.device("cpu") if self.is_sparse else device  # sparse samples are cut on the host
        self.order_generator = torch.Generator(order_device).manual_seed(seed)
        self.noise_generator = torch.Generator(device).manual_seed(seed + 1)
        self.mixing_generator = np.random.default_rng(seed)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        order, bounds = self._draw_order(), self._find_bounds(size)
        bytes_of_sample = self.samples.sample_bytes + self.targets.n_outputs * self.losses.element_size()
        n_together = max(1, CHUNK_BYTES // (bytes_of_sample * size))
        for number in range(0, len(bounds) - 1, n_together):
            of_chunk = bounds[number : number + n_together + 1]
            begin = of_chunk[0]
            samples, targets, weights = self._take(order[begin : of_chunk[-1]])
            for first, last in pairwise(bound - begin for bound in of_chunk):
                scale = 1 / (last - first) if weights is None else weights[first:last, None] / (last - first)
                losses = self.losses[begin + first : begin + last]
                yield Batch(samples.part(first, last), targets[first:last], scale, losses)

    def count_batches(self, size: int) -> int:
        """Return the number of batches per epoch."""
        return len(self._find_bounds(size)) - 1

    def indices(self) -> Tensor:
        """Return the indices of all samples, on the device where `take` expects them."""
        return torch.arange(self.n_samples, device=self.order_generator.device)

    @property
    def chunk_size(self) -> int:
        """Number of samples whose scores fit into a chunk."""
        return max(1, CHUNK_BYTES // (self.targets.n_outputs * self.losses.element_size()))

    def get_random_state(self) -> tuple[Any, ...]:
        """Return the states of the generators."""
        return (
            self.order_generator.get_state(),
            self.noise_generator.get_state(),
            self.mixing_generator.bit_generator.state,
        )

    def set_random_state(self, states: tuple[Any, ...]) -> None:
        """Reset the generators to states that `get_random_state` returned."""
        order, noise, mixing = states
        self.order_generator.set_state(order)
        self.noise_generator.set_state(noise)
        self.mixing_generator.bit_generator.state = mixing

    def _find_bounds(self, size: int) -> list[int]:
        """Return the beginnings of the batches and the end of the last one."""
        bounds = [*range(0, self.n_samples, size), self.n_samples]
        if self.merge_single and len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
            del bounds[-2]
        return bounds

    def _draw_order(self) -> Tensor:
        if not self.shuffle:
            return self.indices()
        generator = self.order_generator
        return torch.randperm(self.n_samples, generator=generator, device=generator.device)

    def _take(self, chosen: Tensor) -> tuple[Samples, Tensor, Tensor | None]:
        mixing = self._draw_mixing(chosen)
        samples, targets = self.samples.take(chosen, mixing), self.targets.take(chosen)
        weights = None if self.weights is None else self.weights.index_select(0, chosen.to(self.device))
        if mixing is not None:
            partners, share = mixing
            ratio = torch.from_numpy(share).to(targets)
            targets = torch.lerp(self.targets.take(partners), targets, ratio[:, None])
            if weights is not None and self.weights is not None:
                weights = torch.lerp(self.weights.index_select(0, partners.to(self.device)), weights, ratio)
        if self.augmentation.noise > 0 or self.augmentation.dropout > 0:
            samples.perturb(self.augmentation.noise, self.augmentation.dropout, self.noise_generator)
        return samples, targets, weights

    def _draw_mixing(self, chosen: Tensor) -> Mixing | None:
        if self.augmentation.mixup <= 0:
            return None
        share = self.mixing_generator.beta(self.augmentation.mixup, self.augmentation.mixup, len(chosen))
        return torch.roll(chosen, 1), share  # in a random order the neighbour is a random partner


def _perturb(values: Tensor, noise: float, dropout: float, generator: torch.Generator) -> None:
    if noise > 0:
        values.add_(torch.empty_like(values).normal_(0, noise, generator=generator))
    if dropout > 0:
        values.mul_(torch.empty_like(values).bernoulli_(1 - dropout, generator=generator).div_(1 - dropout))


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
