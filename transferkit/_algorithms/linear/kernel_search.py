"""Logistic regressions on few rows for many block scales, folds and values of C.

Blocks of features that are scaled by s have the kernel matrix sum(s^2 * K_block), so the features themselves are needed
only once, and again for the weights of the models that are kept. Few rows need no torch: in NumPy calls take less time,
and there are hardly more sums than calls.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from transferkit._algorithms.linear.feature_blocks import CentredRows, FeatureBlocks, centre_rows
from transferkit._algorithms.linear.kernel_lbfgs import CrossEntropy, KernelProblem, Points, minimise
from transferkit._algorithms.linear.predictions import UNTRAINED, LinearModel
from transferkit._algorithms.linear.targets import sum_class_weights

__all__ = ["KernelFit", "KernelSearch"]

MOST_ROWS = 2500  # beyond, products with kernel matrices cost more than those with the features
MOST_ROWS_PER_COLUMN = 4  # with more, problems in the space of the columns are much smaller
MOST_PRECISE_ROWS = 200  # up to which float64 costs no time
LARGEST_ERROR = 0.1  # of scores, by a bound on rounding that is seldom reached by a hundredth
LARGE_C = 10.0  # times the mean square of the rows; from zero, larger ones take many steps, and end too early
MOST_GROWTH = 1000.0  # of dual variables where features of another scale begin
STEPS_UP = (0.01, 0.1)  # fractions of a large C that lead up to it
TOLERANCE_ON_THE_WAY = 10  # times that at the end


class WeightedRows:
    """Blocks of weighted, centred features, and their kernel matrices."""

    def __init__(self, X: Any, row_weights: np.ndarray, fit_intercept: bool) -> None:
        blocks = X.blocks if isinstance(X, FeatureBlocks) else [X]
        parts = [centre_rows(block, row_weights / row_weights.mean(), fit_intercept) for block in blocks]
        self.blocks: list[CentredRows] = [rows for rows, _ in parts]
        self.means = np.concatenate([mean for _, mean in parts])
        self.roots = self.blocks[0].roots
        self.kernels = np.stack([rows.kernel() for rows in self.blocks])

    def combine(self, scales: np.ndarray) -> np.ndarray:
        """Return the kernel matrices (n_scales, n_rows, n_rows) of blocks with scales (n_scales, n_blocks)."""
        combined = np.zeros((len(scales), *self.kernels.shape[1:]))
        for kernel, factors in zip(combined, np.square(scales), strict=True):
            for place in np.flatnonzero(factors):
                kernel += factors[place] * self.kernels[place]
        return combined

    def to_weights(self, point: Points, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coef and intercept of a point (n_outputs, n_rows + 1) of blocks with scales (n_blocks,)."""
        coords, intercepts = (part.astype(np.float64) for part in (point.coords[:, :-1].T, point.image[:, -1]))
        parts = [rows.rmatmul(coords) * scale**2 for rows, scale in zip(self.blocks, scales, strict=True)]
        columns = np.concatenate(parts)
        return columns.T, intercepts - self.means @ columns


@dataclass
class KernelFit:
    """The models of all folds at one C and one choice of block scales."""

    search: "KernelSearch"
    C: float
    scale_index: int
    scores: np.ndarray  # (n_rows, n_folds, n_outputs), of all rows, held out or not
    n_iter: int
    converged: bool
    seconds: float
    points: Points  # of one kernel
    size: float  # trace of the kernel matrix

    def models(self) -> list[LinearModel]:
        """Return the model of each fold."""
        return [self._read_model(fold) for fold in range(self.scores.shape[1])]

    def last_model(self) -> LinearModel:
        """Return the model of the last fold."""
        return self._read_model(-1)

    def move_to(self, kernels: np.ndarray) -> Points:
        """Return the point that gives similar scores with another kernel matrix, (1, n_rows, n_rows)."""
        size = np.trace(kernels[0])
        factor = self.size / size if size > self.size / MOST_GROWTH else 0.0  # all rows may be alike there
        return Points(self.points.coords * self.points.coords.dtype.type(factor), self.points.image).with_image(kernels)

    def _read_model(self, fold: int) -> LinearModel:
        point = Points(*(part[0, fold] for part in self.points))
        return self.search.read_model(point, self.scale_index, self.n_iter, self.converged)


