"""L-BFGS on many convex problems at once, each with its own step lengths, history and end."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from transferkit._training.device import one_thread_if_small
from transferkit._training.linear.lbfgs_history import LBFGSHistory, solve_hessian
from transferkit._training.linear.losses import Loss, average_curvature
from transferkit._training.linear.preconditioning import Vector
from transferkit._training.linear.problem import LinearProblem

__all__ = ["NEGLIGIBLE_LOSS", "LBFGSState", "Solution", "minimise"]

SUFFICIENT_DECREASE = (
    1e-4  # of the objective, as a fraction of the decrease that its slope predicts (Armijo's condition)
)
MAX_TRIALS = 25  # step lengths tried by a line search
NEGLIGIBLE_LOSS = 1e-6  # per row: smaller objectives count as this one, or a perfect fit would never end
STEPS_BETWEEN_CHECKS = 4  # on a GPU, since reading which problems have converged waits for the device
SHARE_TO_REMOVE = 0.25  # of converged problems; fewer are kept, since removal copies the history of the others
STEPS_WITHOUT_SCALE = 3  # at first the inverse Hessian is a guess, and the size of the gain it predicts means nothing
GAINS_KEPT = 5  # last steps over which the largest predicted gain is taken
STEPS_TO_STALL = 10  # steps that together gain no more than rounding end the training
LARGE_SCORE_CHANGE = 0.5  # beyond which the curvature of a row's loss changes


@dataclass
class Solution:
    """The last point of each problem."""

    u: Vector
    scores: Tensor  # (n_rows, n_problems, n_outputs), with the offset
    objectives: Tensor  # (n_problems,)
    n_iter: Tensor
    converged: Tensor


def minimise(
    problem: LinearProblem,
    start: Vector,
    *,
    tol: float = 1e-4,
    max_iter: int = 1000,
    loose: bool = False,
    trust_hessian: bool = False,
    on_iteration: Callable[["LBFGSState"], bool] | None = None,
) -> Solution:
    """Return the minimum of each problem.

    A problem stops when its optimality gap is at most the fraction `tol` of the objective, and of the decrease from
    weights of zero: either an upper bound on it (see `Preconditioner.bound_gap`), or five times the largest gain that
    the last five steps predicted, where half the slope is the gain of a Newton step. It also stops when rounding hides
    all progress, because no lower point is found or because ten steps together gain no more than rounding; then it has
    converged only if the estimated gap is small.

    Parameters
    ----------
    problem : LinearProblem
        Shrinks as single problems converge.
    start : Vector
        First point of each problem.
    loose : bool
        Whether the tolerance is relative to the geometric mean of the objective and that of weights of zero: looser
        for nearly separable classes, if only scores are needed.
    trust_hessian : bool
        Whether the Hessian is known near the start, so that slopes predict the gain of a Newton step. A problem then
        continues while that step would change scores so much that the Hessian changes.
    on_iteration : callable, optional
        Called after each iteration; a true answer stops all problems.
    """
    state = LBFGSState(problem, start, tol, loose, trust_hessian)
    with one_thread_if_small(start.coords.device, 2 * len(problem.loss.weights) * start.coords.numel()):
        return _iterate(state, max_iter, on_iteration)


def _iterate(running: "LBFGSState", max_iter: int, on_iteration: Callable[["LBFGSState"], bool] | None) -> Solution:
    solution = running.begin_solution()
    on_cpu = running.u.coords.device.type == "cpu"
    check_every = 1 if on_cpu or on_iteration is not None else STEPS_BETWEEN_CHECKS
    for n_iter in range(max_iter + 1):
        direction, slope = running.find_direction()
        if n_iter % check_every and n_iter < max_iter:
            running.step(direction, slope)
            continue
        done, gaps = running.check_convergence(direction)
        stopped = n_iter > 0 and on_iteration is not None and on_iteration(running)
        if n_iter == max_iter or stopped or bool(done.all()):
            running.record(solution, torch.ones_like(done), n_iter, running.is_near_optimum(done, gaps) | stopped)
            break
        if int(done.sum()) >= SHARE_TO_REMOVE * len(done):
            running.record(solution, done, n_iter, running.is_near_optimum(done, gaps))
            running, direction, slope, gaps = running.select(~done), direction.select(~done), slope[~done], gaps[~done]
        failed = running.step(direction, slope)
        if failed is not None:  # rounding hides all progress
            running.record(solution, failed, n_iter, running.is_near_optimum(failed, gaps))
            if bool(failed.all()):
                break
            running = running.select(~failed)
    return solution


class LBFGSState:
    """The state of the problems that have not converged yet: their points and the L-BFGS history."""

    def __init__(self, problem: LinearProblem, start: Vector, tol: float, loose: bool, trust_hessian: bool) -> None:
        self.problem, self.u, self.tol, self.loose, self.trust_hessian = problem, start, tol, loose, trust_hessian
        self.scores = problem.add_offset(problem.preconditioner.scores(start))
        self.at_zero, _ = problem.loss.evaluate(problem.add_offset(torch.zeros_like(self.scores)))  # objectives
        losses, self.residuals = problem.loss.evaluate(self.scores)
        self.penalty = problem.preconditioner.penalty(start, start)  # ||weights||^2 / C, half of which counts
        self.objectives = losses + self.penalty / 2
        self.gradient = problem.preconditioner.gradient(start, self.residuals)
        self.numbers = torch.arange(len(self.objectives), device=self.objectives.device)  # of the problems
        self.rounding = 4 * torch.finfo(self.scores.dtype).eps
        self.history = LBFGSHistory(problem.preconditioner.history)
        self.past_objectives, self.past_gains = [self.objectives], list[Tensor]()

    def begin_solution(self) -> Solution:
        """Return a solution with room for all problems."""
        zeros = torch.zeros_like(self.numbers)
        return Solution(
            self.u.map(torch.clone), self.scores.clone(), self.objectives.clone(), zeros.cpu(), zeros.bool()
        )

    def find_direction(self) -> tuple[Vector, Tensor]:
        """Return the direction (to be subtracted) and the slope along it."""
        self.curvature = average_curvature(self.residuals, self.problem.loss.weights)
        self.hessian = self.problem.preconditioner.approximate_hessian(self.curvature)
        direction = self.history.find_direction(self.gradient, self.hessian)
        slope = self.gradient.dot(direction).double()
        self.past_gains = [*self.past_gains, slope / 2][-GAINS_KEPT:]
        return direction, slope

    def check_convergence(self, direction: Vector) -> tuple[Tensor, Tensor]:
        """Return which problems stop here, and estimates of their optimality gaps."""
        goal = (self.objectives * self.at_zero).sqrt() if self.loose else self.objectives
        size = torch.minimum(goal, self.at_zero - self.objectives)
        size = size.clamp_min(NEGLIGIBLE_LOSS * self.problem.loss.weights.sum(0, dtype=torch.float64))
        bounds = self.problem.preconditioner.bound_gap(self.gradient, self.curvature) / size
        gains = torch.stack(self.past_gains).amax(0) / size
        gaps = 5 * gains
        plausible = (bounds <= 30 * self.tol) | (gains <= max(self.tol / 1000, self.rounding))
        plausible |= torch.full_like(plausible, self.trust_hessian)
        plausible &= self.hessian is not None or len(self.past_objectives) > STEPS_WITHOUT_SCALE
        done = (bounds <= self.tol) | (gaps <= max(self.tol / 2, self.rounding)) & plausible
        if self.trust_hessian and bool(done.any()):
            done &= ~self._changes_curvature(direction)
        done |= self._is_stalled()
        return done, torch.minimum(gaps, bounds) * size

    def is_near_optimum(self, stopped: Tensor, gaps: Tensor) -> Tensor:
        """Return which of the problems that stopped did so near their optima, and not because of rounding."""
        size = (self.objectives * self.at_zero).sqrt()
        return stopped & (gaps <= max(self.tol, torch.finfo(self.scores.dtype).eps ** 0.5) * size)

    def _changes_curvature(self, direction: Vector) -> Tensor:
        """Return for which problems most curvature along the direction is that of rows whose scores change much.

        Such curvature does not last: an outlier that has a large part in it may have none after the step.
        """
        change = self.problem.preconditioner.scores(direction)
        curvatures = self.problem.loss.curvatures_along(self.scores, change)
        is_large = change.abs().amax(2) > LARGE_SCORE_CHANGE
        return (curvatures * is_large).sum(0) > curvatures.sum(0) / 2

    def _is_stalled(self) -> Tensor:
        """Return for which problems the last ten steps together gained no more than rounding."""
        before, *after = self.past_objectives
        if len(after) < STEPS_TO_STALL:
            return torch.zeros_like(self.objectives, dtype=torch.bool)
        return before - torch.stack(after).amin(0) <= self.rounding * before

    def step(self, direction: Vector, slope: Tensor) -> Tensor | None:
        """Step along the direction; return which problems found no lower point and stay where they are, if any."""
        found = self._search_line(direction, slope)
        if found.some_failed:  # try again without the history
            stuck = found.rate == 0
            self.history.forget(stuck)
            plain = solve_hessian(self.hessian, self.gradient)
            pairs = zip(plain, direction, strict=True)
            direction = Vector(*(torch.where(stuck[:, None], new, old) for new, old in pairs))
            found = self._search_line(direction, self.gradient.dot(direction).double())
        objectives, scores = found.objectives, found.scores
        failed = found.rate == 0 if found.some_failed else None
        if failed is not None:
            objectives = torch.where(failed, self.objectives, objectives)
            scores = torch.where(failed[:, None], self.scores, scores)
        self.u = self.u.plus(-found.rate, direction)
        gradient = self.problem.preconditioner.gradient(self.u, found.residuals)
        change_of_gradient = gradient.plus(-torch.ones_like(found.rate), self.gradient)
        self.history.add(direction.scaled(-found.rate), change_of_gradient, self.hessian)
        self.objectives, self.penalty, self.scores = objectives, found.penalty, scores
        self.residuals, self.gradient = found.residuals, gradient
        self.past_objectives = [*self.past_objectives, objectives][-STEPS_TO_STALL - 1 :]
        return failed

    def _search_line(self, direction: Vector, slope: Tensor) -> "LinePoint":
        penalty = self.problem.preconditioner.penalty
        penalties = self.penalty, penalty(self.u, direction), penalty(direction, direction)
        change = self.problem.preconditioner.scores(direction)
        return search_line(self.problem.loss, self.scores, change, self.objectives, slope, penalties, self.rounding)

    def select(self, chosen: Tensor) -> Self:
        """Return the state of the chosen problems."""
        index = chosen.nonzero()[:, 0]
        part = copy.copy(self)
        part.numbers, part.curvature = self.numbers[index], self.curvature[index]
        part.objectives, part.penalty, part.at_zero = self.objectives[index], self.penalty[index], self.at_zero[index]
        part.problem = self.problem.select(index)
        part.u, part.gradient = self.u.select(index), self.gradient.select(index)
        part.scores, part.residuals = self.scores[:, index], self.residuals[:, index]
        part.history = self.history.select(index)
        part.hessian = part.problem.preconditioner.approximate_hessian(part.curvature)
        part.past_objectives = [values[index] for values in self.past_objectives]
        part.past_gains = [gains[index] for gains in self.past_gains]
        return part

    def record(self, solution: Solution, chosen: Tensor, n_iter: int, converged: Tensor) -> None:
        """Write the state of the chosen problems into the solution."""
        numbers = self.numbers[chosen]
        solution.u.coords[:, numbers] = self.u.coords[:, chosen]
        if solution.u.image is not solution.u.coords:
            solution.u.image[:, numbers] = self.u.image[:, chosen]
        solution.scores[:, numbers] = self.scores[:, chosen]
        solution.objectives[numbers] = self.objectives[chosen]
        solution.n_iter[numbers.cpu()] = n_iter
        solution.converged[numbers] = converged[chosen]


@dataclass
class LinePoint:
    """A point of each problem on its line; the rate is zero if no lower one was found."""

    rate: Tensor
    objectives: Tensor
    penalty: Tensor
    scores: Tensor
    residuals: Tensor
    some_failed: bool


def search_line(
    loss: Loss,
    scores: Tensor,
    change: Tensor,
    objectives: Tensor,
    slope: Tensor,
    penalties: tuple[Tensor, Tensor, Tensor],
    rounding: float,
) -> LinePoint:
    """Return a point along the direction that is low enough for each problem.

    A trial costs no product with the features: along the line scores are linear, and the penalty is a parabola given
    by the penalties of the point, of point and direction, and of the direction.
    """
    penalty, cross, curve = penalties
    rate = torch.ones_like(slope)
    for _ in range(MAX_TRIALS):
        scores_after = torch.addcmul(scores, -rate.to(scores)[:, None], change)
        losses, residuals = loss.evaluate(scores_after)
        penalty_after = penalty - 2 * rate * cross + rate.square() * curve
        after = losses + penalty_after / 2
        accepted = after <= objectives - SUFFICIENT_DECREASE * rate * slope + rounding * objectives.abs()
        if bool(accepted.all()):
            return LinePoint(rate.to(scores.dtype), after, penalty_after, scores_after, residuals, False)
        # minimum of the parabola through objective, slope and trial, kept between a tenth and a half of the step
        shrink = slope * rate / (2 * (after - objectives + rate * slope))
        shrink = torch.nan_to_num(shrink, nan=0.1).clamp(0.1, 0.5)
        rate = torch.where(accepted, rate, rate * shrink)
    rate = torch.where(accepted, rate, 0.0)
    penalty_after = torch.where(accepted, penalty_after, penalty)
    return LinePoint(rate.to(scores.dtype), after, penalty_after, scores_after, residuals, True)
