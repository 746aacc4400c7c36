"""Distance of samples from the samples of training: to the nearest class mean, or to the nearest sample."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from transferkit._algorithms.linalg.moments import ledoit_wolf_shrinkage
from transferkit._algorithms.rows.clusters import check_squares

__all__ = ["describe_rows", "measure_similarity"]

_BLOCK_ENTRIES = 1 << 22  # of the similarities held at a time
_LEAST_VARIANCE = 1e-9  # relative to the mean variance


def describe_rows(rows: Any, classes: np.ndarray) -> dict[str, Any]:
    """Return what `measure_similarity` needs to know of the rows of training, as arrays by name.

    Parameters
    ----------
    rows : ndarray or CSR matrix of shape (n_samples, n_features)
        Features.
    classes : ndarray of int, shape (n_samples,)
        Class numbers from 0, each of which occurs.

    Raises
    ------
    ValueError
        If squares of dense rows would overflow.
    """
    if sp.issparse(rows):
        return {"rows": _unit_rows(rows)}
    rows = rows.astype(np.float64)
    check_squares(rows, "SelectiveClassifier")
    counts = np.bincount(classes)
    means = np.zeros((len(counts), rows.shape[1]))
    np.add.at(means, classes, rows)
    means /= counts[:, None]
    whitening = _find_whitening(rows - means[classes])
    return whitening | {"centres": _whiten(means, whitening)}


def measure_similarity(described: dict[str, Any], rows: Any) -> np.ndarray:
    """Return how similar rows are to those of training (n_samples,), the larger the more similar.

    For dense rows it is minus the Mahalanobis distance to the nearest class mean [1]_ by the covariance within classes,
    which all classes share and which is shrunk towards the scaled identity [2]_. For sparse rows, whose covariance
    would be large, it is the cosine similarity to the nearest row of training.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee, J. Shin (2018). A simple unified framework for detecting out-of-distribution samples
       and adversarial attacks. NeurIPS.
    .. [2] O. Ledoit, M. Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
       Multivariate Analysis 88.
    """
    if "rows" in described:
        known = described["rows"]
        rows = _unit_rows(rows)
        step = max(_BLOCK_ENTRIES // known.shape[0], 1)
        parts = [rows[begin : begin + step] @ known.T for begin in range(0, rows.shape[0], step)]
        return np.concatenate([part.max(axis=1).toarray().ravel() for part in parts]).astype(np.float64)
    with np.errstate(over="ignore"):  # rows so far away are at infinite distance
        return -cdist(_whiten(rows.astype(np.float64), described), described["centres"]).min(axis=1)


def _find_whitening(centred: np.ndarray) -> dict[str, Any]:
    """Return directions of variance of centred rows, the scales in them, and the scale in all other directions."""
    n_samples, n_features = centred.shape
    squares = np.einsum("ij,ij->i", centred, centred)
    is_tall = n_features <= n_samples
    values, vectors = np.linalg.eigh(centred.T @ centred if is_tall else centred @ centred.T)
    kept = values > np.finfo(np.float64).eps * max(centred.shape) * max(values.max(initial=0), 0)
    values, vectors = values[kept], vectors[:, kept]
    directions = vectors if is_tall else centred.T @ (vectors / np.sqrt(values))
    variances = values / n_samples
    mean = variances.sum() / n_features
    shrinkage = ledoit_wolf_shrinkage(squares, float(variances @ variances), n_features)
    floor = max(shrinkage, _LEAST_VARIANCE) * (mean if mean > 0 else 1.0)
    scales = 1 / np.sqrt((1 - shrinkage) * variances + floor)
    return {"directions": directions, "scales": scales, "outside": float(1 / np.sqrt(floor))}


def _whiten(rows: np.ndarray, whitening: dict[str, Any]) -> np.ndarray:
    """Return rows in coordinates in which the shared covariance is the identity."""
    directions = whitening["directions"]
    inside = rows @ directions
    if directions.shape[0] == directions.shape[1]:
        return inside * whitening["scales"]
    rest = rows - inside @ directions.T
    return np.hstack([inside * whitening["scales"], rest * whitening["outside"]])


def _unit_rows(rows: Any) -> sp.csr_matrix:
    rows = sp.csr_matrix(rows, copy=True)
    rows.data = rows.data.astype(np.float64, copy=False)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    rows.data /= np.repeat(np.where(lengths > 0, lengths, 1), np.diff(rows.indptr))
    return rows
