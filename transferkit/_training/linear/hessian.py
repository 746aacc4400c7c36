"""The Hessian at a point that L-BFGS has reached, for small penalties, with which Böhning's upper bound is loose.

It shows how much is left to gain along a direction that an outlier makes look flat. With several outputs it is formed
as a whole only if it is small; its diagonal blocks, one per output, cost less.

In searches the blocks help with many classes and few rows. Over ten values of C and five folds, 600 digits took 1.9
times as long without them, 1,797 digits just as long, and random problems of 3 to 6 classes and 400 to 1,000 rows 0.6
to 0.8 times as long.
"""

from dataclasses import replace
from typing import TypeGuard

import torch
from torch import Tensor

from transferkit._training.linear.losses import Loss
from transferkit._training.linear.matrices import DenseMatrix
from transferkit._training.linear.preconditioning import BlockHessian, EigenMap, Preconditioner

__all__ = ["MAX_WHOLE", "can_form_hessian", "with_hessian"]

MAX_ROWS = 1500  # rows of the largest curvature that enter exactly; the others enter the diagonal only
MAX_ENTRIES = 300_000  # of sparse rows in the variables u, which are dense
MAX_VARIABLES = 600  # beyond, the Hessian costs more than the steps that it saves
MAX_WHOLE = 300  # variables times outputs of a Hessian that is not reduced to its blocks
JITTER = 1e-10  # relative to each curvature: an absolute one would hide those that an outlier puts far below the bound
LEAST_CURVATURE = 1e-30  # relative to the bound: the intercept of a class that is never in doubt has no other


def can_form_hessian(preconditioner: Preconditioner) -> TypeGuard[EigenMap]:
    """Return whether the Hessian costs less than the steps that it may save; all problems must have the same C."""
    if not isinstance(preconditioner, EigenMap) or not isinstance(preconditioner.basis, Tensor):
        return False
    n_variables, matrix, C = len(preconditioner.scale), preconditioner.matrix, preconditioner.C
    is_small = matrix.n_rows * n_variables <= MAX_ENTRIES or isinstance(matrix, DenseMatrix)
    return is_small and n_variables <= MAX_VARIABLES and bool((C[0] == C).all())


def with_hessian(eigen_map: EigenMap, loss: Loss, scores: Tensor, *, whole: bool = False) -> EigenMap:
    """Return the preconditioner with the Hessian at these scores (n_rows, n_problems, n_outputs), or with its blocks.

    With several outputs the Hessian is averaged over the problems, which must be folds of one C. With one output each
    problem has its own whole Hessian.
    """
    inverses = (invert_whole if whole else invert_blocks)(eigen_map, loss, scores)
    return replace(eigen_map, hessian=BlockHessian(inverses, of_problems=whole and scores.shape[2] == 1))


def invert_blocks(eigen_map: EigenMap, loss: Loss, scores: Tensor) -> Tensor:
    """Return the inverse of each output's block."""
    curvatures = loss.curvatures(scores).mean(1).T
    rows, shear = centre(rotate_rows(eigen_map), curvatures.sum(0), eigen_map.has_intercept)
    return invert(sum_products(rows, curvatures), penalty_diagonal(eigen_map), shear, eigen_map.scale.dtype)


def invert_whole(eigen_map: EigenMap, loss: Loss, scores: Tensor) -> Tensor:
    """Return the inverse of the whole Hessian; with one output that of each problem.

    The Hessian of a softmax is computed as a sum over pairs of outputs, which loses no digits if a probability is
    almost 1.
    """
    curvatures, n_outputs = loss.curvatures(scores), scores.shape[2]
    rows, shear = centre(rotate_rows(eigen_map), curvatures.sum((1, 2)), eigen_map.has_intercept)
    penalty, dtype = penalty_diagonal(eigen_map), eigen_map.scale.dtype
    if n_outputs == 1:
        return invert(sum_products(rows, curvatures[:, :, 0].T), penalty, shear, dtype)
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
    common = torch.einsum("kiki->i", whole) / n_outputs**2  # the loss is constant along equal steps of all outputs
    whole += torch.diag(common)[None, :, None, :]
    shears = torch.kron(torch.eye(n_outputs).to(shear), shear)
    return invert(whole.view(1, n_outputs * size, -1), penalty.repeat(n_outputs), shears, dtype)


def rotate_rows(eigen_map: EigenMap) -> Tensor:
    """Return the matrix whose product with u gives the scores, (n_rows, n_variables)."""
    assert isinstance(eigen_map.basis, Tensor)
    rows = eigen_map.matrix.matmul(eigen_map.basis)
    if eigen_map.has_intercept:
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
    return rows * eigen_map.scale.mean(1)[:, 0]


def centre(rows: Tensor, weights: Tensor, has_intercept: bool) -> tuple[Tensor, Tensor]:
    """Return rows minus their weighted mean, and the matrix that turns variables for these into those for the rows.

    An outlier without curvature moves the plain mean so far that weights and intercept become collinear.
    """
    shear = torch.eye(rows.shape[1], dtype=torch.float64, device=rows.device)
    if not has_intercept:
        return rows, shear
    mean = (weights @ rows) / weights.sum().clamp_min(torch.finfo(rows.dtype).tiny)
    shear[-1, :-1] = -(mean / rows[0, -1])[:-1]
    mean[-1] = 0
    return rows - mean, shear


def penalty_diagonal(eigen_map: EigenMap) -> Tensor:
    """Return the curvature of the penalty along each variable."""
    diagonal = eigen_map.scale.square().mean(1)[:, 0] / eigen_map.C[0]
    if eigen_map.has_intercept:
        diagonal[-1] = LEAST_CURVATURE
    return diagonal


def sum_products(rows: Tensor, weights: Tensor) -> Tensor:
    """Return rows.T @ diag(weights) @ rows for weights (n_blocks, n_rows), of rows beyond MAX_ROWS the diagonal."""
    squares = rows.square()
    diagonals = weights @ squares
    _, largest = (weights * squares.sum(1)).topk(min(MAX_ROWS, len(rows)), dim=1)
    blocks = []
    for weight, diagonal, index in zip(weights, diagonals, largest, strict=True):
        part = (rows[index] * weight[index].sqrt()[:, None]).double()
        rest = (diagonal - part.square().sum(0)).clamp_min(0) if len(index) < len(rows) else torch.zeros_like(diagonal)
        blocks.append(part.T @ part + torch.diag(rest.double()))
    return torch.stack(blocks)


def invert(blocks: Tensor, penalty: Tensor, shear: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the inverses of blocks (n_blocks, n, n) plus the penalty, for variables before the shear."""
    diagonals = torch.diagonal(blocks, dim1=1, dim2=2)
    diagonals += JITTER * diagonals + penalty
    return (shear @ torch.cholesky_inverse(torch.linalg.cholesky(blocks)) @ shear.T).to(dtype)
