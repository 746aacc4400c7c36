"""Scores become probabilities without overflow, for one score or many."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from transferkit._algorithms.linear.predictions import compute_scores, to_log_probabilities, to_probabilities

SCORES = arrays(np.float64, array_shapes(min_dims=1, max_dims=2, max_side=6), elements=st.floats(-1e4, 1e4))


@given(SCORES)
def test_probabilities_sum_to_one_and_their_logarithms_agree(scores):
    probabilities, logarithms = to_probabilities(scores), to_log_probabilities(scores)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert np.isfinite(logarithms).all()
    np.testing.assert_allclose(np.exp(logarithms), probabilities, atol=1e-12)


def test_one_score_speaks_for_the_second_class():
    np.testing.assert_allclose(to_probabilities(np.array([0.0, np.log(3)])), [[0.5, 0.5], [0.25, 0.75]])


def test_sparse_and_dense_rows_have_the_same_scores():
    generator = np.random.default_rng(0)
    X, coef, intercept = generator.random((4, 5)), generator.random((3, 5)), generator.random(3)
    np.testing.assert_allclose(compute_scores(sp.csr_matrix(X), coef, intercept), X @ coef.T + intercept)
    np.testing.assert_allclose(compute_scores(X, coef, intercept), X @ coef.T + intercept)
