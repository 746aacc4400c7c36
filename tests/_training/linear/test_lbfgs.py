"""Each clause of the stopping rule of L-BFGS on its own, and its history in compact form."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from tests.heads.linear.test_logistic import measure_objective
from transferkit import LogisticHead
from transferkit._training.linear.lbfgs import (
    LEAST_HISTORY,
    STEPS_TO_STALL,
    STEPS_WITHOUT_SCALE,
    LBFGSHistory,
    LBFGSState,
    limit_history,
    multiply_batches,
)
from transferkit._training.linear.losses import make_loss
from transferkit._training.linear.preconditioning import Vector
from transferkit._training.linear.problem import Design
from transferkit._training.linear.search import LogisticSearch

TOL = 1e-3


def make_state(monkeypatch, *, bound, gains, n_steps=9, hessian=True, trust_hessian=False):
    """Return a state at its start and its direction, given the bound on the gap and the last predicted gains.

    Both are fractions of the tolerance, times an objective of which training has gained more than is left.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    loss = make_loss(y, np.ones((40, 1)), 1, X.dtype, torch.device("cpu"))
    design = Design(X, np.ones(40), fit_intercept=True, device=torch.device("cpu"))
    problem = design.make_problem(loss, torch.ones(1).double(), None)
    state = LBFGSState(problem, problem.zeros(), TOL, False, trust_hessian)
    state.at_zero = 3 * state.objectives
    state.past_objectives = [state.objectives * (1 + step) for step in range(n_steps, 0, -1)]
    direction, _ = state.find_direction()
    size = state.objectives * TOL
    state.past_gains = [size * gain for gain in gains]
    state.hessian = state.hessian if hessian else None
    monkeypatch.setattr(type(problem.preconditioner), "bound_gap", lambda *args: size * bound)
    return state, direction


CASES = {
    "bound": ({"bound": 0.9, "gains": [9.0]}, True),
    "neither proven nor estimated": ({"bound": 1.1, "gains": [9.0]}, False),
    "estimated and plausible": ({"bound": 29, "gains": [0.09]}, True),
    "five times the gain of a step": ({"bound": 29, "gains": [0.11]}, False),
    "an earlier slope": ({"bound": 29, "gains": [0.11, 0.01, 0.01, 0.01, 0.01]}, False),
    "estimated but implausible": ({"bound": 31, "gains": [0.09]}, False),
    "implausible, but hardly a slope": ({"bound": 31, "gains": [0.0009]}, True),
    "a Hessian that is known": ({"bound": 31, "gains": [0.09], "trust_hessian": True}, True),
    "no scale of the first slopes": (
        {"bound": 29, "gains": [0.09], "hessian": False, "n_steps": STEPS_WITHOUT_SCALE},
        False,
    ),
    "later slopes": ({"bound": 29, "gains": [0.09], "hessian": False, "n_steps": STEPS_WITHOUT_SCALE + 1}, True),
}


@pytest.mark.parametrize("case", CASES)
def test_each_clause_of_the_rule(case, monkeypatch):
    options, expected = CASES[case]
    state, direction = make_state(monkeypatch, **options)
    monkeypatch.setattr(state, "_changes_curvature", lambda direction: torch.zeros(1, dtype=torch.bool))
    done, _ = state.check_convergence(direction)
    assert bool(done) == expected


def test_the_last_five_gains_count(monkeypatch):
    state, _ = make_state(monkeypatch, bound=29, gains=[0.11, 0.01, 0.01, 0.01])
    for expected in (False, True):
        direction, _ = state.find_direction()
        state.past_gains[-1] = state.past_gains[-2]
        assert bool(state.check_convergence(direction)[0]) == expected


def test_what_training_has_gained_counts_where_it_is_less_than_the_objective(monkeypatch):
    state, direction = make_state(monkeypatch, bound=0.9, gains=[9.0])
    state.at_zero = 1.5 * state.objectives
    assert not bool(state.check_convergence(direction)[0])


def test_a_step_that_changes_scores_much_is_taken_although_the_hessian_expects_little(monkeypatch):
    state, direction = make_state(monkeypatch, bound=31, gains=[0.01], trust_hessian=True)
    assert bool(state.check_convergence(direction.scaled(torch.full((1,), 0.1).double()))[0])
    assert not bool(state.check_convergence(direction.scaled(torch.full((1,), 10.0).double()))[0])


def test_steps_that_gain_no_more_than_rounding_are_the_last(monkeypatch):
    state, direction = make_state(monkeypatch, bound=31, gains=[9.0])
    state.past_objectives = [state.objectives] * STEPS_TO_STALL
    assert not bool(state.check_convergence(direction)[0])
    state.past_objectives = [state.objectives] * (STEPS_TO_STALL + 1)
    done, gaps = state.check_convergence(direction)
    assert bool(done)
    assert not bool(state.is_near_optimum(done, gaps))  # as the slopes say
    assert bool(state.is_near_optimum(done, gaps / 100))


