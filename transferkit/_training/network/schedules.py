"""Schedules of learning rates and batch sizes, the patience that ends training, weight averages and gradual pruning."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.parameters import FlatBuffer

__all__ = ["BatchSizes", "GradualPruning", "LearningRates", "Patience", "RangeTest", "WeightAverage"]

STALLED_EPOCHS = 3  # without improvement, after which batch_epochs="stall" changes the batch size
LOWEST_RATE, HIGHEST_RATE, N_RATES = 1e-6, 10.0, 120  # of the range test
SMOOTHING = 0.9  # of the exponential moving average over the steps of the range test
FALL = 0.9  # share of the decrease of the loss at which the learning rate is read off
EXPLODED = 4.0  # multiple of the smallest loss beyond which losses are ignored
CYCLE_RISE, CYCLE_START, CYCLE_END = 0.3, 1 / 25, 1e-4  # shape of the one-cycle schedule


class LearningRates:
    """The learning rate of each step.

    The schedule is "constant", "step", "exponential", "inverse", "cosine", "one_cycle" or "plateau"; a callable takes
    the index of the step and returns a factor of `initial`. "cosine" and "one_cycle" last `max_epochs`; the others
    multiply the rate by `decay` in `decay_epochs`. In the first `warmup` epochs the rate increases from zero.
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
        self._patience = Patience(decay_epochs)
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
        """Continue after earlier epochs with these losses, and `n_steps` steps in all."""
        self.n_steps_done = n_steps
        if self.schedule == "plateau":
            for loss in losses:
                self.observe(loss)

    def observe(self, loss: float) -> None:
        """Record the loss of an epoch, or minus its validation score."""
        self._patience.observe(loss)
        if self.schedule == "plateau" and self._patience.restart_if_over():
            self._plateau *= self.decay


