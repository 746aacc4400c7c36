"""Initial layers of a network head: drawn, given, taken from another fitted head, or those of the last fit."""

import os
from itertools import pairwise

import numpy as np

from transferkit._algorithms.networks.compression import dequantise_layers
from transferkit._algorithms.networks.layers import (
    Activation,
    BatchNorm,
    Dropout,
    Linear,
    activation_gain,
    initialise_weights,
)
from transferkit.heads.linear._prior import load_prior, match_classes
from transferkit.heads.mlp._parameters import hidden_sizes

__all__ = ["build_layers", "continues", "initial_layers", "is_dense"]


def initial_layers(head, last, data, rng):
    """Return the layers at the start of training, and how a source model covers the classes (None without one).

    Layers start from the attributes `last` of the last fit if these have the same classes, features and layers.
    """
    sizes = layer_sizes(head, data)
    if not continues(head, last, data):
        coefs, intercepts, coverage = _initial_arrays(head, sizes, data.output_labels, rng, data.X.dtype)
        return build_layers(head, coefs, intercepts, data.X.dtype), coverage
    norms = last["batch_norms_"] if head.batch_norm else None  # without it the folded weights are the start
    norms = norms or [None] * len(last["coefs_"])
    linear = [Linear(*arrays) for arrays in zip(last["coefs_"], last["intercepts_"], strict=True)]
    linear = [
        Linear(layer.weights.copy(), layer.intercept) if norm is None else BatchNorm(*norm).unfold_from(layer)
        for layer, norm in zip(linear, norms, strict=True)
    ]
    coefs, intercepts = [layer.weights for layer in linear], [layer.intercept for layer in linear]
    return build_layers(head, coefs, intercepts, data.X.dtype, norms), last.get("init_coverage_")


def build_layers(head, coefs, intercepts, dtype, norms=None):
    """Return the layers of a head; hidden layers without an entry in `norms` get an untrained batch normalisation."""
    layers = []
    for position, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        layers.append(Linear(coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)))
        if position == len(coefs) - 1:
            break
        if head.batch_norm:
            norm = None if norms is None else norms[position]
            layers.append(BatchNorm.untrained(coef.shape[1], dtype) if norm is None else BatchNorm(*norm.astype(dtype)))
        layers.append(Activation(head.activation))
        if head.dropout > 0:
            layers.append(Dropout(head.dropout))
    return layers


def continues(head, last, data):
    """Return whether a fitted head's attributes have the classes and layers that `head` would have with these data."""
    if last.get("coefs_") is None:
        return False
    shapes = [getattr(coef, "shape", None) for coef in last["coefs_"]]
    same_classes = np.array_equal(last.get("classes_", ()), data.attributes.get("classes_", ()))
    return same_classes and is_dense(last["coefs_"]) and shapes == list(pairwise(layer_sizes(head, data)))


def layer_sizes(head, data):
    """Return the numbers of features, of units in each hidden layer, and of outputs."""
    return [data.X.shape[1], *hidden_sizes(head), data.n_outputs]


def is_dense(coefs):
    """Return whether weights are neither sparse nor of low precision."""
    return all(isinstance(coef, np.ndarray) and coef.dtype.itemsize >= 4 for coef in coefs)


def _initial_arrays(head, sizes, classes, rng, dtype):
    """Return weights, intercepts, and how a source model covers the classes."""
    if isinstance(head.weight_init, (list, tuple)):
        return *_check_arrays(head.weight_init, sizes, dtype), None
    coefs, intercepts = _draw_arrays(head, sizes, rng, dtype)
    if isinstance(head.weight_init, str):
        return coefs, intercepts, None
    return _take_arrays(head.weight_init, coefs, intercepts, sizes, classes)


