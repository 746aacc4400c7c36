"""Feature matrices as linear operators on a device: centred without being copied or densified."""

from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from transferkit._training.device import to_tensor

__all__ = ["DenseFeatures", "Features", "Kernel", "SparseFeatures"]


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
        weights = row_weights.double().cpu().numpy()
        scaled = self.scipy.multiply(np.sqrt(weights)[:, None]).tocsr()
        product = torch.from_numpy((scaled.T @ scaled).toarray()).double().to(self.mean.device)
        cross = torch.from_numpy(self.scipy.T @ weights).to(product)[:, None]
        mean = self.mean.double()
        return product - cross @ mean.T - mean @ cross.T + weights.sum() * (mean @ mean.T)

    def squared_columns(self, row_weights: Tensor) -> Tensor:
        weights = row_weights.double().cpu().numpy()
        squares = torch.from_numpy(self.scipy.power(2).T @ weights).to(self.mean.device)
        cross = torch.from_numpy(self.scipy.T @ weights).to(self.mean.device)
        mean = self.mean[:, 0].double()
        return squares - 2 * cross * mean + weights.sum() * mean.square()


class Kernel:
    """The centred product K = (X - mean)(X - mean).T of sparse rows, applied without being formed.

    A column with one entry, half of all words in a text collection, adds to the diagonal alone, so such
    columns are folded into it and the others do the rest. Centring happens on the short side:
    with the projection P = I - 1 w.T (w the rows' share of the weight), K = P X X.T P.T.
    """

    def __init__(self, X: Any, row_weights: np.ndarray, centre: bool, device: torch.device) -> None:
        self.scipy = X.tocsr()
        counts = np.bincount(self.scipy.indices, minlength=X.shape[1])
        shared = self.scipy[:, np.flatnonzero(counts > 1)]
        alone = self.scipy[:, np.flatnonzero(counts == 1)]
        diagonal = np.asarray(alone.multiply(alone).sum(1)).reshape(-1, 1)
        self.diagonal = torch.from_numpy(diagonal.astype(X.dtype)).to(device)
        self.rows, self.columns = to_tensor(shared, device), to_tensor(shared.T.tocsr(), device)
        share = row_weights / row_weights.sum() if centre else np.zeros(len(row_weights))
        self.share = torch.from_numpy(share.astype(X.dtype)[:, None]).to(device)
        self.n_rows = X.shape[0]

    def times(self, dual: Tensor) -> Tensor:
        """Return K @ dual, both (n_rows, anything)."""
        centred = dual - self.share * dual.sum(0)
        image = self.rows @ (self.columns @ centred)
        image.addcmul_(self.diagonal, centred)
        return image - self.share.T @ image

    def to_weights(self, dual: np.ndarray) -> np.ndarray:
        """Return (X - mean).T @ dual, the weights that the dual vector stands for."""
        centred = dual - self.share.cpu().numpy() * dual.sum(0)
        return self.scipy.T.tocsr() @ centred
