"""Linear classifiers on several kernels of the same few rows, for all folds and strengths together."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from transferkit._training.device import choose_device
from transferkit._training.linear.coordinates import Vector, WhiteCoordinates
from transferkit._training.linear.lbfgs import Solution, minimise
from transferkit._training.linear.logistic import make_loss
from transferkit._training.modes import with_own_modes

__all__ = ["KernelFit", "KernelSearch"]

BATCH_SCORES = 100_000  # problems join one batch while they have so few scores: vectors stay in the cache
BATCH_SCORES_GPU = 50_000_000
LEAST_EIGENVALUE = 1e-6  # of the largest: what is below is rounding, as rows that repeat leave it


@dataclass
class KernelFit:
    """The fits of all folds on one kernel at one C; the model of the last fold as weights of the rows."""

    kernel: int
    C: float
    scores: np.ndarray  # (n_rows, n_folds, n_outputs or n_labels), of all rows, held out or not
    dual: np.ndarray  # (n_rows, n_outputs or n_labels)
    intercept: np.ndarray  # (n_outputs or n_labels,)
    converged: bool
    seconds: float
    point: Vector  # of the problems of this fit
    coordinates: "KernelCoordinates"


@dataclass(frozen=True)
class StackedRoots:
    """Roots Z of kernels Z @ Z.T, as features of problems that each use one of them."""

    roots: Tensor  # (n_kernels, n_rows, n_rows)
    kernels: tuple[int, ...]  # that are used, ascending
    ends: tuple[int, ...]  # one past the last problem of each

    @property
    def n_columns(self) -> int:
        """Number of columns of a root."""
        return self.roots.shape[2]

    @classmethod
    def of(cls, roots: Tensor, kernel_of_problem: Tensor) -> Self:
        """Return the features of problems in ascending order of their kernels."""
        kernels, counts = torch.unique_consecutive(kernel_of_problem.cpu(), return_counts=True)
        return cls(roots, tuple(kernels.tolist()), tuple(counts.cumsum(0).tolist()))

    def times(self, weights: Tensor) -> Tensor:
        """Return Z @ weights, (n_rows, n_problems * n_outputs)."""
        return self._multiply(weights, self.roots)

    def transposed_times(self, residuals: Tensor) -> Tensor:
        """Return Z.T @ residuals, of the same shape."""
        return self._multiply(residuals, self.roots.transpose(1, 2))

    def _multiply(self, columns: Tensor, matrices: Tensor) -> Tensor:
        width, product, begin = columns.shape[1] // self.ends[-1], torch.empty_like(columns), 0
        for kernel, end in zip(self.kernels, self.ends, strict=True):
            part = slice(begin * width, end * width)
            product[:, part] = matrices[kernel] @ columns[:, part]
            begin = end
        return product


class KernelCoordinates(WhiteCoordinates):
    """Coordinates of problems on different kernels, each in the eigenvectors of its own."""

    memory = 10

    def __init__(self, roots: Tensor, kernel_of_problem: Tensor, scale: Tensor, C: Tensor, bound: float) -> None:
        super().__init__(StackedRoots.of(roots, kernel_of_problem), None, scale, C, bound)  # type: ignore[arg-type]
        self.roots, self.kernel_of_problem = roots, kernel_of_problem

    def select(self, problems: Tensor) -> Self:
        """Return the coordinates of some of the problems."""
        parts = (self.kernel_of_problem[problems], self.scale[:, problems], self.C[problems])
        return type(self)(self.roots, *parts, self.loss_curvature)


class KernelSearch:
    """Fits of the same rows under many kernels, masks and strengths; each kernel is decomposed once.

    Parameters
    ----------
    kernels : array of shape (n_kernels, n_rows, n_rows)
        Inner products of the rows' features.
    targets : array of shape (n_rows,) or (n_rows, n_labels)
        Class numbers; or zeros and ones, for a logistic regression of each label.
    fold_weights : array of shape (n_rows, n_folds) or (n_rows, n_folds, n_labels)
        Weights of the rows in the training part of each fold, zero where a row is held out.
    n_outputs : int
        Number of classes, or 1 for two classes and for labels.
    """

    @with_own_modes()
    def __init__(
        self,
        kernels: np.ndarray,
        targets: np.ndarray,
        fold_weights: np.ndarray,
        *,
        n_outputs: int,
        fit_intercept: bool,
        tol: float,
        max_iter: int,
        device: str,
    ) -> None:
        self.device, self.n_outputs, self.tol, self.max_iter = choose_device(device), n_outputs, tol, max_iter
        self.fit_intercept = fit_intercept
        self.targets = targets.reshape(len(targets), -1)
        n_rows, n_labels = self.targets.shape
        by_label = fold_weights.reshape(n_rows, fold_weights.shape[1], -1)
        spread = np.repeat(by_label, n_labels // by_label.shape[2], axis=2)
        self.fold_weights = spread.reshape(n_rows, -1).astype(np.float32)
        total = by_label.mean((1, 2))
        self.total = float(total.sum())
        share = total / total.sum() if fit_intercept else np.zeros(len(total))
        kernel = torch.from_numpy(kernels).double().to(self.device)
        self.share = torch.from_numpy(share).to(kernel)[:, None]
        self.means = kernel @ self.share  # (n_kernels, n_rows, 1), of the rows of each kernel
        centred = kernel - self.means - self.means.mT + self.share.T @ self.means
        values, self.vectors = torch.linalg.eigh(centred)
        self.values = torch.where(values > LEAST_EIGENVALUE * values[:, -1:], values, 0.0)
        self.roots = (self.vectors * self.values.sqrt()[:, None]).float()

    def run(self, Cs: Sequence[float]) -> Iterator[KernelFit]:
        """Yield the fits on each kernel at each C, ascending; larger problems start where the last C ended."""
        limit = BATCH_SCORES if self.device.type == "cpu" else BATCH_SCORES_GPU
        of_kernel = self.fold_weights.size * self.n_outputs
        n_kernels = min(len(self.roots), max(1, limit // of_kernel))
        n_Cs = max(1, limit // (of_kernel * n_kernels))
        for first in range(0, len(self.roots), n_kernels):
            kernels = list(range(first, min(first + n_kernels, len(self.roots))))
            last = None
            for begin in range(0, len(Cs), n_Cs):
                fits, last = self._fit_batch(kernels, list(Cs[begin : begin + n_Cs]), last)
                yield from fits

    def fit(self, C: float, before: Sequence[KernelFit] = ()) -> KernelFit:
        """Return the fit on the first kernel at one C, starting from the nearest C of fits that were made before."""
        near = min(before, key=lambda fit: abs(np.log(C / fit.C)), default=None)
        last = None if near is None else (near.point, near.coordinates)
        return self._fit_batch([0], [C], last)[0][0]

    @with_own_modes()
    def _fit_batch(
        self, kernels: list[int], Cs: list[float], last: tuple[Vector, KernelCoordinates] | None
    ) -> tuple[list[KernelFit], tuple[Vector, KernelCoordinates]]:
        began = time.perf_counter()
        n_folds = self.fold_weights.shape[1]  # times n_labels
        n_copies = len(kernels) * len(Cs)
        weights = np.tile(self.fold_weights, (1, n_copies))  # problem = (kernel, C, fold, label)
        targets = (
            self.targets[:, 0]
            if self.targets.shape[1] == 1
            else np.tile(self.targets, (1, weights.shape[1] // self.targets.shape[1]))
        )
        loss, _ = make_loss(targets, weights, self.n_outputs, np.float32, self.device)
        of_problem = torch.tensor(kernels, device=self.device).repeat_interleave(len(Cs) * n_folds)
        strengths = torch.tensor(Cs, device=self.device).repeat_interleave(n_folds).repeat(len(kernels))
        share = loss.curvature * loss.weights.sum(0, dtype=torch.float64) / self.total
        hessian = self.values[of_problem].T * share + 1 / strengths.double()
        if self.fit_intercept:
            hessian = torch.cat([hessian, share[None] * self.total])
        scale = hessian.rsqrt().float()[:, :, None]
        coordinates = KernelCoordinates(self.roots, of_problem, scale, strengths.float(), loss.curvature)
        start = coordinates.zeros(self.n_outputs)
        if last is not None:
            origin = last[1]
            ends = torch.arange(len(origin.C), device=self.device).view(len(kernels), -1, n_folds)[:, -1:]
            same = ends.expand(-1, len(Cs), -1).flatten()
            start = coordinates.transfer(last[0].select(same), origin.select(same))
        solution = minimise(coordinates, loss, start, tol=self.tol, max_iter=self.max_iter)
        seconds = (time.perf_counter() - began) / n_copies
        fits = [
            self._read_fit(kernel, C, number, solution, coordinates, seconds)
            for number, (kernel, C) in enumerate((kernel, C) for kernel in kernels for C in Cs)
        ]
        return fits, (solution.point, coordinates)

    def _read_fit(
        self, kernel: int, C: float, number: int, solution: Solution, coordinates: KernelCoordinates, seconds: float
    ) -> KernelFit:
        n_folds, n_labels = self.fold_weights.shape[1], self.targets.shape[1]
        problems = torch.arange(number * n_folds, (number + 1) * n_folds, device=self.device)
        model = problems[-n_labels:]
        coords, intercepts = coordinates.select(model).weights(solution.point.select(model))
        roots = self.values[kernel].sqrt()
        inverse = torch.where(roots > 0, 1 / roots, 0.0)
        dual = self.vectors[kernel] @ (coords.flatten(1).double() * inverse[:, None])
        dual = dual - self.share * dual.sum(0)
        shift = (self.means[kernel].T @ dual)[0]
        return KernelFit(
            kernel=kernel,
            C=float(C),
            scores=solution.scores[:, problems].reshape(len(self.targets), n_folds // n_labels, -1).cpu().numpy(),
            dual=dual.float().cpu().numpy(),
            intercept=(intercepts.flatten().double() - shift).float().cpu().numpy(),
            converged=bool(solution.converged[problems].all()),
            seconds=seconds,
            point=solution.point.select(problems),
            coordinates=coordinates.select(problems),
        )
