"""What L-BFGS remembers of many problems, in the compact form: few large products instead of two loops of small ones.

With steps S and changes of the gradient Y as columns, R the upper triangle and D the diagonal of S.T @ Y, and a first
guess H0 of the inverse Hessian, the inverse Hessian of L-BFGS is (Byrd, Nocedal and Schnabel 1994, theorem 2.2)

    H g = H0 (g - Y p) + S q,    p = R^-1 S.T g,    q = R^-T ((D + Y.T H0 Y) p - Y.T H0 g).
"""

import copy
from typing import Self

import torch
from torch import Tensor

from transferkit._training.coordinates import Hessian, Vector

__all__ = ["History"]


class History:
    """The last steps and changes of n_problems problems, each vector in a row: (n_problems, memory, length)."""

    def __init__(self, memory: int) -> None:
        self.memory, self.count = memory, 0

    def add(self, step: Vector, change: Vector, hessian: Tensor | Hessian | None) -> None:
        """Remember a step and the change of the gradient along it in the place of the oldest."""
        if self.count == 0:
            self._allocate(step, hessian)
        slot = self.count % self.memory
        self.count += 1
        used = slice(0, min(self.count, self.memory))
        for stored, part in zip((*self.steps, *self.changes), (*step, *change), strict=True):
            stored[:, slot] = flatten(part)
            if step.image is step.coords:
                break
        if step.image is step.coords:
            self.changes.coords[:, slot] = flatten(change.coords)
        image = flatten(change.image)
        self.cross[:, used, slot] = multiply(self.steps.coords[:, used], image)
        squares = multiply(self.changes.coords[:, used], image)
        self.usable[:, slot] = (self.cross[:, slot, slot] > 0) & (squares[:, slot] > 0)
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
        used = slice(0, min(self.count, self.memory))
        steps, changes = (Vector(*(part[:, used] for part in kept)) for kept in (self.steps, self.changes))
        flat = flatten(gradient.image)
        on_steps = multiply(steps.coords, flat)
        if hessian is None:
            squares, on_changes = self.squares[:, used, used], multiply(changes.coords, flat)
        elif isinstance(hessian, Tensor):
            diagonal = flatten(hessian.expand(gradient.coords.shape))
            divided = changes.coords / diagonal[:, None]
            squares = torch.bmm(divided, changes.coords.mT).double()
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
        """Return the history of some of the problems."""
        part = copy.copy(self)
        if self.count:
            part.steps, part.changes = (
                share(*(kept[problems] for kept in (pair if pair.image is not pair.coords else pair[:1])))
                for pair in (self.steps, self.changes)
            )
            part.cross, part.squares = self.cross[problems], self.squares[problems]
            part.usable, part.solved = self.usable[problems], self.solved[problems]
        return part

    def _allocate(self, like: Vector, hessian: Tensor | Hessian | None) -> None:
        n_coordinates, n_problems, n_outputs = like.coords.shape
        shape = (n_problems, self.memory, n_coordinates * n_outputs)
        one = like.image is like.coords
        self.steps, self.changes = (
            share(*(like.coords.new_empty(shape) for _ in range(1 if one else 2))) for _ in range(2)
        )
        self.solved = like.coords.new_empty(shape if isinstance(hessian, Hessian) else (n_problems, 0, 0))
        self.cross = like.coords.new_zeros(n_problems, self.memory, self.memory, dtype=torch.float64)
        self.squares = torch.zeros_like(self.cross)  # Y.T @ H0 @ Y, where H0 stays the same
        self.usable = torch.zeros_like(self.cross[:, 0], dtype=torch.bool)

    def _set_square(self, slot: int, used: slice, values: Tensor) -> None:
        self.squares[:, used, slot] = values
        self.squares[:, slot, used] = values

    def _solve(self, on_steps: Tensor, on_changes: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scale of H0, p and q, (n_problems,) and twice (n_problems, n_used), in the vectors' type."""
        n_used, slot = on_steps.shape[1], (self.count - 1) % self.memory
        order = [(slot + 1 + i) % n_used for i in range(n_used)]  # from the oldest to the newest
        mask = self.usable[:, order].double()
        both = mask[:, :, None] * mask[:, None]
        cross = self.cross[:, order][:, :, order] * both
        squares = squares[:, order][:, :, order] * both
        left, right = on_steps[:, order] * mask, on_changes[:, order] * mask
        size = squares[:, -1, -1]
        scale = torch.where(size > 0, cross[:, -1, -1] / size.clamp_min(torch.finfo(size.dtype).tiny), 1.0)
        triangle = cross.triu() + torch.diag_embed(1 - mask)  # rows left out become the identity's
        p = torch.linalg.solve_triangular(triangle, left[:, :, None], upper=True)
        inner = torch.diagonal(triangle, dim1=1, dim2=2)[:, :, None] * p
        inner = inner + scale[:, None, None] * (torch.bmm(squares, p) - right[:, :, None])
        q = torch.linalg.solve_triangular(triangle.mT, inner, upper=False)
        back = sorted(range(n_used), key=order.__getitem__)
        dtype = self.steps.coords.dtype
        return scale.to(dtype), p[:, back, 0].to(dtype), q[:, back, 0].to(dtype)


def share(coords: Tensor, image: Tensor | None = None) -> Vector:
    """Return a vector whose image is itself unless another is given."""
    return Vector(coords, coords if image is None else image)


def flatten(part: Tensor) -> Tensor:
    """Return (n_coordinates, n_problems, n_outputs) as one row a problem."""
    return part.transpose(0, 1).reshape(part.shape[1], -1)


def multiply(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the inner products of vectors (n_problems, n, length) with one a problem, in float64."""
    return torch.bmm(rows, vector[:, :, None])[:, :, 0].double()


def combine(stored: Vector, factors: Tensor, shape: torch.Size) -> Vector:
    """Return the combination of stored vectors with factors (n_problems, n), in the shape of a vector."""
    n_coordinates, n_problems, n_outputs = shape
    parts = stored[:1] if stored.image is stored.coords else stored
    combined = (torch.bmm(factors[:, None], part).view(n_problems, n_coordinates, n_outputs) for part in parts)
    return share(*(part.transpose(0, 1) for part in combined))
