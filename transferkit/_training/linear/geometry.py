"""The well-conditioned coordinates that suit a feature matrix, found once for every C, fold and label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks, to_kernel
from transferkit._training.linear.coordinates import Coordinates, MixedCoordinates, Vector, WhiteCoordinates, join
from transferkit._training.linear.dual_geometry import DualGeometry
from transferkit._training.linear.features import DenseFeatures, make_features
from transferkit._training.linear.losses import Loss
from transferkit._training.linear.white_geometry import WhiteGeometry

__all__ = ["Geometry", "find_geometry"]

MAX_REDUCED_ROWS = 1200  # up to here fewer rows than features become a square dense problem
MAX_REDUCED_SPARSE_ROWS = 200  # the dual of sparse features is faster much earlier


class Geometry(Protocol):
    """Turns C values into coordinates and their vectors back into weights."""

    def coordinates(self, loss: Loss, C: Tensor) -> Coordinates:
        """Return coordinates for one C a problem."""

    def start(
        self, coordinates: Any, loss: Loss, weights: np.ndarray, intercepts: np.ndarray, offset: Tensor | None = None
    ) -> Vector:
        """Return the vector nearest to weights (n_problems, n_outputs, n_features) and intercepts."""

    def weights(self, coordinates: Any, point: Vector) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_features, n_problems, n_outputs) and intercepts (n_problems, n_outputs)."""


def find_geometry(
    X: Any,
    row_weights: np.ndarray,
    fit_intercept: bool,
    device: torch.device,
    block_scales: Sequence[float] | None = None,
) -> Geometry:
    """Choose the coordinates for X, dense, sparse or in blocks, with positive row weights (n_rows,).

    With `block_scales` the penalty of each block is divided by its scale squared: training sees scaled blocks, and
    the weights that come out are those of the blocks as they are. Blocks of scale zero are left out.
    """
    if block_scales is not None:
        return ScaledGeometry.of(X, row_weights, fit_intercept, device, block_scales)
    n_rows, n_columns = X.shape
    if n_rows < n_columns and n_rows <= (MAX_REDUCED_SPARSE_ROWS if has_sparse_part(X) else MAX_REDUCED_ROWS):
        return ReducedGeometry.of(X, row_weights, fit_intercept, device)
    if n_rows < n_columns and has_sparse_part(X) and has_dense_part(X):
        return MixedGeometry(X, row_weights, fit_intercept, device)
    if n_rows < n_columns and has_sparse_part(X):
        return DualGeometry(X, row_weights, fit_intercept, device)
    return WhiteGeometry.of(make_features(X, row_weights, fit_intercept, device), row_weights, fit_intercept)


def has_sparse_part(X: Any) -> bool:
    return any(sp.issparse(block) for block in (X.blocks if isinstance(X, FeatureBlocks) else [X]))


def has_dense_part(X: Any) -> bool:
    return any(not sp.issparse(block) for block in (X.blocks if isinstance(X, FeatureBlocks) else [X]))


@dataclass
class ScaledGeometry:
    """The geometry of blocks times their scales, speaking of the weights of unscaled blocks."""

    inner: Geometry
    factors: np.ndarray  # (n_features,), zero for blocks that are left out

    @classmethod
    def of(
        cls,
        X: FeatureBlocks,
        row_weights: np.ndarray,
        fit_intercept: bool,
        device: torch.device,
        scales: Sequence[float],
    ) -> "ScaledGeometry":
        kept = [(block, scale) for block, scale in zip(X.blocks, scales, strict=True) if scale != 0]
        scaled = FeatureBlocks(*(block for block, _ in kept)).scale([scale for _, scale in kept])
        inner = find_geometry(scaled if len(kept) > 1 else scaled.blocks[0], row_weights, fit_intercept, device)
        widths = [block.shape[1] for block in X.blocks]
        return cls(inner, np.repeat(np.asarray(scales, dtype=X.dtype), widths))

    def coordinates(self, loss: Loss, C: Tensor) -> Coordinates:
        return self.inner.coordinates(loss, C)

    def start(
        self, coordinates: Any, loss: Loss, weights: np.ndarray, intercepts: np.ndarray, offset: Tensor | None = None
    ) -> Vector:
        used = self.factors != 0
        return self.inner.start(coordinates, loss, weights[:, :, used] / self.factors[used], intercepts, offset)

    def weights(self, coordinates: Any, point: Vector) -> tuple[np.ndarray, np.ndarray]:
        scaled, intercepts = self.inner.weights(coordinates, point)
        weights = np.zeros((len(self.factors), *scaled.shape[1:]), dtype=scaled.dtype)
        weights[self.factors != 0] = scaled * self.factors[self.factors != 0, None, None]
        return weights, intercepts


