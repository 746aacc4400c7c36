"""Class proportions of rows without labels, by expectation-maximisation and from a confusion matrix."""

import numpy as np
from scipy.optimize import minimize

from transferkit._algorithms.rows.class_proportions import (
    adjust_probabilities,
    estimate_proportions,
    match_predictions,
)

CENTRES = 3.0 * np.eye(3, 5)


def make_probabilities(shares, n_rows=3000, width=1.0):
    """Return exact probabilities under equal proportions, of rows with other proportions, and their classes."""
    rng = np.random.default_rng(0)
    classes = rng.choice(3, n_rows, p=shares)
    rows = CENTRES[classes] + width * rng.normal(size=(n_rows, 5))
    logits = -((rows[:, None] - CENTRES) ** 2).sum(2) / (2 * width**2)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), classes


BASE = np.full(3, 1 / 3)


def test_proportions_are_those_of_the_rows_or_of_the_base():
    probabilities, classes = make_probabilities((0.8, 0.1, 0.1))
    truth = np.bincount(classes) / len(classes)
    np.testing.assert_allclose(estimate_proportions(probabilities, BASE), truth, atol=0.02)
    halfway = estimate_proportions(probabilities, BASE, 1.0)
    assert truth[0] > halfway[0] > BASE[0]
    np.testing.assert_allclose(estimate_proportions(probabilities, BASE, 1e6), BASE, atol=1e-4)


def test_proportions_of_overlapping_classes_have_the_largest_likelihood():
    probabilities, _ = make_probabilities((0.7, 0.2, 0.1), 500, width=4.0)  # which many steps are needed for
    found = estimate_proportions(probabilities, BASE)

    def loss(scores):
        shares = np.exp(scores) / np.exp(scores).sum()
        return -np.log(probabilities @ (shares / BASE)).mean()

    trusted = np.exp(minimize(loss, np.zeros(3), tol=1e-12).x)
    np.testing.assert_allclose(found, trusted / trusted.sum(), atol=1e-4)


def test_shares_of_predictions_give_the_proportions():
    confusion = np.array([[0.8, 0.1, 0.3], [0.1, 0.7, 0.1], [0.1, 0.2, 0.6]])  # columns sum to one
    truth = np.array([0.5, 0.2, 0.3])
    np.testing.assert_allclose(match_predictions(confusion, confusion @ truth), truth)


def test_shares_that_no_proportions_explain_give_the_nearest_ones():
    confusion, predicted = np.array([[0.8, 0.1, 0.3], [0.1, 0.7, 0.1], [0.1, 0.2, 0.6]]), np.array([0.9, 0.1, 0.0])
    assert (np.linalg.solve(confusion, predicted) < 0).any()
    found = match_predictions(confusion, predicted)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, 1001)]), -1).reshape(-1, 2)
    grid = np.column_stack([grid, 1 - grid.sum(1)])[grid.sum(1) <= 1]
    best = grid[np.square(grid @ confusion.T - predicted).sum(1).argmin()]
    np.testing.assert_allclose(found, best, atol=1e-3)


def test_adjusted_probabilities_are_those_of_a_model_with_these_proportions():
    probabilities, _ = make_probabilities(BASE, 20)
    adjusted = adjust_probabilities(probabilities, BASE, np.array([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(adjusted.sum(1), 1)
    odds, before = (p[:, 0] / p[:, 1] for p in (adjusted, probabilities))
    np.testing.assert_allclose(odds, 2 * before)
    of_one_class = adjust_probabilities(np.array([[1.0, 0.0]]), np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(of_one_class, [[0.0, 1.0]])
