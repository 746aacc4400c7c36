"""A network written down as plain data: what each stage does, its arrays, and how they learn."""

from dataclasses import dataclass, field

import numpy as np

from transferkit._training.parameters import ParameterGroup

__all__ = ["Activate", "Drop", "Linear", "NormaliseBatch", "NormaliseRows", "Stage"]


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


Stage = Linear | Activate | Drop | NormaliseBatch | NormaliseRows
