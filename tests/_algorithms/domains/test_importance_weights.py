"""Density ratios reach the optimum of their objectives, as general solvers find it."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel as sklearn_rbf

from transferkit._algorithms.domains.importance_weights import (
    effective_sample_size,
    entry_variance,
    fit_kliep,
    fit_kmm,
    fit_odds,
    mean_kernel,
    rbf_kernel,
)

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(60, 2)), RNG.normal(size=(50, 2)) * 0.5 + 1


def test_the_classifier_of_domains_is_that_of_scikit_learn():
    rows = RNG.normal(size=(400, 120)) @ RNG.normal(size=(120, 120)) + 1000
    rows[250:] += RNG.normal(size=120)
    coef, intercept, converged = fit_odds(rows[:250], rows[250:], 0.1, tol=1e-6, max_iter=200)
    assert converged
    trusted = LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000).fit(rows - rows.mean(0), np.arange(400) >= 250)
    expected = trusted.decision_function(rows - rows.mean(0))
    assert np.abs(rows @ coef + intercept - expected).mean() < 0.02 * np.abs(expected).mean()


def test_kmm_reaches_the_optimum_of_the_quadratic_programme():
    kernel, cross = sklearn_rbf(SOURCE, gamma=0.5), sklearn_rbf(SOURCE, TARGET, gamma=0.5)
    kappa = 60 * cross.mean(1)
    weights, converged = fit_kmm(kernel, kappa, bound=5.0, slack=0.2, tol=1e-9, max_iter=20_000)
    assert converged

    def objective(w):
        return w @ kernel @ w / 2 - kappa @ w

    trusted = minimize(
        objective,
        np.ones(60),
        jac=lambda w: kernel @ w - kappa,
        bounds=[(0, 5)] * 60,
        constraints=[
            {"type": "ineq", "fun": lambda w: 72 - w.sum(), "jac": lambda w: -np.ones(60)},
            {"type": "ineq", "fun": lambda w: w.sum() - 48, "jac": lambda w: np.ones(60)},
        ],
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    assert (weights >= 0).all()
    assert (weights <= 5).all()
    assert 48 - 1e-6 <= weights.sum() <= 72 + 1e-6
    assert objective(weights) <= trusted.fun + 1e-5 * abs(trusted.fun)


def test_kliep_reaches_the_optimum():
    centres = TARGET[:8]
    kernel, means = rbf_kernel(TARGET, centres, 0.7), rbf_kernel(SOURCE, centres, 0.7).mean(0)
    coefficients, converged = fit_kliep(kernel, means, tol=1e-7, max_iter=10_000)
    assert converged
    assert means @ coefficients == pytest.approx(1)
    trusted = minimize(
        lambda a: -np.log(kernel @ a).mean(),
        np.full(8, 1 / means.sum()),
        bounds=[(0, None)] * 8,
        constraints={"type": "eq", "fun": lambda a: means @ a - 1},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    assert np.log(kernel @ coefficients).mean() == pytest.approx(-trusted.fun, abs=1e-6)


def test_kernel_is_scikit_learns():
    trusted = sklearn_rbf(SOURCE, TARGET, gamma=0.3)
    np.testing.assert_allclose(rbf_kernel(SOURCE, TARGET, 0.3), trusted)
    np.testing.assert_allclose(mean_kernel(SOURCE, TARGET, 0.3), trusted.mean(1))
    assert entry_variance((SOURCE, TARGET)) == pytest.approx(np.vstack([SOURCE, TARGET]).var())


def test_effective_sample_size_counts_equal_weights():
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0, 0])) == pytest.approx(1)
