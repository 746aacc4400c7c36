"""Gaussian classes that are fitted to the target, from labels that are partly wrong."""

import numpy as np
import pytest

from transferkit._algorithms.domains.discriminant import label_by_discriminant

RNG = np.random.default_rng(0)
MEANS = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])


def draw(counts, means=MEANS, scale=0.7):
    codes = np.repeat(np.arange(len(counts)), counts)
    return means[codes] + scale * RNG.normal(size=(len(codes), means.shape[1])), codes


def soften(codes, n_classes=3, certainty=0.8):
    return np.where(codes[:, None] == np.arange(n_classes), certainty, (1 - certainty) / (n_classes - 1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_wrong_labels_are_corrected_where_classes_are_clusters(dtype):
    (source, codes), (target, truth) = draw([50, 50, 50]), draw([80, 80, 80], MEANS + np.array([2.0, 1.0, -1.0]))
    wrong = truth.copy()
    wrong[RNG.permutation(len(truth))[:150]] = RNG.integers(3, size=150)
    found = label_by_discriminant(source.astype(dtype), codes, target.astype(dtype), soften(wrong))
    assert found.shape == (240, 3)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (wrong == truth).mean() < 0.7
    assert (found.argmax(1) == truth).mean() > 0.97


def test_proportions_are_those_of_the_target():
    (source, codes), (target, truth) = draw([100, 100], MEANS[:2], 0.5), draw([20, 300], MEANS[:2], 0.5)
    found = label_by_discriminant(source, codes, target, soften(truth, 2, 0.6))
    assert found[:, 0].mean() == pytest.approx(20 / 320, abs=0.05)


def test_a_class_without_target_rows_disturbs_nothing():
    (source, codes), (target, truth) = draw([50, 50, 50], scale=0.5), draw([80, 80, 0], scale=0.5)
    begin = np.pad(soften(truth, 2), [(0, 0), (0, 1)])
    found = label_by_discriminant(source, codes, target, begin)
    assert np.isfinite(found).all()
    assert (found.argmax(1) == truth).mean() > 0.95


def test_rows_that_are_all_alike_keep_the_proportions():
    rows = np.ones((6, 2))
    found = label_by_discriminant(rows, np.arange(6) % 2, rows[:4], np.full((4, 2), 0.5))
    np.testing.assert_allclose(found, 0.5)
