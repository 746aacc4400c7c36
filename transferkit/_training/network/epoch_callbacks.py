"""Epoch callbacks that change the weights: averaging and gradual pruning."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transferkit._training.network.parameters import FlatBuffer

__all__ = ["GradualPruning", "WeightAverage"]


class WeightAverage:
    """Average the weights over the epochs from `first_epoch` on (Izmailov et al. 2018).

    Parameters
    ----------
    buffers : sequence of FlatBuffer
    first_epoch : int
    """

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

    Parameters
    ----------
    buffers : sequence of FlatBuffer
    amount : float
    begin, end : int

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
