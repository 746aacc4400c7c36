"""Preconditioners: linear maps from the variables u of the solver to weights W, in which L-BFGS needs few steps.

The variables of n_problems problems are one tensor (n_variables, n_problems, n_outputs), the intercept last.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from transferkit._training.linear.losses import Loss
from transferkit._training.linear.matrices import BlockDiagonal, CentredMatrix, KernelMatrix, RowSpan, multiply_stack

__all__ = [
    "BlockHessian",
    "ConcatenatedMap",
    "EigenMap",
    "Hessian",
    "Preconditioner",
    "RowMap",
    "Vector",
]


class Vector(NamedTuple):
    """A point, a gradient or a direction, with the inner product <a, b> = sum(a.coords * b.image).

    The image is `coords` itself, except in a `RowMap`, where it is the product with the kernel matrix.
    """

    coords: Tensor
    image: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Vector":
        """Return the vector with a function applied to both parts, once if they are the same tensor."""
        coords = function(self.coords)
        return Vector(coords, coords if self.image is self.coords else function(self.image))

    def dot(self, other: "Vector") -> Tensor:
        """Return the inner product of each problem, (n_problems,)."""
        return (self.coords * other.image).sum((0, 2))

    def plus(self, factor: Tensor | float, other: "Vector") -> "Vector":
        """Return self + factor * other, with one factor per problem or for all."""

        def add(part: Tensor, other: Tensor) -> Tensor:
            if isinstance(factor, Tensor):
                return torch.addcmul(part, factor[:, None], other)
            return torch.add(part, other, alpha=factor)

        coords = add(self.coords, other.coords)
        return Vector(coords, coords if self.image is self.coords else add(self.image, other.image))

    def scaled(self, factor: Tensor) -> "Vector":
        """Return factor * self, with one factor per problem."""
        return self.map(lambda part: part * factor[:, None])

    def select(self, problems: Tensor) -> "Vector":
        """Return the vector of some of the problems."""
        return self.map(lambda part: part[:, problems])


class BlockHessian(NamedTuple):
    """A Hessian by the inverses of its blocks, each of one output or of all outputs together.

    They are (n_outputs, n_variables, n_variables), shared by all problems, or (1, n_outputs * n_variables,
    n_outputs * n_variables), or as many of the latter as there are problems.
    """

    inverses: Tensor
    of_problems: bool = False

    def solve(self, vector: Vector) -> Vector:
        """Return the inverse Hessian times the vector.

        Adding a constant to all outputs changes no probability, and at the optimum the weights of all outputs sum to
        zero, so these steps sum to zero, too.
        """
        n_variables, n_problems, n_outputs = vector.coords.shape
        if self.inverses.shape[1] == n_variables * n_outputs:
            flat = vector.coords.permute(1, 2, 0).reshape(n_problems, 1, -1)
            product = (flat @ self.inverses).view(n_problems, n_outputs, n_variables).permute(2, 0, 1)
        else:  # the blocks are symmetric, and this order is the faster one
            product = torch.bmm(vector.coords.permute(2, 1, 0), self.inverses).permute(2, 1, 0)
        coords = (product - product.mean(2, keepdim=True) if n_outputs > 1 else product).contiguous()
        return Vector(coords, coords)

    def select(self, problems: Tensor) -> "BlockHessian":
        """Return the Hessian of some of the problems."""
        return BlockHessian(self.inverses[problems], True) if self.of_problems else self


Hessian = Tensor | BlockHessian  # a tensor is the diagonal, (n_variables, n_problems, 1)


class Preconditioner(ABC):
    """A linear map from the variables u to weights and intercepts, for one C and one set of row weights per problem."""

    history: int  # number of steps in the L-BFGS history

    @abstractmethod
    def zeros(self, n_outputs: int) -> Vector:
        """Return the vector of weights that are all zero."""

    def constant(self, intercepts: Tensor) -> Vector:
        """Return the vector of weights of zero and intercepts (n_problems, n_outputs), or of zero if they are mixed."""
        return self.zeros(intercepts.shape[1])

    @abstractmethod
    def scores(self, u: Vector) -> Tensor:
        """Return the scores of all rows, (n_rows, n_problems, n_outputs)."""

    @abstractmethod
    def gradient(self, u: Vector, residuals: Tensor) -> Vector:
        """Return the gradient in u of loss and penalty, given that of the loss in the scores."""

    @abstractmethod
    def penalty(self, left: Vector, right: Vector) -> Tensor:
        """Return <weights of left, weights of right> / C of each problem in float64."""

    @abstractmethod
    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        """Return an upper bound on the optimality gap of each problem: C / 2 times the squared gradient in the weights.

        The penalty alone has the curvature 1 / C. The intercept has no penalty and enters with the mean curvature
        (n_problems,) of the loss, so this is only an estimate if an outlier couples intercept and weights.
        """

    def approximate_hessian(self, curvature: Tensor) -> Hessian | None:
        """Return the Hessian in u at a mean curvature (n_problems,) of the loss, or None if it is not known."""
        return None

    @abstractmethod
    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_features, n_problems, n_outputs) and intercepts (n_problems, n_outputs)."""

    @abstractmethod
    def from_weights(self, weights: np.ndarray, intercepts: np.ndarray, loss: Loss, offset: Tensor | None) -> Vector:
        """Return the u nearest to weights (n_features, n_problems, n_outputs) and intercepts."""

    @abstractmethod
    def convert(self, u: Vector, origin: Self) -> Vector:
        """Return the u of the same weights as a vector of another preconditioner of the same features."""

    @abstractmethod
    def select(self, problems: Tensor) -> Self:
        """Return the preconditioner of some of the problems."""

    @abstractmethod
    def on_rows(self, rows: Tensor) -> Self:
        """Return the preconditioner of some of the rows, for problems that leave out the others."""

    def restrict(self, u: Vector, part: Self, rows: Tensor) -> Vector:
        """Return the u of nearly the same weights as a vector of the part with these rows."""
        return u

    def extend(self, u: Vector, part: Self, rows: Tensor) -> Vector:
        """Return the u, for all rows, of the weights of a vector of the part with these rows."""
        return u