@dataclass
class ReducedGeometry:
    """Few rows, many features: the rows span n_rows dimensions, and a square dense matrix holds them all.

    `lift` (features x n_rows, an isometry) brings the weights back; for sparse X it is X.T @ `lift`.
    """

    white: WhiteGeometry
    lift: np.ndarray
    mean: np.ndarray  # (n_features,)
    sparse: Any  # the centred-on-the-fly X when it is sparse, else None
    share: np.ndarray

    @classmethod
    def of(cls, X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device) -> "ReducedGeometry":
        share = row_weights / row_weights.sum() if fit_intercept else np.zeros(len(row_weights))
        mean = np.asarray(X.T @ share)
        if has_sparse_part(X):
            kernel = to_kernel(X.astype(np.float64))
            kernel -= share @ kernel
            kernel -= (kernel @ share)[:, None]
            spectrum, vectors = torch.linalg.eigh(torch.from_numpy(kernel).to(device))
            kept = spectrum > spectrum[-1] * len(kernel) * torch.finfo(torch.float64).eps
            kept[-1] = True  # a direction of length zero where all rows are alike
            roots = spectrum[kept].clamp_min(0).sqrt()
            inverse = torch.where(roots > 0, 1 / roots, 0.0)
            rows, lift = (vectors[:, kept] * roots).cpu().numpy(), (vectors[:, kept] * inverse).cpu().numpy()
            square, sparse = rows.astype(X.dtype), X
        else:
            matrix = np.hstack(X.blocks) if isinstance(X, FeatureBlocks) else X
            centred = torch.from_numpy((matrix - mean).astype(X.dtype)).to(device)
            isometry, triangle = torch.linalg.qr(centred.T)
            square, lift, sparse = triangle.T.contiguous().cpu().numpy(), isometry.cpu().numpy(), None
        features = DenseFeatures.from_numpy(square, row_weights, False, device)
        white = WhiteGeometry.of(features, row_weights, fit_intercept)
        return cls(white, lift.astype(X.dtype), mean, sparse, share)

    def coordinates(self, loss: Loss, C: Tensor) -> WhiteCoordinates:
        return self.white.coordinates(loss, C)

    def start(
        self,
        coordinates: WhiteCoordinates,
        loss: Loss,
        weights: np.ndarray,
        intercepts: np.ndarray,
        offset: Tensor | None = None,
    ) -> Vector:
        shifted = intercepts + weights @ self.mean
        if self.sparse is None:
            inner = weights @ self.lift
        else:
            flat = weights.reshape(-1, weights.shape[2])
            centred = self.sparse @ flat.T - (flat @ self.mean)  # (n_rows, n_problems * n_outputs)
            inner = (centred.T @ self.lift).reshape(*weights.shape[:2], -1)
        return self.white.start(coordinates, loss, inner.astype(self.lift.dtype), shifted)

    def weights(self, coordinates: WhiteCoordinates, point: Vector) -> tuple[np.ndarray, np.ndarray]:
        inner, intercepts = self.white.weights(coordinates, point)
        weights = self.lift @ inner.reshape(len(inner), -1)
        if self.sparse is not None:
            weights = self.sparse.T @ (weights - np.outer(self.share, weights.sum(0))).astype(self.lift.dtype)
        intercepts = intercepts - (self.mean @ weights).reshape(intercepts.shape)
        return weights.reshape(-1, *inner.shape[1:]), intercepts.astype(inner.dtype)


class MixedGeometry:
    """Dense blocks by the eigenvectors of their Gram matrix, sparse ones by the dual."""

    def __init__(self, X: FeatureBlocks, row_weights: np.ndarray, fit_intercept: bool, device: torch.device) -> None:
        self.is_sparse = np.concatenate([np.full(block.shape[1], sp.issparse(block)) for block in X.blocks])
        parts = [FeatureBlocks(*(block for block in X.blocks if sp.issparse(block) == kind)) for kind in (True, False)]
        self.dual = DualGeometry(parts[0], row_weights, fit_intercept, device)
        dense = make_features(parts[1], row_weights, fit_intercept, device)
        self.white = WhiteGeometry.of(dense, row_weights, False)
        self.fit_intercept = fit_intercept

    def coordinates(self, loss: Loss, C: Tensor) -> MixedCoordinates:
        dual = self.dual.coordinates(loss, C)
        white = self.white.coordinates(loss, C)
        share = loss.curvature * loss.weights.sum(0) / self.dual.n_rows
        white.scale = white.scale * (share * self.dual.largest + 1 / C).sqrt()[:, None]
        return MixedCoordinates(white, dual)

    def start(
        self,
        coordinates: MixedCoordinates,
        loss: Loss,
        weights: np.ndarray,
        intercepts: np.ndarray,
        offset: Tensor | None = None,
    ) -> Vector:
        white = self.white.start(coordinates.white, loss, weights[:, :, ~self.is_sparse], intercepts)
        scores = coordinates.white.scores(white)
        shift = weights[:, :, ~self.is_sparse] @ self.white.features.mean[:, 0].cpu().numpy()
        offset = scores if offset is None else scores + offset
        dual = self.dual.start(
            coordinates.dual, loss, weights[:, :, self.is_sparse], (intercepts + shift).astype(intercepts.dtype), offset
        )
        return join(white, dual)

    def weights(self, coordinates: MixedCoordinates, point: Vector) -> tuple[np.ndarray, np.ndarray]:
        white, dual = coordinates.split(point)
        sparse_weights, intercepts = self.dual.weights(coordinates.dual, dual)
        dense_weights, shift = self.white.weights(coordinates.white, white)
        weights = np.empty((len(self.is_sparse), *dense_weights.shape[1:]), dtype=dense_weights.dtype)
        weights[self.is_sparse], weights[~self.is_sparse] = sparse_weights, dense_weights
        return weights, intercepts + shift
