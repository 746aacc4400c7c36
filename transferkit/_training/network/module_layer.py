"""A torch module as the first layer of a network, its gradients by torch's own differentiation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from transferkit._training.modules.features import ModuleFeatures, copy_module
from transferkit._training.network.parameters import ParameterGroup, RowSlot, Slot
from transferkit._training.network.stages import RunModule

__all__ = ["ModuleLayer"]

_MOST_BLOCKS = 4  # that begin to learn one epoch after another


class ModuleLayer:
    """The features of a module, in evaluation mode: no dropout, and batch normalisation keeps its statistics.

    Its layers are parted into at most four blocks. The last one begins to learn at the group's epoch, each before it an
    epoch later (gradual unfreezing, Howard and Ruder 2018). Parameters that do not require gradients stay.
    """

    def __init__(self, stage: RunModule, device: torch.device, dtype: torch.dtype) -> None:
        self.stage = stage
        self.features = ModuleFeatures(stage.module, stage.output, stage.batch_size, str(device))
        self.features.module.to(dtype)
        self.features.dtype = dtype
        self.slot_of: dict[str, Slot] = {}
        self.shapes: dict[str, torch.Size] = {}
        used = self._find_used()
        for name, tensor in stage.module.named_parameters():
            if name in used:
                start = tensor.detach().cpu().to(dtype).numpy().ravel()
                self.slot_of[name] = Slot(np.array(start), penalised=tensor.ndim > 1)
                self.shapes[name] = tensor.shape
        self.slots: list[Slot | RowSlot] = list(self.slot_of.values())

    def groups(self) -> Iterator[tuple[ParameterGroup, list[Slot]]]:
        """Yield the blocks of the module, from its input on, and how each learns."""
        owners = list(dict.fromkeys(name.rpartition(".")[0] for name in self.slot_of))
        blocks = np.array_split(np.arange(len(owners)), min(_MOST_BLOCKS, max(len(owners), 1)))
        for number, block in enumerate(blocks):
            group = self.stage.group
            later = len(blocks) - 1 - number
            paced = replace(group, name=f"{group.name} {number}", unfreeze_at=group.unfreeze_at + later)
            names = {owners[place] for place in block}
            slots = [slot for name, slot in self.slot_of.items() if name.rpartition(".")[0] in names]
            if slots:
                yield paced, slots

    def forward(self, x: Tensor, training: bool) -> Tensor:
        rows = x.view(len(x), *self.stage.input_shape)
        values = {name: slot.values.view(self.shapes[name]) for name, slot in self.slot_of.items()}
        self.leaves = [name for name, slot in self.slot_of.items() if training and not slot.frozen]
        if not self.leaves:
            return torch.cat([self._run(part, values) for part in torch.split(rows, self.stage.batch_size)])
        self.tensors = [values[name].detach().requires_grad_() for name in self.leaves]  # they share the memory
        with torch.enable_grad():
            self.output = self._run(rows, values | dict(zip(self.leaves, self.tensors, strict=True)))
        return self.output.detach()

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        found: tuple[Tensor | None, ...] = (None,) * len(self.leaves)
        if self.output.requires_grad:  # a module may branch on its input
            found = torch.autograd.grad(self.output, self.tensors, gradient, allow_unused=True)
        for name, part in zip(self.leaves, found, strict=True):
            slot = self.slot_of[name]
            slot.gradient.zero_() if part is None else slot.gradient.copy_(part.reshape(-1))
        del self.output, self.tensors  # and with them the graph
        return None

    def read(self) -> nn.Module:
        """Return a copy of the module with its parameters as they are now."""
        module = copy_module(self.stage.module)
        for name, tensor in module.named_parameters():
            if name in self.slot_of:
                tensor.detach().copy_(self.slot_of[name].values.view(tensor.shape))
        return module

    def _find_used(self) -> set[str]:
        """Return the names of the parameters that may learn and that the features depend on."""
        learns = {name for name, tensor in self.stage.module.named_parameters() if tensor.requires_grad}
        own = {
            name: t.detach().requires_grad_() for name, t in self.features.module.named_parameters() if name in learns
        }
        row = torch.zeros(1, *self.stage.input_shape, device=self.features.device, dtype=self.features.dtype)
        with torch.enable_grad():
            output = self._run(row, own)
            if not own or not output.requires_grad:
                return set()
            found = torch.autograd.grad(output.sum(), list(own.values()), allow_unused=True)
        return {name for name, gradient in zip(own, found, strict=True) if gradient is not None}

    def _run(self, rows: Tensor, values: dict[str, Tensor]) -> Tensor:
        return self.features.run(lambda batch: torch.func.functional_call(self.features.module, values, batch), rows)
