"""One logistic or softmax regression by preconditioned L-BFGS in NumPy, for problems that are too small for torch.

The objective is loss(X W + b) + ||W||^2 / (2 C). Variables are the weights above the intercepts, with the Hessian of an
average row's curvature as the preconditioner (`FeatureProblem`), or for sparse X with more columns than rows one
variable per row (`RowProblem`); these are the ideas of `EigenMap` and `RowMap` in `_training/linear`, whose stopping
rule holds here, too.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from transferkit._algorithms.linear.losses import Loss

__all__ = ["FeatureProblem", "Problem", "RowProblem", "Solution", "StepHistory", "Vector", "minimise"]

SUFFICIENT_DECREASE = 1e-4  # as a fraction of the decrease that the slope predicts (Armijo's condition)
MAX_TRIALS = 25  # step lengths tried by a line search
NEGLIGIBLE_LOSS = 1e-6  # per row: smaller objectives count as this one, or a perfect fit would never end
GAINS_KEPT = 5  # last steps over which the largest predicted gain is taken
STEPS_WITHOUT_SCALE = 3  # at first the inverse Hessian is a guess, and the size of the gain it predicts means nothing
STEPS_TO_STALL = 10  # steps that together gain no more than rounding end the training
SURE_GAP = 30  # times the tolerance, by an upper bound on the gap that ignores the curvature of the loss
GRAM_ROWS_PER_COLUMN = 8  # of a sample of the rows, the Gram matrix of which is nearly that of all rows
STEPS_PER_GRAM = 2  # steps that may take as long as the Gram matrix, which saves about as many
LARGEST_MEAN = 0.9  # squared, as a share of the mean square, up to which products are centred instead of the features
POWER_ITERATIONS = 4  # for a largest eigenvalue; with 2 L-BFGS needs up to half as many steps again
CHANGE_OF_CURVATURE = 1.25  # factor by which the mean curvature changes before the preconditioner follows


class Vector(NamedTuple):
    """A point, gradient or direction with the inner product <a, b> = sum(a.coords * b.image)."""

    coords: np.ndarray
    image: np.ndarray  # the same array, or in a `RowProblem` the product with the kernel matrix

    def dot(self, other: "Vector") -> float:
        """Return the inner product."""
        return float(np.vdot(self.coords, other.image))

    def plus(self, factor: float, other: "Vector") -> "Vector":
        """Return self + factor * other."""
        coords = self.coords + factor * other.coords
        return Vector(coords, coords if self.image is self.coords else self.image + factor * other.image)

    def scaled(self, factor: float) -> "Vector":
        """Return factor * self."""
        coords = factor * self.coords
        return Vector(coords, coords if self.image is self.coords else factor * self.image)


class Problem(Protocol):
    """An objective in the variables of the solver."""

    loss: Loss
    C: float
    offset: np.ndarray | None  # (n_rows or 1, n_outputs), added to the scores
    dtype: Any  # of the features
    history: int  # number of steps in the L-BFGS history
    knows_scale: bool  # whether `solve` has the size of a Newton step

    def start(self) -> tuple[Vector, np.ndarray]:
        """Return the variables of weights of zero, and their scores without the offset, equal in all rows."""

    def scores(self, u: Vector) -> np.ndarray:
        """Return the scores of all rows, (n_rows, n_outputs)."""

    def gradient(self, u: Vector, residuals: np.ndarray) -> Vector:
        """Return the gradient of loss and penalty, given that of the loss in the scores."""

    def penalty(self, left: Vector, right: Vector) -> float:
        """Return <weights of left, weights of right> / C."""

    def solve(self, vector: Vector, curvature: float) -> Vector:
        """Return the inverse Hessian at a mean curvature of the loss, if it is known, times the vector."""

    def bound_gap(self, gradient: Vector, curvatures: np.ndarray | float) -> float:
        """Return an upper bound on the optimality gap: C / 2 times the squared gradient in the weights.

        The penalty alone has the curvature 1 / C. The intercept has the mean curvature of the loss, which may be far
        off if an outlier couples intercept and weights, or is taken at the mean of the rows weighted by their
        curvatures (n_rows, n_outputs), where it has no part in that of the weights.
        """

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_columns, n_outputs) and intercepts (n_outputs,)."""


@dataclass
class Solution:
    """The last point, and whether its gap is within the tolerance for sure."""

    weights: np.ndarray  # (n_columns, n_outputs)
    intercepts: np.ndarray
    n_iter: int
    converged: bool


