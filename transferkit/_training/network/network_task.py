"""A network, its data and its loss, as the training loop wants them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from transferkit._training.network.losses import NetworkLoss
from transferkit._training.network.network import Network
from transferkit._training.network.parameters import FlatBuffer
from transferkit._training.network.randomness import Randomness
from transferkit._training.network.rows import Mixing, Rows
from transferkit._training.network.targets import Score, SparseTargets, Targets

__all__ = ["Augmentation", "Batch", "NetworkTask", "ValidationSet"]

CHUNK_BYTES = 2**26  # of rows that are put in order at once; batches are views of the chunk
N_SAMPLED = 200  # rows whose loss tells, after training, whether the last steps made the weights useless


@dataclass(frozen=True)
class Augmentation:
    """What is done to the rows anew in each epoch.

    `mixup` is the parameter of the Beta distribution from which the share of each row against a random partner is drawn
    (Zhang et al. 2018); `noise` the standard deviation of what is added to each entry (each stored entry of sparse
    rows), `dropout` the probability of an entry to be dropped.
    """

    mixup: float = 0.0
    noise: float = 0.0
    dropout: float = 0.0


@dataclass
class Batch:
    """Rows, their targets, what each row's gradient is multiplied by, and room for the losses."""

    x: Any
    targets: Tensor
    scale: Tensor | float
    losses: Tensor


@dataclass(frozen=True)
class ValidationSet:
    """Rows that are held out; `targets` are class numbers or a matrix."""

    rows: Rows
    targets: Tensor
    weights: Tensor | None


