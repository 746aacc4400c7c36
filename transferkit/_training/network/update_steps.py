"""Update steps of special kinds: captured as a CUDA graph, or by L-BFGS with a line search."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.data import Batch
from transferkit._training.network.loop import Objective, UpdateStep
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import FlatBuffer

__all__ = ["GraphStep", "LineSearchStep"]

MAX_TRIALS = 30  # evaluations per line search
STEPS_BEFORE_CAPTURE = 3  # libraries allocate memory in their first calls, which must not be captured


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
