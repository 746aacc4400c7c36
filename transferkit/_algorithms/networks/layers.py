"""Layers of a network as NumPy arrays: their initial weights, and their outputs after training.

The layers here serve three purposes: estimators build them from their fitted attributes and predict with them, without
torch; training starts from their arrays; and it returns layers of the same kinds with trained arrays.

A row holds an image of shape (height, width, n_channels). With a border of zeros a 3 x 3 convolution maps h x w pixels
to ceil(h / stride) x ceil(w / stride).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp
from scipy.special import erf, expit

from transferkit._algorithms.linalg.decompositions import orthonormal, unit_rows
from transferkit._algorithms.rows.patches import cut_patches

__all__ = [
    "ACTIVATIONS",
    "BATCH_NORM_EPSILON",
    "EDGE",
    "INITIALISATIONS",
    "LEAK",
    "Activation",
    "BatchNorm",
    "Convolution",
    "Dropout",
    "L2Normalisation",
    "Layer",
    "Linear",
    "TiedLinear",
    "Upsampling",
    "activation_gain",
    "apply_activation",
    "convolve",
    "convolved_shape",
    "initialise_weights",
    "predict",
    "upsample",
]

ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity")
LEAK = 0.01  # slope of leaky_relu below zero
BATCH_NORM_EPSILON = 1e-5  # added to the variance
FEW_COLUMNS = 0.5  # of low-precision weights: if fewer than this share are used, only these are converted
EDGE = 3  # width of the kernel in pixels
_BLOCK_ENTRIES = 1 << 23  # of the patches that are laid out at once
INITIALISATIONS = ("random", "normal", "uniform", "xavier", "kaiming", "orthogonal", "zeros")
BLOCK_ROWS = 4096  # of initial weights that are drawn at once
_GAINS = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + 0.01**2)), "tanh": 5 / 3, "gelu": math.sqrt(2)}


class Layer(Protocol):
    """One step of a network, from inputs (n_samples, n_inputs) to outputs (n_samples, n_outputs)."""

    def predict(self, X: Any) -> Any:
        """Return the outputs of the layer after training; may overwrite X, except in the first layer."""


@dataclass(eq=False, slots=True)
class Linear:
    """X @ weights + intercept; there may be no intercept.

    The weights (n_inputs, n_outputs) may be sparse; float16 and int8 are converted when they are used, and int8 columns
    have the factors `scales` (n_outputs,).
    """

    weights: Any
    intercept: np.ndarray | None = None
    scales: np.ndarray | None = None

    def predict(self, X: Any) -> np.ndarray:
        """Return the outputs; X may be a CSR matrix."""
        outputs = _matmul(X, self.weights)
        if self.scales is not None:
            outputs *= self.scales
        return outputs if self.intercept is None else np.add(outputs, self.intercept, out=outputs)


@dataclass(eq=False, slots=True)
class TiedLinear:
    """X @ source.weights.T + intercept: the transposed weights of an earlier layer (tied weights)."""

    source: Linear
    intercept: np.ndarray

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return Linear(self.source.weights.T, self.intercept).predict(X)


@dataclass(eq=False, slots=True)
class Activation:
    """An elementwise function, one of `ACTIVATIONS`."""

    name: str

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return apply_activation(X, self.name)


@dataclass(eq=False, slots=True)
class Dropout:
    """Zero each input with probability `rate` during training (Srivastava et al. 2014)."""

    rate: float

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the inputs."""
        return X


@dataclass(eq=False, slots=True)
class BatchNorm:
    """Batch normalisation (Ioffe and Szegedy 2015); each array has the shape (n_outputs,).

    `scale` and `shift` are the learned standard deviation and mean of the outputs, `mean` and `variance` running
    statistics of the inputs.
    """

    scale: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def untrained(cls, size: int, dtype: np.dtype) -> Self:
        """Return the layer at the start of training."""
        ones, zeros = np.ones(size, dtype), np.zeros(size, dtype)
        return cls(ones, zeros, zeros, ones)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs, by the running statistics."""
        return (X - self.mean) * self._factor + self.shift

    def fold_into(self, linear: Linear) -> Linear:
        """Return the one linear layer that equals `linear` followed by this layer."""
        weights = np.ascontiguousarray(linear.weights * self._factor)
        return Linear(weights, (linear.intercept - self.mean) * self._factor + self.shift)

    def unfold_from(self, linear: Linear) -> Linear:
        """Return the layer from which `fold_into` made this one; a scale of zero leaves its unit as it is."""
        factor = np.where(self._factor == 0, 1, self._factor).astype(linear.weights.dtype)
        return Linear(
            np.ascontiguousarray(linear.weights / factor), (linear.intercept - self.shift) / factor + self.mean
        )

    @property
    def _factor(self) -> np.ndarray:
        return self.scale / np.sqrt(self.variance + self.variance.dtype.type(BATCH_NORM_EPSILON))


@dataclass(eq=False, slots=True)
class L2Normalisation:
    """Divide each sample by its Euclidean norm; zeros stay zeros."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return unit_rows(X)


