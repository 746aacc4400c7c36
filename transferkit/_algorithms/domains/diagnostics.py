"""How far two domains are apart, and estimates of a classifier's error rate in the one without labels."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from transferkit._algorithms.linalg.moments import mean_and_variance

__all__ = [
    "Estimate",
    "agreed_gain",
    "auc_with_interval",
    "confidence_risk",
    "deep_embedded_risk",
    "entropy",
    "feature_drift",
    "weighted_risk",
]


class Estimate(NamedTuple):
    """An estimated risk as a mean over rows, so that the estimates of two models on the same rows can be compared."""

    value: float
    terms: np.ndarray  # (n_rows,), whose mean is the value


def weighted_risk(losses: np.ndarray, weights: np.ndarray) -> Estimate:
    """Return the importance-weighted risk sum_i w_i l_i / sum_i w_i of held-out source rows [1]_.

    References
    ----------
    .. [1] M. Sugiyama, M. Krauledat, K.-R. Müller, "Covariate shift adaptation by importance weighted cross
       validation", Journal of Machine Learning Research 8 (2007), 985-1005.
    """
    shares = weights / weights.mean()
    return Estimate(float((shares * losses).mean()), shares * losses)


def deep_embedded_risk(losses: np.ndarray, weights: np.ndarray) -> Estimate:
    """Return the importance-weighted risk with a control variate (deep embedded validation [1]_).

    mean(w l) + eta (mean(w) - 1) with eta = -cov(w l, w) / var(w), for losses of held-out source rows and their density
    ratios in the space of the adapted features. The expectation of the weights is known to be 1, so the deviation of
    their mean from 1 corrects a part of the error of the risk.

    References
    ----------
    .. [1] K. You, X. Wang, M. Long, M. Jordan, "Towards accurate model selection in deep unsupervised domain
       adaptation", ICML (2019).
    """
    weighted = weights * losses
    variance = float(weights.var(ddof=1)) if len(weights) > 1 else 0.0
    eta = 0.0 if variance == 0 else -float(np.cov(weighted, weights, ddof=1)[0, 1]) / variance
    terms = weighted + eta * (weights - 1)
    return Estimate(float(terms.mean()), terms)


def confidence_risk(held_out: np.ndarray, is_wrong: np.ndarray, target: np.ndarray) -> Estimate:
    """Return the share of target predictions whose entropy exceeds a threshold fitted to the source [1]_.

    Average thresholded confidence: the threshold is chosen so that the share of held-out source predictions beyond it
    equals their error rate, so overconfident classifiers are not favoured. Among predictions exactly at the threshold,
    the same share counts as wrong as among the held-out source predictions there. Predictions are probabilities
    (n_rows, n_classes).

    References
    ----------
    .. [1] S. Garg, S. Balakrishnan, Z. Lipton, B. Neyshabur, H. Sedghi, "Leveraging unlabeled data to predict
       out-of-distribution performance", ICLR (2022).
    """
    of_source, of_target = (entropy(rows).round(12) for rows in (held_out, target))  # rounding must not break ties
    threshold = np.quantile(of_source, 1 - is_wrong.mean(), method="inverted_cdf")
    beyond, at = (of_source > threshold).mean(), (of_source == threshold).mean()
    share = np.clip((is_wrong.mean() - beyond) / at, 0, 1)
    terms = (of_target > threshold) + share * (of_target == threshold)
    return Estimate(float(terms.mean()), terms)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy in nats of each row's prediction, (n_rows,)."""
    p = np.clip(probabilities, np.finfo(np.float64).tiny, 1)
    return -(p * np.log(p)).sum(1)


def agreed_gain(
    before: dict[str, Estimate], after: dict[str, Estimate], source_criteria: tuple[str, ...]
) -> tuple[float, float, int]:
    """Return the median reduction in risk over all criteria, its standard error, and the number of positive ones.

    The median is robust to a single misleading criterion. The standard error is that of the middle criterion, or of the
    mean of the two middle ones. Terms of `source_criteria` belong to source rows, in the same order, those of the
    others to target rows: estimates from different sets of rows are independent, those from the same rows are not.
    """
    differences = {name: before[name].terms - after[name].terms for name in before}
    gains = {name: float(before[name].value - after[name].value) for name in before}
    in_order = sorted(gains, key=gains.__getitem__)
    middle = in_order[(len(gains) - 1) // 2 : len(gains) // 2 + 1]
    variance = 0.0
    for names in ([n for n in middle if n in source_criteria], [n for n in middle if n not in source_criteria]):
        if names:
            total = np.sum([differences[name] for name in names], axis=0)
            variance += float(total.var(ddof=1)) / len(total) if len(total) > 1 else 0.0
    gain = float(np.median(list(gains.values())))
    return gain, float(np.sqrt(variance)) / len(middle), sum(gain > 0 for gain in gains.values())


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
