"""Optimisers take the same steps as those of torch, on dense parameters and on the rows that a batch uses."""

import numpy as np
import pytest
import torch

from transferkit._training.network import optimisers
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import Parameter, ParameterGroup, RowParameter, build_buffers

THEIRS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.8}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {"eps": 1e-8}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}


def make_buffers(kind=Parameter, **group):
    weights, intercept = np.linspace(-1, 1, 12).reshape(4, 3), np.linspace(0, 1, 3)
    group = ParameterGroup(**group)
    parameters = [kind(weights, True), Parameter(intercept, False)]
    return build_buffers([(group, parameters)], torch.device("cpu"), torch.float64), parameters


def gradients(n_steps):
    rng = np.random.RandomState(0)
    return [(torch.from_numpy(rng.normal(size=(4, 3))), torch.from_numpy(rng.normal(size=3))) for _ in range(n_steps)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("solver", THEIRS)
def test_steps_are_those_of_torch(solver, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(optimisers, "_has_fused_kernel", lambda: False)
    buffers, (weights, intercept) = make_buffers(alpha=0.1)
    optimiser = Optimiser(buffers, solver, momentum=0.8)
    theirs = [torch.nn.Parameter(parameter.values.clone()) for parameter in (weights, intercept)]
    make, options = THEIRS[solver]
    groups = [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:], "weight_decay": 0.0}]
    reference = make(groups, lr=0.05, **options)
    for pull in gradients(5):
        for parameter, leaf, gradient in zip((weights, intercept), theirs, pull, strict=True):
            parameter.gradient.copy_(gradient)
            leaf.grad = gradient.clone()
        optimiser.step(0.05)
        reference.step()
    for parameter, leaf in zip((weights, intercept), theirs, strict=True):
        np.testing.assert_allclose(parameter.values, leaf.detach(), atol=1e-5)


@pytest.mark.parametrize("solver", THEIRS)
def test_rows_that_are_always_used_move_as_dense_ones(solver):
    dense_buffers, (dense, _) = make_buffers(alpha=0.1, anchor_strength=0.2)
    row_buffers, (rows, _) = make_buffers(RowParameter, alpha=0.1, anchor_strength=0.2)
    dense_optimiser, row_optimiser = Optimiser(dense_buffers, solver), Optimiser(row_buffers, solver)
    order = torch.tensor([2, 0, 3, 1, 4, 4])  # the number after the last pads the list
    for pull, _ in gradients(4):
        dense.gradient.copy_(pull)
        rows.gather(order)
        rows.gradient = torch.cat([pull, torch.zeros(1, 3, dtype=torch.float64)])[order]
        dense_optimiser.step(0.05)
        row_optimiser.step(0.05)
    np.testing.assert_allclose(rows.values, dense.values, atol=1e-9)


def test_rows_that_are_not_used_stay():
    buffers, (rows, _) = make_buffers(RowParameter, alpha=0.1)
    before = rows.values.clone()
    optimiser = Optimiser(buffers, "adam")
    rows.gather(torch.tensor([1, 3]))
    rows.gradient = torch.ones(2, 3, dtype=torch.float64)
    optimiser.step(0.05)
    moved = (rows.values != before).any(1)
    assert moved.tolist() == [False, True, False, True]


def test_rate_may_be_a_tensor():
    for solver in THEIRS:
        moved = []
        for rate in (0.05, torch.tensor(0.05)):
            buffers, (weights, _) = make_buffers(alpha=0.1)
            optimiser = Optimiser(buffers, solver)
            for pull, _ in gradients(3):
                weights.gradient.copy_(pull)
                optimiser.step(rate)
            moved.append(weights.values.clone())
        np.testing.assert_allclose(*moved, atol=1e-6)


def test_groups_have_their_own_pace_anchor_and_beginning():
    slow, fast, late = (
        ParameterGroup("slow", learning_rate_scale=0.1),
        ParameterGroup("fast"),
        ParameterGroup("late", unfreeze_at=2, anchor_strength=1.0),
    )
    parameters = [Parameter(np.zeros((1, 1)), True) for _ in range(3)]
    groups = [(group, [parameter]) for group, parameter in zip((slow, fast, late), parameters, strict=True)]
    buffers = build_buffers(groups, torch.device("cpu"), torch.float64)
    optimiser = Optimiser(buffers, "sgd")

    def step(epoch):
        optimiser.freeze(epoch)
        for parameter in parameters:
            parameter.gradient.fill_(1.0)
        optimiser.step(0.1)
        return [round(float(parameter.values), 6) for parameter in parameters]

    assert step(0) == [-0.01, -0.1, 0]
    assert step(2) == [-0.02, -0.2, -0.1]
    assert step(3) == [-0.03, -0.3, -0.190909]  # the anchor at zero pulls back by 0.1 / 1.1 of the way


@pytest.mark.parametrize("solver", THEIRS)
def test_a_stronger_anchor_holds_closer_with_every_solver(solver):
    ways = []
    for strength in (0.0, 1.0, 100.0, 1e6):
        buffers, (weights, _) = make_buffers(anchor_strength=strength)
        start, optimiser = weights.values.clone(), Optimiser(buffers, solver)
        for pull, _ in gradients(20):
            weights.gradient.copy_(pull + 1)
            optimiser.step(0.05)
        ways.append(float((weights.values - start).norm()))
    assert ways[0] > 1.2 * ways[1] > 1.2 * ways[2] > 1.2 * ways[3] > 0


@pytest.mark.parametrize(
    ("limits", "expected"), [({"clip_value": 0.5}, [0.5, -0.5]), ({"clip_norm": 1.0}, [0.6, -0.8])]
)
def test_gradients_are_clipped(limits, expected):
    parameters = [Parameter(np.zeros((1, 1)), True), Parameter(np.zeros((1, 1)), True)]
    buffers = build_buffers([(ParameterGroup(str(i)), [parameter]) for i, parameter in enumerate(parameters)],
                        torch.device("cpu"), torch.float64)  # fmt: skip
    optimiser = Optimiser(buffers, "sgd", **limits)
    parameters[0].gradient.fill_(3.0)
    parameters[1].gradient.fill_(-4.0)
    optimiser.step(1.0)
    np.testing.assert_allclose([-float(parameter.values) for parameter in parameters], expected)


def test_optimisation_continues_from_a_state():
    def run(n_steps, state=None, start=None):
        buffers, (weights, _) = make_buffers()
        if start is not None:
            weights.values.copy_(start)
        optimiser = Optimiser(buffers, "adam")
        if state is not None:
            optimiser.restore(state)
        for pull, _ in n_steps:
            weights.gradient.copy_(pull)
            optimiser.step(0.05)
        return weights.values.clone(), optimiser.read()

    steps = gradients(6)
    whole, _ = run(steps)
    half, state = run(steps[:3])
    resumed, _ = run(steps[3:], state, half)
    np.testing.assert_array_equal(resumed, whole)
