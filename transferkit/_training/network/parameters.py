"""Trainable arrays, laid out group by group in flat buffers, so that an update step is a few operations per group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["FlatBuffer", "Parameter", "ParameterGroup", "RowParameter", "build_buffers"]


@dataclass(frozen=True)
class ParameterGroup:
    """Options of training for a group of parameters.

    The anchor is the initial weights (L2-SP [2]_). First-order solvers apply its penalty as an implicit step of its
    own, which is stable at any strength.

    References
    ----------
    .. [1] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL (2018).
    .. [2] X. Li, Y. Grandvalet and F. Davoine, "Explicit inductive bias for transfer learning with convolutional
       networks", ICML (2018).
    """

    name: str = "all"
    learning_rate_scale: float = 1.0  # discriminative learning rates [1]_
    unfreeze_at: int = 0  # epoch from which on the group is trained: gradual unfreezing [1]_
    anchor_strength: float = 0.0  # of the penalty anchor_strength / 2 * ||weights - anchor||^2
    alpha: float = 0.0  # of the penalty alpha / 2 * ||weights||^2; intercepts are not penalised


class Parameter:
    """One array of a layer; once laid out, `values` and `gradient` are views of its group's flat buffer.

    A matrix is stored transposed in the buffer, because the product that computes its gradient is then a quarter
    faster.
    """

    def __init__(self, initial: np.ndarray, penalised: bool) -> None:
        self.initial, self.penalised = initial, penalised
        self.values: Tensor
        self.gradient: Tensor
        self.frozen = False
        self.shared = False  # whether a later layer uses it too and has already written its part of the gradient


class RowParameter(Parameter):
    """A matrix, in a tensor of its own, whose gradient exists for the rows of the last call of `gather` only.

    On a GPU the tensor has one row more than the array. Lists of rows may be padded with the number of that row, so
    that their length is known without synchronisation.
    """

    def __init__(self, initial: np.ndarray, penalised: bool) -> None:
        super().__init__(initial, penalised)
        self.n_rows = len(initial)
        self.rows: Tensor
        self.gathered: Tensor

    def gather(self, rows: Tensor) -> Tensor:
        """Return a copy of these rows."""
        self.rows, self.gathered = rows, self.storage.index_select(0, rows)
        return self.gathered

    def place(self, device: torch.device, dtype: torch.dtype, in_place: bool) -> None:
        """Move the matrix to the device; with `in_place` train the array itself if it is on the CPU."""
        if in_place and device.type == "cpu" and self.initial.flags.c_contiguous and self.initial.flags.writeable:
            self.storage = self.values = torch.from_numpy(self.initial).to(dtype)
            return
        self.storage = torch.zeros(self.n_rows + 1, self.initial.shape[1], device=device, dtype=dtype)
        self.values = self.storage[: self.n_rows]
        self.values.copy_(torch.from_numpy(np.array(self.initial)))


@dataclass
class FlatBuffer:
    """The parameters of a group in one tensor: penalised weights first, then intercepts and the like.

    A buffer of a `RowParameter` holds nothing else. Its rows are trained in the steps whose batches use them, and its
    gradient is `row_parameter.gradient`, for `row_parameter.rows`.
    """

    group: ParameterGroup
    values: Tensor
    gradient: Tensor
    n_penalised: int
    parameters: Sequence[Parameter]
    anchor: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        first = self.parameters[0]
        self.row_parameter = first if isinstance(first, RowParameter) else None
        self.weights = self.values[: self.n_penalised]  # a vector, or the matrix of a RowParameter
        self.gradient_of_weights = self.gradient[: self.n_penalised]
        if self.group.anchor_strength > 0:
            self.anchor = self.weights.clone()

    def freeze(self, epoch: int) -> bool:
        """Set whether the group is trained in this epoch; return whether it is frozen."""
        frozen = epoch < self.group.unfreeze_at
        for parameter in self.parameters:
            parameter.frozen = frozen
        return frozen


def build_buffers(
    groups: Sequence[tuple[ParameterGroup, Sequence[Parameter]]],
    device: torch.device,
    dtype: torch.dtype,
    in_place: bool = False,
) -> list[FlatBuffer]:
    """Return the buffers of all groups: one for each matrix with a row-wise gradient, one for all other arrays.

    With `in_place` a `RowParameter` may be trained in the memory of its array.
    """
    buffers = []
    for group, parameters in groups:
        for parameter in parameters:
            if isinstance(parameter, RowParameter):
                parameter.place(device, dtype, in_place)
                values = parameter.values
                buffers.append(FlatBuffer(group, values, values[:0], parameter.n_rows, [parameter]))
        dense = [parameter for parameter in parameters if not isinstance(parameter, RowParameter)]
        if dense:
            buffers.append(_lay_out(group, sorted(dense, key=lambda one: not one.penalised), device, dtype))
    return buffers


def _lay_out(
    group: ParameterGroup, parameters: list[Parameter], device: torch.device, dtype: torch.dtype
) -> FlatBuffer:
    flat = np.concatenate([np.asarray(parameter.initial).T.ravel() for parameter in parameters])
    values = torch.from_numpy(flat).to(device=device, dtype=dtype, copy=True)
    gradient = torch.zeros_like(values)
    begin = n_penalised = 0
    for parameter in parameters:
        shape = parameter.initial.shape[::-1]
        end = begin + parameter.initial.size
        parameter.values = values[begin:end].view(shape).t()
        parameter.gradient = gradient[begin:end].view(shape).t()
        n_penalised = end if parameter.penalised else n_penalised
        begin = end
    return FlatBuffer(group, values, gradient, n_penalised, parameters)
