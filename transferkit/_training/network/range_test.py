"""A learning rate from a range test: how the loss behaves while the rate grows from step to step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.network_task import NetworkTask
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.steppers import EagerStepper

__all__ = ["RangeTest", "try_learning_rates"]

LOWEST, HIGHEST, N_STEPS = 1e-6, 10.0, 120
SMOOTHING = 0.9  # of the exponential mean over the steps
FALL = 0.9  # share of the fall of the loss at which the rate is read off
EXPLODED = 4.0  # times the smallest loss, beyond which nothing counts


@dataclass
class RangeTest:
    """The rates tried, their smoothed losses, and the rate to train with."""

    rates: np.ndarray
    losses: np.ndarray
    chosen: float


def try_learning_rates(task: NetworkTask, optimiser: Optimiser, batch_size: int) -> RangeTest:
    """Take steps with growing rates, put everything back, and choose (L. N. Smith, WACV 2017).

    The chosen rate is a third of the one at which the smoothed loss has made nine tenths of its fall. The usual choice,
    a tenth of the rate where the loss is smallest, lies too high where the loss creeps on downwards long after its
    fall.
    """
    before, of_generators = task.snapshot(), task.randomness.read()
    stepper = EagerStepper(task, optimiser)
    rates = np.geomspace(LOWEST, HIGHEST, N_STEPS)
    prepared = stepper.begin_epoch(2**31, rates)  # all groups learn, also those that are frozen at first
    raw: list[Tensor] = []
    while len(raw) < N_STEPS:
        for batch in task.batches(batch_size):
            stepper.step(batch, prepared[len(raw)])
            raw.append(batch.losses.mean())
            if len(raw) == N_STEPS:
                break
    task.restore(before)
    task.randomness.restore(of_generators)
    losses = smooth(torch.stack(raw).double().cpu().numpy())
    usable = np.isfinite(losses)
    smallest = np.minimum.accumulate(np.where(usable, losses, np.inf))
    usable &= np.cumsum(~(losses <= EXPLODED * smallest)) == 0
    lowest = np.where(usable, losses, np.inf).min()
    fallen = usable & (losses <= losses[0] - FALL * (losses[0] - lowest))
    return RangeTest(rates, losses, float(rates[fallen.argmax()] / 3))


def smooth(losses: np.ndarray) -> np.ndarray:
    """Return the exponential mean over the steps, corrected for its start at zero."""
    means, mean = np.empty(len(losses)), 0.0
    for step, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means[step] = mean / (1 - SMOOTHING ** (step + 1))
    return means