@dataclass(frozen=True)
class EigenMap(Preconditioner):
    """W = basis @ (scale * u), where the Hessian is at most the identity, so that u is whitened.

    The columns of the basis are the eigenvectors of the Gram matrix, and scale = 1 / sqrt(curvature * eigenvalue +
    1 / C), so that one decomposition serves every C and every fold. A basis of None is the identity: then this is the
    diagonal (Jacobi) preconditioner. `span` is given if the matrix holds the rows in a basis of their span.
    """

    matrix: CentredMatrix
    basis: Tensor | BlockDiagonal | None
    scale: Tensor  # (n_variables, n_problems, 1)
    C: Tensor
    loss_curvature: float  # upper bound, from which `scale` was computed
    has_intercept: bool
    span: RowSpan | None = None
    hessian: BlockHessian | None = None  # at some point; None to use the upper bound

    history = 30  # vectors are short, and small penalties need a third fewer steps than with 10

    @property
    def inner(self) -> slice:
        """The variables of the weights, without the intercept."""
        return slice(0, len(self.scale) - self.has_intercept)

    def zeros(self, n_outputs: int) -> Vector:
        zeros = self.scale.new_zeros(*self.scale.shape[:2], n_outputs)
        return Vector(zeros, zeros)

    def constant(self, intercepts: Tensor) -> Vector:
        point = self.zeros(intercepts.shape[1])
        if self.has_intercept:
            point.coords[-1] = intercepts / self.scale[-1]
        return point

    def forward(self, u: Vector) -> tuple[Tensor, Tensor]:
        """Return the weights and intercepts for the centred matrix."""
        coords = self.scale * u.coords
        weights = coords[self.inner]
        intercepts = coords[-1] if self.has_intercept else torch.zeros_like(coords[0])
        return weights if self.basis is None else multiply_stack(self.basis, weights), intercepts

    def adjoint(self, weights: Tensor) -> Tensor:
        """Return basis.T @ weights, (n_variables without the intercept, n_problems, n_outputs)."""
        return weights if self.basis is None else multiply_stack(self.basis.T, weights)

    def scores(self, u: Vector) -> Tensor:
        weights, intercepts = self.forward(u)
        scores = self.matrix.matmul(weights.flatten(1)).view(-1, *weights.shape[1:])
        return scores.add_(intercepts) if self.has_intercept else scores

    def gradient(self, u: Vector, residuals: Tensor) -> Vector:
        gradient = self.adjoint(self.matrix.rmatmul(residuals.flatten(1)).view(-1, *residuals.shape[1:]))
        gradient = torch.addcdiv(gradient, (self.scale * u.coords)[self.inner], self.C[:, None])
        if self.has_intercept:
            gradient = torch.cat([gradient, residuals.sum(0, keepdim=True)])
        coords = self.scale * gradient
        return Vector(coords, coords)

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        product = self.scale[self.inner].square() * left.coords[self.inner] * right.coords[self.inner]
        return product.sum((0, 2), dtype=torch.float64) / self.C

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        of_weights = gradient.coords[self.inner] / self.scale[self.inner]
        gap = of_weights.square().sum((0, 2), dtype=torch.float64) * self.C / 2
        if self.has_intercept:
            gap += gradient.coords[-1].square().sum(1) * self.loss_curvature / (2 * curvature)
        return gap

    def approximate_hessian(self, curvature: Tensor) -> Hessian:
        if self.hessian is not None:
            return self.hessian
        share = (curvature / self.loss_curvature)[:, None]
        penalty = self.scale.square() / self.C[:, None]  # its part of the upper bound, which is 1 in all
        if self.has_intercept:
            penalty[-1] = 0
        return share * (1 - penalty) + penalty

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        weights, intercepts = self.forward(u)
        intercepts = intercepts - torch.einsum("d,dpk->pk", self.matrix.mean[:, 0], weights)
        found = weights.cpu().numpy(), intercepts.cpu().numpy()
        return found if self.span is None else self.span.expand(*found)

    def from_weights(self, weights: np.ndarray, intercepts: np.ndarray, loss: Loss, offset: Tensor | None) -> Vector:
        if self.span is not None:
            weights, intercepts = self.span.restrict(weights, intercepts)
        columns = torch.from_numpy(np.ascontiguousarray(weights)).to(self.C)
        shift = torch.einsum("d,dpk->pk", self.matrix.mean[:, 0], columns)
        coords = self.adjoint(columns)
        if self.has_intercept:
            coords = torch.cat([coords, (torch.from_numpy(intercepts).to(self.C) + shift)[None]])
        coords = coords / self.scale
        return Vector(coords, coords)

    def convert(self, u: Vector, origin: Self) -> Vector:
        coords = u.coords * (origin.scale / self.scale)
        return Vector(coords, coords)

    def select(self, problems: Tensor) -> Self:
        hessian = None if self.hessian is None else self.hessian.select(problems)
        return replace(self, scale=self.scale[:, problems], C=self.C[problems], hessian=hessian)

    def on_rows(self, rows: Tensor) -> Self:
        return replace(self, matrix=self.matrix.on_rows(rows))


