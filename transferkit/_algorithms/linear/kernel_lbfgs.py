"""Logistic regressions on few rows in the space of the rows, by L-BFGS in NumPy: many at a time.

With an L2 penalty the optimum is W = X.T @ A, one row of A per row of X (representer theorem). Its scores are K @ A
with the kernel matrix K = X @ X.T, so that nothing of the length of the features enters a step. In the inner product
<A, B> = sum(A * (K @ B)) the gradient is G = R + A / C, where R are the residuals of the rows. If all rows had the same
curvature c, the Newton step would be D = (c K + I / C)^-1 @ G, and its scores K @ D = (G - D / C) / c. A step of L-BFGS
that begins with this inverse Hessian H costs one product with one matrix, which all folds and classes share: H @ G.
That with a change of G is a difference of two. H is scaled to the curvature along the last step (Nocedal and Wright,
equation 7.20), because that of the rows in doubt is several times the mean.

Rows with weights w are scaled by their square roots, so that R and the scores are divided by these.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack
from scipy.special import expit

from transferkit._algorithms.linalg.threads import blas_threads_for, one_blas_thread

__all__ = ["CrossEntropy", "KernelProblem", "Points", "Solution", "minimise"]

HISTORY = 2  # steps that L-BFGS keeps; 1 needed one in fifty more, 3, 4, 6 and 8 as many
GAINS_KEPT = 3  # last steps over which the largest predicted gain is taken
SUFFICIENT_DECREASE = 1e-4  # as a fraction of the decrease that the slope predicts (Armijo's condition)
MAX_TRIALS = 25  # step lengths tried by a line search
LEAST_CURVATURE = 1e-6  # of classes that are separated: their rows have none
NEGLIGIBLE_LOSS = 1e-6  # per row: smaller objectives count as this one, or a perfect fit would never end
STEPS_TO_STALL = 10  # steps that together gain no more than rounding end the search
ROUNDING = 4  # units in the last place by which rounding may raise an objective
EASY_CONDITION = 1e4  # of a Hessian, up to which float32 has enough digits for its inverse


class CrossEntropy:
    """The loss of one softmax, or of a logistic function of each output.

    Scores are (n_kernels, n_folds, n_outputs, n_rows), so that sums over outputs run along rows.

    Parameters
    ----------
    targets : array of shape (n_rows,) or (n_rows, n_labels)
        Class numbers, or zeros and ones.
    weights : array of shape (n_rows, n_folds) or (n_rows, n_folds, n_labels)
        Weights of the rows in each fold.
    n_classes : int
        Number of outputs of the softmax; 1 for logistic functions.
    """

    def __init__(self, targets: np.ndarray, weights: np.ndarray, n_classes: int, dtype: Any) -> None:
        self.is_softmax, self.dtype = n_classes > 1, dtype
        self.labels, self.rows = targets, np.arange(len(targets))
        self.targets = targets.reshape(len(targets), -1).T.astype(dtype)  # (n_labels, n_rows)
        by_row = weights.reshape(*weights.shape[:2], -1)
        self.weights = by_row.transpose(1, 2, 0).astype(dtype)  # (n_folds, 1 or n_labels, n_rows)
        self.n_outputs = n_classes if self.is_softmax else len(self.targets)

    def evaluate(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the loss of each problem in float64, (n_kernels, n_folds), and the residuals and probabilities."""
        if not self.is_softmax:
            losses = np.logaddexp(0, scores) - self.targets * scores
            probabilities = expit(scores)
            residuals = (probabilities - self.targets) * self.weights
            return (losses * self.weights).sum((2, 3), dtype=np.float64), residuals, probabilities
        largest = scores.max(2, keepdims=True)
        probabilities = scores - largest
        np.exp(probabilities, out=probabilities)
        sums = probabilities.sum(2, keepdims=True)
        probabilities /= sums
        losses = largest[:, :, 0] + np.log(sums[:, :, 0]) - scores[:, :, self.labels, self.rows]
        residuals = probabilities * self.weights
        residuals[:, :, self.labels, self.rows] -= self.weights[:, 0]
        return (losses * self.weights[:, 0]).sum(2, dtype=np.float64), residuals, probabilities


