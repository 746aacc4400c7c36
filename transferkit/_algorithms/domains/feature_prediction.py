"""Features predicted from all others: structural correspondence learning, marginalized denoising autoencoders."""

from typing import Any

import numpy as np
from scipy import linalg, sparse

from transferkit._algorithms.linalg.conjugate_gradients import conjugate_gradients
from transferkit._algorithms.linalg.decompositions import fix_signs

__all__ = ["choose_pivots", "document_frequency", "encode", "find_correspondences", "fit_layer", "mutual_information"]

MOST_UNKNOWNS = 6_000  # larger systems are solved by conjugate gradients instead of a factorisation
_N_STEPS = 50
_RIDGE = 1e-3  # relative to the mean diagonal, for linearly dependent features


def choose_pivots(source: Any, target: Any, labels: np.ndarray | None, n_pivots: int, min_count: int) -> np.ndarray:
    """Return the columns of the pivots, ascending: features that occur in at least `min_count` rows of each domain.

    With class numbers of the source rows, they are the features of largest mutual information with these [1]_; without,
    the most frequent ones.

    References
    ----------
    .. [1] J. Blitzer, M. Dredze, F. Pereira, "Biographies, Bollywood, boom-boxes and blenders: domain adaptation for
       sentiment classification", ACL (2007).
    """
    counts = np.array([document_frequency(X) for X in (source, target)])
    value = counts.min(0).astype(np.float64) if labels is None else mutual_information(source, labels)
    value = np.where(counts.min(0) >= min_count, value, -np.inf)
    order = np.argsort(-value, kind="stable")[:n_pivots]
    return np.sort(order[np.isfinite(value[order])])


def mutual_information(X: Any, labels: np.ndarray) -> np.ndarray:
    """Return the mutual information, in nats, between the presence of each feature and the labels (n_features,)."""
    n_rows, n_classes = X.shape[0], int(labels.max()) + 1
    members = sparse.csr_array((np.ones(n_rows), (labels, np.arange(n_rows))), shape=(n_classes, n_rows))
    present = members @ _to_presence(X)
    present = present.toarray() / n_rows
    of_class = np.bincount(labels, minlength=n_classes)[:, None] / n_rows
    total = present.sum(0)
    found = np.zeros(X.shape[1])
    for joint, marginal in ((present, total), (of_class - present, 1 - total)):
        expected = of_class * marginal
        is_there = joint > 1e-12
        ratio = np.where(is_there, joint, 1) / np.where(is_there, expected, 1)
        found += (joint * np.log(ratio)).sum(0)
    return found


def document_frequency(X: Any) -> np.ndarray:
    """Return the number of rows in which each feature is not zero (n_features,)."""
    return np.bincount(_to_presence(X).indices, minlength=X.shape[1])


def _to_presence(X: Any) -> sparse.csr_array:
    """Return a matrix of ones where X is not zero."""
    rows = sparse.csr_array(X, copy=True)
    rows.eliminate_zeros()
    rows.data = np.ones_like(rows.data, dtype=np.float64)
    return rows


def find_correspondences(rows: Any, pivots: np.ndarray, n_components: int, alpha: float) -> np.ndarray:
    """Return the leading directions in which the other features predict the pivots, (n_features, n_components).

    The centred presence of each pivot in the rows of both domains is predicted by ridge regression from all other
    features, W = (X'X + a I)^-1 X' P. The directions are the left singular vectors of W [1]_; their entries for pivots
    are zero. The penalty a is `alpha` times the mean squared length of the rows without pivots. Blitzer et al. use the
    modified Huber loss; the squared loss has a closed form for all pivots at once.

    References
    ----------
    .. [1] J. Blitzer, R. McDonald, F. Pereira, "Domain adaptation with structural correspondence learning", EMNLP
       (2006).
    """
    n_features = rows.shape[1]
    present = _to_presence(rows[:, pivots])
    wanted = present.toarray() - np.asarray(present.mean(axis=0)).ravel()
    others = np.setdiff1d(np.arange(n_features), pivots)
    weights = np.zeros((n_features, len(pivots)))
    weights[others] = _ridge(rows[:, others], wanted, alpha)
    size = len(pivots)
    last = [size - n_components, size - 1]
    squares, right = linalg.eigh(weights.T @ weights, subset_by_index=last, check_finite=False)
    lengths = np.sqrt(np.maximum(squares[::-1], np.finfo(float).tiny))
    return fix_signs((weights @ right[:, ::-1]) / lengths)


def _ridge(X: Any, targets: np.ndarray, alpha: float) -> np.ndarray:
    """Return (X'X + a I)^-1 X' T with a = alpha * trace(X'X) / n_rows, from the smaller of both systems."""
    n_rows, n_features = X.shape
    squares = X.multiply(X).sum() if sparse.issparse(X) else np.einsum("ij,ij->", X, X)
    penalty = max(alpha * float(squares) / n_rows, np.finfo(float).tiny)
    if min(n_rows, n_features) > MOST_UNKNOWNS:
        right = np.asarray(X.T @ targets)
        return conjugate_gradients(lambda V: np.asarray(X.T @ (X @ V)) + penalty * V, right, _N_STEPS, tol=1e-5)[0]
    is_dual = n_rows < n_features
    gram = X @ X.T if is_dual else X.T @ X
    gram = np.asarray(gram.toarray() if sparse.issparse(gram) else gram, np.float64)
    gram.flat[:: len(gram) + 1] += penalty
    factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
    if is_dual:
        return np.asarray(X.T @ linalg.cho_solve(factor, targets))
    return linalg.cho_solve(factor, np.asarray(X.T @ targets))


def fit_layer(X: Any, columns: np.ndarray, corruption: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (n_features, n_columns) and intercepts (n_columns,) that best reconstruct lost features [1]_.

    Each entry is set to zero with probability c = `corruption`, independently. The expected squared error over all
    corruptions is minimised by W = Q^-1 P. With S = X'X, where X has a column of ones that is never set to zero, and
    the probabilities of survival q (1 - c, and 1 for the ones), Q_ij = S_ij q_i q_j, Q_ii = S_ii q_i and
    P_ij = S_ij q_i.

    References
    ----------
    .. [1] M. Chen, Z. Xu, K. Weinberger, F. Sha, "Marginalized denoising autoencoders for domain adaptation", ICML
       (2012).
    """
    n_rows, n_features = X.shape
    scatter = np.empty((n_features + 1, n_features + 1), X.dtype)
    products = X.T @ X
    scatter[:-1, :-1] = products.toarray() if sparse.issparse(products) else products
    scatter[-1, :-1] = scatter[:-1, -1] = np.asarray(X.sum(axis=0)).ravel()
    scatter[-1, -1] = n_rows
    survival = np.full(n_features + 1, 1 - corruption, X.dtype)
    survival[-1] = 1
    right = scatter[:, columns] * survival[:, None]
    diagonal = np.diag(scatter).copy()
    scatter *= survival[:, None]
    scatter *= survival
    scatter.flat[:: n_features + 2] = survival * diagonal + _RIDGE * (diagonal[:-1].mean() or 1.0)  # 1 if all are zero
    factor = linalg.cho_factor(scatter, lower=True, overwrite_a=True, check_finite=False)
    solution = linalg.cho_solve(factor, right, overwrite_b=True, check_finite=False)
    return np.ascontiguousarray(solution[:-1]), np.ascontiguousarray(solution[-1])


def encode(X: Any, weights: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Return tanh(X W + b), (n_rows, n_columns)."""
    hidden = np.asarray(X @ weights)
    hidden += intercept
    return np.tanh(hidden, out=hidden)
