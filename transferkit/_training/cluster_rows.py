"""Rows that are clustered: nearest centres and sums of clusters, of dense and of sparse rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._training.device import to_tensor

__all__ = ["Rows", "make_rows"]


@dataclass
class Nearest:
    """Nearest centre of each row, the squared distance to it, and to the next."""

    labels: Tensor
    squares: Tensor
    next_squares: Tensor


class Rows:
    """Rows with their weights and squared lengths, dense or sparse."""

    def __init__(self, rows: Tensor, weights: Tensor, batch_size: int) -> None:
        self.rows, self.weights, self.batch_size = rows, weights, batch_size
        self.n_rows, self.device = len(weights), weights.device
        self.squares = self._squares()

    def assign(self, centres: Tensor, chosen: Tensor | None = None) -> Nearest:
        """Return the nearest centres of all rows, or of those chosen."""
        n_rows = self.n_rows if chosen is None else len(chosen)
        labels = torch.empty(n_rows, dtype=torch.int64, device=self.device)
        least = torch.empty(n_rows, 2, device=self.device)
        offsets = centres.square().sum(1)
        for begin in range(0, n_rows, self.batch_size):
            block = slice(begin, min(begin + self.batch_size, n_rows))
            products = self._products(block if chosen is None else chosen[block], centres)
            products.mul_(-2).add_(offsets)
            least[block, 0], labels[block] = products.min(1)
            products.scatter_(1, labels[block, None], torch.inf)
            least[block, 1] = products.amin(1)
        least += (self.squares if chosen is None else self.squares[chosen])[:, None]
        least.clamp_(min=0)
        return Nearest(labels, least[:, 0].contiguous(), least[:, 1].contiguous())

    def mean_variance(self) -> float:
        """Return the mean of the variances of the features."""
        total = self.weights.sum().double()
        sums, _ = self.sums(torch.zeros(self.n_rows, dtype=torch.int64, device=self.device), 1)
        squares = (self.squares.double() * self.weights).sum() / total
        return float((squares - (sums / total).square().sum()) / sums.shape[1])

    def _squares(self) -> Tensor:
        raise NotImplementedError

    def _products(self, chosen: Any, centres: Tensor) -> Tensor:
        raise NotImplementedError

    def sums(self, labels: Tensor, n_clusters: int, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the weighted sum (n_clusters, n_features) and the weight of the rows of each label."""
        raise NotImplementedError

    def select(self, chosen: Tensor) -> "Rows":
        """Return some of the rows."""
        raise NotImplementedError

    def take(self, chosen: Tensor) -> Tensor:
        """Return some of the rows as a dense tensor."""
        raise NotImplementedError


class _DenseRows(Rows):
    def _squares(self) -> Tensor:
        return self.rows.square().sum(1)

    def _products(self, chosen: Any, centres: Tensor) -> Tensor:
        return self.rows[chosen] @ centres.T

    def sums(self, labels: Tensor, n_clusters: int, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = self.weights if chosen is None else self.weights[chosen]
        rows = self.rows if chosen is None else self.rows[chosen]
        counts = torch.bincount(labels, weights.double(), minlength=n_clusters)
        if self.device.type == "cpu":  # SciPy's product adds rows faster than torch scatters them
            picks = sp.csr_array(
                (weights.numpy(), labels.numpy(), np.arange(len(labels) + 1)), (len(labels), n_clusters)
            )
            return torch.from_numpy(picks.T.tocsr() @ rows.numpy()).double(), counts
        sums = torch.zeros(n_clusters, rows.shape[1], dtype=torch.float64, device=self.device)
        for begin in range(0, len(rows), self.batch_size):
            block = slice(begin, begin + self.batch_size)
            sums.index_add_(0, labels[block], rows[block].double() * weights[block, None])
        return sums, counts

    def select(self, chosen: Tensor) -> "_DenseRows":
        chosen = chosen.to(self.device)
        return _DenseRows(self.rows[chosen], self.weights[chosen], self.batch_size)

    def take(self, chosen: Tensor) -> Tensor:
        return self.rows[chosen]


class _SparseRows(Rows):
    def __init__(self, csr: Any, weights: Tensor, batch_size: int) -> None:
        self.csr = csr
        self.blocks: dict[tuple[int, int], Tensor] = {}
        super().__init__(weights, weights, batch_size)

    def _squares(self) -> Tensor:
        squares = np.asarray(self.csr.multiply(self.csr).sum(axis=1), np.float32).ravel()
        return torch.from_numpy(squares).to(self.device)

    def _products(self, chosen: Any, centres: Tensor) -> Tensor:
        if not isinstance(chosen, slice):
            return to_tensor(self.csr[chosen.cpu().numpy()], self.device) @ centres.T
        key = chosen.start, chosen.stop
        if key not in self.blocks:
            self.blocks[key] = to_tensor(self.csr[chosen], self.device)
        return self.blocks[key] @ centres.T

    def sums(self, labels: Tensor, n_clusters: int, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = (self.weights if chosen is None else self.weights[chosen]).cpu()
        rows = self.csr if chosen is None else self.csr[chosen.cpu().numpy()]
        indices = labels.cpu().numpy()
        picks = sp.csr_array((weights.numpy(), indices, np.arange(len(indices) + 1)), (len(indices), n_clusters))
        counts = torch.bincount(labels, weights.to(labels.device).double(), minlength=n_clusters)
        return torch.from_numpy((picks.T.tocsr() @ rows).toarray()).double().to(self.device), counts

    def select(self, chosen: Tensor) -> "_SparseRows":
        return _SparseRows(self.csr[chosen.numpy()], self.weights[chosen.to(self.device)], self.batch_size)

    def take(self, chosen: Tensor) -> Tensor:
        return torch.from_numpy(self.csr[chosen.cpu().numpy()].toarray()).to(self.device)


def make_rows(X: Any, weights: np.ndarray | None, device: torch.device, batch_size: int) -> Rows:
    """Return the rows, with weight one each if None are given, on a device."""
    given = np.ones(X.shape[0], np.float32) if weights is None else np.asarray(weights, np.float32)
    on_device = torch.from_numpy(given).to(device)
    if sp.issparse(X):
        return _SparseRows(X.tocsr(), on_device, batch_size)
    return _DenseRows(to_tensor(X, device), on_device, batch_size)
