"""Estimates of a classifier's error rate in a domain without labels, and comparison of two classifiers by these."""

from typing import NamedTuple

import numpy as np

__all__ = ["Estimate", "agreed_gain", "confidence_risk", "deep_embedded_risk", "entropy", "weighted_risk"]


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
