"""Scores of features equal values computed in another way, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

from transferkit._algorithms.linear.transferability import find_spectrum, h_score, leep, log_evidence, neighbour_means

SHAPES = [(60, 7), (25, 80), (40, 40)]


def make_rows(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) @ np.diag(np.linspace(0.1, 2, shape[1]))


def make_target(rows, noise, seed=1):
    rng = np.random.default_rng(seed)
    return rows[:, :3] @ [1.0, -2.0, 0.5] + noise * rng.normal(size=len(rows))


def find_largest_evidence(rows, y):
    """Maximise the density of y itself over both variances."""

    def loss(logs):
        alpha, beta = np.exp(logs)
        covariance = np.eye(len(y)) / beta + rows @ rows.T / alpha
        return -multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)

    runs = [
        minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000})
        for start in [(0, 0), (2, 2)]
    ]
    return -min(run.fun for run in runs) / len(y)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_log_evidence_is_the_maximum_of_the_density(shape, noise):
    rows = make_rows(shape)
    y = make_target(rows, noise)
    found = log_evidence(find_spectrum(rows), y[:, None])[0]
    assert found == pytest.approx(find_largest_evidence(rows, y), abs=1e-5)


def test_log_evidence_of_several_targets_is_that_of_each():
    rows = make_rows((50, 10))
    targets = np.column_stack([make_target(rows, 0.5), make_target(rows, 5.0, seed=2), np.arange(50) % 2])
    spectrum = find_spectrum(rows)
    alone = [log_evidence(spectrum, column[:, None])[0] for column in targets.T]
    np.testing.assert_allclose(log_evidence(spectrum, targets), alone, atol=1e-8)


@pytest.mark.parametrize("target", [np.zeros(30), np.ones(30)])
def test_log_evidence_of_degenerate_input_is_finite(target):
    for rows in (np.zeros((30, 4)), np.ones((30, 4)), make_rows((30, 60))):
        assert np.isfinite(log_evidence(find_spectrum(rows), target[:, None])).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_spectrum_is_that_of_the_svd(shape, centre, container):
    rows = make_rows(shape)
    rows[rows < 0.5] = 0
    spectrum = find_spectrum(container(rows), centre)
    gram = rows - rows.mean(axis=0) if centre else rows
    np.testing.assert_allclose((spectrum.left * spectrum.values) @ spectrum.left.T, gram @ gram.T, atol=1e-8)
    np.testing.assert_allclose(spectrum.left.T @ spectrum.left, np.eye(len(spectrum.values)), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_h_score_is_its_definition(shape):
    rows = make_rows(shape)
    classes = np.arange(shape[0]) % 3
    rows[classes == 1] += 0.4
    covariance, shrinkage = ledoit_wolf(rows)
    means = np.stack([rows[classes == k].mean(axis=0) for k in range(3)])[classes] - rows.mean(axis=0)
    expected = (1 - shrinkage) * np.trace(np.linalg.solve(covariance, means.T @ means / len(rows)))
    assert h_score(find_spectrum(rows, centre=True), rows, classes) == pytest.approx(expected, rel=1e-6)
    far = rows + 1e7
    assert h_score(find_spectrum(far, centre=True), far, classes) == pytest.approx(expected, rel=1e-5)


def test_leep_is_its_definition():
    rng = np.random.default_rng(0)
    probabilities, classes = rng.dirichlet(np.ones(4), size=50), rng.integers(0, 3, 50)
    expected = 0.0
    for label, row in zip(classes, probabilities, strict=True):
        given = [probabilities[classes == label, z].sum() / probabilities[:, z].sum() for z in range(4)]
        expected += np.log(np.dot(given, row)) / 50
    assert leep(probabilities, classes) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_neighbours_are_those_of_sklearn(container, monkeypatch):
    monkeypatch.setattr("transferkit._algorithms.linear.transferability._BLOCK_ENTRIES", 300)
    rows = make_rows((70, 8))
    expected = NearestNeighbors(n_neighbors=4, metric="cosine").fit(rows).kneighbors(return_distance=False)
    targets = np.random.default_rng(3).normal(size=(len(rows), 2))
    found = neighbour_means(container(rows), targets, 4)
    np.testing.assert_allclose(found, targets[expected].mean(axis=1), atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_tied_neighbours_share_their_places_in_any_order_of_rows(container, dtype):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 3))[rng.integers(0, 5, 40)] * rng.uniform(0.1, 9, (40, 1))  # five directions
    rows[:4] = 0
    rows, targets = rows.astype(dtype), rng.normal(size=(40, 1))
    means = neighbour_means(container(rows), targets, 3)
    order = rng.permutation(40)
    np.testing.assert_allclose(neighbour_means(container(rows[order]), targets[order], 3), means[order], atol=1e-11)
    np.testing.assert_allclose(means[0], np.delete(targets, 0).mean())  # zeros are as near to each other as to all
    tied = neighbour_means(
        container(np.array([[1, 0], [2, 0], [3, 0], [0, 1]], dtype)), np.array([[1.0], [2], [4], [9]]), 1
    )
    np.testing.assert_allclose(tied.ravel(), [3, 2.5, 1.5, 7 / 3])
