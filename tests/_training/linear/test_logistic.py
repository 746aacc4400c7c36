"""The blocks of the Hessian are exact if all rows enter, and save steps."""

import numpy as np
import pytest
import torch

from transferkit._algorithms.linear.predictions import UNTRAINED
from transferkit._training.linear import logistic, search
from transferkit._training.linear.logistic import can_form_hessian, with_hessian
from transferkit._training.linear.losses import make_loss
from transferkit._training.linear.preconditioning import Vector
from transferkit._training.linear.problem import decompose
from transferkit._training.linear.search import LogisticSearch

CPU = torch.device("cpu")


def make_problem(n_folds=2, n_rows=60):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n_rows, 5)) * [1, 2, 0.5, 3, 0.1]
    labels = (X @ generator.normal(size=(5, 3)) + generator.gumbel(size=(n_rows, 3))).argmax(1)
    weights = (generator.random((n_rows, n_folds)) < 0.8).astype(float)
    return X, labels, weights


def test_blocks_are_those_of_the_exact_hessian():
    X, labels, _ = make_problem()
    weights = np.ones((len(X), 1))
    loss = make_loss(labels, weights, 3, X.dtype, CPU)
    eigen_map = decompose(X, weights[:, 0], True, CPU).precondition(loss, torch.tensor([7.0], dtype=torch.float64))
    flat = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def measure(coords):
        vector = Vector(coords[:, None], coords[:, None])
        return (loss.evaluate(eigen_map.scores(vector))[0] + eigen_map.penalty(vector, vector) / 2)[0]

    hessian = torch.autograd.functional.hessian(lambda coords: measure_smoothly(eigen_map, labels, coords), flat)
    vector = Vector(flat[:, None], flat[:, None])
    assert measure(flat) == pytest.approx(float(measure_smoothly(eigen_map, labels, flat)))
    found = with_hessian(eigen_map, loss, eigen_map.scores(vector)).hessian.inverses
    for k in range(3):
        torch.testing.assert_close(torch.linalg.inv(found[k]), hessian[:, k, :, k], rtol=1e-5, atol=1e-5)


def measure_smoothly(eigen_map, labels, coords):
    vector = Vector(coords[:, None], coords[:, None])
    scores = eigen_map.scores(vector)[:, 0]
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), reduction="sum")
    return loss + eigen_map.penalty(vector, vector)[0] / 2