class Points(NamedTuple):
    """Vectors of all problems, (n_kernels, n_folds, n_outputs, n_rows + 1): dual variables, and the scores they give.

    The inner product is sum(left.coords * right.image). The last column is the intercept, which the image holds as it
    is added to scores.
    """

    coords: np.ndarray
    image: np.ndarray

    def scale(self, factor: np.ndarray) -> None:
        """Multiply this point in place by factors (n_kernels, n_folds, 1, 1)."""
        for part in self:
            part *= factor

    def add(self, factor: np.ndarray, other: "Points") -> None:
        """Add factor * other to this point in place."""
        for part, further in zip(self, other, strict=True):
            part += factor * further

    def with_image(self, kernels: np.ndarray) -> "Points":
        """Return the point with the scores that its dual variables have under kernel matrices."""
        image = self.image.copy()
        image[..., :-1] = multiply(self.coords, kernels.astype(image.dtype))
        return Points(self.coords, image)


class Change(NamedTuple):
    """A step of L-BFGS; the last two are (n_kernels, n_folds, 1, 1)."""

    step: Points
    change: np.ndarray  # of the gradient
    solved: np.ndarray  # dual variables of the inverse Hessian that steps begin with, times the change
    inverse: np.ndarray  # 1 / <step, change>, or zero
    scale: np.ndarray  # <step, change> / <change, solved>, at most 1


@dataclass(frozen=True)
class KernelProblem:
    """What the regressions of all folds share."""

    loss: CrossEntropy
    roots: np.ndarray  # (n_rows,), square roots of the weights by which the rows are scaled
    offsets: np.ndarray | None  # (n_folds, n_outputs, n_rows), added to the scores, perhaps near the labels already
    missing: np.ndarray | None  # (n_folds, n_outputs, 1), large and negative for classes without a row in a fold
    fit_intercept: bool

    def zeros(self, n_kernels: int) -> Points:
        """Return the points of weights that are all zero."""
        n_folds, _, n_rows = self.loss.weights.shape
        zeros = np.zeros((n_kernels, n_folds, self.loss.n_outputs, n_rows + 1), self.loss.dtype)
        return Points(zeros, zeros)

    def to_scores(self, image: np.ndarray) -> np.ndarray:
        """Return the scores of the rows without the offsets."""
        scores = image[..., :-1] / self.roots
        scores += image[..., -1:]
        return scores

    def add_offsets(self, scores: np.ndarray) -> np.ndarray:
        """Return scores plus the offsets."""
        scores = scores if self.offsets is None else scores + self.offsets
        return self.leave_out(scores)

    def leave_out(self, scores: np.ndarray) -> np.ndarray:
        """Return scores in which missing classes have no probability."""
        return scores if self.missing is None else scores + self.missing


@dataclass
class Solution:
    """The last points of all problems."""

    points: Points
    scores: np.ndarray  # (n_kernels, n_folds, n_outputs, n_rows), with the offsets
    n_iter: int
    converged: bool


def minimise(
    kernels: np.ndarray, problem: KernelProblem, C: float, start: Points, *, tol: float, max_iter: int
) -> Solution:
    """Return the minimum of each problem.

    All problems take their steps together until the gain that Newton's method predicts is at most the fraction `tol`
    of each objective: of the geometric mean of it and of the objective of weights of zero, because that is precise
    enough for scores, and of the decrease from there.

    Parameters
    ----------
    kernels : array of shape (n_kernels, n_rows, n_rows), float64
        Kernel matrices of the scaled rows.
    problem : KernelProblem
        Loss, weights and offsets of each fold.
    C : float
        Inverse of the penalty.
    start : Points
        Initial points.
    tol : float
        Tolerance.
    max_iter : int
        Largest number of steps.
    """
    n_vectors = start.coords.shape[1] * start.coords.shape[2]
    with blas_threads_for(kernels[0].size * n_vectors):
        return _iterate(kernels, problem, State(kernels, problem, C, start), tol, max_iter)


def _iterate(kernels: np.ndarray, problem: KernelProblem, state: "State", tol: float, max_iter: int) -> Solution:
    n_iter = 0
    while True:
        direction, slope = state.find_direction()
        gaps = state.estimate_gaps()
        state.converged |= gaps <= tol
        if n_iter == max_iter or (state.converged | state.is_stuck).all():
            break
        state.step(direction, slope)
        n_iter += 1
    near = gaps <= max(tol, float(np.sqrt(np.finfo(state.dtype).eps)))
    points = state.u.with_image(kernels)  # without the rounding errors of the steps
    scores = problem.add_offsets(problem.to_scores(points.image))
    return Solution(points, scores, n_iter, bool((state.converged | near).all()))


