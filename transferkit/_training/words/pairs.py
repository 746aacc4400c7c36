"""Co-occurrence counts on a device: the two products that gradients consist of, and leading eigenvectors."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag

from transferkit._algorithms.linalg.decompositions import BLOCK_SHARE, N_STEPS, fix_signs
from transferkit._training.device import csr_tensor, with_own_modes

__all__ = [
    "PairRows",
    "WordPairs",
    "leading_eigenvectors_on_device",
]

_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 25}  # per slice, which bounds the memory of temporary arrays
_LONGEST = 4096  # entries summed by one thread block: a GPU would otherwise wait for the row of the most frequent word


class PairRows(NamedTuple):
    """The pairs of the words from `begin` up to `end`, as CSR rows with int32 indices."""

    begin: int
    end: int
    indptr: Tensor  # (n_rows + 1,)
    columns: Tensor  # (n_pairs,)
    counts: Tensor  # (n_pairs,)
    segments: Tensor  # (n_segments,) first pair of each run of at most _LONGEST pairs of one row
    segments_of_row: Tensor  # (n_rows,) first segment of each row

    @property
    def rows(self) -> Tensor:
        """Row of each pair within the slice, (n_pairs,)."""
        sizes = self.indptr.diff()
        return torch.repeat_interleave(
            torch.arange(len(sizes), device=sizes.device), sizes, output_size=len(self.columns)
        )

    def products(self, rows: Tensor, others: Tensor) -> Tensor:
        """Return the inner product of the two vectors of each pair, (n_pairs,); `rows` are those of this slice."""
        shape = (len(self.indptr) - 1, len(others))
        pattern = csr_tensor(self.indptr, self.columns, torch.zeros_like(self.counts), shape)
        return torch.sparse.sampled_addmm(pattern, rows, others.T, beta=0.0).values()

    def combine(self, coefficients: Tensor, others: Tensor) -> Tensor:
        """Return the sum of coefficient times the other word's vector over the pairs of each row.

        Sums are taken in a fixed order, so they are the same on every run of one device.
        """
        parts = embedding_bag(self.columns, others, self.segments, mode="sum", per_sample_weights=coefficients)
        if len(parts) == len(self.segments_of_row):
            return parts
        return embedding_bag(torch.arange(len(parts), device=parts.device), parts, self.segments_of_row, mode="sum")


class WordPairs:
    """A symmetric matrix of co-occurrence counts, cut into slices of rows of about equal numbers of entries.

    The counts are divided by `unit`.
    """

    def __init__(self, counts: sparse.csr_array, device: torch.device, unit: float = 1.0) -> None:
        n_slices = max(counts.nnz // _ENTRIES[device.type], 1)
        cuts = np.searchsorted(counts.indptr, np.linspace(0, counts.nnz, n_slices + 1)[1:-1])
        bounds = np.unique([0, *cuts.tolist(), counts.shape[0]]).tolist()
        self.slices = [_to_device(counts, begin, end, device, unit) for begin, end in pairwise(bounds)]
        self.totals = torch.from_numpy(np.asarray(counts.sum(axis=1), np.float64).ravel() / unit).to(device)


def _to_device(counts: sparse.csr_array, begin: int, end: int, device: torch.device, unit: float) -> PairRows:
    first, last = int(counts.indptr[begin]), int(counts.indptr[end])
    indptr = (counts.indptr[begin : end + 1] - first).astype(np.int32)
    n_segments = np.maximum(-(-np.diff(indptr) // _LONGEST), 1)
    segment_ends = np.cumsum(n_segments)
    within = np.arange(segment_ends[-1]) - np.repeat(segment_ends - n_segments, n_segments)
    segments = np.repeat(indptr[:-1], n_segments) + _LONGEST * within
    arrays = (
        indptr,
        counts.indices[first:last].astype(np.int32),
        (counts.data[first:last] / unit).astype(np.float32),
        segments.astype(np.int32),
        segment_ends - n_segments,
    )
    return PairRows(begin, end, *(torch.from_numpy(array).to(device) for array in arrays))


class _Matrix(NamedTuple):
    pairs: WordPairs

    def __matmul__(self, right: Tensor) -> Tensor:
        return torch.cat([part.combine(part.counts, right) for part in self.pairs.slices])


@with_own_modes()
def leading_eigenvectors_on_device(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvectors with the eigenvalues of largest magnitude, by block Lanczos.

    Parameters and result are those of :func:`transferkit._algorithms.linalg.decompositions.leading_eigenvectors`, whose
    notes describe the method. The matrix must have more than ``4.2 * n_vectors`` rows.
    """
    operator = _Matrix(WordPairs(matrix, device))
    width = int(np.ceil(BLOCK_SHARE * n_vectors))
    n_rows, size = matrix.shape[0], width * N_STEPS
    start = random_state.standard_normal((n_rows, width)).astype(np.float32)
    basis = torch.empty((size, n_rows), device=device).T  # a block of columns is contiguous
    projected = torch.zeros((size, size), dtype=torch.float64, device=device)
    block = _orthonormal(operator @ torch.from_numpy(start).to(device))
    for step in range(N_STEPS):
        begin, end = step * width, (step + 1) * width
        basis[:, begin:end] = block
        image = operator @ block.contiguous()
        known = basis[:, :end]
        shares = known.T @ image
        projected[:end, begin:end] = shares
        projected[begin:end, :end] = shares.T
        block = _orthonormal(image - known @ shares)
        for _ in range(2):  # rounding errors leave components along the earlier blocks
            block = _orthonormal(block - known @ (known.T @ block))
    values, rotation = torch.linalg.eigh(projected)
    order = values.abs().argsort(descending=True, stable=True)[:n_vectors]
    vectors = basis @ rotation[:, order].float()
    return fix_signs(vectors.cpu().numpy()), values[order].float().cpu().numpy()


def _orthonormal(columns: Tensor) -> Tensor:
    """Return an orthonormal basis of the columns, by the Cholesky factor of their Gram matrix in float64."""
    exact = columns.double()
    gram = exact.T @ exact
    gram.diagonal().add_(1e-14 * gram.diagonal().max())  # for columns that are zero up to rounding
    factor = torch.linalg.cholesky_ex(gram, upper=True)[0]  # without waiting for the device
    return torch.linalg.solve_triangular(factor, exact, upper=True, left=False).float()
