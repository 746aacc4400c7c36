"""A network of layers on a device, built from stages and read back as stages."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.image_layers import Convolution, Enlargement
from transferkit._training.network.layers import (
    Activation,
    Affine,
    BatchNorm,
    Dropout,
    Layer,
    RowNormalisation,
    SparseAffine,
    TransposedAffine,
    WholeSparseAffine,
)
from transferkit._training.network.module_layer import ModuleLayer
from transferkit._training.network.parameters import ParameterGroup, RowSlot, Slab, Slot, build_slabs
from transferkit._training.network.stages import (
    Activate,
    Convolve,
    Drop,
    Enlarge,
    Linear,
    NormaliseBatch,
    RunModule,
    Stage,
    Transposed,
    count_outputs,
)

__all__ = ["Network"]


class Network:
    """Layers in turn; parameters in `slabs`.

    Parameters
    ----------
    stages : sequence of Stage
        The first must be linear if the input is sparse.
    sparse : bool
        Whether the input is a :class:`SparseBatch`.
    device, dtype
        Where the parameters live.
    generator : torch.Generator
        Source of the dropout masks, on the device.
    own : bool, default=False
        Whether the arrays of the stages are nobody else's and may be trained where they lie.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        sparse: bool,
        device: torch.device,
        dtype: torch.dtype,
        generator: torch.Generator,
        own: bool = False,
    ) -> None:
        self.stages = stages
        self.groups: dict[ParameterGroup, list[Slot]] = {}
        self.tied = {stage.position for stage in stages if isinstance(stage, Transposed)}
        self.layers: list[Layer] = []
        for stage in stages:
            self.layers.append(self._make_layer(stage, sparse and not self.layers, device, dtype, generator))
        self.slabs: list[Slab] = build_slabs(list(self.groups.items()), device, dtype, own)

    @property
    def n_outputs(self) -> int:
        """Number of scores of a row."""
        return count_outputs(self.stages)

    def forward(self, x: Any, training: bool) -> Tensor:
        """Return the scores (n_rows, n_outputs)."""
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, gradient: Tensor | None) -> None:
        """Leave the gradients of all parameters that learn in their slots, given that in the scores."""
        first = self._first_that_learns()
        for position in range(len(self.layers) - 1, first - 1, -1):
            assert gradient is not None
            gradient = self.layers[position].backward(gradient, position > first)

    def predict(self, parts: Iterable[Any]) -> Tensor:
        """Return the scores of batches, all together, as they are after training."""
        return torch.cat([self.forward(part, training=False) for part in parts])

    def batch_norms(self) -> list[BatchNorm]:
        """Return the layers with running statistics."""
        return [layer for layer in self.layers if isinstance(layer, BatchNorm)]

    def tensors(self) -> list[Tensor]:
        """Return all that training changes."""
        running = [part for layer in self.batch_norms() for part in (layer.mean, layer.variance)]
        return [slab.values for slab in self.slabs] + running

    def snapshot(self) -> list[Tensor]:
        """Return a copy of all that training changes."""
        return [tensor.clone() for tensor in self.tensors()]

    def restore(self, snapshot: Sequence[Tensor]) -> None:
        """Go back to a snapshot."""
        for tensor, before in zip(self.tensors(), snapshot, strict=True):
            tensor.copy_(before)

    def read(self, final: bool = False) -> list[Stage]:
        """Return the stages with the arrays as they are now; large ones are not copied if nothing will change them."""
        return [_read(stage, layer, final) for stage, layer in zip(self.stages, self.layers, strict=True)]

    def _first_that_learns(self) -> int:
        for position, layer in enumerate(self.layers):
            for slot in layer.slots:
                if not slot.frozen:
                    return position
        return len(self.layers)

    def _make_layer(
        self, stage: Stage, sparse: bool, device: torch.device, dtype: torch.dtype, generator: torch.Generator
    ) -> Layer:
        if isinstance(stage, Linear):
            return self._make_linear(stage, sparse)
        if sparse:
            raise ValueError("Sparse rows need a linear stage first.")
        if isinstance(stage, Transposed):
            [intercept] = self._add(stage.group, Slot(stage.intercept, False))
            return TransposedAffine(self.layers[stage.position].slots[0], intercept)
        if isinstance(stage, Convolve):
            parts = self._add(stage.group, Slot(stage.weights, True), Slot(stage.intercept, False))
            return Convolution(parts[0], parts[1], stage.image_shape, stage.stride)
        if isinstance(stage, RunModule):
            module = ModuleLayer(stage, device, dtype)
            for group, slots in module.groups():
                self._add(group, *slots)
            return module
        if isinstance(stage, NormaliseBatch):
            scale, shift = self._add(stage.group, Slot(stage.scale, False), Slot(stage.shift, False))
            mean, variance = (
                torch.from_numpy(np.array(part)).to(device=device, dtype=dtype) for part in (stage.mean, stage.variance)
            )
            return BatchNorm(scale, shift, mean, variance)
        return _make_plain(stage, generator)

    def _make_linear(self, stage: Linear, sparse: bool) -> Layer:
        tied = len(self.layers) in self.tied
        weights = (RowSlot if sparse and not tied else Slot)(stage.weights, True)  # tied ones learn in all their rows
        weights.tied = tied
        intercept = None if stage.intercept is None else Slot(stage.intercept, False)
        self._add(stage.group, *([weights] if intercept is None else [weights, intercept]))
        if isinstance(weights, RowSlot):
            return SparseAffine(weights, intercept)
        return (WholeSparseAffine if sparse else Affine)(weights, intercept)

    def _add(self, group: ParameterGroup, *slots: Slot) -> tuple[Slot, ...]:
        self.groups.setdefault(group, []).extend(slots)
        return slots


def _make_plain(stage: Stage, generator: torch.Generator) -> Layer:
    """Return a layer without parameters."""
    if isinstance(stage, Activate):
        return Activation(stage.name)
    if isinstance(stage, Enlarge):
        return Enlargement(stage.image_shape, stage.large_shape)
    return Dropout(stage.rate, generator) if isinstance(stage, Drop) else RowNormalisation()


def _read(stage: Stage, layer: Any, final: bool) -> Stage:
    if isinstance(stage, Transposed):
        return replace(stage, intercept=to_array(layer.intercept.values))
    if isinstance(stage, Convolve):
        return replace(stage, weights=to_array(layer.weights.values), intercept=to_array(layer.intercept.values))
    if isinstance(stage, Linear):
        intercept = None if layer.intercept is None else to_array(layer.intercept.values)
        weights = layer.weights.values
        keep = final and not weights.is_cuda and weights.is_contiguous()
        return replace(stage, weights=weights.numpy() if keep else to_array(weights), intercept=intercept)
    if isinstance(stage, NormaliseBatch):
        parts = (layer.scale.values, layer.shift.values, layer.mean, layer.variance)
        scale, shift, mean, variance = (to_array(part) for part in parts)
        return replace(stage, scale=scale, shift=shift, mean=mean, variance=variance)
    return replace(stage, module=layer.read()) if isinstance(stage, RunModule) else stage


def to_array(tensor: Tensor) -> np.ndarray:
    """Return a NumPy copy in C order."""
    return tensor.detach().cpu().numpy().copy()
