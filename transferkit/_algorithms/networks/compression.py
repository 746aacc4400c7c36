"""Compression of weights: which are pruned, how they are quantised and stored, and their size in bytes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["METHODS", "choose_zeros", "count_bytes", "dequantise", "dequantise_layers", "quantise_array", "store_small"]

METHODS = ("magnitude", "random", "min", "max", "threshold")
LARGEST_INT8 = 127


def choose_zeros(
    weights: Sequence[np.ndarray], amount: float, method: str, scope: str, rng: np.random.RandomState
) -> list[np.ndarray]:
    """Return masks of the weights to prune, one per layer.

    `amount` is the share of the weights, of all layers together (scope "global") or of each ("layer"); with method
    "threshold" the magnitude below which weights are pruned. The other methods take those of smallest magnitude, random
    ones, the smallest (most negative), or the largest.
    """
    if method == "threshold":
        return [np.abs(array) < amount for array in weights]
    ranks = [_rank(array, method, rng) for array in weights]
    if scope == "layer":
        return [_lowest(rank.ravel(), amount).reshape(rank.shape) for rank in ranks]
    together = _lowest(np.concatenate([rank.ravel() for rank in ranks]), amount)
    ends = np.cumsum([rank.size for rank in ranks])
    return [part.reshape(rank.shape) for part, rank in zip(np.split(together, ends[:-1]), ranks, strict=True)]


def _rank(array: np.ndarray, method: str, rng: np.random.RandomState) -> np.ndarray:
    if method == "random":  # weights that are zero already count towards the share
        return np.where(array == 0, -1.0, rng.random_sample(array.shape))
    return np.abs(array) if method == "magnitude" else array if method == "min" else -array


def _lowest(ranks: np.ndarray, amount: float) -> np.ndarray:
    chosen = np.zeros(len(ranks), dtype=bool)
    n_zeros = int(amount * len(ranks))
    if n_zeros:
        chosen[np.argpartition(ranks, n_zeros - 1)[:n_zeros]] = True
    return chosen


def store_small(array: np.ndarray) -> Any:
    """Return the array as CSR if that takes fewer bytes; SciPy has no float16, so its entries become float32."""
    sparse = sp.csr_array(array.astype(np.float32) if array.dtype == np.float16 else array)
    return sparse if count_bytes([sparse]) < array.nbytes else array


def quantise_array(array: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an array (n_inputs, n_outputs) in fewer bits, and the scales (n_outputs,) of its columns.

    "float16" needs no scales. For "int8" each column is rounded to 255 levels between minus and plus its largest
    magnitude.
    """
    if dtype == "float16":
        return array.astype(np.float16), None
    largest = np.abs(array).max(axis=0, initial=0)
    scales = (largest / LARGEST_INT8).astype(np.float32)
    scales[scales < np.finfo(np.float32).tiny] = 1  # of columns that vanish in float32
    return np.rint(array / scales).astype(np.int8), scales


def count_bytes(arrays: Sequence[Any]) -> int:
    """Return the bytes of arrays and sparse arrays, with their indices; None counts as zero."""
    total = 0
    for array in arrays:
        if sp.issparse(array):
            total += array.data.nbytes + array.indices.nbytes + array.indptr.nbytes
        elif array is not None:
            total += array.nbytes
    return total


def dequantise_layers(weights: Sequence[Any], scales: Sequence[np.ndarray | None] | None) -> list[np.ndarray]:
    """Return the weights of layers as dense arrays of at least 32 bits."""
    return [dequantise(array, scale) for array, scale in zip(weights, scales or [None] * len(weights), strict=True)]


def dequantise(array: Any, scale: np.ndarray | None = None) -> np.ndarray:
    """Return weights as a dense array of at least 32 bits."""
    dense = array.toarray() if sp.issparse(array) else array
    converted = dense.astype(np.float32) if dense.dtype.itemsize < 4 else dense
    return converted if scale is None else converted * scale
