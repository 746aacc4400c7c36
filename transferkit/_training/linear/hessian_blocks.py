"""The Hessian of each output on its own, where weak penalties make Böhning's bound a poor guess."""

from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor

from transferkit._training.linear.coordinates import Vector, WhiteCoordinates
from transferkit._training.linear.features import DenseFeatures
from transferkit._training.linear.losses import Loss

__all__ = ["BlockCoordinates", "HessianBlocks", "suits_blocks"]

MAX_ROWS = 1500  # rows that each block sees one by one; the others enter with the diagonal
MAX_ENTRIES = 300_000  # of rotated sparse rows, which are dense
MAX_COORDINATES = 600  # beyond, the blocks cost more than the steps that they save
MAX_WHOLE = 300  # coordinates times outputs of a Hessian that is not cut into blocks
JITTER = 1e-10  # of each curvature; an absolute one would hide those which an outlier puts far below the bound
LEAST_CURVATURE = 1e-30  # of the bound: nothing else holds the intercept of a class that is never in doubt


class HessianBlocks(NamedTuple):
    """Inverses of blocks of the Hessian: of each output, (n_outputs, n_coordinates, n_coordinates), or of all together.

    The latter is (1, n_outputs * n_coordinates, n_outputs * n_coordinates), or one such matrix for each problem.
    """

    inverses: Tensor
    of_problems: bool = False

    def solve(self, vector: Vector) -> Vector:
        """Return the inverse Hessian times the vector.

        Adding the same to all outputs changes no probability, and the optimum's outputs sum to zero: so do the steps.
        """
        n_coordinates, n_problems, n_outputs = vector.coords.shape
        if self.inverses.shape[1] == n_coordinates * n_outputs:
            flat = vector.coords.permute(1, 2, 0).reshape(n_problems, 1, -1)
            product = (flat @ self.inverses).view(n_problems, n_outputs, n_coordinates).permute(2, 0, 1)
        else:  # symmetric; this order is the faster one
            product = torch.bmm(vector.coords.permute(2, 1, 0), self.inverses).permute(2, 1, 0)
        coords = (product - product.mean(2, keepdim=True) if n_outputs > 1 else product).contiguous()
        return Vector(coords, coords)


class BlockCoordinates(WhiteCoordinates):
    """White coordinates that know blocks of the Hessian at one point.

    With several outputs the blocks are averages over the problems, which must be folds of one C.
    """

    blocks: HessianBlocks

    @classmethod
    def at(cls, white: WhiteCoordinates, loss: Loss, scores: Tensor, whole: bool = False) -> "BlockCoordinates":
        """Take the blocks where the scores are (n_rows, n_problems, n_outputs): of each output, or of all together."""
        refined = cls(white.features, white.basis, white.scale, white.C, white.loss_curvature)
        inverses = (invert_whole if whole else invert_blocks)(white, loss, scores)
        refined.blocks = HessianBlocks(inverses, of_problems=whole and scores.shape[2] == 1)
        return refined

    def guess_hessian(self, curvature: Tensor) -> HessianBlocks:
        return self.blocks

    def select(self, problems: Tensor) -> "BlockCoordinates":
        part = super().select(problems)
        part.blocks = self.blocks
        if self.blocks.of_problems:
            part.blocks = HessianBlocks(self.blocks.inverses[problems], of_problems=True)
        return part


def suits_blocks(coordinates: object) -> TypeGuard[WhiteCoordinates]:
    """Return whether the blocks can be had at a price that is soon earned back."""
    if not isinstance(coordinates, WhiteCoordinates) or not isinstance(coordinates.basis, Tensor):
        return False
    n_coordinates, features = len(coordinates.scale), coordinates.features
    is_small = features.n_rows * n_coordinates <= MAX_ENTRIES or isinstance(features, DenseFeatures)
    return is_small and n_coordinates <= MAX_COORDINATES and bool((coordinates.C[0] == coordinates.C).all())


def invert_blocks(white: WhiteCoordinates, loss: Loss, scores: Tensor) -> Tensor:
    """Return the inverse of each output's block."""
    curvatures = loss.curvatures(scores).mean(1).T
    rows, shear = centre(rotate_rows(white), curvatures.sum(0), white.has_intercept)
    return invert(sum_products(rows, curvatures), find_ridge(white), shear, white.scale.dtype)


