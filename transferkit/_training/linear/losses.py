"""Losses of many classification problems that share their rows: values and gradients in the scores ("residuals").

Scores have the shape (n_rows, n_problems, n_outputs) everywhere; row weights (n_rows, n_problems) are sample weights,
and zero for rows that a problem leaves out (its held-out fold).

Targets are labels, or probabilities of the classes ("soft" targets). The loss of probabilities q is that of one row per
class, weighted by q: sum_k q_k loss(k), with the same gradient and curvature.

The losses of networks (`_training/network/losses.py`) take a target probability for each score. Those here gather the
scores of labels instead, so that no array of targets is needed for each problem, and the logistic loss of a confident
score keeps all its digits, which the stopping rule of L-BFGS needs.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from transferkit._algorithms.linear.losses import LEAST_COUNT

__all__ = ["LogisticLoss", "Loss", "SoftmaxLoss", "average_curvature", "make_loss"]


@dataclass(frozen=True)
class SoftmaxLoss:
    """Cross-entropy of the softmax of the scores.

    Targets, shared by all problems, are labels (n_rows,) or probabilities (n_rows, n_outputs). `label_variance`
    (n_problems,) is needed for probabilities; see `average_curvature`.
    """

    targets: Tensor
    weights: Tensor
    n_outputs: int
    label_variance: Tensor | None = None
    curvature = 0.5  # Böhning (1992): the Hessian is at most half the Gram matrix, whatever the weights

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return each problem's loss (n_problems,) in float64, and its gradient in the scores."""
        log_probabilities = torch.log_softmax(scores, 2)
        if self.targets.ndim == 2:
            targets = self.targets[:, None]  # (n_rows, 1, n_outputs)
            losses = (targets * log_probabilities).sum(2)
            residuals = log_probabilities.exp_().sub_(targets)
        else:
            index = self.targets[:, None, None].expand(-1, scores.shape[1], 1)
            losses = log_probabilities.gather(2, index)[:, :, 0]
            residuals = log_probabilities.exp_()
            residuals.scatter_add_(2, index, residuals.new_full((1, 1, 1), -1.0).expand_as(index))
        values = -(losses * self.weights).sum(0, dtype=torch.float64)
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

    def log_odds(self) -> Tensor:
        """Return the scores (n_problems, n_outputs) that are best if those of all rows are equal."""
        weights = self.weights.T.double()
        if self.targets.ndim == 1:
            totals = weights.new_zeros(len(weights), self.n_outputs).index_add_(1, self.targets, weights)
        else:
            totals = weights @ self.targets.double()
        logs = shares(totals, self.weights).log()
        return logs - logs.mean(1, keepdim=True)

    def select(self, problems: Tensor) -> Self:
        """Return the loss of some of the problems."""
        variance = None if self.label_variance is None else self.label_variance[problems]
        return type(self)(self.targets, self.weights[:, problems], self.n_outputs, variance)

    def on_rows(self, rows: Tensor) -> Self:
        """Return the loss of some of the rows, for problems that leave out the others."""
        return replace(self, targets=self.targets[rows], weights=self.weights[rows])


