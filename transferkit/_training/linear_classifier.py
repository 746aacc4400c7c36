"""Training of penalised linear classifiers: NumPy and SciPy in, NumPy out, torch in between."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.blocks import BlockCoordinates, suits_blocks
from transferkit._training.device import choose_device
from transferkit._training.geometry import find_geometry
from transferkit._training.lbfgs import Run, minimise
from transferkit._training.losses import LogisticLoss, Loss, SoftmaxLoss
from transferkit._training.modes import with_own_modes

__all__ = ["LinearModel", "make_loss", "make_offset", "to_model", "torch_dtype", "train_linear_classifier"]

SMALL_PROBLEM = 100_000  # entries times outputs; up to here float64 costs no time, as calls take longer than sums

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

    Small problems are solved in float64, so that their result does not depend on how a processor rounds float32; the
    model has the type of X. Where the bound of the Hessian is a poor guess, its diagonal blocks at the point that was
    reached take its place after every `MANY_STEPS` steps (more than two classes).

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
    place, dtype = choose_device(device), X.dtype
    if len(targets) * min(X.shape) * n_outputs <= SMALL_PROBLEM:
        X = X.astype(np.float64)
    loss, n_problems = make_loss(targets, row_weights, n_outputs, X.dtype, place)
    geometry = find_geometry(X, row_weights.mean(1), fit_intercept, place, block_scales)
    strengths = torch.full((n_problems,), C, dtype=torch_dtype(X.dtype), device=place)
    coordinates = geometry.coordinates(loss, strengths)
    offset = None if prior is None else make_offset(X, prior, n_outputs, place)
    point = coordinates.zeros(n_outputs)
    if start is not None:
        coef, intercept = (array.astype(X.dtype) for array in start)
        coef = coef if prior is None else coef - prior
        shaped = coef.reshape(n_problems, n_outputs, -1)
        point = geometry.start(coordinates, loss, shaped, intercept.reshape(n_problems, n_outputs), offset)

    def report(run: Run) -> bool:
        def read() -> LinearModel:
            return to_model(*geometry.weights(run.coordinates, run.point), prior, 1, False).astype(dtype)

        return on_step is not None and on_step(read if len(run.problems) == n_problems else None)

    n_iter, converged = 0, False
    while not converged and n_iter < max_iter:
        n_steps = max_iter - n_iter
        if suits_blocks(coordinates, n_outputs):
            n_steps = min(n_steps, MANY_STEPS)
        solution = minimise(coordinates, loss, point, offset=offset, tol=tol, max_iter=n_steps, on_iteration=report)
        n_iter, converged = n_iter + int(solution.n_iter.max()), bool(solution.converged.all())
        point = solution.point
        if not converged and suits_blocks(coordinates, n_outputs):
            coordinates = BlockCoordinates.at(coordinates, loss, solution.scores)
    weights, intercepts = geometry.weights(coordinates, point)
    model = to_model(weights, intercepts, prior, n_iter, converged)
    return model.astype(dtype)


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


def make_offset(X: Any, prior: np.ndarray, n_outputs: int, device: torch.device) -> Tensor:
    """Return the scores of the prior's weights, (n_rows, n_problems, n_outputs) or (n_rows, 1, n_outputs)."""
    scores = np.ascontiguousarray(X @ prior.T, dtype=X.dtype)
    return torch.from_numpy(scores).to(device).view(len(scores), -1, n_outputs)


def to_model(
    weights: np.ndarray, intercepts: np.ndarray, prior: np.ndarray | None, n_iter: int, converged: bool
) -> LinearModel:
    """Return the model of weights (n_features, n_problems, n_outputs) that were found from the prior on."""
    columns = np.ascontiguousarray(weights.reshape(len(weights), -1))
    if prior is not None:
        columns += prior.T
    return LinearModel(columns.T, intercepts.reshape(-1), n_iter, converged)


def torch_dtype(dtype: Any) -> torch.dtype:
    """Return torch's name of a NumPy float type."""
    return torch.float32 if np.dtype(dtype) == np.float32 else torch.float64
