"""L-BFGS on many convex problems at once, each with its own step lengths, history and end.

The history is used in its compact form: few large products instead of two loops of small ones. With steps S and changes
of the gradient Y as columns, R the upper triangle and D the diagonal of S.T @ Y, and H0 the inverse of an approximate
Hessian, the inverse Hessian of L-BFGS is (Byrd, Nocedal and Schnabel 1994, theorem 2.2)

    H g = H0 (g - Y p) + S q,    p = R^-1 S.T g,    q = R^-T (D p - Y.T H0 (g - Y p)).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from transferkit._algorithms.linear.logistic_regression import (
    GAINS_KEPT,
    MAX_TRIALS,
    NEGLIGIBLE_LOSS,
    STEPS_TO_STALL,
    STEPS_WITHOUT_SCALE,
    SUFFICIENT_DECREASE,
)
from transferkit._training.device import threads_for
from transferkit._training.linear.losses import Loss, average_curvature
from transferkit._training.linear.preconditioning import Hessian, Vector
from transferkit._training.linear.problem import LinearProblem

__all__ = ["LBFGSHistory", "LBFGSState", "Solution", "minimise"]

STEPS_BETWEEN_CHECKS = 4  # on a GPU, since reading which problems have converged waits for the device
SHARE_TO_REMOVE = 0.25  # of converged problems; fewer are kept, since removal copies the history of the others
LARGE_SCORE_CHANGE = 0.5  # beyond which the curvature of a row's loss changes
LEAST_HISTORY = 5  # steps
MOST_HISTORY_BYTES = 30_000_000  # of the steps beyond the least number
MAX_BATCHED_ENTRIES = 30_000  # of a matrix that a CPU multiplies by torch.bmm
PER_SCORE = 50  # products of numbers in a dense product that take as long as the loss of one score


@dataclass
class Solution:
    """The last point of each problem."""

    u: Vector
    scores: Tensor  # (n_rows, n_problems, n_outputs), with the offset
    objectives: Tensor  # (n_problems,)
    gradient: Tensor  # its coordinates
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

    With `loose` the tolerance is relative to the geometric mean of the objective and that of weights of zero: looser
    for nearly separable classes, if only scores are needed. With `trust_hessian` the Hessian is known near the start,
    so that slopes predict the gain of a Newton step; a problem then continues while that step would change scores so
    much that the Hessian changes. A true answer of `on_iteration`, called after each iteration, stops all problems.
    """
    state = LBFGSState(problem, start, tol, loose, trust_hessian)
    with threads_for(PER_SCORE * max(state.scores.numel(), start.coords.numel())):
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
        self.at_zero = problem.start_losses(self.scores)
        self.negligible = NEGLIGIBLE_LOSS * problem.loss.weights.sum(0, dtype=torch.float64)
        losses, self.residuals = problem.loss.evaluate(self.scores)
        self.penalty = problem.preconditioner.penalty(start, start)  # ||weights||^2 / C, half of which counts
        self.objectives = losses + self.penalty / 2
        self.gradient = problem.preconditioner.gradient(start, self.residuals)
        self.numbers = torch.arange(len(self.objectives), device=self.objectives.device)  # of the problems
        self.rounding = 4 * torch.finfo(self.scores.dtype).eps
        self.history = LBFGSHistory(limit_history(problem.preconditioner.history, start))
        self.past_objectives, self.past_gains = [self.objectives], list[Tensor]()

    def begin_solution(self) -> Solution:
        """Return a solution with room for all problems."""
        zeros = torch.zeros_like(self.numbers)
        scores, objectives, gradient = map(torch.clone, (self.scores, self.objectives, self.gradient.coords))
        return Solution(self.u.map(torch.clone), scores, objectives, gradient, zeros.cpu(), zeros.bool())

    def find_direction(self) -> tuple[Vector, Tensor]:
        """Return the direction (to be subtracted) and the slope along it."""
        self.curvature = average_curvature(self.problem.loss, self.residuals)
        self.hessian = self.problem.preconditioner.approximate_hessian(self.curvature)
        direction = self.history.find_direction(self.gradient, self.hessian)
        slope = self.gradient.dot(direction).double()
        self.past_gains = [*self.past_gains, slope / 2][-GAINS_KEPT:]
        return direction, slope

    def check_convergence(self, direction: Vector) -> tuple[Tensor, Tensor]:
        """Return which problems stop here, and estimates of their optimality gaps."""
        goal = (self.objectives * self.at_zero).sqrt() if self.loose else self.objectives
        size = torch.minimum(goal, self.at_zero - self.objectives)
        size = size.clamp_min(self.negligible)
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
        size = (self.objectives * self.at_zero).sqrt().clamp_min(self.negligible)
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
        change_of_gradient = gradient.plus(-1, self.gradient)
        self.history.add(direction.scaled(-found.rate), change_of_gradient)
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
        part.negligible, part.problem = self.negligible[index], self.problem.select(index)
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
        solution.gradient[:, numbers] = self.gradient.coords[:, chosen]
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


