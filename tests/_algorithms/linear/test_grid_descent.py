"""Descent on a grid evaluates the candidates near the smallest loss."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transferkit._algorithms.linear.grid_descent import descend_grid


@given(
    lowest=st.tuples(st.floats(-1, 7), st.floats(-1, 6)),
    start=st.tuples(st.integers(0, 6), st.integers(0, 4)),
    tilt=st.floats(-0.4, 0.4),
    margin=st.floats(0.4, 3),  # at least the tilt: points within it are then connected along the axes
)
def test_all_candidates_near_the_least_are_found_in_a_valley(lowest, start, tilt, margin):
    rows, columns = (np.arange(n) - low for n, low in zip((7, 5), lowest, strict=True))
    losses = rows[:, None] ** 2 + columns**2 + tilt * np.outer(rows, columns)
    asked = []

    def evaluate(point):
        asked.append(point)
        return losses[point]

    found = descend_grid(losses.shape, [start, (0, 0)], evaluate, margin)
    assert list(found) == asked
    assert len(set(asked)) == len(asked)
    assert {start, (0, 0)} <= set(asked)
    best = {point for point in itertools.product(range(7), range(5)) if losses[point] <= losses.min() + margin}
    assert best <= set(asked)


def test_far_candidates_are_left_alone():
    losses = np.add.outer((np.arange(7) - 3) ** 2, (np.arange(5) - 2) ** 2)
    assert len(descend_grid(losses.shape, [(3, 2)], losses.__getitem__, 0.5)) == 5


def test_candidates_far_above_a_known_loss_lead_nowhere():
    losses = 10.0 + np.add.outer((np.arange(7) - 3) ** 2, (np.arange(5) - 2) ** 2)
    starts = [(4, 2), (0, 2)]  # losses of 11 and 19
    assert list(descend_grid((7, 5), starts, losses.__getitem__, 0.5, 10.4)) == starts
    assert (3, 2) in descend_grid((7, 5), starts, losses.__getitem__, 0.5, 10.6)


def test_one_candidate_is_a_grid():
    assert descend_grid((1, 1), [(0, 0), (0, 0)], lambda point: 2.0, 1.0) == {(0, 0): 2.0}
