"""Pretrained term vectors as a Gaussian prior over the weights of terms in a linear model.

Rows of terms S and vectors E give features [s S | alpha t (S E - mean)], where s and t make the mean squared norm of
the rows one. A linear model on them is a linear model on S alone, with weights s W1 + alpha t E W2: terms with similar
vectors get similar weights (Raina, Ng and Koller 2006). The direction of the mean is removed from E first, as in smooth
inverse frequency weighting (Arora et al. 2017): all rows share it, whatever their class.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks

__all__ = ["Centring", "TermBlocks", "TermWeights", "block_factors", "make_blocks", "merge_blocks"]

ROUNDING = 16  # units in the last place of the norm of rows below which a rest is rounding error


class Centring(NamedTuple):
    """A map of dense rows to a mean of zero, perhaps without the direction of their mean, and a mean square of one."""

    mean: np.ndarray  # (n_features,)
    common: np.ndarray  # (n_features,), unit vector of the mean, or zeros
    scale: float  # zero if all rows are equal

    @classmethod
    def of(cls, rows: np.ndarray, *, removes_common: bool = True) -> "Centring":
        """Return the map that has these properties on some rows (n_rows, n_features)."""
        mean = rows.mean(0)
        common = mean / max(np.linalg.norm(mean), 1e-12) if removes_common else np.zeros_like(mean)
        unscaled = cls(mean, common, 1.0)
        spread = _mean_norm(unscaled.apply(rows))
        least = ROUNDING * np.finfo(rows.dtype).eps * _mean_norm(rows)
        return unscaled._replace(scale=1 / spread if spread > least else 0.0)

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Return the mapped rows."""
        rows = rows - self.mean
        rows -= np.outer(rows @ self.common, self.common)
        rows *= rows.dtype.type(self.scale)
        return rows

    def pull_back(self, weights: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_outputs, n_features) and intercepts for rows as they were, from those for mapped rows."""
        weights = weights * self.scale
        weights = (weights - np.outer(weights @ self.common, self.common)).astype(self.mean.dtype)
        return weights, intercept - weights @ self.mean


class TermBlocks(NamedTuple):
    """The two blocks of features of some rows, each of mean squared row norm one, or zero if all rows are equal."""

    rows: sparse.csr_matrix  # (n_rows, n_seen), columns of terms that occur
    dense: np.ndarray  # (n_rows, n_components), centred and without the common direction
    seen: np.ndarray  # (n_seen,), the columns in the given rows
    column_scales: np.ndarray  # (n_terms,), factors of the columns of the given rows
    vectors: np.ndarray  # (n_known, n_components), of the first terms
    term_scale: float
    centring: Centring  # of the projected rows
    further: sparse.csr_matrix | None = None  # (n_rows, n_further), terms without vectors, of unit row norm

    @property
    def features(self) -> FeatureBlocks:
        """All blocks side by side, the dense one last."""
        return FeatureBlocks(*(block for block in (self.rows, self.further, self.dense) if block is not None))

    def scales(self, alpha: float) -> tuple[float, ...]:
        """Return the scales of the blocks; with an infinite alpha only the vectors are used."""
        of_terms, of_vectors = block_factors(alpha)
        return (of_terms, of_vectors) if self.further is None else (of_terms, of_terms, of_vectors)


class TermWeights(NamedTuple):
    """A linear model on rows of terms; its weights are the sum of both parts."""

    labels: sparse.csr_matrix  # (n_outputs, n_terms), due to the labels alone
    pretraining: np.ndarray  # (n_outputs, n_terms), due to terms with similar vectors
    intercept: np.ndarray  # (n_outputs,)


def make_blocks(rows: sparse.csr_matrix, column_scales: np.ndarray, vectors: np.ndarray) -> TermBlocks:
    """Return both blocks of features of rows (n_rows, n_terms), float32.

    `column_scales` (n_terms,) are weights of the terms, on top of those in the rows. `vectors` (n_known, n_components),
    float32, are those of the first terms; the others have none.
    """
    n_rows = rows.shape[0]
    seen = np.unique(rows.indices)
    data = rows.data * column_scales.astype(np.float32).take(rows.indices)
    parts = (data, np.searchsorted(seen, rows.indices).astype(np.int32), rows.indptr)
    scaled = sparse.csr_matrix(parts, shape=(n_rows, len(seen)))
    n_known = int(np.searchsorted(seen, len(vectors)))
    dense = np.asarray(scaled[:, :n_known] @ vectors[seen[:n_known]])
    centring = Centring.of(dense)
    term_scale = 1 / max(np.sqrt(np.square(scaled.data, dtype=np.float64).sum() / n_rows), 1e-12)
    scaled.data *= np.float32(term_scale)
    return TermBlocks(scaled, centring.apply(dense), seen, column_scales, vectors, float(term_scale), centring)


def _mean_norm(rows: np.ndarray) -> float:
    """Return the root of the mean squared norm of rows."""
    return float(np.sqrt(np.square(rows, dtype=np.float64).sum() / len(rows)))


def block_factors(alpha: float) -> tuple[float, float]:
    """Return the factors of the two blocks; with an infinite alpha only the vectors are used."""
    return (0.0, 1.0) if np.isinf(alpha) else (1.0, float(alpha))


def merge_blocks(
    blocks: TermBlocks, of_terms: np.ndarray, of_vectors: np.ndarray, intercept: np.ndarray
) -> TermWeights:
    """Return one weight per term, for the rows that the blocks were made from, from the weights of both blocks.

    `of_terms` (n_outputs, n_seen) are the weights of the columns of `blocks.rows`, `of_vectors` (n_outputs,
    n_components) those of `blocks.dense`.
    """
    n_terms, n_known = len(blocks.column_scales), len(blocks.vectors)
    passed_on, intercept = blocks.centring.pull_back(of_vectors, intercept)
    pretraining = np.zeros((len(of_terms), n_terms), np.float32)
    pretraining[:, :n_known] = (passed_on @ blocks.vectors.T) * blocks.column_scales[:n_known]
    data = of_terms * (blocks.column_scales[blocks.seen] * blocks.term_scale)
    indptr = np.arange(len(of_terms) + 1) * len(blocks.seen)
    parts = (data.astype(np.float32).ravel(), np.tile(blocks.seen, len(of_terms)), indptr)
    labels = sparse.csr_matrix(parts, shape=pretraining.shape)
    return TermWeights(labels, pretraining, intercept)
