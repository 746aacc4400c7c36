"""Steps before clustering: patches of images that are given as rows of pixels, contrast, whitening; and pooling."""

from typing import NamedTuple

import numpy as np

__all__ = [
    "PatchGrid",
    "Preparation",
    "cut_patches",
    "find_whitening",
    "normalise_contrast",
    "pool_quadrants",
    "whitening_matrix",
]

_MOST_PATCHES = 200_000  # sampled to fit a codebook
_CONTRAST_FLOOR = 0.01  # of the mean variance of patches
_WHITENING_FLOOR = 0.1  # of the mean variance of features


def cut_patches(images: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the square patches of images (n_images, height, width, n_channels), `size` wide and `stride` pixels apart.

    Their shape is (n_images, n_down, n_across, size * size * n_channels).
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return windows.reshape(*windows.shape[:3], -1)


def normalise_contrast(patches: np.ndarray, floor: float) -> np.ndarray:
    """Return the patches (n_patches, n_values) less their means, divided by their standard deviations.

    `floor` is added to the variance, so that flat patches stay flat.
    """
    patches = patches - patches.mean(axis=1, keepdims=True)
    variance = np.square(patches).mean(axis=1, keepdims=True)
    return patches / np.sqrt(variance + floor) if floor > 0 else patches / np.sqrt(np.where(variance > 0, variance, 1))


def find_whitening(rows: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and matrix of ZCA whitening, float64: (x - mean) @ matrix has a covariance near the identity.

    `floor` is the share of the mean variance that is added to each, so that noise is not amplified.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    matrix = whitening_matrix(centred.T @ centred / len(rows), floor)
    return mean, matrix


def whitening_matrix(covariance: np.ndarray, floor: float) -> np.ndarray:
    """Return the matrix of ZCA whitening for this covariance matrix, (n_features, n_features)."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    added = floor * values.mean() or np.finfo(np.float64).tiny
    return (vectors / np.sqrt(values + added)) @ vectors.T


def pool_quadrants(activations: np.ndarray) -> np.ndarray:
    """Return the sums of activations over the four quadrants of each image, (n_images, 4 * n_units).

    The activations are those of each patch, (n_images, n_down, n_across, n_units). If the number of patches is odd, the
    middle one belongs to the second half.
    """
    down, across = activations.shape[1] // 2, activations.shape[2] // 2
    halves = [activations[:, :down], activations[:, down:]]
    quadrants = [part for half in halves for part in (half[:, :, :across], half[:, :, across:])]
    return np.concatenate([quadrant.sum(axis=(1, 2)) for quadrant in quadrants], axis=1)


class PatchGrid(NamedTuple):
    """Square patches of images that are given as rows of pixels."""

    size: int
    stride: int
    image_shape: tuple[int, ...]  # (height, width) or (height, width, n_channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of patches from top to bottom, and from left to right."""
        return tuple((edge - self.size) // self.stride + 1 for edge in self.image_shape[:2])

    def cut(self, X: np.ndarray) -> np.ndarray:
        """Return all patches of the images less their means, (n_images * n_down * n_across, n_values), float32."""
        X = (X - X.mean(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
        patches = cut_patches(X.reshape(len(X), *self.image_shape[:2], -1), self.size, self.stride)
        return patches.reshape(-1, patches.shape[-1])

    def sample(self, X: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """Return the patches of at most as many images as a codebook needs, drawn at random."""
        most = max(_MOST_PATCHES // int(np.prod(self.shape)), 1)
        return self.cut(X if len(X) <= most else X[random.permutation(len(X))[:most]])


class Preparation(NamedTuple):
    """Normalisation of contrast and whitening, each if it is used."""

    contrast_floor: float | None = None
    whitening_mean: np.ndarray | None = None
    whitening_matrix: np.ndarray | None = None

    @classmethod
    def fit(cls, rows: np.ndarray, *, contrast: bool, whiten: bool) -> "Preparation":
        """Return the preparation of samples or patches like these."""
        floor = float(_CONTRAST_FLOOR * rows.var(axis=1).mean()) if contrast else None
        if not whiten:
            return cls(floor)
        mean, matrix = find_whitening(cls(floor).apply(rows), _WHITENING_FLOOR)
        return cls(floor, mean, matrix.astype(np.float32))

    @classmethod
    def from_covariance(cls, mean: np.ndarray, covariance: np.ndarray) -> "Preparation":
        """Return the whitening for samples with this mean and covariance."""
        matrix = whitening_matrix(covariance, _WHITENING_FLOOR)
        return cls(None, mean, matrix.astype(np.float32))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Return the samples prepared."""
        if self.contrast_floor is not None:
            rows = normalise_contrast(rows, self.contrast_floor)
        if self.whitening_matrix is not None and self.whitening_mean is not None:
            rows = (rows - self.whitening_mean).astype(np.float32) @ self.whitening_matrix
        return rows
