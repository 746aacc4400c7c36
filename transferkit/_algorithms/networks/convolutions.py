"""3 x 3 convolutions and upsampling of images stored as rows, in NumPy.

A row holds an image of shape (height, width, n_channels). With a border of zeros a convolution maps h x w pixels to
ceil(h / stride) x ceil(w / stride).
"""

from collections.abc import Sequence

import numpy as np

from transferkit._algorithms.rows.patches import cut_patches

__all__ = ["EDGE", "convolve", "convolved_shape", "upsample"]

EDGE = 3  # width of the kernel in pixels
_BLOCK_ENTRIES = 1 << 23  # of the patches that are laid out at once


def convolved_shape(image_shape: Sequence[int], stride: int, n_channels: int) -> tuple[int, int, int]:
    """Return the shape of a convolved image."""
    return -(-image_shape[0] // stride), -(-image_shape[1] // stride), n_channels


def convolve(
    rows: np.ndarray, weights: np.ndarray, intercept: np.ndarray, image_shape: Sequence[int], stride: int
) -> np.ndarray:
    """Return convolved images, one per row.

    Parameters
    ----------
    rows : array of shape (n_rows, height * width * n_channels)
        Images.
    weights : array of shape (n_channels * 9, n_outputs)
        One row for each channel, row and column of the kernel, in this order, as in torch.
    intercept : array of shape (n_outputs,)
    image_shape : (height, width, n_channels)
    stride : int
        Distance between patches in pixels.
    """
    down, across, n_outputs = convolved_shape(image_shape, stride, weights.shape[1])
    output = np.empty((len(rows), down * across * n_outputs), np.result_type(rows, weights))
    step = max(_BLOCK_ENTRIES // (down * across * len(weights)), 1)
    for begin in range(0, len(rows), step):
        images = rows[begin : begin + step].reshape(-1, *image_shape)
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = cut_patches(padded, EDGE, stride).reshape(-1, len(weights))
        output[begin : begin + step] = (patches @ weights + intercept).reshape(len(images), -1)
    return output


def upsample(rows: np.ndarray, image_shape: Sequence[int], large_shape: Sequence[int]) -> np.ndarray:
    """Return images with each pixel repeated twice in both directions, cropped to `large_shape`."""
    images = rows.reshape(-1, *image_shape).repeat(2, axis=1).repeat(2, axis=2)
    return images[:, : large_shape[0], : large_shape[1]].reshape(len(rows), -1)
