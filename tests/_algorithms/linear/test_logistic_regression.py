"""One regression in NumPy: its losses, its preconditioners, and each clause of its stopping rule."""

import numpy as np
import pytest
import scipy.sparse as sp

from tests._algorithms.linear.problems import CASES, make_case, measure
from transferkit._algorithms.linear import logistic_regression
from transferkit._algorithms.linear.logistic_regression import (
    FeatureProblem,
    RowProblem,
    StepHistory,
    Vector,
    minimise,
)
from transferkit._algorithms.linear.losses import make_loss


@pytest.mark.parametrize("case", CASES)
def test_residuals_and_curvatures_are_the_derivatives_of_the_loss(case):
    targets, weights, n_outputs = make_case(case)
    loss = make_loss(targets, weights, n_outputs, np.dtype(np.float64))
    scores = np.random.default_rng(1).normal(size=(len(targets), n_outputs)) * 3
    value, residuals = loss.evaluate(scores)
    assert value == pytest.approx(measure(scores, targets, weights))
    change = np.zeros_like(scores)
    change[5, -1] = 1e-5
    after, residuals_after = loss.evaluate(scores + change)
    before, residuals_before = loss.evaluate(scores - change)
    assert (after - before) / 2e-5 == pytest.approx(residuals[5, -1], rel=1e-6)
    slope = (residuals_after - residuals_before)[5, -1] / 2e-5
    assert slope == pytest.approx(loss.curvatures(scores)[5, -1], rel=1e-6)


def test_scores_far_from_zero_have_finite_losses():
    for targets, n_outputs in ((np.array([0, 1]), 1), (np.array([0, 2]), 3)):
        loss = make_loss(targets, np.ones(2), n_outputs, np.dtype(np.float32))
        scores = np.full((2, n_outputs), 1e4, np.float32)
        scores[:, 0] = -1e4
        value, residuals = loss.evaluate(scores)
        assert 0 < value < 3e4
        assert np.isfinite(residuals).all()


def make_features(kind, rng, n_rows=60):
    if kind == "rows":
        return sp.random_array((n_rows, 90), density=0.1, rng=rng, format="csr")
    return rng.normal(size=(n_rows, 5)) + np.arange(5)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("kind", "case"), [("features", case) for case in CASES] + [("rows", "two classes"), ("rows", "three classes")]
)
def test_gradient_is_zero_at_the_solution(kind, case, fit_intercept):
    targets, weights, n_outputs = make_case(case)
    X, offset = make_features(kind, np.random.default_rng(0)), np.linspace(-1, 1, 60)[:, None]
    loss = make_loss(targets, weights, n_outputs, X.dtype)
    make = RowProblem if kind == "rows" else FeatureProblem
    found = minimise(make(X, loss, 2.0, offset, fit_intercept), tol=1e-12, max_iter=200)
    assert found.converged
    _, residuals = loss.evaluate(X @ found.weights + found.intercepts + offset)
    np.testing.assert_allclose(X.T @ residuals + found.weights / 2, 0, atol=1e-4)
    np.testing.assert_allclose(residuals.sum(0) if fit_intercept else found.intercepts, 0, atol=1e-4)


@pytest.mark.parametrize("n_pairs", [0, 1, 3])
def test_direction_of_a_quadratic_is_that_of_newton_after_a_step_per_variable(n_pairs):
    curvature, history = np.array([1.0, 2.0, 5.0]), StepHistory(3)
    for unit in np.eye(3)[:n_pairs]:
        history.add(Vector(unit, unit), Vector(curvature * unit, curvature * unit))
    gradient = np.array([1.0, 1.0, 1.0])
    direction = history.find_direction(Vector(gradient, gradient), lambda vector: vector).coords
    np.testing.assert_allclose(direction[:n_pairs], 1 / curvature[:n_pairs])


def test_steps_without_curvature_are_not_kept():
    history, step = StepHistory(3), Vector(np.ones(2), np.ones(2))
    history.add(step, step.scaled(-1))
    np.testing.assert_array_equal(history.find_direction(step, lambda vector: vector).coords, step.coords)


def make_problem(n_rows=60, scale=1.0, dtype=np.float64, n_columns=3, shift=0.0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns))
    y = (X[:, 0] + rng.normal(size=n_rows) > 0).astype(int)
    X = (X * scale + shift).astype(dtype)
    return FeatureProblem(X, make_loss(y, np.ones(n_rows), 1, X.dtype), 1.0, None, True)


def test_a_gap_that_is_not_proven_is_no_convergence(monkeypatch):
    problem, of_gradient = make_problem(), FeatureProblem.bound_gap
    assert minimise(problem, tol=1e-4, max_iter=50, check_bound=True).converged

    def bound(self, gradient, curvatures):
        return of_gradient(self, gradient, curvatures) + (1e3 if isinstance(curvatures, np.ndarray) else 0)

    monkeypatch.setattr(FeatureProblem, "bound_gap", bound)
    assert minimise(problem, tol=1e-4, max_iter=50).converged
    assert not minimise(problem, tol=1e-4, max_iter=50, check_bound=True).converged


@pytest.mark.parametrize(
    ("bound", "gain", "expected"),
    [(0.9, 9.0, True), (1.1, 9.0, False), (29, 0.09, True), (29, 0.11, False), (31, 0.09, False), (31, 0.0009, True)],
)
def test_each_clause_of_the_rule(bound, gain, expected, monkeypatch):
    problem, tol = make_problem(), 1e-3
    monkeypatch.setattr(problem.loss, "log_odds", lambda: np.zeros(1))
    size = tol * logistic_regression.NEGLIGIBLE_LOSS * problem.loss.total  # at the start nothing has been gained
    monkeypatch.setattr(problem, "bound_gap", lambda gradient, curvatures: bound * size)
    monkeypatch.setattr(Vector, "dot", lambda *args: 2 * gain * size)
    assert minimise(problem, tol=tol, max_iter=0).converged == expected