def test_the_whole_hessian_is_the_exact_one():
    X, labels, _ = make_problem()
    weights = np.ones((len(X), 1))
    loss = make_loss(labels, weights, 3, X.dtype, CPU)
    eigen_map = decompose(X, weights[:, 0], True, CPU).precondition(loss, torch.tensor([7.0], dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    flat, step = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator)
    step = step - step.mean(1, keepdim=True)  # adding the same to all outputs changes nothing
    hessian = torch.autograd.functional.hessian(lambda coords: measure_smoothly(eigen_map, labels, coords), flat)
    image = torch.einsum("ikjl,jl->ik", hessian, step)[:, None]
    scores = eigen_map.scores(Vector(flat[:, None], flat[:, None]))
    found = with_hessian(eigen_map, loss, scores, whole=True).hessian.solve(Vector(image, image))
    torch.testing.assert_close(found.coords[:, 0], step, rtol=1e-6, atol=1e-6)


def test_with_one_output_each_problem_has_its_own_hessian():
    X, labels, _ = make_problem()
    indicators, weights = np.stack([labels == 0, labels == 2], axis=1), np.ones((len(X), 1))
    loss = make_loss(indicators, weights, 1, X.dtype, CPU)
    eigen_map = decompose(X, weights[:, 0], True, CPU).precondition(loss, torch.full((2,), 7.0, dtype=torch.float64))
    flat, step = torch.randn(2, 6, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def measure(coords):
        vector = Vector(coords, coords)
        truth = torch.from_numpy(indicators.astype(float))
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            eigen_map.scores(vector)[:, :, 0], truth, reduction="sum"
        )
        return losses + eigen_map.penalty(vector, vector).sum() / 2

    image = torch.einsum("ipojqu,jqu->ipo", torch.autograd.functional.hessian(measure, flat), step)
    refined = with_hessian(eigen_map, loss, eigen_map.scores(Vector(flat, flat)), whole=True)
    torch.testing.assert_close(refined.hessian.solve(Vector(image, image)).coords, step, rtol=1e-6, atol=1e-6)
    second = refined.select(torch.tensor([1]))
    part = image[:, 1:]
    torch.testing.assert_close(second.hessian.solve(Vector(part, part)).coords, step[:, 1:], rtol=1e-6, atol=1e-6)


def test_a_mean_without_curvature_behind_it_is_left():
    rows = torch.cat(
        [torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.full((20, 1), 0.5)], 1
    ).double()
    weights, steps = torch.arange(20.0).double(), torch.randn(4, 1, dtype=torch.float64)
    centred, slopes = logistic.centre(rows, weights, has_intercept=True)
    torch.testing.assert_close(weights @ centred, torch.tensor([0, 0, 0, 0.5]).double() * weights.sum())
    sheared = steps.clone()
    sheared[-1] += slopes @ steps
    torch.testing.assert_close(rows @ sheared, centred @ steps)
    same, none = logistic.centre(rows, weights, has_intercept=False)
    torch.testing.assert_close((same, none), (rows, torch.zeros(4).double()))


@pytest.mark.parametrize(
    ("whole", "constants"),
    [
        (True, {"MAX_HESSIAN_ROWS": 200}),
        (False, {"EXACT_ROWS_PER_VARIABLE": 0, "FEWEST_EXACT_ROWS": 200}),
        (False, {"EXACT_ROWS_PER_VARIABLE": 20, "FEWEST_EXACT_ROWS": 0}),
    ],
)
def test_rows_beyond_those_of_the_largest_curvature_enter_the_diagonal(whole, constants, monkeypatch):
    X, labels, weights = make_problem(n_rows=400)
    loss = make_loss(labels, weights, 3, X.dtype, CPU)
    eigen_map = decompose(X, weights.mean(1), True, CPU).precondition(loss, torch.full((2,), 3.0, dtype=torch.float64))
    scores = eigen_map.scores(eigen_map.zeros(3))
    full = with_hessian(eigen_map, loss, scores, whole=whole).hessian.inverses
    for name, value in constants.items():
        monkeypatch.setattr(logistic, name, value)
    half = with_hessian(eigen_map, loss, scores, whole=whole).hessian.inverses
    assert 0 < (full - half).norm() / full.norm() < 0.3


def test_only_folds_of_one_C_share_blocks():
    X, labels, weights = make_problem()
    loss = make_loss(labels, weights, 3, X.dtype, CPU)
    decomposed = decompose(X, weights.mean(1), True, CPU)
    assert can_form_hessian(decomposed.precondition(loss, torch.full((2,), 3.0, dtype=torch.float64)))
    assert not can_form_hessian(decomposed.precondition(loss, torch.tensor([1.0, 3.0], dtype=torch.float64)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_search_fits_probabilities_as_one_weighted_row_per_class(n_classes):
    X, _, weights = make_problem(n_rows=300)
    soft = np.random.default_rng(1).dirichlet(np.ones(n_classes), len(X))
    if n_classes > 2:
        soft[weights[:, 1] > 0, -1] = 0  # so that this class is missing from the training part of one fold
        soft /= soft.sum(1, keepdims=True)
    options = {"fit_intercept": True, "tol": 1e-9, "max_iter": 1000, "device": "cpu"}
    rows, labels = np.tile(X, (n_classes, 1)), np.repeat(np.arange(n_classes), len(X))
    weights_of_rows = np.concatenate([weights * share[:, None] for share in soft.T])
    if n_classes == 2:
        soft, options["n_outputs"] = soft[:, 1].copy(), 1
    else:
        options["n_outputs"] = n_classes
    found = LogisticSearch(X, soft, weights, **options)
    expected = LogisticSearch(rows, labels, weights_of_rows, **options)
    np.testing.assert_array_equal(found.trained, expected.trained)
    for fit, fit_of_rows in zip(found.run([0.1, 10.0]), expected.run([0.1, 10.0]), strict=True):
        inside = fit.scores > UNTRAINED / 2
        np.testing.assert_allclose(fit.scores[inside], fit_of_rows.scores[: len(X)][inside], atol=1e-3)
        model = found.refit([fit], weights.mean(1, keepdims=True))[0]
        mean_of_rows = weights_of_rows.mean(1, keepdims=True)
        np.testing.assert_allclose(model.coef, expected.refit([fit_of_rows], mean_of_rows)[0].coef, atol=1e-3)


@pytest.mark.parametrize("prior", [None, np.ones((3, 5))])
def test_search_with_blocks_finds_the_same_optima(monkeypatch, prior):
    X, labels, weights = make_problem(n_rows=300)
    monkeypatch.setattr(search, "BATCH_SCORES", 1)

    def search_with(many_steps):
        monkeypatch.setattr(search, "STEPS_BEFORE_HESSIAN", many_steps)
        options = {"fit_intercept": True, "tol": 1e-9, "max_iter": 1000, "device": "cpu", "prior": prior}
        return list(LogisticSearch(X, labels, weights, n_outputs=3, **options).run([0.1, 10.0, 1000.0]))

    plain, refined = search_with(10_000), search_with(1)
    for expected, found in zip(plain, refined, strict=True):
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert sum(fit.n_iter.sum() for fit in refined) < sum(fit.n_iter.sum() for fit in plain)
    assert [fit.needed_hessian for fit in plain] == [False] * 3
    assert [fit.needed_hessian for fit in refined] == [True] * 3
    assert all(fit.problem.preconditioner.hessian is None for fit in refined)  # blocks of past fits take memory
