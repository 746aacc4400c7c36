"""The decomposition of a feature matrix, computed once, from which the preconditioners of every C and fold follow."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._training.linear.losses import Loss
from transferkit._training.linear.matrices import (
    BlockMatrix,
    CentredMatrix,
    DenseMatrix,
    KernelMatrix,
    has_sparse_part,
    make_matrix,
)
from transferkit._training.linear.preconditioning import (
    BlockDiagonal,
    ConcatenatedMap,
    EigenMap,
    Preconditioner,
    RowMap,
)
from transferkit._training.linear.row_span import RowSpan

__all__ = ["Decomposition", "EigenDecomposition", "MixedDecomposition", "RowScaling", "decompose"]

MAX_DECOMPOSED = 2500  # largest Gram matrix that is decomposed; beyond, the decomposition costs more than it saves
MAX_SPAN_ROWS = 1200  # up to here fewer rows than features become a square dense problem
MAX_SPAN_SPARSE_ROWS = 200  # the same of sparse rows, for which a `RowMap` is faster much earlier
POWER_ITERATIONS = 8


class Decomposition(Protocol):
    """The part of a preconditioner that depends on the features alone, and is shared by all problems."""

    def precondition(self, loss: Loss, C: Tensor) -> Preconditioner:
        """Return the preconditioner of problems with these losses, and one C each."""


def decompose(X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device) -> Decomposition:
    """Decompose X, dense, sparse or in blocks, with positive row weights (n_rows,).

    With fewer rows than features, few rows are described in a basis of their span; of many, sparse blocks get one
    variable per row, and dense blocks the eigenvectors of their Gram matrix. In all other cases the eigenvectors of the
    Gram matrix of X are used.
    """
    n_rows, n_columns = X.shape
    is_sparse = has_sparse_part(X)
    if n_rows < n_columns and n_rows <= (MAX_SPAN_SPARSE_ROWS if is_sparse else MAX_SPAN_ROWS):
        span, rows = RowSpan.of(X, row_weights, fit_intercept, device)
        matrix = DenseMatrix.from_numpy(rows, row_weights, False, device)
        return replace(EigenDecomposition.of(matrix, row_weights, fit_intercept), span=span)
    if n_rows < n_columns and is_sparse:
        if isinstance(X, FeatureBlocks) and not all(map(sp.issparse, X.blocks)):
            return MixedDecomposition.of(X, row_weights, fit_intercept, device)
        return RowScaling.of(X, row_weights, fit_intercept, device)
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
        if matrix.n_columns > MAX_DECOMPOSED:
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
