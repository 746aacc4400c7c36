"""L-BFGS on many convex problems at once, each with its own step lengths, memory and end."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from transferkit._training.device import one_thread_if_small
from transferkit._training.linear.coordinates import Coordinates, Vector
from transferkit._training.linear.losses import Loss
from transferkit._training.linear.step_memory import StepMemory

__all__ = ["Solution", "minimise"]

SUFFICIENT_DECREASE = 1e-4
MAX_TRIALS = 25
NEGLIGIBLE_LOSS = 1e-6  # of a row: objectives below it count as such, or a perfect fit would never end
STEPS_UNWATCHED = 4  # on a GPU: asking which problems are done makes it wait for the CPU
FEW_DONE = 4  # a quarter of the problems: for fewer it is not worth copying what the others remember
STEPS_TO_JUDGE = 3
FAR = 0.5  # change of a score that its curvature does not outlast
STEPS_REMEMBERED = 10  # of which the objectives are kept


@dataclass
class Solution:
    """Where each problem ended; `gaps` estimate objective - optimum."""

    point: Vector
    scores: Tensor  # (n_rows, n_problems, n_outputs)
    values: Tensor  # (n_problems,)
    n_iter: Tensor
    gaps: Tensor
    converged: Tensor


def minimise(
    coordinates: Coordinates,
    loss: Loss,
    start: Vector,
    *,
    offset: Tensor | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
    lenient: bool = False,
    trusted: bool = False,
    on_iteration: Callable[["Run"], bool] | None = None,
) -> Solution:
    """Minimise loss(scores + offset) + penalty / 2 of each problem.

    A problem ends when what its objective may still lose is bounded (see `bound_gap`) by the fraction `tol` both of the
    objective and of what training has gained, or when that is estimated by the slopes along its last five directions:
    half of one is the gain of a Newton step, and five times that allows for what L-BFGS does not see. It also ends when
    rounding hides all progress: when no lower point is found, or when the last ten steps together have not lowered the
    objective by more than its rounding. Then it counts as converged only if its gap is estimated to be small.
    `on_iteration(run)` is called after each iteration; a true answer stops all problems.

    Parameters
    ----------
    coordinates, loss
        The problems; both shrink as problems end.
    start : Vector
        First point of each problem.
    offset : Tensor of shape (n_rows, 1 or n_problems, n_outputs), optional
        Added to all scores: the scores of the weights to which the penalty pulls.
    lenient : bool
        Whether the geometric mean of the objective and the untrained one stands for the objective: a tiny objective,
        where hardly a row is in doubt, is not worth its fourth digit to who only wants scores.
    trusted : bool
        Whether the coordinates know the Hessian near the start, so that slopes tell what a Newton step gains. A problem
        then goes on while that step would change scores so much that the Hessian does not hold.
    """
    run = Run(coordinates, loss, start, offset, tol, lenient, trusted)
    with one_thread_if_small(start.coords.device, 2 * len(loss.weights) * start.coords.numel()):
        return _descend(run, max_iter, on_iteration)


def _descend(run: "Run", max_iter: int, on_iteration: Callable[["Run"], bool] | None) -> Solution:
    solution = run.begin_solution()
    every = 1 if run.point.coords.device.type == "cpu" or on_iteration is not None else STEPS_UNWATCHED
    for iteration in range(max_iter + 1):
        direction, slope = run.propose()
        if iteration % every and iteration < max_iter:
            run.advance(direction, slope)
            continue
        done, gaps = run.judge(direction, slope)
        stopped = iteration > 0 and on_iteration is not None and on_iteration(run)
        if iteration == max_iter or stopped or bool(done.all()):
            run.record(solution, torch.ones_like(done), gaps, iteration, run.is_good(done, gaps) | stopped)
            break
        if int(done.sum()) * FEW_DONE >= len(done):
            run.record(solution, done, gaps, iteration, run.is_good(done, gaps))
            run, direction, slope, gaps = run.select(~done), direction.select(~done), slope[~done], gaps[~done]
        failed = run.advance(direction, slope)
        if failed is not None:  # the rounding of the scores hides all progress: no better point can be found
            run.record(solution, failed, gaps, iteration, run.is_good(failed, gaps))
            if bool(failed.all()):
                break
            run = run.select(~failed)
    return solution


class Run:
    """The problems that are still running: where they stand and what L-BFGS remembers."""

    def __init__(
        self,
        coordinates: Coordinates,
        loss: Loss,
        start: Vector,
        offset: Tensor | None,
        tol: float,
        lenient: bool,
        trusted: bool,
    ) -> None:
        self.lenient, self.trusted = lenient, trusted
        self.coordinates, self.loss, self.point, self.tol = coordinates, loss, start, tol
        scores = coordinates.scores(start)
        self.scores = scores if offset is None else scores + offset
        blank = torch.zeros_like(self.scores)
        self.untrained, _ = loss.evaluate(blank if offset is None else blank + offset)
        losses, self.residuals = loss.evaluate(self.scores)
        self.square = coordinates.penalty(start, start)
        self.values = losses + self.square / 2
        self.gradient = coordinates.gradient(start, self.residuals)
        self.problems = torch.arange(len(self.values), device=self.values.device)
        self.noise = 4 * torch.finfo(self.scores.dtype).eps
        self.memory = StepMemory(coordinates.memory)
        self.past, self.slopes = [self.values], list[Tensor]()

    def begin_solution(self) -> Solution:
        """Return a solution with room for all problems."""
        nothing = torch.zeros_like(self.problems)
        return Solution(
            self.point.map(torch.clone),
            self.scores.clone(),
            self.values.clone(),
            nothing.cpu(),
            self.values.clone(),
            nothing.bool(),
        )

    def propose(self) -> tuple[Vector, Tensor]:
        """Return the direction (to be subtracted) and the slope along it."""
        self.curvature = self.loss.measure_curvature(self.residuals)
        self.hessian = self.coordinates.guess_hessian(self.curvature)
        direction = self.memory.find_direction(self.gradient, self.hessian)
        slope = self.gradient.dot(direction).double()
        self.slopes = [*self.slopes, slope / 2][-5:]
        return direction, slope

    def judge(self, direction: Vector, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Return which problems are done, and their estimated relative distances to the optimum."""
        goal = (self.values * self.untrained).sqrt() if self.lenient else self.values
        size = torch.minimum(goal, self.untrained - self.values)
        size = size.clamp_min(NEGLIGIBLE_LOSS * self.loss.weights.sum(0, dtype=torch.float64))
        proven = self.coordinates.bound_gap(self.gradient, self.curvature) / size
        steepest = torch.stack(self.slopes).amax(0) / size
        gaps = 5 * steepest
        plausible = (proven <= 30 * self.tol) | (steepest <= max(self.tol / 1000, self.noise))
        plausible |= torch.full_like(plausible, self.trusted)
        plausible &= self.hessian is not None or len(self.past) > STEPS_TO_JUDGE  # the first slopes have no scale
        done = (proven <= self.tol) | (gaps <= max(self.tol / 2, self.noise)) & plausible
        if self.trusted and bool(done.any()):
            done &= ~self._moves_far(direction)
        done |= self._is_stalled()
        return done, torch.minimum(gaps, proven) * size

    def is_good(self, ended: Tensor, gaps: Tensor) -> Tensor:
        """Return which of the problems that ended did so near their optima, and not because rounding stopped them."""
        size = (self.values * self.untrained).sqrt()
        return ended & (gaps <= max(self.tol, torch.finfo(self.scores.dtype).eps ** 0.5) * size)

    def _moves_far(self, direction: Vector) -> Tensor:
        """Return for which problems the curvature along the direction is that of rows whose scores change much.

        Then it does not last: an outlier that holds its score back today may be out of the way tomorrow.
        """
        change = self.coordinates.scores(direction)
        curvatures = self.loss.curvatures_along(self.scores, change)
        far = change.abs().amax(2) > FAR
        return (curvatures * far).sum(0) > curvatures.sum(0) / 2

    def _is_stalled(self) -> Tensor:
        """Return for which problems the last ten steps together lowered the objective by no more than its rounding."""
        before, *after = self.past
        if len(after) < STEPS_REMEMBERED:
            return torch.zeros_like(self.values, dtype=torch.bool)
        return before - torch.stack(after).amin(0) <= self.noise * before

    def advance(self, direction: Vector, slope: Tensor) -> Tensor | None:
        """Step along the direction; return which problems found no lower point and stay where they are, if any."""
        change = self.coordinates.scores(direction)
        found = self._search_line(direction, change, slope)
        if found.some_failed:  # whatever the memory said: once more along the gradient
            stuck = found.rate == 0
            self.memory.forget(stuck)
            plain = self.gradient if self.hessian is None else self.gradient.divide(self.hessian)
            direction = Vector(
                *(torch.where(stuck[:, None], new, old) for new, old in zip(plain, direction, strict=True))
            )
            slope = self.gradient.dot(direction).double()
            change = self.coordinates.scores(direction)
            found = self._search_line(direction, change, slope)
        values, scores = found.values, found.scores
        failed = found.rate == 0 if found.some_failed else None
        if failed is not None:
            values = torch.where(failed, self.values, values)
            scores = torch.where(failed[:, None], self.scores, scores)
        self.point = self.point.plus(-found.rate, direction)
        gradient = self.coordinates.gradient(self.point, found.residuals)
        change_of_gradient = gradient.plus(-torch.ones_like(found.rate), self.gradient)
        self.memory.add(direction.times(-found.rate), change_of_gradient, self.hessian)
        self.values, self.square, self.scores = values, found.square, scores
        self.residuals, self.gradient = found.residuals, gradient
        self.past = [*self.past, values][-STEPS_REMEMBERED - 1 :]
        return failed

    def _search_line(self, direction: Vector, change: Tensor, slope: Tensor) -> "LinePoint":
        return search_line(
            self.loss,
            self.scores,
            change,
            self.values,
            slope,
            (
                self.square,
                self.coordinates.penalty(self.point, direction),
                self.coordinates.penalty(direction, direction),
            ),
            self.noise,
        )

    def select(self, chosen: Tensor) -> Self:
        """Return the run of the chosen problems."""
        index = chosen.nonzero()[:, 0]
        part = copy.copy(self)
        part.problems, part.curvature = self.problems[index], self.curvature[index]
        part.values, part.square, part.untrained = self.values[index], self.square[index], self.untrained[index]
        part.coordinates, part.loss = self.coordinates.select(index), self.loss.select(index)
        part.point, part.gradient = self.point.select(index), self.gradient.select(index)
        part.scores, part.residuals = self.scores[:, index], self.residuals[:, index]
        part.memory = self.memory.select(index)
        part.hessian = part.coordinates.guess_hessian(part.curvature)
        part.past = [past[index] for past in self.past]
        part.slopes = [past[index] for past in self.slopes]
        return part

    def record(self, solution: Solution, chosen: Tensor, gaps: Tensor, n_iter: int, converged: Tensor) -> None:
        """Write where the chosen problems stand into the solution."""
        problems = self.problems[chosen]
        solution.point.coords[:, problems] = self.point.coords[:, chosen]
        if solution.point.image is not solution.point.coords:
            solution.point.image[:, problems] = self.point.image[:, chosen]
        solution.scores[:, problems] = self.scores[:, chosen]
        solution.values[problems], solution.gaps[problems] = self.values[chosen], gaps[chosen]
        solution.n_iter[problems.cpu()] = n_iter
        solution.converged[problems] = converged[chosen]


