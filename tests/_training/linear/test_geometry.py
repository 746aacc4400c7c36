"""Every geometry leads to the same optimum, and back to the weights it was given."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit._training.linear import geometry as geometries
from transferkit._training.linear.features import Kernel, SparseFeatures
from transferkit._training.linear.geometry import DualGeometry, ReducedGeometry, WhiteGeometry, find_geometry
from transferkit._training.linear.lbfgs import minimise
from transferkit._training.linear.losses import SoftmaxLoss

CPU = torch.device("cpu")


def make_problem(n_rows=40, n_columns=60, n_classes=3):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n_rows, n_columns)) * (generator.random((n_rows, n_columns)) < 0.2)
    X[0] = 0
    X[1, 1:4] = [1.0, 2.0, 3.0]
    X[2:, 1:4] = 0  # columns of one entry
    return sp.csr_matrix(X + 0.0), generator.integers(0, n_classes, n_rows), generator.random(n_rows) + 0.1


def solve(geometry, labels, weights, C=2.0):
    loss = SoftmaxLoss(torch.from_numpy(labels), torch.from_numpy(weights)[:, None])
    coordinates = geometry.coordinates(loss, torch.tensor([C], dtype=torch.float64))
    solution = minimise(coordinates, loss, coordinates.zeros(labels.max() + 1), tol=1e-12)
    return geometry.weights(coordinates, solution.point), solution, coordinates, loss


def list_geometries(X, weights, fit_intercept):
    jacobi = WhiteGeometry.of(SparseFeatures(X, weights, fit_intercept, CPU), weights, fit_intercept)
    jacobi.basis, jacobi.spectrum = None, jacobi.features.squared_columns(torch.from_numpy(weights))
    return {
        "white": WhiteGeometry.of(SparseFeatures(X, weights, fit_intercept, CPU), weights, fit_intercept),
        "diagonal": jacobi,
        "reduced sparse": ReducedGeometry.of(X, weights, fit_intercept, CPU),
        "reduced dense": ReducedGeometry.of(X.toarray(), weights, fit_intercept, CPU),
        "dual": DualGeometry(X, weights, fit_intercept, CPU),
    }


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_all_geometries_have_the_same_optimum(fit_intercept):
    X, labels, weights = make_problem()
    found = {
        name: solve(geometry, labels, weights) for name, geometry in list_geometries(X, weights, fit_intercept).items()
    }
    (reference, intercepts), solution, *_ = found["white"]
    for (coef, intercept), other, *_ in found.values():
        np.testing.assert_allclose(coef, reference, atol=1e-4)
        np.testing.assert_allclose(intercept, intercepts, atol=1e-4)
        np.testing.assert_allclose(other.values, solution.values, rtol=1e-8)


@pytest.mark.parametrize("name", ["white", "diagonal", "reduced sparse", "reduced dense", "dual"])
def test_start_at_an_optimum_is_that_optimum(name):
    X, labels, weights = make_problem()
    geometry = list_geometries(X, weights, True)[name]
    (coef, intercept), solution, coordinates, loss = solve(geometry, labels, weights)
    point = geometry.start(coordinates, loss, coef.transpose(1, 2, 0), intercept)
    scores = coordinates.scores(point)
    np.testing.assert_allclose(scores, solution.scores, atol=1e-3)


def test_scores_of_the_solution_are_those_of_its_weights():
    X, labels, weights = make_problem()
    for geometry in list_geometries(X, weights, True).values():
        (coef, intercept), solution, *_ = solve(geometry, labels, weights)
        np.testing.assert_allclose(solution.scores[:, 0], X @ coef[:, 0] + intercept[0], atol=1e-8)


def test_shape_decides():
    tall, wide = sp.random_array((50, 20), density=0.2, rng=0).tocsr(), sp.random_array((20, 50), rng=0).tocsr()
    assert isinstance(find_geometry(tall, np.ones(50), True, CPU), WhiteGeometry)
    assert isinstance(find_geometry(wide, np.ones(20), True, CPU), ReducedGeometry)
    assert isinstance(find_geometry(wide.toarray(), np.ones(20), True, CPU), ReducedGeometry)


def test_many_rows_of_still_more_sparse_features_are_solved_in_their_span(monkeypatch):
    monkeypatch.setattr(geometries, "MAX_REDUCED_SPARSE_ROWS", 10)
    X, _, weights = make_problem()
    assert isinstance(find_geometry(X, weights, True, CPU), DualGeometry)


@pytest.mark.parametrize("centre", [True, False])
def test_kernel_is_that_of_the_centred_rows(centre):
    X, _, weights = make_problem()
    centred = X.toarray() - (weights @ X / weights.sum() if centre else 0)
    values = np.random.default_rng(0).normal(size=(40, 2))
    kernel = Kernel(X, weights, centre, CPU)
    np.testing.assert_allclose(kernel.times(torch.from_numpy(values)), centred @ centred.T @ values, atol=1e-10)
    np.testing.assert_allclose(kernel.to_weights(values), centred.T @ values, atol=1e-10)


def test_sparse_features_are_centred_without_being_dense():
    X, _, weights = make_problem()
    features = SparseFeatures(X, weights, True, CPU)
    centred = X.toarray() - weights @ X / weights.sum()
    other = torch.from_numpy(np.random.default_rng(0).random(40))
    np.testing.assert_allclose(features.gram(other), centred.T @ (centred * other.numpy()[:, None]), atol=1e-10)
    np.testing.assert_allclose(features.squared_columns(other), np.diag(features.gram(other)), atol=1e-10)


def test_problems_of_one_batch_do_not_see_each_other():
    X, labels, weights = make_problem()
    for geometry in list_geometries(X, weights, True).values():
        masks = np.stack([weights, weights * (np.arange(40) % 4 > 0), weights * (np.arange(40) % 3 > 0)], axis=1)
        loss = SoftmaxLoss(torch.from_numpy(labels), torch.from_numpy(masks))
        C = torch.tensor([0.1, 3.0, 30.0], dtype=torch.float64)
        coordinates = geometry.coordinates(loss, C)
        together = minimise(coordinates, loss, coordinates.zeros(3), tol=1e-10)
        for problem in range(3):
            one = torch.tensor([problem])
            alone = minimise(coordinates.select(one), loss.select(one), coordinates.select(one).zeros(3), tol=1e-10)
            np.testing.assert_allclose(together.values[problem], alone.values[0], rtol=1e-8)
