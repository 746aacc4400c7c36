"""A layer is the mean over all corruptions, and its code is bounded."""

import numpy as np
import pytest
from scipy import sparse

from transferkit._algorithms.domains.marginalized_denoising import encode, fit_layer

RNG = np.random.default_rng(0)


def test_denoising_layer_is_the_mean_over_many_corruptions():
    rows = RNG.random((12, 4))
    weights, intercept = fit_layer(rows, np.arange(4), 0.3)
    copies = np.tile(rows, (20_000, 1))
    lost = copies * (RNG.random(copies.shape) < 0.7)
    design = np.c_[lost, np.ones(len(lost))]
    gram = design.T @ design / 20_000
    gram.flat[::6] += 1e-3 * np.square(rows).sum(0).mean()
    expected = np.linalg.solve(gram, design.T @ copies / 20_000)
    np.testing.assert_allclose(np.vstack([weights, intercept]), expected, atol=0.02)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_chosen_columns_have_the_weights_that_all_columns_have(convert):
    rows = RNG.random((12, 5)) * (RNG.random((12, 5)) < 0.7)
    everything = fit_layer(rows, np.arange(5), 0.5)
    weights, intercept = fit_layer(convert(rows), np.array([3, 1]), 0.5)
    np.testing.assert_allclose(weights, everything[0][:, [3, 1]], rtol=1e-8)
    np.testing.assert_allclose(intercept, everything[1][[3, 1]], rtol=1e-8)
    np.testing.assert_allclose(encode(convert(rows), weights, intercept), np.tanh(rows @ weights + intercept))
