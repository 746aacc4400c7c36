"""L-BFGS on many convex problems at once, each with its own step lengths, history and end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from transferkit._training.coordinates import Coordinates, Vector
from transferkit._training.losses import Loss

__all__ = ["Solution", "minimise"]

SUFFICIENT_DECREASE = 1e-4
MAX_TRIALS = 25
SLOWEST_RATE = 0.95  # of gain from one five steps to the next; irregular progress is taken for slow


@dataclass
class Solution:
    """Where each problem ended; `gaps` estimate (objective - optimum) / objective."""

    point: Vector
    scores: Tensor  # (n_rows, n_problems, n_outputs)
    values: Tensor  # (n_problems,)
    n_iter: Tensor
    gaps: Tensor
    converged: Tensor


class Pair(NamedTuple):
    """A step, the change of the gradient along it, and 1 / <step, change> (0: leave it out)."""

    step: Vector
    change: Vector
    inverse: Tensor


def minimise(
    coordinates: Coordinates,
    loss: Loss,
    start: Vector,
    *,
    offset: Tensor | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
    memory: int = 10,
    on_iteration: Callable[[int, Tensor], bool] | None = None,
) -> Solution:
    """Minimise loss(scores + offset) + penalty / 2 of each problem.

    A problem ends when its objective is proven to lie within the fraction `tol` of the optimum (see
    `bound_gap`), or is estimated to: by the slopes along its last five directions (half of one is the gain of a
    Newton step; five times that allows for what L-BFGS does not see) and by the rate at which its last ten steps
    gained. It also ends when rounding hides all progress.
    `on_iteration(iteration, values)` is called after each iteration; a true answer stops all problems.

    Parameters
    ----------
    coordinates, loss
        The problems; both shrink as problems end.
    start : Vector
        First point of each problem.
    offset : Tensor of shape (n_rows, 1 or n_problems, n_outputs), optional
        Added to all scores: the scores of the weights to which the penalty pulls.
    """
    point, n_problems = start, start.coords.shape[1]
    scores = coordinates.scores(point)
    scores = scores if offset is None else scores + offset
    losses, residuals = loss.evaluate(scores)
    values = losses + coordinates.penalty(point, point) / 2
    gradient = coordinates.gradient(point, residuals)
    running = torch.arange(n_problems, device=values.device)
    solution = Solution(
        point=Vector(point.coords.clone(), point.image.clone()),
        scores=scores.clone(),
        values=values.clone(),
        n_iter=torch.zeros(n_problems, dtype=torch.int64),
        gaps=values.new_full((n_problems,), torch.inf),
        converged=torch.zeros(n_problems, dtype=torch.bool, device=values.device),
    )
    pairs: list[Pair] = []
    history: list[Tensor] = [values]
    slopes: list[Tensor] = []
    noise = 4 * torch.finfo(scores.dtype).eps
    for iteration in range(max_iter + 1):
        curvature = loss.measure_curvature(residuals)
        direction = find_direction(gradient, pairs, coordinates.guess_hessian(curvature))
        slope = gradient.dot(direction).double()
        proven = coordinates.bound_gap(gradient, curvature) / values
        slopes = [*slopes, slope / 2][-5:]
        steepest = torch.stack(slopes).amax(0) / values
        gaps = torch.maximum(5 * steepest, extrapolate_gain(history) / values)
        plausible = (proven <= 30 * tol) | (steepest <= max(tol / 1000, noise))
        ended = (proven <= tol) | (gaps <= max(tol / 2, noise)) & plausible
        stopped = iteration > 0 and on_iteration is not None and on_iteration(iteration, values)
        if iteration == max_iter or stopped:
            record(solution, running, point, scores, values, gaps, iteration, ended)
            break
        accepted, rate = ended, torch.zeros_like(values)
        if not bool(ended.all()):
            change = coordinates.scores(direction)
            rate, values_after, scores_after, residuals = search_line(
                coordinates, loss, point, direction, scores, change, values, slope, noise
            )
            accepted = rate > 0
        finished = ended | ~accepted
        if bool(finished.any()):
            keep = finished.logical_not().nonzero()[:, 0]
            gone = finished.nonzero()[:, 0]
            # a line search that finds nothing has met the rounding of the scores: no better point exists
            record(
                solution,
                running[gone],
                point.select(gone),
                scores[:, gone],
                values[gone],
                gaps[gone],
                iteration,
                torch.ones_like(gone, dtype=torch.bool),
            )
            if len(keep) == 0:
                break
            running, coordinates, loss = running[keep], coordinates.select(keep), loss.select(keep)
            point, gradient, direction = point.select(keep), gradient.select(keep), direction.select(keep)
            pairs = [Pair(s.select(keep), y.select(keep), r[keep]) for s, y, r in pairs]
            history, slopes = ([past[keep] for past in pasts] for pasts in (history, slopes))
            rate, values_after = rate[keep], values_after[keep]
            scores_after, residuals = scores_after[:, keep], residuals[:, keep]
        point = point.plus(-rate, direction)
        values, scores, history = values_after, scores_after, [*history, values_after][-11:]
        gradient_after = coordinates.gradient(point, residuals)
        step, change_of_gradient = (
            direction.times(-rate),
            gradient_after.plus(-torch.ones_like(rate), gradient),
        )
        pairs = [*pairs, make_pair(step, change_of_gradient)][-memory:]
        gradient = gradient_after
    return solution


def find_direction(gradient: Vector, pairs: list[Pair], hessian: Tensor | None) -> Vector:
    """Return the two-loop recursion's answer: inverse Hessian @ gradient (to be subtracted).

    `hessian`, where the coordinates know one, is the diagonal that the recursion begins with.
    """
    direction, factors = gradient, []
    for pair in reversed(pairs):
        factors.append(pair.inverse * pair.step.dot(direction))
        direction = direction.plus(-factors[-1], pair.change)
    if hessian is not None:
        direction = direction.divide(hessian)
    if pairs:
        last = pairs[-1]
        change = last.change if hessian is None else last.change.divide(hessian)
        size = last.inverse * last.change.dot(change)
        direction = direction.times(torch.where(size > 0, 1 / size, torch.ones_like(size)))
    for pair, factor in zip(pairs, reversed(factors), strict=True):
        direction = direction.plus(factor - pair.inverse * pair.change.dot(direction), pair.step)
    return direction


def extrapolate_gain(history: list[Tensor]) -> Tensor:
    """Return what is still to gain if the last five steps' gain keeps shrinking as it did before them."""
    last, middle, first = history[-1], history[-6:][0], history[-11:][0]
    late, early = middle - last, first - middle
    rate = (late / early.clamp_min(torch.finfo(late.dtype).tiny)).clamp(0, SLOWEST_RATE)
    return late * rate / (1 - rate)


