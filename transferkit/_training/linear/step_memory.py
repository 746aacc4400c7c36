"""What L-BFGS remembers of many problems, in the compact form: few large products instead of two loops of small ones.

With steps S and changes of the gradient Y as columns, R the upper triangle and D the diagonal of S.T @ Y, and a first
guess H0 of the inverse Hessian, the inverse Hessian of L-BFGS is (Byrd, Nocedal and Schnabel 1994, theorem 2.2)

    H g = H0 (g - Y p) + S q,    p = R^-1 S.T g,    q = R^-T ((D + Y.T H0 Y) p - Y.T H0 g).
"""

import copy
from typing import Self

import torch
from torch import Tensor

from transferkit._training.linear.coordinates import Hessian, Vector

__all__ = ["StepMemory"]

SMALL_MATRIX = 30_000  # entries


class StepMemory:
    """The last steps and changes of n_problems problems, each vector in a row: (n_problems, size, length)."""

    def __init__(self, size: int) -> None:
        self.size, self.count = size, 0

    def add(self, step: Vector, change: Vector, hessian: Tensor | Hessian | None) -> None:
        """Remember a step and the change of the gradient along it in the place of the oldest."""
        if self.count == 0:
            self._allocate(step, hessian)
        slot = self.count % self.size
        self.count += 1
        used = slice(0, min(self.count, self.size))
        for kept, vector in ((self.steps, step), (self.changes, change)):
            kept.coords[:, slot] = flatten(vector.coords)
            if kept.image is not kept.coords:
                kept.image[:, slot] = flatten(vector.image)
        image = flatten(change.image)
        self.triangle[:, slot] = 0  # steps that are newer than a change have no part in R
        self.triangle[:, used, slot] = multiply(self.steps.coords[:, used], image)
        squares = multiply(self.changes.coords[:, used], image)
        self.usable[:, slot] = (self.triangle[:, slot, slot] > 0) & (squares[:, slot] > 0)
        if hessian is None:
            self._set_square(slot, used, squares)
        elif not isinstance(hessian, Tensor):
            solved = flatten(hessian.solve(change).coords)
            self.solved[:, slot] = solved
            self._set_square(slot, used, multiply(self.changes.coords[:, used], solved))

    def find_direction(self, gradient: Vector, hessian: Tensor | Hessian | None) -> Vector:
        """Return the inverse Hessian times the gradient (to be subtracted)."""
        if self.count == 0:
            return gradient if hessian is None else gradient.divide(hessian)
        used = slice(0, min(self.count, self.size))
        steps, changes = (kept.map(lambda part: part[:, used]) for kept in (self.steps, self.changes))
        flat = flatten(gradient.image)
        on_steps = multiply(steps.coords, flat)
        if hessian is None:
            squares, on_changes = self.squares[:, used, used], multiply(changes.coords, flat)
        elif isinstance(hessian, Tensor):
            diagonal = flatten(hessian.expand(gradient.coords.shape))
            divided = changes.coords / diagonal[:, None]
            squares = multiply_batches(divided, changes.coords.mT).double()
            on_changes = multiply(divided, flat)
        else:
            squares, on_changes = self.squares[:, used, used], multiply(self.solved[:, used], flat)
        scale, p, q = self._solve(on_steps, on_changes, squares)
        shape = gradient.coords.shape
        rest = gradient.plus(-torch.ones_like(p[:, 0]), combine(changes, p, shape))
        first = (rest if hessian is None else rest.divide(hessian)).times(scale)
        return first.plus(torch.ones_like(scale), combine(steps, q, shape))

    def forget(self, problems: Tensor) -> None:
        """Forget the steps of the problems where the mask (n_problems,) is true."""
        if self.count:
            self.usable &= ~problems[:, None]

    def select(self, problems: Tensor) -> Self:
        """Return the memory of some of the problems."""
        part = copy.copy(self)
        if self.count:
            part.steps, part.changes = (kept.map(lambda rows: rows[problems]) for kept in (self.steps, self.changes))
            part.triangle, part.squares = self.triangle[problems], self.squares[problems]
            part.usable, part.solved = self.usable[problems], self.solved[problems]
        return part

    def _allocate(self, like: Vector, hessian: Tensor | Hessian | None) -> None:
        n_coordinates, n_problems, n_outputs = like.coords.shape
        shape = (n_problems, self.size, n_coordinates * n_outputs)
        self.steps, self.changes = (like.map(lambda part: part.new_empty(shape)) for _ in range(2))
        self.solved = like.coords.new_empty(shape if isinstance(hessian, Hessian) else (n_problems, 0, 0))
        self.triangle = like.coords.new_zeros(n_problems, self.size, self.size, dtype=torch.float64)  # R
        self.squares = torch.zeros_like(self.triangle)  # Y.T @ H0 @ Y, where H0 stays the same
        self.usable = torch.zeros_like(self.triangle[:, 0], dtype=torch.bool)

    def _set_square(self, slot: int, used: slice, values: Tensor) -> None:
        self.squares[:, used, slot] = values
        self.squares[:, slot, used] = values

    def _solve(self, on_steps: Tensor, on_changes: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scale of H0, p and q, (n_problems,) and twice (n_problems, n_used), in the vectors' type.

        R is triangular in the order of time and is kept in the order of places, so it is inverted as any matrix.
        """
        n_used, newest = on_steps.shape[1], (self.count - 1) % self.size
        mask = self.usable[:, :n_used].double()
        triangle = self.triangle[:, :n_used, :n_used]
        diagonal = torch.diagonal(triangle, dim1=1, dim2=2)
        size = squares[:, newest, newest] * mask[:, newest]
        scale = torch.where(size > 0, diagonal[:, newest] / size.clamp_min(torch.finfo(size.dtype).tiny), 1.0)
        both = mask[:, :, None] * mask[:, None]
        inverse = torch.linalg.inv_ex(triangle * both + torch.diag_embed(1 - mask)).inverse  # left out: the identity
        p = torch.bmm(inverse, (on_steps * mask)[:, :, None])
        inner = torch.bmm(squares * both, p) - (on_changes * mask)[:, :, None]
        inner = (diagonal * mask)[:, :, None] * p + scale[:, None, None] * inner
        q = torch.bmm(inverse.mT, inner)
        dtype = self.steps.coords.dtype
        return scale.to(dtype), p[:, :, 0].to(dtype), q[:, :, 0].to(dtype)


def flatten(part: Tensor) -> Tensor:
    """Return (n_coordinates, n_problems, n_outputs) as one row a problem."""
    return part.transpose(0, 1).reshape(part.shape[1], -1)


def multiply(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the inner products of vectors (n_problems, n, length) with one a problem, in float64."""
    return multiply_batches(rows, vector[:, :, None])[:, :, 0].double()


def combine(stored: Vector, factors: Tensor, shape: torch.Size) -> Vector:
    """Return the combination of stored vectors with factors (n_problems, n), in the shape of a vector."""
    n_coordinates, n_problems, n_outputs = shape

    def add_up(part: Tensor) -> Tensor:
        total = multiply_batches(part.mT, factors[:, :, None])
        return total.view(n_problems, n_coordinates, n_outputs).transpose(0, 1)

    return stored.map(add_up)


def multiply_batches(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product of each problem; large ones on a CPU one by one, ten times faster than torch.bmm."""
    if left.device.type != "cpu" or left.shape[1] * left.shape[2] < SMALL_MATRIX:
        return torch.bmm(left, right)
    product = left.new_empty(len(left), left.shape[1], right.shape[2])
    for a, b, out in zip(left, right, product, strict=True):
        if right.shape[2] == 1:
            torch.mv(a, b[:, 0], out=out[:, 0])
        else:
            torch.mm(a, b, out=out)
    return product
