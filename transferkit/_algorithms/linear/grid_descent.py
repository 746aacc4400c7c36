"""Descent on a grid of candidates: only neighbours of the smallest loss, and of losses close to it, are evaluated."""

from collections.abc import Callable, Iterable

import numpy as np

__all__ = ["descend_grid"]

Point = tuple[int, int]


def descend_grid(
    shape: Point, starts: Iterable[Point], evaluate: Callable[[Point], float], margin: float, known: float = np.inf
) -> dict[Point, float]:
    """Return the losses of the points that were evaluated, going downhill from the best start, in their order.

    The neighbours of the smallest loss, and of every loss within `margin` of it, are evaluated until none is left. If
    losses rise in every direction from the smallest one, all points within the margin are found, unless the margin is
    so small that some of these are neighbours along a diagonal only. All starts are evaluated, and each point once. If
    a loss is `known` from elsewhere, the descent ends where all losses are above it by more than the margin.
    """
    losses = {start: evaluate(start) for start in dict.fromkeys(starts)}
    while True:
        least = min(known, *losses.values())
        near = sorted((loss, point) for point, loss in losses.items() if loss <= least + margin)
        unseen = [neighbour for _, point in near for neighbour in _neighbours(point, shape) if neighbour not in losses]
        if not unseen:
            return losses
        losses[unseen[0]] = evaluate(unseen[0])


def _neighbours(point: Point, shape: Point) -> list[Point]:
    row, column = point
    around = [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]
    return [(i, j) for i, j in around if 0 <= i < shape[0] and 0 <= j < shape[1]]
