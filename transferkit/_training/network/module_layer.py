"""A torch module as the first, trainable layer of a network, with gradients by automatic differentiation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from transferkit._training.modules.features import ModuleFeatures, copy_module
from transferkit._training.modules.layer import ModuleLayer
from transferkit._training.network.layers import TrainableLayer
from transferkit._training.network.parameters import Parameter, ParameterGroup

__all__ = ["TrainableModule"]

_MAX_BLOCKS = 4  # that are unfrozen one after another


class TrainableModule(TrainableLayer):
    """The features of a module in evaluation mode: no dropout, and batch normalisation keeps its statistics.

    Parameters that do not require gradients are not trained.
    """

    layer: ModuleLayer

    def __init__(self, layer: ModuleLayer, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(layer)
        self.features = ModuleFeatures(layer.module, layer.output, layer.batch_size, str(device))
        self.features.module.to(dtype)
        self.features.dtype = dtype
        self.parameter_of: dict[str, Parameter] = {}
        self.shapes: dict[str, torch.Size] = {}
        used = self._find_used()
        for name, tensor in layer.module.named_parameters():
            if name in used:
                initial = tensor.detach().cpu().to(dtype).numpy().ravel()
                self.parameter_of[name] = Parameter(np.array(initial), penalised=tensor.ndim > 1)
                self.shapes[name] = tensor.shape
        self.parameters = list(self.parameter_of.values())

    def split_group(self, group: ParameterGroup) -> Iterator[tuple[ParameterGroup, list[Parameter]]]:
        """Yield at most four blocks of the module's parameters from its input on, with a group for each.

        The last block is unfrozen at the group's epoch, each earlier one an epoch later (gradual unfreezing, Howard and
        Ruder 2018).
        """
        owners = list(dict.fromkeys(name.rpartition(".")[0] for name in self.parameter_of))
        blocks = np.array_split(np.arange(len(owners)), min(_MAX_BLOCKS, max(len(owners), 1)))
        for number, block in enumerate(blocks):
            unfreeze_at = group.unfreeze_at + len(blocks) - 1 - number
            names = {owners[position] for position in block}
            parameters = [one for name, one in self.parameter_of.items() if name.rpartition(".")[0] in names]
            if parameters:
                yield replace(group, name=f"{group.name} {number}", unfreeze_at=unfreeze_at), parameters

    def forward(self, x: Tensor, training: bool) -> Tensor:
        samples = x.view(len(x), *self.layer.input_shape)
        values = {name: parameter.values.view(self.shapes[name]) for name, parameter in self.parameter_of.items()}
        self.trained = [name for name, parameter in self.parameter_of.items() if training and not parameter.frozen]
        if not self.trained:
            return torch.cat([self._run(part, values) for part in torch.split(samples, self.layer.batch_size)])
        self.tensors = [values[name].detach().requires_grad_() for name in self.trained]  # they share the memory
        with torch.enable_grad():
            self.output = self._run(samples, values | dict(zip(self.trained, self.tensors, strict=True)))
        return self.output.detach()

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        found: tuple[Tensor | None, ...] = (None,) * len(self.trained)
        if self.output.requires_grad:  # a module may branch on its input
            found = torch.autograd.grad(self.output, self.tensors, gradient, allow_unused=True)
        for name, part in zip(self.trained, found, strict=True):
            parameter = self.parameter_of[name]
            parameter.gradient.zero_() if part is None else parameter.gradient.copy_(part.reshape(-1))
        del self.output, self.tensors  # and with them the graph
        return None

    def read(self, in_place: bool = False) -> ModuleLayer:
        """Return the layer with a copy of the module that has its parameters as they are now."""
        module = copy_module(self.layer.module)
        for name, tensor in module.named_parameters():
            if name in self.parameter_of:
                tensor.detach().copy_(self.parameter_of[name].values.view(tensor.shape))
        return replace(self.layer, module=module)

    def _find_used(self) -> set[str]:
        """Return the names of the parameters that require gradients and that the features depend on."""
        trainable = {name for name, tensor in self.layer.module.named_parameters() if tensor.requires_grad}
        named = self.features.module.named_parameters()
        own = {name: tensor.detach().requires_grad_() for name, tensor in named if name in trainable}
        sample = torch.zeros(1, *self.layer.input_shape, device=self.features.device, dtype=self.features.dtype)
        with torch.enable_grad():
            output = self._run(sample, own)
            if not own or not output.requires_grad:
                return set()
            found = torch.autograd.grad(output.sum(), list(own.values()), allow_unused=True)
        return {name for name, gradient in zip(own, found, strict=True) if gradient is not None}

    def _run(self, samples: Tensor, values: dict[str, Tensor]) -> Tensor:
        return self.features.run(lambda batch: torch.func.functional_call(self.features.module, values, batch), samples)
