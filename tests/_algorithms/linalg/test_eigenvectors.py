"""Leading eigenvectors of sparse symmetric matrices: by definition, and as ARPACK finds them."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import eigsh

from transferkit._algorithms.linalg import decompositions
from transferkit._algorithms.linalg.decompositions import leading_eigenvectors


def make_matrix(n, seed=0):
    half = sparse.random_array((n, n), density=0.05, rng=np.random.default_rng(seed), dtype=np.float32)
    scales = sparse.diags_array(np.geomspace(1, 0.001, n).astype(np.float32))  # so that eigenvalues decay
    return sparse.csr_array(scales @ (half + half.T) @ scales)


@pytest.mark.parametrize("small", [1024, 1], ids=["dense", "block Lanczos"])
def test_vectors_and_values_are_those_of_arpack(small, monkeypatch):
    monkeypatch.setattr(decompositions, "SMALL", small)
    matrix = make_matrix(400)
    vectors, values = leading_eigenvectors(matrix, 8, np.random.RandomState(0))
    trusted, basis = eigsh(matrix.astype(np.float64), 8, which="LM")
    order = np.argsort(-np.abs(trusted))
    np.testing.assert_allclose(values, trusted[order], rtol=1e-3)
    np.testing.assert_allclose(np.abs(vectors[:, :3].T @ basis[:, order[:3]]), np.eye(3), atol=0.02)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(8), atol=1e-4)


@pytest.mark.parametrize("small", [1024, 1])
def test_signs_and_order_are_fixed(small, monkeypatch):
    monkeypatch.setattr(decompositions, "SMALL", small)
    vectors, values = leading_eigenvectors(make_matrix(300), 5, np.random.RandomState(1))
    np.testing.assert_array_equal(vectors.max(axis=0), np.abs(vectors).max(axis=0))
    assert (np.diff(np.abs(values)) <= 0).all()
    assert vectors.dtype == values.dtype == np.float32


def test_fewer_vectors_where_there_are_no_more():
    vectors, values = leading_eigenvectors(make_matrix(4), 9, np.random.RandomState(0))
    assert vectors.shape == (4, 4)
    np.testing.assert_allclose((vectors * values) @ vectors.T, make_matrix(4).toarray(), atol=1e-6)


def test_negative_eigenvalues_count_by_their_magnitude():
    matrix = sparse.csr_array(np.diag([1.0, -3.0, 2.0]).astype(np.float32))
    np.testing.assert_array_equal(leading_eigenvectors(matrix, 2, np.random.RandomState(0))[1], [-3, 2])


def test_large_matrix_is_decomposed_as_by_arpack():
    rng = np.random.default_rng(0)
    n = 3000
    matrix = sparse.random_array((n, n), density=0.003, rng=rng, dtype=np.float32)
    strengths = np.concatenate([np.linspace(200, 30, 30), [-90, -60]])
    vectors = np.linalg.qr(rng.normal(size=(n, 32)))[0] * (rng.random((n, 1)) < 0.2)
    planted = np.where(np.abs(planted := (vectors * strengths) @ vectors.T) > 1e-3, planted, 0)
    matrix = sparse.csr_array((matrix + matrix.T + sparse.csr_array(planted)).astype(np.float32))
    found, values = leading_eigenvectors(matrix, 20, np.random.RandomState(0))
    expected = eigsh(matrix.astype(np.float64), 20, which="LM")[0]
    np.testing.assert_allclose(values, expected[np.argsort(-np.abs(expected))], rtol=1e-3)
    np.testing.assert_allclose(found.T @ found, np.eye(20), atol=1e-4)
    assert np.abs(matrix @ found - found * values).max() < 0.02 * np.abs(values).max()


@pytest.mark.parametrize("n", [1, 40, 2000])
def test_matrix_of_low_rank_is_decomposed(n):
    ones = sparse.csr_array((np.ones(n, np.float32), (np.arange(n), np.roll(np.arange(n), 1))), shape=(n, n))
    matrix = sparse.csr_array(ones + ones.T)  # a ring
    matrix.data[:] = np.where(np.repeat(np.arange(n), np.diff(matrix.indptr)) < 8, matrix.data, 0)
    matrix = sparse.csr_array((matrix + matrix.T) / 2)
    vectors, values = leading_eigenvectors(matrix, 30, np.random.RandomState(0))
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose((vectors * values) @ vectors.T, matrix.toarray(), atol=1e-4)