@dataclass(eq=False, slots=True)
class Convolution:
    """3 x 3 convolution with a border of zeros, on images stored as rows; see `convolve` for the arrays."""

    weights: np.ndarray
    intercept: np.ndarray
    image_shape: tuple[int, int, int]
    stride: int

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape (height, width, n_channels) of an output image."""
        return convolved_shape(self.image_shape, self.stride, self.weights.shape[1])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return convolve(X, self.weights, self.intercept, self.image_shape, self.stride)


@dataclass(eq=False, slots=True)
class Upsampling:
    """Repeat each pixel twice in both directions, and crop to the height and width of `large_shape`."""

    image_shape: tuple[int, int, int]
    large_shape: tuple[int, int, int]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return upsample(X, self.image_shape, self.large_shape)


def predict(layers: Sequence[Layer], X: Any) -> Any:
    """Return the outputs of a network, layer by layer."""
    for layer in layers:
        X = layer.predict(X)
    return X


def apply_activation(x: np.ndarray, activation: str) -> np.ndarray:
    """Return the activation of x, in the memory of x if possible."""
    if activation == "relu":
        return np.maximum(x, 0, out=x)
    if activation == "leaky_relu":
        return np.maximum(x, x * x.dtype.type(LEAK), out=x)
    if activation == "elu":
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    if activation == "tanh":
        return np.tanh(x, out=x)
    if activation == "sigmoid":
        return expit(x, out=x)
    if activation == "gelu":
        return x * (0.5 * (1 + erf(x * x.dtype.type(0.5**0.5)))).astype(x.dtype)
    return x


def _matmul(X: Any, weights: Any) -> np.ndarray:
    """Return X @ weights as a dense array in the type of X; both may be sparse, the weights of low precision."""
    entries = weights.data if sp.issparse(weights) else weights
    if entries.dtype.itemsize >= 4:
        product = X @ weights
    elif sp.issparse(X) and not sp.issparse(weights) and X.nnz < FEW_COLUMNS * X.shape[1]:
        used, local = np.unique(X.indices, return_inverse=True)
        X_used = sp.csr_array((X.data, local, X.indptr), shape=(X.shape[0], len(used)))
        product = X_used @ weights[used].astype(X.dtype)
    else:
        product = X @ weights.astype(X.dtype)
    return np.asarray(product.toarray() if sp.issparse(product) else product)


def convolved_shape(image_shape: Sequence[int], stride: int, n_channels: int) -> tuple[int, int, int]:
    """Return the shape of a convolved image."""
    return -(-image_shape[0] // stride), -(-image_shape[1] // stride), n_channels


def convolve(
    rows: np.ndarray, weights: np.ndarray, intercept: np.ndarray, image_shape: Sequence[int], stride: int
) -> np.ndarray:
    """Return convolved images, one per row, of rows (n_rows, height * width * n_channels).

    The weights (n_channels * 9, n_outputs) have one row for each channel, row and column of the kernel, in this order,
    as in torch; `stride` is the distance between patches in pixels.
    """
    down, across, n_outputs = convolved_shape(image_shape, stride, weights.shape[1])
    output = np.empty((len(rows), down * across * n_outputs), np.result_type(rows, weights))
    step = max(_BLOCK_ENTRIES // (down * across * len(weights)), 1)
    for begin in range(0, len(rows), step):
        images = rows[begin : begin + step].reshape(-1, *image_shape)
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = cut_patches(padded, EDGE, stride).reshape(-1, len(weights))
        output[begin : begin + step] = (patches @ weights + intercept).reshape(len(images), -1)
    return output


def upsample(rows: np.ndarray, image_shape: Sequence[int], large_shape: Sequence[int]) -> np.ndarray:
    """Return images with each pixel repeated twice in both directions, cropped to `large_shape`."""
    images = rows.reshape(-1, *image_shape).repeat(2, axis=1).repeat(2, axis=2)
    return images[:, : large_shape[0], : large_shape[1]].reshape(len(rows), -1)


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
