"""Maps between domains satisfy the equations that define them, also in the span of few rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from transferkit._algorithms.domains.alignment import (
    RowMap,
    coral_map,
    feature_scales,
    monge_map,
    principal_axes,
    reflection_evidence,
)
from transferkit._algorithms.linalg.moments import Moments

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(50, 4)) @ RNG.normal(size=(4, 4)), RNG.normal(size=(60, 4)) * [1, 2, 0.5, 3] + 1


def moments_of(rows, outside=0.0):
    return Moments(rows.mean(axis=0), np.cov(rows.T, bias=True), outside, 0.0, False)


def test_coral_whitens_and_recolours():
    source, target = moments_of(SOURCE), moments_of(TARGET)
    found = coral_map(source, target, None)
    expected = np.linalg.inv(sqrtm(source.covariance)) @ sqrtm(target.covariance)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-8)
    np.testing.assert_allclose(np.cov(found.apply(SOURCE).T, bias=True), target.covariance, rtol=1e-8)


def test_monge_map_is_the_symmetric_positive_one():
    source, target = moments_of(SOURCE), moments_of(TARGET)
    matrix = monge_map(source, target, None).matrix
    root = sqrtm(source.covariance)
    inverse = np.linalg.inv(root)
    np.testing.assert_allclose(matrix, inverse @ sqrtm(root @ target.covariance @ root) @ inverse, rtol=1e-8)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix)[0] > 0
    np.testing.assert_allclose(np.cov((SOURCE @ matrix).T, bias=True), target.covariance, rtol=1e-8)


@pytest.mark.parametrize("make_map", [coral_map, monge_map])
def test_directions_outside_of_the_basis_are_scaled(make_map):
    basis = np.linalg.qr(RNG.normal(size=(7, 4)))[0]
    inner = make_map(moments_of(SOURCE), moments_of(TARGET), None).matrix
    row_map = make_map(moments_of(SOURCE, 0.5), moments_of(TARGET, 2.0), basis)
    assert row_map.scale == pytest.approx(2)
    rows = RNG.normal(size=(5, 7))
    expected = rows @ basis @ inner @ basis.T + 2 * (rows - rows @ basis @ basis.T)
    np.testing.assert_allclose(row_map.apply(rows), expected, atol=1e-10)


def test_rows_keep_their_type():
    for basis in (None, np.eye(4, 2)):
        row_map = RowMap(np.eye(4 if basis is None else 2), basis, 1.0)
        assert row_map.apply(SOURCE.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("to_rows", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("centre", [True, False])
def test_feature_scales_are_ratios_of_standard_deviations(to_rows, centre):
    scales = [StandardScaler().fit(X).scale_ if centre else np.sqrt(np.square(X).mean(0)) for X in (SOURCE, TARGET)]
    found = feature_scales(to_rows(SOURCE), to_rows(TARGET), shrinkage=0.0, ridge=0.0, centre=centre)
    np.testing.assert_allclose(found, scales[1] / scales[0], rtol=1e-10)


def test_feature_scales_are_shrunk_and_leave_constants_alone():
    variances = SOURCE.var(axis=0), TARGET.var(axis=0)
    shrunk = [0.7 * variance + 0.3 * variance.mean() + 0.1 for variance in variances]
    found = feature_scales(SOURCE, TARGET, shrinkage=0.3, ridge=0.1, centre=True)
    np.testing.assert_allclose(found, np.sqrt(shrunk[1] / shrunk[0]), rtol=1e-10)
    constant = np.full((50, 1), 0.1)
    found = feature_scales(constant, TARGET[:, :1], shrinkage=0.0, ridge=0.0, centre=True)
    np.testing.assert_array_equal(found, [1.0])


@pytest.mark.parametrize("to_rows", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(("n_source", "n_target", "n_features"), [(50, 60, 4), (9, 12, 30), (12, 40, 20)])
def test_principal_axes_are_those_of_pca(to_rows, n_source, n_target, n_features):
    domains = [RNG.normal(size=(n, n_features)) * np.linspace(1, 3, n_features) + 5 for n in (n_source, n_target)]
    for rows, (mean, axes) in zip(domains, principal_axes(*map(to_rows, domains), 3), strict=True):
        np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(np.abs(axes.T @ PCA(3).fit(rows).components_.T), np.eye(3), atol=1e-7)
        np.testing.assert_array_equal(axes.max(axis=0), np.abs(axes).max(axis=0))


def test_principal_axes_stay_orthonormal_where_rows_span_fewer():
    rows = np.tile(RNG.normal(size=(2, 8)), (2, 1))  # rank 1 after centring
    for _, axes in principal_axes(rows, rows, 3):
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-7)


def test_evidence_of_a_reflection_is_its_jackknife_statistic():
    skewed = RNG.exponential(size=(200, 3))
    source, target = (rows - rows.mean(axis=0) for rows in (skewed[:90], 5 - skewed[90:]))
    cubes = [np.clip(X / X.std(axis=0), -2, 2) ** 3 for X in (source, target)]
    left_out = []
    for part in range(20):
        kept = [np.delete(cube, np.arange(part, len(cube), 20), axis=0).mean(axis=0) for cube in cubes]
        left_out.append(-kept[0] @ kept[1])
    error = np.sqrt(19 / 20 * np.square(np.array(left_out) - np.mean(left_out)).sum())
    expected = -cubes[0].mean(axis=0) @ cubes[1].mean(axis=0) / error
    assert reflection_evidence(source, target) == pytest.approx(expected, rel=1e-10)
    assert reflection_evidence(source, target) > 2
    assert reflection_evidence(source, -target) == pytest.approx(-expected, rel=1e-10)
    assert reflection_evidence(np.zeros((3, 2)), np.zeros((3, 2))) == 0
