"""Initial weights have the distributions of their papers."""

import numpy as np
import pytest
from scipy import stats

from transferkit._algorithms.networks import layers
from transferkit._algorithms.networks.layers import INITIALISATIONS, activation_gain, initialise_weights

SHAPE = (120, 80)


def draw(method, shape=SHAPE, **settings):
    return initialise_weights(shape, method, np.random.RandomState(0), **settings)


@pytest.mark.parametrize(
    ("method", "settings", "distribution"),
    [
        ("random", {}, stats.norm(0, 0.01)),
        ("random", {"scale": 2.0}, stats.norm(0, 2)),
        ("normal", {"mean": 1.0}, stats.norm(1, 0.05)),
        ("uniform", {"mean": 1.0, "scale": 0.5}, stats.uniform(0.5, 1)),
        ("xavier", {}, stats.uniform(-np.sqrt(6 / 200), 2 * np.sqrt(6 / 200))),
        ("kaiming", {}, stats.uniform(-np.sqrt(3 / 120), 2 * np.sqrt(3 / 120))),
        ("kaiming", {"gain": 2.0}, stats.uniform(-2 * np.sqrt(3 / 120), 4 * np.sqrt(3 / 120))),
    ],
)
def test_entries_have_their_distribution(method, settings, distribution):
    assert stats.kstest(draw(method, **settings).ravel(), distribution.cdf).pvalue > 0.01


@pytest.mark.parametrize("shape", [(120, 80), (80, 120), (50, 50)])
def test_orthogonal_weights_are_orthonormal_on_the_shorter_side(shape):
    weights = draw("orthogonal", shape, gain=3.0)
    tall = weights if shape[0] >= shape[1] else weights.T
    np.testing.assert_allclose(tall.T @ tall, 9 * np.eye(min(shape)), atol=1e-10)


def test_random_rotations_are_uniform():
    rng = np.random.RandomState(0)
    entries = [initialise_weights((2, 2), "orthogonal", rng)[0] for _ in range(2000)]
    angles = np.arctan2(*np.transpose(entries))
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01


@pytest.mark.parametrize("method", INITIALISATIONS)
def test_float32_weights_are_the_same_numbers(method, monkeypatch):
    expected = draw(method)
    monkeypatch.setattr(layers, "BLOCK_ROWS", 7)  # drawn in blocks, in the same order
    found = draw(method, dtype=np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "identity"])
def test_gains_keep_the_second_moment(activation):
    functions = {
        "relu": lambda x: np.maximum(x, 0),
        "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
        "identity": lambda x: x,
    }
    if activation == "tanh":
        assert activation_gain("tanh") == pytest.approx(5 / 3)
        return
    x = np.random.RandomState(0).normal(size=400_000)
    assert np.square(activation_gain(activation) * functions[activation](x)).mean() == pytest.approx(1, abs=0.01)
