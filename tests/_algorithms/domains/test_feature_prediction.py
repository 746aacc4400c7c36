"""Pivots are predicted by ridge regressions; a denoising layer is the mean over all corruptions."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from transferkit._algorithms.domains.feature_prediction import (
    choose_pivots,
    document_frequency,
    encode,
    find_correspondences,
    fit_layer,
    mutual_information,
)

RNG = np.random.default_rng(0)


def test_mutual_information_is_scikit_learns():
    from sklearn.feature_selection import mutual_info_classif

    rows = (RNG.random((80, 5)) < [0.1, 0.3, 0.5, 0.9, 0]).astype(float)
    labels = RNG.integers(0, 3, 80)
    trusted = mutual_info_classif(rows, labels, discrete_features=True)
    np.testing.assert_allclose(mutual_information(rows, labels), trusted, atol=1e-10)


def test_pivots_are_frequent_in_both_domains_and_tell_of_labels():
    labels = np.repeat([0, 1], 10)
    source = np.c_[labels, labels, np.ones(20), RNG.integers(0, 2, 20)].astype(float)
    target = source[::-1].copy()
    target[:, 1] = 0  # not in the target
    np.testing.assert_array_equal(choose_pivots(source, target, labels, 1, 3), [0])


@pytest.mark.parametrize("n_rows", [30, 6])
def test_correspondences_are_singular_vectors_of_ridge_predictors(n_rows):
    rows = RNG.random((n_rows, 8)) * (RNG.random((n_rows, 8)) < 0.6)
    pivots = np.array([1, 4, 6])
    others = np.setdiff1d(np.arange(8), pivots)
    alpha = 0.5
    present = (rows[:, pivots] != 0).astype(float)
    penalty = alpha * np.square(rows[:, others]).sum() / n_rows
    ridge = Ridge(penalty, fit_intercept=False).fit(rows[:, others], present - present.mean(0))
    expected = np.linalg.svd(ridge.coef_.T, full_matrices=False)[0][:, :2]
    found = find_correspondences(rows, pivots, 2, alpha)
    assert not found[pivots].any()
    np.testing.assert_allclose(np.abs(expected.T @ found[others]), np.eye(2), atol=1e-7)


def test_conjugate_gradients_agree_with_the_factorisation(monkeypatch):
    rows = RNG.random((40, 12)) * (RNG.random((40, 12)) < 0.6)
    exact = find_correspondences(rows, np.arange(4), 3, 0.5)
    monkeypatch.setattr("transferkit._algorithms.domains.feature_prediction.MOST_UNKNOWNS", 1)
    np.testing.assert_allclose(find_correspondences(rows, np.arange(4), 3, 0.5), exact, atol=1e-5)


def test_without_labels_pivots_are_the_most_frequent_features():
    source = (RNG.random((40, 6)) < [0.9, 0.2, 0.7, 0.5, 0.8, 0.0]).astype(float)
    target = (RNG.random((40, 6)) < [0.9, 0.9, 0.8, 0.0, 0.7, 0.9]).astype(float)
    np.testing.assert_array_equal(choose_pivots(source, target, None, 3, 2), [0, 2, 4])


def test_stored_zeros_do_not_count():
    rows = sparse.csr_matrix(([1.0, 0.0, 2.0], ([0, 1, 1], [0, 0, 1])), shape=(3, 2))
    np.testing.assert_array_equal(document_frequency(rows), [1, 1])
    np.testing.assert_array_equal(document_frequency(rows.toarray()), [1, 1])
    assert rows.nnz == 3


def test_denoising_layer_is_the_mean_over_many_corruptions():
    rows = RNG.random((12, 4))
    weights, intercept = fit_layer(rows, np.arange(4), 0.3)
    copies = np.tile(rows, (20_000, 1))
    lost = copies * (RNG.random(copies.shape) < 0.7)
    design = np.c_[lost, np.ones(len(lost))]
    gram = design.T @ design / 20_000
    gram.flat[::6] += 1e-3 * np.square(rows).sum(0).mean()
    expected = np.linalg.solve(gram, design.T @ copies / 20_000)
    np.testing.assert_allclose(np.vstack([weights, intercept]), expected, atol=0.02)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_chosen_columns_have_the_weights_that_all_columns_have(convert):
    rows = RNG.random((12, 5)) * (RNG.random((12, 5)) < 0.7)
    everything = fit_layer(rows, np.arange(5), 0.5)
    weights, intercept = fit_layer(convert(rows), np.array([3, 1]), 0.5)
    np.testing.assert_allclose(weights, everything[0][:, [3, 1]], rtol=1e-8)
    np.testing.assert_allclose(intercept, everything[1][[3, 1]], rtol=1e-8)
    np.testing.assert_allclose(encode(convert(rows), weights, intercept), np.tanh(rows @ weights + intercept))
