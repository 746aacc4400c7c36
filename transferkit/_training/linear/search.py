"""All folds and all strengths of the penalty as batches of one problem."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from transferkit._algorithms.linear.predictions import UNTRAINED
from transferkit._training.device import choose_device
from transferkit._training.linear.coordinates import Vector
from transferkit._training.linear.geometry import Geometry, find_geometry
from transferkit._training.linear.hessian_blocks import BlockCoordinates, suits_blocks
from transferkit._training.linear.lbfgs import Solution, minimise
from transferkit._training.linear.logistic import (
    TOO_LARGE,
    LinearModel,
    Prior,
    make_loss,
    to_model,
    torch_dtype,
    train,
    widen_lopsided,
)
from transferkit._training.linear.losses import Loss
from transferkit._training.modes import with_own_modes

__all__ = ["CandidateFit", "LogisticSearch"]

BATCH_SCORES = 10_000  # on the CPU, strengths join one batch while it has so few scores; beyond, warm starts save more
BATCH_SCORES_GPU = 100_000_000
MANY_STEPS = 8  # after a candidate that took so many, the next ones get the blocks of the Hessian


@dataclass
class CandidateFit:
    """The models of all folds at one C and one scale of the blocks."""

    C: float
    scale_index: int
    scores: np.ndarray  # (n_rows, n_folds, n_scores), of all rows, held out or not
    n_iter: np.ndarray  # (n_folds,)
    converged: bool
    seconds: float
    point: Vector  # of n_folds * n_labels problems
    coordinates: Any
    geometry: Geometry
    prior: Prior | None
    trained: np.ndarray  # (n_folds, n_outputs), whether a fold's training part has the class; true of labels

    def models(self) -> list[LinearModel]:
        """Return the model of each fold."""
        weights, intercepts = self.geometry.weights(self.coordinates, self.point)
        n_folds = len(self.n_iter)
        weights = weights.reshape(len(weights), n_folds, -1)
        intercepts = intercepts.reshape(n_folds, -1)
        return [
            to_model(weights[:, fold], intercepts[fold], self.prior, int(self.n_iter[fold]), self.converged)
            for fold in range(n_folds)
        ]


class LogisticSearch:
    """Fits of the same rows under many masks and strengths, sharing one decomposition of the features.

    Parameters
    ----------
    X : array, CSR matrix or FeatureBlocks of shape (n_rows, n_features)
    targets : array of shape (n_rows,) or (n_rows, n_labels)
        Class numbers; or zeros and ones, for a logistic regression of each label.
    fold_weights : array of shape (n_rows, n_folds) or (n_rows, n_folds, n_labels)
        Weights of the rows in the training part of each fold, zero where a row is held out.
    n_outputs : int
        Number of classes, or 1 for two classes and for labels.
    prior : array of shape (n_outputs or n_labels, n_features), optional
        Where the penalty pulls to.
    block_scales : list of sequences of float, optional
        Candidates for the scales of X's blocks, each to be tried with every C; see `find_geometry`.
    """

    @with_own_modes()
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
        block_scales: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.given_dtype = X.dtype
        X, self.is_lopsided = widen_lopsided(X)
        self.device, self.dtype, self.n_outputs = choose_device(device), X.dtype, n_outputs
        self.prior = None if prior is None else Prior.of(X, prior, fit_intercept)
        self.tol, self.max_iter = tol, max_iter
        self.n_labels = targets.shape[1] if targets.ndim == 2 else 1
        self.targets = targets.reshape(len(targets), -1)
        self.n_folds = fold_weights.shape[1]
        self.fold_weights = self._spread(fold_weights)
        self.trained = np.ones((self.n_folds, n_outputs), dtype=bool)
        if n_outputs > 1:
            totals = [np.bincount(targets, weights, minlength=n_outputs) for weights in fold_weights.T]
            self.trained = np.stack(totals) > 0
        self.offset = None if self.prior is None else self.prior.make_offset(n_outputs, self.device)
        mean_weights = fold_weights.reshape(len(fold_weights), -1).mean(1)
        choices: Sequence[Sequence[float] | None] = block_scales or [None]
        try:
            self.geometries = [find_geometry(X, mean_weights, fit_intercept, self.device, scales) for scales in choices]
        except LinAlgError as error:
            raise ValueError(TOO_LARGE) from error

    def run(self, Cs: Sequence[float]) -> Iterator[CandidateFit]:
        """Yield the fits at each scale and C, from the smallest C, each batch starting where the last one ended."""
        n_rows, n_problems = self.fold_weights.shape
        limit = BATCH_SCORES if self.device.type == "cpu" else BATCH_SCORES_GPU
        size = 1 if self.is_lopsided else max(1, limit // (n_rows * n_problems * self.n_outputs))
        for scale_index in range(len(self.geometries)):
            done: list[CandidateFit] = []
            for begin in range(0, len(Cs), size):
                fits = self._fit_batch(scale_index, list(Cs[begin : begin + size]), done)
                done = [*done, *fits][-2:]
                yield from fits

    def fit(self, C: float, before: Sequence[CandidateFit] = ()) -> CandidateFit:
        """Return the fit at one C and the first scale, starting near fits that were made before, in any order."""
        nearest = sorted(before, key=lambda fit: abs(np.log(C / fit.C)), reverse=True)[-2:]
        return self._fit_batch(0, [C], nearest)[0]

    @with_own_modes()
    def refit(self, fits: Sequence[CandidateFit], row_weights: np.ndarray) -> list[LinearModel]:
        """Return the models of all rows for some candidates, each starting from the mean of its folds' models.

        The row weights are (n_rows, 1) or (n_rows, n_labels).
        """
        return [self._refit_one(fit, row_weights) for fit in fits]

    def _refit_one(self, fit: CandidateFit, row_weights: np.ndarray) -> LinearModel:
        labels = torch.arange(self.n_labels, device=self.device)
        loss = self._make_loss(np.repeat(row_weights, self.n_labels // row_weights.shape[1], axis=1), 1)
        coordinates = fit.geometry.coordinates(loss, self._tensor([fit.C] * self.n_labels))
        folds = (self.n_folds, self.n_labels, self.n_outputs)
        mean = fit.point.map(lambda part: part.view(-1, *folds).mean(1))
        start = coordinates.transfer(mean, fit.coordinates.select(labels))
        offset = self._tile_offset(1)
        point, n_iter, converged = train(coordinates, loss, start, offset, tol=self.tol, max_iter=self.max_iter)
        model = to_model(*fit.geometry.weights(coordinates, point), self.prior, n_iter, converged)
        return model.astype(self.given_dtype)

    @with_own_modes()
    def _fit_batch(self, scale_index: int, Cs: list[float], done: list[CandidateFit]) -> list[CandidateFit]:
        began = time.perf_counter()
        geometry, n_problems = self.geometries[scale_index], self.n_folds * self.n_labels
        weights = np.tile(self.fold_weights, (1, len(Cs)))
        loss = self._make_loss(weights, len(Cs) * self.n_folds)  # problem = (C, fold, label)
        coordinates = geometry.coordinates(loss, self._tensor(np.repeat(Cs, n_problems)))
        offset = self._offset_folds(len(Cs))
        start = coordinates.zeros(self.n_outputs)
        if done:
            start = self._follow_path(coordinates, Cs, done)
            last = done[-1]
            hard = last.n_iter.max() >= MANY_STEPS or isinstance(last.coordinates, BlockCoordinates)
            if hard and self.n_outputs > 1 and suits_blocks(coordinates):
                scores = coordinates.scores(start)
                scores = scores if offset is None else scores + offset
                coordinates = BlockCoordinates.at(coordinates, loss, scores)
        if self.is_lopsided:
            solution = self._train_one_by_one(coordinates, loss, start, offset)
        else:
            options: dict[str, Any] = {"offset": offset, "tol": self.tol, "max_iter": self.max_iter}
            solution = minimise(coordinates, loss, start, lenient=True, **options)
        seconds = (time.perf_counter() - began) / len(Cs)
        fits = []
        for i, C in enumerate(Cs):
            problems = torch.arange(i * n_problems, (i + 1) * n_problems, device=self.device)
            fits.append(
                CandidateFit(
                    C=C,
                    scale_index=scale_index,
                    scores=solution.scores[:, problems].view(len(weights), self.n_folds, -1).cpu().numpy(),
                    n_iter=solution.n_iter[problems.cpu()].view(self.n_folds, -1).amax(1).numpy(),
                    converged=bool(solution.converged[problems].all()),
                    seconds=seconds,
                    point=solution.point.select(problems),
                    coordinates=coordinates.select(problems),
                    geometry=geometry,
                    prior=self.prior,
                    trained=self.trained,
                )
            )
        return fits

    def _train_one_by_one(self, coordinates: Any, loss: Loss, start: Vector, offset: torch.Tensor | None) -> Solution:
        """Train problems that share no Hessian: an outlier is in some, and makes directions look flat there."""
        found = []
        for number in range(start.coords.shape[1]):
            problem = torch.tensor([number], device=self.device)
            own = offset if offset is None or offset.shape[1] == 1 else offset[:, problem]
            part = coordinates.select(problem), loss.select(problem), start.select(problem), own
            found.append(train(*part, tol=self.tol, max_iter=self.max_iter))
        points, n_iter, converged = zip(*found, strict=True)
        coords = torch.cat([point.coords for point in points], 1)
        has_image = points[0].image is not points[0].coords
        point = Vector(coords, torch.cat([point.image for point in points], 1) if has_image else coords)
        scores = coordinates.scores(point) if offset is None else coordinates.scores(point) + offset
        values = loss.evaluate(scores)[0]
        n_steps, is_good = torch.tensor(n_iter), torch.tensor(converged, device=self.device)
        return Solution(point, scores, values, n_steps, torch.zeros_like(values), is_good)

    def _follow_path(self, coordinates: Any, Cs: list[float], done: list[CandidateFit]) -> Vector:
        """Return where the solutions of the last two strengths, continued in a straight line over log C, will be."""
        n_problems = self.n_folds * self.n_labels
        problems = torch.arange(n_problems, device=self.device).repeat(len(Cs))
        *before, last = (
            coordinates.transfer(fit.point.select(problems), fit.coordinates.select(problems)) for fit in done
        )
        if not before or done[-1].C == done[-2].C:
            return last
        distances = np.log(np.array(Cs) / done[-1].C) / np.log(done[-1].C / done[-2].C)
        factor = self._tensor(np.repeat(np.minimum(distances, 1), n_problems))
        return last.plus(factor, last.plus(-torch.ones_like(factor), before[0]))

    def _spread(self, fold_weights: np.ndarray) -> np.ndarray:
        """Return the weights of every problem of one candidate, (n_rows, n_folds * n_labels)."""
        if fold_weights.ndim == 2:
            fold_weights = np.repeat(fold_weights[:, :, None], self.n_labels, axis=2)
        return fold_weights.reshape(len(fold_weights), -1)

    def _make_loss(self, weights: np.ndarray, n_copies: int) -> Loss:
        if self.n_labels == 1:
            return make_loss(self.targets[:, 0], weights, self.n_outputs, self.dtype, self.device)[0]
        return make_loss(np.tile(self.targets, (1, n_copies)), weights, 1, self.dtype, self.device)[0]

    def _offset_folds(self, n_copies: int) -> torch.Tensor | None:
        """Return what is added to the scores of all folds: those of the prior, and `UNTRAINED` for missing classes."""
        offset = self._tile_offset(n_copies * self.n_folds)
        if self.trained.all():
            return offset
        missing = self._tensor(np.where(self.trained, 0.0, UNTRAINED)).repeat(n_copies, 1)[None]
        return missing if offset is None else offset + missing

    def _tile_offset(self, n_copies: int) -> torch.Tensor | None:
        return self.offset if self.offset is None or self.n_labels == 1 else self.offset.repeat(1, n_copies, 1)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.tensor(values, dtype=torch_dtype(self.dtype), device=self.device)
