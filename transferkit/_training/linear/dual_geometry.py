"""Coordinates in the space of the rows, for sparse features that outnumber them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.linear.coordinates import Coordinates, DualCoordinates, Vector
from transferkit._training.linear.features import Kernel
from transferkit._training.linear.losses import Loss

__all__ = ["DualGeometry"]


class DualGeometry:
    """Weights as combinations of the rows; one power iteration scales the coordinates."""

    def __init__(self, X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device) -> None:
        self.kernel = Kernel(X, row_weights, fit_intercept, device)
        self.fit_intercept = fit_intercept
        self.mean = X.T @ (row_weights / row_weights.sum()) if fit_intercept else np.zeros(X.shape[1])
        self.total, self.n_rows = float(row_weights.sum()), X.shape[0]
        vector = torch.ones(self.n_rows, 1, dtype=self.kernel.share.dtype, device=device)
        vector[::2] = -1
        for _ in range(8):
            vector = self.kernel.times(
                vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)
            )  # 0 if all alike
        self.largest = float(vector.norm())

    def coordinates(self, loss: Loss, C: Tensor) -> DualCoordinates:
        totals = loss.weights.sum(0)
        share = loss.curvature * totals / self.n_rows  # mean weight of a row times the curvature
        intercept_scale = ((share * self.largest + 1 / C) / (loss.curvature * totals)).sqrt()
        return DualCoordinates(self.kernel, C, intercept_scale, totals, self.fit_intercept)

    def start(
        self,
        coordinates: DualCoordinates,
        loss: Loss,
        weights: np.ndarray,
        intercepts: np.ndarray,
        offset: Tensor | None = None,
    ) -> Vector:
        # Weights outside the span of the rows have no dual. At an optimum the dual is -C * residuals, so take
        # those residuals, and of their multiples the one with the lowest objective.
        flat = weights.reshape(-1, weights.shape[2])
        scores = torch.from_numpy((self.kernel.X @ flat.T).astype(flat.dtype)).to(coordinates.C)
        scores = scores.view(self.n_rows, *weights.shape[:2]) + torch.from_numpy(intercepts).to(coordinates.C)
        _, residuals = loss.evaluate(scores if offset is None else scores + offset)
        shift = torch.from_numpy((flat @ self.mean).reshape(intercepts.shape)).to(coordinates.C)
        point = coordinates.start(-coordinates.C[:, None] * residuals, torch.from_numpy(intercepts).to(shift) + shift)
        best = coordinates.zeros(weights.shape[1])
        lowest = evaluate(coordinates, loss, best, offset)
        for power in range(-4, 5):
            factor = torch.full_like(coordinates.C, 4.0**power)
            trial = point.times(factor)
            if self.fit_intercept:
                trial = Vector(*(torch.cat([part[:-1], point.coords[-1:]]) for part in trial))
            values = evaluate(coordinates, loss, trial, offset)
            better = (values < lowest)[:, None]
            best = Vector(*(torch.where(better, new, old) for new, old in zip(trial, best, strict=True)))
            lowest = torch.minimum(values, lowest)
        return best

    def weights(self, coordinates: DualCoordinates, point: Vector) -> tuple[np.ndarray, np.ndarray]:
        dual, intercepts = coordinates.weights(point)
        flat = self.kernel.to_weights(dual.flatten(1).cpu().numpy())
        shift = (self.mean @ flat).reshape(intercepts.shape)
        return flat.reshape(-1, *dual.shape[1:]), (intercepts.cpu().numpy() - shift).astype(flat.dtype)


def evaluate(coordinates: Coordinates, loss: Loss, point: Vector, offset: Tensor | None) -> Tensor:
    """Return the objective of each problem at a point."""
    scores = coordinates.scores(point)
    losses, _ = loss.evaluate(scores if offset is None else scores + offset)
    return losses + coordinates.penalty(point, point) / 2
