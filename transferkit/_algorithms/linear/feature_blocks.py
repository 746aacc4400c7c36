"""Dense and sparse feature matrices side by side, without being stacked, and their weighted, centred rows.

`FeatureBlocks` is public as `transferkit.FeatureBlocks`. It is defined here, below the heads, because the solvers and
the validation of features must recognise it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.sparse import issparse

__all__ = ["CentredRows", "FeatureBlocks", "centre_rows", "multiply_rows", "to_dense", "to_gram", "to_kernel"]

CHUNK_ENTRIES = 4_000_000  # entries of a dense block of rows
MOST_SPARSE = 30_000_000  # entries, zeros included, up to which sparse rows may be made dense for precision


class FeatureBlocks:
    """Blocks of columns of one feature matrix: sparse blocks stay sparse, dense blocks stay dense.

    It stands for ``scipy.sparse.hstack(blocks)`` without the copy and without storing dense columns as sparse ones, for
    instance TF-IDF features beside an embedding, or counts beside measurements. Linear heads accept it wherever they
    accept a matrix, and so do scikit-learn's splitters, searches and pipelines around them.

    Parameters
    ----------
    *blocks : {array-like, sparse matrix} of shape (n_samples, n_features_of_block)
        One or more matrices with the same samples. Arrays and CSR matrices are not copied.

    Attributes
    ----------
    blocks : tuple of ndarray and CSR matrices
        The blocks.
    shape : tuple of int
        Number of samples, and of columns of all blocks.
    slices : tuple of slice
        The columns of each block: ``coef_[:, X.slices[1]]`` are the weights of the second block.

    Raises
    ------
    ValueError
        If there is no block, or if a block is not two-dimensional or has another number of rows than the first.

    See Also
    --------
    transferkit.LogisticHead : Accepts it, with a penalty for each block (`block_scales`).

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from transferkit import FeatureBlocks, LogisticHead
    >>> words = csr_array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    >>> vectors = np.array([[0.2], [0.4], [-1], [0.3]])
    >>> X = FeatureBlocks(words, vectors)
    >>> X
    FeatureBlocks of shape (4, 4): sparse (4, 3), dense (4, 1)
    >>> head = LogisticHead().fit(X, [0, 0, 1, 0])
    >>> head.predict(X[2:])
    array([1, 0])
    """

    def __init__(self, *blocks: Any) -> None:
        self.blocks = tuple(block.tocsr() if sp.issparse(block) else np.asarray(block) for block in blocks)
        if not blocks:
            raise ValueError("FeatureBlocks needs at least one block of features. Got none.")
        for number, block in enumerate(self.blocks):
            if block.ndim != 2:
                raise ValueError(f"Every block must have 2 dimensions. Block {number} has {block.ndim}.")
            if block.shape[0] != self.blocks[0].shape[0]:
                raise ValueError(
                    f"All blocks must have the same rows. Block 0 has {self.blocks[0].shape[0]} rows, block {number} "
                    f"has {block.shape[0]}."
                )
        ends = np.cumsum([0, *(block.shape[1] for block in self.blocks)]).tolist()
        self.slices = tuple(slice(*pair) for pair in pairwise(ends))
        self.shape = (self.blocks[0].shape[0], ends[-1])

    ndim = 2

    @property
    def dtype(self) -> np.dtype:
        """The type to which the entries of all blocks can be promoted."""
        return np.result_type(*self.blocks)

    @property
    def T(self) -> "TransposedBlocks":
        """The transpose, which can be multiplied only."""
        return TransposedBlocks(self)

    def astype(self, dtype: Any, copy: bool = True) -> Self:
        """Return the blocks in another type.

        Parameters
        ----------
        dtype : dtype
            Type of all blocks.
        copy : bool, default=True
            Whether to copy blocks that already have this type.

        Returns
        -------
        converted : FeatureBlocks
            The same blocks.
        """
        return type(self)(*(block.astype(dtype, copy=copy) for block in self.blocks))

    def scale(self, factors: Sequence[float]) -> Self:
        """Return each block times a factor.

        Parameters
        ----------
        factors : sequence of float
            One factor per block.

        Returns
        -------
        scaled : FeatureBlocks
            The blocks; those with factor 1 are not copied.
        """
        pairs = zip(self.blocks, factors, strict=True)
        return type(self)(*(block if factor == 1 else block * block.dtype.type(factor) for block, factor in pairs))

    def to_sparse(self) -> Any:
        """Return all columns as one CSR matrix, for estimators that do not accept blocks.

        Returns
        -------
        matrix : CSR matrix of shape (n_samples, n_features)
            A copy, in which dense blocks take twice their memory.
        """
        return sp.hstack([sp.csr_array(block) for block in self.blocks], format="csr")

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        pairs = zip(self.blocks, self.slices, strict=True)
        products = (np.asarray(block @ weights[columns]) for block, columns in pairs)
        total = next(products)
        for product in products:
            total += product
        return total

    def __getitem__(self, key: Any) -> Self:
        rows, *others = key if isinstance(key, tuple) else (key,)
        if any(other is not Ellipsis and other != slice(None) for other in others):
            raise IndexError("FeatureBlocks can be indexed by rows only. Take columns from its `blocks`.")
        if isinstance(rows, (int, np.integer)):
            rows = [rows]  # a single row stays two-dimensional
        return type(self)(*(block[rows] for block in self.blocks))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            "FeatureBlocks is not a single array: pass it to a linear head of transferkit, or X.to_sparse() to other "
            "estimators."
        )

    def __repr__(self) -> str:
        kinds = (f"{'sparse' if sp.issparse(block) else 'dense'} {block.shape}" for block in self.blocks)
        return f"FeatureBlocks of shape {self.shape}: {', '.join(kinds)}"


class TransposedBlocks:
    """The transpose of feature blocks, for products."""

    def __init__(self, original: FeatureBlocks) -> None:
        self.original = original

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(block.T @ values) for block in self.original.blocks])


def multiply_rows(X: Any, factors: np.ndarray) -> Any:
    """Return diag(factors) @ X; sparse X stays sparse."""
    if isinstance(X, FeatureBlocks):
        return FeatureBlocks(*(multiply_rows(block, factors) for block in X.blocks))
    if sp.issparse(X):
        return X.multiply(factors[:, None]).tocsr()
    return X * factors[:, None]


def to_gram(X: Any) -> np.ndarray:
    """Return X.T @ X as a dense array."""
    if not isinstance(X, FeatureBlocks):
        return to_dense(X.T @ X)
    return np.block([[to_dense(left.T @ right) for right in X.blocks] for left in X.blocks])


def to_kernel(X: Any) -> np.ndarray:
    """Return X @ X.T as a dense array."""
    blocks: Iterable[Any] = X.blocks if isinstance(X, FeatureBlocks) else [X]
    return np.asarray(sum(to_dense(block @ block.T) for block in blocks))


def to_dense(matrix: Any) -> np.ndarray:
    """Return an array, or a sparse matrix, as an array."""
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


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
