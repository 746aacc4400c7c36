"""Layers with gradients in closed form: no graph is built, and each works in the memory it is given.

`forward(x, training)` returns the layer's output and remembers what `backward` needs; `backward(gradient, wanted)`
turns the gradient in the output into that in the input (None unless `wanted`) and writes the gradients of the
parameters into `slot.gradient`. Both may overwrite what they are given.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from transferkit._algorithms.networks.batch_norm import EPSILON
from transferkit._algorithms.networks.predictions import LEAK
from transferkit._training.network.parameters import RowSlot, Slot
from transferkit._training.network.sparse_batches import SparseBatch

__all__ = [
    "Activation",
    "Affine",
    "BatchNorm",
    "Dropout",
    "Layer",
    "RowNormalisation",
    "SparseAffine",
    "TransposedAffine",
    "WholeSparseAffine",
]

aten = torch.ops.aten
BATCH_NORM_MOMENTUM = 0.1  # of the running mean and variance


class Layer(Protocol):
    """What a network is made of; `slots` are the layer's parameters."""

    slots: list[Slot | RowSlot]

    def forward(self, x: Any, training: bool) -> Tensor:
        """Return the output (n_rows, n_outputs)."""

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Return the gradient in the input if it is wanted, and leave those of the parameters in their slots."""


class Affine:
    """x @ weights + intercept."""

    def __init__(self, weights: Slot, intercept: Slot | None) -> None:
        self.weights, self.intercept = weights, intercept
        self.slots: list[Slot | RowSlot] = [weights] if intercept is None else [weights, intercept]

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.input = x
        if self.intercept is None:
            return x @ self.weights.values
        return torch.addmm(self.intercept.values, x, self.weights.values)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not self.weights.frozen and self.weights.tied:
            self.weights.gradient.T.addmm_(gradient.T, self.input)
        elif not self.weights.frozen:
            torch.mm(gradient.T, self.input, out=self.weights.gradient.T)
        if self.intercept is not None and not self.intercept.frozen:
            torch.sum(gradient, 0, out=self.intercept.gradient)
        return gradient @ self.weights.values.T if wanted else None


class SparseAffine:
    """x @ weights + intercept for sparse rows: the gradient exists for the features of the batch alone."""

    def __init__(self, weights: RowSlot, intercept: Slot | None) -> None:
        self.weights, self.intercept = weights, intercept
        self.slots: list[Slot | RowSlot] = [weights] if intercept is None else [weights, intercept]

    def forward(self, x: SparseBatch, training: bool) -> Tensor:
        self.input = x
        if training and not self.weights.frozen:
            rows = x.touched_rows(self.weights.n_rows)
            product = x.local_times(self.weights.gather(rows))
        else:
            product = x.times(self.weights.values)
        return product if self.intercept is None else product.add_(self.intercept.values)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not self.weights.frozen:
            self.weights.gradient = self.input.local_transposed_times(gradient)
        if self.intercept is not None and not self.intercept.frozen:
            torch.sum(gradient, 0, out=self.intercept.gradient)
        return None


class WholeSparseAffine:
    """x @ weights + intercept for sparse rows, where another layer gives the gradient of all features."""

    def __init__(self, weights: Slot, intercept: Slot | None) -> None:
        self.weights, self.intercept = weights, intercept
        self.slots: list[Slot | RowSlot] = [weights] if intercept is None else [weights, intercept]

    def forward(self, x: SparseBatch, training: bool) -> Tensor:
        self.input = x
        product = x.times(self.weights.values.contiguous())  # a slot lies transposed
        return product if self.intercept is None else product.add_(self.intercept.values)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not self.weights.frozen:
            n_rows = len(self.weights.values)
            rows = self.input.touched_rows(n_rows).clamp_max(n_rows - 1).to(torch.int64)  # padding holds zeros
            self.weights.gradient.index_add_(0, rows, self.input.local_transposed_times(gradient))
        if self.intercept is not None and not self.intercept.frozen:
            torch.sum(gradient, 0, out=self.intercept.gradient)
        return None


class TransposedAffine:
    """x @ weights.T + intercept, with the weights of a layer before it (tied weights)."""

    def __init__(self, weights: Any, intercept: Slot) -> None:
        self.weights, self.intercept = weights, intercept
        self.slots: list[Slot | RowSlot] = [intercept]

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.input = x
        return torch.addmm(self.intercept.values, x, self.weights.values.T)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not self.weights.frozen:  # the layer before it adds its part to this
            torch.mm(self.input.T, gradient, out=self.weights.gradient.T)
        if not self.intercept.frozen:
            torch.sum(gradient, 0, out=self.intercept.gradient)
        return gradient @ self.weights.values if wanted else None


class Activation:
    """An elementwise function."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: list[Slot | RowSlot] = []

    def forward(self, x: Tensor, training: bool) -> Tensor:
        if self.name == "gelu":
            self.kept = x
            return torch.nn.functional.gelu(x)
        functional = torch.nn.functional
        if self.name == "relu":
            self.kept = x.clamp_min_(0)
        elif self.name == "leaky_relu":
            self.kept = functional.leaky_relu_(x, LEAK)
        elif self.name == "elu":
            self.kept = functional.elu_(x)
        elif self.name == "tanh":
            self.kept = x.tanh_()
        elif self.name == "sigmoid":
            self.kept = x.sigmoid_()
        else:
            self.kept = x
        return self.kept

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not wanted or self.name == "identity":
            return gradient
        if self.name == "relu":
            return aten.threshold_backward(gradient, self.kept, 0)
        if self.name == "leaky_relu":
            return aten.leaky_relu_backward(gradient, self.kept, LEAK, True)
        if self.name == "elu":
            return aten.elu_backward(gradient, 1.0, 1.0, 1.0, True, self.kept)
        if self.name == "tanh":
            return aten.tanh_backward(gradient, self.kept)
        if self.name == "sigmoid":
            return aten.sigmoid_backward(gradient, self.kept)
        return aten.gelu_backward(gradient, self.kept)


