"""First-order optimisers: update rules as a few operations on the flat buffer of a group.

The learning rate is a float on the CPU, and on a GPU a tensor without dimensions, so that a captured step can be
replayed with another rate.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from transferkit._training.network.parameters import FlatBuffer, RowParameter

__all__ = ["Optimiser", "UpdateRule"]

Rate = float | Tensor
BETA_1, BETA_2, RMSPROP_DECAY, EPSILON = 0.9, 0.999, 0.99, 1e-8


class UpdateRule(Protocol):
    """The update of parameters by a gradient; its state between steps is `n_state` tensors of their shape."""

    n_state: int

    def update(self, values: Tensor, gradient: Tensor, state: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        """Update the values in place; may overwrite `gradient`; `count` is the number of steps, this one included."""


class GradientDescent:
    """values -= rate * gradient."""

    n_state = 0

    def update(self, values: Tensor, gradient: Tensor, state: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        _descend(values, gradient, rate)


class Momentum:
    """Exponentially decaying sum of gradients (Polyak 1964); `nesterov` looks ahead (Sutskever et al. 2013)."""

    n_state = 1

    def __init__(self, momentum: float, nesterov: bool) -> None:
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, values: Tensor, gradient: Tensor, state: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        [velocity] = state
        velocity.mul_(self.momentum).add_(gradient)
        _descend(values, gradient.add_(velocity, alpha=self.momentum) if self.nesterov else velocity, rate)


class RMSProp:
    """Gradient over the root of an exponential moving average of its square (Tieleman and Hinton 2012)."""

    n_state = 1

    def update(self, values: Tensor, gradient: Tensor, state: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        [squares] = state
        squares.mul_(RMSPROP_DECAY).addcmul_(gradient, gradient, value=1 - RMSPROP_DECAY)
        _descend(values, gradient.div_(squares.sqrt().add_(EPSILON)), rate)


class AdaGrad:
    """Gradient over the root of the sum of its squares so far (Duchi, Hazan and Singer 2011)."""

    n_state = 1

    def update(self, values: Tensor, gradient: Tensor, state: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        [squares] = state
        squares.addcmul_(gradient, gradient)
        _descend(values, gradient.div_(squares.sqrt().add_(EPSILON)), rate)


class Adam:
    """Bias-corrected first over root of second moment of the gradient (Kingma and Ba 2015)."""

    n_state = 2

    def __init__(self) -> None:
        self.fused = _has_fused_kernel()

    def update(self, values: Tensor, gradient: Tensor, state: Sequence[Tensor], rate: Rate, count: Tensor) -> None:
        first, second = state
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


class Optimiser:
    """One update step per call: penalties and clipping on the gradients, then the update rule, group by group.

    In a `RowParameter` the rows that a step does not use keep their values and their moments; penalties do not act on
    them either (lazy updates). With "adamw" the L2 penalty is decoupled from the gradient (Loshchilov and Hutter, ICLR
    2019), as the penalty towards an anchor is with all solvers. `clip_norm` bounds the Euclidean norm of all gradients
    together, `clip_value` the magnitude of their entries.
    """

    def __init__(
        self,
        buffers: Sequence[FlatBuffer],
        solver: str,
        *,
        momentum: float = 0.9,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.buffers, self.solver, self.clip_norm, self.clip_value = buffers, solver, clip_norm, clip_value
        self.rule = _make_rule(solver, momentum)
        self.states = [[_zeros(buffer) for _ in range(self.rule.n_state)] for buffer in buffers]
        self.counts = [torch.zeros((), device=buffer.values.device) for buffer in buffers]
        self.frozen = [False] * len(buffers)

    def freeze(self, epoch: int) -> None:
        """Freeze and unfreeze groups for an epoch."""
        self.frozen = [buffer.freeze(epoch) for buffer in self.buffers]

    def step(self, rate: Rate) -> None:
        """Update all groups that are not frozen."""
        active = [position for position, frozen in enumerate(self.frozen) if not frozen]
        if self.clip_norm is not None or self.clip_value is not None:
            self._clip([self.buffers[position] for position in active])
        for position in active:
            buffer, state, count = self.buffers[position], self.states[position], self.counts[position]
            scale = buffer.group.learning_rate_scale
            count.add_(1)
            if buffer.row_parameter is None:
                self._step_flat(buffer, state, rate * scale if scale != 1 else rate, count)
            else:
                self._step_rows(buffer, buffer.row_parameter, state, rate * scale if scale != 1 else rate, count)

    def read(self) -> list[np.ndarray]:
        """Return the optimiser state: for each group the number of steps and the tensors of the rule."""
        return [tensor.cpu().numpy().copy() for tensor in self._tensors()]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Continue from a state that `read` returned; from zero if it is that of another solver."""
        tensors = self._tensors()
        if [tuple(tensor.shape) for tensor in tensors] != [array.shape for array in state]:
            return
        for tensor, array in zip(tensors, state, strict=True):
            tensor.copy_(torch.from_numpy(np.array(array)))

    def _tensors(self) -> list[Tensor]:
        return [part for count, state in zip(self.counts, self.states, strict=True) for part in (count, *state)]

    def _step_flat(self, buffer: FlatBuffer, state: list[Tensor], rate: Rate, count: Tensor) -> None:
        self._penalise(buffer, buffer.weights, buffer.gradient_of_weights, buffer.anchor, rate)
        self.rule.update(buffer.values, buffer.gradient, state, rate, count)
        if buffer.mask is not None:
            buffer.weights.mul_(buffer.mask)

    def _step_rows(
        self, buffer: FlatBuffer, matrix: RowParameter, state: list[Tensor], rate: Rate, count: Tensor
    ) -> None:
        rows, values = matrix.rows, matrix.gathered
        in_array = rows.clamp_max(matrix.n_rows - 1)  # padding is one row beyond
        anchor = None if buffer.anchor is None else buffer.anchor.index_select(0, in_array)
        self._penalise(buffer, values, matrix.gradient, anchor, rate)
        gathered = [tensor.index_select(0, rows) for tensor in state]
        self.rule.update(values, matrix.gradient, gathered, rate, count)
        if buffer.mask is not None:
            values.mul_(buffer.mask.index_select(0, in_array))
        _put_rows(matrix.storage, rows, values)
        for tensor, part in zip(state, gathered, strict=True):
            _put_rows(tensor, rows, part)

    def _penalise(
        self, buffer: FlatBuffer, weights: Tensor, gradient: Tensor, anchor: Tensor | None, rate: Rate
    ) -> None:
        alpha, strength = buffer.group.alpha, buffer.group.anchor_strength
        if alpha and self.solver == "adamw":
            weights.mul_(1 - rate * alpha)
        elif alpha:
            gradient.add_(weights, alpha=alpha)
        if anchor is not None:  # not added to the gradient: Adam normalises that, which would cancel the strength
            weights.lerp_(anchor, rate * strength / (1 + rate * strength))

    def _clip(self, buffers: list[FlatBuffer]) -> None:
        gradients = [buffer.gradient if buffer.row_parameter is None else buffer.row_parameter.gradient
                     for buffer in buffers]  # fmt: skip
        if self.clip_value is not None:
            for gradient in gradients:
                gradient.clamp_(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
            factor = (self.clip_norm / torch.linalg.vector_norm(norms).clamp_min(1e-12)).clamp_max(1.0)
            for gradient in gradients:
                gradient.mul_(factor)


def _make_rule(solver: str, momentum: float) -> UpdateRule:
    """Return the update rule of a solver."""
    if solver in ("momentum", "nesterov"):
        return Momentum(momentum, solver == "nesterov")
    if solver in ("gd", "sgd"):
        return GradientDescent()
    rules: dict[str, Callable[[], UpdateRule]] = {"rmsprop": RMSProp, "adagrad": AdaGrad, "adam": Adam, "adamw": Adam}
    return rules[solver]()


def _descend(values: Tensor, direction: Tensor, rate: Rate) -> None:
    if isinstance(rate, Tensor):
        values.addcmul_(direction, rate, value=-1)
    else:
        values.add_(direction, alpha=-rate)


def _put_rows(matrix: Tensor, rows: Tensor, part: Tensor) -> None:
    """Write rows of a matrix; if a row occurs several times, any one of its values is kept."""
    if matrix.is_cuda:
        matrix.index_copy_(0, rows, part)
    else:  # NumPy takes half of torch's time
        matrix.numpy()[rows.numpy()] = part.numpy()


def _zeros(buffer: FlatBuffer) -> Tensor:
    like = buffer.values if buffer.row_parameter is None else buffer.row_parameter.storage
    if like.is_cuda:
        return torch.zeros_like(like)
    dtype = np.float32 if like.dtype == torch.float32 else np.float64
    return torch.from_numpy(np.zeros(like.shape, dtype))  # rows that are never used take no memory


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
