"""A network written down as plain data: what each stage does, its arrays, and how they learn."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transferkit._training.parameters import ParameterGroup

__all__ = ["Activate", "Drop", "Linear", "NormaliseBatch", "NormaliseRows", "RunModule", "Stage"]


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


Stage = Linear | Activate | Drop | NormaliseBatch | NormaliseRows | RunModule
