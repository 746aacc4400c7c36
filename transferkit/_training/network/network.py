"""A feed-forward network in training: built from layers with NumPy arrays, and read back as such."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._algorithms.networks.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Layer,
    Linear,
    TiedLinear,
    Upsampling,
)
from transferkit._training.modules.features import ModuleFeatures, ModuleLayer, copy_module
from transferkit._training.network.layers import (
    TrainableActivation,
    TrainableBatchNorm,
    TrainableConvolution,
    TrainableDropout,
    TrainableL2Normalisation,
    TrainableLayer,
    TrainableLinear,
    TrainableSharedSparseLinear,
    TrainableSparseLinear,
    TrainableTiedLinear,
    TrainableUpsampling,
)
from transferkit._training.network.parameters import Parameter, ParameterGroup, build_buffers

__all__ = ["Network", "count_outputs", "count_products"]

MAX_BLOCKS = 4  # that are unfrozen one after another


class Network:
    """Layers in sequence, each with a group of options of training; their parameters are in `buffers`.

    Parameters
    ----------
    sparse
        Whether the input is a `SparseBatch`; the first layer must then be linear.
    generator
        Source of the dropout masks, on the device.
    in_place
        Whether large arrays of the layers may be trained in their own memory instead of a copy.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        groups: Sequence[ParameterGroup],
        *,
        sparse: bool,
        device: torch.device,
        dtype: torch.dtype,
        generator: torch.Generator,
        in_place: bool = False,
    ) -> None:
        self.device, self.dtype, self.generator = device, dtype, generator
        shared = {id(layer.source) for layer in layers if isinstance(layer, TiedLinear)}
        parameters: dict[ParameterGroup, list[Parameter]] = {}
        linear: dict[int, TrainableLinear] = {}
        self.layers: list[TrainableLayer] = []
        made: TrainableLayer
        for layer, group in zip(layers, groups, strict=True):
            if isinstance(layer, Linear):
                made = linear[id(layer)] = _make_linear(layer, sparse and not self.layers, id(layer) in shared)
            elif sparse and not self.layers:
                raise ValueError("Sparse input needs a linear layer first.")
            elif isinstance(layer, TiedLinear):
                made = TrainableTiedLinear(layer, linear[id(layer.source)])
            else:
                made = self._make_layer(layer)
            self.layers.append(made)
            pairs = made.split_group(group) if isinstance(made, TrainableModule) else [(group, made.parameters)]
            for part, of_part in pairs:
                parameters.setdefault(part, []).extend(of_part)
        self.batch_norms = [layer for layer in self.layers if isinstance(layer, TrainableBatchNorm)]
        self.has_module = any(isinstance(layer, TrainableModule) for layer in self.layers)
        self.buffers = build_buffers(list(parameters.items()), device, dtype, in_place)

    def forward(self, x: Any, training: bool) -> Tensor:
        """Return the scores (n_samples, n_outputs)."""
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, gradient: Tensor | None) -> None:
        """Write the gradients of all parameters that are not frozen, given that with respect to the scores."""
        first = self._find_first_trained()
        for position in range(len(self.layers) - 1, first - 1, -1):
            assert gradient is not None
            gradient = self.layers[position].backward(gradient, position > first)

    def predict(self, batches: Iterable[Any]) -> Tensor:
        """Return the scores of all batches, as after training."""
        return torch.cat([self.forward(batch, training=False) for batch in batches])

    def tensors(self) -> list[Tensor]:
        """Return all tensors that training changes."""
        running = [part for layer in self.batch_norms for part in (layer.mean, layer.variance)]
        return [buffer.values for buffer in self.buffers] + running

    def snapshot(self) -> list[Tensor]:
        """Return a copy of all tensors that training changes."""
        return [tensor.clone() for tensor in self.tensors()]

    def restore(self, snapshot: Sequence[Tensor]) -> None:
        """Set all tensors to those of a snapshot."""
        for tensor, before in zip(self.tensors(), snapshot, strict=True):
            tensor.copy_(before)

    def read(self, in_place: bool = False) -> list[Any]:
        """Return the layers with their arrays as they are now; with `in_place` large ones are not copied."""
        return [layer.read(in_place) for layer in self.layers]

    def _find_first_trained(self) -> int:
        for position, layer in enumerate(self.layers):
            if any(not parameter.frozen for parameter in layer.parameters):
                return position
        return len(self.layers)

    def _make_layer(self, layer: Layer) -> TrainableLayer:
        if isinstance(layer, Activation):
            return TrainableActivation(layer)
        if isinstance(layer, Dropout):
            return TrainableDropout(layer, self.generator)
        if isinstance(layer, BatchNorm):
            return TrainableBatchNorm(layer, self.device, self.dtype)
        if isinstance(layer, Convolution):
            return TrainableConvolution(layer)
        if isinstance(layer, Upsampling):
            return TrainableUpsampling(layer)
        if isinstance(layer, ModuleLayer):
            return TrainableModule(layer, self.device, self.dtype)
        return TrainableL2Normalisation(layer)


def count_products(layers: Sequence[Layer]) -> float:
    """Return about how many products of numbers the forward pass of one sample takes."""
    total = 0.0
    for layer in layers:
        if isinstance(layer, ModuleLayer):
            return np.inf
        if isinstance(layer, Convolution):
            total += layer.weights.size * np.prod(layer.output_shape[:2])
        if isinstance(layer, (Linear, TiedLinear)):
            total += (layer if isinstance(layer, Linear) else layer.source).weights.size
    return float(total)


def count_outputs(layers: Sequence[Layer]) -> int:
    """Return the number of scores per sample."""
    for layer in reversed(layers):
        if isinstance(layer, (Linear, TiedLinear)):
            return layer.weights.shape[1] if isinstance(layer, Linear) else len(layer.source.weights)
        if isinstance(layer, Convolution):
            return int(np.prod(layer.output_shape))
    raise ValueError("A network needs a layer with weights.")


def _make_linear(layer: Linear, sparse: bool, shared: bool) -> TrainableLinear:
    if not sparse:
        return TrainableLinear(layer, shared)
    return TrainableSharedSparseLinear(layer, shared) if shared else TrainableSparseLinear(layer)


class TrainableModule(TrainableLayer):
    """The features of a user's module as the first layer, with gradients by automatic differentiation.

    The module is in evaluation mode: no dropout, and batch normalisation keeps its statistics. Parameters that do not
    require gradients are not trained.
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
        blocks = np.array_split(np.arange(len(owners)), min(MAX_BLOCKS, max(len(owners), 1)))
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
