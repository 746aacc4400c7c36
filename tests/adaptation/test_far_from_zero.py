"""Adaptation of rows far from zero gives what that of the same rows near zero gives."""

import numpy as np
import pytest

from transferkit import CORAL, ImportanceWeighting, LinearTransport, SubspaceAlignment

DOMAINS = np.repeat([1, -1], 100)


def make_rows(n_features):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(100, n_features)) * np.linspace(0.5, 2, n_features) + 1
    return np.vstack([rng.normal(size=(100, n_features)), target])


def map_rows(estimator, X):
    return estimator.fit(X, sample_domain=DOMAINS).transform(X, sample_domain=DOMAINS).astype(np.float64)


@pytest.mark.parametrize("n_features", [5, 250])
@pytest.mark.parametrize(("dtype", "offset", "tolerance"), [("f8", 1e7, 1e-6), ("f4", 1e4, 2e-2)])
@pytest.mark.parametrize(
    "method",
    [
        CORAL(),
        CORAL(covariance="diagonal"),
        LinearTransport(),
        LinearTransport(covariance="diagonal", reflection="auto"),
    ],
)
def test_maps_move_with_the_rows(method, dtype, offset, tolerance, n_features):
    X = make_rows(n_features)
    found = map_rows(method, (X + offset).astype(dtype)) - offset
    np.testing.assert_allclose(found, map_rows(method, X), atol=tolerance)


@pytest.mark.parametrize("n_features", [5, 250])
@pytest.mark.parametrize(("dtype", "offset", "tolerance"), [("f8", 1e7, 1e-6), ("f4", 1e4, 2e-2)])
def test_subspaces_are_those_of_rows_near_zero(dtype, offset, tolerance, n_features):
    X = make_rows(n_features)
    found = map_rows(SubspaceAlignment(2), (X + offset).astype(dtype))
    np.testing.assert_allclose(found, map_rows(SubspaceAlignment(2), X), atol=tolerance)


@pytest.mark.parametrize("method", ["logistic", "kmm", "kliep"])
def test_weights_of_rows_far_from_zero(method):
    X = make_rows(5)
    near, far = (
        ImportanceWeighting(method=method).fit(rows, sample_domain=DOMAINS).sample_weight_ for rows in (X, X + 1e7)
    )
    np.testing.assert_allclose(far, near, rtol=1e-4, atol=1e-5)


def test_means_of_many_float32_rows_are_exact():
    X = (np.random.default_rng(0).normal(size=(20_000, 2)) + 1e4).astype(np.float32)
    domains = np.repeat([1, -1], 10_000)
    mapped = CORAL().fit(X, sample_domain=domains)
    np.testing.assert_allclose(mapped.source_mean_, X[:10_000].mean(axis=0, dtype=np.float64), atol=1e-3)