def _draw_arrays(head, sizes, rng, dtype):
    """Return weights and intercepts drawn by the method `weight_init`, by "kaiming" if it is not a method."""
    method = head.weight_init if isinstance(head.weight_init, str) else "kaiming"
    coefs = []
    for position, shape in enumerate(pairwise(sizes)):
        gain = activation_gain(head.activation) if position < len(sizes) - 2 else 1.0
        options = {"gain": gain, "mean": head.init_mean, "scale": head.init_scale, "dtype": dtype}
        coefs.append(initialise_weights(shape, method, rng, **options))
    return coefs, [np.zeros(size, dtype) for size in sizes[1:]]


def _check_arrays(given, sizes, dtype):
    """Return given weights and intercepts after checking their shapes."""
    if len(given) != 2 or any(len(part) != len(sizes) - 1 for part in given):
        raise ValueError(
            f"weight_init must be a pair (coefs, intercepts) of lists with {len(sizes) - 1} arrays each, one for each "
            f"layer. Got {len(given)} parts of {[len(part) for part in given]} arrays."
        )
    coefs, intercepts = ([np.array(array, dtype=dtype, order="C") for array in part] for part in given)
    for position, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        expected = (sizes[position], sizes[position + 1])
        if coef.shape != expected or intercept.shape != expected[1:]:
            raise ValueError(
                f"weight_init must hold weights of shape {expected} and an intercept of shape {expected[1:]} for layer "
                f"{position}. Got {coef.shape} and {intercept.shape}."
            )
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            raise ValueError(f"weight_init holds NaN or infinity in layer {position}.")
    return coefs, intercepts


def _take_arrays(source, coefs, intercepts, sizes, classes):
    """Return the arrays of a source model; outputs of labels that it does not have keep the drawn arrays."""
    source, source_coefs, source_intercepts = _read_source(source)
    source_sizes = [source_coefs[0].shape[0], *(coef.shape[1] for coef in source_coefs)]
    if source_sizes[:-1] != sizes[:-1]:
        raise ValueError(
            f"weight_init has {source_sizes[0]} features and hidden layers of {source_sizes[1:-1]} units, this head "
            f"{sizes[0]} and {sizes[1:-1]}. Set hidden_layer_sizes to the source's, and bring X to its features."
        )
    last, last_intercept = source_coefs[-1], source_intercepts[-1]
    known = getattr(source, "classes_", None) if classes is not None else None
    if known is None:
        if last.shape[1] != sizes[-1]:
            raise ValueError(f"weight_init has {last.shape[1]} outputs and y has {sizes[-1]}.")
        return source_coefs, source_intercepts, None
    here, there, coverage = match_classes(known, classes, len(known))
    if coefs[-1].shape[1] == 1:  # one output for two classes: half of it for one, minus half for the other
        coefs[-1], intercepts[-1] = _to_two_columns(coefs[-1]), _to_two_columns(intercepts[-1])
    if last.shape[1] == 1:
        last, last_intercept = _to_two_columns(last), _to_two_columns(last_intercept)
    output, shift = coefs[-1], intercepts[-1]
    output[:, here], shift[here] = last[:, there], last_intercept[there]
    if sizes[-1] == 1:
        output, shift = output[:, 1:] - output[:, :1], shift[1:] - shift[:1]
    return [*source_coefs[:-1], output], [*source_intercepts[:-1], shift], coverage


def _to_two_columns(array):
    """Return minus and plus half of a last axis of length one."""
    return np.concatenate([-array / 2, array / 2], axis=-1)


def _read_source(source):
    """Return a fitted network or linear head, and its weights and intercepts in float64."""
    if isinstance(source, os.PathLike):
        from transferkit.persistence import load

        source = load(source)
    if hasattr(source, "coefs_"):
        coefs = dequantise_layers(source.coefs_, getattr(source, "scales_", None))
        arrays = ([np.array(array, dtype=np.float64) for array in part] for part in (coefs, source.intercepts_))
        return source, *arrays
    source = load_prior(source)
    coef = np.atleast_2d(np.asarray(source.coef_, dtype=np.float64))
    intercept = np.broadcast_to(np.asarray(source.intercept_, dtype=np.float64), len(coef)).copy()
    return source, [coef.T.copy()], [intercept]
