"""Optimisers as a handful of operations on a group's flat parameters.

The learning rate is a float on the CPU, and on a GPU a tensor without dimensions, so that a captured step may be
repeated with another rate.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.parameters import Slab

__all__ = ["Optimiser", "Rule", "find_rule"]

Rate = float | Tensor
BETA_1, BETA_2, RMSPROP_DECAY, EPSILON = 0.9, 0.999, 0.99, 1e-8


class Rule(Protocol):
    """How parameters move along a gradient; `n_memories` tensors of their shape are kept between steps."""

    n_memories: int

    def move(self, values: Tensor, gradient: Tensor, memories: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        """Move the values in place; `gradient` may be overwritten, `count` is the number of steps so far, with this."""


class GradientDescent:
    """values -= rate * gradient."""

    n_memories = 0

    def move(self, values: Tensor, gradient: Tensor, memories: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        _descend(values, gradient, rate)


class Momentum:
    """Gradients summed with a decaying memory (Polyak 1964); `nesterov` looks ahead (Sutskever et al. 2013)."""

    n_memories = 1

    def __init__(self, momentum: float, nesterov: bool) -> None:
        self.momentum, self.nesterov = momentum, nesterov

    def move(self, values: Tensor, gradient: Tensor, memories: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        [velocity] = memories
        velocity.mul_(self.momentum).add_(gradient)
        _descend(values, gradient.add_(velocity, alpha=self.momentum) if self.nesterov else velocity, rate)


class RMSProp:
    """Gradients divided by the root of their mean square, a decaying mean (Tieleman and Hinton 2012)."""

    n_memories = 1

    def move(self, values: Tensor, gradient: Tensor, memories: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        [squares] = memories
        squares.mul_(RMSPROP_DECAY).addcmul_(gradient, gradient, value=1 - RMSPROP_DECAY)
        _descend(values, gradient.div_(squares.sqrt().add_(EPSILON)), rate)


class AdaGrad:
    """Gradients divided by the root of the sum of their squares (Duchi, Hazan and Singer 2011)."""

    n_memories = 1

    def move(self, values: Tensor, gradient: Tensor, memories: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        [squares] = memories
        squares.addcmul_(gradient, gradient)
        _descend(values, gradient.div_(squares.sqrt().add_(EPSILON)), rate)


class Adam:
    """Both moments of the gradient, corrected for their start at zero (Kingma and Ba 2015)."""

    n_memories = 2

    def __init__(self) -> None:
        self.fused = _has_fused_kernel()

    def move(self, values: Tensor, gradient: Tensor, memories: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        first, second = memories
        if self.fused:
            torch._fused_adam_(
                [values], [gradient], [first], [second], [], [count], lr=rate, beta1=BETA_1, beta2=BETA_2,
                weight_decay=0.0, eps=EPSILON, amsgrad=False, maximize=False,
            )  # fmt: skip
            return
        first.lerp_(gradient, 1 - BETA_1)
        second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        scale = rate / (1 - BETA_1**count)
        root = (second / (1 - BETA_2**count)).sqrt_().add_(EPSILON)
        values.sub_(first / root * scale)


def find_rule(solver: str, momentum: float) -> Rule:
    """Return the rule of a solver that takes one step a batch."""
    if solver in ("momentum", "nesterov"):
        return Momentum(momentum, solver == "nesterov")
    if solver in ("gd", "sgd"):
        return GradientDescent()
    rules: dict[str, Callable[[], Rule]] = {"rmsprop": RMSProp, "adagrad": AdaGrad, "adam": Adam, "adamw": Adam}
    return rules[solver]()


class Optimiser:
    """Takes steps: penalties and clipping on the gradients, then the rule, group by group.

    A matrix whose rows learn when touched (see `Slab.lazy`) keeps its moments, and is not pulled by any penalty, in the
    steps that do not touch a row.

    Parameters
    ----------
    slabs : sequence of Slab
    solver : str
        "gd", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam" or "adamw"; with "adamw" the penalty shrinks
        the weights and stays out of the moments [1]_, as the pull to an anchor does with all of them.
    momentum : float
    clip_norm : float or None
        Largest Euclidean length of all gradients together.
    clip_value : float or None
        Largest absolute value of an entry of a gradient.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR (2019).
    """

    def __init__(
        self,
        slabs: Sequence[Slab],
        solver: str,
        *,
        momentum: float = 0.9,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.slabs, self.solver, self.clip_norm, self.clip_value = slabs, solver, clip_norm, clip_value
        self.rule = find_rule(solver, momentum)
        self.memories = [[_zeros(slab) for _ in range(self.rule.n_memories)] for slab in slabs]
        self.counts = [torch.zeros((), device=slab.values.device) for slab in slabs]
        self.frozen = [False] * len(slabs)

    def freeze(self, epoch: int) -> None:
        """Let each group learn, or not, as this epoch has it."""
        self.frozen = [slab.freeze(epoch) for slab in self.slabs]

    def step(self, rate: Rate) -> None:
        """Move all groups along their gradients."""
        active = [position for position, frozen in enumerate(self.frozen) if not frozen]
        if self.clip_norm is not None or self.clip_value is not None:
            self._clip([self.slabs[position] for position in active])
        for position in active:
            slab = self.slabs[position]
            pace = rate * slab.group.learning_rate_scale if slab.group.learning_rate_scale != 1 else rate
            self.counts[position].add_(1)
            if slab.lazy is None:
                self._step_flat(slab, self.memories[position], pace, self.counts[position])
            else:
                self._step_rows(slab, self.memories[position], pace, self.counts[position])

    def read(self) -> list[np.ndarray]:
        """Return what is remembered between steps: for each group the number of steps and the memories."""
        parts = [[count, *memories] for count, memories in zip(self.counts, self.memories, strict=True)]
        return [part.cpu().numpy().copy() for group in parts for part in group]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Go on from what `read` returned, or from nothing if that is another solver's."""
        pairs = zip(self.counts, self.memories, strict=True)
        parts = [part for count, memories in pairs for part in (count, *memories)]
        if [tuple(part.shape) for part in parts] != [array.shape for array in arrays]:
            return
        for part, array in zip(parts, arrays, strict=True):
            part.copy_(torch.from_numpy(np.array(array)))

    def _step_flat(self, slab: Slab, memories: list[Tensor], rate: Rate, count: Tensor) -> None:
        self._penalise(slab, slab.weights, slab.gradient_of_weights, slab.anchor, rate)
        self.rule.move(slab.values, slab.gradient, memories, rate, count)
        if slab.mask is not None:
            slab.weights.mul_(slab.mask)

    def _step_rows(self, slab: Slab, memories: list[Tensor], rate: Rate, count: Tensor) -> None:
        slot = slab.lazy
        assert slot is not None
        anchor = None if slab.anchor is None else slab.anchor.index_select(0, slot.rows.clamp_max(slot.n_rows - 1))
        self._penalise(slab, slot.gathered, slot.gradient, anchor, rate)
        gathered = [memory.index_select(0, slot.rows) for memory in memories]
        self.rule.move(slot.gathered, slot.gradient, gathered, rate, count)
        if slab.mask is not None:
            slot.gathered.mul_(slab.mask.index_select(0, slot.rows.clamp_max(slot.n_rows - 1)))
        put_rows(slot.storage, slot.rows, slot.gathered)
        for memory, part in zip(memories, gathered, strict=True):
            put_rows(memory, slot.rows, part)

    def _penalise(self, slab: Slab, weights: Tensor, gradient: Tensor, anchor: Tensor | None, rate: Rate) -> None:
        alpha, strength = slab.group.alpha, slab.group.anchor_strength
        if alpha and self.solver == "adamw":
            weights.mul_(1 - rate * alpha)
        elif alpha:
            gradient.add_(weights, alpha=alpha)
        if anchor is not None:  # not through the gradient, which Adam divides by its size, whatever the strength
            weights.lerp_(anchor, rate * strength / (1 + rate * strength))

    def _clip(self, slabs: list[Slab]) -> None:
        gradients = [slab.gradient if slab.lazy is None else slab.lazy.gradient for slab in slabs]
        if self.clip_value is not None:
            for gradient in gradients:
                gradient.clamp_(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            lengths = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
            factor = (self.clip_norm / torch.linalg.vector_norm(lengths).clamp_min(1e-12)).clamp_max(1.0)
            for gradient in gradients:
                gradient.mul_(factor)


def _descend(values: Tensor, direction: Tensor, rate: Rate) -> None:
    if isinstance(rate, Tensor):
        values.addcmul_(direction, rate, value=-1)
    else:
        values.add_(direction, alpha=-rate)


def put_rows(matrix: Tensor, rows: Tensor, part: Tensor) -> None:
    """Write rows of a matrix; where two are for the same place, any of them stays."""
    if matrix.is_cuda:
        matrix.index_copy_(0, rows, part)
    else:  # NumPy takes half of torch's time
        matrix.numpy()[rows.numpy()] = part.numpy()


def _zeros(slab: Slab) -> Tensor:
    like = slab.values if slab.lazy is None else slab.lazy.storage
    if like.is_cuda:
        return torch.zeros_like(like)
    dtype = np.float32 if like.dtype == torch.float32 else np.float64
    return torch.from_numpy(np.zeros(like.shape, dtype))  # rows that are never touched take no memory


def _has_fused_kernel() -> bool:
    """Return whether this torch has the one-kernel Adam, with a rate that is a float or a tensor."""
    value, one = torch.zeros(1), torch.ones(())
    try:
        torch._fused_adam_(
            [value], [value.clone()], [value.clone()], [value.clone()], [], [one], lr=0.1, beta1=0.9, beta2=0.99,
            weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