class State:
    """The points of all problems, and the L-BFGS history."""

    def __init__(self, kernels: np.ndarray, problem: KernelProblem, C: float, start: Points) -> None:
        self.problem, self.u, self.dtype = problem, start, start.coords.dtype
        self.inverse_C = self.dtype.type(1 / C)
        change = problem.to_scores(start.image)
        self.scores = problem.add_offsets(change)
        self.at_zero = problem.loss.evaluate(problem.leave_out(np.zeros_like(change)))[0]
        losses, residuals, probabilities = problem.loss.evaluate(self.scores)
        self.penalty = self._penalise(start, start)
        self.objectives = losses + self.penalty / 2
        self.gradient = self._find_gradient(start, residuals)
        self.history: list[Change] = []
        self.past_gains: list[np.ndarray] = []
        self.past_objectives: list[np.ndarray] = []
        self.converged = np.zeros(losses.shape, bool)  # these problems stay where they are, and so do
        self.is_stuck = np.zeros(losses.shape, bool)  # those in which rounding hides all progress
        self.curvature = self._average_curvature(probabilities)
        self.inverses = self._invert_hessians(kernels)
        self.solved = self._solve_newton(self.gradient)

    def find_direction(self) -> tuple[Points, np.ndarray]:
        """Return the direction (to be subtracted) and the slope along it, by the two loops of L-BFGS."""
        rest, solved, factors = self.gradient.copy(), self.solved.copy(), []
        for past in reversed(self.history):
            factors.append(past.inverse * dot(past.step.image, rest))
            rest -= factors[-1] * past.change
            solved -= factors[-1] * past.solved
        direction = Points(solved, self._image_of_solved(rest, solved))
        if self.history:
            direction.scale(self.history[-1].scale)
        for past, factor in zip(self.history, reversed(factors), strict=True):
            direction.add(factor - past.inverse * dot(past.change, direction.image), past.step)
        slope = dot(self.gradient, direction.image)[:, :, 0, 0].astype(np.float64)
        self.past_gains = [*self.past_gains, slope / 2][-GAINS_KEPT:]
        return direction, slope

    def estimate_gaps(self) -> np.ndarray:
        """Return the estimated optimality gaps as fractions of the objectives, (n_kernels, n_folds)."""
        size = np.minimum(np.sqrt(np.maximum(self.objectives, 0) * self.at_zero), self.at_zero - self.objectives)
        totals = self.problem.loss.weights.sum((1, 2), dtype=np.float64)
        return np.max(self.past_gains, 0) / np.maximum(size, NEGLIGIBLE_LOSS * totals)

    def step(self, direction: Points, slope: np.ndarray) -> None:
        """Step along the direction, for each problem as far as its objective falls."""
        change = self.problem.to_scores(direction.image)
        cross, curve = self._penalise(direction, self.u), self._penalise(direction, direction)
        rate, rounding = np.where(self.converged | self.is_stuck, 0.0, 1.0), ROUNDING * np.finfo(self.dtype).eps
        for trial in range(MAX_TRIALS + 1):
            scores = change * -self._spread(rate)
            scores += self.scores
            losses, residuals, _ = self.problem.loss.evaluate(scores)
            penalty = self.penalty - 2 * rate * cross + np.square(rate) * curve
            after = losses + penalty / 2
            goal = self.objectives - SUFFICIENT_DECREASE * rate * slope + rounding * self.objectives
            accepted = after <= goal
            if accepted.all():
                break
            shrunk = rate * shrink(rate, slope, after - self.objectives) if trial < MAX_TRIALS - 1 else 0.0
            rate = np.where(accepted, rate, shrunk)
        self.past_objectives = [*self.past_objectives, self.objectives][-STEPS_TO_STALL:]
        gained = self.past_objectives[0] - after
        self.is_stuck |= (rate == 0) | ((gained <= rounding * after) & (len(self.past_objectives) == STEPS_TO_STALL))
        direction.scale(-self._spread(rate))
        self.u = Points(self.u.coords + direction.coords, self.u.image + direction.image)
        gradient = self._find_gradient(self.u, residuals)
        solved = self._solve_newton(gradient)
        self._remember(direction, gradient - self.gradient, solved - self.solved)
        self.objectives, self.penalty, self.scores = after, penalty, scores
        self.gradient, self.solved = gradient, solved

    def _remember(self, step: Points, change: np.ndarray, solved: np.ndarray) -> None:
        product, one = dot(step.image, change), self.dtype.type(1)
        expected = dot(change, self._image_of_solved(change, solved))
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(product > 0, 1 / product, self.dtype.type(0))
            scale = np.where((product > 0) & (product < expected), product / expected, one)
        self.history = [*self.history, Change(step, change, solved, inverse, scale)][-HISTORY:]

    def _find_gradient(self, u: Points, residuals: np.ndarray) -> np.ndarray:
        gradient = u.coords * self.inverse_C
        gradient[..., :-1] += residuals / self.problem.roots
        gradient[..., -1] = residuals.sum(3) if self.problem.fit_intercept else 0
        return gradient

    def _penalise(self, left: Points, right: Points) -> np.ndarray:
        """Return <weights of left, weights of right> / C of each problem."""
        product = dot(left.coords[..., :-1], right.image[..., :-1])[:, :, 0, 0]
        return product.astype(np.float64) * float(self.inverse_C)

    def _average_curvature(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the mean curvature of the scaled rows, over the folds of each kernel, (n_kernels, 1, 1, 1)."""
        curvatures = (probabilities * (1 - probabilities) * self.problem.loss.weights).mean((1, 2), dtype=np.float64)
        mean = curvatures.sum(1) / np.square(self.problem.roots).sum(dtype=np.float64)
        return np.maximum(mean, LEAST_CURVATURE).astype(self.dtype)[:, None, None, None]

    def _invert_hessians(self, kernels: np.ndarray) -> np.ndarray:
        """Return (c K + I / C)^-1 for each kernel matrix."""
        inverses = np.empty(kernels.shape, self.dtype)
        for kernel, curvature, inverse in zip(kernels, self.curvature[:, 0, 0, 0], inverses, strict=True):
            is_easy = float(curvature) * np.trace(kernel) <= EASY_CONDITION * float(self.inverse_C)
            hessian = np.multiply(kernel, float(curvature), dtype=self.dtype if is_easy else np.float64)
            np.einsum("ii->i", hessian)[:] += float(self.inverse_C)
            inverse[:] = invert(hessian)
        return inverses

    def _solve_newton(self, gradient: np.ndarray) -> np.ndarray:
        """Return the dual variables of the Newton step if all rows have the mean curvature."""
        solved = np.empty_like(gradient)
        solved[..., :-1] = multiply(gradient, self.inverses)
        solved[..., -1] = gradient[..., -1]
        return solved

    def _image_of_solved(self, gradient: np.ndarray, solved: np.ndarray) -> np.ndarray:
        """Return the scores of such a step, given its dual variables."""
        image = solved * -self.inverse_C
        image += gradient
        image /= self.curvature
        total = np.square(self.problem.roots).sum(dtype=np.float64).astype(self.dtype)
        image[..., -1] = gradient[..., -1] / (self.curvature[..., 0] * total)
        return image

    def _spread(self, rate: np.ndarray) -> np.ndarray:
        return rate.astype(self.dtype)[:, :, None, None]


def shrink(rate: np.ndarray, slope: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Return the factor that leads to the minimum of the parabola through a failed trial, between 0.1 and 0.5."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = slope * rate / (2 * (rise + rate * slope))
    return np.clip(np.nan_to_num(factor, nan=0.1), 0.1, 0.5)


def dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the sum of products of each problem, (n_kernels, n_folds, 1, 1)."""
    return np.einsum("sfkn,sfkn->sf", left, right)[:, :, None, None]


def multiply(vectors: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the products of symmetric matrices with the parts of vectors that belong to rows."""
    flat = vectors.reshape(len(vectors), -1, vectors.shape[3])[..., :-1]
    return np.matmul(flat, matrices).reshape(*vectors.shape[:3], -1)


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a positive definite matrix, in half the time that other matrices take."""
    factorise, complete = lapack.get_lapack_funcs(("potrf", "potri"), (matrix,))
    with one_blas_thread(len(matrix)):
        factor, failed = factorise(matrix, lower=True, clean=True, overwrite_a=True)
        if failed:
            raise np.linalg.LinAlgError("The matrix is not positive definite.")
        half, _ = complete(factor, lower=True, overwrite_c=True)
    inverse = half + half.T
    np.einsum("ii->i", inverse)[:] /= 2
    return inverse
