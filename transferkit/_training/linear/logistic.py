"""Training of penalised linear classifiers: NumPy and SciPy in, NumPy out, torch in between."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._training.device import choose_device
from transferkit._training.linear.coordinates import Coordinates, Vector, WhiteCoordinates
from transferkit._training.linear.geometry import find_geometry
from transferkit._training.linear.hessian_blocks import MAX_WHOLE, BlockCoordinates, suits_blocks
from transferkit._training.linear.lbfgs import NEGLIGIBLE_LOSS, Run, Solution, minimise
from transferkit._training.linear.losses import LogisticLoss, Loss, SoftmaxLoss
from transferkit._training.modes import with_own_modes

__all__ = [
    "TOO_LARGE",
    "LinearModel",
    "Prior",
    "make_loss",
    "to_model",
    "torch_dtype",
    "train",
    "train_linear_classifier",
]

SMALL_PROBLEM = 100_000  # entries times outputs; up to here float64 costs no time, as calls take longer than sums

CERTAIN = 30  # times the tolerance: what the penalty alone proves may be so much, as it knows no curvature of the loss
LARGE_SQUARE = 1e30
TOO_LARGE = (
    "The features are too large for arithmetic with float64, in which their squares overflow: scale them, for "
    "instance with sklearn.preprocessing.StandardScaler."
)
MANY_STEPS = 30  # well-conditioned problems end before; chosen on random problems with C up to 1e6


@dataclass
class LinearModel:
    """A trained model in NumPy; `coef.T` is C-contiguous, so that X @ coef.T copies nothing."""

    coef: np.ndarray  # (n_outputs, n_features)
    intercept: np.ndarray  # (n_outputs,)
    n_iter: int
    converged: bool

    def astype(self, dtype: Any) -> "LinearModel":
        """Return the model with weights of another type."""
        coef, intercept = self.coef.astype(dtype, copy=False), self.intercept.astype(dtype, copy=False)
        return replace(self, coef=coef, intercept=intercept)


@with_own_modes()
def train_linear_classifier(
    X: Any,
    targets: np.ndarray,
    row_weights: np.ndarray,
    C: float,
    *,
    n_outputs: int,
    fit_intercept: bool = True,
    tol: float = 1e-4,
    max_iter: int = 1000,
    device: str = "auto",
    prior: np.ndarray | None = None,
    block_scales: Sequence[float] | None = None,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    on_step: Callable[[Callable[[], LinearModel] | None], bool] | None = None,
) -> LinearModel:
    """Minimise sum(row_weights * loss) + ||coef - prior||^2 / (2 C).

    Small problems are solved in float64, so that their result does not depend on how a processor rounds float32, and so
    are those that float32 has not digits enough for; the model has the type of X.

    Parameters
    ----------
    X : array, CSR matrix or FeatureBlocks of shape (n_rows, n_features), float32 or float64
    targets : array
        With n_outputs > 1 the class numbers (n_rows,), for the softmax loss. With n_outputs = 1 zeros and ones
        of shape (n_rows, n_problems), for as many logistic losses.
    row_weights : array of shape (n_rows, 1) or (n_rows, n_problems)
        Rows that weigh nothing in any problem are left out.
    prior : array of shape (n_outputs or n_problems, n_features), optional
        Where the penalty pulls to; the origin by default.
    block_scales : sequence of float, optional
        The penalty of each block of X is divided by its scale squared; zero leaves a block out.
    start : (coef, intercept), optional
        Where to begin.
    on_step : callable, optional
        Called after each step with a function that returns the model as of that step, or with None while only some
        of several problems still run; a true answer ends the training.
    """
    kept = (row_weights > 0).any(1)
    if not kept.all():
        X, targets, row_weights = X[kept], targets[kept], row_weights[kept]
    dtype, options = X.dtype, SolverOptions(n_outputs, fit_intercept, tol, choose_device(device), prior, block_scales)
    report = on_step and (lambda read: on_step(read and (lambda: read().astype(dtype))))
    if len(targets) * min(X.shape) * n_outputs <= SMALL_PROBLEM:
        X = X.astype(np.float64)
    X, n_done = widen_lopsided(X)[0], 0
    try:
        model = solve(X, targets, row_weights, C, options, max_iter, start, report)
        if not model.converged and model.n_iter < max_iter and X.dtype == np.float32:
            start, n_done = (model.coef, model.intercept), model.n_iter
            X = X.astype(np.float64)
            model = solve(X, targets, row_weights, C, options, max_iter - n_done, start, report)
    except LinAlgError as error:
        raise ValueError(TOO_LARGE) from error
    if not (np.isfinite(model.coef).all() and np.isfinite(model.intercept).all()):
        raise ValueError(TOO_LARGE)
    return replace(model.astype(dtype), n_iter=n_done + model.n_iter)


@dataclass(frozen=True)
class SolverOptions:
    """What is the same whatever the type of numbers."""

    n_outputs: int
    fit_intercept: bool
    tol: float
    place: torch.device
    prior: np.ndarray | None
    block_scales: Sequence[float] | None


def widen_lopsided(X: Any) -> tuple[Any, bool]:
    """Return X, in float64 where float32 has not digits enough for it, and whether one row outweighs the others.

    That is where a row has more than a quarter of all squares, beside which float32 sees no other; squares near the
    limits of float32 ask for float64, too.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.zeros(X.shape[0])
        block: Any
        for block in X.blocks if isinstance(X, FeatureBlocks) else [X]:
            squares += np.ravel(block.multiply(block).sum(1)) if sp.issparse(block) else (block * block).sum(1)
        is_lopsided = not squares.max() <= squares.sum() / 4
    needs_digits = X.dtype == np.float32 and (is_lopsided or not squares.max() <= LARGE_SQUARE)
    return (X.astype(np.float64) if needs_digits else X), is_lopsided


