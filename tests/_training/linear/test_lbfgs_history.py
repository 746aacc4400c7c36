"""The compact form of L-BFGS gives the direction of the two-loop recursion."""

import pytest
import torch

from transferkit._training.linear.lbfgs import LBFGSHistory, multiply_batches
from transferkit._training.linear.preconditioning import Vector

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
        history.add(step, change, diagonal if has_diagonal else None)
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
    history.add(steps[0], Vector(-steps[0].coords, -steps[0].coords), None)
    gradient = make_vector(generator)
    torch.testing.assert_close(history.find_direction(gradient, None).coords, gradient.coords)
    history.add(steps[1], steps[1], None)
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