class Dropout:
    """Zeros with probability `rate` while training; the rest grows so that the mean stays (Srivastava et al. 2014)."""

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        self.rate, self.generator = rate, generator
        self.slots: list[Slot | RowSlot] = []

    def forward(self, x: Tensor, training: bool) -> Tensor:
        if not training:
            return x
        kept = 1 - self.rate
        self.mask = torch.empty_like(x).bernoulli_(kept, generator=self.generator).div_(kept)
        return x * self.mask

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        return gradient * self.mask if wanted else None


class BatchNorm:
    """Columns of a batch with mean and variance replaced by learned ones (Ioffe and Szegedy 2015).

    A batch of a single row has no variance: it is normalised by the running statistics, which it leaves alone.
    """

    def __init__(self, scale: Slot, shift: Slot, mean: Tensor, variance: Tensor) -> None:
        self.scale, self.shift, self.mean, self.variance = scale, shift, mean, variance
        self.slots: list[Slot | RowSlot] = [scale, shift]
        self.momentum = BATCH_NORM_MOMENTUM

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.input, self.uses_batch = x, training and len(x) > 1
        output, self.batch_mean, self.batch_inverse = torch.native_batch_norm(
            x, self.scale.values, self.shift.values, self.mean, self.variance, self.uses_batch, self.momentum,
            EPSILON,
        )  # fmt: skip
        return output

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        frozen = self.scale.frozen
        to_input, to_scale, to_shift = aten.native_batch_norm_backward(
            gradient, self.input, self.scale.values, self.mean, self.variance, self.batch_mean, self.batch_inverse,
            self.uses_batch, EPSILON, [wanted, not frozen, not frozen],
        )  # fmt: skip
        if not frozen:
            self.scale.gradient.copy_(to_scale)
            self.shift.gradient.copy_(to_shift)
        return to_input if wanted else None


class RowNormalisation:
    """Rows divided by their Euclidean length; rows of zeros stay."""

    def __init__(self) -> None:
        self.slots: list[Slot | RowSlot] = []

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.inverse = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min_(1e-12).reciprocal_()
        self.kept = x * self.inverse
        return self.kept

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        along = (gradient * self.kept).sum(1, keepdim=True)
        return (gradient - self.kept * along).mul_(self.inverse)
