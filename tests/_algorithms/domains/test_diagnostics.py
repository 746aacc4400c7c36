"""AUC, drift and estimates of an error rate without labels, on cases whose answer is known."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from transferkit._algorithms.domains.diagnostics import (
    Estimate,
    agreed_gain,
    auc_with_interval,
    confidence_risk,
    deep_embedded_risk,
    entropy,
    feature_drift,
    weighted_risk,
)

RNG = np.random.default_rng(0)


def test_weighted_risk_is_the_risk_where_the_weights_lead():
    x = RNG.normal(size=200_000)
    losses = (x > 1).astype(float)
    weights = np.exp(x - 0.5)  # of N(1, 1) over N(0, 1)
    assert weighted_risk(losses, weights).value == pytest.approx(0.5, abs=0.01)
    assert deep_embedded_risk(losses, weights).value == pytest.approx(0.5, abs=0.01)


def test_control_variate_lowers_the_variance():
    plain, controlled = [], []
    for _ in range(300):
        x = RNG.normal(size=300)
        losses, weights = (x > 1).astype(float), np.exp(x - 0.5)
        plain.append((weights * losses).mean())
        controlled.append(deep_embedded_risk(losses, weights).value)
    assert np.std(controlled) < 0.8 * np.std(plain)


def test_equal_weights_give_the_plain_mean():
    losses = RNG.random(20)
    assert deep_embedded_risk(losses, np.ones(20)).value == pytest.approx(losses.mean())
    assert weighted_risk(losses, np.full(20, 7.0)).value == pytest.approx(losses.mean())


def test_confidence_risk_is_the_error_rate_where_the_domains_are_the_same():
    p = RNG.random(100_000)
    probabilities = np.c_[p, 1 - p]
    wrong = RNG.random(100_000) > probabilities.max(1)  # calibrated
    found = confidence_risk(probabilities, wrong.astype(float), probabilities)
    assert found.value == pytest.approx(wrong.mean(), abs=1e-3)


def test_confidence_risk_rises_where_predictions_are_less_sure():
    sure, unsure = np.tile([0.9, 0.1], (50, 1)), np.tile([0.6, 0.4], (50, 1))
    held_out = np.vstack([sure[:40], unsure[:10]])
    wrong = np.repeat([0.0, 1.0], [40, 10])
    assert confidence_risk(held_out, wrong, np.vstack([sure[:10], unsure[:40]])).value > 0.7


def test_confidence_risk_shares_ties_out():
    equal = np.tile([0.7, 0.3], (40, 1))  # as models of a few binary features predict
    wrong = np.repeat([0.0, 1.0], [30, 10])
    assert confidence_risk(equal, wrong, equal[:7]).value == pytest.approx(0.25)
    swapped = np.vstack([equal, np.tile([0.9, 0.1], (40, 1))])  # ten of the 40 least certain are wrong
    assert confidence_risk(swapped, np.r_[wrong, np.zeros(40)], equal).value == pytest.approx(0.25)
    assert confidence_risk(equal, np.zeros(40), equal).value == 0
    assert confidence_risk(equal, np.ones(40), equal).value == 1


def test_entropy_of_certainty_is_zero():
    np.testing.assert_allclose(entropy(np.array([[1.0, 0], [0.5, 0.5]])), [0, np.log(2)], atol=1e-12)


def test_gain_knows_that_criteria_on_the_same_rows_are_no_more_evidence():
    a, b = (RNG.random(400) < 0.3).astype(float), (RNG.random(400) < 0.2).astype(float)
    one = {"iwv": Estimate(a.mean(), a)}
    twice = one | {"circular": one["iwv"]}
    other = {"iwv": Estimate(b.mean(), b)}
    gain, error, in_favour = agreed_gain(one, other, ("iwv", "circular"))
    assert gain == pytest.approx(a.mean() - b.mean())
    assert error == pytest.approx((a - b).std(ddof=1) / 20)
    again = agreed_gain(twice, other | {"circular": other["iwv"]}, ("iwv", "circular"))
    np.testing.assert_allclose(again[:2], (gain, error))
    assert (in_favour, again[2]) == (1, 2)


def test_error_of_a_gain_is_that_of_the_criterion_in_the_middle():
    quiet = Estimate(0.5, np.tile([0.4, 0.6], 50))
    none = Estimate(0.0, np.zeros(100))
    loud = [Estimate(mean, mean + np.tile([-5.0, 5.0], 50)) for mean in (0.1, 0.9)]
    before = {"iwv": loud[0], "dev": quiet, "entropy": loud[1]}
    gain, error, _ = agreed_gain(before, dict.fromkeys(before, none), ("iwv", "dev"))
    assert gain == 0.5
    assert error == pytest.approx(quiet.terms.std(ddof=1) / 10)


def test_error_of_a_gain_between_two_criteria_is_that_of_their_mean():
    a, b = RNG.normal(0.4, 1, 300), RNG.normal(0.6, 1, 300)
    before = {"iwv": Estimate(a.mean(), a), "entropy": Estimate(b.mean(), b)}
    after = {name: Estimate(0.0, np.zeros(300)) for name in before}
    gain, error, _ = agreed_gain(before, after, ("iwv",))
    assert gain == pytest.approx((a.mean() + b.mean()) / 2)
    assert error == pytest.approx(np.sqrt(a.var(ddof=1) / 300 + b.var(ddof=1) / 300) / 2)  # of independent rows
    assert agreed_gain(before, after, ("iwv", "entropy"))[1] == pytest.approx(((a + b) / 2).std(ddof=1) / np.sqrt(300))


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
