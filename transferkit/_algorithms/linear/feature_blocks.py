"""Dense and sparse feature matrices side by side, without being stacked.

The class is public as `transferkit.FeatureBlocks`. It is defined here, below the heads, because the solvers and the
validation of features must recognise it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

__all__ = ["FeatureBlocks", "multiply_rows", "to_dense", "to_gram", "to_kernel"]


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
