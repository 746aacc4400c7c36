"""Layers of images that are given as rows (height, width, n_channels)."""

from typing import Any

import torch
from torch import Tensor

from transferkit._algorithms.rows.convolutions import EDGE
from transferkit._training.network.parameters import RowSlot, Slot

__all__ = ["Convolution", "Enlargement"]

aten = torch.ops.aten


class Convolution:
    """3 x 3 patches with a border of zeros, times weights, plus an intercept."""

    def __init__(self, weights: Slot, intercept: Slot, image_shape: tuple[int, int, int], stride: int) -> None:
        self.weights, self.intercept, self.image_shape, self.stride = weights, intercept, image_shape, stride
        self.slots: list[Slot | RowSlot] = [weights, intercept]

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.input = x.view(len(x), *self.image_shape).permute(0, 3, 1, 2)  # (n_rows, n_channels, height, width)
        output = torch.conv2d(self.input, self._kernel(self.weights.values), self.intercept.values, self.stride, 1)
        self.shape = output.shape
        return output.permute(0, 2, 3, 1).reshape(len(x), -1)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        n_rows, n_outputs, down, across = self.shape
        learns = not self.weights.frozen
        to_input, to_weights, to_intercept = aten.convolution_backward(
            gradient.view(n_rows, down, across, n_outputs).permute(0, 3, 1, 2),
            self.input, self._kernel(self.weights.values), [n_outputs], [self.stride] * 2, [1, 1], [1, 1],
            False, [0, 0], 1, [wanted, learns, learns],
        )  # fmt: skip
        if learns:
            self.weights.gradient.copy_(to_weights.reshape(n_outputs, -1).t())
            self.intercept.gradient.copy_(to_intercept)
        return to_input.permute(0, 2, 3, 1).reshape(n_rows, -1) if wanted else None

    def _kernel(self, weights: Tensor) -> Tensor:
        return weights.t().reshape(weights.shape[1], -1, EDGE, EDGE)  # a view: a slot lies transposed in its slab


class Enlargement:
    """Each pixel repeated, to twice the edges, and cut to a shape."""

    def __init__(self, image_shape: tuple[int, int, int], large_shape: tuple[int, int, int]) -> None:
        self.image_shape, self.large_shape = image_shape, large_shape
        self.slots: list[Slot | RowSlot] = []

    def forward(self, x: Tensor, training: bool) -> Tensor:
        height, width, n_channels = self.image_shape
        images = x.view(-1, height, 1, width, 1, n_channels).expand(-1, -1, 2, -1, 2, -1)
        images = images.reshape(-1, 2 * height, 2 * width, n_channels)
        return images[:, : self.large_shape[0], : self.large_shape[1]].reshape(len(x), -1)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        height, width, n_channels = self.image_shape
        down, across = self.large_shape[:2]
        images: Any = gradient.view(-1, down, across, n_channels)
        images = torch.nn.functional.pad(images, (0, 0, 0, 2 * width - across, 0, 2 * height - down))
        return images.view(-1, height, 2, width, 2, n_channels).sum((2, 4)).reshape(len(gradient), -1)
