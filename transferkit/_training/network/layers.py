"""Trainable layers with closed-form gradients: no graph is recorded, and results are written into existing memory.

Each class trains one kind of layer of `transferkit._algorithms.networks.layers`. `forward(x, training)` returns the
outputs and keeps what `backward` needs. `backward(gradient, needs_input_grad)` takes the gradient with respect to the
outputs, writes those with respect to the parameters into `parameter.gradient`, and returns that with respect to the
inputs (None unless asked for). Both may overwrite their arguments.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._algorithms.networks.layers import (
    BATCH_NORM_EPSILON,
    EDGE,
    LEAK,
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Linear,
    TiedLinear,
)
from transferkit._training.device import to_tensor
from transferkit._training.network.data import SparseBatch
from transferkit._training.network.parameters import Parameter, RowParameter

__all__ = [
    "TrainableActivation",
    "TrainableBatchNorm",
    "TrainableConvolution",
    "TrainableDropout",
    "TrainableL2Normalisation",
    "TrainableLayer",
    "TrainableLinear",
    "TrainableSharedSparseLinear",
    "TrainableSparseLinear",
    "TrainableTiedLinear",
    "TrainableUpsampling",
]

aten = torch.ops.aten
BATCH_NORM_MOMENTUM = 0.1  # of the running mean and variance


class TrainableLayer:
    """Base of the layers of a network in training: the layer with its initial arrays, and those that are trained."""

    def __init__(self, layer: Any, parameters: Sequence[Parameter] = ()) -> None:
        self.layer, self.parameters = layer, parameters

    def forward(self, x: Any, training: bool) -> Tensor:
        """Return the outputs (n_samples, n_outputs)."""
        raise NotImplementedError

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        """Return the gradient with respect to the inputs if needed, and write those of the parameters."""
        raise NotImplementedError

    def read(self, in_place: bool = False) -> Any:
        """Return the layer with its arrays as they are now; with `in_place` large ones are not copied."""
        return self.layer


class TrainableLinear(TrainableLayer):
    """x @ weights + intercept."""

    def __init__(self, layer: Linear, shared: bool = False) -> None:
        self.weights = self._make_weights(layer.weights)
        self.weights.shared = shared
        self.intercept = None if layer.intercept is None else Parameter(layer.intercept, penalised=False)
        super().__init__(layer, [self.weights] if self.intercept is None else [self.weights, self.intercept])

    def forward(self, x: Any, training: bool) -> Tensor:
        self.input = x
        if self.intercept is None:
            return x @ self.weights.values
        return torch.addmm(self.intercept.values, x, self.weights.values)

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        if not self.weights.frozen:
            self._differentiate_weights(gradient)
        if self.intercept is not None and not self.intercept.frozen:
            torch.sum(gradient, 0, out=self.intercept.gradient)
        return gradient @ self.weights.values.T if needs_input_grad else None

    def read(self, in_place: bool = False) -> Linear:
        weights = self.weights.values
        in_place = in_place and not weights.is_cuda and weights.is_contiguous()
        intercept = None if self.intercept is None else to_array(self.intercept.values)
        return replace(self.layer, weights=weights.numpy() if in_place else to_array(weights), intercept=intercept)

    def _make_weights(self, initial: np.ndarray) -> Parameter:
        return Parameter(initial, penalised=True)

    def _differentiate_weights(self, gradient: Tensor) -> None:
        if self.weights.shared:
            self.weights.gradient.T.addmm_(gradient.T, self.input)
        else:
            torch.mm(gradient.T, self.input, out=self.weights.gradient.T)


class TrainableSparseLinear(TrainableLinear):
    """x @ weights + intercept for sparse x, in the first layer.

    The gradient exists for the features of the batch alone, unless a tied layer adds that of all features.
    """

    weights: RowParameter

    def _make_weights(self, initial: np.ndarray) -> RowParameter:
        return RowParameter(initial, penalised=True)

    def forward(self, x: SparseBatch, training: bool) -> Tensor:
        self.input = x
        if training and not self.weights.frozen:
            rows = x.find_used(self.weights.n_rows)
            product = x.matmul_used(self.weights.gather(rows))
        else:
            product = x.matmul(self.weights.values)
        return product if self.intercept is None else product.add_(self.intercept.values)

    def _differentiate_weights(self, gradient: Tensor) -> None:
        self.weights.gradient = self.input.rmatmul_used(gradient)


class TrainableSharedSparseLinear(TrainableLinear):
    """x @ weights + intercept for sparse x, with weights that a later layer uses too."""

    def forward(self, x: SparseBatch, training: bool) -> Tensor:
        self.input = x
        product = x.matmul(self.weights.values.contiguous())  # the buffer holds the transposed weights
        return product if self.intercept is None else product.add_(self.intercept.values)

    def _differentiate_weights(self, gradient: Tensor) -> None:
        n_rows = len(self.weights.values)
        rows = self.input.find_used(n_rows).clamp_max(n_rows - 1).to(torch.int64)  # the gradient of padding is zero
        self.weights.gradient.index_add_(0, rows, self.input.rmatmul_used(gradient))


class TrainableTiedLinear(TrainableLayer):
    """x @ weights.T + intercept, with the weights of an earlier linear layer."""

    def __init__(self, layer: TiedLinear, source: TrainableLinear) -> None:
        self.source, self.weights = source, source.weights
        self.intercept = Parameter(layer.intercept, penalised=False)
        super().__init__(layer, [self.intercept])

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.input = x
        return torch.addmm(self.intercept.values, x, self.weights.values.T)

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        if not self.weights.frozen:  # the source adds its part to this
            torch.mm(self.input.T, gradient, out=self.weights.gradient.T)
        if not self.intercept.frozen:
            torch.sum(gradient, 0, out=self.intercept.gradient)
        return gradient @ self.weights.values if needs_input_grad else None

    def read(self, in_place: bool = False) -> TiedLinear:
        return replace(self.layer, source=self.source.read(in_place), intercept=to_array(self.intercept.values))


class TrainableActivation(TrainableLayer):
    """An elementwise function."""

    def __init__(self, layer: Activation) -> None:
        super().__init__(layer)
        self.name = layer.name

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

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        if not needs_input_grad or self.name == "identity":
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


class TrainableDropout(TrainableLayer):
    """Zero entries with probability `rate` in training, and scale up the others so that the mean is preserved."""

    def __init__(self, layer: Dropout, generator: torch.Generator) -> None:
        super().__init__(layer)
        self.rate, self.generator = layer.rate, generator

    def forward(self, x: Tensor, training: bool) -> Tensor:
        if not training:
            return x
        kept = 1 - self.rate
        self.mask = torch.empty_like(x).bernoulli_(kept, generator=self.generator).div_(kept)
        return x * self.mask

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        return gradient * self.mask if needs_input_grad else None


class TrainableBatchNorm(TrainableLayer):
    """Batch normalisation.

    A batch of a single sample has no variance: the running statistics normalise it, and it does not update them.
    """

    def __init__(self, layer: BatchNorm, device: torch.device, dtype: torch.dtype) -> None:
        self.scale, self.shift = (Parameter(part, penalised=False) for part in (layer.scale, layer.shift))
        super().__init__(layer, [self.scale, self.shift])
        self.momentum = BATCH_NORM_MOMENTUM
        copies = (np.array(part) for part in (layer.mean, layer.variance))  # since training changes them
        self.mean, self.variance = (to_tensor(part, device, dtype) for part in copies)

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.input, self.uses_batch = x, training and len(x) > 1
        output, self.batch_mean, self.batch_inverse = torch.native_batch_norm(
            x, self.scale.values, self.shift.values, self.mean, self.variance, self.uses_batch, self.momentum,
            BATCH_NORM_EPSILON,
        )  # fmt: skip
        return output

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        frozen = self.scale.frozen
        to_input, to_scale, to_shift = aten.native_batch_norm_backward(
            gradient, self.input, self.scale.values, self.mean, self.variance, self.batch_mean, self.batch_inverse,
            self.uses_batch, BATCH_NORM_EPSILON, [needs_input_grad, not frozen, not frozen],
        )  # fmt: skip
        if not frozen:
            self.scale.gradient.copy_(to_scale)
            self.shift.gradient.copy_(to_shift)
        return to_input if needs_input_grad else None

    def read(self, in_place: bool = False) -> BatchNorm:
        parts = (self.scale.values, self.shift.values, self.mean, self.variance)
        return BatchNorm(*(to_array(part) for part in parts))


class TrainableL2Normalisation(TrainableLayer):
    """Divide each sample by its Euclidean norm; zeros stay zeros."""

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.inverse = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min_(1e-12).reciprocal_()
        self.kept = x * self.inverse
        return self.kept

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        if not needs_input_grad:
            return None
        along = (gradient * self.kept).sum(1, keepdim=True)
        return (gradient - self.kept * along).mul_(self.inverse)


class TrainableConvolution(TrainableLayer):
    """3 x 3 convolution, with a border of zeros, of images stored as rows (height, width, n_channels)."""

    def __init__(self, layer: Convolution) -> None:
        self.weights = Parameter(layer.weights, penalised=True)
        self.intercept = Parameter(layer.intercept, penalised=False)
        super().__init__(layer, [self.weights, self.intercept])

    def forward(self, x: Tensor, training: bool) -> Tensor:
        images = x.view(len(x), *self.layer.image_shape)
        self.input = images.permute(0, 3, 1, 2)  # (n_samples, n_channels, height, width)
        kernel, intercept = self._kernel(self.weights.values), self.intercept.values
        output = torch.conv2d(self.input, kernel, intercept, self.layer.stride, 1)
        self.shape = output.shape
        return output.permute(0, 2, 3, 1).reshape(len(x), -1)

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        n_samples, n_outputs, down, across = self.shape
        trained = not self.weights.frozen
        to_input, to_weights, to_intercept = aten.convolution_backward(
            gradient.view(n_samples, down, across, n_outputs).permute(0, 3, 1, 2),
            self.input, self._kernel(self.weights.values), [n_outputs], [self.layer.stride] * 2, [1, 1], [1, 1],
            False, [0, 0], 1, [needs_input_grad, trained, trained],
        )  # fmt: skip
        if trained:
            self.weights.gradient.copy_(to_weights.reshape(n_outputs, -1).t())
            self.intercept.gradient.copy_(to_intercept)
        return to_input.permute(0, 2, 3, 1).reshape(n_samples, -1) if needs_input_grad else None

    def read(self, in_place: bool = False) -> Convolution:
        weights, intercept = to_array(self.weights.values), to_array(self.intercept.values)
        return replace(self.layer, weights=weights, intercept=intercept)

    def _kernel(self, weights: Tensor) -> Tensor:
        return weights.t().reshape(weights.shape[1], -1, EDGE, EDGE)  # a view: buffers hold the transposed weights


class TrainableUpsampling(TrainableLayer):
    """Repeat each pixel twice in both directions, and crop."""

    def forward(self, x: Tensor, training: bool) -> Tensor:
        height, width, n_channels = self.layer.image_shape
        images = x.view(-1, height, 1, width, 1, n_channels).expand(-1, -1, 2, -1, 2, -1)
        images = images.reshape(-1, 2 * height, 2 * width, n_channels)
        return images[:, : self.layer.large_shape[0], : self.layer.large_shape[1]].reshape(len(x), -1)

    def backward(self, gradient: Tensor, needs_input_grad: bool) -> Tensor | None:
        if not needs_input_grad:
            return None
        height, width, n_channels = self.layer.image_shape
        down, across = self.layer.large_shape[:2]
        images: Any = gradient.view(-1, down, across, n_channels)
        images = torch.nn.functional.pad(images, (0, 0, 0, 2 * width - across, 0, 2 * height - down))
        return images.view(-1, height, 2, width, 2, n_channels).sum((2, 4)).reshape(len(gradient), -1)


def to_array(tensor: Tensor) -> np.ndarray:
    """Return a NumPy copy in C order."""
    return tensor.detach().cpu().numpy().copy()
