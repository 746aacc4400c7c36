"""Leading singular vectors and eigenvectors against dense decompositions, and standard forms of vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse
from scipy.sparse.linalg import eigsh
from sklearn.preprocessing import normalize

from transferkit._algorithms.linalg import decompositions
from transferkit._algorithms.linalg.decompositions import (
    RightVectors,
    RowProducts,
    drop_rounding,
    fix_signs,
    leading_eigenvectors,
    leading_vectors,
    orthonormal,
    unit_rows,
)


def decaying_rows(n_rows, n_columns, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, 20)))[0] for n in (n_rows, n_columns))
    return sparse.csr_matrix(left * 0.7 ** np.arange(20) @ right.T, dtype=np.float32)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_equals_the_dense_svd(shape):
    rows = decaying_rows(*shape)
    found = leading_vectors(RowProducts(rows), 12, 6, np.random.RandomState(0))
    _, values, vectors = np.linalg.svd(rows.toarray(), full_matrices=False)
    np.testing.assert_allclose(found.values, values[:12], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(found.vectors[:, :8] * vectors[:8].T, axis=0)), 1, atol=1e-4)
    assert found.vectors.dtype == found.values.dtype == np.float32


def test_summary_stands_for_the_rows_it_sums_up():
    rows = decaying_rows(90, 70)
    first, second = rows[:50], rows[50:]
    _, values, vectors = np.linalg.svd(first.toarray(), full_matrices=False)
    summary = RightVectors(vectors.T, values)
    found = leading_vectors(RowProducts(second, summary), 8, 6, np.random.RandomState(0))
    expected = np.linalg.svd(rows.toarray(), compute_uv=False)[:8]
    np.testing.assert_allclose(found.values, expected, rtol=1e-3)


def test_vectors_beyond_the_rank_are_zero():
    rows = sparse.csr_matrix(np.ones((5, 9), np.float32))
    found = leading_vectors(RowProducts(rows), 4, 4, np.random.RandomState(0))
    np.testing.assert_allclose(found.vectors[:, 0], 1 / 3, rtol=1e-5)
    assert not found.vectors[:, 1:].any()


def test_result_depends_neither_on_the_side_nor_on_the_order_of_rows():
    wide = decaying_rows(150, 151)
    tall = sparse.vstack(
        [wide, sparse.csr_matrix((10, 151), dtype=np.float32)], format="csr"
    )  # rows of zeros add nothing
    by_row, by_column, shuffled = (
        leading_vectors(RowProducts(rows), 9, 2, np.random.RandomState(0))
        for rows in (wide, tall, tall[np.random.RandomState(1).permutation(160)])
    )
    for other in (by_column, shuffled):
        np.testing.assert_allclose(other.values, by_row.values, rtol=1e-5)
        np.testing.assert_allclose(np.abs(np.sum(other.vectors * by_row.vectors, axis=0)), 1, atol=1e-5)


def slowly_decaying_rows(n_rows, n_columns):
    rows = sparse.random_array((n_rows, n_columns), density=0.02, rng=np.random.default_rng(0), dtype=np.float32)
    return sparse.csr_matrix(rows @ sparse.diags_array(np.linspace(1, 0.2, n_columns, dtype=np.float32)))


@pytest.mark.parametrize("shape", [(500, 900), (900, 500)])
def test_vectors_of_a_slowly_decaying_spectrum_keep_its_energy(shape):
    rows = slowly_decaying_rows(*shape)
    found = leading_vectors(RowProducts(rows), 20, 6, np.random.RandomState(0))
    best = np.square(np.linalg.svd(rows.toarray(), compute_uv=False)[:20]).sum()
    assert np.square(rows @ found.vectors).sum() > 0.995 * best
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(20), atol=1e-4)


@pytest.mark.parametrize("shape", [(50, 900), (900, 50)])
def test_small_sides_are_decomposed_exactly(shape):
    rows = slowly_decaying_rows(*shape)
    found = leading_vectors(RowProducts(rows), 20, 6, np.random.RandomState(0))
    np.testing.assert_allclose(found.values, np.linalg.svd(rows.toarray(), compute_uv=False)[:20], rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (200, 400), (400, 200)])
def test_rows_of_zeros_have_vectors_of_zeros(shape):
    found = leading_vectors(RowProducts(sparse.csr_matrix(shape, dtype=np.float32)), 3, 2, np.random.RandomState(0))
    assert found.vectors.shape == (shape[1], 3)
    assert not found.vectors.any()
    assert not found.values.any()


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


ENTRIES = st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-3)


MATRICES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=ENTRIES)


@given(MATRICES)
def test_unit_rows_are_those_of_scikit_learn(rows):
    np.testing.assert_allclose(unit_rows(rows), normalize(rows), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows_keep_the_type_and_may_overwrite(dtype):
    rows = np.array([[3, 4], [0, 0]], dtype)
    assert unit_rows(rows, out=rows) is rows
    assert rows.dtype == dtype
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)


@given(MATRICES)
def test_signs_do_not_depend_on_those_given(vectors):
    fixed = fix_signs(vectors)
    np.testing.assert_array_equal(np.abs(fixed), np.abs(vectors))
    np.testing.assert_array_equal(fixed.max(axis=0), np.abs(fixed).max(axis=0))
    is_unique = np.ptp(np.sort(np.abs(vectors), axis=0)[-2:], axis=0) > 0 if len(vectors) > 1 else slice(None)
    np.testing.assert_array_equal(fix_signs(-vectors)[:, is_unique], fixed[:, is_unique])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_orthonormal_columns_are_those_of_gram_and_schmidt(dtype):
    columns = np.random.default_rng(0).normal(size=(30, 6)).astype(dtype)
    expected = []
    for column in columns.T.astype(np.float64):
        rest = column - sum(((q @ column) * q for q in expected), np.zeros(30))
        expected.append(rest / np.linalg.norm(rest))
    basis = orthonormal(columns.copy())
    assert basis.dtype == dtype
    np.testing.assert_allclose(basis, np.transpose(expected), atol=1e-5 if dtype == np.float32 else 1e-13)


def test_rounding_is_relative_to_the_scale():
    rows = np.array([[1, 0], [1e-9, 0]], np.float32)
    np.testing.assert_array_equal(drop_rounding(rows), [[1, 0], [0, 0]])
    assert drop_rounding(rows, np.array([1, 1e-9])) is rows
