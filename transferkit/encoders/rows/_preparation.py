"""Steps before clustering: patches of images, normalisation of contrast, whitening."""

from typing import NamedTuple

import numpy as np

from transferkit._algorithms.rows.patches import cut_patches, find_whitening, normalise_contrast, whitening_matrix
from transferkit._validation import check_row_width

__all__ = ["PatchGrid", "Preparation", "check_n_clusters"]

_MOST_PATCHES = 200_000  # sampled to fit a codebook
_CONTRAST_FLOOR = 0.01  # of the mean variance of patches
_WHITENING_FLOOR = 0.1  # of the mean variance of features


class PatchGrid(NamedTuple):
    """Square patches of images that are given as rows of pixels."""

    size: int
    stride: int
    image_shape: tuple  # (height, width) or (height, width, n_channels)

    @property
    def shape(self):
        """Number of patches from top to bottom, and from left to right."""
        return tuple((edge - self.size) // self.stride + 1 for edge in self.image_shape[:2])

    def check(self, width):
        """Raise ValueError unless samples of this width are such images, and large enough for two by two patches."""
        check_row_width("image_shape", self.image_shape, width)
        if self.size > min(self.image_shape[:2]):
            raise ValueError(f"Patches of {self.size} pixels do not fit into images of {self.image_shape!r}.")
        if min(self.shape) < 2:
            raise ValueError(
                f"patches={(self.size, self.stride)!r} gives a grid of {self.shape} patches: four quadrants need at "
                "least 2 x 2. Use smaller patches or a smaller stride."
            )

    def cut(self, X):
        """Return all patches of the images less their means, (n_images * n_down * n_across, n_values), float32."""
        X = (X - X.mean(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
        patches = cut_patches(X.reshape(len(X), *self.image_shape[:2], -1), self.size, self.stride)
        return patches.reshape(-1, patches.shape[-1])

    def sample(self, X, random):
        """Return the patches of at most as many images as a codebook needs, drawn at random."""
        most = max(_MOST_PATCHES // int(np.prod(self.shape)), 1)
        return self.cut(X if len(X) <= most else X[random.permutation(len(X))[:most]])


class Preparation(NamedTuple):
    """Normalisation of contrast and whitening, each if it is used."""

    contrast_floor: float | None = None
    whitening_mean: np.ndarray | None = None
    whitening_matrix: np.ndarray | None = None

    @classmethod
    def fit(cls, rows, *, contrast, whiten):
        """Return the preparation of samples or patches like these."""
        floor = float(_CONTRAST_FLOOR * rows.var(axis=1).mean()) if contrast else None
        if not whiten:
            return cls(floor)
        mean, matrix = find_whitening(cls(floor).apply(rows), _WHITENING_FLOOR)
        return cls(floor, mean, matrix.astype(np.float32))

    @classmethod
    def from_covariance(cls, mean, covariance):
        """Return the whitening for samples with this mean and covariance."""
        matrix = whitening_matrix(covariance, _WHITENING_FLOOR)
        return cls(None, mean, matrix.astype(np.float32))

    def apply(self, rows):
        """Return the samples prepared."""
        if self.contrast_floor is not None:
            rows = normalise_contrast(rows, self.contrast_floor)
        if self.whitening_matrix is not None:
            rows = (rows - self.whitening_mean).astype(np.float32) @ self.whitening_matrix
        return rows


def check_n_clusters(n_clusters, n_samples, kind):
    """Raise ValueError if there are fewer samples, or patches, than clusters."""
    if n_samples < n_clusters:
        raise ValueError(
            f"n_clusters={n_clusters} needs at least as many {kind}. Got n_samples={n_samples}: give more {kind} or a "
            "smaller n_clusters."
        )