@dataclass
class LinePoint:
    """A point of each problem on its line: the rate is zero where none was found that is low enough."""

    rate: Tensor
    values: Tensor
    square: Tensor  # the penalty, twice
    scores: Tensor
    residuals: Tensor
    some_failed: bool


def search_line(
    loss: Loss,
    scores: Tensor,
    change: Tensor,
    values: Tensor,
    slope: Tensor,
    penalties: tuple[Tensor, Tensor, Tensor],
    noise: float,
) -> LinePoint:
    """Return a point along the direction that is low enough for each problem.

    A trial costs no product with the features: scores are known along the whole line, and so is the penalty, from
    those of the point, of point and direction, and of the direction.
    """
    square, cross, curve = penalties
    rate = torch.ones_like(slope)
    for _ in range(MAX_TRIALS):
        scores_after = torch.addcmul(scores, -rate.to(scores)[:, None], change)
        losses, residuals = loss.evaluate(scores_after)
        square_after = square - 2 * rate * cross + rate.square() * curve
        values_after = losses + square_after / 2
        accepted = values_after <= values - SUFFICIENT_DECREASE * rate * slope + noise * values.abs()
        if bool(accepted.all()):
            return LinePoint(rate.to(scores.dtype), values_after, square_after, scores_after, residuals, False)
        # the minimum of the parabola through value, slope and trial, kept within a tenth and a half
        shrink = slope * rate / (2 * (values_after - values + rate * slope))
        shrink = torch.nan_to_num(shrink, nan=0.1).clamp(0.1, 0.5)
        rate = torch.where(accepted, rate, rate * shrink)
    rate = torch.where(accepted, rate, 0.0)
    square_after = torch.where(accepted, square_after, square)
    return LinePoint(rate.to(scores.dtype), values_after, square_after, scores_after, residuals, True)
