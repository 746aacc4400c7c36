"""Block scales and a prior, as the solver sees them and in the weights that are returned."""

import numpy as np
import pytest
import torch

from transferkit import FeatureBlocks
from transferkit._training.linear.lbfgs import minimise
from transferkit._training.linear.losses import make_loss
from transferkit._training.linear.problem import Design, Prior

CPU = torch.device("cpu")


def make_problem(prior, scales, n_folds=1):
    rng = np.random.default_rng(0)
    X = FeatureBlocks(rng.normal(size=(50, 3)), rng.normal(size=(50, 2)) + 3)
    loss = make_loss(rng.integers(0, 3, 50), np.ones((50, n_folds)), 3, X.dtype, CPU)
    pull = None if prior is None else Prior.of(X, prior, True)
    design = Design(X, np.ones(50), fit_intercept=True, device=CPU, prior=pull, block_scales=scales)
    offset = None if pull is None else pull.make_offset(3, CPU)
    return X, design.make_problem(loss, torch.full((n_folds,), 2.0, dtype=torch.float64), offset)


PRIOR = np.arange(15.0).reshape(3, 5) / 10


@pytest.mark.parametrize("prior", [None, PRIOR], ids=["zero", "prior"])
@pytest.mark.parametrize("scales", [None, (2.0, 0.5), (0.0, 1.0)], ids=["none", "scaled", "left out"])
def test_weights_give_the_scores_that_the_solver_saw_and_lead_back_to_its_variables(prior, scales):
    X, problem = make_problem(prior, scales)
    solution = minimise(problem, problem.zeros(), tol=1e-6)
    coef, intercept = problem.weights(solution.u)
    np.testing.assert_allclose(X @ coef.T + intercept, solution.scores[:, 0], atol=1e-10)
    np.testing.assert_allclose(problem.from_weights(coef, intercept).coords, solution.u.coords, atol=1e-8)


@pytest.mark.parametrize("scales", [None, (2.0, 0.5)])
def test_variables_of_zero_are_the_prior(scales):
    _, problem = make_problem(PRIOR, scales)
    np.testing.assert_allclose(problem.weights(problem.zeros())[0], PRIOR)


def test_a_block_left_out_keeps_the_weights_of_the_prior():
    _, problem = make_problem(PRIOR, (0.0, 1.0))
    coef, _ = problem.weights(minimise(problem, problem.zeros()).u)
    np.testing.assert_array_equal(coef[:, :3], PRIOR[:, :3])
    assert not np.allclose(coef[:, 3:], PRIOR[:, 3:])


def test_each_fold_has_the_prior():
    _, problem = make_problem(PRIOR, None, n_folds=2)
    np.testing.assert_allclose(problem.weights(problem.zeros())[0], np.tile(PRIOR, (2, 1)))


def test_training_starts_at_the_log_odds_unless_there_is_a_prior():
    _, problem = make_problem(None, None)
    scores = problem.preconditioner.scores(problem.start())
    np.testing.assert_allclose(scores, problem.loss.log_odds().expand_as(scores), atol=1e-12)
    _, problem = make_problem(PRIOR, None)
    assert not problem.start().coords.any()
