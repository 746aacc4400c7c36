"""Transferability scores: how well frozen features suit a task, without training a model."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from transferkit._algorithms.linalg.moments import ledoit_wolf_shrinkage
from transferkit._algorithms.linear.feature_blocks import centre_rows, to_dense

__all__ = ["RowSpectrum", "find_spectrum", "h_score", "leep", "log_evidence", "neighbour_means"]

_BLOCK_ENTRIES = 1 << 22  # of the similarities held at a time
_TIE = 32  # times machine epsilon: cosines that differ by less count as equal


class RowSpectrum(NamedTuple):
    """Left singular vectors (n_samples, rank) of rows, squared singular values (rank,), and the number of features."""

    left: np.ndarray
    values: np.ndarray
    n_features: int


def find_spectrum(rows: Any, centre: bool = False) -> RowSpectrum:
    """Return the singular value decomposition of rows from their smaller Gram matrix, in float64.

    With `centre` the mean row is subtracted first; implicitly, in products, if the rows are sparse.
    """
    n_samples, n_features = rows.shape
    centred, _ = centre_rows(rows, np.ones(n_samples), centre)
    is_tall = n_features <= n_samples
    values, vectors = np.linalg.eigh(centred.gram() if is_tall else centred.kernel())
    kept = values > np.finfo(np.float64).eps * max(rows.shape) * max(values.max(initial=0), 0)
    values, vectors = values[kept], vectors[:, kept]
    return RowSpectrum(centred.matmul(vectors) / np.sqrt(values) if is_tall else vectors, values, n_features)


def log_evidence(spectrum: RowSpectrum, targets: np.ndarray, tol: float = 1e-6, max_iter: int = 1000) -> np.ndarray:
    """Return LogME, the maximum log evidence of a Bayesian linear model per sample, for each target [1]_, (n_targets,).

    The model is y = F w + e with w ~ N(0, I / alpha) and e ~ N(0, I / beta). With t = alpha / beta, singular values s,
    the posterior mean m and gamma = sum(s^2 / (t + s^2)), the fixed-point iteration [2]_ is
    t <- gamma ||y - F m||^2 / ((n - gamma) ||m||^2). At its limit the log evidence is
    -n/2 (log(2 pi v) + 1) - sum(log(1 + s^2 / t)) / 2 with v = y'(I + F F'/t)^-1 y / n.

    The spectrum is that of the features, not centred; targets (n_samples, n_targets) are numbers or indicators of
    classes. The iteration stops when t changes by less than the share `tol`.

    References
    ----------
    .. [1] K. You, Y. Liu, J. Wang, M. Long (2021). LogME: practical assessment of pre-trained models for transfer
       learning. ICML.
    .. [2] K. You, Y. Liu, Z. Zhang, J. Wang, M. Jordan, M. Long (2022). Ranking and tuning pre-trained models: a new
       paradigm for exploiting model hubs. JMLR 23(209). (The fixed-point form.)
    """
    n_samples = len(targets)
    energy = np.square(spectrum.left.T @ targets)  # (rank, n_targets)
    outside = np.maximum(np.square(targets).sum(axis=0) - energy.sum(axis=0), 0)
    values = spectrum.values[:, None]
    lowest, highest = 1e-12 * values.max(initial=1e-300), 1e12 * values.max(initial=1e-300)
    ratio = np.full(targets.shape[1], values.mean() if len(values) else 1.0)  # t; the start does not matter
    for _ in range(max_iter if len(values) else 0):
        shrunk = ratio / (ratio + values)
        free = (values / (ratio + values)).sum(axis=0)  # gamma, the effective number of parameters
        error = (energy * np.square(shrunk)).sum(axis=0) + outside
        norm = (energy * values / np.square(ratio + values)).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = free * error / ((n_samples - free) * norm)
        new = np.clip(np.nan_to_num(new, nan=lowest, posinf=highest), lowest, highest)
        change = np.abs(new - ratio) / ratio
        ratio = new
        if change.max() <= tol:
            break
    variance = ((energy * ratio / (ratio + values)).sum(axis=0) + outside) / n_samples
    variance = np.maximum(variance, np.finfo(np.float64).tiny)
    volume = np.log1p(values / ratio).sum(axis=0)
    return np.asarray(-(np.log(2 * np.pi * variance) + 1 + volume / n_samples) / 2)


def h_score(spectrum: RowSpectrum, rows: Any, classes: np.ndarray) -> float:
    """Return the H-score with a shrunk covariance: (1 - a) tr(S_a^-1 S_between), S_a = (1 - a) S + a tr(S)/D I.

    The H-score [1]_ with shrinkage [2]_; a is the estimate of Ledoit and Wolf [3]_. The spectrum is that of the centred
    rows; `classes` (n_samples,) are the indices of their classes.

    References
    ----------
    .. [1] Y. Bao et al. (2019). An information-theoretic approach to transferability in task transfer learning. ICIP.
    .. [2] S. Ibrahim, N. Ponomareva, R. Mazumder (2022). Newer is not always better: rethinking transferability
       metrics, their peculiarities, stability and performance. ECML PKDD.
    .. [3] O. Ledoit, M. Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
       Multivariate Analysis 88.
    """
    n_samples = rows.shape[0]
    values = spectrum.values / n_samples  # eigenvalues of the covariance
    squares = np.square(spectrum.left) @ spectrum.values  # squared lengths of the centred rows
    shrinkage = ledoit_wolf_shrinkage(squares, float(values @ values), spectrum.n_features)
    counts = np.bincount(classes)
    sums = np.zeros((len(counts), len(values)))
    np.add.at(sums, classes, spectrum.left)
    between = np.square(sums / np.maximum(counts, 1)[:, None]) * counts[:, None]  # (n_classes, rank)
    floor = shrinkage * values.sum() / spectrum.n_features
    return float((1 - shrinkage) * (between * values / ((1 - shrinkage) * values + floor)).sum())


def leep(probabilities: np.ndarray, classes: np.ndarray) -> float:
    """Return LEEP, the mean log-likelihood of labels predicted from the classes of a source model [1]_.

    `probabilities` (n_samples, n_source_classes) are predictions of the source model, `classes` (n_samples,) the
    indices of the target classes.

    References
    ----------
    .. [1] C. Nguyen, T. Hassner, M. Seeger, C. Archambeau (2020). LEEP: a new measure to evaluate transferability of
       learned representations. ICML.
    """
    probabilities = probabilities.astype(np.float64)
    joint = np.zeros((classes.max() + 1, probabilities.shape[1]))
    np.add.at(joint, classes, probabilities)
    totals = joint.sum(axis=0)
    conditional = joint / np.where(totals > 0, totals, 1)  # P(label | source class)
    return float(np.log((conditional[classes] * probabilities).sum(axis=1)).mean())


def neighbour_means(rows: Any, targets: np.ndarray, n_neighbours: int) -> np.ndarray:
    """Return, for each row, the mean target of its nearest other rows by cosine similarity, in float64.

    Rows tied for the last places share them equally, so that the means do not depend on the order of rows. A row of
    zeros has similarity 0 to all others. Means are rounded to 12 digits, so that those differing only by rounding
    errors compare equal.
    """
    n_samples = rows.shape[0]
    squares = rows.multiply(rows) if sp.issparse(rows) else np.square(rows)
    lengths = np.sqrt(np.asarray(squares.sum(axis=1), np.float64)).ravel()
    scale = np.divide(1, lengths, out=np.zeros(n_samples), where=lengths > 0)
    rounding = _TIE * np.finfo(rows.dtype if rows.dtype.kind == "f" else np.float64).eps
    means = np.empty(targets.shape)
    step = max(_BLOCK_ENTRIES // n_samples, 1)
    for begin in range(0, n_samples, step):
        block = slice(begin, min(begin + step, n_samples))
        similarity = to_dense(rows[block] @ rows.T) * scale * scale[block, None]
        similarity[np.arange(len(similarity)), np.arange(block.start, block.stop)] = -np.inf
        last = -np.partition(-similarity, n_neighbours - 1, axis=1)[:, n_neighbours - 1 : n_neighbours]
        nearer, tied = similarity > last + rounding, np.abs(similarity - last) <= rounding
        share = (n_neighbours - nearer.sum(axis=1)) / tied.sum(axis=1)
        means[block] = (nearer + tied * share[:, None]) @ targets / n_neighbours
    return means.round(12)