class NetworkTask:
    """Batches of rows through a network into a loss.

    Parameters
    ----------
    network, rows, targets, loss
        What is trained, on what.
    weights : Tensor of shape (n_rows,) or None
        Weights of the rows, of mean one.
    augmentation : Augmentation
    validation : ValidationSet or None
    score : callable
        Judges the scores of the validation set; larger is better.
    shuffle : bool
        Whether each epoch has its own order.
    randomness : Randomness
    """

    def __init__(
        self,
        network: Network,
        rows: Rows,
        targets: Targets | SparseTargets,
        loss: NetworkLoss,
        *,
        weights: Tensor | None = None,
        augmentation: Augmentation | None = None,
        validation: ValidationSet | None = None,
        score: Score | None = None,
        shuffle: bool = True,
        randomness: Randomness,
    ) -> None:
        self.network, self.rows, self.targets, self.loss, self.weights = network, rows, targets, loss, weights
        self.augmentation, self.validation, self.score = augmentation or Augmentation(), validation, score
        self.shuffle, self.randomness = shuffle, randomness
        self.n_rows = rows.n_rows
        self.losses = torch.zeros(self.n_rows, dtype=targets.dtype, device=targets.values.device)

    @property
    def buffers(self) -> Sequence[FlatBuffer]:
        """Parameters and their gradients."""
        return self.network.buffers

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        order, bounds = self._draw_order(), self._find_bounds(size)
        bytes_of_row = self.rows.row_bytes + self.targets.n_outputs * self.losses.element_size()
        n_together = max(1, CHUNK_BYTES // (bytes_of_row * size))
        for number in range(0, len(bounds) - 1, n_together):
            of_chunk = bounds[number : number + n_together + 1]
            begin = of_chunk[0]
            rows, targets, weights = self._take(order[begin : of_chunk[-1]])
            for first, last in pairwise(bound - begin for bound in of_chunk):
                scale = 1 / (last - first) if weights is None else weights[first:last, None] / (last - first)
                losses = self.losses[begin + first : begin + last]
                yield Batch(rows.part(first, last), targets[first:last], scale, losses)

    def count_batches(self, size: int) -> int:
        """Return the number of batches of one epoch."""
        return len(self._find_bounds(size)) - 1

    def differentiate(self, batch: Batch) -> None:
        """Leave the losses of the rows in the batch, and the gradients of the weighted mean loss in the buffers."""
        losses, gradient = self.loss(self.network.forward(batch.x, training=True), batch.targets)
        if isinstance(batch.scale, float):
            batch.losses.copy_(losses)
        else:  # the mean of the losses so weighted is that of the rows
            torch.mul(losses, batch.scale[:, 0] * len(losses), out=batch.losses)
        self.network.backward(gradient.mul_(batch.scale))

    def mean_loss(self) -> float:
        """Return the mean loss of the last epoch's rows: the only number that an epoch asks the device for."""
        return float(self.losses.mean())

    def validate(self) -> float | None:
        """Return the score of the validation set, if there is one."""
        if self.validation is None or self.score is None:
            return None
        scores = self.network.predict(split(self.validation.rows))
        return float(self.score(scores, self.validation.targets, self.validation.weights))

    def measure_end(self) -> float:
        """Return the mean loss of a sample of the rows, as they are predicted now."""
        order = torch.arange(self.n_rows, device=self.randomness.order.device)
        sample = order[:: -(-self.n_rows // N_SAMPLED)]
        scores = self.network.predict(split(self.rows.take(sample)))
        return float(self.loss(scores, self.targets.take(sample))[0].mean())

    def measure_zeros(self) -> float:
        """Return the mean loss of all rows if all scores were zero."""
        order = torch.arange(self.n_rows, device=self.randomness.order.device)
        n_together = max(1, CHUNK_BYTES // (self.targets.n_outputs * self.losses.element_size()))
        total = 0.0
        for begin in range(0, self.n_rows, n_together):
            targets = self.targets.take(order[begin : begin + n_together])
            total += float(self.loss(torch.zeros_like(targets), targets)[0].sum())
        return total / self.n_rows

    def is_finite(self) -> bool:
        """Return whether all parameters and running statistics are finite numbers."""
        tensors = self.network.tensors()
        return all(bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all()) for tensor in tensors)

    def refresh_statistics(self, size: int) -> None:
        """Compute the running statistics of batch normalisation anew, for averaged weights."""
        layers = self.network.batch_norms
        if not layers:
            return
        for position, batch in enumerate(self.batches(size)):
            for layer in layers:
                layer.momentum = 1 / (position + 1)  # the plain mean over the batches
            self.network.forward(batch.x, training=True)

    def snapshot(self) -> list[Tensor]:
        """Return a copy of all that training changes."""
        return self.network.snapshot()

    def restore(self, snapshot: Sequence[Tensor]) -> None:
        """Go back to a snapshot."""
        self.network.restore(snapshot)

    def _find_bounds(self, size: int) -> list[int]:
        """Return where batches begin, and where the last one ends.

        With batch normalisation a single row that is left over joins the batch before it: it has no variance.
        """
        bounds = [*range(0, self.n_rows, size), self.n_rows]
        if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1 and self.network.batch_norms:
            del bounds[-2]
        return bounds

    def _draw_order(self) -> Tensor:
        generator = self.randomness.order
        if not self.shuffle:
            return torch.arange(self.n_rows, device=generator.device)
        return torch.randperm(self.n_rows, generator=generator, device=generator.device)

    def _take(self, chosen: Tensor) -> tuple[Rows, Tensor, Tensor | None]:
        device = self.losses.device
        mixing = self._draw_mixing(chosen)
        rows = self.rows.take(chosen, mixing)
        targets = self.targets.take(chosen)
        weights = None if self.weights is None else self.weights.index_select(0, chosen.to(device))
        if mixing is not None:
            partner, share = mixing
            lam = torch.from_numpy(share).to(targets)
            targets = torch.lerp(self.targets.take(partner), targets, lam[:, None])
            if weights is not None and self.weights is not None:
                weights = torch.lerp(self.weights.index_select(0, partner.to(device)), weights, lam)
        if self.augmentation.noise > 0 or self.augmentation.dropout > 0:
            rows.perturb(self.augmentation.noise, self.augmentation.dropout, self.randomness.noise)
        return rows, targets, weights

    def _draw_mixing(self, chosen: Tensor) -> Mixing | None:
        if self.augmentation.mixup <= 0:
            return None
        share = self.randomness.host.beta(self.augmentation.mixup, self.augmentation.mixup, len(chosen))
        return torch.roll(chosen, 1), share  # the order is random, so the neighbour is a random partner


def split(rows: Rows) -> Iterator[Any]:
    """Yield all rows in batches of a bounded size."""
    size = max(1, CHUNK_BYTES // rows.row_bytes)
    for begin in range(0, rows.n_rows, size):
        yield rows.part(begin, min(begin + size, rows.n_rows))
