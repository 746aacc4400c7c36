"""What the scores should become: targets on the device, and how well predictions meet them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.device import as_writable

__all__ = ["SparseTargets", "Targets", "accuracy", "r2"]

Score = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Targets:
    """Class numbers (n_rows,), which become rows of probabilities, or a matrix (n_rows, n_outputs).

    Parameters
    ----------
    values : array
        Integers of shape (n_rows,) for exclusive classes; else numbers of shape (n_rows, n_outputs).
    n_outputs : int
    smoothing : float
        Share of each row's probability that is spread evenly (Szegedy et al. 2016); with independent outputs 0 and 1
        come closer to one half.
    """

    def __init__(
        self, values: np.ndarray, n_outputs: int, smoothing: float, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.n_outputs, self.smoothing, self.dtype = n_outputs, smoothing, dtype
        self.exclusive = values.ndim == 1
        tensor = torch.from_numpy(as_writable(np.ascontiguousarray(values)))
        self.values = tensor.to(device=device, dtype=torch.int64 if self.exclusive else dtype)

    def take(self, order: Tensor) -> Tensor:
        """Return the targets (n, n_outputs) of these rows."""
        chosen = self.values.index_select(0, order.to(self.values.device))
        if not self.exclusive:
            return chosen.mul_(1 - self.smoothing).add_(self.smoothing / 2) if self.smoothing else chosen
        low = self.smoothing / self.n_outputs
        rows = torch.full((len(chosen), self.n_outputs), low, dtype=self.dtype, device=chosen.device)
        return rows.scatter_(1, chosen[:, None], 1 - self.smoothing + low)


class SparseTargets:
    """A sparse matrix (n_rows, n_outputs), of which only the rows that are taken become dense."""

    def __init__(self, matrix: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.matrix, self.dtype = matrix.tocsr(), dtype
        self.n_outputs = matrix.shape[1]
        self.values = torch.zeros(0, dtype=dtype, device=device)  # says where targets are

    def take(self, order: Tensor) -> Tensor:
        """Return the targets (n, n_outputs) of these rows."""
        return torch.from_numpy(self.matrix[order.cpu().numpy()].toarray()).to(self.values)


def accuracy(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the share of rows with all their labels right; of the scores the largest, or those above zero, count."""
    exclusive = targets.ndim == 1
    right = scores.argmax(1) == targets if exclusive else ((scores > 0) == (targets > 0.5)).all(1)
    return right.double().mean() if weights is None else (right * weights).sum() / weights.sum()


def r2(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the coefficient of determination, averaged over the outputs.

    Of a constant output it is one if all predictions are right, else zero, as in scikit-learn.
    """
    weight = torch.ones_like(targets[:, :1]) if weights is None else weights[:, None]
    mean = (targets * weight).sum(0) / weight.sum()
    unexplained = ((targets - scores).square() * weight).sum(0)
    total = ((targets - mean).square() * weight).sum(0)
    constant = (targets == targets[:1]).all(0)
    scores_of_constant = (unexplained == 0).to(total.dtype)
    return torch.where(constant, scores_of_constant, 1 - unexplained / total).mean()
