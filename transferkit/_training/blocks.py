"""The Hessian of each output on its own, where weak penalties make Böhning's bound a poor guess."""

from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor

from transferkit._training.coordinates import Vector, WhiteCoordinates
from transferkit._training.features import DenseFeatures
from transferkit._training.losses import Loss

__all__ = ["BlockCoordinates", "HessianBlocks", "suits_blocks"]

MAX_ROWS = 1500  # rows that each block sees one by one; the others enter with their mean curvature
MAX_COORDINATES = 600  # beyond, the blocks cost more than the steps that they save
JITTER = 1e-6  # of Böhning's bound


class HessianBlocks(NamedTuple):
    """Inverses of the blocks, (n_outputs, n_coordinates, n_coordinates), shared by all problems."""

    inverses: Tensor

    def solve(self, vector: Vector) -> Vector:
        """Return the inverse Hessian times the vector.

        Adding the same to all outputs changes no probability, and the optimum's outputs sum to zero: so do the steps.
        """
        product = torch.bmm(vector.coords.permute(2, 1, 0), self.inverses)  # symmetric; this order is the faster one
        coords = (product - product.mean(0)).permute(2, 1, 0).contiguous()
        return Vector(coords, coords)


class BlockCoordinates(WhiteCoordinates):
    """White coordinates that know the Hessian's diagonal blocks at one point.

    The blocks are averages over the problems, which must be folds of one C.
    """

    blocks: HessianBlocks

    @classmethod
    def at(cls, white: WhiteCoordinates, loss: Loss, scores: Tensor) -> "BlockCoordinates":
        """Take the blocks where the scores are (n_rows, n_problems, n_outputs)."""
        refined = cls(white.features, white.basis, white.scale, white.C, white.loss_curvature)
        refined.blocks = HessianBlocks(invert_blocks(white, average_weights(loss, scores)))
        return refined

    def guess_hessian(self, curvature: Tensor) -> HessianBlocks:
        return self.blocks

    def select(self, problems: Tensor) -> "BlockCoordinates":
        part = super().select(problems)
        part.blocks = self.blocks
        return part


def suits_blocks(coordinates: object, n_outputs: int) -> TypeGuard[WhiteCoordinates]:
    """Return whether the blocks can be had at a price that is soon earned back."""
    return (
        isinstance(coordinates, WhiteCoordinates)
        and isinstance(coordinates.basis, Tensor)
        and isinstance(coordinates.features, DenseFeatures)
        and len(coordinates.scale) <= MAX_COORDINATES
        and n_outputs > 1
        and bool((coordinates.C[0] == coordinates.C).all())
    )


def average_weights(loss: Loss, scores: Tensor) -> Tensor:
    """Return the mean curvature p * (1 - p) of each row for each output over the problems, (n_outputs, n_rows)."""
    probabilities = torch.softmax(scores, 2)
    curvatures = probabilities.addcmul_(probabilities, probabilities, value=-1)
    return torch.einsum("rpk,rp->kr", curvatures, loss.weights) / scores.shape[1]


def invert_blocks(white: WhiteCoordinates, weights: Tensor) -> Tensor:
    """Return the inverse blocks for row weights (n_outputs, n_rows)."""
    assert isinstance(white.features, DenseFeatures)
    assert isinstance(white.basis, Tensor)
    rows = white.features.matrix @ white.basis
    if white.has_intercept:
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
    rows = rows * white.scale.mean(1)[:, 0]
    heaviest, chosen = weights.topk(min(MAX_ROWS, len(rows)), dim=1)
    rest = (weights.sum(1) - heaviest.sum(1)).clamp_min(0) / len(rows)
    ridge = white.scale.square().mean(1)[:, 0] / white.C[0]
    if white.has_intercept:
        ridge[-1] = 0
    diagonals = rest[:, None] * rows.square().sum(0) + ridge + JITTER  # the Gram matrix is diagonal here
    blocks = torch.diag_embed(diagonals.double())
    for block, weight, index in zip(blocks, heaviest, chosen, strict=True):
        part = rows[index] * weight.sqrt()[:, None]
        block += part.T @ part
    return torch.cholesky_inverse(torch.linalg.cholesky(blocks)).to(rows.dtype)
