"""A network written down as plain data: what each stage does, its arrays, and how they learn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transferkit._algorithms.rows.convolutions import convolved_shape
from transferkit._training.network.parameters import ParameterGroup

__all__ = [
    "Activate",
    "Convolve",
    "Drop",
    "Enlarge",
    "Linear",
    "NormaliseBatch",
    "NormaliseRows",
    "RunModule",
    "Stage",
    "Transposed",
    "count_operations",
    "count_outputs",
]


@dataclass(frozen=True)
class Linear:
    """x @ weights + intercept; no intercept if it is None.

    `weights` has the shape (n_inputs, n_outputs), `intercept` (n_outputs,).
    """

    weights: np.ndarray
    intercept: np.ndarray | None = None
    group: ParameterGroup = field(default_factory=ParameterGroup)


@dataclass(frozen=True)
class Activate:
    """An activation by its name."""

    name: str


@dataclass(frozen=True)
class Drop:
    """Dropout of this share of the entries."""

    rate: float


@dataclass(frozen=True)
class NormaliseBatch:
    """Batch normalisation: learned scale and shift, running mean and variance, (n_outputs,) each."""

    scale: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    group: ParameterGroup = field(default_factory=ParameterGroup)


@dataclass(frozen=True)
class NormaliseRows:
    """Rows divided by their Euclidean length."""


@dataclass(frozen=True)
class RunModule:
    """The features that a torch module, or one of its layers, makes of rows; the first stage.

    `input_shape` is that of a row in the module, `batch_size` the rows at a time where nothing is learned. The
    module stays as it is; a copy is trained.
    """

    module: Any
    output: str | None
    input_shape: tuple[int, ...]
    batch_size: int
    group: ParameterGroup = field(default_factory=ParameterGroup)


@dataclass(frozen=True)
class Transposed:
    """x @ weights.T + intercept, with the weights of the linear stage at `position`: tied weights."""

    position: int
    intercept: np.ndarray
    group: ParameterGroup = field(default_factory=ParameterGroup)


@dataclass(frozen=True)
class Convolve:
    """Convolution of images given as rows; arrays as in `transferkit._algorithms.rows.convolutions.convolve`."""

    weights: np.ndarray
    intercept: np.ndarray
    image_shape: tuple[int, int, int]
    stride: int
    group: ParameterGroup = field(default_factory=ParameterGroup)


@dataclass(frozen=True)
class Enlarge:
    """Images given as rows, of twice the edges, cut to the height and width of `large_shape`."""

    image_shape: tuple[int, int, int]
    large_shape: tuple[int, int, int]


Stage = Linear | Activate | Drop | NormaliseBatch | NormaliseRows | RunModule | Transposed | Convolve | Enlarge


def count_outputs(stages: Sequence[Stage]) -> int:
    """Return the width of what the last stage with parameters makes."""
    for stage in reversed(stages):
        if isinstance(stage, Linear):
            return stage.weights.shape[1]
        if isinstance(stage, Transposed):
            return len(stage.intercept)
        if isinstance(stage, Convolve):
            return int(np.prod(convolved_shape(stage.image_shape, stage.stride, stage.weights.shape[1])))
    raise ValueError("A network needs a linear stage.")


def count_operations(stages: Sequence[Stage]) -> float:
    """Return about how many multiplications and additions one row takes, forwards and backwards."""
    total = 0.0
    for stage in stages:
        if isinstance(stage, RunModule):
            return np.inf
        if isinstance(stage, Convolve):
            total += stage.weights.size * np.prod(convolved_shape(stage.image_shape, stage.stride, 1))
        if isinstance(stage, (Linear, Transposed)):
            linear = stage if isinstance(stage, Linear) else stages[stage.position]
            assert isinstance(linear, Linear)
            total += linear.weights.size
    return 6 * float(total)
