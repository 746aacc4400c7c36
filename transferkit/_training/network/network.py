"""A feed-forward network in training: built from layers with NumPy arrays, and read back as such."""

from collections.abc import Iterable, Sequence
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
from transferkit._training.modules.layer import ModuleLayer
from transferkit._training.network.image_layers import TrainableConvolution, TrainableUpsampling
from transferkit._training.network.layers import (
    TrainableActivation,
    TrainableBatchNorm,
    TrainableDropout,
    TrainableL2Normalisation,
    TrainableLayer,
    TrainableLinear,
    TrainableSharedSparseLinear,
    TrainableSparseLinear,
    TrainableTiedLinear,
)
from transferkit._training.network.module_layer import TrainableModule
from transferkit._training.network.parameters import Parameter, ParameterGroup, build_buffers

__all__ = ["Network", "count_operations", "count_outputs"]


class Network:
    """Layers in sequence; their parameters are in `buffers`.

    Parameters
    ----------
    layers : sequence of Layer
        The first must be linear if the input is sparse.
    groups : sequence of ParameterGroup
        Options of training for each layer.
    sparse : bool
        Whether the input is a `SparseBatch`.
    device, dtype
        Where the parameters are stored, and their type.
    generator : torch.Generator
        Source of the dropout masks, on the device.
    in_place : bool, default=False
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


def count_operations(layers: Sequence[Layer]) -> float:
    """Return about how many multiplications and additions one sample takes, forwards and backwards."""
    total = 0.0
    for layer in layers:
        if isinstance(layer, ModuleLayer):
            return np.inf
        if isinstance(layer, Convolution):
            total += layer.weights.size * np.prod(layer.output_shape[:2])
        if isinstance(layer, (Linear, TiedLinear)):
            total += (layer if isinstance(layer, Linear) else layer.source).weights.size
    return 6 * float(total)


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