def test_a_start_far_from_the_optimum_of_tiny_features_is_left():
    rng = np.random.default_rng(0)
    X = sp.random_array((220, 300), density=0.1, rng=rng, dtype=np.float64).tocsr()
    y = np.asarray(X @ rng.normal(size=(300, 3))).argmax(1)
    X = sp.csr_matrix(X * 1e-4)
    warm = LogisticHead(1e7, warm_start=True).fit(X, y).set_params(C=1e10).fit(X, y)
    cold = LogisticHead(1e10).fit(X, y)
    assert measure_objective(warm, X, y) <= measure_objective(cold, X, y) * (1 + 1e-3)


def test_a_search_follows_the_path_over_C():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8))
    y = (X[:, :3] + 0.5 * rng.gumbel(size=(120, 3))).argmax(1)
    folds = np.stack([np.arange(120) % 3 != fold for fold in range(3)], axis=1).astype(float)
    options = {"n_outputs": 3, "fit_intercept": True, "tol": 1e-7, "max_iter": 500, "device": "cpu"}
    search = LogisticSearch(X, y, folds, **options)
    first = search.fit(1.0)
    second = search.fit(2.0, [first])
    along_path, from_last = search.fit(4.0, [first, second]), search.fit(4.0, [second])
    assert along_path.n_iter.sum() < from_last.n_iter.sum()
    np.testing.assert_allclose(along_path.scores, from_last.scores, atol=1e-2)


N_PROBLEMS, SHAPE = 3, (7, 3, 2)


def make_vector(generator):
    coords = torch.randn(SHAPE, dtype=torch.float64, generator=generator)
    return Vector(coords, coords)


def run_two_loops(pairs, gradient, diagonal):
    """Return the direction for one problem, with flat vectors (Nocedal and Wright, algorithm 7.4)."""
    direction, factors = gradient.clone(), []
    for step, change in reversed(pairs):
        factors.append(step @ direction / (step @ change))
        direction = direction - factors[-1] * change
    step, change = pairs[-1]
    direction = step @ change / (change @ (change / diagonal)) * direction / diagonal
    for (step, change), factor in zip(pairs, reversed(factors), strict=True):
        direction = direction + (factor - change @ direction / (step @ change)) * step
    return direction


@pytest.mark.parametrize("n_pairs", [1, 3, 4, 6])
@pytest.mark.parametrize("has_diagonal", [False, True])
def test_direction_is_that_of_the_two_loops(n_pairs, has_diagonal):
    generator = torch.Generator().manual_seed(0)
    curvature = torch.rand(SHAPE, dtype=torch.float64, generator=generator) + 0.5
    diagonal = torch.rand(SHAPE[0], N_PROBLEMS, 1, dtype=torch.float64, generator=generator) + 0.5
    history, pairs = LBFGSHistory(size=4), []
    for _ in range(n_pairs):
        step = make_vector(generator)
        change = Vector(*(curvature * part for part in step))
        history.add(step, change)
        pairs.append((step.coords, change.coords))
    gradient = make_vector(generator)
    found = history.find_direction(gradient, diagonal if has_diagonal else None).coords
    whole = diagonal.expand(SHAPE) if has_diagonal else torch.ones(SHAPE, dtype=torch.float64)
    for i in range(N_PROBLEMS):
        flat = [(step[:, i].flatten(), change[:, i].flatten()) for step, change in pairs[-4:]]
        expected = run_two_loops(flat, gradient.coords[:, i].flatten(), whole[:, i].flatten())
        torch.testing.assert_close(found[:, i].flatten(), expected)


def test_pairs_without_curvature_and_forgotten_ones_have_no_part():
    generator = torch.Generator().manual_seed(0)
    history = LBFGSHistory(size=4)
    steps = [make_vector(generator) for _ in range(2)]
    history.add(steps[0], Vector(-steps[0].coords, -steps[0].coords))
    gradient = make_vector(generator)
    torch.testing.assert_close(history.find_direction(gradient, None).coords, gradient.coords)
    history.add(steps[1], steps[1])
    history.forget(torch.tensor([True, False, False]))
    found = history.find_direction(gradient, None).coords
    torch.testing.assert_close(found[:, 0], gradient.coords[:, 0])
    part = history.select(torch.tensor([2]))
    chosen = gradient.select(torch.tensor([2]))
    torch.testing.assert_close(part.find_direction(chosen, None).coords, found[:, 2:])


@pytest.mark.parametrize("shape", [((5, 3, 4), (5, 4, 1)), ((2, 200, 300), (2, 300, 1)), ((2, 200, 300), (2, 300, 5))])
def test_products_of_large_and_small_problems(shape):
    left, right = (torch.randn(size, dtype=torch.float64) for size in shape)
    torch.testing.assert_close(multiply_batches(left, right), torch.bmm(left, right))


def test_long_steps_are_kept_in_smaller_numbers():
    short, long = (Vector(zeros, zeros) for zeros in (torch.zeros(1000, 5, 3), torch.zeros(3000, 5, 30)))
    assert limit_history(30, short) == 30
    assert limit_history(30, long) == 8  # 3.6 MB each
    very_long = torch.zeros(100_000, 5, 30)
    assert limit_history(30, Vector(very_long, very_long)) == LEAST_HISTORY == 5
    assert limit_history(30, Vector(long.coords, torch.zeros_like(long.coords))) < 8
