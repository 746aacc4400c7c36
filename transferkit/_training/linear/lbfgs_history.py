"""The history of L-BFGS for many problems, in the compact form: few large products instead of two loops of small ones.

With steps S and changes of the gradient Y as columns, R the upper triangle and D the diagonal of S.T @ Y, and H0 the
inverse of an approximate Hessian, the inverse Hessian of L-BFGS is (Byrd, Nocedal and Schnabel 1994, theorem 2.2)

    H g = H0 (g - Y p) + S q,    p = R^-1 S.T g,    q = R^-T ((D + Y.T H0 Y) p - Y.T H0 g).
"""

import copy
from typing import Self

import torch
from torch import Tensor

from transferkit._training.linear.preconditioning import Hessian, Vector

__all__ = ["LBFGSHistory", "solve_hessian"]

MAX_BATCHED_ENTRIES = 30_000  # of a matrix that a CPU multiplies by torch.bmm


class LBFGSHistory:
    """The last steps and changes of the gradient of n_problems problems, as arrays (n_problems, size, length).

    A Hessian that is None (the identity) or a `BlockHessian` stays the same for all steps, and the products with its
    inverse are kept; a diagonal may change with every step.
    """

    def __init__(self, size: int) -> None:
        self.size, self.count = size, 0

    def add(self, step: Vector, change: Vector, hessian: Hessian | None) -> None:
        """Store a step and the change of the gradient along it in place of the oldest."""
        if self.count == 0:
            self._allocate(step, hessian)
        place = self.count % self.size
        self.count += 1
        used = slice(0, min(self.count, self.size))
        for kept, vector in ((self.steps, step), (self.changes, change)):
            kept.coords[:, place] = flatten(vector.coords)
            if kept.image is not kept.coords:
                kept.image[:, place] = flatten(vector.image)
        image = flatten(change.image)
        self.triangle[:, place] = 0  # R has no products of a step with changes that are older
        self.triangle[:, used, place] = multiply(self.steps.coords[:, used], image)
        squares = multiply(self.changes.coords[:, used], image)
        self.usable[:, place] = (self.triangle[:, place, place] > 0) & (squares[:, place] > 0)
        if isinstance(hessian, Tensor):
            return
        if hessian is not None:
            self.solved[:, place] = flatten(hessian.solve(change).coords)
            squares = multiply(self.changes.coords[:, used], self.solved[:, place])
        self.squares[:, used, place] = squares
        self.squares[:, place, used] = squares

    def find_direction(self, gradient: Vector, hessian: Hessian | None) -> Vector:
        """Return the inverse Hessian times the gradient (to be subtracted)."""
        if self.count == 0:
            return solve_hessian(hessian, gradient)
        used = slice(0, min(self.count, self.size))
        steps, changes = (kept.map(lambda part: part[:, used]) for kept in (self.steps, self.changes))
        flat = flatten(gradient.image)
        if isinstance(hessian, Tensor):
            solved = changes.coords / flatten(hessian.expand(gradient.coords.shape))[:, None]
            squares = multiply_batches(solved, changes.coords.mT).double()
        else:
            solved, squares = self.solved[:, used], self.squares[:, used, used]
        scale, p, q = self._solve(multiply(steps.coords, flat), multiply(solved, flat), squares)
        shape = gradient.coords.shape
        rest = gradient.plus(-torch.ones_like(p[:, 0]), combine(changes, p, shape))
        first = solve_hessian(hessian, rest).scaled(scale)
        return first.plus(torch.ones_like(scale), combine(steps, q, shape))

    def forget(self, problems: Tensor) -> None:
        """Leave out the steps of the problems for which the mask (n_problems,) is true."""
        if self.count:
            self.usable &= ~problems[:, None]

    def select(self, problems: Tensor) -> Self:
        """Return the history of some of the problems."""
        part = copy.copy(self)
        if self.count:
            part.steps, part.changes = (kept.map(lambda rows: rows[problems]) for kept in (self.steps, self.changes))
            part.solved = part.changes.coords if self.solved is self.changes.coords else self.solved[problems]
            part.triangle, part.squares = self.triangle[problems], self.squares[problems]
            part.usable = self.usable[problems]
        return part

    def _allocate(self, like: Vector, hessian: Hessian | None) -> None:
        n_variables, n_problems, n_outputs = like.coords.shape
        shape = (n_problems, self.size, n_variables * n_outputs)
        self.steps, self.changes = (like.map(lambda part: part.new_empty(shape)) for _ in range(2))
        self.solved = self.changes.coords  # H0 @ Y, unless H0 is a changing diagonal
        if hessian is not None and not isinstance(hessian, Tensor):
            self.solved = torch.empty_like(self.solved)
        self.triangle = like.coords.new_zeros(n_problems, self.size, self.size, dtype=torch.float64)  # R
        self.squares = torch.zeros_like(self.triangle)  # Y.T @ H0 @ Y, unless H0 is a changing diagonal
        self.usable = torch.zeros_like(self.triangle[:, 0], dtype=torch.bool)

    def _solve(self, on_steps: Tensor, on_changes: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scale of H0, p and q, (n_problems,) and twice (n_problems, n_used), in the vectors' type.

        R is triangular in the order of time but stored in the order of places, so it is inverted as a general matrix.
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


def solve_hessian(hessian: Hessian | None, vector: Vector) -> Vector:
    """Return the inverse of an approximate Hessian, None for the identity, times the vector."""
    if hessian is None:
        return vector
    if not isinstance(hessian, Tensor):
        return hessian.solve(vector)
    coords = vector.coords / hessian  # a diagonal is known only if the image of a vector is the vector itself
    return Vector(coords, coords)


def flatten(part: Tensor) -> Tensor:
    """Return (n_variables, n_problems, n_outputs) as one row per problem."""
    return part.transpose(0, 1).reshape(part.shape[1], -1)


def multiply(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the inner products of vectors (n_problems, n, length) with one per problem, in float64."""
    return multiply_batches(rows, vector[:, :, None])[:, :, 0].double()


def combine(stored: Vector, factors: Tensor, shape: torch.Size) -> Vector:
    """Return the combination of stored vectors with factors (n_problems, n), in the shape of a vector."""
    n_variables, n_problems, n_outputs = shape

    def add_up(part: Tensor) -> Tensor:
        total = multiply_batches(part.mT, factors[:, :, None])
        return total.view(n_problems, n_variables, n_outputs).transpose(0, 1)

    return stored.map(add_up)


def multiply_batches(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product of each problem; large ones on a CPU in a loop, ten times faster than torch.bmm."""
    if left.device.type != "cpu" or left.shape[1] * left.shape[2] < MAX_BATCHED_ENTRIES:
        return torch.bmm(left, right)
    product = left.new_empty(len(left), left.shape[1], right.shape[2])
    for a, b, out in zip(left, right, product, strict=True):
        if right.shape[2] == 1:
            torch.mv(a, b[:, 0], out=out[:, 0])
        else:
            torch.mm(a, b, out=out)
    return product