def invert_whole(white: WhiteCoordinates, loss: Loss, scores: Tensor) -> Tensor:
    """Return the inverse of the whole Hessian; with one output that of each problem.

    The Hessian of a softmax is a sum over pairs of outputs, which loses no digits where a probability is almost 1.
    """
    curvatures, n_outputs = loss.curvatures(scores), scores.shape[2]
    rows, shear = centre(rotate_rows(white), curvatures.sum((1, 2)), white.has_intercept)
    ridge, dtype = find_ridge(white), white.scale.dtype
    if n_outputs == 1:
        return invert(sum_products(rows, curvatures[:, :, 0].T), ridge, shear, dtype)
    probabilities = torch.softmax(scores, 2)
    pairs = torch.combinations(torch.arange(n_outputs, device=scores.device))
    products = probabilities[:, :, pairs[:, 0]] * probabilities[:, :, pairs[:, 1]] * loss.weights[:, :, None]
    size = rows.shape[1]
    whole = torch.zeros(n_outputs, size, n_outputs, size, dtype=torch.float64, device=rows.device)
    for (one, other), block in zip(pairs.tolist(), sum_products(rows, products.mean(1).T), strict=True):
        whole[one, :, one] += block
        whole[other, :, other] += block
        whole[one, :, other] -= block
        whole[other, :, one] -= block
    common = torch.einsum("kiki->i", whole) / n_outputs**2  # along what is the same for all outputs the loss is flat
    whole += torch.diag(common)[None, :, None, :]
    shears = torch.kron(torch.eye(n_outputs).to(shear), shear)
    return invert(whole.view(1, n_outputs * size, -1), ridge.repeat(n_outputs), shears, dtype)


def rotate_rows(white: WhiteCoordinates) -> Tensor:
    """Return the rows in white coordinates, (n_rows, n_coordinates)."""
    assert isinstance(white.basis, Tensor)
    rows = white.features.times(white.basis)
    if white.has_intercept:
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
    return rows * white.scale.mean(1)[:, 0]


def centre(rows: Tensor, weights: Tensor, has_intercept: bool) -> tuple[Tensor, Tensor]:
    """Return rows around their weighted mean, and the matrix that brings weights for these back.

    An outlier without curvature draws the plain mean so far away that weights and intercept seem to be one.
    """
    shear = torch.eye(rows.shape[1], dtype=torch.float64, device=rows.device)
    if not has_intercept:
        return rows, shear
    mean = (weights @ rows) / weights.sum().clamp_min(torch.finfo(rows.dtype).tiny)
    shear[-1, :-1] = -(mean / rows[0, -1])[:-1]
    mean[-1] = 0
    return rows - mean, shear


def find_ridge(white: WhiteCoordinates) -> Tensor:
    """Return the curvature of the penalty along each coordinate."""
    ridge = white.scale.square().mean(1)[:, 0] / white.C[0]
    if white.has_intercept:
        ridge[-1] = LEAST_CURVATURE
    return ridge


def sum_products(rows: Tensor, weights: Tensor) -> Tensor:
    """Return rows.T @ diag(weights) @ rows for weights (n_blocks, n_rows), of light rows only the diagonal."""
    squares = rows.square()
    diagonals = weights @ squares
    _, heaviest = (weights * squares.sum(1)).topk(min(MAX_ROWS, len(rows)), dim=1)
    blocks = []
    for weight, diagonal, index in zip(weights, diagonals, heaviest, strict=True):
        part = (rows[index] * weight[index].sqrt()[:, None]).double()
        rest = (diagonal - part.square().sum(0)).clamp_min(0) if len(index) < len(rows) else torch.zeros_like(diagonal)
        blocks.append(part.T @ part + torch.diag(rest.double()))
    return torch.stack(blocks)


def invert(blocks: Tensor, ridge: Tensor, shear: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the inverses of blocks (n_blocks, n, n) with a ridge, for weights before the shear."""
    diagonals = torch.diagonal(blocks, dim1=1, dim2=2)
    diagonals += JITTER * diagonals + ridge
    return (shear @ torch.cholesky_inverse(torch.linalg.cholesky(blocks)) @ shear.T).to(dtype)
