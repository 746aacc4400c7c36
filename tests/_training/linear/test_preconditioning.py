"""Every preconditioner leads to the same optimum, and back to the weights it was given."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._training.linear import problem as problems
from transferkit._training.linear.lbfgs import minimise
from transferkit._training.linear.losses import SoftmaxLoss
from transferkit._training.linear.matrices import DenseMatrix, KernelMatrix, RowSpan, SparseMatrix
from transferkit._training.linear.problem import (
    Design,
    EigenDecomposition,
    MixedDecomposition,
    RowScaling,
    decompose,
)

CPU = torch.device("cpu")


def make_problem(n_rows=40, n_columns=60, n_classes=3):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n_rows, n_columns)) * (generator.random((n_rows, n_columns)) < 0.2)
    X[0] = 0
    X[1, 1:4] = [1.0, 2.0, 3.0]
    X[2:, 1:4] = 0  # columns of one entry
    return sp.csr_matrix(X + 0.0), generator.integers(0, n_classes, n_rows), generator.random(n_rows) + 0.1


def make_linear_problem(decomposed, loss, C):
    design = Design(np.ones((3, 1)), np.ones(3), fit_intercept=True, device=CPU)
    design.decomposition = decomposed
    return design.make_problem(loss, C, None)


def solve(decomposed, labels, weights, C=2.0):
    loss = SoftmaxLoss(torch.from_numpy(labels), torch.from_numpy(weights)[:, None], labels.max() + 1)
    problem = make_linear_problem(decomposed, loss, torch.tensor([C], dtype=torch.float64))
    return problem, minimise(problem, problem.zeros(), tol=1e-12)


def list_decompositions(X, weights, fit_intercept):
    eigen = EigenDecomposition.of(SparseMatrix(X, weights, fit_intercept, CPU), weights, fit_intercept)
    diagonal = replace(eigen, basis=None, spectrum=eigen.matrix.gram_diagonal(torch.from_numpy(weights)))

    def decompose_span(X):
        span, rows = RowSpan.of(X, weights, fit_intercept, CPU)
        matrix = DenseMatrix.from_numpy(rows, weights, False, CPU)
        return replace(EigenDecomposition.of(matrix, weights, fit_intercept), span=span)

    return {
        "eigenvectors": eigen,
        "diagonal": diagonal,
        "span of sparse rows": decompose_span(X),
        "span of dense rows": decompose_span(X.toarray()),
        "rows": RowScaling.of(X, weights, fit_intercept, CPU),
    }


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_all_preconditioners_have_the_same_optimum(fit_intercept):
    X, labels, weights = make_problem()
    found = {
        name: solve(decomposed, labels, weights)
        for name, decomposed in list_decompositions(X, weights, fit_intercept).items()
    }
    problem, solution = found["eigenvectors"]
    reference, intercepts = problem.weights(solution.u)
    for other, end in found.values():
        coef, intercept = other.weights(end.u)
        np.testing.assert_allclose(coef, reference, atol=1e-4)
        np.testing.assert_allclose(intercept, intercepts, atol=1e-4)
        np.testing.assert_allclose(end.objectives, solution.objectives, rtol=1e-8)


@pytest.mark.parametrize("name", ["eigenvectors", "diagonal", "span of sparse rows", "span of dense rows", "rows"])
def test_start_at_an_optimum_is_that_optimum(name):
    X, labels, weights = make_problem()
    problem, solution = solve(list_decompositions(X, weights, True)[name], labels, weights)
    u = problem.from_weights(*problem.weights(solution.u))
    np.testing.assert_allclose(problem.preconditioner.scores(u), solution.scores, atol=1e-3)


def test_scores_of_the_solution_are_those_of_its_weights():
    X, labels, weights = make_problem()
    for decomposed in list_decompositions(X, weights, True).values():
        problem, solution = solve(decomposed, labels, weights)
        coef, intercept = problem.weights(solution.u)
        np.testing.assert_allclose(solution.scores[:, 0], X @ coef.T + intercept, atol=1e-8)


def test_the_shape_decides():
    tall, wide = sp.random_array((50, 20), density=0.2, rng=0).tocsr(), sp.random_array((20, 50), rng=0).tocsr()
    assert decompose(tall, np.ones(50), True, CPU).span is None
    assert decompose(wide, np.ones(20), True, CPU).span is not None
    assert decompose(wide.toarray(), np.ones(20), True, CPU).span is not None


def test_columns_of_sparse_blocks_are_decomposed_if_they_are_few_and_replaced_by_rows_if_they_are_very_many():
    def kind(n_columns, n_rows=2600):
        blocks = FeatureBlocks(sp.csr_matrix((n_rows, n_columns)), np.ones((n_rows, 1)))
        return decompose(blocks, np.ones(n_rows), True, CPU)

    assert isinstance(kind(499).basis, torch.Tensor)
    assert not isinstance(kind(500).basis, torch.Tensor)
    assert isinstance(kind(4 * 2600 - 1), EigenDecomposition)
    assert isinstance(kind(4 * 2600), MixedDecomposition)


def test_many_rows_of_still_more_sparse_features_are_solved_by_the_rows(monkeypatch):
    monkeypatch.setattr(problems, "MAX_SPAN_SPARSE_ROWS", 10)
    X, _, weights = make_problem()
    assert isinstance(decompose(X, weights, True, CPU), RowScaling)


@pytest.mark.parametrize("centre", [True, False])
def test_kernel_is_that_of_the_centred_rows(centre):
    X, _, weights = make_problem()
    centred = X.toarray() - (weights @ X / weights.sum() if centre else 0)
    values = np.random.default_rng(0).normal(size=(40, 2))
    kernel = KernelMatrix(X, weights, centre, CPU)
    np.testing.assert_allclose(kernel.matmul(torch.from_numpy(values)), centred @ centred.T @ values, atol=1e-10)
    np.testing.assert_allclose(kernel.to_weights(values), centred.T @ values, atol=1e-10)


def test_sparse_features_are_centred_without_being_dense():
    X, _, weights = make_problem()
    features = SparseMatrix(X, weights, True, CPU)
    centred = X.toarray() - weights @ X / weights.sum()
    other = torch.from_numpy(np.random.default_rng(0).random(40))
    np.testing.assert_allclose(features.gram(other), centred.T @ (centred * other.numpy()[:, None]), atol=1e-10)
    np.testing.assert_allclose(features.gram_diagonal(other), np.diag(features.gram(other)), atol=1e-10)


def test_problems_of_one_batch_do_not_see_each_other():
    X, labels, weights = make_problem()
    for decomposed in list_decompositions(X, weights, True).values():
        masks = np.stack([weights, weights * (np.arange(40) % 4 > 0), weights * (np.arange(40) % 3 > 0)], axis=1)
        loss = SoftmaxLoss(torch.from_numpy(labels), torch.from_numpy(masks), 3)
        problem = make_linear_problem(decomposed, loss, torch.tensor([0.1, 3.0, 30.0], dtype=torch.float64))
        together = minimise(problem, problem.zeros(), tol=1e-10)
        for number in range(3):
            one = problem.select(torch.tensor([number]))
            alone = minimise(one, one.zeros(), tol=1e-10)
            np.testing.assert_allclose(together.objectives[number], alone.objectives[0], rtol=1e-8)
