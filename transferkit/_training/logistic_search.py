"""All folds and all strengths of the penalty as batches of one problem."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transferkit._training.blocks import BlockCoordinates, suits_blocks
from transferkit._training.coordinates import Vector
from transferkit._training.device import choose_device
from transferkit._training.geometry import Geometry, find_geometry
from transferkit._training.lbfgs import minimise
from transferkit._training.linear_classifier import LinearModel, make_loss, make_offset, to_model, torch_dtype
from transferkit._training.losses import Loss

__all__ = ["FoldFit", "LogisticSearch"]

BATCH_SCORES = 100_000  # on the CPU, strengths join one batch while it has so few scores; warm starts save more
BATCH_SCORES_GPU = 100_000_000
MANY_STEPS = 8  # after a candidate that took so many, the next ones get the blocks of the Hessian


@dataclass
class FoldFit:
    """The models of all folds at one C."""

    C: float
    scores: np.ndarray  # (n_rows, n_folds, n_outputs), of all rows, held out or not
    n_iter: np.ndarray  # (n_folds,)
    converged: bool
    seconds: float
    point: Vector
    coordinates: Any
    geometry: Geometry
    prior: np.ndarray | None

    def models(self) -> list[LinearModel]:
        """Return the model of each fold."""
        weights, intercepts = self.geometry.weights(self.coordinates, self.point)
        return [
            to_model(weights[:, fold], intercepts[fold], self.prior, int(self.n_iter[fold]), self.converged)
            for fold in range(len(self.n_iter))
        ]


class LogisticSearch:
    """Fits of the same rows under many masks and strengths, sharing one decomposition of the features.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
    targets : array of shape (n_rows,)
        Class numbers.
    fold_weights : array of shape (n_rows, n_folds)
        Weights of the rows in the training part of each fold, zero where a row is held out.
    n_outputs : int
        Number of classes, or 1 for two classes.
    prior : array of shape (n_outputs, n_features), optional
        Where the penalty pulls to.
    """

    def __init__(
        self,
        X: Any,
        targets: np.ndarray,
        fold_weights: np.ndarray,
        *,
        n_outputs: int,
        fit_intercept: bool,
        tol: float,
        max_iter: int,
        device: str,
        prior: np.ndarray | None = None,
    ) -> None:
        self.device, self.dtype, self.n_outputs = choose_device(device), X.dtype, n_outputs
        self.targets, self.fold_weights, self.prior = targets, fold_weights, prior
        self.tol, self.max_iter = tol, max_iter
        self.offset = None if prior is None else make_offset(X, prior, n_outputs, self.device)
        self.geometry = find_geometry(X, fold_weights.mean(1), fit_intercept, self.device)

    def run(self, Cs: Sequence[float]) -> Iterator[FoldFit]:
        """Yield the fits at each C, from the smallest, each batch starting where the last one ended."""
        n_rows, n_folds = self.fold_weights.shape
        limit = BATCH_SCORES if self.device.type == "cpu" else BATCH_SCORES_GPU
        size = max(1, limit // (n_rows * n_folds * self.n_outputs))
        last = None
        for begin in range(0, len(Cs), size):
            batch = list(Cs[begin : begin + size])
            fits = self._fit_batch(batch, last)
            last = fits[-1]
            yield from fits

    def refit(self, best: FoldFit, row_weights: np.ndarray) -> LinearModel:
        """Return the model of all rows at the best C, starting from the mean of its folds' models."""
        loss, _ = self._make_loss(row_weights[:, None])
        coordinates = self.geometry.coordinates(loss, self._tensor([best.C]))
        first = torch.zeros(1, dtype=torch.int64, device=self.device)
        mean = Vector(*(part.mean(1, keepdim=True) for part in best.point))
        if best.point.image is best.point.coords:
            mean = Vector(mean.coords, mean.coords)
        start = coordinates.transfer(mean, best.coordinates.select(first))
        solution = minimise(coordinates, loss, start, offset=self.offset, tol=self.tol, max_iter=self.max_iter)
        weights, intercepts = self.geometry.weights(coordinates, solution.point)
        return to_model(weights, intercepts, self.prior, int(solution.n_iter[0]), bool(solution.converged[0]))

    def _fit_batch(self, Cs: list[float], last: FoldFit | None) -> list[FoldFit]:
        began = time.perf_counter()
        n_folds = self.fold_weights.shape[1]
        loss, _ = self._make_loss(np.tile(self.fold_weights, (1, len(Cs))))  # problem = i_C * n_folds + fold
        coordinates = self.geometry.coordinates(loss, self._tensor(np.repeat(Cs, n_folds)))
        start = coordinates.zeros(self.n_outputs)
        if last is not None:
            folds = torch.arange(n_folds, device=self.device).repeat(len(Cs))
            start = coordinates.transfer(last.point.select(folds), last.coordinates.select(folds))
            hard = last.n_iter.max() >= MANY_STEPS or isinstance(last.coordinates, BlockCoordinates)
            if hard and suits_blocks(coordinates, self.n_outputs):
                scores = coordinates.scores(start)
                scores = scores if self.offset is None else scores + self.offset
                coordinates = BlockCoordinates.at(coordinates, loss, scores)
        solution = minimise(coordinates, loss, start, offset=self.offset, tol=self.tol, max_iter=self.max_iter)
        seconds = (time.perf_counter() - began) / len(Cs)
        fits = []
        for i, C in enumerate(Cs):
            problems = torch.arange(i * n_folds, (i + 1) * n_folds, device=self.device)
            fits.append(
                FoldFit(
                    C=C,
                    scores=solution.scores[:, problems].cpu().numpy(),
                    n_iter=solution.n_iter[problems.cpu()].numpy(),
                    converged=bool(solution.converged[problems].all()),
                    seconds=seconds,
                    point=solution.point.select(problems),
                    coordinates=coordinates.select(problems),
                    geometry=self.geometry,
                    prior=self.prior,
                )
            )
        return fits

    def _make_loss(self, weights: np.ndarray) -> tuple[Loss, int]:
        return make_loss(self.targets, weights, self.n_outputs, self.dtype, self.device)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.tensor(values, dtype=torch_dtype(self.dtype), device=self.device)
