"""Logistic regression beside outliers and on features of extreme scales: the optimum, or a warning."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from tests.heads.linear.test_logistic import measure_objective
from transferkit import LogisticHead, LogisticHeadCV
from transferkit._algorithms.linear import logistic_regression
from transferkit._training.linear import lbfgs, logistic

N_ROWS = 300


def make_problem(n_classes, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.randn(N_ROWS, 5)
    score = X[:, 0] + 0.7 * rng.randn(N_ROWS)
    return X, (score > 0).astype(int) if n_classes == 2 else np.digitize(score, [-0.5, 0.5])


def add_outlier(X, kind, size):
    X = X.copy()
    if kind == "cell":
        X[0, 1] = size
    else:
        X[0] = size if kind == "row" else -size
    return X


def find_optimum(X, y):
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rounding ends it
        return measure_objective(reference.fit(X.astype(np.float64), y), X, y)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("size", [1e3, 1e5, 1e7])
@pytest.mark.parametrize("kind", ["row", "opposite row", "cell"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_an_outlier_does_not_end_training_early(n_classes, kind, size, small, monkeypatch):
    if not small:
        monkeypatch.setattr(logistic, "SMALL_PROBLEM", 0)  # float32 is kept if it suffices
    X, y = make_problem(n_classes)
    X = add_outlier(X, kind, size).astype(np.float64 if small else np.float32)
    head = LogisticHead().fit(X, y)
    assert measure_objective(head, X, y) <= find_optimum(X, y) * (1 + 2e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_features_of_heavy_tails_are_trained_to_the_optimum(n_classes):
    rng = np.random.RandomState(1)
    logs = rng.randn(N_ROWS, 5)
    score = 5 * logs[:, 0] + 3 * rng.randn(N_ROWS)
    y = (score > 0).astype(int) if n_classes == 2 else np.digitize(score, [-2, 2])
    X = np.exp(5 * logs)
    head, exact = LogisticHead().fit(X, y), LogisticHead(tol=1e-9, max_iter=10_000).fit(X, y)
    assert measure_objective(head, X, y) <= measure_objective(exact, X, y) * (1 + 2e-4)


def test_the_final_fit_of_a_search_is_not_ended_early_either():
    X, y = make_problem(2)
    X = add_outlier(X, "row", 1e7)
    search, head = LogisticHeadCV([1.0], cv=2).fit(X, y), LogisticHead().fit(X, y)
    np.testing.assert_allclose(search.coef_, head.coef_, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(
    ("n_classes", "prior"), [(2, None), (3, None), (2, LogisticHead(0.1))], ids=["two", "three", "prior"]
)
def test_folds_of_a_search_are_not_ended_early_either(n_classes, prior):
    X, y = make_problem(n_classes)
    X = add_outlier(X, "row", 1e7)
    prior = None if prior is None else prior.fit(X, y)
    cv = [(np.flatnonzero(np.arange(len(y)) % 3 != fold), np.arange(fold, len(y), 3)) for fold in range(3)]
    options = {"cv": cv, "scoring": "neg_log_loss"}
    search = LogisticHeadCV([0.1, 1.0, 100.0], prior=prior, **options).fit(X, y)
    exact = GridSearchCV(LogisticHead(tol=1e-8, prior=prior), {"C": [0.1, 1.0, 100.0]}, **options).fit(X, y)
    assert exact.best_params_["C"] == search.C_
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], exact.cv_results_["mean_test_score"], rtol=0.02)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("scale", [1e-10, 1e10, 1e15, 1e18])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_float32_features_of_any_scale_are_fitted(n_classes, scale, make, monkeypatch):
    X, y = make_problem(n_classes)
    monkeypatch.setattr(logistic, "SMALL_PROBLEM", 0)
    C = 1.0 if scale > 1 else 1e20
    heads = [LogisticHead(C).fit(make((X * scale).astype(np.float32)), y)]
    heads.append(LogisticHeadCV([C], cv=2).fit(make((X * scale).astype(np.float32)), y))
    expected = LogisticHead(min(C * scale**2, 1e8)).fit(X, y).predict_proba(X)
    for head in heads:
        assert head.coef_.dtype == np.float32
        np.testing.assert_allclose(head.predict_proba((X * scale).astype(np.float32)), expected, atol=0.02)


def test_features_whose_squares_overflow_are_named():
    X, y = make_problem(2)
    for head in (LogisticHead(), LogisticHeadCV([1.0], cv=2)):
        with pytest.raises(ValueError, match=r"too large for arithmetic with float64.*StandardScaler"):
            head.fit(X * 1e200, y)
        assert not hasattr(head, "coef_")


def fail_in(monkeypatch, *dtypes):
    search_batch, search_single = lbfgs.search_line, logistic_regression.search_line

    def fail(loss, scores, *rest):
        found = search_batch(loss, scores, *rest)
        if scores.numpy().dtype in dtypes:
            found.rate, found.some_failed = found.rate * 0, True
        return found

    def fail_single(problem, *rest):
        return None if problem.dtype in dtypes else search_single(problem, *rest)

    monkeypatch.setattr(lbfgs, "search_line", fail)
    monkeypatch.setattr(logistic_regression, "search_line", fail_single)


def test_a_failed_line_search_is_no_convergence(monkeypatch):
    X, y = make_problem(2)
    fail_in(monkeypatch, np.float64)
    message = r"did not converge after 0 steps, since rounding hides all progress.*Scale the features"
    for head in (LogisticHead(), LogisticHeadCV([1.0], cv=2)):
        with pytest.warns(ConvergenceWarning, match=message):
            head.fit(X, y)


def test_what_fails_in_float32_is_done_in_float64(monkeypatch):
    X, y = make_problem(3)
    X = X.astype(np.float32)
    expected = LogisticHead().fit(X, y)
    monkeypatch.setattr(logistic, "SMALL_PROBLEM", 0)
    fail_in(monkeypatch, np.float32)
    np.testing.assert_allclose(LogisticHead().fit(X, y).coef_, expected.coef_, rtol=1e-2)


def test_no_hessian_is_formed_where_the_penalty_proves_that_training_is_done(monkeypatch):
    X, y = make_problem(3)

    def refuse(*args):
        raise AssertionError("a Hessian was formed")

    monkeypatch.setattr(logistic, "invert_whole", refuse)
    LogisticHead().fit(X, y)


def test_an_indefinite_hessian_leaves_the_fit_as_it_is(monkeypatch):
    X, y = make_problem(3)
    X = add_outlier(X, "row", 1e7)

    def fail(*args):
        raise torch.linalg.LinAlgError

    monkeypatch.setattr(logistic, "invert_whole", fail)
    assert np.isfinite(LogisticHead().fit(X, y).coef_).all()
