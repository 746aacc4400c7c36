"""Pretrained term vectors as a prior over term weights: blocks of features, and folding them into one weight a term.

Rows of terms S and vectors E give features [s S | alpha t (S E - mean)], where s and t make the mean squared norm of the
rows one. A linear model on them is one on S alone, of weights s W1 + alpha t E W2: terms with similar vectors get
similar weights.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse


class TermBlocks(NamedTuple):
    """The two blocks of features of some rows, each of mean squared row norm one."""

    rows: sparse.csr_matrix  # (n_rows, n_terms)
    dense: np.ndarray  # (n_rows, n_components), centred
    column_scales: np.ndarray  # (n_terms,), that the given rows were multiplied by first
    vectors: np.ndarray  # (n_known, n_components), of the first terms
    term_scale: float
    dense_scale: float
    mean: np.ndarray  # (n_components,), that was taken from the projected rows before they were scaled


class TermWeights(NamedTuple):
    """A linear model on rows of terms; its weights are the sum of both parts."""

    labels: sparse.csr_matrix  # (n_outputs, n_terms), what the labels alone say of a term
    pretraining: np.ndarray  # (n_outputs, n_terms), what its vector passes on from other terms
    intercept: np.ndarray  # (n_outputs,)


def make_blocks(rows: sparse.csr_matrix, column_scales: np.ndarray, vectors: np.ndarray) -> TermBlocks:
    """Return both blocks of features.

    Parameters
    ----------
    rows : CSR matrix of float32 of shape (n_rows, n_terms)
        Rows of terms.
    column_scales : ndarray of shape (n_terms,)
        Weights of the terms, on top of those in the rows.
    vectors : ndarray of float32 of shape (n_known, n_components)
        Vectors of the first terms; the others have none.

    Returns
    -------
    blocks : TermBlocks
        The blocks.
    """
    scaled = sparse.csr_matrix(
        (rows.data * column_scales.astype(np.float32).take(rows.indices), rows.indices, rows.indptr), rows.shape
    )
    known = scaled if rows.shape[1] == len(vectors) else scaled[:, : len(vectors)]
    dense = np.asarray(known @ vectors)
    mean = dense.mean(0)
    dense -= mean
    term_scale = 1 / max(np.sqrt(np.square(scaled.data, dtype=np.float64).sum() / rows.shape[0]), 1e-12)
    dense_scale = 1 / max(np.sqrt(np.square(dense, dtype=np.float64).sum() / rows.shape[0]), 1e-12)
    scaled.data *= np.float32(term_scale)
    dense *= np.float32(dense_scale)
    return TermBlocks(scaled, dense, column_scales, vectors, float(term_scale), float(dense_scale), mean)


def block_kernels(blocks: TermBlocks) -> tuple[np.ndarray, np.ndarray]:
    """Return the inner products of the rows in either block, (n_rows, n_rows) each, float64."""
    dense = blocks.dense.astype(np.float64)
    rows = blocks.rows.astype(np.float64)
    return (rows @ rows.T).toarray(), dense @ dense.T


def block_factors(alpha: float) -> tuple[float, float]:
    """Return what the two blocks are multiplied by; an infinite alpha leaves the vectors alone."""
    return (0.0, 1.0) if np.isinf(alpha) else (1.0, float(alpha))


def root_of_kernel(of_terms: np.ndarray, of_vectors: np.ndarray, alpha: float) -> np.ndarray:
    """Return a square triangular L with L @ L.T the inner products of the rows' features, float32.

    Parameters
    ----------
    of_terms, of_vectors : ndarray of float64 of shape (n_rows, n_rows)
        What :func:`block_kernels` returns.
    alpha : float
        Factor of the second block.

    Returns
    -------
    root : ndarray of shape (n_rows, n_rows)
        Features that any linear model takes in place of the blocks: its weights L.T @ a stand for rows weighted by a.
    """
    terms_factor, vectors_factor = block_factors(alpha)
    kernel = terms_factor**2 * of_terms + vectors_factor**2 * of_vectors
    kernel[np.diag_indices_from(kernel)] += 1e-5 * max(np.trace(kernel) / len(kernel), 1e-12)  # texts may repeat
    return np.linalg.cholesky(kernel).astype(np.float32)


def join_blocks(blocks: TermBlocks, alpha: float) -> sparse.csr_matrix | np.ndarray:
    """Return the features of one alpha: both blocks side by side, or the one that it leaves."""
    of_terms, of_vectors = block_factors(alpha)
    if of_terms == 0:
        return blocks.dense
    if of_vectors == 0:
        return blocks.rows
    dense = sparse.csr_matrix(blocks.dense * np.float32(of_vectors))
    return sparse.csr_matrix(sparse.hstack([blocks.rows, dense], format="csr"))


def split_weights(blocks: TermBlocks, alpha: float, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (n_outputs, any) of :func:`join_blocks` as those of the blocks themselves."""
    n_terms = blocks.rows.shape[1]
    of_terms, of_vectors = block_factors(alpha)
    if of_terms == 0:
        return np.zeros((len(weights), n_terms), weights.dtype), weights
    if of_vectors == 0:
        return weights, np.zeros((len(weights), blocks.dense.shape[1]), weights.dtype)
    return weights[:, :n_terms], weights[:, n_terms:] * weights.dtype.type(of_vectors)


def weights_of_dual(blocks: TermBlocks, of_terms: np.ndarray, of_vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of both blocks from weights (n_rows, n_outputs) of the rows."""
    return np.asarray((blocks.rows.T @ of_terms).T), of_vectors.T @ blocks.dense


def fold_weights(
    blocks: TermBlocks, of_terms: np.ndarray, of_vectors: np.ndarray, intercept: np.ndarray
) -> TermWeights:
    """Return one weight a term from the weights of both blocks.

    Parameters
    ----------
    blocks : TermBlocks
        The blocks that the model was trained on.
    of_terms : ndarray of shape (n_outputs, n_terms)
        Weights of the columns of `blocks.rows`.
    of_vectors : ndarray of shape (n_outputs, n_components)
        Weights of the columns of `blocks.dense`.
    intercept : ndarray of shape (n_outputs,)
        Intercepts.

    Returns
    -------
    weights : TermWeights
        The same model on the rows that the blocks were made of.
    """
    passed_on = (of_vectors * blocks.dense_scale).astype(np.float32)
    pretraining = np.zeros(of_terms.shape, np.float32)
    n_known = len(blocks.vectors)
    pretraining[:, :n_known] = (passed_on @ blocks.vectors.T) * blocks.column_scales[:n_known]
    labels = sparse.csr_matrix((of_terms * (blocks.column_scales * blocks.term_scale)).astype(np.float32))
    return TermWeights(labels, pretraining, intercept - passed_on @ blocks.mean)


def weigh_candidates(losses: np.ndarray, n_rows: float, sharpness: float) -> np.ndarray:
    """Return the weight of each candidate in their average, in proportion to exp(-sharpness * n_rows * loss).

    Parameters
    ----------
    losses : ndarray of shape (n_candidates,)
        Mean negative log-likelihood of held-out rows; infinite for candidates that are out.
    n_rows : float
        Number of rows that were held out.
    sharpness : float
        1 for the posterior of candidates that are equally likely beforehand; less for a tempered one.

    Returns
    -------
    weights : ndarray of shape (n_candidates,)
        Not negative, their sum is one.
    """
    weights = np.exp(-sharpness * n_rows * (losses - losses.min()))
    return weights / weights.sum()
