"""Coordinates in which a penalised linear problem is nearly round, so that L-BFGS needs few steps.

Both kinds hold the weights of n_problems problems at once, as (n_coordinates, n_problems, n_outputs), the
intercept last. A vector is a pair (coords, image) whose inner product is <a, b> = sum(a.coords * b.image).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from transferkit._training.linear.features import Features, Kernel

__all__ = ["BlockBasis", "Coordinates", "DualCoordinates", "Hessian", "MixedCoordinates", "Vector", "WhiteCoordinates"]


class Vector(NamedTuple):
    """A point, a gradient or a direction."""

    coords: Tensor
    image: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Vector":
        """Return the vector of what a function makes of both parts, asked once where they are the same tensor."""
        coords = function(self.coords)
        return Vector(coords, coords if self.image is self.coords else function(self.image))

    def dot(self, other: "Vector") -> Tensor:
        """Return the inner product of each problem, (n_problems,)."""
        return (self.coords * other.image).sum((0, 2))

    def plus(self, factor: Tensor, other: "Vector") -> "Vector":
        """Return self + factor * other, one factor a problem."""
        coords = torch.addcmul(self.coords, factor[:, None], other.coords)
        if self.image is self.coords:
            return Vector(coords, coords)
        return Vector(coords, torch.addcmul(self.image, factor[:, None], other.image))

    def times(self, factor: Tensor) -> "Vector":
        """Return factor * self, one factor a problem."""
        return self.map(lambda part: part * factor[:, None])

    def divide(self, hessian: "Tensor | Hessian") -> "Vector":
        """Return the vector over a diagonal or another Hessian, in coordinates whose image is the vector itself."""
        if not isinstance(hessian, Tensor):
            return hessian.solve(self)
        coords = self.coords / hessian
        return Vector(coords, coords)

    def select(self, problems: Tensor) -> "Vector":
        """Return the vector of some of the problems."""
        return self.map(lambda part: part[:, problems])


@runtime_checkable
class Hessian(Protocol):
    """A guess of the Hessian that is more than a diagonal."""

    def solve(self, vector: Vector) -> Vector:
        """Return the inverse Hessian times the vector."""


class Coordinates(Protocol):
    """What the solver asks of a system of coordinates."""

    memory: int  # steps that L-BFGS remembers

    def zeros(self, n_outputs: int) -> Vector:
        """Return the vector of weights that are all zero."""

    def scores(self, vector: Vector) -> Tensor:
        """Return the scores of all rows, (n_rows, n_problems, n_outputs)."""

    def gradient(self, point: Vector, residuals: Tensor) -> Vector:
        """Return the gradient of loss and penalty."""

    def guess_hessian(self, curvature: Tensor) -> Tensor | Hessian | None:
        """Return the Hessian, or its diagonal, at a mean curvature (n_problems,) of the loss, if it is known."""

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        """Return C / 2 ||gradient||^2: the penalty alone curves by 1 / C, so no more than this is left to gain.

        The free intercept enters with the mean curvature of the loss, which makes this an estimate where an outlier
        ties the intercept to weights.
        """

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        """Return <weights of left, weights of right> / C of each problem in float64."""

    def transfer(self, vector: Vector, origin: Any) -> Vector:
        """Return the same weights as the vector in other coordinates of the same kind."""

    def select(self, problems: Tensor) -> Self:
        """Return the coordinates of some of the problems."""


class WhiteCoordinates:
    """Weights W = basis @ (scale * u): the Hessian's bound is the identity in u.

    The columns of the basis are the eigenvectors of the Gram matrix (with `basis=None` the unit vectors), so
    one decomposition serves every C and every fold: scale = 1 / sqrt(curvature * eigenvalue + 1 / C).
    """

    memory = 30  # vectors are short, and weak penalties need a third fewer steps than with 10

    def __init__(
        self, features: Features, basis: "Tensor | BlockBasis | None", scale: Tensor, C: Tensor, bound: float
    ) -> None:
        self.features, self.basis, self.scale, self.C = features, basis, scale, C
        self.loss_curvature = bound
        self.has_intercept = scale.shape[0] > (features.n_columns if basis is None else basis.shape[1])

    def zeros(self, n_outputs: int) -> Vector:
        zeros = self.scale.new_zeros(*self.scale.shape[:2], n_outputs)
        return Vector(zeros, zeros)

    def start(self, weights: Tensor, intercepts: Tensor) -> Vector:
        """Return the vector of weights (n_features, n_problems, n_outputs) and intercepts."""
        rotated = self.rotate(weights)
        coords = torch.cat([rotated, intercepts[None]]) if self.has_intercept else rotated
        coords = coords / self.scale
        return Vector(coords, coords)

    def rotate(self, weights: Tensor) -> Tensor:
        """Return weights (n_features, n_problems, n_outputs) along the columns of the basis."""
        return weights if self.basis is None else multiply(self.basis.T, weights)

    def weights(self, vector: Vector) -> tuple[Tensor, Tensor]:
        """Return weights (n_features, n_problems, n_outputs) and intercepts (n_problems, n_outputs)."""
        coords = self.scale * vector.coords
        inner = coords[:-1] if self.has_intercept else coords
        intercepts = coords[-1] if self.has_intercept else torch.zeros_like(coords[0])
        return inner if self.basis is None else multiply(self.basis, inner), intercepts

    def scores(self, vector: Vector) -> Tensor:
        weights, intercepts = self.weights(vector)
        scores = self.features.times(weights.flatten(1)).view(-1, *weights.shape[1:])
        return scores.add_(intercepts) if self.has_intercept else scores

    def gradient(self, point: Vector, residuals: Tensor) -> Vector:
        gradient = self.rotate(self.features.transposed_times(residuals.flatten(1)).view(-1, *residuals.shape[1:]))
        inner = len(gradient)
        gradient = torch.addcdiv(gradient, (self.scale * point.coords)[:inner], self.C[:, None])
        if self.has_intercept:
            gradient = torch.cat([gradient, residuals.sum(0, keepdim=True)])
        coords = self.scale * gradient
        return Vector(coords, coords)

    def guess_hessian(self, curvature: Tensor) -> Tensor | Hessian | None:
        share = (curvature / self.loss_curvature)[:, None]
        ridge = self.scale.square() / self.C[:, None]  # the penalty's part of the bound, which is 1 in all
        if self.has_intercept:
            ridge[-1] = 0
        return share * (1 - ridge) + ridge

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        inner = -1 if self.has_intercept else None
        gap = (gradient.coords[:inner] / self.scale[:inner]).square().sum((0, 2), dtype=torch.float64) * self.C / 2
        if self.has_intercept:
            gap += gradient.coords[-1].square().sum(1) * self.loss_curvature / (2 * curvature)
        return gap

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        inner = -1 if self.has_intercept else None
        product = self.scale[:inner].square() * left.coords[:inner] * right.coords[:inner]
        return product.sum((0, 2), dtype=torch.float64) / self.C

    def transfer(self, vector: Vector, origin: "WhiteCoordinates") -> Vector:
        coords = vector.coords * (origin.scale / self.scale)
        return Vector(coords, coords)

    def select(self, problems: Tensor) -> Self:
        return type(self)(self.features, self.basis, self.scale[:, problems], self.C[problems], self.loss_curvature)


class DualCoordinates:
    """Weights W = X.T @ A, one row of A a row of X (the representer theorem).

    With fewer rows than features a step costs two products with X and none in the space of features; the
    image K @ A of a vector gives its scores, so the line search and all inner products are free of X.
    """

    memory = 8  # vectors are as long as there are rows, and more memory saved no steps on text

    def __init__(self, kernel: Kernel, C: Tensor, scale: Tensor, totals: Tensor, has_intercept: bool) -> None:
        self.kernel, self.C, self.scale, self.totals = kernel, C, scale, totals
        self.has_intercept = has_intercept

    def zeros(self, n_outputs: int) -> Vector:
        shape = (self.kernel.n_rows + self.has_intercept, len(self.C), n_outputs)
        return Vector(self.scale.new_zeros(shape), self.scale.new_zeros(shape))

    def start(self, dual: Tensor, intercepts: Tensor) -> Vector:
        """Return the vector of dual weights (n_rows, n_problems, n_outputs) and intercepts."""
        return self._vector(dual, intercepts / self.scale[:, None])

    def weights(self, vector: Vector) -> tuple[Tensor, Tensor]:
        """Return dual weights (n_rows, n_problems, n_outputs) and intercepts (n_problems, n_outputs)."""
        if not self.has_intercept:
            return vector.coords, torch.zeros_like(vector.coords[0])
        return vector.coords[:-1], vector.coords[-1] * self.scale[:, None]

    def scores(self, vector: Vector) -> Tensor:
        if not self.has_intercept:
            return vector.image
        return vector.image[:-1] + vector.image[-1] * self.scale[:, None]

    def gradient(self, point: Vector, residuals: Tensor) -> Vector:
        dual = point.coords[:-1] if self.has_intercept else point.coords
        gradient = torch.addcdiv(residuals, dual, self.C[:, None])
        return self._vector(gradient, residuals.sum(0) * self.scale[:, None])

    def guess_hessian(self, curvature: Tensor) -> Tensor | None:
        return None

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        inner = -1 if self.has_intercept else None
        gap = (gradient.coords[:inner] * gradient.image[:inner]).sum((0, 2), dtype=torch.float64) * self.C / 2
        if self.has_intercept:
            squares = (gradient.coords[-1] / self.scale[:, None]).square().sum(1)
            gap += squares / (2 * curvature * self.totals)
        return gap

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        inner = -1 if self.has_intercept else None
        return (left.coords[:inner] * right.image[:inner]).sum((0, 2), dtype=torch.float64) / self.C

    def transfer(self, vector: Vector, origin: "DualCoordinates") -> Vector:
        if not self.has_intercept:
            return vector
        last = vector.coords[-1:] * (origin.scale / self.scale)[:, None]
        return Vector(*(torch.cat([part[:-1], last]) for part in vector))

    def select(self, problems: Tensor) -> Self:
        parts = (self.C[problems], self.scale[problems], self.totals[problems])
        return type(self)(self.kernel, *parts, self.has_intercept)

    def _vector(self, dual: Tensor, last: Tensor) -> Vector:
        image = self.kernel.times(dual.flatten(1)).view_as(dual)
        if not self.has_intercept:
            return Vector(dual, image)
        return Vector(torch.cat([dual, last[None]]), torch.cat([image, last[None]]))


class MixedCoordinates:
    """Dense blocks in white coordinates above sparse ones in the dual, which holds the intercept.

    The white coordinates are rescaled so that steps in both kinds are of one size.
    """

    memory = 12

    def __init__(self, white: WhiteCoordinates, dual: DualCoordinates) -> None:
        self.white, self.dual, self.C = white, dual, dual.C
        self.sizes = [white.scale.shape[0], dual.kernel.n_rows + dual.has_intercept]

    def zeros(self, n_outputs: int) -> Vector:
        return join(self.white.zeros(n_outputs), self.dual.zeros(n_outputs))

    def scores(self, vector: Vector) -> Tensor:
        white, dual = self.split(vector)
        return self.dual.scores(dual) + self.white.scores(white)

    def gradient(self, point: Vector, residuals: Tensor) -> Vector:
        white, dual = self.split(point)
        return join(self.white.gradient(white, residuals), self.dual.gradient(dual, residuals))

    def guess_hessian(self, curvature: Tensor) -> Tensor | None:
        return None

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        white, dual = self.split(gradient)
        return self.white.bound_gap(white, curvature) + self.dual.bound_gap(dual, curvature)

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        (white, dual), (other_white, other_dual) = self.split(left), self.split(right)
        return self.white.penalty(white, other_white) + self.dual.penalty(dual, other_dual)

    def transfer(self, vector: Vector, origin: "MixedCoordinates") -> Vector:
        white, dual = self.split(vector)
        return join(self.white.transfer(white, origin.white), self.dual.transfer(dual, origin.dual))

    def select(self, problems: Tensor) -> Self:
        return type(self)(self.white.select(problems), self.dual.select(problems))

    def split(self, vector: Vector) -> tuple[Vector, Vector]:
        """Return the parts of the dense and of the sparse blocks."""
        coords, images = (torch.split(part, self.sizes) for part in vector)
        return Vector(coords[0], coords[0]), Vector(coords[1], images[1])


def join(white: Vector, dual: Vector) -> Vector:
    """Return the vector of both parts."""
    return Vector(*(torch.cat(parts) for parts in zip(white, dual, strict=True)))


class BlockBasis:
    """A basis that is block diagonal: the identity where a block is None."""

    def __init__(self, blocks: list[Tensor | None], sizes: list[int]) -> None:
        self.blocks, self.sizes, self.shape = blocks, sizes, (sum(sizes), sum(sizes))

    @property
    def T(self) -> "BlockBasis":
        """The transpose."""
        return BlockBasis([None if block is None else block.T for block in self.blocks], self.sizes)


def multiply(matrix: Tensor | BlockBasis, stack: Tensor) -> Tensor:
    """Return matrix @ stack, where the stack has two trailing dimensions."""
    if isinstance(matrix, BlockBasis):
        parts = zip(matrix.blocks, torch.split(stack, matrix.sizes), strict=True)
        return torch.cat([part if block is None else multiply(block, part) for block, part in parts])
    return (matrix @ stack.flatten(1)).view(-1, *stack.shape[1:])
