"""Intervals of shares are those of scipy and of the papers, and bins of probabilities add up."""

import numpy as np
import pytest
from scipy.stats import binomtest

from transferkit._algorithms.proportions import calibrate, paired_interval, wilson_interval


@pytest.mark.parametrize(("n_right", "n"), [(0, 1), (0, 20), (7, 20), (20, 20), (729, 1000)])
def test_interval_of_a_share_is_wilsons(n_right, n):
    expected = binomtest(n_right, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson_interval(n_right, n), (expected.low, expected.high), atol=1e-6)


def test_paired_interval_covers_the_difference():
    rng, n, shares = np.random.default_rng(0), 60, (0.7, 0.15, 0.05)  # both or none, first only, second only
    counts = rng.multinomial(n, [*shares, 1 - sum(shares)], size=2000)
    ends = np.array([paired_interval(first, second, n) for _, first, second, _ in counts.tolist()])
    is_covered = (ends[:, 0] <= -0.1) & (ends[:, 1] >= -0.1)
    assert 0.93 < is_covered.mean() < 0.98


def test_paired_interval_depends_on_the_samples_that_differ():
    assert paired_interval(5, 5, 100)[0] == -paired_interval(5, 5, 100)[1]
    assert paired_interval(0, 10, 100)[0] > 0  # the same difference between fewer samples that differ
    assert paired_interval(20, 30, 100)[0] < 0
    low, high = paired_interval(0, 0, 3)
    assert -1 < low < 0 < high < 1


def test_calibration_error_is_the_mean_distance_in_bins():
    found = calibrate(np.array([True, False, True, True]), np.array([0.62, 0.64, 1.0, 0.95]))
    assert found.bins == [6, 9]
    assert found.counts == [2, 2]
    assert found.expected == pytest.approx([0.63, 0.975])
    assert found.found == [0.5, 1.0]
    assert found.error == pytest.approx((0.13 + 0.025) / 2)
