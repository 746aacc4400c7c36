"""Centred feature matrices on a device as linear operators, and few rows in a basis of their span.

Sparse matrices are neither copied nor made dense.
"""

import copy
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks, to_kernel
from transferkit._training.device import multiply, to_tensor

__all__ = [
    "BlockDiagonal",
    "BlockMatrix",
    "CentredMatrix",
    "DenseMatrix",
    "KernelMatrix",
    "RowSpan",
    "SparseMatrix",
    "has_sparse_part",
    "make_matrix",
    "multiply_stack",
]

CPU_COLUMNS = 16  # columns that a product with sparse rows takes at a time


class CentredMatrix(Protocol):
    """The matrix X - mean; `mean` is zero if the model has no intercept."""

    n_rows: int
    n_columns: int
    mean: Tensor  # (n_columns, 1)

    def matmul(self, weights: Tensor) -> Tensor:
        """Return (X - mean) @ weights, (n_rows, any)."""

    def rmatmul(self, residuals: Tensor) -> Tensor:
        """Return (X - mean).T @ residuals, (n_columns, any)."""

    def gram(self, row_weights: Tensor) -> Tensor:
        """Return (X - mean).T @ diag(row_weights) @ (X - mean) in float64."""

    def gram_diagonal(self, row_weights: Tensor) -> Tensor:
        """Return the diagonal of the Gram matrix."""

    def on_rows(self, rows: Tensor) -> Self:
        """Return some of the rows, minus the same mean."""


