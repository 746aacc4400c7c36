"""Shrunk covariances are those of scikit-learn, also in a basis of the span of the rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.covariance import LedoitWolf, ShrunkCovariance, ledoit_wolf_shrinkage

from transferkit._algorithms.linalg import moments
from transferkit._algorithms.linalg.moments import (
    centred_scatter,
    estimate_moments,
    find_joint_basis,
    symmetric_power,
)

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 6)) @ RNG.normal(size=(6, 6)) + 3


@pytest.mark.parametrize("shape", [(40, 6), (10, 30)])
def test_automatic_shrinkage_is_that_of_scikit_learn(shape):
    rows = RNG.normal(size=shape) * np.linspace(1, 3, shape[1])
    found = estimate_moments(rows, None, shrinkage="auto", ridge=0.0, centre=True)
    trusted = LedoitWolf().fit(rows)
    assert found.shrinkage == pytest.approx(trusted.shrinkage_, rel=1e-10)
    np.testing.assert_allclose(found.covariance, trusted.covariance_, rtol=1e-8, atol=1e-10)


def test_spherical_rows_need_no_shrinkage():
    rows = np.vstack([np.eye(4), -np.eye(4)])
    squares = np.square(rows).sum(axis=1)
    covariance = rows.T @ rows / 8
    assert moments.ledoit_wolf_shrinkage(squares, float(np.square(covariance).sum()), 4) == 0


def test_shrinkage_does_not_exceed_one():
    rows = RNG.normal(size=(3, 200))
    found = estimate_moments(rows, None, shrinkage="auto", ridge=0.0, centre=True)
    assert found.shrinkage == pytest.approx(ledoit_wolf_shrinkage(rows))
    assert 0 < found.shrinkage <= 1


@pytest.mark.parametrize("centre", [True, False])
def test_moments_are_shrunk_by_the_formula(centre):
    found = estimate_moments(ROWS, None, shrinkage=0.2, ridge=0.5, centre=centre)
    trusted = ShrunkCovariance(shrinkage=0.2, assume_centered=not centre).fit(ROWS)
    np.testing.assert_allclose(found.covariance, trusted.covariance_ + 0.5 * np.eye(6), rtol=1e-10)
    np.testing.assert_allclose(found.mean, ROWS.mean(axis=0) if centre else np.zeros(6))
    assert not found.is_singular


def test_scatter_is_summed_over_blocks_of_rows(monkeypatch):
    monkeypatch.setattr(moments, "_BLOCK_ROWS", 7)
    centred = ROWS - ROWS.mean(axis=0)
    scatter, squares = centred_scatter(ROWS, ROWS.mean(axis=0))
    np.testing.assert_allclose(scatter, centred.T @ centred, rtol=1e-10)
    np.testing.assert_allclose(squares, np.square(centred).sum(axis=1), rtol=1e-10)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_the_basis_spans_the_centred_rows_of_both_domains(convert):
    source, target = RNG.normal(size=(5, 30)), RNG.normal(size=(6, 30)) + 1
    basis = find_joint_basis(convert(source), convert(target), np.random.RandomState(0))
    assert basis.shape == (30, 9)  # centring takes one dimension from each domain
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-10)
    for rows in (source, target):
        centred = rows - rows.mean(axis=0)
        np.testing.assert_allclose(centred @ basis @ basis.T, centred, atol=1e-8)


def test_no_basis_is_needed_where_rows_outnumber_features():
    assert find_joint_basis(ROWS, ROWS, np.random.RandomState(0)) is None


def test_a_basis_changes_no_covariance():
    rows, other = RNG.normal(size=(8, 30)), RNG.normal(size=(9, 30))
    basis = find_joint_basis(rows, other, np.random.RandomState(0))
    full = estimate_moments(rows, None, shrinkage=0.3, ridge=0.1, centre=True)
    found = estimate_moments(rows, basis, shrinkage=0.3, ridge=0.1, centre=True)
    outside = np.eye(30) - basis @ basis.T
    np.testing.assert_allclose(
        basis @ found.covariance @ basis.T + found.outside * outside, full.covariance, rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize(("rows", "is_singular"), [(ROWS, False), (ROWS[:4], True), (ROWS[:, [0, 0]], True)])
def test_singular_covariances_are_made_regular(rows, is_singular):
    found = estimate_moments(rows, None, shrinkage=None, ridge=0.0, centre=True)
    assert found.is_singular == is_singular
    assert np.linalg.eigvalsh(found.covariance)[0] > 0


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.0, -1.0])
def test_symmetric_powers_are_those_of_eigenvalues(exponent):
    basis = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    values = np.geomspace(0.1, 10, 6)
    found = symmetric_power((basis * values) @ basis.T, exponent)
    np.testing.assert_allclose(found, (basis * values**exponent) @ basis.T, atol=1e-10)


def test_symmetric_powers_of_singular_matrices_are_finite():
    assert np.isfinite(symmetric_power(np.diag([1.0, 0.0]), -0.5)).all()