def minimise(
    problem: Problem,
    *,
    tol: float,
    max_iter: int,
    check_bound: bool = False,
    on_step: Callable[[Callable[[], Solution]], bool] | None = None,
) -> Solution:
    """Return the minimum, or the last point if rounding hides all progress.

    Training stops when the optimality gap is at most the fraction `tol` of the objective, and of the decrease from
    weights of zero, as in `_training.linear.lbfgs.minimise`. With `check_bound` it has converged only if the penalty
    alone proves that the gap is small. A true answer of `on_step`, called after each step, ends it as converged.
    """
    (u, row), history = problem.start(), StepHistory(problem.history)
    scores = np.zeros((len(problem.loss.weights), problem.loss.n_outputs), problem.dtype) + row.astype(problem.dtype)
    scores = scores if problem.offset is None else scores + problem.offset
    rounding = 4 * float(np.finfo(problem.dtype).eps)
    value, residuals = problem.loss.evaluate(scores)
    at_zero = problem.loss.total * math.log(max(problem.loss.n_outputs, 2)) if problem.offset is None else value
    penalty, gradient = 0.0, problem.gradient(u, residuals)
    gains, objectives = deque[float](maxlen=GAINS_KEPT), deque([value], maxlen=STEPS_TO_STALL + 1)

    def read(n_iter: int, converged: bool = False) -> Solution:
        return Solution(*problem.weights(u), n_iter, converged)

    for n_iter in range(max_iter + 1):
        curvature = problem.loss.average_curvature(residuals)
        direction = history.find_direction(gradient, partial(problem.solve, curvature=curvature))
        slope = gradient.dot(direction)
        gains.append(slope / 2)
        size = max(min(value, at_zero - value), NEGLIGIBLE_LOSS * problem.loss.total)
        bound, gain = problem.bound_gap(gradient, curvature) / size, max(gains) / size
        plausible = bound <= SURE_GAP * tol or gain <= max(tol / 1000, rounding)
        plausible &= problem.knows_scale or n_iter >= STEPS_WITHOUT_SCALE
        if n_iter > 0 and on_step is not None and on_step(partial(read, n_iter)):
            return read(n_iter, True)
        if bound <= tol or (5 * gain <= max(tol / 2, rounding) and plausible):
            if check_bound:
                bound = problem.bound_gap(gradient, problem.loss.curvatures(scores)) / size
            return read(n_iter, bound <= SURE_GAP * tol or not check_bound)
        is_stalled = len(objectives) > STEPS_TO_STALL and objectives[0] - min(objectives) <= rounding * objectives[0]
        found = None
        if n_iter < max_iter and not is_stalled:
            found = search_line(problem, u, direction, scores, value, penalty, slope, rounding)
        if found is None:
            break
        step = direction.scaled(-found.rate)
        u, scores, penalty, residuals, value = (
            u.plus(1, step),
            found.scores,
            found.penalty,
            found.residuals,
            found.value,
        )
        before, gradient = gradient, problem.gradient(u, residuals)
        history.add(step, gradient.plus(-1, before))
        objectives.append(value)
    return read(n_iter)


class LinePoint(NamedTuple):
    """A point along a direction."""

    rate: float
    value: float
    penalty: float
    scores: np.ndarray
    residuals: np.ndarray


def search_line(
    problem: Problem,
    u: Vector,
    direction: Vector,
    scores: np.ndarray,
    value: float,
    penalty: float,
    slope: float,
    rounding: float,
) -> LinePoint | None:
    """Return a point that is low enough, or None. A trial costs no product with the features."""
    change = problem.scores(direction)
    cross, curve, rate = problem.penalty(u, direction), problem.penalty(direction, direction), 1.0
    for _ in range(MAX_TRIALS):
        trial = scores - rate * change
        loss, residuals = problem.loss.evaluate(trial)
        penalty_after = penalty - 2 * rate * cross + rate**2 * curve
        after = loss + penalty_after / 2
        if after <= value - SUFFICIENT_DECREASE * rate * slope + rounding * abs(value):
            return LinePoint(rate, after, penalty_after, trial, residuals)
        excess = 2 * (after - value + rate * slope)  # minimum of the parabola through objective, slope and trial
        rate *= min(max(slope * rate / excess, 0.1), 0.5) if 0 < excess < np.inf else 0.1
    return None


class StepHistory:
    """The inverse Hessian from the last steps, by two loops (Nocedal and Wright, algorithm 7.4)."""

    def __init__(self, size: int) -> None:
        self.pairs = deque[tuple[Vector, Vector, float]](maxlen=size)

    def add(self, step: Vector, change: Vector) -> None:
        """Store a step and the change of the gradient along it, if it shows a curvature."""
        curvature = step.dot(change)
        if curvature > 0:
            self.pairs.append((step, change, curvature))

    def find_direction(self, gradient: Vector, solve: Callable[[Vector], Vector]) -> Vector:
        """Return the inverse Hessian times the gradient (to be subtracted); `solve` is its first guess."""
        direction, factors = gradient, []
        for step, change, curvature in reversed(self.pairs):
            factors.append(step.dot(direction) / curvature)
            direction = direction.plus(-factors[-1], change)
        direction = solve(direction)
        if self.pairs:
            _, change, curvature = self.pairs[-1]
            direction = direction.scaled(curvature / solve(change).dot(change))
        for (step, change, curvature), factor in zip(self.pairs, reversed(factors), strict=True):
            direction = direction.plus(factor - change.dot(direction) / curvature, step)
        return direction


