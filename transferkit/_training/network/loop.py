"""The loop over epochs and batches, which knows no model.

It reads one number an epoch from the device, the mean loss (and one more, the validation score, if there is a
validation set).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from transferkit._training.network.parameters import FlatBuffer
from transferkit._training.network.schedules import BatchSizes, LearningRates
from transferkit.exceptions import DivergenceError

__all__ = ["History", "Stepper", "Stopping", "Task", "train"]


class Task(Protocol):
    """What is to be trained."""

    @property
    def buffers(self) -> Sequence[FlatBuffer]:
        """Parameters and their gradients."""

    def batches(self, size: int) -> Iterable[Any]:
        """Yield the batches of one epoch."""

    def count_batches(self, size: int) -> int:
        """Return the number of batches of one epoch."""

    def differentiate(self, batch: Any) -> None:
        """Leave the batch's losses with the task, and the gradients in the buffers."""

    def mean_loss(self) -> float:
        """Return the mean loss of the last epoch."""

    def validate(self) -> float | None:
        """Return the score of the validation set, larger is better, or None without one."""

    def snapshot(self) -> Sequence[Tensor]:
        """Return a copy of all that training changes."""

    def restore(self, snapshot: Sequence[Tensor]) -> None:
        """Go back to a snapshot."""


class Stepper(Protocol):
    """Takes the steps of an epoch."""

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        """Prepare an epoch; return its learning rates in the form that `step` wants."""

    def step(self, batch: Any, rate: Any) -> None:
        """Take one step."""


class Companion(Protocol):
    """Something that acts after each epoch: an average of the weights, a pruning."""

    def end_epoch(self, epoch: int) -> None:
        """Act after an epoch."""


@dataclass(frozen=True)
class Stopping:
    """When to stop, and whether the best weights come back.

    Training ends when what is watched, the loss or the validation score, has not become better by more than `tol` for
    `patience` epochs; never with `tol=None`. What happens before `first_epoch` does not count: weights are still to be
    pruned, say.
    """

    max_epochs: int
    tol: float | None = 1e-4
    patience: int = 10
    on_validation: bool = False
    first_epoch: int = 0


@dataclass
class History:
    """What happened in each epoch."""

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    batch_size: list[int] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    n_steps: int = 0
    stopped_by: str = "max_iter"


def train(
    task: Task,
    stepper: Stepper,
    rates: LearningRates,
    sizes: BatchSizes,
    stopping: Stopping,
    *,
    companions: Sequence[Companion] = (),
    first_epoch: int = 0,
    on_epoch: Callable[[History], bool] | None = None,
) -> History:
    """Train until the epochs are spent, nothing is gained any more, or `on_epoch` asks to stop.

    Raises
    ------
    DivergenceError
        If the loss is no longer finite.
    """
    history = History()
    watch = BestWatch(stopping.tol, stopping.patience)
    best: Sequence[Tensor] | None = None
    for epoch in range(first_epoch, first_epoch + stopping.max_epochs):
        size = sizes.of_epoch(epoch)
        rate = run_epoch(task, stepper, rates, epoch, size)
        for companion in companions:
            companion.end_epoch(epoch)
        loss, score = task.mean_loss(), task.validate()
        if not math.isfinite(loss):
            raise DivergenceError(epoch + 1, rate, loss)
        watched = loss if score is None else -score
        rates.observe(watched)
        sizes.observe(loss)
        history.loss.append(loss)
        history.learning_rate.append(rate)
        history.batch_size.append(size)
        history.n_steps = rates.n_steps_done
        if score is not None:
            history.validation_score.append(score)
        if epoch >= stopping.first_epoch and watch.observe(watched if stopping.on_validation else loss):
            best = task.snapshot() if stopping.on_validation else None
        if on_epoch is not None and on_epoch(history):
            history.stopped_by = "callback"
            break
        if watch.is_over:
            history.stopped_by = "tol"
            break
    if best is not None:
        task.restore(best)
    return history


def run_epoch(task: Task, stepper: Stepper, rates: LearningRates, epoch: int, size: int) -> float:
    """Take the steps of one epoch; return its first learning rate."""
    of_steps = rates.of_epoch(epoch, task.count_batches(size))
    prepared = stepper.begin_epoch(epoch, of_steps)
    for batch, rate in zip(task.batches(size), prepared, strict=True):
        stepper.step(batch, rate)
    return float(of_steps[0])


class BestWatch:
    """Counts the epochs since something became better by more than `tol`."""

    def __init__(self, tol: float | None, patience: int) -> None:
        self.tol, self.patience = tol, patience
        self.best, self.n_idle = math.inf, 0

    def observe(self, value: float) -> bool:
        """Take note of a value, smaller is better; return whether it is the best so far."""
        self.n_idle = 0 if value < self.best - (self.tol or 0.0) else self.n_idle + 1
        is_best = value < self.best
        self.best = min(self.best, value)
        return is_best

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return self.tol is not None and self.n_idle >= self.patience
