"""A penalised linear problem in preconditioned variables, and the features that several such problems share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._training.linear.decomposition import decompose
from transferkit._training.linear.losses import Loss
from transferkit._training.linear.preconditioning import Preconditioner, Vector

__all__ = ["Design", "LinearProblem", "Prior"]


@dataclass(frozen=True)
class Prior:
    """Weights that the penalty pulls to, and their mean score, which becomes part of the intercept if there is one.

    If features are far from zero, so are the scores of a prior, and an intercept that starts at zero would have to
    compensate for that.
    """

    weights: np.ndarray  # (n_outputs or n_labels, n_features)
    scores: np.ndarray  # (n_rows, n_outputs or n_labels), minus their mean if there is an intercept
    mean_score: np.ndarray  # (n_outputs or n_labels,)

    @classmethod
    def of(cls, X: Any, weights: np.ndarray, fit_intercept: bool) -> "Prior":
        """Return the prior of these weights for the rows of X."""
        scores = np.asarray(X @ weights.T)
        mean = scores.mean(0) if fit_intercept else np.zeros(scores.shape[1], scores.dtype)
        return cls(weights, np.ascontiguousarray(scores - mean, dtype=X.dtype), mean)

    def make_offset(self, n_outputs: int, device: torch.device) -> Tensor:
        """Return the scores on a device, (n_rows, n_labels or 1, n_outputs)."""
        return torch.from_numpy(self.scores).to(device).view(len(self.scores), -1, n_outputs)


class Design:
    """The features of linear problems, prepared once for every C, fold and label.

    Weights are sought for blocks times their scales, as differences from the prior, in the variables of a
    preconditioner; they are returned for the features as they were given.

    Parameters
    ----------
    X : array, CSR matrix or FeatureBlocks of shape (n_rows, n_features)
    row_weights : array of shape (n_rows,)
        Positive, such as the mean of the row weights of all problems.
    prior : Prior, optional
    block_scales : sequence of float, optional
        The penalty of each block of X is divided by its scale squared; zero leaves a block out.
    """

    def __init__(
        self,
        X: Any,
        row_weights: np.ndarray,
        *,
        fit_intercept: bool,
        device: torch.device,
        prior: Prior | None = None,
        block_scales: Sequence[float] | None = None,
    ) -> None:
        self.prior, self.n_features = prior, X.shape[1]
        self.factors = None  # (n_features,), zero for blocks that are left out
        if block_scales is not None:
            widths = [block.shape[1] for block in X.blocks]
            self.factors = np.repeat(np.asarray(block_scales, dtype=X.dtype), widths)
            X = scale_blocks(X, block_scales)
        self.decomposition = decompose(X, row_weights, fit_intercept, device)

    def make_problem(self, loss: Loss, C: Tensor, offset: Tensor | None) -> "LinearProblem":
        """Return the problems of these losses, with one C each; the offset includes the scores of the prior."""
        return LinearProblem(self, loss, self.decomposition.precondition(loss, C), offset)

    def restore(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coef (n_problems * n_outputs, n_features) and intercept of weights (..., n_problems, n_outputs)."""
        intercept = intercepts.reshape(-1)
        columns = weights.reshape(len(weights), len(intercept))  # there may be no features
        if self.factors is not None:
            used = self.factors != 0
            scaled, columns = columns, np.zeros((self.n_features, columns.shape[1]), dtype=columns.dtype)
            columns[used] = scaled * self.factors[used, None]
        columns = np.ascontiguousarray(columns)  # so that X @ coef.T copies nothing
        if self.prior is not None:
            n_scores = len(self.prior.weights)  # of each fold
            of_folds = columns.reshape(self.n_features, -1, n_scores)
            of_folds += self.prior.weights.T[:, None]
            intercept = (intercept.reshape(-1, n_scores) - self.prior.mean_score).ravel().astype(intercept.dtype)
        return columns.T, intercept

    def reduce(self, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_columns, n_problems * n_outputs) and intercepts; the inverse of `restore`."""
        if self.prior is not None:
            coef, intercept = coef - self.prior.weights, (intercept + self.prior.mean_score).astype(coef.dtype)
        if self.factors is not None:
            used = self.factors != 0
            coef = coef[:, used] / self.factors[used]
        return coef.T, intercept


def scale_blocks(X: FeatureBlocks, scales: Sequence[float]) -> Any:
    """Return the blocks whose scales are positive times their scales; as a plain matrix if there is only one."""
    kept = [(block, scale) for block, scale in zip(X.blocks, scales, strict=True) if scale != 0]
    scaled = FeatureBlocks(*(block for block, _ in kept)).scale([scale for _, scale in kept])
    return scaled if len(kept) > 1 else scaled.blocks[0]


@dataclass(frozen=True)
class LinearProblem:
    """The objectives loss(scores(u) + offset) + ||weights(u)||^2 / (2 C) of n_problems problems."""

    design: Design
    loss: Loss
    preconditioner: Preconditioner
    offset: Tensor | None  # (n_rows or 1, n_problems or 1, n_outputs)

    def zeros(self) -> Vector:
        """Return the variables of weights that are all zero, or those of the prior."""
        return self.preconditioner.zeros(self.loss.n_outputs)

    def from_weights(self, coef: np.ndarray, intercept: np.ndarray) -> Vector:
        """Return the variables nearest to coef (n_problems * n_outputs, n_features) and intercept."""
        columns, intercepts = self.design.reduce(coef, intercept)
        shape = (-1, self.loss.n_outputs)
        return self.preconditioner.from_weights(
            columns.reshape(len(columns), *shape), intercepts.reshape(shape), self.loss, self.offset
        )

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        """Return coef (n_problems * n_outputs, n_features) and intercept (n_problems * n_outputs,) in NumPy."""
        return self.design.restore(*self.preconditioner.weights(u))

    def add_offset(self, scores: Tensor) -> Tensor:
        """Return scores (n_rows, n_problems, n_outputs) plus the offset."""
        return scores if self.offset is None else scores + self.offset

    def select(self, problems: Tensor) -> Self:
        """Return some of the problems."""
        offset = self.offset if self.offset is None or self.offset.shape[1] == 1 else self.offset[:, problems]
        preconditioner = self.preconditioner.select(problems)
        return replace(self, loss=self.loss.select(problems), preconditioner=preconditioner, offset=offset)
