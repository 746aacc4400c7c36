"""Weighted and centred rows of features, dense, sparse or mixed, and their matrix products."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks, multiply_rows, to_dense, to_gram, to_kernel

__all__ = ["CentredRows", "centre_rows"]

CHUNK_ENTRIES = 4_000_000  # entries of a dense block of rows
MOST_SPARSE = 30_000_000  # entries, zeros included, up to which sparse rows may be made dense for precision


@dataclass
class CentredRows:
    """The matrix B = sqrt(w) * (X - mean) of weighted, centred rows; sparse columns are centred in products."""

    X: Any  # (n_rows, n_columns), weighted; dense columns, and sparse ones without zeros, are already centred
    roots: np.ndarray  # (n_rows,), square roots of the weights
    mean: np.ndarray  # (n_columns,), means still to be subtracted; zero for columns already centred

    def matmul(self, weights: np.ndarray) -> np.ndarray:
        """Return B @ weights."""
        return np.asarray(self.X @ weights) - np.outer(self.roots, self.mean @ weights)

    def rmatmul(self, values: np.ndarray) -> np.ndarray:
        """Return B.T @ values."""
        return np.asarray(self.X.T @ values) - np.outer(self.mean, self.roots @ values)

    def gram(self) -> np.ndarray:
        """Return B.T @ B."""
        product = to_gram(self.X)
        if not self.mean.any():
            return product
        cross = np.outer(np.asarray(self.X.T @ self.roots), self.mean)
        return product - cross - cross.T + (self.roots @ self.roots) * np.outer(self.mean, self.mean)

    def kernel(self) -> np.ndarray:
        """Return B @ B.T."""
        product = to_kernel(self.X)
        if not self.mean.any():
            return product
        cross = np.outer(np.asarray(self.X @ self.mean), self.roots)
        return product - cross - cross.T + (self.mean @ self.mean) * np.outer(self.roots, self.roots)

    def column_squares(self) -> np.ndarray:
        """Return the squared lengths of the columns of B (n_columns,)."""
        squares = [
            np.asarray(block.multiply(block).sum(axis=0)).ravel()
            if issparse(block)
            else np.einsum("ij,ij->j", block, block)
            for block in self._blocks()
        ]
        sums = np.asarray(self.X.T @ self.roots)
        return np.concatenate(squares) - 2 * self.mean * sums + (self.roots @ self.roots) * self.mean**2

    def can_be_dense(self) -> bool:
        """Return whether all columns are dense, or small enough to be made dense."""
        return self.X.shape[0] * self.X.shape[1] <= MOST_SPARSE or not any(map(issparse, self._blocks()))

    def take(self, rows: Any) -> "CentredRows":
        """Return some of the rows."""
        return CentredRows(self.X[rows], self.roots[rows], self.mean)

    def dense(self) -> np.ndarray:
        """Return B as an array."""
        return np.hstack([to_dense(block) for block in self._blocks()]) - np.outer(self.roots, self.mean)

    def blocks(self) -> Iterator[tuple[slice, "CentredRows"]]:
        """Yield blocks of rows that are small enough to be made dense."""
        n_rows, n_columns = self.X.shape
        size = max(n_columns, CHUNK_ENTRIES // max(1, n_columns))
        for begin in range(0, n_rows, size):
            rows = slice(begin, begin + size)
            yield rows, self.take(rows)

    def _blocks(self) -> Sequence[Any]:
        return self.X.blocks if isinstance(self.X, FeatureBlocks) else [self.X]


def centre_rows(X: Any, weights: np.ndarray, has_intercept: bool) -> tuple[CentredRows, np.ndarray]:
    """Return the centred rows of features in float64, and the mean of each column (zeros without an intercept).

    The mean is subtracted before any product, because products of columns far from zero lose the digits of differences.
    The mean of a sparse column that contains zeros is not large relative to its standard deviation, so such a column
    can be centred in the products. A sparse column without zeros is centred in its entries.

    Parameters
    ----------
    X : array, CSR matrix or FeatureBlocks of shape (n_rows, n_columns)
    weights : array of shape (n_rows,)
    has_intercept : bool
        Whether to subtract the means.
    """
    share = weights / weights.sum() if has_intercept else np.zeros(len(weights))
    blocks = X.blocks if isinstance(X, FeatureBlocks) else [X]
    parts = [(_centre_sparse if issparse(block) else _centre_dense)(block, share) for block in blocks]
    centred, shifts, means = zip(*parts, strict=True)
    roots, mean = np.sqrt(weights), np.concatenate(means)
    rows = FeatureBlocks(*centred) if isinstance(X, FeatureBlocks) else centred[0]
    if not np.all(weights == 1):
        rows = multiply_rows(rows, roots)
    return CentredRows(rows, roots, mean), np.concatenate(shifts) + mean


def _centre_dense(block: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the centred columns, their means, and zeros."""
    centred = block.astype(np.float64)
    mean = share @ centred
    centred -= mean
    rest = share @ centred  # rounding error of a large mean
    centred -= rest
    return centred, mean + rest, np.zeros(len(mean))


def _centre_sparse(block: Any, share: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the columns, those without zeros centred, the means subtracted, and the means still to be subtracted."""
    centred = block.astype(np.float64)
    centred.sum_duplicates()
    is_full = np.bincount(centred.indices, minlength=block.shape[1]) == block.shape[0]
    shift = np.where(is_full, centred.T @ share, 0)
    centred.data -= shift[centred.indices]
    return centred, shift, centred.T @ share
