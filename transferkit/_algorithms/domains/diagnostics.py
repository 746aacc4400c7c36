"""How far two domains are apart."""

from typing import Any

import numpy as np
from scipy import special, stats

from transferkit._algorithms.linalg.moments import mean_and_variance

__all__ = ["auc_with_interval", "feature_drift"]


def auc_with_interval(
    scores: np.ndarray, is_target: np.ndarray, level: float, n_folds: int | None = None
) -> tuple[float, float, float]:
    """Return the area under the ROC curve of scores for the target, and its confidence interval.

    The area is the probability that a random target row scores higher than a random source row; ties count one half.
    The variance is that of DeLong [1]_, from the rank of each row among those of the other domain. The interval is
    normal on the logit scale, so that it stays within 0 and 1. At an area of 0 or 1, where the variance is zero, half a
    pair is assumed to be misordered. The classifiers of a cross-validation share training rows, so their errors are
    correlated: the variance is multiplied by 1 + n_folds / (n_folds - 1) [2]_, unless `n_folds` is None.

    References
    ----------
    .. [1] E. DeLong, D. DeLong, D. Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
       characteristic curves: a nonparametric approach", Biometrics 44 (1988), 837-845.
    .. [2] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003), 239-281.
    """
    source, target = scores[~is_target], scores[is_target]
    n_source, n_target = len(source), len(target)
    ranks = stats.rankdata(np.concatenate([target, source]))
    of_target = (ranks[:n_target] - stats.rankdata(target)) / n_source
    of_source = 1 - (ranks[n_target:] - stats.rankdata(source)) / n_target
    area = float(of_target.mean())
    variance = of_target.var(ddof=1) / n_target + of_source.var(ddof=1) / n_source
    if n_folds is not None:
        variance *= 1 + n_folds / (n_folds - 1)
    half = 0.5 / (n_source * n_target)
    inner = min(max(area, half), 1 - half)
    error = max(float(np.sqrt(variance)), half) / (inner * (1 - inner))
    width = float(special.ndtri((1 + level) / 2)) * error
    logit = float(special.logit(inner))
    return area, float(special.expit(logit - width)), float(special.expit(logit + width))


def feature_drift(source: Any, target: Any) -> np.ndarray:
    """Return the standardised difference of means of each feature, target less source (n_features,).

    (mean_t - mean_s) / sqrt((var_s + var_t) / 2), Cohen's d [1]_. For a feature that is constant in each domain, it is
    zero if the constants are equal and infinite otherwise.

    References
    ----------
    .. [1] J. Cohen, "Statistical power analysis for the behavioral sciences", 2nd edition, Erlbaum (1988).
    """
    means, variances = zip(*map(mean_and_variance, (source, target)), strict=True)
    difference = means[1] - means[0]
    spread = np.sqrt((variances[0] + variances[1]) / 2)
    scale = np.maximum(np.abs(means[0]), np.abs(means[1]))
    is_constant = spread <= 1e-7 * np.maximum(scale, 1e-300)
    of_constants = np.where(np.abs(difference) <= 1e-7 * scale, 0.0, np.copysign(np.inf, difference))
    return np.where(is_constant, of_constants, difference / np.where(is_constant, 1, spread))
