"""When L-BFGS ends: each clause of the rule on its own."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from tests.heads.linear.test_logistic import measure_objective
from transferkit import LogisticHead
from transferkit._training.linear.geometry import find_geometry
from transferkit._training.linear.lbfgs import STEPS_REMEMBERED, STEPS_TO_JUDGE, Run
from transferkit._training.linear.logistic import make_loss
from transferkit._training.linear.search import LogisticSearch

TOL = 1e-3


def make_run(monkeypatch, *, proven, slopes, n_steps=9, hessian=True, trusted=False):
    """Return a run at its start and its slope, which is told what is proven and how steep its last directions were.

    Both are fractions of the tolerance, times an objective of which training has gained more than is left.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    loss, _ = make_loss(y, np.ones((40, 1)), 1, X.dtype, torch.device("cpu"))
    coordinates = find_geometry(X, np.ones(40), True, torch.device("cpu")).coordinates(loss, torch.ones(1).double())
    run = Run(coordinates, loss, coordinates.zeros(1), None, TOL, False, trusted)
    run.untrained = 3 * run.values
    run.past = [run.values * (1 + step) for step in range(n_steps, 0, -1)]
    direction, slope = run.propose()
    size = run.values * TOL
    run.slopes = [size * slope for slope in slopes]
    run.hessian = run.hessian if hessian else None
    monkeypatch.setattr(coordinates, "bound_gap", lambda *args: size * proven)
    return run, direction, slope


CASES = {
    "proven": ({"proven": 0.9, "slopes": [9.0]}, True),
    "neither proven nor estimated": ({"proven": 1.1, "slopes": [9.0]}, False),
    "estimated and plausible": ({"proven": 29, "slopes": [0.09]}, True),
    "five times the gain of a step": ({"proven": 29, "slopes": [0.11]}, False),
    "an earlier slope": ({"proven": 29, "slopes": [0.11, 0.01, 0.01, 0.01, 0.01]}, False),
    "estimated but implausible": ({"proven": 31, "slopes": [0.09]}, False),
    "implausible, but hardly a slope": ({"proven": 31, "slopes": [0.0009]}, True),
    "a Hessian that is known": ({"proven": 31, "slopes": [0.09], "trusted": True}, True),
    "no scale of the first slopes": (
        {"proven": 29, "slopes": [0.09], "hessian": False, "n_steps": STEPS_TO_JUDGE},
        False,
    ),
    "later slopes": ({"proven": 29, "slopes": [0.09], "hessian": False, "n_steps": STEPS_TO_JUDGE + 1}, True),
}


@pytest.mark.parametrize("case", CASES)
def test_each_clause_of_the_rule(case, monkeypatch):
    options, expected = CASES[case]
    run, direction, slope = make_run(monkeypatch, **options)
    monkeypatch.setattr(run, "_moves_far", lambda direction: torch.zeros(1, dtype=torch.bool))
    done, _ = run.judge(direction, slope)
    assert bool(done) == expected


def test_the_last_five_slopes_count(monkeypatch):
    run, _, _ = make_run(monkeypatch, proven=29, slopes=[0.11, 0.01, 0.01, 0.01])
    for expected in (False, True):
        direction, slope = run.propose()
        run.slopes[-1] = run.slopes[-2]
        assert bool(run.judge(direction, slope)[0]) == expected


def test_what_training_has_gained_counts_where_it_is_less_than_the_objective(monkeypatch):
    run, direction, slope = make_run(monkeypatch, proven=0.9, slopes=[9.0])
    run.untrained = 1.5 * run.values
    assert not bool(run.judge(direction, slope)[0])


def test_a_step_that_changes_scores_much_is_taken_although_the_hessian_expects_little(monkeypatch):
    run, direction, slope = make_run(monkeypatch, proven=31, slopes=[0.01], trusted=True)
    assert bool(run.judge(direction.times(torch.full((1,), 0.1).double()), slope)[0])
    assert not bool(run.judge(direction.times(torch.full((1,), 10.0).double()), slope)[0])


def test_steps_that_gain_no_more_than_rounding_are_the_last(monkeypatch):
    run, direction, slope = make_run(monkeypatch, proven=31, slopes=[9.0])
    run.past = [run.values] * STEPS_REMEMBERED
    assert not bool(run.judge(direction, slope)[0])
    run.past = [run.values] * (STEPS_REMEMBERED + 1)
    done, gaps = run.judge(direction, slope)
    assert bool(done)
    assert not bool(run.is_good(done, gaps))  # as the slopes say
    assert bool(run.is_good(done, gaps / 100))


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