@dataclass(frozen=True)
class LogisticLoss:
    """Binary cross-entropy of one score; targets from 0 to 1 are (n_rows, n_problems) or (n_rows, 1).

    `label_variance` (n_problems,) is needed unless all targets are 0 or 1; see `average_curvature`.
    """

    targets: Tensor
    weights: Tensor
    label_variance: Tensor | None = None
    n_outputs = 1
    curvature = 0.25

    @cached_property
    def signs(self) -> Tensor:
        """The sign of scores away from the more probable class, of the shape of the targets."""
        return torch.where(self.targets > 0.5, -torch.ones_like(self.targets), torch.ones_like(self.targets))

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return each problem's loss (n_problems,) in float64, and its gradient in the scores."""
        flat = scores[:, :, 0]
        signed = flat * self.signs
        losses = torch.nn.functional.softplus(signed)
        if self.label_variance is not None:
            # the less probable class has the loss softplus(-signed) = softplus(signed) - signed
            losses -= torch.minimum(self.targets, 1 - self.targets) * signed
        values = (losses * self.weights).sum(0, dtype=torch.float64)
        residuals = torch.sigmoid(flat).sub_(self.targets).mul_(self.weights)
        return values, residuals[:, :, None]

    def curvatures(self, scores: Tensor) -> Tensor:
        """Return each row's weighted curvature along its score, of the shape of the scores."""
        return torch.sigmoid(scores) * torch.sigmoid(-scores) * self.weights[:, :, None]

    def curvatures_along(self, scores: Tensor, change: Tensor) -> Tensor:
        """Return each row's weighted curvature along a change of the scores, (n_rows, n_problems)."""
        return (self.curvatures(scores) * change.square())[:, :, 0]

    def log_odds(self) -> Tensor:
        """Return the scores (n_problems, 1) that are best if those of all rows are equal."""
        return shares((self.targets * self.weights).sum(0, dtype=torch.float64)[:, None], self.weights).logit()

    def select(self, problems: Tensor) -> Self:
        """Return the loss of some of the problems."""
        targets = self.targets if self.targets.shape[1] == 1 else self.targets[:, problems]
        variance = None if self.label_variance is None else self.label_variance[problems]
        return type(self)(targets, self.weights[:, problems], variance)

    def on_rows(self, rows: Tensor) -> Self:
        """Return the loss of some of the rows, for problems that leave out the others."""
        return replace(self, targets=self.targets[rows], weights=self.weights[rows])


Loss = SoftmaxLoss | LogisticLoss


def make_loss(targets: np.ndarray, row_weights: np.ndarray, n_outputs: int, dtype: Any, device: torch.device) -> Loss:
    """Return the loss of NumPy arrays of targets and of row weights (n_rows, 1 or n_problems).

    Targets are class numbers (n_rows,) or probabilities (n_rows, n_outputs) if there are several outputs, else numbers
    from zero to one (n_rows, 1 or n_problems). Only targets of a floating type may be other than zero and one.
    """
    weights = torch.from_numpy(np.ascontiguousarray(row_weights, dtype=dtype)).to(device)
    if n_outputs > 1 and targets.ndim == 1:
        labels = torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64)).to(device)
        return SoftmaxLoss(labels, weights, n_outputs)
    columns = torch.from_numpy(np.ascontiguousarray(targets.reshape(len(targets), -1), dtype=dtype)).to(device)
    variances = columns * (1 - columns) if targets.dtype.kind == "f" else None
    if n_outputs > 1:
        variance = None if variances is None else (variances.mean(1, keepdim=True) * weights).sum(0)
        return SoftmaxLoss(columns, weights, n_outputs, variance)
    weights = weights.expand(-1, max(columns.shape[1], weights.shape[1]))
    return LogisticLoss(columns, weights, None if variances is None else (variances * weights).sum(0))


def shares(totals: Tensor, weights: Tensor) -> Tensor:
    """Return totals of labels (n_problems, any) over those of the rows, at least a tenth of a row from 0 and 1."""
    least = LEAST_COUNT / (1 + len(weights))
    return (totals / weights.sum(0, dtype=torch.float64)[:, None]).clamp(least, 1 - least)


def average_curvature(loss: Loss, residuals: Tensor) -> Tensor:
    """Return each problem's mean curvature over rows and outputs, (n_problems,), estimated from the residuals.

    It is the weighted mean of (p - y)^2, which equals that of p * (1 - p) if probabilities are calibrated. A target
    probability q stands for labels y with the mean q and the variance q * (1 - q), which `label_variance` sums over the
    weighted rows. One number serves all outputs: with one per output L-BFGS needed a third more steps on real text.
    """
    weights = loss.weights
    tiny = torch.finfo(weights.dtype).tiny  # rows of weight zero have residuals of zero
    squares = residuals.square()
    squares = squares.mean(2) if squares.shape[2] > 1 else squares[:, :, 0]  # the mean of one number takes long
    total = (squares / weights.clamp_min(tiny)).sum(0)
    if loss.label_variance is not None:
        total = total + loss.label_variance
    return (total / weights.sum(0)).clamp_min(torch.finfo(weights.dtype).eps)