@dataclass(frozen=True)
class RowMap(Preconditioner):
    """W = X.T @ u, with one variable per row of X (representer theorem), and an inner product that makes W orthonormal.

    With fewer rows than features a step costs two products with X and nothing of the length of the features. The
    image K @ u of a vector gives its scores, so line searches and inner products need no product with X.
    """

    kernel: KernelMatrix
    C: Tensor
    intercept_scale: Tensor  # (n_problems,)
    totals: Tensor  # (n_problems,), of the row weights
    has_intercept: bool

    history = 8  # vectors are as long as there are rows, and a longer history saved no steps on text

    @property
    def inner(self) -> slice:
        """The variables of the rows, without the intercept."""
        return slice(0, self.kernel.n_rows)

    def zeros(self, n_outputs: int) -> Vector:
        shape = (self.kernel.n_rows + self.has_intercept, len(self.C), n_outputs)
        return Vector(self.C.new_zeros(shape), self.C.new_zeros(shape))

    def scores(self, u: Vector) -> Tensor:
        if not self.has_intercept:
            return u.image
        return u.image[:-1] + u.image[-1] * self.intercept_scale[:, None]

    def gradient(self, u: Vector, residuals: Tensor) -> Vector:
        gradient = torch.addcdiv(residuals, u.coords[self.inner], self.C[:, None])
        return self._make_vector(gradient, residuals.sum(0) * self.intercept_scale[:, None])

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        return (left.coords[self.inner] * right.image[self.inner]).sum((0, 2), dtype=torch.float64) / self.C

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        squares = (gradient.coords[self.inner] * gradient.image[self.inner]).sum((0, 2), dtype=torch.float64)
        gap = squares * self.C / 2
        if self.has_intercept:
            squares = (gradient.coords[-1] / self.intercept_scale[:, None]).square().sum(1)
            gap += squares / (2 * curvature * self.totals)
        return gap

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        dual = u.coords[self.inner]
        intercepts = u.coords[-1] * self.intercept_scale[:, None] if self.has_intercept else torch.zeros_like(dual[0])
        flat = self.kernel.to_weights(dual.flatten(1).cpu().numpy())
        shift = (self.kernel.mean @ flat).reshape(intercepts.shape)
        return flat.reshape(-1, *dual.shape[1:]), (intercepts.cpu().numpy() - shift).astype(flat.dtype)

    def from_weights(self, weights: np.ndarray, intercepts: np.ndarray, loss: Loss, offset: Tensor | None) -> Vector:
        """Return a u with a low objective near the weights, which may lie outside the span of the rows.

        At an optimum u = -C * residuals, so take the residuals of the weights, and the best of a few multiples.
        """
        flat = weights.reshape(len(weights), -1)
        scores = torch.from_numpy((self.kernel.X @ flat).astype(flat.dtype)).to(self.C)
        scores = scores.view(-1, *weights.shape[1:]) + torch.from_numpy(intercepts).to(self.C)
        _, residuals = loss.evaluate(scores if offset is None else scores + offset)
        shift = torch.from_numpy((self.kernel.mean @ flat).reshape(intercepts.shape)).to(self.C)
        last = (torch.from_numpy(intercepts).to(self.C) + shift) / self.intercept_scale[:, None]
        point = self._make_vector(-self.C[:, None] * residuals, last)
        best = self.zeros(weights.shape[2])
        lowest = self._evaluate(best, loss, offset)
        for power in range(-4, 5):
            trial = point.scaled(torch.full_like(self.C, 4.0**power))
            if self.has_intercept:
                trial = Vector(*(torch.cat([part[:-1], point.coords[-1:]]) for part in trial))
            values = self._evaluate(trial, loss, offset)
            better = (values < lowest)[:, None]
            best = Vector(*(torch.where(better, new, old) for new, old in zip(trial, best, strict=True)))
            lowest = torch.minimum(values, lowest)
        return best

    def convert(self, u: Vector, origin: Self) -> Vector:
        if not self.has_intercept:
            return u
        last = u.coords[-1:] * (origin.intercept_scale / self.intercept_scale)[:, None]
        return Vector(*(torch.cat([part[:-1], last]) for part in u))

    def select(self, problems: Tensor) -> Self:
        scale, totals = self.intercept_scale[problems], self.totals[problems]
        return replace(self, C=self.C[problems], intercept_scale=scale, totals=totals)

    def on_rows(self, rows: Tensor) -> Self:
        return replace(self, kernel=self.kernel.on_rows(rows))

    def restrict(self, u: Vector, part: Self, rows: Tensor) -> Vector:
        dual = u.coords[self.inner][rows]
        return part._make_vector(dual, self._move_mean(u.coords[-1], dual, part, 1))

    def extend(self, u: Vector, part: Self, rows: Tensor) -> Vector:
        dual = u.coords[part.inner]
        dual = dual - part.kernel.share[:, :, None] * dual.sum(0)
        of_all = dual.new_zeros(self.kernel.n_rows, *dual.shape[1:])
        of_all[rows] = dual
        return self._make_vector(of_all, self._move_mean(u.coords[-1], dual, part, -1))

    def _move_mean(self, last: Tensor, dual: Tensor, part: Self, sign: int) -> Tensor:
        """Return the variables of the intercepts for rows that are centred by the mean of a part, or by that of all."""
        shift = part.kernel.X @ (part.kernel.mean - self.kernel.mean)
        scores = torch.einsum("r,rpk->pk", torch.from_numpy(np.asarray(shift)).to(dual), dual)
        return last + sign * scores / self.intercept_scale[:, None]

    def _make_vector(self, dual: Tensor, last: Tensor) -> Vector:
        image = self.kernel.matmul(dual.flatten(1)).view_as(dual)
        if not self.has_intercept:
            return Vector(dual, image)
        return Vector(torch.cat([dual, last[None]]), torch.cat([image, last[None]]))

    def _evaluate(self, u: Vector, loss: Loss, offset: Tensor | None) -> Tensor:
        """Return the objective of each problem at u."""
        scores = self.scores(u)
        losses, _ = loss.evaluate(scores if offset is None else scores + offset)
        return losses + self.penalty(u, u) / 2


