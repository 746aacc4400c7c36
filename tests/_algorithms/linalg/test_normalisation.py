"""Unit rows, fixed signs, orthonormal columns and dropped rounding errors have the properties that name them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.preprocessing import normalize

from transferkit._algorithms.linalg.decompositions import drop_rounding, fix_signs, orthonormal, unit_rows

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
