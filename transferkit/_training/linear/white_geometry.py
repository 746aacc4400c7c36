"""Coordinates from the eigenvectors of the Gram matrix of the features."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transferkit._training.linear.coordinates import BlockBasis, Vector, WhiteCoordinates
from transferkit._training.linear.features import BlockFeatures, DenseFeatures, Features
from transferkit._training.linear.losses import Loss

__all__ = ["WhiteGeometry"]

MAX_DECOMPOSED = 2500  # largest matrix that is decomposed; beyond, the decomposition costs more than it saves


@dataclass
class WhiteGeometry:
    """Eigenvectors of the Gram matrix; of one too large, those of dense blocks and the diagonal."""

    features: Features
    basis: Tensor | BlockBasis | None  # (n_features, n_features)
    spectrum: Tensor  # (n_features,) float64
    total: float  # of the row weights
    fit_intercept: bool

    @classmethod
    def of(cls, features: Features, row_weights: np.ndarray, fit_intercept: bool) -> "WhiteGeometry":
        weights = torch.from_numpy(row_weights).to(features.mean)
        total = float(row_weights.sum())
        if features.n_columns > MAX_DECOMPOSED:
            basis, spectrum = decompose_blocks(features, weights)
            return cls(features, basis, spectrum, total, fit_intercept)
        spectrum, basis = torch.linalg.eigh(features.gram(weights))
        return cls(features, basis.to(weights.dtype), spectrum.clamp_min(0), total, fit_intercept)

    def coordinates(self, loss: Loss, C: Tensor) -> WhiteCoordinates:
        totals = loss.weights.sum(0, dtype=torch.float64)  # (n_problems,), smaller where a fold is left out
        share = loss.curvature * totals / self.total
        hessian = self.spectrum[:, None] * share + 1 / C.double()
        if self.fit_intercept:
            hessian = torch.cat([hessian, loss.curvature * totals[None]])
        return WhiteCoordinates(self.features, self.basis, hessian.rsqrt().to(C.dtype)[:, :, None], C, loss.curvature)

    def start(
        self,
        coordinates: WhiteCoordinates,
        loss: Loss,
        weights: np.ndarray,
        intercepts: np.ndarray,
        offset: Tensor | None = None,
    ) -> Vector:
        columns = torch.from_numpy(np.ascontiguousarray(weights.transpose(2, 0, 1))).to(coordinates.C)
        shift = torch.einsum("d,dpk->pk", self.features.mean[:, 0], columns)
        return coordinates.start(columns, torch.from_numpy(intercepts).to(coordinates.C) + shift)

    def weights(self, coordinates: WhiteCoordinates, point: Vector) -> tuple[np.ndarray, np.ndarray]:
        weights, intercepts = coordinates.weights(point)
        intercepts = intercepts - torch.einsum("d,dpk->pk", self.features.mean[:, 0], weights)
        return weights.cpu().numpy(), intercepts.cpu().numpy()


def decompose_blocks(features: Features, weights: Tensor) -> tuple[BlockBasis | None, Tensor]:
    """Return eigenvectors of the Gram matrix of each dense block, unit vectors for sparse ones, and the spectrum."""
    if not isinstance(features, BlockFeatures):
        return None, features.squared_columns(weights)
    bases: list[Tensor | None] = []
    spectra = []
    for part in features.parts:
        basis, spectrum = None, None
        if isinstance(part, DenseFeatures) and part.n_columns <= MAX_DECOMPOSED:
            spectrum, basis = torch.linalg.eigh(part.gram(weights))
            basis = basis.to(weights.dtype)
        bases.append(basis)
        spectra.append(part.squared_columns(weights) if spectrum is None else spectrum.clamp_min(0))
    return BlockBasis(bases, features.sizes), torch.cat(spectra)