def solve(
    X: Any,
    targets: np.ndarray,
    row_weights: np.ndarray,
    C: float,
    options: SolverOptions,
    max_iter: int,
    start: tuple[np.ndarray, np.ndarray] | None,
    on_step: Callable[[Callable[[], LinearModel] | None], bool] | None,
) -> LinearModel:
    """Return the model that training finds with numbers of X's type."""
    n_outputs, place = options.n_outputs, options.place
    prior = None if options.prior is None else Prior.of(X, options.prior, options.fit_intercept)
    loss, n_problems = make_loss(targets, row_weights, n_outputs, X.dtype, place)
    geometry = find_geometry(X, row_weights.mean(1), options.fit_intercept, place, options.block_scales)
    strengths = torch.full((n_problems,), C, dtype=torch_dtype(X.dtype), device=place)
    coordinates = geometry.coordinates(loss, strengths)
    offset = None if prior is None else prior.make_offset(n_outputs, place)
    point = coordinates.zeros(n_outputs)
    if start is not None:
        coef, intercept = (array.astype(X.dtype) for array in start)
        if prior is not None:
            coef, intercept = coef - prior.weights, (intercept + prior.mean_score).astype(X.dtype)
        shaped = coef.reshape(n_problems, n_outputs, -1)
        point = geometry.start(coordinates, loss, shaped, intercept.reshape(n_problems, n_outputs), offset)

    def report(run: Run) -> bool:
        def read() -> LinearModel:
            return to_model(*geometry.weights(run.coordinates, run.point), prior, 1, False)

        return on_step is not None and on_step(read if len(run.problems) == n_problems else None)

    tol = options.tol
    point, n_iter, converged = train(coordinates, loss, point, offset, tol=tol, max_iter=max_iter, on_iteration=report)
    return to_model(*geometry.weights(coordinates, point), prior, n_iter, converged)


def train(
    coordinates: Coordinates,
    loss: Loss,
    point: Vector,
    offset: Tensor | None,
    *,
    tol: float,
    max_iter: int,
    on_iteration: Callable[[Run], bool] | None = None,
) -> tuple[Vector, int, bool]:
    """Return where the problems end, after how many steps, and whether all have converged.

    Where the bound of the Hessian is a poor guess, the Hessian at the point that was reached takes its place (of
    several outputs its diagonal blocks): after every `MANY_STEPS` steps, and where L-BFGS ends with doubts.
    """
    n_iter, value, whole, stopped = 0, float("inf"), False, False

    def report(run: Run) -> bool:
        nonlocal stopped
        stopped = on_iteration is not None and on_iteration(run)
        return stopped

    options: dict[str, Any] = {"offset": offset, "tol": tol, "on_iteration": None if on_iteration is None else report}
    while True:
        is_refined, has_blocks = isinstance(coordinates, BlockCoordinates), suits_blocks(coordinates)
        n_steps = min(max_iter - n_iter, MANY_STEPS) if has_blocks else max_iter - n_iter
        solution = minimise(coordinates, loss, point, max_iter=n_steps, trusted=is_refined, **options)
        n_taken, total = int(solution.n_iter.max()), float(solution.values.sum())
        is_lower = value - total > 1e-15 * total
        point, value, n_iter, converged = solution.point, total, n_iter + n_taken, bool(solution.converged.all())
        if stopped or n_iter >= max_iter or not suits_blocks(coordinates):
            return point, n_iter, converged
        if is_refined and n_taken < n_steps and not (whole and is_lower):
            return point, n_iter, converged
        if converged and is_certain(coordinates, loss, solution, tol):
            return point, n_iter, True
        whole = len(coordinates.scale) * solution.scores.shape[2] <= MAX_WHOLE
        try:
            coordinates = BlockCoordinates.at(coordinates, loss, solution.scores, whole)
        except LinAlgError:  # rounding has made the Hessian indefinite
            return point, n_iter, converged