class KernelSearch:
    """Fits of the same few rows under many fold masks, block scales and values of C.

    Parameters
    ----------
    X : array, CSR matrix or FeatureBlocks of shape (n_rows, n_features)
        Features.
    targets : array of shape (n_rows,) or (n_rows, n_labels)
        Class numbers, or zeros and ones for a logistic regression of each label.
    fold_weights : array of shape (n_rows, n_folds) or (n_rows, n_folds, n_labels)
        Weights of the rows in the training part of each fold, zero for held-out rows. Every row has some weight.
    n_outputs : int
        Number of classes, or 1 for two classes and for labels.
    block_scales : list of sequences of float, optional
        Candidates for the scales of X's blocks, each tried with every C.
    offsets : array of shape (n_rows, n_folds, n_outputs), optional
        Added to the scores of each fold's model, and to those that fits return.
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
        block_scales: Sequence[Sequence[float]] | None = None,
        offsets: np.ndarray | None = None,
    ) -> None:
        self.targets, self.n_outputs, self.fit_intercept = targets, n_outputs, fit_intercept
        self.stop: dict[str, Any] = {"tol": tol, "max_iter": max_iter}
        self.given_dtype = X.dtype
        n_blocks = len(X.blocks) if isinstance(X, FeatureBlocks) else 1
        self.scales = np.array(block_scales or [[1.0] * n_blocks], dtype=np.float64)
        self.rows = WeightedRows(X, fold_weights.reshape(len(fold_weights), -1).mean(1), fit_intercept)
        is_large = X.dtype == np.float32 and len(targets) > MOST_PRECISE_ROWS
        self.dtype: Any = np.dtype(np.float32 if is_large else np.float64)
        self.fold_weights, self.offsets = fold_weights, offsets
        self.folds = self._make_problem(fold_weights, offsets)

    @classmethod
    def if_suitable(
        cls, X: Any, targets: np.ndarray, fold_weights: np.ndarray, largest_C: float, **options: Any
    ) -> "KernelSearch | None":
        """Return the search, or None for many rows, few columns, soft targets, or if rounding might spoil scores."""
        n_rows, n_columns = X.shape
        is_weightless = (fold_weights.reshape(n_rows, -1) == 0).all(1)
        is_soft = np.issubdtype(targets.dtype, np.floating)
        if n_rows > min(MOST_ROWS, MOST_ROWS_PER_COLUMN * n_columns) or is_soft or is_weightless.any():
            return None
        search = cls(X, targets, fold_weights, **options)
        return search if search.bound_rounding(largest_C) <= LARGEST_ERROR else None

    def bound_rounding(self, C: float) -> float:
        """Return a bound on the rounding errors of scores, and of the eigenvalues of the kernel matrix times C.

        No dual variable of a row exceeds C times its weight. Eigenvalues much below zero would make the Hessian
        indefinite.
        """
        squares = np.einsum("bii->bi", self.rows.kernels)  # (n_blocks, n_rows)
        largest = (np.square(self.scales) @ squares).max()
        of_eigenvalues = len(self.targets) * np.finfo(np.float64).eps
        return float(C * largest * max(np.finfo(self.dtype).eps, of_eigenvalues))

    def on_fold(self, fold: int) -> Self:
        """Return a search on one of the folds, which shares the kernel matrices."""
        part, chosen = copy.copy(self), slice(fold, fold + 1)
        offsets = None if self.offsets is None else self.offsets[:, chosen]
        part.folds = part._make_problem(self.fold_weights[:, chosen], offsets)
        return part

    def run(self, Cs: Sequence[float]) -> Iterator[KernelFit]:
        """Yield the fits at each scale and C, C ascending; each starts from those at the C before."""
        kernels, done = self.rows.combine(self.scales), list[list[KernelFit]]()
        for C in Cs:
            start = self._follow_path(C, done[-2:]) if done else self._climb(kernels, C)
            done.append(self._fit(kernels, C, range(len(kernels)), start))
        for fits in zip(*done, strict=True):
            yield from fits

    def fit(self, C: float, before: Sequence[Any] = (), scale_index: int = 0) -> KernelFit:
        """Return the fit at one C and scale, starting near fits that were made before, in any order.

        If none has this scale, they may be fits of other scales, or of other features of the same rows and folds.
        """
        kernels = self.rows.combine(self.scales[[scale_index]])
        known = [fit for fit in before if isinstance(fit, KernelFit)]
        nearest = sorted(known, key=lambda fit: abs(np.log(C / fit.C)), reverse=True)
        same = [[fit] for fit in nearest if fit.search is self and fit.scale_index == scale_index]
        if same:
            start = self._follow_path(C, same[-2:])
        else:
            start = nearest[-1].move_to(kernels) if nearest else self._climb(kernels, C)
        return self._fit(kernels, C, [scale_index], start)[0]

    def refit(
        self, fits: Sequence[KernelFit], row_weights: np.ndarray, offset: np.ndarray | None = None
    ) -> list[LinearModel]:
        """Return the models of all rows for some candidates, each starting from the mean of its folds' models.

        The row weights are (n_rows, 1) or (n_rows, n_labels), the offset of the scores (n_rows, n_outputs).
        """
        problem = self._make_problem(row_weights[:, None], None if offset is None else offset[:, None])
        return [self._refit(fit, problem) for fit in fits]

    def read_model(self, point: Points, scale_index: int, n_iter: int, converged: bool) -> LinearModel:
        """Return the model of one point, (n_outputs, n_rows + 1)."""
        weights = self.rows.to_weights(point, self.scales[scale_index])
        return LinearModel(*weights, n_iter, converged).astype(self.given_dtype)

    def _make_problem(self, weights: np.ndarray, offsets: np.ndarray | None) -> KernelProblem:
        """Return the problem with these weights (n_rows, n_folds) or (n_rows, n_folds, any)."""
        missing, given = None, None if offsets is None else offsets.transpose(1, 2, 0).astype(self.dtype)
        if self.n_outputs > 1:
            by_fold = np.moveaxis(weights, 1, 0).reshape(weights.shape[1], -1)
            totals = np.array([sum_class_weights(self.targets, of_fold, self.n_outputs) for of_fold in by_fold])
            if not totals.all():
                missing = np.where(totals > 0, 0, UNTRAINED)[:, :, None].astype(self.dtype)
        loss = CrossEntropy(self.targets, weights, self.n_outputs, self.dtype)
        return KernelProblem(loss, self.rows.roots.astype(self.dtype), given, missing, self.fit_intercept)

    def _fit(self, kernels: np.ndarray, C: float, scale_indices: Sequence[int], start: Points) -> list[KernelFit]:
        began = time.perf_counter()
        found = minimise(kernels, self.folds, C, start, **self.stop)
        seconds = (time.perf_counter() - began) / len(kernels)
        return [
            KernelFit(
                search=self,
                C=C,
                scale_index=scale_index,
                scores=found.scores[place].transpose(2, 0, 1),
                n_iter=found.n_iter,
                converged=found.converged,
                seconds=seconds,
                points=Points(*(part[place : place + 1] for part in found.points)),
                size=float(np.trace(kernels[place])),
            )
            for place, scale_index in enumerate(scale_indices)
        ]

    def _refit(self, fit: KernelFit, problem: KernelProblem) -> LinearModel:
        kernels = self.rows.combine(self.scales[[fit.scale_index]])
        start = Points(*(part.mean(1, keepdims=True) for part in fit.points))
        found = minimise(kernels, problem, fit.C, start, **self.stop)
        point = Points(*(part[0, 0] for part in found.points))
        return self.read_model(point, fit.scale_index, found.n_iter, found.converged)

    def _climb(self, kernels: np.ndarray, C: float) -> Points:
        """Return a point from which few steps lead to the optimum at C: if C is large, that of a smaller C."""
        point, size = self.folds.zeros(len(kernels)), np.trace(kernels, axis1=1, axis2=2).max() / len(self.targets)
        stop = self.stop | {"tol": TOLERANCE_ON_THE_WAY * self.stop["tol"]}
        for fraction in STEPS_UP:
            if C * fraction * size > LARGE_C / 10:
                point = minimise(kernels, self.folds, C * fraction, point, **stop).points
        return point

    def _follow_path(self, C: float, done: Sequence[Sequence[KernelFit]]) -> Points:
        """Return the extrapolation of the last two solutions of each scale, in a straight line over log C."""
        before, last = (
            Points(*(np.concatenate(parts) for parts in zip(*(fit.points for fit in fits), strict=True)))
            for fits in (done[0], done[-1])
        )
        distance = np.log(done[-1][0].C / done[0][0].C)
        if distance == 0:
            return last
        factor = last.coords.dtype.type(min(np.log(C / done[-1][0].C) / distance, 1.0))
        return Points(*(after + factor * (after - first) for first, after in zip(before, last, strict=True)))