def limit_history(size: int, point: Vector) -> int:
    """Return the number of steps to keep of long vectors: fewer, if they would take much memory."""
    per_step = 2 * point.coords.numel() * point.coords.element_size() * (1 if point.image is point.coords else 2)
    return max(LEAST_HISTORY, min(size, MOST_HISTORY_BYTES // per_step))


class LBFGSHistory:
    """The last steps and changes of the gradient of n_problems problems, as arrays (n_problems, size, length).

    The oldest is replaced by the newest, so R is triangular in the order of time but not in that of the array. Its
    inverse gets one column per step, and the rows and columns of pairs that are left out are zero in it.
    """

    def __init__(self, size: int) -> None:
        self.size, self.count = size, 0

    def add(self, step: Vector, change: Vector) -> None:
        """Store a step and the change of the gradient along it in place of the oldest."""
        if self.count == 0:
            self._allocate(step)
        place = self.count % self.size
        self.count += 1
        for kept, vector in ((self.steps, step), (self.changes, change)):
            kept.coords[:, place] = flatten(vector.coords)
            if kept.image is not kept.coords:
                kept.image[:, place] = flatten(vector.image)
        n_used = min(self.count, self.size)
        products = multiply(self.steps.coords[:, :n_used], flatten(change.image))
        curvature = products[:, place]
        factor = torch.where(curvature > 0, 1 / curvature, 0.0)
        inverse = self.inverse[:, :n_used, :n_used]
        inverse[:, place] = inverse[:, :, place] = 0
        inverse[:, :, place] = -factor[:, None] * torch.bmm(inverse, products[:, :, None])[:, :, 0]
        inverse[:, place, place] = factor
        self.curvatures[:, place] = torch.where(curvature > 0, curvature, 0.0)

    def find_direction(self, gradient: Vector, hessian: Hessian | None) -> Vector:
        """Return the inverse Hessian times the gradient (to be subtracted)."""
        if self.count == 0:
            return solve_hessian(hessian, gradient)
        n_used, shape, dtype = min(self.count, self.size), gradient.coords.shape, gradient.coords.dtype
        steps, changes = (kept.map(lambda part: part[:, :n_used]) for kept in (self.steps, self.changes))
        inverse, curvatures = self.inverse[:, :n_used, :n_used], self.curvatures[:, :n_used]
        p = torch.bmm(inverse, multiply(steps.coords, flatten(gradient.image))[:, :, None])
        rest = gradient.plus(1, combine(changes, -p.to(dtype), shape))
        first = solve_hessian(hessian, rest).scaled(self._find_scale(hessian, shape).to(dtype))
        on_changes = multiply(changes.coords, flatten(first.image))
        q = torch.bmm(inverse.mT, curvatures[:, :, None] * p - on_changes[:, :, None])
        return first.plus(1, combine(steps, q.to(dtype), shape))

    def forget(self, problems: Tensor) -> None:
        """Leave out the steps of the problems for which the mask (n_problems,) is true."""
        if self.count:
            self.inverse.masked_fill_(problems[:, None, None], 0)
            self.curvatures.masked_fill_(problems[:, None], 0)

    def select(self, problems: Tensor) -> Self:
        """Return the history of some of the problems."""
        part = copy.copy(self)
        if self.count:
            part.steps, part.changes = (kept.map(lambda rows: rows[problems]) for kept in (self.steps, self.changes))
            part.inverse, part.curvatures = self.inverse[problems], self.curvatures[problems]
        return part

    def _allocate(self, like: Vector) -> None:
        n_variables, n_problems, n_outputs = like.coords.shape
        shape = (n_problems, self.size, n_variables * n_outputs)
        self.steps, self.changes = (like.map(lambda part: part.new_empty(shape)) for _ in range(2))
        self.inverse = like.coords.new_zeros(n_problems, self.size, self.size, dtype=torch.float64)  # of R
        self.curvatures = torch.zeros_like(self.inverse[:, 0])  # the diagonal of R, zero for pairs that are left out

    def _find_scale(self, hessian: Hessian | None, shape: torch.Size) -> Tensor:
        """Return the factor of H0 that makes it exact along the newest change of the gradient, (n_problems,)."""
        newest = (self.count - 1) % self.size
        change = self.changes.map(lambda part: unflatten(part[:, newest], shape))
        size = solve_hessian(hessian, change).dot(change).double()
        curvature = self.curvatures[:, newest]
        return torch.where((curvature > 0) & (size > 0), curvature / size, 1.0)


def solve_hessian(hessian: Hessian | None, vector: Vector) -> Vector:
    """Return the inverse of an approximate Hessian, None for the identity, times the vector."""
    if hessian is None:
        return vector
    if not isinstance(hessian, Tensor):
        return hessian.solve(vector)
    coords = vector.coords / hessian  # a diagonal is known only if the image of a vector is the vector itself
    return Vector(coords, coords)


def flatten(part: Tensor) -> Tensor:
    """Return (n_variables, n_problems, n_outputs) as one row per problem."""
    return part.transpose(0, 1).reshape(part.shape[1], -1)


def unflatten(rows: Tensor, shape: torch.Size) -> Tensor:
    """Return one row per problem as (n_variables, n_problems, n_outputs)."""
    n_variables, n_problems, n_outputs = shape
    return rows.view(n_problems, n_variables, n_outputs).transpose(0, 1)


def multiply(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the inner products of vectors (n_problems, n, length) with one per problem, in float64."""
    return multiply_batches(rows, vector[:, :, None])[:, :, 0].double()


def combine(stored: Vector, factors: Tensor, shape: torch.Size) -> Vector:
    """Return the combination of stored vectors with factors (n_problems, n, 1), in the shape of a vector."""
    return stored.map(lambda part: unflatten(multiply_batches(part.mT, factors), shape))


def multiply_batches(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product of each problem; large ones on a CPU in a loop, ten times faster than torch.bmm."""
    if left.device.type != "cpu" or left.shape[1] * left.shape[2] < MAX_BATCHED_ENTRIES:
        return torch.bmm(left, right)
    product = left.new_empty(len(left), left.shape[1], right.shape[2])
    for a, b, out in zip(left, right, product, strict=True):
        if right.shape[2] == 1:
            torch.mv(a, b[:, 0], out=out[:, 0])
        else:
            torch.mm(a, b, out=out)
    return product