def make_pair(step: Vector, change: Vector) -> Pair:
    product, length = step.dot(change), change.dot(change)
    usable = (product > 0) & (length > 0)
    return Pair(step, change, torch.where(usable, 1 / product.clamp_min(torch.finfo(product.dtype).tiny), 0.0))


def search_line(
    coordinates: Coordinates,
    loss: Loss,
    point: Vector,
    direction: Vector,
    scores: Tensor,
    change: Tensor,
    values: Tensor,
    slope: Tensor,
    noise: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the accepted rates (0 where none is), and values, scores and residuals there.

    A trial costs no product with the features: scores and penalty are known along the whole line.
    """
    square = coordinates.penalty(point, point)
    cross = coordinates.penalty(point, direction)
    curve = coordinates.penalty(direction, direction)
    rate = torch.ones_like(slope)
    for _ in range(MAX_TRIALS):
        scores_after = torch.addcmul(scores, -rate.to(scores)[:, None], change)
        losses, residuals = loss.evaluate(scores_after)
        values_after = losses + (square - 2 * rate * cross + rate.square() * curve) / 2
        accepted = values_after <= values - SUFFICIENT_DECREASE * rate * slope + noise * values.abs()
        if bool(accepted.all()):
            break
        # the minimum of the parabola through value, slope and trial, kept within a tenth and a half
        shrink = slope * rate / (2 * (values_after - values + rate * slope))
        shrink = torch.nan_to_num(shrink, nan=0.1).clamp(0.1, 0.5)
        rate = torch.where(accepted, rate, rate * shrink)
    return torch.where(accepted, rate, 0.0).to(scores.dtype), values_after, scores_after, residuals


def record(
    solution: Solution,
    problems: Tensor,
    point: Vector,
    scores: Tensor,
    values: Tensor,
    gaps: Tensor,
    n_iter: int,
    converged: Tensor,
) -> None:
    """Write where the problems stand into the solution."""
    solution.point.coords[:, problems] = point.coords
    solution.point.image[:, problems] = point.image
    solution.scores[:, problems] = scores
    solution.values[problems], solution.gaps[problems] = values, gaps
    solution.n_iter[problems.cpu()] = n_iter
    solution.converged[problems] = converged
