"""Learning rates and batch sizes over the course of a training."""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["BatchSizes", "LearningRates"]

STALLED_EPOCHS = 3  # without gain, after which a batch size that waits for a stall changes
CYCLE_RISE, CYCLE_START, CYCLE_END = 0.3, 1 / 25, 1e-4  # shape of the one-cycle schedule


class LearningRates:
    """The learning rate of every step.

    Parameters
    ----------
    initial : float
    schedule : str or callable
        "constant", "step", "exponential", "inverse", "cosine", "one_cycle" or "plateau"; a callable takes the number of
        the step, from 0, and returns a factor of `initial`.
    max_epochs : int
        Length of "cosine" and "one_cycle".
    decay, decay_epochs : float, int
        "step", "exponential", "inverse" and "plateau" lower the rate by `decay` in `decay_epochs`.
    warmup : float
        Epochs in which the rate rises from zero.
    """

    def __init__(
        self,
        initial: float,
        schedule: str | Callable[[int], float] = "constant",
        *,
        max_epochs: int,
        decay: float = 0.5,
        decay_epochs: int = 10,
        warmup: float = 0.0,
    ) -> None:
        self.initial, self.schedule, self.max_epochs = initial, schedule, max_epochs
        self.decay, self.decay_epochs, self.warmup = decay, decay_epochs, warmup
        self.n_steps_done = 0
        self._watch = Watch(decay_epochs)
        self._plateau = 1.0

    def of_epoch(self, epoch: int, n_steps: int) -> np.ndarray:
        """Return the rates (n_steps,) of an epoch."""
        times = epoch + np.arange(n_steps) / n_steps
        if callable(self.schedule):
            steps = range(self.n_steps_done, self.n_steps_done + n_steps)
            factors = np.array(
                [_check_scheduled("learning_rate", self.schedule(step), 0, f"step {step}") for step in steps]
            )
        else:
            factors = np.array([self.factor(time) for time in times])
        self.n_steps_done += n_steps
        if self.warmup > 0:
            factors = factors * np.minimum(1, (times + 1 / n_steps) / self.warmup)
        return self.initial * factors

    def factor(self, time: float) -> float:
        """Return the factor of the initial rate at a time in epochs."""
        share = min(time / self.max_epochs, 1.0)
        if self.schedule == "step":
            return self.decay ** (int(time) // self.decay_epochs)
        if self.schedule == "exponential":
            return self.decay ** (time / self.decay_epochs)
        if self.schedule == "inverse":
            return 1 / (1 + (1 / self.decay - 1) * time / self.decay_epochs)
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * share)) / 2
        if self.schedule == "one_cycle":
            return _one_cycle(share)
        return self._plateau if self.schedule == "plateau" else 1.0

    def resume(self, losses: Sequence[float], n_steps: int) -> None:
        """Go on after epochs with these losses, and so many steps in all."""
        self.n_steps_done = n_steps
        if self.schedule == "plateau":
            for loss in losses:
                self.observe(loss)

    def observe(self, loss: float) -> None:
        """Take note of an epoch's loss (or of minus its score)."""
        if self.schedule == "plateau" and self._watch.has_stalled(loss):
            self._plateau *= self.decay


def _one_cycle(share: float) -> float:
    """Return the factor of L. N. Smith and N. Topin, "Super-convergence" (2019), with cosine flanks."""
    if share < CYCLE_RISE:
        return _between(CYCLE_START, 1.0, share / CYCLE_RISE)
    return _between(1.0, CYCLE_END, (share - CYCLE_RISE) / (1 - CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class BatchSizes:
    """The batch size of every epoch (S. Smith et al., "Don't decay the learning rate, increase the batch size", 2018).

    Parameters
    ----------
    initial, n_rows : int
    schedule : str or callable
        "constant"; "grow" doubles and "decay" halves the size at the given epochs; a callable takes the epoch, from 0,
        and returns the size. Sizes stay between `smallest` and `n_rows`.
    epochs : int, sequence of int or "stall"
        Every so many epochs, at these epochs, or whenever the loss has not fallen for 3 epochs.
    smallest : int, default=1
        Size below which a batch makes no sense.
    """

    def __init__(
        self,
        initial: int,
        n_rows: int,
        schedule: str | Callable[[int], int] = "constant",
        epochs: int | Sequence[int] | str = 10,
        smallest: int = 1,
    ) -> None:
        self.size, self.n_rows, self.schedule, self.epochs = initial, n_rows, schedule, epochs
        self.smallest = smallest
        self._watch = Watch(STALLED_EPOCHS)
        self._stalled = False

    def of_epoch(self, epoch: int) -> int:
        """Return the size in an epoch; to be asked once for each epoch in turn."""
        if callable(self.schedule):
            self.size = int(_check_scheduled("batch_schedule", self.schedule(epoch), 1, f"epoch {epoch}"))
        elif self.schedule != "constant" and self._is_due(epoch):
            self.size = self.size * 2 if self.schedule == "grow" else self.size // 2
            self._stalled = False
        self.size = min(max(self.size, self.smallest), self.n_rows)
        return self.size

    def resume(self, losses: Sequence[float]) -> None:
        """Go on after epochs with these losses."""
        if self.schedule not in ("grow", "decay"):
            return
        for epoch, loss in enumerate(losses):
            self.of_epoch(epoch)
            self.observe(loss)

    def observe(self, loss: float) -> None:
        """Take note of an epoch's loss."""
        self._stalled = self._watch.has_stalled(loss) or self._stalled

    def _is_due(self, epoch: int) -> bool:
        if isinstance(self.epochs, str):
            return self._stalled
        if isinstance(self.epochs, (int, np.integer)):
            return epoch > 0 and epoch % self.epochs == 0
        return epoch in self.epochs


class Watch:
    """Tells when a loss has not fallen for so many epochs; then it begins to count anew."""

    def __init__(self, patience: int, tol: float = 1e-4) -> None:
        self.patience, self.tol = patience, tol
        self.best, self.n_idle = math.inf, 0

    def has_stalled(self, loss: float) -> bool:
        """Take note of a loss; return whether it has stalled."""
        self.n_idle = 0 if loss < self.best - self.tol else self.n_idle + 1
        self.best = min(self.best, loss)
        if self.n_idle < self.patience:
            return False
        self.n_idle = 0
        return True


def _check_scheduled(name: str, value: Any, least: int, when: str) -> float:
    """Return what a user's schedule returned, a number of at least `least`."""
    if not isinstance(value, Real) or not least <= float(value) < math.inf:
        raise ValueError(
            f"The function given as {name} must return a number in the range [{least}, inf). Got {value!r} for {when}."
        )
    return float(value)
