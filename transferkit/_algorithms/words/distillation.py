"""Linear students of an encoder: term vectors whose weighted sums approximate its embeddings of texts."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.linalg.conjugate_gradients import ridge_by_conjugate_gradients
from transferkit._algorithms.linalg.threads import Map

__all__ = ["RegressionSums", "cosines_of_rows", "fit_term_vectors", "sum_batches"]


class RegressionSums(NamedTuple):
    """A regression of embeddings T with mean m on rows S of term weights, without the embeddings themselves."""

    rows: sparse.csr_array  # S, (n_texts, n_terms)
    products: np.ndarray  # S' (T - m), (n_terms, n_components), float64
    mean: np.ndarray  # m, (n_components,), float64
    spread: float  # root mean squared distance of the embeddings from their mean


def sum_batches(batches: Iterable[tuple[sparse.csr_matrix, np.ndarray]]) -> RegressionSums:
    """Return the sums of batches of texts: rows (n_texts, n_terms) and embeddings (n_texts, n_components), float32."""
    parts: list[sparse.csr_array] = []
    square = 0.0
    for rows, embeddings in batches:
        if not parts:
            # Sums of differences from a vector near the mean keep their digits, however long the mean is.
            offset = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
            products = np.zeros((rows.shape[1], embeddings.shape[1]))
            row_sums, total = np.zeros(rows.shape[1]), np.zeros(embeddings.shape[1])
        shifted = embeddings - offset
        seen = np.unique(rows.indices)
        products[seen] += rows[:, seen].T @ shifted
        row_sums += np.bincount(rows.indices, rows.data, minlength=rows.shape[1])
        total += shifted.sum(axis=0, dtype=np.float64)
        square += float((shifted.astype(np.float64) ** 2).sum())
        parts.append(sparse.csr_array(rows))
    joined = sparse.csr_array(sparse.vstack(parts, "csr"))
    shift = total / joined.shape[0]
    products -= np.outer(row_sums, shift)
    spread = np.sqrt(max(square / joined.shape[0] - shift @ shift, 0))
    return RegressionSums(joined, products, offset + shift, float(spread))


def fit_term_vectors(
    groups: list[RegressionSums], ridge: float, tol: float, max_iter: int, run: Map = map
) -> tuple[np.ndarray, bool]:
    """Return term vectors (n_terms, n_components), float32, and whether the iteration reached `tol`.

    They minimise the sum over groups of texts of ``||S W - (T - m)||^2``, plus ``ridge ||W||^2``.
    """
    right = groups[0].products.astype(np.float32)
    for group in groups[1:]:
        right += group.products.astype(np.float32)
    rows = sparse.csr_array(sparse.vstack([group.rows for group in groups], "csr"))
    return ridge_by_conjugate_gradients(rows, right, ridge, max_iter, tol, run)


def cosines_of_rows(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine between each row of a matrix and the same row of another; 0 for rows of zeros."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.einsum("ij,ij->i", left, right) / np.where(lengths > 0, lengths, 1)
