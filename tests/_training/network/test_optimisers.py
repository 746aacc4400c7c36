"""Optimisers take the steps that torch's own take, on dense parameters and on touched rows."""

import numpy as np
import pytest
import torch

from transferkit._training.network import optimisers
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import ParameterGroup, RowSlot, Slot, build_slabs

THEIRS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.8}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {"eps": 1e-8}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}


def make_slabs(kind=Slot, **group):
    weights, intercept = np.linspace(-1, 1, 12).reshape(4, 3), np.linspace(0, 1, 3)
    group = ParameterGroup(**group)
    slots = [kind(weights, True), Slot(intercept, False)]
    return build_slabs([(group, slots)], torch.device("cpu"), torch.float64), slots


def gradients(n_steps):
    rng = np.random.RandomState(0)
    return [(torch.from_numpy(rng.normal(size=(4, 3))), torch.from_numpy(rng.normal(size=3))) for _ in range(n_steps)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("solver", THEIRS)
def test_steps_are_those_of_torch(solver, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(optimisers, "_has_fused_kernel", lambda: False)
    slabs, (weights, intercept) = make_slabs(alpha=0.1)
    optimiser = Optimiser(slabs, solver, momentum=0.8)
    theirs = [torch.nn.Parameter(slot.values.clone()) for slot in (weights, intercept)]
    make, options = THEIRS[solver]
    groups = [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:], "weight_decay": 0.0}]
    reference = make(groups, lr=0.05, **options)
    for pull in gradients(5):
        for slot, leaf, gradient in zip((weights, intercept), theirs, pull, strict=True):
            slot.gradient.copy_(gradient)
            leaf.grad = gradient.clone()
        optimiser.step(0.05)
        reference.step()
    for slot, leaf in zip((weights, intercept), theirs, strict=True):
        np.testing.assert_allclose(slot.values, leaf.detach(), atol=1e-5)


@pytest.mark.parametrize("solver", THEIRS)
def test_rows_that_are_always_touched_move_as_dense_ones(solver):
    dense_slabs, (dense, _) = make_slabs(alpha=0.1, anchor_strength=0.2)
    row_slabs, (rows, _) = make_slabs(RowSlot, alpha=0.1, anchor_strength=0.2)
    dense_optimiser, row_optimiser = Optimiser(dense_slabs, solver), Optimiser(row_slabs, solver)
    order = torch.tensor([2, 0, 3, 1, 4, 4])  # the number after the last pads the list
    for pull, _ in gradients(4):
        dense.gradient.copy_(pull)
        rows.gather(order)
        rows.gradient = torch.cat([pull, torch.zeros(1, 3, dtype=torch.float64)])[order]
        dense_optimiser.step(0.05)
        row_optimiser.step(0.05)
    np.testing.assert_allclose(rows.values, dense.values, atol=1e-9)


def test_rows_that_are_not_touched_stay():
    slabs, (rows, _) = make_slabs(RowSlot, alpha=0.1)
    before = rows.values.clone()
    optimiser = Optimiser(slabs, "adam")
    rows.gather(torch.tensor([1, 3]))
    rows.gradient = torch.ones(2, 3, dtype=torch.float64)
    optimiser.step(0.05)
    moved = (rows.values != before).any(1)
    assert moved.tolist() == [False, True, False, True]


def test_rate_may_be_a_tensor():
    for solver in THEIRS:
        moved = []
        for rate in (0.05, torch.tensor(0.05)):
            slabs, (weights, _) = make_slabs(alpha=0.1)
            optimiser = Optimiser(slabs, solver)
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
    slots = [Slot(np.zeros((1, 1)), True) for _ in range(3)]
    slabs = build_slabs([(group, [slot]) for group, slot in zip((slow, fast, late), slots, strict=True)],
                        torch.device("cpu"), torch.float64)  # fmt: skip
    optimiser = Optimiser(slabs, "sgd")

    def step(epoch):
        optimiser.freeze(epoch)
        for slot in slots:
            slot.gradient.fill_(1.0)
        optimiser.step(0.1)
        return [round(float(slot.values), 6) for slot in slots]

    assert step(0) == [-0.01, -0.1, 0]
    assert step(2) == [-0.02, -0.2, -0.1]
    assert step(3) == [-0.03, -0.3, -0.190909]  # the anchor at zero pulls back by 0.1 / 1.1 of the way


@pytest.mark.parametrize("solver", THEIRS)
def test_a_stronger_anchor_holds_closer_with_every_solver(solver):
    ways = []
    for strength in (0.0, 1.0, 100.0, 1e6):
        slabs, (weights, _) = make_slabs(anchor_strength=strength)
        start, optimiser = weights.values.clone(), Optimiser(slabs, solver)
        for pull, _ in gradients(20):
            weights.gradient.copy_(pull + 1)
            optimiser.step(0.05)
        ways.append(float((weights.values - start).norm()))
    assert ways[0] > 1.2 * ways[1] > 1.2 * ways[2] > 1.2 * ways[3] > 0


@pytest.mark.parametrize(
    ("limits", "expected"), [({"clip_value": 0.5}, [0.5, -0.5]), ({"clip_norm": 1.0}, [0.6, -0.8])]
)
def test_gradients_are_clipped(limits, expected):
    slots = [Slot(np.zeros((1, 1)), True), Slot(np.zeros((1, 1)), True)]
    slabs = build_slabs([(ParameterGroup(str(i)), [slot]) for i, slot in enumerate(slots)],
                        torch.device("cpu"), torch.float64)  # fmt: skip
    optimiser = Optimiser(slabs, "sgd", **limits)
    slots[0].gradient.fill_(3.0)
    slots[1].gradient.fill_(-4.0)
    optimiser.step(1.0)
    np.testing.assert_allclose([-float(slot.values) for slot in slots], expected)


def test_memories_go_on_where_they_were():
    def run(n_steps, memories=None, start=None):
        slabs, (weights, _) = make_slabs()
        if start is not None:
            weights.values.copy_(start)
        optimiser = Optimiser(slabs, "adam")
        if memories is not None:
            optimiser.restore(memories)
        for pull, _ in n_steps:
            weights.gradient.copy_(pull)
            optimiser.step(0.05)
        return weights.values.clone(), optimiser.read()

    steps = gradients(6)
    whole, _ = run(steps)
    half, memories = run(steps[:3])
    resumed, _ = run(steps[3:], memories, half)
    np.testing.assert_array_equal(resumed, whole)
