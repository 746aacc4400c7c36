"""Training of penalised linear classifiers: NumPy and SciPy in, NumPy out, torch in between."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transferkit._training.device import choose_device
from transferkit._training.geometry import find_geometry
from transferkit._training.lbfgs import minimise
from transferkit._training.losses import LogisticLoss, Loss, SoftmaxLoss

__all__ = ["LinearModel", "make_loss", "train_linear_classifier"]


@dataclass
class LinearModel:
    """A trained model in NumPy; `coef.T` is C-contiguous, so that X @ coef.T copies nothing."""

    coef: np.ndarray  # (n_outputs, n_features)
    intercept: np.ndarray  # (n_outputs,)
    n_iter: np.ndarray  # (n_problems,)
    converged: bool


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
    start: tuple[np.ndarray, np.ndarray] | None = None,
    on_iteration: Callable[[int, Any], bool] | None = None,
) -> LinearModel:
    """Minimise sum(row_weights * loss) + ||coef||^2 / (2 C).

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features), float32 or float64
    targets : array
        With n_outputs > 1 the class numbers (n_rows,), for the softmax loss; with n_outputs = 1 zeros and ones
        of shape (n_rows, n_problems), for as many logistic losses.
    row_weights : array of shape (n_rows,)
        Rows of weight zero are left out.
    start : (coef, intercept), optional
        Where to begin.
    """
    kept = row_weights > 0
    if not kept.all():
        X, targets, row_weights = X[kept], targets[kept], row_weights[kept]
    place = choose_device(device)
    geometry = find_geometry(X, row_weights, fit_intercept, place)
    loss, n_problems = make_loss(targets, row_weights[:, None], n_outputs, X.dtype, place)
    strengths = torch.full((n_problems,), C, dtype=torch_dtype(X.dtype), device=place)
    coordinates = geometry.coordinates(loss, strengths)
    point = coordinates.zeros(n_outputs)
    if start is not None:
        coef, intercept = (array.astype(X.dtype) for array in start)
        shaped = coef.reshape(n_problems, n_outputs, -1)
        point = geometry.start(coordinates, loss, shaped, intercept.reshape(n_problems, n_outputs))
    solution = minimise(coordinates, loss, point, tol=tol, max_iter=max_iter, on_iteration=on_iteration)
    weights, intercepts = geometry.weights(coordinates, solution.point)
    return LinearModel(
        coef=np.ascontiguousarray(weights.reshape(len(weights), -1)).T,
        intercept=intercepts.reshape(-1),
        n_iter=solution.n_iter.numpy().astype(np.int32),
        converged=bool(solution.converged.all()),
    )


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


def torch_dtype(dtype: Any) -> torch.dtype:
    return torch.float32 if np.dtype(dtype) == np.float32 else torch.float64
