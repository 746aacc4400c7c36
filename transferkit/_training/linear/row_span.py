"""The span of few rows: with more features than rows, a square dense matrix describes them all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks, to_kernel
from transferkit._training.linear.matrices import has_sparse_part

__all__ = ["RowSpan"]


@dataclass(frozen=True)
class RowSpan:
    """An orthonormal basis of the span of the centred rows, Q = `basis`, or Q = centred X.T @ `basis` for sparse X.

    The penalty depends on the weights only through their part in this span, and so do the scores.
    """

    basis: np.ndarray  # (n_features, n_directions), or (n_rows, n_directions) for sparse X
    mean: np.ndarray  # (n_features,), of the rows
    share: np.ndarray  # (n_rows,), row weights divided by their sum, or zeros without an intercept
    sparse: Any = None  # X itself if it is sparse

    @classmethod
    def of(
        cls, X: Any, row_weights: np.ndarray, fit_intercept: bool, device: torch.device
    ) -> tuple["RowSpan", np.ndarray]:
        """Return the span of the rows of X, and the centred rows in its basis, (n_rows, n_directions)."""
        share = row_weights / row_weights.sum() if fit_intercept else np.zeros(len(row_weights))
        mean = np.asarray(X.T @ share)
        if has_sparse_part(X):
            rows, basis = decompose_kernel(to_kernel(X.astype(np.float64)), share, device)
            return cls(basis.astype(X.dtype), mean, share, X), rows.astype(X.dtype)
        matrix = np.hstack(X.blocks) if isinstance(X, FeatureBlocks) else X
        centred = torch.from_numpy((matrix - mean).astype(X.dtype)).to(device)
        isometry, triangle = torch.linalg.qr(centred.T)
        return cls(isometry.cpu().numpy().astype(X.dtype), mean, share), triangle.T.contiguous().cpu().numpy()

    def expand(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights for the features, and intercepts, of weights (n_directions, n_problems, n_outputs)."""
        flat = self.basis @ weights.reshape(len(weights), -1)
        if self.sparse is not None:
            flat = self.sparse.T @ (flat - np.outer(self.share, flat.sum(0))).astype(self.basis.dtype)
        intercepts = intercepts - (self.mean @ flat).reshape(intercepts.shape)
        return flat.reshape(-1, *weights.shape[1:]), intercepts.astype(weights.dtype)

    def restrict(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_features, n_problems, n_outputs) projected onto the span, and intercepts."""
        flat = weights.reshape(len(weights), -1)
        of_mean = self.mean @ flat
        centred = flat if self.sparse is None else self.sparse @ flat - of_mean
        restricted = (self.basis.T @ centred).astype(self.basis.dtype)
        return restricted.reshape(-1, *weights.shape[1:]), intercepts + of_mean.reshape(intercepts.shape)


def decompose_kernel(kernel: np.ndarray, share: np.ndarray, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return the centred rows R in an orthonormal basis Q of their span, and B with Q = centred X.T @ B.

    With K = V diag(s) V.T they are R = V s^1/2 and B = V s^-1/2.
    """
    kernel = kernel - share @ kernel
    kernel -= (kernel @ share)[:, None]
    spectrum, vectors = torch.linalg.eigh(torch.from_numpy(kernel).to(device))
    kept = spectrum > spectrum[-1] * len(kernel) * torch.finfo(torch.float64).eps
    kept[-1] = True  # a direction of length zero if all rows are equal
    roots = spectrum[kept].clamp_min(0).sqrt()
    inverse = torch.where(roots > 0, 1 / roots, 0.0)
    return (vectors[:, kept] * roots).cpu().numpy(), (vectors[:, kept] * inverse).cpu().numpy()
