"""Layers in NumPy follow their formulas, for dense, sparse and low-precision weights."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.signal import correlate2d
from scipy.special import erf, expit

from transferkit._algorithms.networks import layers
from transferkit._algorithms.networks.compression import quantise_array
from transferkit._algorithms.networks.layers import (
    ACTIVATIONS,
    LEAK,
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    L2Normalisation,
    Linear,
    TiedLinear,
    Upsampling,
    convolve,
    convolved_shape,
    predict,
    upsample,
)

FORMULAS = {
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, LEAK * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "tanh": np.tanh,
    "sigmoid": expit,
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "identity": lambda x: x,
}


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_follow_their_formulas(name, dtype):
    x = np.linspace(-4, 4, 41, dtype=dtype)
    found = Activation(name).predict(x.copy())
    np.testing.assert_allclose(found, FORMULAS[name](x), atol=1e-6)
    assert found.dtype == dtype


@pytest.mark.parametrize("weights_kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("input_kind", [np.asarray, sp.csr_matrix])
def test_linear_layers_take_dense_and_sparse_arrays(input_kind, weights_kind):
    X, weights, intercept = draw(5, 7), draw(7, 3), draw(3)
    layer = Linear(weights_kind(weights), intercept)
    np.testing.assert_allclose(layer.predict(input_kind(X)), X @ weights + intercept)
    np.testing.assert_allclose(Linear(weights_kind(weights)).predict(input_kind(X)), X @ weights)


@pytest.mark.parametrize("kind", ["dense", "sparse", "one entry per sample"])
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_weights_of_low_precision_are_converted(dtype, kind):
    X, weights = draw(5, 40).astype(np.float32), draw(40, 3).astype(np.float32)
    if kind == "one entry per sample":
        X = np.eye(5, 40, dtype=np.float32)
    low, scales = quantise_array(weights, dtype)
    found = Linear(low, np.ones(3, np.float32), scales).predict(X if kind == "dense" else sp.csr_matrix(X))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, X @ weights + 1, atol=0.3)
    exact = low.astype(np.float32) * (1 if scales is None else scales)
    np.testing.assert_allclose(found, X @ exact + 1, rtol=1e-4, atol=1e-4)


def test_tied_layers_have_the_transposed_weights():
    source = Linear(draw(7, 3), draw(3))
    X, intercept = draw(5, 3), draw(7)
    np.testing.assert_allclose(TiedLinear(source, intercept).predict(X), X @ source.weights.T + intercept)


def test_normalisation_leaves_zeros():
    X = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(L2Normalisation().predict(X), [[0.6, 0.8], [0, 0]])


def test_dropout_does_nothing_after_training():
    X = draw(3, 2)
    assert Dropout(0.5).predict(X) is X


def test_batch_normalisation_uses_running_statistics():
    X, scale, shift, mean, variance = draw(6, 4), draw(4), draw(4, seed=1), draw(4, seed=2), draw(4, seed=3) ** 2
    expected = (X - mean) / np.sqrt(variance + 1e-5) * scale + shift
    np.testing.assert_allclose(BatchNorm(scale, shift, mean, variance).predict(X), expected)
    untrained = BatchNorm.untrained(4, np.dtype(np.float32))
    np.testing.assert_allclose(untrained.predict(X.astype(np.float32)), X, rtol=1e-4)


def test_a_unit_that_batch_normalisation_switched_off_is_unfolded_as_it_is():
    linear = Linear(draw(3, 2), draw(2))
    norm = BatchNorm(np.array([0.0, 2.0]), np.zeros(2), np.zeros(2), np.ones(2))
    unfolded = norm.unfold_from(norm.fold_into(linear))
    np.testing.assert_array_equal(unfolded.weights[:, 0], 0)
    np.testing.assert_allclose(unfolded.weights[:, 1], linear.weights[:, 1])


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_sums_over_the_kernel(stride):
    images, weights, intercept = draw(2, 5, 4, 3), draw(27, 2), draw(2)
    layer = Convolution(weights, intercept, (5, 4, 3), stride)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = weights.reshape(3, 3, 3, 2)  # channels, rows, columns, outputs
    expected = np.array(
        [
            [
                [
                    np.einsum("ijc,cijo->o", image[row : row + 3, column : column + 3], kernel) + intercept
                    for column in range(0, 4, stride)
                ]
                for row in range(0, 5, stride)
            ]
            for image in padded
        ]
    )
    assert layer.output_shape == expected.shape[1:]
    np.testing.assert_allclose(layer.predict(images.reshape(2, -1)), expected.reshape(2, -1))


def test_upsampling_repeats_pixels_and_crops():
    image = np.arange(4.0).reshape(1, -1)
    found = Upsampling((2, 2, 1), (3, 4, 1)).predict(image)
    np.testing.assert_array_equal(found.reshape(3, 4), [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])


def test_a_network_predicts_layer_by_layer_and_leaves_its_input():
    first, last, X = Linear(draw(4, 3), draw(3)), Linear(draw(3, 2), draw(2)), draw(5, 4)
    before = X.copy()
    found = predict([first, Activation("tanh"), last], X)
    np.testing.assert_allclose(found, np.tanh(X @ first.weights + first.intercept) @ last.weights + last.intercept)
    np.testing.assert_array_equal(X, before)


RNG = np.random.default_rng(0)


IMAGES = RNG.normal(size=(3, 6, 5, 2))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_outputs_are_correlations_summed_over_channels(stride, monkeypatch):
    monkeypatch.setattr(layers, "_BLOCK_ENTRIES", 1)  # one image at a time
    kernels, intercept = RNG.normal(size=(2, 3, 3, 4)), RNG.normal(size=4)
    expected = np.zeros((3, 6, 5, 4))
    for i, image in enumerate(IMAGES):
        for output in range(4):
            parts = [correlate2d(image[..., c], kernels[c, ..., output], mode="same") for c in range(2)]
            expected[i, ..., output] = sum(parts) + intercept[output]
    expected = expected[:, ::stride, ::stride]
    found = convolve(IMAGES.reshape(3, -1), kernels.reshape(18, 4), intercept, (6, 5, 2), stride)
    assert expected.shape[1:] == convolved_shape((6, 5, 2), stride, 4)
    np.testing.assert_allclose(found, expected.reshape(3, -1), atol=1e-12)


def test_upsampled_images_repeat_each_pixel_and_are_cropped():
    found = upsample(IMAGES.reshape(3, -1), (6, 5, 2), (11, 10, 2)).reshape(3, 11, 10, 2)
    for row in range(11):
        for column in range(10):
            np.testing.assert_array_equal(found[:, row, column], IMAGES[:, row // 2, column // 2])
