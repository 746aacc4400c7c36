"""Trainable layers of images stored as rows (height, width, n_channels), with closed-form gradients."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from transferkit._algorithms.networks.convolutions import EDGE
from transferkit._algorithms.networks.layers import Convolution
from transferkit._training.network.layers import TrainableLayer, to_array
from transferkit._training.network.parameters import Parameter

__all__ = ["TrainableConvolution", "TrainableUpsampling"]

aten = torch.ops.aten


class TrainableConvolution(TrainableLayer):
    """3 x 3 convolution with a border of zeros."""

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
