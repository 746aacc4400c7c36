"""Patches, contrast, whitening and pooling by brute force."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d

from transferkit._algorithms.rows.patches import (
    cut_patches,
    find_whitening,
    normalise_contrast,
    pool_quadrants,
    whitening_matrix,
)

RNG = np.random.default_rng(0)


def test_patches_are_those_of_scikit_learn():
    image = RNG.random((7, 6, 2))
    found = cut_patches(image[None], 3, 1)
    assert found.shape == (1, 5, 4, 18)
    np.testing.assert_array_equal(found.reshape(-1, 2, 3, 3).transpose(0, 2, 3, 1), extract_patches_2d(image, (3, 3)))


@pytest.mark.parametrize("stride", [2, 3])
def test_strides_leave_out_patches_between(stride):
    images = RNG.random((2, 8, 7, 1))
    np.testing.assert_array_equal(cut_patches(images, 3, stride), cut_patches(images, 3, 1)[:, ::stride, ::stride])


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_contrast_is_the_standard_deviation_of_a_patch(floor):
    patches = RNG.random((5, 9))
    found = normalise_contrast(patches, floor)
    expected = (patches - patches.mean(1, keepdims=True)) / np.sqrt(patches.var(1, keepdims=True) + floor)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(normalise_contrast(np.ones((2, 9)), floor), 0)


def test_whitened_rows_are_uncorrelated_and_turned_the_least():
    rows = RNG.normal(size=(300, 4)) @ RNG.normal(size=(4, 4)) + 3
    mean, matrix = find_whitening(rows, 0.0)
    whitened = (rows - mean) @ matrix
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(4), atol=1e-8)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-8)  # ZCA, not a rotation of it
    assert np.linalg.eigvalsh(matrix)[0] > 0
    pca = PCA(whiten=True).fit_transform(rows)
    np.testing.assert_allclose(np.abs(np.linalg.svd(pca.T @ whitened / 300, compute_uv=False)), 1, rtol=0.01)


def test_the_floor_is_a_share_of_the_mean_variance():
    matrix = whitening_matrix(np.diag([1.0, 3.0]), 0.5)
    np.testing.assert_allclose(matrix, np.diag([2**-0.5, 0.5]))
    assert np.isfinite(whitening_matrix(np.zeros((2, 2)), 0.1)).all()


def test_quadrants_are_summed():
    activations = RNG.random((2, 5, 4, 3))
    found = pool_quadrants(activations).reshape(2, 2, 2, 3)
    for i, rows in enumerate((slice(0, 2), slice(2, 5))):
        for j, columns in enumerate((slice(0, 2), slice(2, 4))):
            np.testing.assert_allclose(found[:, i, j], activations[:, rows, columns].sum(axis=(1, 2)))
