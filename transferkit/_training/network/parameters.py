"""What is trained: named groups of arrays, each with its own pace, and the flat memory they live in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["ParameterGroup", "RowSlot", "Slab", "Slot", "build_slabs"]


@dataclass(frozen=True)
class ParameterGroup:
    """How a group of parameters learns.

    Parameters
    ----------
    name : str
    learning_rate_scale : float, default=1.0
        Factor of the learning rate (discriminative learning rates [1]_).
    unfreeze_at : int, default=0
        Epoch at which the group begins to learn (gradual unfreezing [1]_).
    anchor_strength : float, default=0.0
        The loss grows by anchor_strength / 2 * ||weights - their first values||^2 (L2-SP [2]_). Solvers that take one
        step a batch move the weights back along it on their own, by an implicit step: it is stable at any strength.
    alpha : float, default=0.0
        The loss grows by alpha / 2 * ||weights||^2; intercepts are free.

    References
    ----------
    .. [1] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL (2018).
    .. [2] X. Li, Y. Grandvalet and F. Davoine, "Explicit inductive bias for transfer learning with convolutional
       networks", ICML (2018).
    """

    name: str = "all"
    learning_rate_scale: float = 1.0
    unfreeze_at: int = 0
    anchor_strength: float = 0.0
    alpha: float = 0.0


class Slot:
    """One array within a slab: a view of its values and one of its gradient.

    A matrix lies transposed in the slab, because the product that makes its gradient is then a quarter faster.
    """

    def __init__(self, start: np.ndarray, penalised: bool) -> None:
        self.start, self.penalised = start, penalised
        self.values: Tensor
        self.gradient: Tensor
        self.frozen = False
        self.tied = False  # whether another layer, behind this one, uses it and has written its part of the gradient

    @property
    def n_values(self) -> int:
        """Number of entries."""
        return self.start.size


class RowSlot(Slot):
    """A matrix whose gradient has few rows: those that `gather` was asked for last.

    On a GPU the matrix has one row more than its array. Lists of rows may be padded with the number of that row, which
    keeps their length known without asking the device.
    """

    def __init__(self, start: np.ndarray, penalised: bool) -> None:
        super().__init__(start, penalised)
        self.n_rows = len(start)
        self.rows: Tensor
        self.gathered: Tensor

    def gather(self, rows: Tensor) -> Tensor:
        """Return a copy of these rows."""
        self.rows, self.gathered = rows, self.storage.index_select(0, rows)
        return self.gathered

    def place(self, device: torch.device, dtype: torch.dtype, own: bool) -> None:
        """Move the matrix to the device, or leave it where it is and train it there if it is our own."""
        if own and device.type == "cpu" and self.start.flags.c_contiguous and self.start.flags.writeable:
            self.storage = self.values = torch.from_numpy(self.start).to(dtype)
            return
        self.storage = torch.zeros(self.n_rows + 1, self.start.shape[1], device=device, dtype=dtype)
        self.values = self.storage[: self.n_rows]
        self.values.copy_(torch.from_numpy(np.array(self.start)))


@dataclass
class Slab:
    """A group's parameters in one piece of memory: weights under the penalty first, then those that are free.

    A slab whose `lazy` is a matrix holds nothing else; its rows learn only in steps that touch them, and the gradient
    is in `lazy.gradient`, for `lazy.rows`. `weights` are those under the penalty.
    """

    group: ParameterGroup
    values: Tensor
    gradient: Tensor
    n_penalised: int
    slots: Sequence[Slot]
    anchor: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        self.weights = self.values[: self.n_penalised]  # one vector, or (n_rows, n_columns) where the slab is lazy
        self.gradient_of_weights = self.gradient[: self.n_penalised]
        self.lazy = self.slots[0] if isinstance(self.slots[0], RowSlot) else None

    def freeze(self, epoch: int) -> bool:
        """Set whether the group learns in this epoch; return whether it does not."""
        frozen = epoch < self.group.unfreeze_at
        for slot in self.slots:
            slot.frozen = frozen
        return frozen


def build_slabs(
    slots_of_groups: Sequence[tuple[ParameterGroup, Sequence[Slot]]],
    device: torch.device,
    dtype: torch.dtype,
    own: bool = False,
) -> list[Slab]:
    """Lay the arrays of each group into one tensor, and a matrix with a row-wise gradient into its own.

    `own` says that the arrays are nobody else's: a large matrix may then be trained where it lies.
    """
    slabs = []
    for group, slots in slots_of_groups:
        for slot in slots:
            if isinstance(slot, RowSlot):
                slot.place(device, dtype, own)
                slabs.append(_finish(Slab(group, slot.values, slot.values[:0], slot.n_rows, [slot])))
        dense = sorted((slot for slot in slots if not isinstance(slot, RowSlot)), key=lambda slot: not slot.penalised)
        if dense:
            slabs.append(_finish(_lay_out(group, dense, device, dtype)))
    return slabs


def _lay_out(group: ParameterGroup, slots: list[Slot], device: torch.device, dtype: torch.dtype) -> Slab:
    flat = np.concatenate([np.asarray(slot.start).T.ravel() for slot in slots])
    values = torch.from_numpy(flat).to(device=device, dtype=dtype, copy=True)
    gradient = torch.zeros_like(values)
    begin = 0
    for slot in slots:
        end = begin + slot.n_values
        slot.values = values[begin:end].view(slot.start.shape[::-1]).t()
        slot.gradient = gradient[begin:end].view(slot.start.shape[::-1]).t()
        begin = end
    return Slab(group, values, gradient, sum(slot.n_values for slot in slots if slot.penalised), slots)


def _finish(slab: Slab) -> Slab:
    if slab.group.anchor_strength > 0:
        slab.anchor = slab.weights.clone()
    return slab
