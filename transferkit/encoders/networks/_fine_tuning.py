"""Encoders as networks that can be trained on.

An encoder that can be fine-tuned has two methods, in which no torch appears:

``_to_network(X)`` returns the rows that go into its network (an array or a CSR matrix, float32) and its layers, and
``_with_layers(layers)`` returns a copy of the encoder with layers of the same shapes in the place of its own.
The encoder's output is that of its last layer.
"""

from typing import Any, NamedTuple

import numpy as np

from transferkit.encoders._pretrained import PretrainedEncoder


class LinearLayer(NamedTuple):
    """x @ weights + intercept."""

    weights: np.ndarray  # (n_inputs, n_outputs)
    intercept: np.ndarray | None = None  # (n_outputs,)


class UnitRowsLayer(NamedTuple):
    """Rows divided by their length."""


class ActivationLayer(NamedTuple):
    """An activation by its name."""

    name: str


class ModuleLayer(NamedTuple):
    """A torch module up to one of its layers; the first and only layer before the head."""

    module: Any
    output: str | None
    input_shape: tuple  # of a row
    batch_size: int
    device: str


class ConvolutionLayer(NamedTuple):
    """Convolution of images, see `convolve`."""

    weights: np.ndarray  # (n_channels * 9, n_outputs)
    intercept: np.ndarray  # (n_outputs,)
    image_shape: tuple  # (height, width, n_channels)
    stride: int


class EnlargingLayer(NamedTuple):
    """Images of twice the edges, see `enlarge`."""

    image_shape: tuple
    large_shape: tuple


Layer = LinearLayer | UnitRowsLayer | ActivationLayer | ModuleLayer | ConvolutionLayer | EnlargingLayer


class Network(NamedTuple):
    """Rows and the layers that make an encoder's output of them."""

    rows: Any  # (n_rows, n_inputs)
    layers: list[Layer]


def find_trainable(encoder):
    """Return the encoder (behind a frozen one) if it can be fine-tuned as it is set, else None."""
    if isinstance(encoder, PretrainedEncoder):
        encoder = encoder.encoder_
    can = getattr(encoder, "_can_fine_tune", lambda: hasattr(encoder, "_to_network"))
    return encoder if hasattr(encoder, "_to_network") and can() else None
