"""Penalised linear problems in preconditioned variables, and the decomposition of the features that they share.

The features are decomposed once; the preconditioners of every C and fold follow from that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear.logistic_regression import POWER_ITERATIONS
from transferkit._training.linear.losses import Loss
from transferkit._training.linear.matrices import (
    BlockDiagonal,
    BlockMatrix,
    CentredMatrix,
    DenseMatrix,
    KernelMatrix,
    RowSpan,
    has_sparse_part,
    make_matrix,
)
from transferkit._training.linear.preconditioning import (
    ConcatenatedMap,
    EigenMap,
    Preconditioner,
    RowMap,
    Vector,
)

__all__ = ["Design", "EigenDecomposition", "LinearProblem", "Prior", "RowScaling", "decompose"]

MAX_DECOMPOSED = 2500  # largest Gram matrix that is decomposed; beyond, the decomposition costs more than it saves
MAX_SPARSE_DECOMPOSED = 500  # the same with sparse columns, for which their scales do nearly as well
MOST_COLUMNS_PER_ROW = 4  # of sparse and dense blocks; with more, one variable per row is less than one per column
MAX_SPAN_ROWS = 1200  # up to here fewer rows than features become a square dense problem
MAX_SPAN_SPARSE_ROWS = 200  # the same of sparse rows, for which a `RowMap` is faster much earlier


class Decomposition(Protocol):
    """The part of a preconditioner that depends on the features alone, and is shared by all problems."""

    def precondition(self, loss: Loss, C: Tensor) -> Preconditioner:
        """Return the preconditioner of problems with these losses, and one C each."""


def decompose(X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device) -> Decomposition:
    """Decompose X, dense, sparse or in blocks, with positive row weights (n_rows,).

    With fewer rows than features, few rows are described in a basis of their span; of many, sparse blocks get one
    variable per row, and dense blocks the eigenvectors of their Gram matrix. Beside dense blocks that takes a few times
    as many features as rows. In all other cases the eigenvectors of the Gram matrix of X are used, or of its blocks.
    """
    n_rows, n_columns = X.shape
    is_sparse = has_sparse_part(X)
    if n_rows < n_columns and n_rows <= (MAX_SPAN_SPARSE_ROWS if is_sparse else MAX_SPAN_ROWS):
        span, rows = RowSpan.of(X, row_weights, fit_intercept, device)
        matrix = DenseMatrix.from_numpy(rows, row_weights, False, device)
        return replace(EigenDecomposition.of(matrix, row_weights, fit_intercept), span=span)
    if n_rows < n_columns and is_sparse:
        if not isinstance(X, FeatureBlocks) or all(map(sp.issparse, X.blocks)):
            return RowScaling.of(X, row_weights, fit_intercept, device)
        if n_columns > MOST_COLUMNS_PER_ROW * n_rows:
            return MixedDecomposition.of(X, row_weights, fit_intercept, device)
    return EigenDecomposition.of(make_matrix(X, row_weights, fit_intercept, device), row_weights, fit_intercept)


@dataclass(frozen=True)
class EigenDecomposition:
    """Eigenvectors of the Gram matrix; if that is too large, those of its dense blocks and otherwise its diagonal."""

    matrix: CentredMatrix
    basis: Tensor | BlockDiagonal | None  # (n_columns, n_columns), None for the identity
    spectrum: Tensor  # (n_columns,) float64
    total: float  # of the row weights
    fit_intercept: bool
    span: RowSpan | None = None

    @classmethod
    def of(cls, matrix: CentredMatrix, row_weights: np.ndarray, fit_intercept: bool) -> "EigenDecomposition":
        """Decompose the Gram matrix of weighted rows."""
        weights = torch.from_numpy(row_weights).to(matrix.mean)
        total = float(row_weights.sum())
        is_dense = isinstance(matrix, DenseMatrix)
        if matrix.n_columns > (MAX_DECOMPOSED if is_dense else MAX_SPARSE_DECOMPOSED):
            return cls(matrix, *decompose_blocks(matrix, weights), total, fit_intercept)
        spectrum, basis = torch.linalg.eigh(matrix.gram(weights))
        return cls(matrix, basis.to(weights.dtype), spectrum.clamp_min(0), total, fit_intercept)

    def precondition(self, loss: Loss, C: Tensor) -> EigenMap:
        totals = loss.weights.sum(0, dtype=torch.float64)  # (n_problems,), smaller if a fold is left out
        hessian = self.spectrum[:, None] * (loss.curvature * totals / self.total) + 1 / C.double()
        if self.fit_intercept:
            hessian = torch.cat([hessian, loss.curvature * totals[None]])
        scale = hessian.rsqrt().to(C.dtype)[:, :, None]
        return EigenMap(self.matrix, self.basis, scale, C, loss.curvature, self.fit_intercept, self.span)


def decompose_blocks(matrix: CentredMatrix, weights: Tensor) -> tuple[BlockDiagonal | None, Tensor]:
    """Return eigenvectors of the Gram matrix of each dense block, unit vectors for sparse ones, and the spectrum."""
    if not isinstance(matrix, BlockMatrix):
        return None, matrix.gram_diagonal(weights)
    bases: list[Tensor | None] = []
    spectra = []
    for part in matrix.parts:
        if isinstance(part, DenseMatrix) and part.n_columns <= MAX_DECOMPOSED:
            spectrum, basis = torch.linalg.eigh(part.gram(weights))
            bases.append(basis.to(weights.dtype))
            spectra.append(spectrum.clamp_min(0))
        else:
            bases.append(None)
            spectra.append(part.gram_diagonal(weights))
    return BlockDiagonal(bases, matrix.sizes), torch.cat(spectra)


@dataclass(frozen=True)
class RowScaling:
    """The largest eigenvalue of the kernel matrix, by power iteration: it scales the intercept of a `RowMap`."""

    kernel: KernelMatrix
    largest: float
    fit_intercept: bool

    @classmethod
    def of(cls, X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device) -> "RowScaling":
        """Estimate the largest eigenvalue for the weighted rows of X."""
        kernel = KernelMatrix(X, row_weights, fit_intercept, device)
        vector = torch.ones(kernel.n_rows, 1, dtype=kernel.share.dtype, device=device)
        vector[::2] = -1
        tiny = torch.finfo(vector.dtype).tiny  # the vector becomes zero if all rows are equal
        for _ in range(POWER_ITERATIONS):
            vector = kernel.matmul(vector / vector.norm().clamp_min(tiny))
        return cls(kernel, float(vector.norm()), fit_intercept)

    def bound_curvature(self, loss: Loss, C: Tensor) -> Tensor:
        """Return an upper bound on the curvature of each problem along any weights, (n_problems,)."""
        return loss.curvature * loss.weights.sum(0) / self.kernel.n_rows * self.largest + 1 / C

    def precondition(self, loss: Loss, C: Tensor) -> RowMap:
        totals = loss.weights.sum(0)
        scale = (self.bound_curvature(loss, C) / (loss.curvature * totals)).sqrt()
        return RowMap(self.kernel, C, scale, totals, self.fit_intercept)


@dataclass(frozen=True)
class MixedDecomposition:
    """Eigenvectors of dense blocks, and the scaling of the rows of sparse ones."""

    dense: EigenDecomposition
    sparse: RowScaling
    is_sparse: np.ndarray  # (n_features,)

    @classmethod
    def of(
        cls, X: FeatureBlocks, row_weights: np.ndarray, fit_intercept: bool, device: torch.device
    ) -> "MixedDecomposition":
        """Decompose the dense and the sparse blocks each by themselves."""
        is_sparse = np.concatenate([np.full(block.shape[1], sp.issparse(block)) for block in X.blocks])
        sparse, dense = (
            FeatureBlocks(*(block for block in X.blocks if sp.issparse(block) == kind)) for kind in (True, False)
        )
        matrix = make_matrix(dense, row_weights, fit_intercept, device)
        of_dense = EigenDecomposition.of(matrix, row_weights, False)
        return cls(of_dense, RowScaling.of(sparse, row_weights, fit_intercept, device), is_sparse)

    def precondition(self, loss: Loss, C: Tensor) -> ConcatenatedMap:
        dense = self.dense.precondition(loss, C)
        # the Hessian in the variables of the rows is not the identity: give steps in both parts the same size
        scale = dense.scale * self.sparse.bound_curvature(loss, C).sqrt()[:, None]
        return ConcatenatedMap(replace(dense, scale=scale), self.sparse.precondition(loss, C), self.is_sparse)


@dataclass(frozen=True)
class Prior:
    """Weights that the penalty pulls to, and their mean score, which becomes part of the intercept if there is one.

    If features are far from zero, so are the scores of a prior, and an intercept that starts at zero would have to
    compensate for that.
    """

    weights: np.ndarray  # (n_outputs or n_labels, n_features)
    scores: np.ndarray  # (n_rows, n_outputs or n_labels), minus their mean if there is an intercept
    mean_score: np.ndarray  # (n_outputs or n_labels,)

    @classmethod
    def of(cls, X: Any, weights: np.ndarray, fit_intercept: bool) -> "Prior":
        """Return the prior of these weights for the rows of X."""
        scores = np.asarray(X @ weights.T)
        mean = scores.mean(0) if fit_intercept else np.zeros(scores.shape[1], scores.dtype)
        return cls(weights, np.ascontiguousarray(scores - mean, dtype=X.dtype), mean)

    def make_offset(self, n_outputs: int, device: torch.device) -> Tensor:
        """Return the scores on a device, (n_rows, n_labels or 1, n_outputs)."""
        return torch.from_numpy(self.scores).to(device).view(len(self.scores), -1, n_outputs)


class Design:
    """The features of linear problems, prepared once for every C, fold and label.

    Weights are sought for blocks times their scales, as differences from the prior, in the variables of a
    preconditioner; they are returned for the features as they were given. The penalty of each block is divided by its
    scale squared; a scale of zero leaves a block out. Row weights (n_rows,) are positive, such as the mean of those of
    all problems.
    """

    def __init__(
        self,
        X: Any,
        row_weights: np.ndarray,
        *,
        fit_intercept: bool,
        device: torch.device,
        prior: Prior | None = None,
        block_scales: Sequence[float] | None = None,
    ) -> None:
        self.prior, self.n_features, self.row_weights = prior, X.shape[1], row_weights
        self.fit_intercept, self.device = fit_intercept, device
        self.factors = None  # (n_features,), zero for blocks that are left out
        self.widths = [block.shape[1] for block in (X.blocks if isinstance(X, FeatureBlocks) else [X])]
        if block_scales is not None:
            self.factors = np.repeat(np.asarray(block_scales, dtype=X.dtype), self.widths)
            X = scale_blocks(X, block_scales)
        self.X = X

    @cached_property
    def decomposition(self) -> Decomposition:
        """The decomposition of the scaled features, made when it is first needed."""
        return decompose(self.X, self.row_weights, self.fit_intercept, self.device)

    def offset_scores(self) -> np.ndarray | None:
        """Return the scores of the prior, (n_rows, n_outputs or n_labels), or None without one."""
        return None if self.prior is None else self.prior.scores

    def make_problem(
        self, loss: Loss, C: Tensor, offset: Tensor | None, *, is_informed: bool = False
    ) -> "LinearProblem":
        """Return the problems of these losses, with one C each; the offset includes the scores of the prior."""
        return LinearProblem(self, loss, self.decomposition.precondition(loss, C), offset, is_informed)

    def restore(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coef (n_problems * n_outputs, n_features) and intercept of weights (..., n_problems, n_outputs)."""
        intercept = intercepts.reshape(-1)
        columns = weights.reshape(len(weights), len(intercept))  # there may be no features
        if self.factors is not None:
            used = self.factors != 0
            scaled, columns = columns, np.zeros((self.n_features, columns.shape[1]), dtype=columns.dtype)
            columns[used] = scaled * self.factors[used, None]
        columns = np.ascontiguousarray(columns)  # so that X @ coef.T copies nothing
        if self.prior is not None:
            n_scores = len(self.prior.weights)  # of each fold
            of_folds = columns.reshape(self.n_features, -1, n_scores)
            of_folds += self.prior.weights.T[:, None]
            intercept = (intercept.reshape(-1, n_scores) - self.prior.mean_score).ravel().astype(intercept.dtype)
        return columns.T, intercept

    def reduce(self, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_columns, n_problems * n_outputs) and intercepts; the inverse of `restore`."""
        if self.prior is not None:
            coef, intercept = coef - self.prior.weights, (intercept + self.prior.mean_score).astype(coef.dtype)
        if self.factors is not None:
            used = self.factors != 0
            coef = coef[:, used] / self.factors[used]
        return coef.T, intercept

    def take_over(self, coef: np.ndarray, widths: Sequence[int]) -> np.ndarray | None:
        """Return coef (any, n_features) from weights of blocks with these widths, or None if one is not here.

        Blocks are matched by their widths, in order, and the others get weights of zero.
        """
        parts, given = list[np.ndarray](), list(np.split(coef, np.cumsum(widths)[:-1], axis=1))
        for width in self.widths:
            is_known = bool(given) and given[0].shape[1] == width
            parts.append(given.pop(0) if is_known else np.zeros((len(coef), width), coef.dtype))
        return None if given else np.hstack(parts)


def scale_blocks(X: FeatureBlocks, scales: Sequence[float]) -> Any:
    """Return the blocks whose scales are positive times their scales; as a plain matrix if there is only one."""
    kept = [(block, scale) for block, scale in zip(X.blocks, scales, strict=True) if scale != 0]
    scaled = FeatureBlocks(*(block for block, _ in kept)).scale([scale for _, scale in kept])
    return scaled if len(kept) > 1 else scaled.blocks[0]


@dataclass(frozen=True)
class LinearProblem:
    """The objectives loss(scores(u) + offset) + ||weights(u)||^2 / (2 C) of n_problems problems."""

    design: Design
    loss: Loss
    preconditioner: Preconditioner
    offset: Tensor | None  # (n_rows or 1, n_problems or 1, n_outputs)
    is_informed: bool = False  # whether the offset may already be near the labels, see `start_losses`

    def start_losses(self, scores: Tensor) -> Tensor:
        """Return each problem's loss at weights of zero, given scores of the same shape; a scale for tolerances.

        If the offset is informed, it is the loss without it: nearly nothing may be left for the weights to gain.
        """
        if self.offset is None or self.is_informed:
            return self.loss.weights.sum(0, dtype=torch.float64) * math.log(max(self.loss.n_outputs, 2))
        return self.loss.evaluate(self.add_offset(torch.zeros_like(scores)))[0]

    def zeros(self) -> Vector:
        """Return the variables of weights that are all zero, or those of the prior."""
        return self.preconditioner.zeros(self.loss.n_outputs)

    def start(self) -> Vector:
        """Return those of weights of zero and, if no offset says more, of the best intercepts for them."""
        return self.zeros() if self.offset is not None else self.preconditioner.constant(self.loss.log_odds())

    def from_weights(self, coef: np.ndarray, intercept: np.ndarray) -> Vector:
        """Return the variables nearest to coef (n_problems * n_outputs, n_features) and intercept."""
        columns, intercepts = self.design.reduce(coef, intercept)
        shape = (-1, self.loss.n_outputs)
        return self.preconditioner.from_weights(
            columns.reshape(len(columns), *shape), intercepts.reshape(shape), self.loss, self.offset
        )

    def weights(self, u: Vector) -> tuple[np.ndarray, np.ndarray]:
        """Return coef (n_problems * n_outputs, n_features) and intercept (n_problems * n_outputs,) in NumPy."""
        return self.design.restore(*self.preconditioner.weights(u))

    def add_offset(self, scores: Tensor) -> Tensor:
        """Return scores (n_rows, n_problems, n_outputs) plus the offset."""
        return scores if self.offset is None else scores + self.offset

    def select(self, problems: Tensor) -> Self:
        """Return some of the problems."""
        offset = self.offset if self.offset is None or self.offset.shape[1] == 1 else self.offset[:, problems]
        preconditioner = self.preconditioner.select(problems)
        return replace(self, loss=self.loss.select(problems), preconditioner=preconditioner, offset=offset)

    def on_rows(self, rows: Tensor) -> Self:
        """Return the problems on some of the rows, of which the others have no weight in any problem."""
        offset = self.offset if self.offset is None or len(self.offset) == 1 else self.offset[rows]
        loss, preconditioner = self.loss.on_rows(rows), self.preconditioner.on_rows(rows)
        return replace(self, loss=loss, preconditioner=preconditioner, offset=offset)