def is_certain(white: WhiteCoordinates, loss: Loss, solution: Solution, tol: float) -> bool:
    """Return whether the penalty alone tells that little is left to gain, whatever the curvature along each direction.

    The intercept is taken at the mean of the rows weighted by their curvatures, where it has no part in the weights'
    curvature.
    """
    losses, residuals = loss.evaluate(solution.scores)
    gradient = white.gradient(solution.point, residuals).coords / white.scale
    rest = torch.zeros_like(losses)
    if white.has_intercept:
        curvatures = loss.curvatures(solution.scores)
        totals = curvatures.sum(0).clamp_min(torch.finfo(losses.dtype).tiny)
        mean = white.rotate(white.features.transposed_times(curvatures.flatten(1)).view(-1, *totals.shape)) / totals
        gradient, last = gradient[:-1] - mean * gradient[-1], gradient[-1]
        rest = (last.square() / (2 * totals)).sum(1)
    gap = white.C / 2 * gradient.square().sum((0, 2), dtype=torch.float64) + rest
    size = solution.values.clamp_min(NEGLIGIBLE_LOSS * float(loss.weights.sum()))
    return bool((gap <= CERTAIN * tol * size).all())


def make_loss(
    targets: np.ndarray, row_weights: np.ndarray, n_outputs: int, dtype: Any, device: torch.device
) -> tuple[Loss, int]:
    """Return the loss of targets and row weights (n_rows, 1 or n_problems), and the number of problems."""
    weights = torch.from_numpy(np.ascontiguousarray(row_weights, dtype=dtype)).to(device)
    if n_outputs > 1:
        labels = torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64)).to(device)
        return SoftmaxLoss(labels, weights), weights.shape[1]
    columns = torch.from_numpy(np.ascontiguousarray(targets.reshape(len(targets), -1), dtype=dtype)).to(device)
    n_problems = max(columns.shape[1], weights.shape[1])
    return LogisticLoss(columns, weights.expand(-1, n_problems)), n_problems


@dataclass(frozen=True)
class Prior:
    """Weights that the penalty pulls to, and their mean score, which the intercept takes over where there is one.

    Far from the origin the scores of a prior are of the size of the features: an intercept that begins at zero would
    have all of that to make up for.
    """

    weights: np.ndarray  # (n_outputs or n_problems, n_features)
    scores: np.ndarray  # (n_rows, n_outputs or n_problems), less their mean where there is an intercept
    mean_score: np.ndarray  # (n_outputs or n_problems,)

    @classmethod
    def of(cls, X: Any, weights: np.ndarray, fit_intercept: bool) -> "Prior":
        """Return the prior of these weights for these rows."""
        scores = np.asarray(X @ weights.T)
        mean = scores.mean(0) if fit_intercept else np.zeros(scores.shape[1], scores.dtype)
        return cls(weights, np.ascontiguousarray(scores - mean, dtype=X.dtype), mean)

    def make_offset(self, n_outputs: int, device: torch.device) -> Tensor:
        """Return the scores on a device, (n_rows, n_problems, n_outputs) or (n_rows, 1, n_outputs)."""
        return torch.from_numpy(self.scores).to(device).view(len(self.scores), -1, n_outputs)


def to_model(
    weights: np.ndarray, intercepts: np.ndarray, prior: Prior | None, n_iter: int, converged: bool
) -> LinearModel:
    """Return the model of weights (n_features, n_problems, n_outputs) that were found from the prior on."""
    columns, intercept = np.ascontiguousarray(weights.reshape(len(weights), -1)), intercepts.reshape(-1)
    if prior is not None:
        columns += prior.weights.T
        intercept = (intercept - prior.mean_score).astype(intercept.dtype)
    return LinearModel(columns.T, intercept, n_iter, converged)


def torch_dtype(dtype: Any) -> torch.dtype:
    """Return torch's name of a NumPy float type."""
    return torch.float32 if np.dtype(dtype) == np.float32 else torch.float64