@dataclass(frozen=True)
class ConcatenatedMap(Preconditioner):
    """Variables of dense blocks, by their eigenvectors, above those of sparse blocks, one per row, and the intercept.

    With more features than rows this needs 2.5 to 4 times less time than a `RowMap` of all blocks.
    """

    dense: EigenMap
    sparse: RowMap
    is_sparse: np.ndarray  # (n_features,), which features belong to sparse blocks

    history = 12

    def zeros(self, n_outputs: int) -> Vector:
        return concatenate(self.dense.zeros(n_outputs), self.sparse.zeros(n_outputs))

    def scores(self, u: Vector) -> Tensor:
        dense, sparse = self.split(u)
        return self.sparse.scores(sparse) + self.dense.scores(dense)

    def gradient(self, u: Vector, residuals: Tensor) -> Vector:
        dense, sparse = self.split(u)
        return concatenate(self.dense.gradient(dense, residuals), self.sparse.gradient(sparse, residuals))

    def penalty(self, left: Vector, right: Vector) -> Tensor:
        (dense, sparse), (other_dense, other_sparse) = self.split(left), self.split(right)
        return self.dense.penalty(dense, other_dense) + self.sparse.penalty(sparse, other_sparse)

    def bound_gap(self, gradient: Vector, curvature: Tensor) -> Tensor:
        dense, sparse = self.split(gradient)
        return self.dense.bound_gap(dense, curvature) + self.sparse.bound_gap(sparse, curvature)

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        dense, sparse = self.split(u)
        dense_weights, shift = self.dense.weights(dense)
        sparse_weights, intercepts = self.sparse.weights(sparse)
        weights = np.empty((len(self.is_sparse), *dense_weights.shape[1:]), dtype=dense_weights.dtype)
        weights[self.is_sparse], weights[~self.is_sparse] = sparse_weights, dense_weights
        return weights, intercepts + shift

    def from_weights(self, weights: np.ndarray, intercepts: np.ndarray, loss: Loss, offset: Tensor | None) -> Vector:
        of_dense = weights[~self.is_sparse]
        dense = self.dense.from_weights(of_dense, intercepts, loss, offset)
        scores = self.dense.scores(dense)
        mean = self.dense.matrix.mean[:, 0].cpu().numpy()
        shifted = (intercepts + np.einsum("d,dpk->pk", mean, of_dense)).astype(intercepts.dtype)
        offset = scores if offset is None else scores + offset
        return concatenate(dense, self.sparse.from_weights(weights[self.is_sparse], shifted, loss, offset))

    def convert(self, u: Vector, origin: Self) -> Vector:
        dense, sparse = self.split(u)
        return concatenate(self.dense.convert(dense, origin.dense), self.sparse.convert(sparse, origin.sparse))

    def select(self, problems: Tensor) -> Self:
        return replace(self, dense=self.dense.select(problems), sparse=self.sparse.select(problems))

    def on_rows(self, rows: Tensor) -> Self:
        return replace(self, dense=self.dense.on_rows(rows), sparse=self.sparse.on_rows(rows))

    def restrict(self, u: Vector, part: Self, rows: Tensor) -> Vector:
        dense, sparse = self.split(u)
        return concatenate(dense, self.sparse.restrict(sparse, part.sparse, rows))

    def extend(self, u: Vector, part: Self, rows: Tensor) -> Vector:
        dense, sparse = part.split(u)
        return concatenate(dense, self.sparse.extend(sparse, part.sparse, rows))

    def split(self, u: Vector) -> tuple[Vector, Vector]:
        """Return the parts of the dense and of the sparse blocks."""
        n_dense = len(self.dense.scale)
        dense = u.coords[:n_dense]
        return Vector(dense, dense), u.map(lambda part: part[n_dense:])


def concatenate(dense: Vector, sparse: Vector) -> Vector:
    """Return the vector of both parts."""
    return Vector(*(torch.cat(parts) for parts in zip(dense, sparse, strict=True)))
