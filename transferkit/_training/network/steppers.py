"""How a step is taken: one operation after the other, as one captured CUDA graph, or with a line search."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.loop import Task
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import FlatBuffer

__all__ = ["EagerStepper", "GraphStepper", "LineSearchStepper"]

MAX_TRIALS = 30  # of a line search
STEPS_BEFORE_CAPTURE = 3  # libraries allocate in their first calls, which must not be captured


class EagerStepper:
    """Launches each operation of a step."""

    def __init__(self, task: Task, optimiser: Optimiser) -> None:
        self.task, self.optimiser = task, optimiser
        self.device = optimiser.buffers[0].values.device

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        self.optimiser.freeze(epoch)
        if self.device.type == "cpu":
            return rates.tolist()
        return list(torch.from_numpy(rates).to(self.device, torch.float32).unbind())

    def step(self, batch: Any, rate: Any) -> None:
        self.task.differentiate(batch)
        self.optimiser.step(rate)


class GraphStepper(EagerStepper):
    """Captures the whole step as a CUDA graph, one for each batch size, and replays it: one launch a step.

    The batch is copied into memory of its own, which the graph reads. For dense batches only: the lengths of sparse
    ones change from step to step.
    """

    def __init__(self, task: Task, optimiser: Optimiser, generator: torch.Generator) -> None:
        super().__init__(task, optimiser)
        self.generator = generator
        self.rate = torch.zeros((), device=self.device)
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Any]] = {}
        self.n_seen: dict[int, int] = {}
        self.kind: tuple[Any, Any] = ((), ())

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        prepared = super().begin_epoch(epoch, rates)
        kind = (tuple(self.optimiser.frozen), tuple(buffer.mask is None for buffer in self.optimiser.buffers))
        if kind != self.kind:  # other groups learn now, or a mask is new: captured steps are of no use any more
            self.graphs.clear()
            self.n_seen.clear()
        self.kind = kind
        return prepared

    def step(self, batch: Any, rate: Any) -> None:
        size = len(batch.targets)
        self.n_seen[size] = self.n_seen.get(size, 0) + 1
        if self.n_seen[size] <= STEPS_BEFORE_CAPTURE:
            super().step(batch, rate)
            return
        if size not in self.graphs:
            self.graphs[size] = self._capture(batch)
        graph, own = self.graphs[size]
        own.x.copy_(batch.x)
        own.targets.copy_(batch.targets)
        if isinstance(own.scale, Tensor):
            own.scale.copy_(batch.scale)
        self.rate.copy_(rate)
        graph.replay()
        batch.losses.copy_(own.losses)

    def _capture(self, batch: Any) -> tuple[torch.cuda.CUDAGraph, Any]:
        scale = batch.scale.clone() if isinstance(batch.scale, Tensor) else batch.scale
        own = replace(batch, x=batch.x.clone(), targets=batch.targets.clone(), scale=scale, losses=batch.losses.clone())
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph):
            super().step(own, self.rate)
        return graph, own


class LineSearchStepper:
    """One iteration of L-BFGS with a line search on all rows (Nocedal and Wright 2006, chapter 7); takes no rate."""

    def __init__(self, task: Task, buffers: Sequence[FlatBuffer]) -> None:
        self.task, self.buffers = task, buffers
        self.solver: torch.optim.LBFGS | None = None

    def begin_epoch(self, epoch: int, rates: np.ndarray) -> Sequence[Any]:
        if self.solver is None:
            self.parameters = [torch.nn.Parameter(buffer.values) for buffer in self.buffers]
            self.solver = torch.optim.LBFGS(
                self.parameters, max_iter=1, max_eval=MAX_TRIALS, line_search_fn="strong_wolfe"
            )
        return rates.tolist()

    def step(self, batch: Any, rate: Any) -> None:
        assert self.solver is not None
        self.solver.step(lambda: self._evaluate(batch))  # type: ignore[no-untyped-call]

    def _evaluate(self, batch: Any) -> Tensor:
        self.task.differentiate(batch)
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
    row_parameter = buffer.row_parameter
    if row_parameter is None:
        return buffer.gradient
    dense = torch.zeros_like(row_parameter.storage)
    dense.index_copy_(0, row_parameter.rows, row_parameter.gradient)
    return dense[: row_parameter.n_rows]