@pytest.mark.parametrize("case", CASES)
def test_log_odds_are_the_best_equal_scores(case):
    targets, weights, n_outputs = make_case(case)
    loss = make_loss(targets, weights, n_outputs, np.dtype(np.float64))
    _, residuals = loss.evaluate(np.tile(loss.log_odds(), (len(targets), 1)))
    np.testing.assert_allclose(residuals.sum(0), 0, atol=1e-10)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_log_odds_of_absent_labels_are_finite(n_outputs):
    for n_rows in (1, 5):
        loss = make_loss(np.zeros(n_rows, int), np.ones(n_rows), n_outputs, np.dtype(np.float64))
        assert np.isfinite(loss.log_odds()).all()


def test_training_starts_at_the_log_odds_unless_there_is_an_offset():
    problem = make_problem()
    start, row = problem.start()
    np.testing.assert_array_equal(start.coords[-1], problem.loss.log_odds())
    np.testing.assert_allclose(problem.scores(start), np.tile(row, (60, 1)))
    problem.offset = np.ones((1, 1))
    assert not problem.start()[0].coords.any()


def test_the_first_gains_of_a_problem_without_a_scale_do_not_end_training(monkeypatch):
    problem = make_problem()
    monkeypatch.setattr(problem.loss, "log_odds", lambda: np.zeros(1))
    size = 1e-3 * logistic_regression.NEGLIGIBLE_LOSS * problem.loss.total
    monkeypatch.setattr(problem, "bound_gap", lambda gradient, curvatures: 29 * size)
    monkeypatch.setattr(Vector, "dot", lambda *args: 0.18 * size)
    assert minimise(problem, tol=1e-3, max_iter=0).converged
    monkeypatch.setattr(problem, "knows_scale", False)
    assert not minimise(problem, tol=1e-3, max_iter=0).converged


def test_steps_that_gain_no_more_than_rounding_are_the_last(monkeypatch):
    problem, found = make_problem(), logistic_regression.search_line

    def stay(problem, u, direction, scores, value, penalty, *rest):
        return found(problem, u, direction, scores, value, penalty, *rest)._replace(value=value, rate=0.0)

    monkeypatch.setattr(logistic_regression, "search_line", stay)
    solution = minimise(problem, tol=1e-9, max_iter=100)
    assert solution.n_iter == logistic_regression.STEPS_TO_STALL
    assert not solution.converged


def test_a_step_that_is_asked_to_stop_ends_training_there():
    seen = []

    def stop(read):
        seen.append(read())
        return len(seen) == 2

    found = minimise(make_problem(), tol=1e-12, max_iter=50, on_step=stop)
    assert found.converged
    assert found.n_iter == len(seen) == 2
    np.testing.assert_array_equal(seen[-1].weights, found.weights)


def test_features_with_a_large_mean_are_centred_before_products_lose_their_digits():
    near, far = make_problem(dtype=np.float32), make_problem(dtype=np.float32, shift=3e4)
    expected, found = minimise(near, tol=1e-6, max_iter=50), minimise(far, tol=1e-6, max_iter=50)
    assert near.shift.any() == 0
    np.testing.assert_allclose(found.weights, expected.weights, rtol=0.02, atol=0.01)


def test_a_sample_of_the_rows_gives_nearly_the_gram_matrix_of_all():
    problem = make_problem(n_rows=4000, n_columns=32)
    X = problem.X - problem.X.mean(0)
    exact, error = X.T @ X, problem.gram - X.T @ X
    assert 0 < np.linalg.norm(error, 2) < 0.7 * np.linalg.norm(exact, 2)
    X, y = problem.X, (problem.X[:, 0] > 0).astype(int)
    of_many = FeatureProblem(X, make_loss(y, np.ones(len(y)), 40, X.dtype), 1.0, None, True)
    np.testing.assert_allclose(of_many.gram, exact)  # which costs less than a step with so many outputs
    problem = make_problem(n_rows=2000, n_columns=200)
    X = problem.X - problem.X.mean(0)
    np.testing.assert_allclose(problem.gram, X.T @ X, atol=1e-8)  # a smaller sample would be too far off


def test_the_preconditioner_follows_the_curvature(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10))
    y = (3 * X[:, 0] + X[:, 1] + 0.5 * rng.normal(size=300) > 0).astype(int)
    X *= 3 * np.logspace(0, -2, 10)  # the penalty has a part in the curvature of some

    def count_steps():
        problem = FeatureProblem(X, make_loss(y, np.ones(300), 1, X.dtype), 1.0, None, True)
        return minimise(problem, tol=1e-9, max_iter=100).n_iter

    n_steps = count_steps()
    monkeypatch.setattr(logistic_regression, "CHANGE_OF_CURVATURE", np.inf)
    assert n_steps < count_steps()


def test_the_intercepts_of_sparse_rows_are_as_steep_as_their_weights():
    rng = np.random.default_rng(0)
    X = sp.random_array((400, 900), density=0.05, rng=rng, format="csr")
    X = sp.csr_matrix(sp.hstack([X, np.linspace(0, 5, 400)[:, None]]))
    y = (X @ rng.normal(size=901) + rng.normal(size=400) > 6).astype(int)  # few of the second class
    problem = RowProblem(X, make_loss(y, np.ones(400), 1, X.dtype), 1.0, None, True)
    exact = np.linalg.norm(X.toarray() - X.toarray().mean(0), 2) ** 2
    assert problem.intercept_scale**2 * 400 * 0.25 == pytest.approx(0.25 * exact + 1, rel=0.05)
