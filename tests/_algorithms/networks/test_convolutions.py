"""Convolution and upsampling of images in rows, against SciPy and loops."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from transferkit._algorithms.networks import layers
from transferkit._algorithms.networks.layers import convolve, convolved_shape, upsample

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
