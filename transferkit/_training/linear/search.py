"""Logistic regressions for many values of C and all folds, several at once."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from transferkit._algorithms.linear.predictions import UNTRAINED, LinearModel
from transferkit._algorithms.linear.targets import sum_class_weights
from transferkit._training.device import choose_device, threads_for, with_own_modes
from transferkit._training.linear.lbfgs import minimise
from transferkit._training.linear.logistic import (
    TOO_LARGE,
    can_form_hessian,
    minimise_with_restarts,
    upcast_if_lopsided,
    with_hessian,
)
from transferkit._training.linear.losses import Loss, make_loss
from transferkit._training.linear.preconditioning import EigenMap, Vector
from transferkit._training.linear.problem import Design, LinearProblem, Prior

__all__ = ["CandidateFit", "LogisticSearch"]

BATCH_SCORES = 10_000  # of the values of C fitted together on the CPU; beyond, warm starts save more time
BATCH_SCORES_GPU = 100_000_000
STEPS_BEFORE_HESSIAN = 8  # once a candidate has taken so many steps, the next ones use the blocks of the Hessian


@dataclass
class CandidateFit:
    """The models of all folds at one C and one candidate for the block scales."""

    C: float
    scale_index: int
    scores: np.ndarray  # (n_rows, n_folds, n_scores), of all rows, held out or not
    n_iter: np.ndarray  # (n_folds,)
    converged: bool
    seconds: float
    problem: LinearProblem  # n_folds * n_labels problems
    u: Vector
    needed_hessian: bool  # had one, or took so many steps that the next fit of a path should have one

    @with_own_modes()
    @threads_for()
    def models(self) -> list[LinearModel]:
        """Return the model of each fold."""
        coef, intercept = self.problem.weights(self.u)
        pairs = zip(np.split(coef, len(self.n_iter)), np.split(intercept, len(self.n_iter)), strict=True)
        return [
            LinearModel(np.ascontiguousarray(weights.T).T, of_fold, int(n_iter), self.converged)
            for (weights, of_fold), n_iter in zip(pairs, self.n_iter, strict=True)
        ]

    def last_model(self) -> LinearModel:
        """Return the model of the last fold."""
        return self.models()[-1]


class LogisticSearch:
    """Fits of the same rows under many fold masks and values of C, sharing one decomposition of the features.

    Parameters
    ----------
    targets : array of shape (n_rows,), (n_rows, n_outputs) or (n_rows, n_labels)
        Class numbers, or probabilities of several classes; or zeros and ones, or probabilities, for a logistic
        regression of each label. Probabilities are of a floating type.
    fold_weights : array of shape (n_rows, n_folds) or (n_rows, n_folds, n_labels)
        Weights of the rows in the training part of each fold, zero for held-out rows.
    n_outputs : int
        Number of classes, or 1 for two classes and for labels.
    prior : array of shape (n_outputs or n_labels, n_features), optional
        Weights that the penalty pulls to.
    block_scales : list of sequences of float, optional
        Candidates for the scales of X's blocks, each tried with every C; see `Design`.
    offsets : array of shape (n_rows, n_folds, n_outputs), optional
        Added to the scores of each fold's model, and to those that fits return. Not for several labels.
    """

    @with_own_modes()
    @threads_for()
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
        offsets: np.ndarray | None = None,
    ) -> None:
        self.given_dtype = X.dtype
        X, self.is_lopsided = upcast_if_lopsided(X)
        self.device, self.dtype, self.n_outputs = choose_device(device), X.dtype, n_outputs
        self.tol, self.max_iter = tol, max_iter
        self.n_labels = targets.shape[1] if targets.ndim == 2 and n_outputs == 1 else 1
        self.targets = targets
        self.n_folds = fold_weights.shape[1]
        self.fold_weights = self._spread(fold_weights)  # (n_rows, n_folds * n_labels)
        self.trained = np.ones((self.n_folds, n_outputs), dtype=bool)
        if n_outputs > 1:
            self.trained = np.stack([sum_class_weights(targets, weights, n_outputs) for weights in fold_weights.T]) > 0
        pull = None if prior is None else Prior.of(X, prior, fit_intercept)
        self.offset = None if pull is None else pull.make_offset(n_outputs, self.device)
        self.offsets = offsets
        mean_weights = fold_weights.reshape(len(fold_weights), -1).mean(1)
        options: dict[str, Any] = {"fit_intercept": fit_intercept, "device": self.device, "prior": pull}
        self.block_scales: Sequence[Sequence[float] | None] = block_scales or [None]
        self.make_design = partial(Design, X, mean_weights, **options)
        self.designs = WeakValueDictionary[int, Design]()  # by the number of the scales, as long as a fit needs them

    def on_fold(self, fold: int) -> Self:
        """Return a search on one of the folds, which shares the decompositions."""
        part = copy.copy(self)
        part.n_folds = 1
        part.fold_weights = self.fold_weights[:, fold * self.n_labels : (fold + 1) * self.n_labels]
        part.trained = self.trained[fold : fold + 1]
        part.offsets = None if self.offsets is None else self.offsets[:, fold : fold + 1]
        return part

    def run(self, Cs: Sequence[float]) -> Iterator[CandidateFit]:
        """Yield the fits at each scale and C, C ascending; each batch starts from the solutions of the last one."""
        n_rows, n_problems = self.fold_weights.shape
        limit = BATCH_SCORES if self.device.type == "cpu" else BATCH_SCORES_GPU
        size = 1 if self.is_lopsided else max(1, limit // (n_rows * n_problems * self.n_outputs))
        for scale_index in range(len(self.block_scales)):
            done: list[CandidateFit] = []
            for begin in range(0, len(Cs), size):
                fits = self._fit_batch(scale_index, list(Cs[begin : begin + size]), done)
                done = [*done, *fits][-2:]
                yield from fits

    def fit(self, C: float, before: Sequence[Any] = (), scale_index: int = 0) -> CandidateFit:
        """Return the fit at one C and scale, starting near fits of the same folds that were made before, in any order.

        If none has this scale, they may be fits of other scales, or of some of the blocks.
        """
        design = self._find_design(scale_index)
        known = [fit for fit in before if isinstance(fit, CandidateFit)]
        nearest = sorted(known, key=lambda fit: abs(np.log(C / fit.C)), reverse=True)
        same = [fit for fit in nearest if fit.problem.design is design]
        return self._fit_batch(scale_index, [C], same[-2:] or nearest[-1:])[0]

    @with_own_modes()
    @threads_for()
    def refit(
        self, fits: Sequence[CandidateFit], row_weights: np.ndarray, offset: np.ndarray | None = None
    ) -> list[LinearModel]:
        """Return the models of all rows for some candidates, each starting from the mean of its folds' models.

        The row weights are (n_rows, 1) or (n_rows, n_labels), the offset of the scores (n_rows, n_outputs).
        """
        return [self._refit_one(fit, row_weights, offset) for fit in fits]

    def _refit_one(self, fit: CandidateFit, row_weights: np.ndarray, offset: np.ndarray | None) -> LinearModel:
        labels = torch.arange(self.n_labels, device=self.device)
        loss = self._make_loss(np.repeat(row_weights, self.n_labels // row_weights.shape[1], axis=1), 1)
        design = self._find_design(fit.scale_index)
        of_rows = None if offset is None else self._tensor(offset[:, None])
        offsets = add_offsets(self._tile_offset(1), of_rows)
        problem = design.make_problem(
            loss, self._tensor([fit.C] * self.n_labels), offsets, is_informed=offset is not None
        )
        folds = (len(fit.n_iter), self.n_labels, self.n_outputs)
        mean = fit.u.map(lambda part: part.view(-1, *folds).mean(1))
        start = problem.preconditioner.convert(mean, fit.problem.preconditioner.select(labels))
        u, n_iter, converged = minimise_with_restarts(problem, start, tol=self.tol, max_iter=self.max_iter)
        return LinearModel(*problem.weights(u), n_iter, converged).astype(self.given_dtype)

    @with_own_modes()
    @threads_for()
    def _find_design(self, scale_index: int) -> Design:
        """Return the design with these block scales, decomposed when it is needed first."""
        design = self.designs.get(scale_index)
        if design is None:
            design = self.designs[scale_index] = self.make_design(block_scales=self.block_scales[scale_index])
            try:
                _ = design.decomposition
                design.X = None  # copies of blocks that the decomposition does not need
            except LinAlgError as error:
                raise ValueError(TOO_LARGE) from error
        return design

    @with_own_modes()
    @threads_for()
    def _fit_batch(self, scale_index: int, Cs: list[float], done: list[CandidateFit]) -> list[CandidateFit]:
        began = time.perf_counter()
        n_problems = self.n_folds * self.n_labels  # of one C
        loss = self._make_loss(np.tile(self.fold_weights, (1, len(Cs))), len(Cs) * self.n_folds)
        C_of_problems = self._tensor(np.repeat(Cs, n_problems))  # problem = (C, fold, label)
        offset, is_informed = self._offset_folds(len(Cs)), self.offsets is not None
        problem = self._find_design(scale_index).make_problem(loss, C_of_problems, offset, is_informed=is_informed)
        is_path = bool(done) and done[-1].problem.design is problem.design
        start = self._follow_path(problem, Cs, done) if is_path else self._start_near(problem, done)
        if is_path and self.n_outputs > 1 and done[-1].needed_hessian and can_form_hessian(problem.preconditioner):
            scores = problem.add_offset(problem.preconditioner.scores(start))
            problem = replace(problem, preconditioner=with_hessian(problem.preconditioner, loss, scores))
        u, scores, n_iter, converged = self._minimise(problem, start)
        preconditioner, is_refined = problem.preconditioner, False
        if isinstance(preconditioner, EigenMap) and preconditioner.hessian is not None:
            # its blocks take more memory than the fits, which are kept
            problem, is_refined = replace(problem, preconditioner=replace(preconditioner, hessian=None)), True
        seconds = (time.perf_counter() - began) / len(Cs)
        fits = []
        for i, C in enumerate(Cs):
            problems = torch.arange(i * n_problems, (i + 1) * n_problems, device=self.device)
            fits.append(
                CandidateFit(
                    C=C,
                    scale_index=scale_index,
                    scores=scores[:, problems].view(len(self.targets), self.n_folds, -1).cpu().numpy(),
                    n_iter=n_iter[problems.cpu()].view(self.n_folds, -1).amax(1).numpy(),
                    converged=bool(converged[problems].all()),
                    seconds=seconds,
                    problem=problem if len(Cs) == 1 else problem.select(problems),
                    u=u if len(Cs) == 1 else u.select(problems),
                    needed_hessian=is_refined or bool(n_iter[problems.cpu()].max() >= STEPS_BEFORE_HESSIAN),
                )
            )
        return fits

    def _minimise(
        self, problem: LinearProblem, start: Vector
    ) -> tuple[Vector, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the solutions, their scores, numbers of steps, and which have converged."""
        if not self.is_lopsided:
            return self._minimise_on_used_rows(problem, start)
        # an outlier is in some problems only, which therefore share no Hessian, and makes directions look flat there
        found = []
        for number in range(start.coords.shape[1]):
            one = torch.tensor([number], device=self.device)
            options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter}
            found.append(minimise_with_restarts(problem.select(one), start.select(one), **options))
        points, n_iter, converged = zip(*found, strict=True)
        coords = torch.cat([point.coords for point in points], 1)
        has_image = points[0].image is not points[0].coords
        u = Vector(coords, torch.cat([point.image for point in points], 1) if has_image else coords)
        scores = problem.add_offset(problem.preconditioner.scores(u))
        return u, scores, torch.tensor(n_iter), torch.tensor(converged, device=self.device)

    def _minimise_on_used_rows(
        self, problem: LinearProblem, start: Vector
    ) -> tuple[Vector, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what `_minimise` returns; rows that no problem uses enter only the scores at the end."""
        options: dict[str, Any] = {"loose": True, "tol": self.tol, "max_iter": self.max_iter}
        is_used = problem.loss.weights.any(1)
        if bool(is_used.all()):
            solution = minimise(problem, start, **options)
            return solution.u, solution.scores, solution.n_iter, solution.converged
        rows, whole = is_used.nonzero()[:, 0], problem.preconditioner
        part = problem.on_rows(rows)
        solution = minimise(part, whole.restrict(start, part.preconditioner, rows), **options)
        u = whole.extend(solution.u, part.preconditioner, rows)
        return u, problem.add_offset(whole.scores(u)), solution.n_iter, solution.converged

    def _follow_path(self, problem: LinearProblem, Cs: list[float], done: list[CandidateFit]) -> Vector:
        """Return the extrapolation of the last two solutions, in a straight line over log C."""
        n_problems = self.n_folds * self.n_labels
        problems = torch.arange(n_problems, device=self.device).repeat(len(Cs))
        *before, last = (
            problem.preconditioner.convert(fit.u.select(problems), fit.problem.preconditioner.select(problems))
            for fit in done
        )
        if not before or done[-1].C == done[-2].C:
            return last
        distances = np.log(np.array(Cs) / done[-1].C) / np.log(done[-1].C / done[-2].C)
        factor = self._tensor(np.repeat(np.minimum(distances, 1), n_problems))
        return last.plus(factor, last.plus(-1, before[0]))

    def _start_near(self, problem: LinearProblem, done: list[CandidateFit]) -> Vector:
        """Return the weights of a fit on other scales or blocks, or zeros if there is none, or no such weights."""
        if done and isinstance(problem.preconditioner, EigenMap):
            coef, intercept = done[-1].problem.weights(done[-1].u)
            taken = problem.design.take_over(coef, done[-1].problem.design.widths)
            if taken is not None:
                return problem.from_weights(taken, intercept)
        return problem.start()

    def _spread(self, fold_weights: np.ndarray) -> np.ndarray:
        """Return the weights of every problem of one candidate, (n_rows, n_folds * n_labels)."""
        if fold_weights.ndim == 2:
            fold_weights = np.repeat(fold_weights[:, :, None], self.n_labels, axis=2)
        return fold_weights.reshape(len(fold_weights), -1)

    def _make_loss(self, weights: np.ndarray, n_copies: int) -> Loss:
        targets = self.targets if self.n_labels == 1 else np.tile(self.targets, (1, n_copies))
        return make_loss(targets, weights, self.n_outputs, self.dtype, self.device)

    def _offset_folds(self, n_copies: int) -> torch.Tensor | None:
        """Return the offset of the scores of all folds: of the prior, as given, and `UNTRAINED` for missing classes."""
        offset = self._tile_offset(n_copies * self.n_folds)
        if self.offsets is not None:
            offset = add_offsets(offset, self._tensor(self.offsets).repeat(1, n_copies, 1))
        if self.trained.all():
            return offset
        return add_offsets(offset, self._tensor(np.where(self.trained, 0.0, UNTRAINED)).repeat(n_copies, 1)[None])

    def _tile_offset(self, n_copies: int) -> torch.Tensor | None:
        return self.offset if self.offset is None or self.n_labels == 1 else self.offset.repeat(1, n_copies, 1)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(values, dtype=self.dtype)).to(self.device)


def add_offsets(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    """Return the sum of two offsets, None being zero."""
    return first if second is None else second if first is None else first + second
