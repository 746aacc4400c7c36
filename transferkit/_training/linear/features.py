"""Feature matrices as linear operators on a device: centred without being copied or densified."""

from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._training.device import to_tensor

__all__ = ["BlockFeatures", "DenseFeatures", "Features", "Kernel", "SparseFeatures", "make_features"]

CPU_COLUMNS = 16  # that a product of sparse rows takes at a time


class Features(Protocol):
    """Rows of features minus their mean; `mean` is zero where the model has no intercept."""

    n_rows: int
    n_columns: int
    mean: Tensor  # (n_columns, 1)

    def times(self, weights: Tensor) -> Tensor:
        """Return X @ weights, (n_rows, anything)."""

    def transposed_times(self, residuals: Tensor) -> Tensor:
        """Return X.T @ residuals, (n_columns, anything)."""

    def gram(self, row_weights: Tensor) -> Tensor:
        """Return X.T @ diag(row_weights) @ X in float64."""

    def squared_columns(self, row_weights: Tensor) -> Tensor:
        """Return the diagonal of the Gram matrix."""


class DenseFeatures:
    """A dense matrix, centred by a copy: the mean of a float32 column must not eat its digits."""

    def __init__(self, matrix: Tensor, mean: Tensor) -> None:
        self.n_rows, self.n_columns = matrix.shape
        self.mean = mean
        self.matrix = matrix - mean.T if bool((mean != 0).any()) else matrix

    @classmethod
    def from_numpy(cls, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> Self:
        """Move X to the device and centre it by its weighted mean if asked to."""
        matrix = to_tensor(X, device)
        weights = torch.from_numpy(row_weights).to(matrix)
        mean = matrix.new_zeros(matrix.shape[1], 1)
        if centre:
            mean = (matrix.T @ weights[:, None]) / weights.sum()
        return cls(matrix, mean)

    def times(self, weights: Tensor) -> Tensor:
        return self.matrix @ weights

    def transposed_times(self, residuals: Tensor) -> Tensor:
        return self.matrix.T @ residuals

    def gram(self, row_weights: Tensor) -> Tensor:
        return (self.matrix.T @ (self.matrix * row_weights[:, None])).double()

    def squared_columns(self, row_weights: Tensor) -> Tensor:
        return (self.matrix.square() * row_weights[:, None]).sum(0, dtype=torch.float64)


class SparseFeatures:
    """A CSR matrix and its transpose, centred on the fly."""

    def __init__(self, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> None:
        self.n_rows, self.n_columns = X.shape
        self.scipy = X.tocsr()
        total = row_weights.sum()
        mean = self.scipy.T @ (row_weights / total) if centre else np.zeros(X.shape[1])
        self.mean = torch.from_numpy(mean.astype(X.dtype)[:, None]).to(device)
        self.rows = to_tensor(self.scipy, device)
        self.columns = to_tensor(self.scipy.T.tocsr(), device)  # transposing on every product is ten times slower

    def times(self, weights: Tensor) -> Tensor:
        return self.rows @ weights - self.mean.T @ weights

    def transposed_times(self, residuals: Tensor) -> Tensor:
        return self.columns @ residuals - self.mean * residuals.sum(0)

    def gram(self, row_weights: Tensor) -> Tensor:
        return self.gram_with(self, row_weights)

    def gram_with(self, other: "SparseFeatures", row_weights: Tensor) -> Tensor:
        """Return X.T @ diag(row_weights) @ other in float64."""
        weights = row_weights.double().cpu().numpy()
        scaled = self.scipy.multiply(weights[:, None]).tocsr()
        product = torch.from_numpy((scaled.T @ other.scipy).toarray()).double().to(self.mean.device)
        left, right = (torch.from_numpy(part.scipy.T @ weights).to(product)[:, None] for part in (self, other))
        mean, other_mean = self.mean.double(), other.mean.double()
        return product - left @ other_mean.T - mean @ right.T + weights.sum() * (mean @ other_mean.T)

    def squared_columns(self, row_weights: Tensor) -> Tensor:
        weights = row_weights.double().cpu().numpy()
        squares = torch.from_numpy(self.scipy.power(2).T @ weights).to(self.mean.device)
        cross = torch.from_numpy(self.scipy.T @ weights).to(self.mean.device)
        mean = self.mean[:, 0].double()
        return squares - 2 * cross * mean + weights.sum() * mean.square()


class BlockFeatures:
    """Dense and sparse features side by side, each with its own products."""

    def __init__(self, parts: list[DenseFeatures | SparseFeatures]) -> None:
        self.parts = parts
        self.sizes = [part.n_columns for part in parts]
        self.n_rows, self.n_columns = parts[0].n_rows, sum(self.sizes)
        self.mean = torch.cat([part.mean for part in parts])

    def times(self, weights: Tensor) -> Tensor:
        first, *others = zip(self.parts, torch.split(weights, self.sizes), strict=True)
        product = first[0].times(first[1])
        for part, some in others:
            product += part.times(some)
        return product

    def transposed_times(self, residuals: Tensor) -> Tensor:
        return torch.cat([part.transposed_times(residuals) for part in self.parts])

    def gram(self, row_weights: Tensor) -> Tensor:
        rows = [torch.cat([multiply_parts(a, b, row_weights) for b in self.parts], 1) for a in self.parts]
        return torch.cat(rows)

    def squared_columns(self, row_weights: Tensor) -> Tensor:
        return torch.cat([part.squared_columns(row_weights) for part in self.parts])


def multiply_parts(
    left: DenseFeatures | SparseFeatures, right: DenseFeatures | SparseFeatures, row_weights: Tensor
) -> Tensor:
    """Return left.T @ diag(row_weights) @ right in float64."""
    if left is right:
        return left.gram(row_weights)
    if isinstance(right, DenseFeatures):
        return left.transposed_times(right.matrix * row_weights[:, None]).double()
    if isinstance(left, DenseFeatures):
        return multiply_parts(right, left, row_weights).T
    return right.gram_with(left, row_weights).T


def make_features(X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> Features:
    """Return an array, a CSR matrix or blocks of these as centred features on a device."""
    if isinstance(X, FeatureBlocks):
        return BlockFeatures([make_part(block, row_weights, centre, device) for block in X.blocks])
    return make_part(X, row_weights, centre, device)


def make_part(X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> DenseFeatures | SparseFeatures:
    """Return an array or a CSR matrix as centred features on a device."""
    if sp.issparse(X):
        return SparseFeatures(X, row_weights, centre, device)
    return DenseFeatures.from_numpy(X, row_weights, centre, device)


class Kernel:
    """The centred product K = (X - mean)(X - mean).T, applied without being formed.

    Centring happens on the short side: with the projection P = I - 1 w.T (w the rows' share of the weight),
    K = P X X.T P.T, and X X.T is the sum of the products of its blocks.
    """

    def __init__(self, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> None:
        self.X, self.n_rows = X, X.shape[0]
        share = row_weights / row_weights.sum() if centre else np.zeros(len(row_weights))
        self.share = torch.from_numpy(share.astype(X.dtype)[:, None]).to(device)
        blocks = X.blocks if isinstance(X, FeatureBlocks) else [X]
        self.parts = [
            SparseProduct(block, device) if sp.issparse(block) else DenseProduct(block, self.share) for block in blocks
        ]

    def times(self, dual: Tensor) -> Tensor:
        """Return K @ dual, both (n_rows, anything)."""
        centred = dual - self.share * dual.sum(0)
        image = self.parts[0].times(centred)
        for part in self.parts[1:]:
            image += part.times(centred)
        return image - self.share.T @ image

    def to_weights(self, dual: np.ndarray) -> np.ndarray:
        """Return (X - mean).T @ dual, the weights that the dual vector stands for."""
        return self.X.T @ (dual - self.share.cpu().numpy() * dual.sum(0))


class SparseProduct:
    """The product X @ X.T of a CSR matrix.

    A column with one entry, half of all words in a text collection, adds to the diagonal alone, so such
    columns are folded into it and the others do the rest, frequent ones first, which keeps them in the cache. So
    does multiplying few vectors at a time on a CPU: twice as fast as a hundred at once.
    """

    def __init__(self, X: Any, device: torch.device) -> None:
        csr = X.tocsr()
        counts = np.bincount(csr.indices, minlength=X.shape[1])
        by_frequency = np.argsort(-counts, kind="stable")
        shared = csr[:, by_frequency[: np.count_nonzero(counts > 1)]]
        alone = csr[:, np.flatnonzero(counts == 1)]
        diagonal = np.asarray(alone.multiply(alone).sum(1)).reshape(-1, 1)
        self.diagonal = torch.from_numpy(diagonal.astype(X.dtype)).to(device)
        self.rows, self.columns = to_tensor(shared, device), to_tensor(shared.T.tocsr(), device)

    def times(self, dual: Tensor) -> Tensor:
        """Return X @ X.T @ dual."""
        width = CPU_COLUMNS if dual.device.type == "cpu" else dual.shape[1]
        image = dual * self.diagonal
        for some, part in zip(torch.split(image, width, 1), torch.split(dual, width, 1), strict=True):
            some += self.rows @ (self.columns @ part.contiguous())
        return image


class DenseProduct:
    """The product X @ X.T of a dense matrix; rows are centred first, or a large mean would eat the digits."""

    def __init__(self, X: np.ndarray, share: Tensor) -> None:
        matrix = to_tensor(X, share.device)
        self.rows = matrix - share.T @ matrix

    def times(self, dual: Tensor) -> Tensor:
        """Return X @ X.T @ dual."""
        return self.rows @ (self.rows.T @ dual)
