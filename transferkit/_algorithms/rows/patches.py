"""Patches of images that are given as rows of pixels: cutting, contrast, whitening, pooling."""

import numpy as np

__all__ = ["cut_patches", "find_whitening", "normalise_contrast", "pool_quadrants", "whitening_matrix"]


def cut_patches(images: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the square patches of each image, (n_images, n_down, n_across, size * size * n_channels).

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, n_channels)
        Images.
    size : int
        Pixels along an edge of a patch.
    stride : int
        Pixels between the origins of neighbouring patches.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return windows.reshape(*windows.shape[:3], -1)


def normalise_contrast(patches: np.ndarray, floor: float) -> np.ndarray:
    """Return the patches less their means, divided by their standard deviations, with a floor under the variance.

    Parameters
    ----------
    patches : ndarray of shape (n_patches, n_values)
        Patches.
    floor : float
        Added to the variance, so that flat patches stay flat.
    """
    patches = patches - patches.mean(axis=1, keepdims=True)
    variance = np.square(patches).mean(axis=1, keepdims=True)
    return patches / np.sqrt(variance + floor) if floor > 0 else patches / np.sqrt(np.where(variance > 0, variance, 1))


def find_whitening(rows: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and matrix of ZCA whitening, float64: (x - mean) @ matrix has a covariance near the identity.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Samples.
    floor : float
        Share of the mean variance that is added to each, so that noise is not amplified.
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

    Parameters
    ----------
    activations : ndarray of shape (n_images, n_down, n_across, n_units)
        Activations of each patch. If the number of patches is odd, the middle one belongs to the second half.
    """
    down, across = activations.shape[1] // 2, activations.shape[2] // 2
    halves = [activations[:, :down], activations[:, down:]]
    quadrants = [part for half in halves for part in (half[:, :, :across], half[:, :, across:])]
    return np.concatenate([quadrant.sum(axis=(1, 2)) for quadrant in quadrants], axis=1)