def _one_cycle(share: float) -> float:
    """Return the factor of L. N. Smith and N. Topin, "Super-convergence" (2019), with cosine flanks."""
    if share < CYCLE_RISE:
        return _between(CYCLE_START, 1.0, share / CYCLE_RISE)
    return _between(1.0, CYCLE_END, (share - CYCLE_RISE) / (1 - CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class BatchSizes:
    """The batch size of each epoch (S. Smith et al., "Don't decay the learning rate, increase the batch size", 2018).

    With "grow" it doubles and with "decay" it halves at `epochs`: an interval in epochs, the epochs themselves, or
    "stall", whenever the loss has not decreased for 3 epochs. A callable takes the index of the epoch and returns the
    size. Sizes are clipped to `smallest` and `n_samples`.
    """

    def __init__(
        self,
        initial: int,
        n_samples: int,
        schedule: str | Callable[[int], int] = "constant",
        epochs: int | Sequence[int] | str = 10,
        smallest: int = 1,
    ) -> None:
        self.size, self.n_samples, self.schedule, self.epochs = initial, n_samples, schedule, epochs
        self.smallest = smallest
        self._patience = Patience(STALLED_EPOCHS)
        self._stalled = False

    def of_epoch(self, epoch: int) -> int:
        """Return the size in an epoch; call it once for each epoch in turn."""
        if callable(self.schedule):
            self.size = int(_check_scheduled("batch_schedule", self.schedule(epoch), 1, f"epoch {epoch}"))
        elif self.schedule != "constant" and self._is_due(epoch):
            self.size = self.size * 2 if self.schedule == "grow" else self.size // 2
            self._stalled = False
        self.size = min(max(self.size, self.smallest), self.n_samples)
        return self.size

    def resume(self, losses: Sequence[float]) -> None:
        """Continue after earlier epochs with these losses."""
        if self.schedule not in ("grow", "decay"):
            return
        for epoch, loss in enumerate(losses):
            self.of_epoch(epoch)
            self.observe(loss)

    def observe(self, loss: float) -> None:
        """Record the loss of an epoch."""
        self._patience.observe(loss)
        self._stalled = self._patience.restart_if_over() or self._stalled

    def _is_due(self, epoch: int) -> bool:
        if isinstance(self.epochs, str):
            return self._stalled
        if isinstance(self.epochs, (int, np.integer)):
            return epoch > 0 and epoch % self.epochs == 0
        return epoch in self.epochs


@dataclass
class RangeTest:
    """A learning rate range test (L. N. Smith, WACV 2017): rates tried, smoothed losses, and the rate to train with."""

    rates: np.ndarray
    losses: np.ndarray
    chosen: float

    @classmethod
    def from_losses(cls, rates: np.ndarray, losses: np.ndarray) -> Self:
        """Return the test for the loss of a step with each rate, in increasing order.

        The chosen rate is a third of the one at which the smoothed loss has made nine tenths of its decrease. The usual
        choice, a tenth of the rate with the smallest loss, is too high if the loss goes on decreasing slowly.
        """
        losses = _smooth(losses)
        usable = np.isfinite(losses)
        smallest = np.minimum.accumulate(np.where(usable, losses, np.inf))
        usable &= np.cumsum(~(losses <= EXPLODED * smallest)) == 0
        lowest = np.where(usable, losses, np.inf).min()
        fallen = usable & (losses <= losses[0] - FALL * (losses[0] - lowest))
        return cls(rates, losses, float(rates[fallen.argmax()] / 3))


def _smooth(losses: np.ndarray) -> np.ndarray:
    """Return the bias-corrected exponential moving average."""
    means, mean = np.empty(len(losses)), 0.0
    for step, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means[step] = mean / (1 - SMOOTHING ** (step + 1))
    return means


class Patience:
    """Count the epochs since a value improved (decreased) by more than `tol`; without `tol` patience never ends."""

    def __init__(self, patience: int, tol: float | None = 1e-4) -> None:
        self.patience, self.tol = patience, tol
        self.best, self.n_idle = math.inf, 0

    def observe(self, value: float) -> bool:
        """Record the value of an epoch; return whether it is the best so far."""
        self.n_idle = 0 if value < self.best - (self.tol or 0.0) else self.n_idle + 1
        is_best = value < self.best
        self.best = min(self.best, value)
        return is_best

    @property
    def is_over(self) -> bool:
        """Whether the value has not improved for `patience` epochs."""
        return self.tol is not None and self.n_idle >= self.patience

    def restart_if_over(self) -> bool:
        """Return `is_over`; if so, count from zero again."""
        is_over = self.is_over
        self.n_idle = 0 if is_over else self.n_idle
        return is_over


def _check_scheduled(name: str, value: Any, least: int, when: str) -> float:
    """Return the value of a user's schedule after checking that it is a number of at least `least`."""
    if not isinstance(value, Real) or not least <= float(value) < math.inf:
        raise ValueError(
            f"The function given as {name} must return a number in the range [{least}, inf). Got {value!r} for {when}."
        )
    return float(value)


class WeightAverage:
    """Average the weights over the epochs from `first_epoch` on (Izmailov et al. 2018)."""

    def __init__(self, buffers: Sequence[FlatBuffer], first_epoch: int) -> None:
        self.buffers, self.first_epoch = buffers, first_epoch
        self.means: list[Tensor] = []
        self.n_epochs = 0

    def end_epoch(self, epoch: int) -> None:
        """Add the weights to the mean."""
        if epoch < self.first_epoch:
            return
        self.n_epochs += 1
        if self.n_epochs == 1:
            self.means = [buffer.values.clone() for buffer in self.buffers]
            return
        for mean, buffer in zip(self.means, self.buffers, strict=True):
            mean.lerp_(buffer.values, 1 / self.n_epochs)

    def apply(self) -> None:
        """Replace the weights by their mean."""
        for mean, buffer in zip(self.means, self.buffers, strict=True):
            buffer.values.copy_(mean)


class GradualPruning:
    """Set a growing share of the smallest weights of all layers together to zero, for good.

    The share grows from zero after epoch `begin` to `amount` at epoch `end` as 1 - (1 - t)^3 [1]_; the epochs that
    follow fine-tune the other weights.

    References
    ----------
    .. [1] M. Zhu and S. Gupta, "To prune, or not to prune", ICLR workshop (2018).
    """

    def __init__(self, buffers: Sequence[FlatBuffer], amount: float, begin: int, end: int) -> None:
        self.buffers = [buffer for buffer in buffers if buffer.n_penalised]
        self.amount, self.begin, self.end = amount, begin, end

    def share(self, epoch: int) -> float:
        """Return the share of zeros after an epoch."""
        time = (epoch + 1 - self.begin) / (self.end - self.begin)
        return self.amount * (1 - (1 - min(max(time, 0.0), 1.0)) ** 3)

    def end_epoch(self, epoch: int) -> None:
        """Prune weights and mask them in the steps that follow."""
        sizes = torch.cat([buffer.weights.abs().ravel() for buffer in self.buffers])
        n_zeros = int(self.share(epoch) * len(sizes))
        if n_zeros == 0:
            return
        kept = torch.ones(len(sizes), dtype=torch.bool, device=sizes.device)
        kept[torch.topk(sizes, n_zeros, largest=False, sorted=False).indices] = False
        begin = 0
        for buffer in self.buffers:
            weights = buffer.weights
            mask = kept[begin : begin + weights.numel()].view_as(weights).to(weights)
            begin += weights.numel()
            if buffer.mask is None:
                buffer.mask = mask
            else:  # a captured step reads this memory
                buffer.mask.copy_(mask)
            weights.mul_(mask)
