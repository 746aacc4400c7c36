"""Krylov spaces: orthonormal bases, projections onto them, and the rest of the last image."""

import numpy as np
import pytest
from scipy import linalg

from transferkit._algorithms.linalg.krylov import KrylovSpace


def make_matrix(n=120, rank=120):
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(n, n)))[0][:, :rank]
    return ((vectors * np.linspace(1, -0.5, rank)) @ vectors.T).astype(np.float32)


def complete_space(matrix, width, n_blocks):
    start = np.random.default_rng(1).normal(size=(len(matrix), width)).astype(np.float32)
    space = KrylovSpace(start, n_blocks, np.random.RandomState(0))
    while not space.is_complete:
        space.add(matrix @ space.block)
    return space, start


def test_basis_spans_the_powers_of_the_matrix():
    matrix = make_matrix()
    space, start = complete_space(matrix, 4, 3)
    powers = linalg.orth(np.hstack([start, matrix @ start, matrix @ (matrix @ start)]).astype(np.float64))
    np.testing.assert_allclose(np.linalg.norm(powers.T @ space.basis, axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("rank", [120, 9], ids=["full rank", "exhausted"])
def test_basis_is_orthonormal_and_gives_the_image(rank):
    matrix = make_matrix(rank=rank)
    space, _ = complete_space(matrix, 4, 5)
    np.testing.assert_allclose(space.basis.T @ space.basis, np.eye(20), atol=1e-5)
    np.testing.assert_allclose(space.basis.T @ matrix @ space.basis, space.projected, atol=1e-5)
    image = space.basis @ space.projected
    image[:, -4:] += space.rest
    np.testing.assert_allclose(matrix @ space.basis, image, atol=1e-5)


def test_images_are_not_changed():
    matrix = make_matrix()
    space = KrylovSpace(np.ones((120, 1), np.float32), 2, np.random.RandomState(0))
    for _ in range(2):
        image = matrix @ space.block
        before = image.copy()
        space.add(image)
        np.testing.assert_array_equal(image, before)


def test_leading_vectors_are_those_of_the_largest_magnitude():
    matrix = make_matrix()
    space, _ = complete_space(matrix, 12, 9)
    values, vectors = space.leading(5)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1][:5], atol=1e-4)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-2)
