"""Linear discriminants of soft labels, and self-training."""

import numpy as np
import pytest

from transferkit._algorithms.linear.soft_labels import (
    SHRINKAGE,
    SoftDiscriminant,
    align_proportions,
    self_train,
)


def make_clusters(shares=(0.5, 0.3, 0.2), n_rows=3000, distance=3.0, seed=0):
    """Return rows around one centre per class, and the classes."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(shares), n_rows, p=shares)
    centres = distance * np.eye(len(shares), 5)
    return (centres[classes] + rng.normal(size=(n_rows, 5))).astype(np.float32), classes


def test_discriminant_is_that_of_the_covariance_of_all_rows():
    rows, classes = make_clusters(n_rows=200)
    weights, intercepts = SoftDiscriminant(rows).fit(np.eye(3)[classes], np.array([0.2, 0.2, 0.6]))
    covariance = np.cov(rows.T, bias=True)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 5 * np.eye(5)
    for label, share in enumerate([0.2, 0.2, 0.6]):
        mean = rows[classes == label].mean(0) - rows.mean(0)
        expected = np.linalg.solve(covariance, mean)
        np.testing.assert_allclose(weights[label], expected, rtol=1e-3, atol=1e-4)
        shift = np.log(share) - mean @ expected / 2 - rows.mean(0) @ expected
        assert intercepts[label] == pytest.approx(shift, rel=1e-3)


def test_discriminant_of_rows_that_are_all_alike_is_finite():
    weights, intercepts = SoftDiscriminant(np.ones((4, 3), np.float32)).fit(np.full((4, 2), 0.5), np.array([0.5, 0.5]))
    assert np.isfinite(weights).all()
    assert np.isfinite(intercepts).all()


def test_aligned_labels_have_the_proportions_and_sum_to_one():
    soft_labels = np.random.default_rng(0).dirichlet([1, 1, 1], 500)
    aligned = align_proportions(soft_labels, np.array([0.6, 0.3, 0.1]))
    np.testing.assert_allclose(aligned.mean(0), [0.6, 0.3, 0.1], atol=1e-3)
    np.testing.assert_allclose(aligned.sum(1), 1)


def test_self_training_improves_a_rough_guess():
    rows, classes = make_clusters()
    rng = np.random.default_rng(1)
    rough = 0.4 * np.eye(3)[classes] + rng.dirichlet([1, 1, 1], len(rows))
    rough /= rough.sum(1, keepdims=True)
    before = (rough.argmax(1) == classes).mean()
    weights, intercepts = self_train(SoftDiscriminant(rows), rough, np.bincount(classes) / len(classes), np.inf)
    after = ((rows @ weights.T + intercepts).argmax(1) == classes).mean()
    assert after > before + 0.2


def test_self_training_aligns_the_labels():
    class Recorder:
        """A model that never learns, and remembers the proportions of the labels that it is given."""

        rows, seen = np.ones((50, 2), np.float32), []

        def fit(self, soft_labels, proportions):
            self.seen.append(soft_labels.mean(0))
            return np.zeros((3, 2)), np.array([2.0, 0.0, 0.0])

    base = np.array([0.2, 0.3, 0.5])
    self_train(Recorder(), np.random.default_rng(0).dirichlet([8, 1, 1], 50), base, np.inf)
    assert len(Recorder.seen) > 1
    np.testing.assert_allclose(Recorder.seen, np.tile(base, (len(Recorder.seen), 1)), atol=1e-2)


def test_shrinkage_keeps_rows_in_few_dimensions_apart():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 400)
    rows = (rng.normal(size=(400, 2)) * [3.0, 0.3]).astype(np.float32)  # the wide direction says nothing
    rows[:, 1] += 1.5 * classes
    weights, intercepts = SoftDiscriminant(rows).fit(np.eye(2)[classes], np.array([0.5, 0.5]))
    assert ((rows @ weights.T + intercepts).argmax(1) == classes).mean() > 0.95
