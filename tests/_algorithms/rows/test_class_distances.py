"""Distances agree with scikit-learn's covariance, in few and in many dimensions, and with cosines of sparse rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.metrics.pairwise import cosine_similarity

from transferkit._algorithms.rows.class_distances import describe_rows, measure_similarity

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("n_features", [3, 100])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_distance_is_that_of_mahalanobis_with_a_shrunk_covariance(n_features, offset):
    classes = np.arange(60) % 3
    rows = RANDOM.normal(size=(60, n_features)) * RANDOM.random(n_features) + classes[:, None] + offset
    others = RANDOM.normal(size=(20, n_features)) + offset
    means = np.stack([rows[classes == label].mean(axis=0) for label in range(3)])
    precision = LedoitWolf(assume_centered=True).fit(rows - means[classes]).precision_
    expected = -cdist(others, means, "mahalanobis", VI=precision).min(axis=1)
    np.testing.assert_allclose(measure_similarity(describe_rows(rows, classes), others), expected, rtol=1e-6)


def test_far_samples_are_far_and_constant_features_do_not_matter():
    rows = np.hstack([RANDOM.normal(size=(40, 2)), np.ones((40, 1))])
    described = describe_rows(rows, np.arange(40) % 2)
    near, far, farther = measure_similarity(described, np.array([[0, 0, 1], [50, 0, 1], [1e200, 0, 1]], float))
    assert 0 > near > -5 > -20 > far > farther
    assert np.isfinite(near)
    assert np.isfinite(
        measure_similarity(describe_rows(np.ones((4, 2)), np.array([0, 1, 0, 1])), np.ones((1, 2)))
    ).all()


def test_rows_whose_squares_overflow_are_named():
    with pytest.raises(ValueError, match=r"cannot square distances of samples with values as large as 1e\+200"):
        describe_rows(np.full((4, 2), 1e200), np.array([0, 1, 0, 1]))


def test_sparse_rows_are_compared_with_the_nearest_one():
    rows, others = (sp.random_array((n, 30), density=0.2, rng=RANDOM, format="csr") for n in (20, 7))
    expected = cosine_similarity(others, rows).max(axis=1)
    described = describe_rows(rows, np.arange(20) % 2)
    np.testing.assert_allclose(measure_similarity(described, others), expected, atol=1e-12)
    assert measure_similarity(described, sp.csr_array((1, 30)))[0] == 0