class FeatureProblem:
    """Variables are the weights of the features above the intercepts, in float64."""

    history = 30
    knows_scale = True

    def __init__(self, X: np.ndarray, loss: Loss, C: float, offset: np.ndarray | None, fit_intercept: bool) -> None:
        self.loss, self.C, self.offset, self.dtype, self.fit_intercept = loss, C, offset, X.dtype, fit_intercept
        n_rows, n_columns = X.shape
        cost = n_columns / (4 * loss.n_outputs)  # of the Gram matrix, in steps
        n_used = max(GRAM_ROWS_PER_COLUMN * n_columns, round(n_rows * STEPS_PER_GRAM / cost))
        self.X, self.mean, self.shift = X, np.zeros(n_columns, X.dtype), np.zeros(n_columns)
        if fit_intercept:
            self.mean = (loss.weights if loss.is_weighted else np.ones(n_rows, X.dtype)) @ X / X.dtype.type(loss.total)
        some = slice(None, None, max(n_rows // n_used, 1))
        self.gram, squares = self._make_gram(some)
        if (self.mean**2 > LARGEST_MEAN * squares).any():  # products with a large mean lose digits
            self.X, self.shift, self.mean = X - self.mean, self.mean.astype(np.float64), np.zeros(n_columns, X.dtype)
            self.gram, _ = self._make_gram(some)
        self.curvature, self.factor = 0.0, None

    def _make_gram(self, some: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the Gram matrix of the centred rows, estimated from some of them, and their mean squares."""
        rows, weights = np.ascontiguousarray(self.X[some]), self.loss.weights[some]
        total = float(weights.sum(dtype=np.float64))
        mean = (weights @ rows / total).astype(np.float64) if self.fit_intercept else np.zeros(rows.shape[1])
        if self.loss.is_weighted:
            rows = rows * np.sqrt(weights[:, None])
        gram = (rows.T @ rows).astype(np.float64) / total
        squares = np.diag(gram).copy()
        gram -= np.outer(mean, mean)
        return self.loss.total * gram, squares

    def start(self) -> tuple[Vector, np.ndarray]:
        coords, row = np.zeros((self.X.shape[1] + self.fit_intercept, self.loss.n_outputs)), np.zeros(1)
        if self.fit_intercept and self.offset is None:
            coords[-1] = row = self.loss.log_odds()
        return Vector(coords, coords), row

    def scores(self, u: Vector) -> np.ndarray:
        weights = u.coords[: self.X.shape[1]].astype(self.dtype)
        scores = self.X @ weights
        if self.fit_intercept:
            scores += u.coords[-1].astype(self.dtype) - self.mean @ weights
        return scores

    def gradient(self, u: Vector, residuals: np.ndarray) -> Vector:
        n_columns, gradient = self.X.shape[1], np.empty_like(u.coords)
        gradient[:n_columns] = self.X.T @ residuals + u.coords[:n_columns] / self.C
        if self.fit_intercept:
            sums = residuals.sum(0, dtype=np.float64)
            gradient[:-1] -= np.outer(self.mean, sums)
            gradient[-1] = sums
        return Vector(gradient, gradient)

    def penalty(self, left: Vector, right: Vector) -> float:
        n_columns = self.X.shape[1]
        return float(np.vdot(left.coords[:n_columns], right.coords[:n_columns])) / self.C

    def solve(self, vector: Vector, curvature: float) -> Vector:
        n_columns = self.X.shape[1]
        if self.factor is None or not 1 / CHANGE_OF_CURVATURE < curvature / self.curvature < CHANGE_OF_CURVATURE:
            hessian = curvature * self.gram
            hessian[np.diag_indices(n_columns)] += 1 / self.C
            self.curvature = curvature
            self.factor = cho_factor(hessian, lower=True, overwrite_a=True, check_finite=False)
        solved = np.empty_like(vector.coords)
        solved[:n_columns] = cho_solve(self.factor, vector.coords[:n_columns], check_finite=False)
        if self.fit_intercept:
            solved[-1] = vector.coords[-1] / (self.curvature * self.loss.total)
        return Vector(solved, solved)

    def bound_gap(self, gradient: Vector, curvatures: np.ndarray | float) -> float:
        of_weights, rest = gradient.coords, 0.0
        if self.fit_intercept:
            of_weights, last = gradient.coords[:-1], gradient.coords[-1]
            totals = curvatures * self.loss.total
            if isinstance(curvatures, np.ndarray):
                totals = np.maximum(curvatures.sum(0, dtype=np.float64), np.finfo(self.dtype).tiny)
                mean = (self.X.T @ curvatures).astype(np.float64) / totals - self.mean[:, None]
                of_weights = of_weights - mean * last
            rest = float((last**2 / (2 * totals)).sum())
        return self.C / 2 * float(np.vdot(of_weights, of_weights)) + rest

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        weights = u.coords[: self.X.shape[1]]
        intercepts = np.zeros(self.loss.n_outputs)
        if self.fit_intercept:
            intercepts = u.coords[-1] - (self.mean + self.shift) @ weights
        return weights.astype(self.dtype), intercepts.astype(self.dtype)


class RowProblem:
    """Variables are one per row of sparse X, W = X.T @ u, above the intercepts.

    The image K @ u, with K the centred product of X and X.T, gives the scores, so only a gradient needs products with
    X.
    """

    history = 8
    knows_scale = False

    def __init__(self, X: Any, loss: Loss, C: float, offset: np.ndarray | None, fit_intercept: bool) -> None:
        self.loss, self.C, self.offset, self.dtype, self.fit_intercept = loss, C, offset, X.dtype, fit_intercept
        self.X, self.transposed = X, X.T
        self.share = loss.weights[:, None] / X.dtype.type(loss.total)
        largest = loss.total / X.shape[0] * self._find_largest_eigenvalue()
        self.intercept_scale = float(np.sqrt((loss.curvature * largest + 1 / C) / (loss.curvature * loss.total)))

    def start(self) -> tuple[Vector, np.ndarray]:
        zeros = np.zeros((self.X.shape[0] + self.fit_intercept, self.loss.n_outputs), self.dtype)
        return Vector(zeros, zeros.copy()), np.zeros(1)

    def scores(self, u: Vector) -> np.ndarray:
        scores = u.image[: self.X.shape[0]]
        return scores + u.image[-1] * self.intercept_scale if self.fit_intercept else scores

    def gradient(self, u: Vector, residuals: np.ndarray) -> Vector:
        n_rows, coords = self.X.shape[0], np.empty_like(u.coords)
        coords[:n_rows] = residuals + u.coords[:n_rows] / self.dtype.type(self.C)
        image = np.empty_like(coords)
        image[:n_rows] = self._multiply_kernel(coords[:n_rows])
        if self.fit_intercept:
            coords[-1] = image[-1] = residuals.sum(0, dtype=np.float64) * self.intercept_scale
        return Vector(coords, image)

    def penalty(self, left: Vector, right: Vector) -> float:
        n_rows = self.X.shape[0]
        return float(np.vdot(left.coords[:n_rows], right.image[:n_rows])) / self.C

    def solve(self, vector: Vector, curvature: float) -> Vector:
        return vector

    def bound_gap(self, gradient: Vector, curvatures: np.ndarray | float) -> float:
        n_rows = self.X.shape[0]
        gap = self.C / 2 * float(np.vdot(gradient.coords[:n_rows], gradient.image[:n_rows]))
        if self.fit_intercept:
            last = gradient.coords[-1].astype(np.float64) / self.intercept_scale
            gap += float(last @ last / (2 * np.mean(curvatures) * self.loss.total))
        return gap

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        weights = self.transposed @ self._centre(u.coords[: self.X.shape[0]])
        intercepts = np.zeros(self.loss.n_outputs, self.dtype)
        if self.fit_intercept:
            intercepts += u.coords[-1] * self.intercept_scale - (self.share.T @ (self.X @ weights))[0]
        return weights, intercepts

    def _find_largest_eigenvalue(self) -> float:
        """Return that of the kernel matrix by power iteration; the intercept gets the same curvature."""
        vector = np.ones((self.X.shape[0], 1), self.dtype)
        vector[::2] = -1
        for _ in range(POWER_ITERATIONS):
            vector = self._multiply_kernel(
                vector / max(float(np.linalg.norm(vector)), float(np.finfo(self.dtype).tiny))
            )
        return float(np.linalg.norm(vector))

    def _centre(self, dual: np.ndarray) -> np.ndarray:
        return dual - self.share * dual.sum(0) if self.fit_intercept else dual

    def _multiply_kernel(self, dual: np.ndarray) -> np.ndarray:
        image = self.X @ (self.transposed @ self._centre(dual))
        return image - self.share.T @ image if self.fit_intercept else image
