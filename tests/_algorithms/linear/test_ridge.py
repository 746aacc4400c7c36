"""Each decomposition gives the weights and the held-out errors of ridge regressions fitted one by one."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge as TrustedRidge

from transferkit._algorithms.linear import ridge
from transferkit._algorithms.linear.feature_blocks import centre_rows
from transferkit._algorithms.linear.ridge import decompose, solve_by_conjugate_gradients

RNG = np.random.default_rng(0)
SHAPES = {"tall": (30, 5), "wide": (12, 20)}
ALPHAS = np.array([0.1, 3.0])


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def problem(request):
    n_rows, n_columns = request.param
    X, y = RNG.normal(size=(n_rows, n_columns)) + 2, RNG.normal(size=(n_rows, 2)) + 1
    return X, y, RNG.uniform(0.5, 2, n_rows)


@pytest.fixture(params=["eigenvectors", "triangles"])
def method(request, monkeypatch):
    if request.param == "triangles":
        monkeypatch.setattr(ridge, "MOST_SPREAD", 0)
    return request.param


def make_ridge(X, y, weights, has_intercept=True):
    rows, _ = centre_rows(X, weights, has_intercept)
    centre = np.average(y, axis=0, weights=weights) if has_intercept else 0
    return decompose(rows, rows.roots[:, None] * (y - centre), ALPHAS.min(), has_intercept)


def test_the_decomposition_suits_shape_and_condition(problem, method):
    expected = {
        ("eigenvectors", True): ridge.PrimalRidge,
        ("eigenvectors", False): ridge.DualRidge,
        ("triangles", True): ridge.TallTriangleRidge,
        ("triangles", False): ridge.WideTriangleRidge,
    }
    assert type(make_ridge(*problem)) is expected[method, len(problem[0]) > problem[0].shape[1]]


@pytest.mark.parametrize("has_intercept", [True, False])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_weights_are_those_of_scikit_learn(problem, method, has_intercept, alpha):
    X, y, weights = problem
    trusted = TrustedRidge(alpha, fit_intercept=has_intercept, solver="svd").fit(X, y, weights)
    np.testing.assert_allclose(make_ridge(*problem, has_intercept).weights(alpha), trusted.coef_.T, atol=1e-9)


@pytest.mark.parametrize("has_intercept", [True, False])
def test_held_out_errors_are_those_of_models_without_the_rows(problem, method, has_intercept):
    X, y, weights = problem
    found = make_ridge(*problem, has_intercept)
    folds = [np.arange(0, len(X), 3), np.arange(1, len(X), 3)]
    # errors are those around the mean of all rows, times the roots of the weights
    for alpha, left_out in zip(ALPHAS, found.leave_one_out(ALPHAS), strict=True):
        for parts, errors in (
            ([[row] for row in range(len(X))], [left_out[[row]] for row in range(len(X))]),
            (folds, list(found.leave_out(folds, alpha))),
        ):
            for part, error in zip(parts, errors, strict=True):
                others = np.setdiff1d(np.arange(len(X)), part)
                model = TrustedRidge(alpha, fit_intercept=has_intercept, solver="svd")
                model.fit(X[others], y[others], weights[others])
                expected = np.sqrt(weights[part])[:, None] * (y[part] - model.predict(X[part]))
                np.testing.assert_allclose(error, expected, atol=1e-8)


def test_mean_errors_are_weighted_means_over_rows_and_outputs(problem):
    found = make_ridge(*problem)
    weights = problem[2]
    expected = [np.square(left_out).sum() / (2 * weights.sum()) for left_out in found.leave_one_out(ALPHAS)]
    np.testing.assert_allclose(found.leave_one_out_errors(ALPHAS), expected)
    single = [np.array([row]) for row in range(len(weights))]
    np.testing.assert_allclose(found.held_out_errors(ALPHAS, single), expected)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_conjugate_gradients_give_the_same_weights(problem, convert):
    X, y, weights = problem
    X = X * (RNG.random(X.shape) < 0.7) * np.logspace(0, 3, X.shape[1])
    rows, _ = centre_rows(convert(X), weights, True)
    targets = rows.roots[:, None] * (y - np.average(y, axis=0, weights=weights))
    found, converged = solve_by_conjugate_gradients(rows, targets, 0.5, 1e-12, 500)
    assert converged
    np.testing.assert_allclose(found, TrustedRidge(0.5, solver="svd").fit(X, y, weights).coef_.T, rtol=1e-6, atol=1e-8)
    assert not solve_by_conjugate_gradients(rows, targets, 0.5, 1e-12, 1)[1]
