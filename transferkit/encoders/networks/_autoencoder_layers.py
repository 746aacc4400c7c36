"""The layers of an autoencoder: an encoder of convolutions and linear layers, and a decoder that mirrors it."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.networks.layers import (
    EDGE,
    Activation,
    Convolution,
    Linear,
    TiedLinear,
    Upsampling,
    activation_gain,
    convolved_shape,
    initialise_weights,
)

__all__ = ["Architecture", "decoder_layers", "encoder_layers", "initial_layers", "read_arrays"]

_STRIDE = 2  # of the encoder's convolutions


class Architecture(NamedTuple):
    """Shapes of the layers of an autoencoder."""

    n_features: int
    image_shape: tuple | None  # (height, width, n_channels)
    channels: tuple  # of the convolutions
    sizes: tuple  # of the hidden layers and of the code
    activation: str

    @property
    def shapes(self):
        """Shapes of the images before, between and after the encoder's convolutions."""
        shapes = [] if self.image_shape is None else [self.image_shape]
        for n_channels in self.channels:
            shapes.append(convolved_shape(shapes[-1], _STRIDE, n_channels))
        return shapes

    @property
    def widths(self):
        """Widths before, between and after the encoder's linear layers."""
        return [int(np.prod(self.shapes[-1])) if self.shapes else self.n_features, *self.sizes]


def encoder_layers(architecture, coefs, intercepts):
    """Return the layers up to the code, with an activation after each but the last."""
    layers, shapes = [], architecture.shapes
    for number, (weights, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        if layers:
            layers.append(Activation(architecture.activation))
        if number < len(architecture.channels):
            layers.append(Convolution(weights, intercept, shapes[number], _STRIDE))
        else:
            layers.append(Linear(weights, intercept))
    return layers


def decoder_layers(architecture, coefs, intercepts):
    """Return the layers from the code on, with an activation after each but the last."""
    layers, shapes = [], architecture.shapes
    n_linear = len(architecture.sizes)
    for number, (weights, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        if layers:
            layers.append(Activation(architecture.activation))
        if number < n_linear:
            layers.append(Linear(weights, intercept))
        else:
            position = len(shapes) - 1 - (number - n_linear)
            small, large = shapes[position], shapes[position - 1]
            upsampled = (*large[:2], small[2])
            layers += [Upsampling(small, upsampled), Convolution(weights, intercept, upsampled, 1)]
    return layers


def initial_layers(architecture, mean, random, tied):
    """Return all layers with random weights; the last intercept is the mean of the features."""
    channels, widths = [shape[2] for shape in architecture.shapes], architecture.widths
    down = [(EDGE**2 * a, b) for a, b in pairwise(channels)] + list(pairwise(widths))
    up = list(pairwise(widths[::-1])) + [(EDGE**2 * a, b) for a, b in pairwise(channels[::-1])]
    gain = activation_gain(architecture.activation)
    halves = []
    for shapes in (down, up):
        gains = [gain] * (len(shapes) - 1) + [1.0]  # the code and the output are linear
        halves.append(
            [
                initialise_weights(shape, "xavier", random, gain=of_layer, dtype=np.float32)
                for shape, of_layer in zip(shapes, gains, strict=True)
            ]
        )
    intercepts = [[np.zeros(weights.shape[1], np.float32) for weights in half] for half in halves]
    last = mean.reshape(-1, channels[0]).mean(axis=0) if architecture.channels else mean
    intercepts[1][-1] = np.asarray(last, dtype=np.float32)
    encoder = encoder_layers(architecture, halves[0], intercepts[0])
    decoder = decoder_layers(architecture, halves[1], intercepts[1])
    return [*encoder, *(_tie(encoder, decoder) if tied else decoder)]


def _tie(encoder, decoder):
    """Return the decoder with the weights of the encoder, transposed and in reverse order."""
    sources = (layer for layer in reversed(encoder) if isinstance(layer, Linear))
    return [TiedLinear(next(sources), layer.intercept) if isinstance(layer, Linear) else layer for layer in decoder]


def read_arrays(layers):
    """Return the weights and the intercepts of layers; tied layers have intercepts only."""
    learned = [layer for layer in layers if isinstance(layer, (Linear, TiedLinear, Convolution))]
    weights = [layer.weights for layer in learned if not isinstance(layer, TiedLinear)]
    return weights, [layer.intercept for layer in learned]
