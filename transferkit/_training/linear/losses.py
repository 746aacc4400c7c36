"""Losses of many classification problems that share their rows: values and gradients in the scores ("residuals").

Scores have the shape (n_rows, n_problems, n_outputs) everywhere; row weights (n_rows, n_problems) are sample weights,
and zero for rows that a problem leaves out (its held-out fold).

The losses of networks (`_training/network/losses.py`) take a target probability for each score. Those here gather the
scores of the labels instead, so that no array of targets is needed for each problem, and the logistic loss of a
confident score keeps all its digits, which the stopping rule of L-BFGS needs.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

__all__ = ["LogisticLoss", "Loss", "SoftmaxLoss", "average_curvature", "make_loss"]


@dataclass(frozen=True)
class SoftmaxLoss:
    """Cross-entropy of the softmax of the scores; labels (n_rows,) are shared by all problems."""

    labels: Tensor
    weights: Tensor
    n_outputs: int
    curvature = 0.5  # Böhning (1992): the Hessian is at most half the Gram matrix, whatever the weights

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return each problem's loss (n_problems,) in float64, and its gradient in the scores."""
        log_probabilities = torch.log_softmax(scores, 2)
        index = self.labels[:, None, None].expand(-1, scores.shape[1], 1)
        of_labels = log_probabilities.gather(2, index)  # (n_rows, n_problems, 1)
        values = -(of_labels[:, :, 0] * self.weights).sum(0, dtype=torch.float64)
        residuals = log_probabilities.exp_()
        residuals.scatter_add_(2, index, residuals.new_full((1, 1, 1), -1.0).expand_as(index))
        return values, residuals.mul_(self.weights[:, :, None])

    def curvatures(self, scores: Tensor) -> Tensor:
        """Return each row's weighted curvature along each score, of the shape of the scores."""
        probabilities = torch.softmax(scores, 2)
        return probabilities * (1 - probabilities) * self.weights[:, :, None]

    def curvatures_along(self, scores: Tensor, change: Tensor) -> Tensor:
        """Return each row's weighted curvature along a change of the scores, (n_rows, n_problems)."""
        probabilities = torch.softmax(scores, 2)
        mean = (probabilities * change).sum(2, keepdim=True)
        return (probabilities * (change - mean).square()).sum(2) * self.weights

    def select(self, problems: Tensor) -> Self:
        """Return the loss of some of the problems."""
        return type(self)(self.labels, self.weights[:, problems], self.n_outputs)


@dataclass(frozen=True)
class LogisticLoss:
    """Binary cross-entropy of one score; targets, 0 or 1, are (n_rows, n_problems) or (n_rows, 1)."""

    targets: Tensor
    weights: Tensor
    n_outputs = 1
    curvature = 0.25

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return each problem's loss (n_problems,) in float64, and its gradient in the scores."""
        flat = scores[:, :, 0]
        signed = torch.where(self.targets > 0, -flat, flat)
        values = (torch.nn.functional.softplus(signed) * self.weights).sum(0, dtype=torch.float64)
        residuals = (torch.sigmoid(flat) - self.targets) * self.weights
        return values, residuals[:, :, None]

    def curvatures(self, scores: Tensor) -> Tensor:
        """Return each row's weighted curvature along its score, of the shape of the scores."""
        return torch.sigmoid(scores) * torch.sigmoid(-scores) * self.weights[:, :, None]

    def curvatures_along(self, scores: Tensor, change: Tensor) -> Tensor:
        """Return each row's weighted curvature along a change of the scores, (n_rows, n_problems)."""
        return (self.curvatures(scores) * change.square())[:, :, 0]

    def select(self, problems: Tensor) -> Self:
        """Return the loss of some of the problems."""
        targets = self.targets if self.targets.shape[1] == 1 else self.targets[:, problems]
        return type(self)(targets, self.weights[:, problems])


Loss = SoftmaxLoss | LogisticLoss


def make_loss(targets: np.ndarray, row_weights: np.ndarray, n_outputs: int, dtype: Any, device: torch.device) -> Loss:
    """Return the loss of NumPy arrays of targets and of row weights (n_rows, 1 or n_problems).

    Targets are class numbers (n_rows,) if there are several outputs, else zeros and ones (n_rows, 1 or n_problems).
    """
    weights = torch.from_numpy(np.ascontiguousarray(row_weights, dtype=dtype)).to(device)
    if n_outputs > 1:
        labels = torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64)).to(device)
        return SoftmaxLoss(labels, weights, n_outputs)
    columns = torch.from_numpy(np.ascontiguousarray(targets.reshape(len(targets), -1), dtype=dtype)).to(device)
    return LogisticLoss(columns, weights.expand(-1, max(columns.shape[1], weights.shape[1])))


def average_curvature(residuals: Tensor, weights: Tensor) -> Tensor:
    """Return each problem's mean curvature over rows and outputs, (n_problems,), estimated from the residuals.

    It is the weighted mean of (p - y)^2, which equals that of p * (1 - p) if probabilities are calibrated. One number
    serves all outputs: with one per output L-BFGS needed a third more steps on real text.
    """
    tiny = torch.finfo(weights.dtype).tiny  # rows of weight zero have residuals of zero
    squares = residuals.square().mean(2) / weights.clamp_min(tiny)
    return (squares.sum(0) / weights.sum(0)).clamp_min(torch.finfo(weights.dtype).eps)
