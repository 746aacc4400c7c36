"""Thresholds keep the coverage or the error that was asked for, also for samples that were not seen."""

import numpy as np
import pytest

from transferkit._algorithms.rows.rejection import area_under_curve, find_thresholds, risk_coverage, share_thresholds

RANDOM = np.random.default_rng(0)


def one_threshold(scores, is_wrong, weights=None, coverage=None, max_error=None):
    weights = np.ones(len(scores)) if weights is None else weights
    groups = np.zeros(len(scores), int)
    found, is_kept = find_thresholds(groups, scores, is_wrong, weights, coverage=coverage, max_error=max_error)
    return found[0], is_kept[0]


def test_curve_is_that_of_sorted_samples():
    scores, is_wrong = RANDOM.permutation(50).astype(float), RANDOM.random(50) < 0.3
    curve = risk_coverage(scores, is_wrong)
    for threshold, coverage, error in zip(curve.thresholds, curve.coverage, curve.error, strict=True):
        accepted = scores >= threshold
        assert coverage == pytest.approx(accepted.mean())
        assert error == pytest.approx(is_wrong[accepted].mean())
    means = np.cumsum(is_wrong[np.argsort(-scores)]) / np.arange(1, 51)
    assert area_under_curve(curve) == pytest.approx(means.mean())


def test_equal_scores_are_accepted_together():
    scores, is_wrong = np.array([1.0, 0.5, 0.5, 0.5, 0.0]), np.array([0, 1, 0, 1, 1], bool)
    curve = risk_coverage(scores, is_wrong)
    np.testing.assert_allclose(curve.coverage, [0.2, 0.8, 1.0])
    np.testing.assert_allclose(curve.error, [0, 0.5, 0.6])
    turned = risk_coverage(scores[::-1], is_wrong[::-1])
    assert area_under_curve(turned) == pytest.approx(area_under_curve(curve))


def test_weights_are_repetitions():
    scores, is_wrong = RANDOM.random(20), RANDOM.random(20) < 0.5
    weights = RANDOM.integers(1, 4, 20)
    curve, repeated = (
        risk_coverage(scores, is_wrong, weights),
        risk_coverage(scores.repeat(weights), is_wrong.repeat(weights)),
    )
    np.testing.assert_allclose(curve.coverage, repeated.coverage)
    np.testing.assert_allclose(curve.error, repeated.error)


@pytest.mark.parametrize(("n_samples", "coverage", "n_below"), [(9, 0.9, 0), (19, 0.9, 1), (99, 0.9, 9), (99, 0.5, 49)])
def test_one_more_sample_is_accepted_with_the_probability_asked_for(n_samples, coverage, n_below):
    # the rank of a further sample is any of n + 1 with the same probability, and it is rejected at n_below + 1 of them
    scores = np.arange(n_samples, dtype=float)
    threshold, is_kept = one_threshold(scores, scores < 0, coverage=coverage)
    assert threshold == n_below
    assert is_kept
    assert 1 - (n_below + 1) / (n_samples + 1) >= coverage - 1e-12


def test_coverage_holds_on_average_over_draws():
    shares = []
    for _ in range(2000):
        scores = RANDOM.normal(size=30)
        threshold, _ = one_threshold(scores, scores < 0, coverage=0.8)
        shares.append((RANDOM.normal(size=20) >= threshold).mean())
    assert 0.79 < np.mean(shares) < 0.83  # the promise is 0.8, and 25/31 = 0.806 is the next rank


def test_too_few_samples_for_a_coverage_reject_nothing():
    assert one_threshold(np.arange(8.0), np.zeros(8, bool), coverage=0.9) == (-np.inf, False)
    assert one_threshold(np.arange(8.0), np.zeros(8, bool), coverage=1.0) == (-np.inf, True)


def test_the_most_samples_that_keep_the_error_are_accepted():
    scores = np.arange(100.0)[::-1]
    is_wrong = np.zeros(100, bool)
    is_wrong[[40, 60, 61, 62]] = True  # (1 + 1) / (60 + 1) < 0.05 < (2 + 1) / (61 + 1), (4 + 1) / (100 + 1)
    assert one_threshold(scores, is_wrong, max_error=0.045) == (scores[59], True)
    assert one_threshold(scores, is_wrong, max_error=0.05) == (scores[99], True)


def test_an_error_that_cannot_be_kept_gives_the_least_one():
    scores = np.arange(10.0)[::-1]
    threshold, is_kept = one_threshold(scores, np.arange(10) > 6, max_error=0.05)
    assert (threshold, is_kept) == (scores[6], False)  # 1 / 8


def test_nothing_below_the_lowest_score_is_accepted():
    threshold, is_kept = one_threshold(np.arange(100.0), np.zeros(100, bool), max_error=0.05)
    assert (threshold, is_kept) == (0.0, True)


def test_groups_have_their_own_thresholds():
    scores, groups = np.tile(np.arange(19.0), 2), np.repeat([0, 1], 19)
    scores[19:] += 100
    found, is_kept = find_thresholds(groups, scores, np.zeros(38, bool), np.ones(38), coverage=0.9, max_error=None)
    np.testing.assert_array_equal(found, [1, 101])
    assert is_kept.all()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10, 12, 30], [0, 1, 2]),
        ([3, 12, 4, 30], [0, 0, 0, 1]),  # 3 + 4 are too few, so that 12 joins them
        ([3, 12, 8, 30], [0, 1, 0, 2]),
        ([1, 2, 3], [0, 0, 0]),
        ([0, 50], [0, 0]),
    ],
)
def test_small_classes_share_a_threshold(counts, expected):
    np.testing.assert_array_equal(share_thresholds(np.array(counts, float), 10), expected)


def test_without_a_rate_all_classes_share_a_threshold():
    np.testing.assert_array_equal(share_thresholds(np.array([1e6, 1e6]), np.inf), [0, 0])
