"""The layers of an autoencoder: convolutions and linear layers up to the code, and their mirror image after it."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.networks.initialisation import activation_gain, initialise_weights
from transferkit._algorithms.rows.convolutions import EDGE, convolved_shape
from transferkit.encoders.networks._fine_tuning import ActivationLayer, ConvolutionLayer, EnlargingLayer, LinearLayer

_STRIDE = 2  # of the convolutions before the code


class Plan(NamedTuple):
    """What an autoencoder is made of."""

    n_features: int
    image_shape: tuple | None  # (height, width, n_channels)
    channels: tuple  # of the convolutions
    sizes: tuple  # of the hidden layers, and of the code
    activation: str

    @property
    def shapes(self):
        """Shapes of the images before, between and after the convolutions."""
        shapes = [] if self.image_shape is None else [self.image_shape]
        for n_channels in self.channels:
            shapes.append(convolved_shape(shapes[-1], _STRIDE, n_channels))
        return shapes

    @property
    def widths(self):
        """Widths before, between and after the linear layers up to the code."""
        return [int(np.prod(self.shapes[-1])) if self.shapes else self.n_features, *self.sizes]


def make_layers(plan, coefs, intercepts, *, decodes=False):
    """Return the layers up to the code, or those after it, with an activation after each but the last."""
    n_convolutions, layers = len(plan.channels), []
    arrays = list(zip(coefs, intercepts, strict=True))
    for number, (weights, intercept) in enumerate(arrays):
        if decodes and number >= len(arrays) - n_convolutions:
            small, large = plan.shapes[len(arrays) - number], plan.shapes[len(arrays) - number - 1]
            enlarged = (*large[:2], small[2])
            layers += [EnlargingLayer(small, enlarged), ConvolutionLayer(weights, intercept, enlarged, 1)]
        elif not decodes and number < n_convolutions:
            layers.append(ConvolutionLayer(weights, intercept, plan.shapes[number], _STRIDE))
        else:
            layers.append(LinearLayer(weights, intercept))
        if number + 1 < len(arrays):
            layers.append(ActivationLayer(plan.activation))
    return layers


def start_layers(plan, mean, random):
    """Return all layers with random weights; the last intercept is the mean of the features."""
    channels = [shape[2] for shape in plan.shapes]
    into = [(EDGE**2 * a, b) for a, b in pairwise(channels)] + list(pairwise(plan.widths))
    back = list(pairwise(plan.widths[::-1])) + [(EDGE**2 * a, b) for a, b in pairwise(channels[::-1])]
    gain = activation_gain(plan.activation)
    halves = []
    for shapes in (into, back):
        gains = [gain] * (len(shapes) - 1) + [1.0]  # the code and the output are linear
        halves.append(
            [
                initialise_weights(shape, "xavier", random, gain=of_layer, dtype=np.float32)
                for shape, of_layer in zip(shapes, gains, strict=True)
            ]
        )
    intercepts = [[np.zeros(weights.shape[1], np.float32) for weights in half] for half in halves]
    last = mean.reshape(-1, channels[0]).mean(axis=0) if plan.channels else mean
    intercepts[1][-1] = np.asarray(last, dtype=np.float32)
    return make_layers(plan, halves[0], intercepts[0]) + make_layers(plan, halves[1], intercepts[1], decodes=True)


def tie_stages(stages):
    """Return the stages with the weights of the first half in the place of those of the second."""
    from transferkit._training.network.stages import Linear, Transposed

    linear = [position for position, stage in enumerate(stages) if isinstance(stage, Linear)]
    partners = dict(zip(linear[len(linear) // 2 :], linear[: len(linear) // 2][::-1], strict=True))
    return [
        Transposed(partners[position], stage.intercept, stage.group) if position in partners else stage
        for position, stage in enumerate(stages)
    ]


def arrays_of(layers):
    """Return the weights and intercepts of layers or stages; tied ones have intercepts alone."""
    learned = [layer for layer in layers if hasattr(layer, "intercept")]
    return [layer.weights for layer in learned if hasattr(layer, "weights")], [layer.intercept for layer in learned]
