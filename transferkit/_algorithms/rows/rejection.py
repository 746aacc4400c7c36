"""Thresholds below which predictions are rejected, and the error of those that remain.

Predictions of held-out samples have an acceptance score each, higher for those more likely to be right. Accepting all
samples from a score upwards has a *coverage*, the share of the samples that is accepted, and an *error* or selective
risk, the share of wrong predictions among these [1]_. Classes are those that were predicted.

References
----------
.. [1] Y. Geifman, R. El-Yaniv (2017). Selective classification for deep neural networks. NeurIPS.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["RiskCoverage", "area_under_curve", "find_thresholds", "risk_coverage", "share_thresholds"]


class RiskCoverage(NamedTuple):
    """Coverage and error by threshold, from the highest score to the lowest; each has shape (n_scores,)."""

    thresholds: np.ndarray  # distinct scores, descending
    coverage: np.ndarray
    error: np.ndarray
    weight: np.ndarray  # of the samples that are accepted
    wrong: np.ndarray  # weight of the wrong predictions among them


def risk_coverage(scores: np.ndarray, is_wrong: np.ndarray, weights: np.ndarray | None = None) -> RiskCoverage:
    """Return coverage and error of accepting all samples from each score upwards.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Acceptance scores; samples with equal scores are accepted together.
    is_wrong : ndarray of bool, shape (n_samples,)
        Whether the prediction is wrong.
    weights : ndarray of shape (n_samples,), default=None
        Weights larger than 0; ones if None.
    """
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of equal scores
    weight = np.cumsum(weights[order])
    wrong = np.cumsum(weights[order] * is_wrong[order])[last]
    return RiskCoverage(scores[last], weight[last] / weight[-1], wrong / weight[last], weight[last], wrong)


def area_under_curve(curve: RiskCoverage) -> float:
    """Return the mean error over all coverages (AURC): each sample contributes the error when it is the last accepted.

    Samples with equal scores are accepted together.
    """
    return float(np.diff(curve.coverage, prepend=0.0) @ curve.error)


def find_thresholds(
    groups: np.ndarray,
    scores: np.ndarray,
    is_wrong: np.ndarray,
    weights: np.ndarray,
    *,
    coverage: float | None,
    max_error: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the threshold of each group of samples, and whether it keeps what was asked for.

    A sample that was not seen is counted against each threshold. With n the sum of weights in a group, those rejected
    plus one are at most (1 - coverage) (n + 1), so that a further sample exchangeable with these is accepted with at
    least the probability `coverage` [1]_; or the wrong ones among the accepted plus one are at most `max_error` times
    the accepted plus one [2]_. No threshold is below the lowest score of its group, since nothing is known of samples
    there, except if no sample may be rejected: -inf. If no threshold has such an error, the one with the least ratio is
    returned.

    Parameters
    ----------
    groups : ndarray of int, shape (n_samples,)
        Number of the group of each sample, from 0.
    scores, is_wrong, weights : ndarray of shape (n_samples,)
        See `risk_coverage`. The mean weight should be one.
    coverage, max_error : float or None
        One of them.

    Returns
    -------
    thresholds : ndarray of shape (n_groups,)
        Samples with this score or a higher one are accepted.
    is_kept : ndarray of bool, shape (n_groups,)
        False if there are too few samples for a threshold of this coverage, or `max_error` is not kept.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer (2005). Algorithmic learning in a random world. Springer.
    .. [2] A. Angelopoulos, S. Bates, A. Fisch, L. Lei, T. Schuster (2024). Conformal risk control. ICLR.
    """
    found = []
    for group in range(groups.max() + 1):
        inside = groups == group
        curve = risk_coverage(scores[inside], is_wrong[inside], weights[inside])
        found.append(_by_coverage(curve, coverage) if coverage is not None else _by_error(curve, max_error))
    thresholds, is_kept = zip(*found, strict=True)
    return np.array(thresholds), np.array(is_kept)


def _by_coverage(curve: RiskCoverage, coverage: float) -> tuple[float, bool]:
    rejected = curve.weight[-1] - curve.weight  # below each threshold
    most = (1 - coverage) * (curve.weight[-1] + 1)
    kept = np.flatnonzero(rejected + 1 <= most * (1 + 1e-9))  # without rounding errors, 0.1 times 10 is 1
    return (float(curve.thresholds[kept[0]]), True) if len(kept) else (-np.inf, coverage == 1)


def _by_error(curve: RiskCoverage, max_error: float | None) -> tuple[float, bool]:
    bound = (curve.wrong + 1) / (curve.weight + 1)
    kept = np.flatnonzero(bound <= (max_error or 0.0))
    place = kept[-1] if len(kept) else np.flatnonzero(bound == bound.min())[-1]
    return float(curve.thresholds[place]), len(kept) > 0


def share_thresholds(counts: np.ndarray, least: float) -> np.ndarray:
    """Return the group of each class: a class of at least `least` samples is one of its own, the others are one.

    If these others are fewer than `least` together, the smallest of the larger classes join them until they are enough.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Number, or weight, of held-out samples of each class.
    least : float
        Number that a group needs.

    Returns
    -------
    groups : ndarray of int, shape (n_classes,)
        Number of the group of each class, from 0.
    """
    order = np.argsort(counts, kind="stable")
    if counts[order[0]] >= least:
        return np.arange(len(counts))
    shared = int(np.searchsorted(counts[order], least))  # classes that are too small
    together = np.cumsum(counts[order])
    while shared < len(counts) and together[shared - 1] < least:
        shared += 1
    groups = np.zeros(len(counts), np.int64)
    groups[order[shared:]] = np.arange(1, len(counts) - shared + 1)
    return groups
