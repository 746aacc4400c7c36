"""AUC and drift, on cases whose answer is known."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from transferkit._algorithms.domains.diagnostics import auc_with_interval, feature_drift

RNG = np.random.default_rng(0)


def test_area_is_scikit_learns_and_the_interval_covers():
    covered = 0
    for _ in range(200):
        scores = np.r_[RNG.normal(size=60), RNG.normal(1, 1, size=40)].round(1)  # with ties
        is_target = np.repeat([False, True], [60, 40])
        area, low, high = auc_with_interval(scores, is_target, 0.9)
        assert area == pytest.approx(roc_auc_score(is_target, scores))
        covered += low < 0.7602 < high  # Phi(1 / sqrt(2))
    assert 165 <= covered <= 195


def test_interval_of_a_cross_validation_is_wider_than_that_of_one_classifier():
    scores = np.r_[RNG.normal(size=200), RNG.normal(0.5, 1, size=200)]
    is_target = np.repeat([False, True], 200)
    area, low, high = auc_with_interval(scores, is_target, 0.95)
    same_area, lower, higher = auc_with_interval(scores, is_target, 0.95, n_folds=5)
    assert same_area == area
    # sqrt(1 + 5 / 4) times as wide, on the logit scale
    widths = [np.log(b / (1 - b)) - np.log(a / (1 - a)) for a, b in ((low, high), (lower, higher))]
    assert widths[1] / widths[0] == pytest.approx(1.5)


@pytest.mark.parametrize(("shift", "area"), [(5, 1.0), (-5, 0.0)])
def test_interval_of_perfect_separation_has_a_width(shift, area):
    scores = np.r_[RNG.random(20), RNG.random(20) + shift]
    found, low, high = auc_with_interval(scores, np.repeat([False, True], 20), 0.95)
    assert found == area
    assert 0 < low < high < 1
    assert high - low > 0.001


def test_drift_is_in_standard_deviations():
    source, target = RNG.normal(size=(5000, 2)), RNG.normal(size=(5000, 2)) * [1, 3] + [2, 0]
    drift = feature_drift(source, target)
    np.testing.assert_allclose(drift, [2, 0], atol=0.1)
    constant = feature_drift(np.ones((5, 2)), np.ones((5, 2)) * [1, 2])
    np.testing.assert_array_equal(constant, [0, np.inf])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_drift_of_equal_constants_is_zero_in_single_precision(convert):
    source, target = (convert(np.full((n, 1), 0.1, np.float32)) for n in (23, 1001))
    np.testing.assert_array_equal(feature_drift(source, target), [0])
