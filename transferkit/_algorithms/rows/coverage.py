"""Selection of samples that represent the others: similarities of samples, and greedy facility location."""

from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["Similarity", "choose_representatives"]

_BLOCK_ENTRIES = 1 << 22  # of the similarities held at a time


class Similarity:
    """Similarity of two samples: 1 if they are equal, 0 if they are less similar than random samples of a data set.

    Parameters
    ----------
    rows : ndarray or CSR matrix of shape (n_samples, n_features)
        The data set.
    angular : bool
        Whether the similarity is the squared cosine of two samples after the mean is subtracted, and 0 if the cosine is
        negative or a sample is all zeros, which has no direction. Otherwise it is (1 - d^2 / m)^2, and 0 if d^2 > m,
        where d is the Euclidean distance and m the mean squared distance of two samples of the data set. The squares
        make near samples count more, of which there are few, than distant ones.
    """

    def __init__(self, rows: Any, angular: bool) -> None:
        self.angular = angular
        self.mean = np.asarray(rows.mean(axis=0), np.float64).ravel()
        self.variance = 1.0
        squares = self._squares(rows if sp.issparse(rows) else rows - self.mean)
        self.variance = float(squares.mean()) or 1.0

    def between(self, rows: Any, others: Any) -> np.ndarray:
        """Return the similarities (n_rows, n_others) of samples and others, float32."""
        shifted, others_shifted = self._shift(rows), self._shift(others)
        squares, other_squares = self._squares(shifted), self._squares(others_shifted)
        products = self._product(shifted, others_shifted)
        if self.angular:
            products *= _invert_lengths(squares, rows)[:, None]
            products *= _invert_lengths(other_squares, others)
        else:
            products += 1 - (squares[:, None] + other_squares) / 2
        np.clip(products, 0, 1, out=products)
        return np.square(products, out=products).astype(np.float32, copy=False)

    def to_nearest(self, rows: Any, others: Any) -> np.ndarray:
        """Return the similarity of each sample to the most similar of the others, (n_rows,); 0 if there are none."""
        nearest = np.zeros(rows.shape[0], np.float32)
        step = max(_BLOCK_ENTRIES // rows.shape[0], 1)
        for begin in range(0, others.shape[0], step):
            np.maximum(nearest, self.between(rows, others[begin : begin + step]).max(axis=1), out=nearest)
        return nearest

    def _shift(self, rows: Any) -> Any:
        """Return dense samples without the mean, which is only implicitly subtracted from sparse ones."""
        return rows if sp.issparse(rows) else ((rows - self.mean) / np.sqrt(self.variance)).astype(np.float32)

    def _squares(self, rows: Any) -> np.ndarray:
        if not sp.issparse(rows):
            return np.einsum("ij,ij->i", rows, rows)
        lengths = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
        return (lengths - 2 * (rows @ self.mean) + self.mean @ self.mean) / self.variance

    def _product(self, rows: Any, others: Any) -> np.ndarray:
        if not sp.issparse(rows):
            return rows @ others.T
        products = (rows @ others.T).toarray().astype(np.float64)
        products += self.mean @ self.mean - (rows @ self.mean)[:, None] - others @ self.mean
        return products / self.variance


def choose_representatives(
    similarities: np.ndarray,
    n: int,
    *,
    factors: np.ndarray | None = None,
    covered: np.ndarray | None = None,
    most_similar: float = 1.0,
) -> np.ndarray:
    """Return the indices of samples that together are most similar to all, the most useful first.

    A set S of samples is worth sum_i max_{j in S} s_ij (facility location). Each step takes the sample that adds most,
    by which the set is worth at least 1 - 1/e of the best one [1]_; bounds from earlier steps save most of the work
    [2]_. With `factors`, what a sample adds is multiplied by its factor; if this is the uncertainty of a model, the
    product is an information density [3]_.

    Parameters
    ----------
    similarities : ndarray of shape (n_samples, n_samples), float32
        Symmetric, at least 0.
    n : int
        Number of samples to choose, at most `n_samples`.
    factors : ndarray of shape (n_samples,), default=None
        At least 0; by default equal.
    covered : ndarray of shape (n_samples,), default=None
        Similarity of each sample to the nearest of those chosen before, by default 0.
    most_similar : float, default=1.0
        Samples that are more similar than this to one that was chosen, now or before, are taken only when there are no
        others; so are those of no similarity to themselves.

    References
    ----------
    .. [1] G. Nemhauser, L. Wolsey, M. Fisher (1978). An analysis of approximations for maximizing submodular set
       functions. Mathematical Programming 14.
    .. [2] M. Minoux (1978). Accelerated greedy algorithms for maximizing submodular set functions. Optimization
       Techniques.
    .. [3] B. Settles, M. Craven (2008). An analysis of active learning strategies for sequence labeling tasks. EMNLP.
    """
    n_samples = len(similarities)
    factors = np.ones(n_samples) if factors is None else factors
    nearest = np.zeros(n_samples, np.float32) if covered is None else covered.astype(np.float32)
    bounds = factors * [_gain(row, nearest) for row in similarities]
    is_left, is_useful = np.ones(n_samples, np.bool_), similarities.diagonal() > 0
    is_distinct = nearest <= most_similar
    chosen: list[int] = []
    while len(chosen) < n:
        if not (is_left & is_useful & is_distinct).any():
            is_distinct[:] = True
        if not (is_left & is_useful).any():
            is_useful[:] = True
        best = _find_best(bounds, is_left & is_useful & is_distinct, similarities, nearest, factors)
        chosen.append(best)
        np.maximum(nearest, similarities[best], out=nearest)
        is_left[best] = False
        is_distinct &= similarities[best] <= most_similar
    return np.array(chosen, np.intp)


def _find_best(
    bounds: np.ndarray, is_free: np.ndarray, similarities: np.ndarray, nearest: np.ndarray, factors: np.ndarray
) -> int:
    """Return the free sample that adds most; its bound, and those of others that seemed better, become exact."""
    free = np.flatnonzero(is_free)
    while True:
        best = free[bounds[free].argmax()]
        bounds[best] = factors[best] * _gain(similarities[best], nearest)
        if bounds[best] >= bounds[free].max():
            return int(best)


def _gain(row: np.ndarray, nearest: np.ndarray) -> float:
    return float(np.maximum(row - nearest, 0).sum(dtype=np.float64))


def _invert_lengths(squares: np.ndarray, rows: Any) -> np.ndarray:
    """Return one over the length of each centred sample; 0 if the length is, or if the sample itself is all zeros."""
    has_direction = (squares > 0) & (np.asarray(abs(rows).sum(axis=1)).ravel() > 0)
    return np.divide(1, np.sqrt(np.maximum(squares, 0)), out=np.zeros_like(squares), where=has_direction)
