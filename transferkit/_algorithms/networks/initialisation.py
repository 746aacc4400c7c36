"""Initial weights of a layer."""

import math
from collections.abc import Callable

import numpy as np

from transferkit._algorithms.linalg.decompositions import orthonormal

__all__ = ["METHODS", "activation_gain", "initialise_weights"]

METHODS = ("random", "normal", "uniform", "xavier", "kaiming", "orthogonal", "zeros")
BLOCK_ROWS = 4096
_GAINS = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + 0.01**2)), "tanh": 5 / 3, "gelu": math.sqrt(2)}


def activation_gain(activation: str) -> float:
    """Return the factor of the weights with which the activation preserves the variance of its inputs."""
    return _GAINS.get(activation, 1.0)


def initialise_weights(
    shape: tuple[int, int],
    method: str,
    rng: np.random.RandomState,
    *,
    gain: float = 1.0,
    mean: float = 0.0,
    scale: float | None = None,
    dtype: np.dtype | type = np.float64,
) -> np.ndarray:
    """Return initial weights of shape (n_inputs, n_outputs), drawn in float64.

    The method is "random": standard normal times `scale` (0.01 by default); "normal": normal around `mean` with
    standard deviation `scale` (0.05); "uniform": between `mean - scale` and `mean + scale` (0.05); "xavier": uniform
    with variance 2 / (n_inputs + n_outputs) [1]_; "kaiming": uniform with variance 1 / n_inputs [2]_; "orthogonal": the
    columns, or the rows if there are fewer, are orthonormal [3]_; or "zeros". `gain` is a factor of the standard
    deviation of "xavier", "kaiming" and "orthogonal".

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       AISTATS (2010).
    .. [2] K. He et al., "Delving deep into rectifiers", ICCV (2015).
    .. [3] A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
       ICLR (2014).
    """
    if method == "zeros":
        return np.zeros(shape, dtype)
    if method == "orthogonal":
        return (gain * _random_basis(shape, rng)).astype(dtype)
    draw = _find_draw(shape, method, rng, gain, mean, scale)
    weights = np.empty(shape, dtype)
    for begin in range(0, shape[0], BLOCK_ROWS):  # in blocks, because float64 numbers take twice the memory of float32
        block = weights[begin : begin + BLOCK_ROWS]
        block[...] = draw(block.shape)
    return weights


def _find_draw(
    shape: tuple[int, int],
    method: str,
    rng: np.random.RandomState,
    gain: float,
    mean: float,
    scale: float | None,
) -> Callable[[tuple[int, ...]], np.ndarray]:
    if method == "random":
        return lambda size: rng.standard_normal(size) * (0.01 if scale is None else scale)
    if method == "normal":
        return lambda size: rng.normal(mean, 0.05 if scale is None else scale, size)
    if method == "uniform":
        width = 0.05 if scale is None else scale
        return lambda size: rng.uniform(mean - width, mean + width, size)
    n_inputs, n_outputs = shape
    variance = 2 / (n_inputs + n_outputs) if method == "xavier" else 1 / n_inputs
    bound = gain * math.sqrt(3 * variance)
    return lambda size: rng.uniform(-bound, bound, size)


def _random_basis(shape: tuple[int, int], rng: np.random.RandomState) -> np.ndarray:
    tall = (max(shape), min(shape))
    basis = orthonormal(rng.standard_normal(tall))  # whose fixed signs make it uniformly distributed
    return basis if shape == tall else basis.T