class DenseMatrix:
    """A dense matrix, centred in a copy: centring float32 products by a large mean would lose their digits."""

    def __init__(self, matrix: Tensor, mean: Tensor) -> None:
        self.n_rows, self.n_columns = matrix.shape
        self.mean = mean
        self.centred = matrix - mean.T if bool((mean != 0).any()) else matrix

    @classmethod
    def from_numpy(cls, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> Self:
        """Move X to the device and subtract its weighted mean if asked to."""
        matrix = to_tensor(X, device)
        weights = torch.from_numpy(row_weights).to(matrix)
        mean = matrix.new_zeros(matrix.shape[1], 1)
        if centre:
            mean = (matrix.T @ weights[:, None]) / weights.sum()
        return cls(matrix, mean)

    def matmul(self, weights: Tensor) -> Tensor:
        return multiply(self.centred, weights)

    def rmatmul(self, residuals: Tensor) -> Tensor:
        return multiply(self.centred.T, residuals)

    def gram(self, row_weights: Tensor) -> Tensor:
        return multiply(self.centred.T, self.centred * row_weights[:, None]).double()

    def gram_diagonal(self, row_weights: Tensor) -> Tensor:
        return (self.centred.square() * row_weights[:, None]).sum(0, dtype=torch.float64)

    def on_rows(self, rows: Tensor) -> Self:
        part = copy.copy(self)
        part.n_rows, part.centred = len(rows), self.centred[rows]
        return part


class SparsePair:
    """A CSR matrix and its transpose on a device: transposing in every product is ten times slower."""

    def __init__(self, X: Any, device: torch.device) -> None:
        self.matrix, self.transposed = to_tensor(X, device), to_tensor(X.T.tocsr(), device)

    def matmul(self, right: Tensor) -> Tensor:
        """Return X @ right."""
        return multiply(self.matrix, right)

    def rmatmul(self, right: Tensor) -> Tensor:
        """Return X.T @ right."""
        return multiply(self.transposed, right)


class SparseMatrix:
    """A CSR matrix, centred within its products."""

    def __init__(self, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> None:
        self.n_rows, self.n_columns = X.shape
        self.scipy = X.tocsr()
        mean = self.scipy.T @ (row_weights / row_weights.sum()) if centre else np.zeros(X.shape[1])
        self.mean = torch.from_numpy(mean.astype(X.dtype)[:, None]).to(device)
        self.pair = SparsePair(self.scipy, device)

    def matmul(self, weights: Tensor) -> Tensor:
        return self.pair.matmul(weights) - self.mean.T @ weights

    def rmatmul(self, residuals: Tensor) -> Tensor:
        return self.pair.rmatmul(residuals) - self.mean * residuals.sum(0)

    def gram(self, row_weights: Tensor) -> Tensor:
        return self.gram_with(self, row_weights)

    def gram_with(self, other: "SparseMatrix", row_weights: Tensor) -> Tensor:
        """Return (X - mean).T @ diag(row_weights) @ other in float64."""
        weights = row_weights.double().cpu().numpy()
        scaled = self.scipy.multiply(weights[:, None]).tocsr()
        product = torch.from_numpy((scaled.T @ other.scipy).toarray()).double().to(self.mean.device)
        left, right = (torch.from_numpy(part.scipy.T @ weights).to(product)[:, None] for part in (self, other))
        mean, other_mean = self.mean.double(), other.mean.double()
        return product - left @ other_mean.T - mean @ right.T + weights.sum() * (mean @ other_mean.T)

    def gram_diagonal(self, row_weights: Tensor) -> Tensor:
        weights = row_weights.double().cpu().numpy()
        squares = torch.from_numpy(self.scipy.power(2).T @ weights).to(self.mean.device)
        cross = torch.from_numpy(self.scipy.T @ weights).to(self.mean.device)
        mean = self.mean[:, 0].double()
        return squares - 2 * cross * mean + weights.sum() * mean.square()

    def on_rows(self, rows: Tensor) -> Self:
        part = copy.copy(self)
        part.n_rows, part.scipy = len(rows), self.scipy[rows.cpu().numpy()]
        part.pair = SparsePair(part.scipy, rows.device)
        return part


class BlockMatrix:
    """Dense and sparse matrices side by side, each with its own products."""

    def __init__(self, parts: list[DenseMatrix | SparseMatrix]) -> None:
        self.parts = parts
        self.sizes = [part.n_columns for part in parts]
        self.n_rows, self.n_columns = parts[0].n_rows, sum(self.sizes)
        self.mean = torch.cat([part.mean for part in parts])

    def matmul(self, weights: Tensor) -> Tensor:
        first, *others = zip(self.parts, torch.split(weights, self.sizes), strict=True)
        product = first[0].matmul(first[1])
        for part, some in others:
            product += part.matmul(some)
        return product

    def rmatmul(self, residuals: Tensor) -> Tensor:
        return torch.cat([part.rmatmul(residuals) for part in self.parts])

    def gram(self, row_weights: Tensor) -> Tensor:
        rows = [torch.cat([cross_gram(a, b, row_weights) for b in self.parts], 1) for a in self.parts]
        return torch.cat(rows)

    def gram_diagonal(self, row_weights: Tensor) -> Tensor:
        return torch.cat([part.gram_diagonal(row_weights) for part in self.parts])

    def on_rows(self, rows: Tensor) -> "BlockMatrix":
        return BlockMatrix([part.on_rows(rows) for part in self.parts])


def cross_gram(left: DenseMatrix | SparseMatrix, right: DenseMatrix | SparseMatrix, row_weights: Tensor) -> Tensor:
    """Return left.T @ diag(row_weights) @ right in float64."""
    if left is right:
        return left.gram(row_weights)
    if isinstance(right, DenseMatrix):
        return left.rmatmul(right.centred * row_weights[:, None]).double()
    if isinstance(left, DenseMatrix):
        return cross_gram(right, left, row_weights).T
    return right.gram_with(left, row_weights).T


def make_matrix(X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> CentredMatrix:
    """Return an array, a CSR matrix or FeatureBlocks as a matrix on a device, centred if asked to."""

    def make_part(block: Any) -> DenseMatrix | SparseMatrix:
        if sp.issparse(block):
            return SparseMatrix(block, row_weights, centre, device)
        return DenseMatrix.from_numpy(block, row_weights, centre, device)

    return BlockMatrix([make_part(block) for block in X.blocks]) if isinstance(X, FeatureBlocks) else make_part(X)


def has_sparse_part(X: Any) -> bool:
    """Return whether X is sparse or has a sparse block."""
    return any(sp.issparse(block) for block in (X.blocks if isinstance(X, FeatureBlocks) else [X]))


class KernelMatrix:
    """The centred product K = (X - mean)(X - mean).T, applied without being formed.

    The vectors of n_rows entries are centred instead of X: with the projection P = I - 1 w.T, where w are the row
    weights divided by their sum, K = P X X.T P.T, and X X.T is the sum of the products of the blocks of X.
    """

    def __init__(self, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> None:
        self.X, self.n_rows = X, X.shape[0]
        share = row_weights / row_weights.sum() if centre else np.zeros(len(row_weights))
        self.mean = X.T @ share  # (n_columns,)
        self.share = torch.from_numpy(share.astype(X.dtype)[:, None]).to(device)
        blocks = X.blocks if isinstance(X, FeatureBlocks) else [X]
        self.parts = [
            SparseProduct(block, device) if sp.issparse(block) else DenseProduct(block, self.share) for block in blocks
        ]

    def matmul(self, dual: Tensor) -> Tensor:
        """Return K @ dual, both (n_rows, any)."""
        centred = dual - self.share * dual.sum(0)
        image = self.parts[0].matmul(centred)
        for part in self.parts[1:]:
            image += part.matmul(centred)
        return image - self.share.T @ image

    def to_weights(self, dual: np.ndarray) -> np.ndarray:
        """Return (X - mean).T @ dual, the weights of these dual variables."""
        return self.X.T @ (dual - self.share.cpu().numpy() * dual.sum(0))

    def on_rows(self, rows: Tensor) -> "KernelMatrix":
        """Return the product of some of the rows, minus their own mean."""
        share = self.share[rows, 0].cpu().numpy()
        return KernelMatrix(self.X[rows.cpu().numpy()], share, bool(share.any()), rows.device)


class SparseProduct:
    """The product X @ X.T of a CSR matrix.

    A column with one entry (half of all words in a text collection) changes the diagonal only, so such columns are
    folded into it. The other columns are sorted by frequency, which keeps the frequent ones in the cache; so does
    multiplying few vectors at a time on a CPU, which is twice as fast as a hundred at once.
    """

    def __init__(self, X: Any, device: torch.device) -> None:
        csr = X.tocsr()
        counts = np.bincount(csr.indices, minlength=X.shape[1])
        by_frequency = np.argsort(-counts, kind="stable")
        alone = csr[:, np.flatnonzero(counts == 1)]
        diagonal = np.asarray(alone.multiply(alone).sum(1)).reshape(-1, 1)
        self.diagonal = torch.from_numpy(diagonal.astype(X.dtype)).to(device)
        self.shared = SparsePair(csr[:, by_frequency[: np.count_nonzero(counts > 1)]], device)

    def matmul(self, dual: Tensor) -> Tensor:
        """Return X @ X.T @ dual."""
        width = CPU_COLUMNS if dual.device.type == "cpu" else dual.shape[1]
        image = dual * self.diagonal
        for some, part in zip(torch.split(image, width, 1), torch.split(dual, width, 1), strict=True):
            some += self.shared.matmul(self.shared.rmatmul(part.contiguous()))
        return image


class DenseProduct:
    """The product X @ X.T of a dense matrix, whose rows are centred first, since a large mean would cost digits."""

    def __init__(self, X: np.ndarray, share: Tensor) -> None:
        matrix = to_tensor(X, share.device)
        self.rows = matrix - share.T @ matrix

    def matmul(self, dual: Tensor) -> Tensor:
        """Return X @ X.T @ dual."""
        return multiply(self.rows, multiply(self.rows.T, dual))


@dataclass(frozen=True)
class RowSpan:
    """An orthonormal basis of the span of the centred rows, Q = `basis`, or Q = centred X.T @ `basis` for sparse X.

    The penalty depends on the weights only through their part in this span, and so do the scores.
    """

    basis: np.ndarray  # (n_features, n_directions), or (n_rows, n_directions) for sparse X
    mean: np.ndarray  # (n_features,), of the rows
    share: np.ndarray  # (n_rows,), row weights divided by their sum, or zeros without an intercept
    sparse: Any = None  # X itself if it is sparse

    @classmethod
    def of(
        cls, X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device
    ) -> tuple["RowSpan", np.ndarray]:
        """Return the span of the rows of X, and the centred rows in its basis, (n_rows, n_directions)."""
        share = row_weights / row_weights.sum() if fit_intercept else np.zeros(len(row_weights))
        mean = np.asarray(X.T @ share)
        if has_sparse_part(X):
            rows, basis = decompose_kernel(to_kernel(X.astype(np.float64)), share, device)
            return cls(basis.astype(X.dtype), mean, share, X), rows.astype(X.dtype)
        matrix = np.hstack(X.blocks) if isinstance(X, FeatureBlocks) else X
        centred = torch.from_numpy((matrix - mean).astype(X.dtype)).to(device)
        isometry, triangle = torch.linalg.qr(centred.T)
        return cls(isometry.cpu().numpy().astype(X.dtype), mean, share), triangle.T.contiguous().cpu().numpy()

    def expand(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights for the features, and intercepts, of weights (n_directions, n_problems, n_outputs)."""
        flat = self.basis @ weights.reshape(len(weights), -1)
        if self.sparse is not None:
            flat = self.sparse.T @ (flat - np.outer(self.share, flat.sum(0))).astype(self.basis.dtype)
        intercepts = intercepts - (self.mean @ flat).reshape(intercepts.shape)
        return flat.reshape(-1, *weights.shape[1:]), intercepts.astype(weights.dtype)

    def restrict(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_features, n_problems, n_outputs) projected onto the span, and intercepts."""
        flat = weights.reshape(len(weights), -1)
        of_mean = self.mean @ flat
        centred = flat if self.sparse is None else self.sparse @ flat - of_mean
        restricted = (self.basis.T @ centred).astype(self.basis.dtype)
        return restricted.reshape(-1, *weights.shape[1:]), intercepts + of_mean.reshape(intercepts.shape)


def decompose_kernel(kernel: np.ndarray, share: np.ndarray, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return the centred rows R in an orthonormal basis Q of their span, and B with Q = centred X.T @ B.

    With K = V diag(s) V.T they are R = V s^1/2 and B = V s^-1/2.
    """
    kernel = kernel - share @ kernel
    kernel -= (kernel @ share)[:, None]
    spectrum, vectors = torch.linalg.eigh(torch.from_numpy(kernel).to(device))
    kept = spectrum > spectrum[-1] * len(kernel) * torch.finfo(torch.float64).eps
    kept[-1] = True  # a direction of length zero if all rows are equal
    roots = spectrum[kept].clamp_min(0).sqrt()
    inverse = torch.where(roots > 0, 1 / roots, 0.0)
    return (vectors[:, kept] * roots).cpu().numpy(), (vectors[:, kept] * inverse).cpu().numpy()


class BlockDiagonal:
    """A square block-diagonal matrix; a block of None is an identity matrix."""

    def __init__(self, blocks: list[Tensor | None], sizes: list[int]) -> None:
        self.blocks, self.sizes = blocks, sizes

    @property
    def T(self) -> "BlockDiagonal":
        """The transpose."""
        return BlockDiagonal([None if block is None else block.T for block in self.blocks], self.sizes)


def multiply_stack(matrix: Tensor | BlockDiagonal, stack: Tensor) -> Tensor:
    """Return matrix @ stack, for a stack with two trailing dimensions."""
    if isinstance(matrix, BlockDiagonal):
        parts = zip(matrix.blocks, torch.split(stack, matrix.sizes), strict=True)
        return torch.cat([part if block is None else multiply_stack(block, part) for block, part in parts])
    return multiply(matrix, stack.flatten(1)).view(-1, *stack.shape[1:])
