"""Shares of right answers: their interval, the difference of two, and how far probabilities are from them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_BINS", "Calibration", "calibrate", "paired_interval", "wilson_interval"]

N_BINS = 10  # of probabilities
_Z = 1.959964  # standard normal quantile of 0.975


class Calibration(NamedTuple):
    """Predictions by the probability of the predicted class, in bins of equal width; empty bins are left out."""

    bins: list[int]  # position of each bin from 0
    expected: list[float]  # mean probability in each bin
    found: list[float]  # share of right predictions
    counts: list[int]
    error: float  # expected calibration error: mean distance of the two, weighted by the counts


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by the score method (Wilson, 1927).

    Unlike the share plus or minus two standard errors, it lies between 0 and 1 and is not a point if all answers are
    right. `n` is at least 1.
    """
    share, spread = n_right / n, _Z**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def paired_interval(n_first: int, n_second: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares, second minus first, on the same samples.

    `n_first` samples are right only in the first, `n_second` only in the second one. The others say nothing about the
    difference. This is Wald's interval after 1/2 is added to each of the four counts (Agresti and Min, 2005).
    """
    first, second, n_all = n_first + 0.5, n_second + 0.5, n + 2
    difference = (second - first) / n_all
    half = _Z * np.sqrt(first + second - (second - first) ** 2 / n_all) / n_all
    return max(-1.0, float(difference - half)), min(1.0, float(difference + half))


def calibrate(is_right: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> Calibration:
    """Return how often predictions of some probability are right, both of shape (n_samples,)."""
    bins = np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)
    places = np.unique(bins)
    inside = [bins == place for place in places]
    expected = [float(probabilities[mask].mean()) for mask in inside]
    found = [float(is_right[mask].mean()) for mask in inside]
    counts = [int(mask.sum()) for mask in inside]
    error = float(np.average(np.abs(np.subtract(expected, found)), weights=counts))
    return Calibration(places.tolist(), expected, found, counts, error)
