"""The objective of training, the steps that decrease it, and the loop over epochs and batches.

An epoch reads one number from the device, the mean loss, and a second one, the validation score, if there is a
validation set.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from transferkit._training.device import to_tensor
from transferkit._training.network.data import Batch, Examples, TrainingData, make_samples, split_samples
from transferkit._training.network.losses import Loss, Metric
from transferkit._training.network.network import Network
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import FlatBuffer
from transferkit._training.network.schedules import (
    HIGHEST_RATE,
    LOWEST_RATE,
    N_RATES,
    BatchSizes,
    LearningRates,
    Patience,
    RangeTest,
)
from transferkit.exceptions import DivergenceError

__all__ = [
    "EpochCallback",
    "GraphStep",
    "History",
    "LineSearchStep",
    "Objective",
    "Stopping",
    "train",
    "try_learning_rates",
]

N_SAMPLED = 200  # samples on which the loss after training is computed, to see whether the last steps diverged
MAX_TRIALS = 30  # evaluations per line search
STEPS_BEFORE_CAPTURE = 3  # libraries allocate memory in their first calls, which must not be captured


class Objective:
    """The mean loss of the training data as a function of the parameters of a network.

    `validation` are held-out samples, and `metric` is their score, larger if better.
    """

    def __init__(
        self, network: Network, data: TrainingData, loss: Loss, validation: Examples | None, metric: Metric
    ) -> None:
        self.network, self.data, self.loss, self.metric = network, data, loss, metric
        self.has_validation = validation is not None
        if validation is not None:
            device, dtype = network.device, network.dtype
            weights = validation.weights
            self.validation_samples = make_samples(validation.X, device)
            self.validation_targets = to_tensor(
                validation.targets, device, torch.int64 if validation.targets.ndim == 1 else dtype
            )
            self.validation_weights = None if weights is None else to_tensor(weights, device, dtype)

    def differentiate(self, batch: Batch) -> None:
        """Write the losses of the samples into the batch, and the gradients of their weighted mean into the buffers."""
        losses, gradient = self.loss(self.network.forward(batch.x, training=True), batch.targets)
        if isinstance(batch.scale, float):
            batch.losses.copy_(losses)
        else:  # the mean of the losses weighted in this way is that of the samples
            torch.mul(losses, batch.scale[:, 0] * len(losses), out=batch.losses)
        self.network.backward(gradient.mul_(batch.scale))

    def mean_loss(self) -> float:
        """Return the mean loss over the last epoch: the only number that an epoch reads from the device."""
        return float(self.data.losses.mean())

    def validate(self) -> float | None:
        """Return the score of the validation set, or None without one."""
        if not self.has_validation:
            return None
        scores = self.network.predict(split_samples(self.validation_samples))
        return float(self.metric(scores, self.validation_targets, self.validation_weights))

    def final_loss(self) -> float:
        """Return the mean loss of a sample of the training data with the current weights."""
        indices = self.data.indices()
        sample = indices[:: -(-self.data.n_samples // N_SAMPLED)]
        scores = self.network.predict(split_samples(self.data.samples.take(sample)))
        return float(self.loss(scores, self.data.targets.take(sample))[0].mean())

    def loss_of_zeros(self) -> float:
        """Return the mean loss of all training data if all scores are zero."""
        indices, total = self.data.indices(), 0.0
        for part in torch.split(indices, self.data.chunk_size):
            targets = self.data.targets.take(part)
            total += float(self.loss(torch.zeros_like(targets), targets)[0].sum())
        return total / self.data.n_samples

    def is_finite(self) -> bool:
        """Return whether all parameters and running statistics are finite numbers."""
        tensors = self.network.tensors()
        return all(bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all()) for tensor in tensors)

    def refresh_statistics(self, batch_size: int) -> None:
        """Recompute the running statistics of batch normalisation, as means over the batches of an epoch."""
        layers = self.network.batch_norms
        if not layers:
            return
        for position, batch in enumerate(self.data.batches(batch_size)):
            for layer in layers:
                layer.momentum = 1 / (position + 1)
            self.network.forward(batch.x, training=True)


class UpdateStep:
    """An update step of a first-order optimiser, operation by operation."""

    def __init__(self, objective: Objective, optimiser: Optimiser) -> None:
        self.objective, self.optimiser = objective, optimiser
        self.device = objective.network.device

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        """Prepare an epoch; return its learning rates in the form in which `step` takes them."""
        self.optimiser.freeze(epoch)
        if self.device.type == "cpu":
            return rates.tolist()
        return list(torch.from_numpy(rates).to(self.device, torch.float32).unbind())

    def step(self, batch: Batch, rate: Any) -> None:
        """Take one step."""
        self.objective.differentiate(batch)
        self.optimiser.step(rate)


class GraphStep(UpdateStep):
    """Capture the whole step as a CUDA graph, one per batch size, and replay it: one launch per step.

    The batch is copied into the memory that the graph reads. For dense batches only: the lengths of sparse ones change
    from step to step.
    """

    def __init__(self, objective: Objective, optimiser: Optimiser) -> None:
        super().__init__(objective, optimiser)
        self.generator = objective.data.noise_generator
        self.rate = torch.zeros((), device=self.device)
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Batch]] = {}
        self.n_seen: dict[int, int] = {}
        self.captured_for: tuple[Any, Any] = ((), ())

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        """Prepare an epoch; discard the graphs if other groups are trained than before, or there are new masks."""
        prepared = super().begin_epoch(epoch, rates)
        captured_for = (tuple(self.optimiser.frozen), tuple(buffer.mask is None for buffer in self.optimiser.buffers))
        if captured_for != self.captured_for:
            self.graphs.clear()
            self.n_seen.clear()
        self.captured_for = captured_for
        return prepared

    def step(self, batch: Batch, rate: Any) -> None:
        """Take one step."""
        size = len(batch.targets)
        self.n_seen[size] = self.n_seen.get(size, 0) + 1
        if self.n_seen[size] <= STEPS_BEFORE_CAPTURE:
            super().step(batch, rate)
            return
        if size not in self.graphs:
            self.graphs[size] = self._capture(batch)
        graph, static = self.graphs[size]
        static.x.copy_(batch.x)
        static.targets.copy_(batch.targets)
        if isinstance(static.scale, Tensor) and isinstance(batch.scale, Tensor):
            static.scale.copy_(batch.scale)
        self.rate.copy_(rate)
        graph.replay()
        batch.losses.copy_(static.losses)

    def _capture(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch]:
        scale = batch.scale.clone() if isinstance(batch.scale, Tensor) else batch.scale
        static = replace(
            batch, x=batch.x.clone(), targets=batch.targets.clone(), scale=scale, losses=batch.losses.clone()
        )
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph):
            super().step(static, self.rate)
        return graph, static


class LineSearchStep(UpdateStep):
    """One iteration of L-BFGS with a line search on all samples (Nocedal and Wright 2006, chapter 7).

    The learning rate is ignored.
    """

    def __init__(self, objective: Objective, optimiser: Optimiser) -> None:
        super().__init__(objective, optimiser)
        self.buffers = optimiser.buffers
        self.parameters = [torch.nn.Parameter(buffer.values) for buffer in self.buffers]
        self.solver = torch.optim.LBFGS(self.parameters, max_iter=1, max_eval=MAX_TRIALS, line_search_fn="strong_wolfe")

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        """Return the rates as they are; no group is frozen."""
        return rates.tolist()

    def step(self, batch: Batch, rate: Any) -> None:
        """Take one step."""
        self.solver.step(lambda: self._evaluate(batch))  # type: ignore[no-untyped-call]

    def _evaluate(self, batch: Batch) -> Tensor:
        self.objective.differentiate(batch)
        value = batch.losses.mean()
        for buffer, parameter in zip(self.buffers, self.parameters, strict=True):
            gradient, weights = _dense_gradient(buffer), buffer.weights
            part = gradient[: buffer.n_penalised]
            value = value + buffer.group.alpha / 2 * weights.square().sum()
            part.add_(weights, alpha=buffer.group.alpha)
            if buffer.anchor is not None:
                value = value + buffer.group.anchor_strength / 2 * (weights - buffer.anchor).square().sum()
                part.add_(weights - buffer.anchor, alpha=buffer.group.anchor_strength)
            if buffer.mask is not None:
                part.mul_(buffer.mask)
            parameter.grad = gradient
        return value


def _dense_gradient(buffer: FlatBuffer) -> Tensor:
    matrix = buffer.row_parameter
    if matrix is None:
        return buffer.gradient
    dense = torch.zeros_like(matrix.storage)
    dense.index_copy_(0, matrix.rows, matrix.gradient)
    return dense[: matrix.n_rows]


class EpochCallback(Protocol):
    """An action after each epoch, such as averaging the weights or pruning them."""

    def end_epoch(self, epoch: int) -> None:
        """Act after an epoch."""


@dataclass(frozen=True)
class Stopping:
    """The rule by which training ends, and whether the best weights are restored.

    Training ends when the loss, or with `on_validation` the validation score, has not improved by more than `tol` for
    `patience` epochs; with `tol=None` it never ends early. Epochs before `first_epoch` do not count, because weights
    are still pruned in them.
    """

    max_epochs: int
    tol: float | None = 1e-4
    patience: int = 10
    on_validation: bool = False
    first_epoch: int = 0


@dataclass
class History:
    """The course of training, epoch by epoch."""

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    batch_size: list[int] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    n_steps: int = 0


def train(
    objective: Objective,
    update: UpdateStep,
    rates: LearningRates,
    sizes: BatchSizes,
    stopping: Stopping,
    *,
    callbacks: Sequence[EpochCallback] = (),
    first_epoch: int = 0,
    on_epoch: Callable[[History], bool] | None = None,
) -> History:
    """Train until the last epoch, until nothing improves, or until `on_epoch` returns true.

    Raises
    ------
    DivergenceError
        If the loss is no longer finite.
    """
    history = History()
    patience = Patience(stopping.patience, stopping.tol)
    best: Sequence[Tensor] | None = None
    for epoch in range(first_epoch, first_epoch + stopping.max_epochs):
        size = sizes.of_epoch(epoch)
        rate = _run_epoch(objective.data, update, rates, epoch, size)
        for callback in callbacks:
            callback.end_epoch(epoch)
        loss, score = objective.mean_loss(), objective.validate()
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
        if epoch >= stopping.first_epoch and patience.observe(watched if stopping.on_validation else loss):
            best = objective.network.snapshot() if stopping.on_validation else None
        if (on_epoch is not None and on_epoch(history)) or patience.is_over:
            break
    if best is not None:
        objective.network.restore(best)
    return history


def try_learning_rates(objective: Objective, update: UpdateStep, batch_size: int) -> RangeTest:
    """Take steps with growing learning rates, restore the network, and choose a rate."""
    data, network = objective.data, objective.network
    before, random_state = network.snapshot(), data.get_random_state()
    rates = np.geomspace(LOWEST_RATE, HIGHEST_RATE, N_RATES)
    prepared = update.begin_epoch(2**31, rates)  # no group is frozen
    losses: list[Tensor] = []
    while len(losses) < N_RATES:
        for batch in data.batches(batch_size):
            update.step(batch, prepared[len(losses)])
            losses.append(batch.losses.mean())
            if len(losses) == N_RATES:
                break
    network.restore(before)
    data.set_random_state(random_state)
    return RangeTest.from_losses(rates, torch.stack(losses).double().cpu().numpy())


def _run_epoch(data: TrainingData, update: UpdateStep, rates: LearningRates, epoch: int, size: int) -> float:
    """Take the steps of one epoch; return its first learning rate."""
    of_steps = rates.of_epoch(epoch, data.count_batches(size))
    prepared = update.begin_epoch(epoch, of_steps)
    for batch, rate in zip(data.batches(size), prepared, strict=True):
        update.step(batch, rate)
    return float(of_steps[0])
