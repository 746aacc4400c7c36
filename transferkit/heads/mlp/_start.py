"""First weights of a network head: drawn, given, or taken from a fitted head."""

import os
from itertools import pairwise

import numpy as np

from transferkit._algorithms.networks.initialisation import activation_gain, initialise_weights
from transferkit.heads.linear._prior import load_prior, match_classes


def draw_weights(head, sizes, rng, dtype):
    """Return weights and intercepts of all layers, drawn as `weight_init` says ("kaiming" if it is not a method)."""
    method = head.weight_init if isinstance(head.weight_init, str) else "kaiming"
    coefs = []
    for position, shape in enumerate(pairwise(sizes)):
        gain = activation_gain(head.activation) if position < len(sizes) - 2 else 1.0
        options = {"gain": gain, "mean": head.init_mean, "scale": head.init_scale, "dtype": dtype}
        coefs.append(initialise_weights(shape, method, rng, **options))
    return coefs, [np.zeros(size, dtype) for size in sizes[1:]]


def read_start(head, sizes, classes, rng, dtype):
    """Return first weights, first intercepts, and how a source model covers the classes (None without one).

    Parameters
    ----------
    head : estimator
        With `weight_init` and what describes it.
    sizes : list of int
        Numbers of features, of the units of each hidden layer, and of outputs.
    classes : ndarray or None
        Labels of the outputs; None for regressions and multilabel problems.
    rng : RandomState
        Draws the weights.
    dtype : dtype
        Type of the weights.
    """
    if isinstance(head.weight_init, (list, tuple)):
        return *check_arrays(head.weight_init, sizes, dtype), None
    coefs, intercepts = draw_weights(head, sizes, rng, dtype)
    if isinstance(head.weight_init, str):
        return coefs, intercepts, None
    return start_from_model(head.weight_init, coefs, intercepts, sizes, classes)


def check_arrays(start, sizes, dtype):
    """Return given weights and intercepts after checking their shapes."""
    if len(start) != 2 or any(len(part) != len(sizes) - 1 for part in start):
        raise ValueError(
            f"weight_init must be a pair (coefs, intercepts) of lists with {len(sizes) - 1} arrays each, one for each "
            f"layer. Got {len(start)} parts of {[len(part) for part in start]} arrays."
        )
    coefs, intercepts = ([np.array(array, dtype=dtype, order="C") for array in part] for part in start)
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


def start_from_model(source, coefs, intercepts, sizes, classes):
    """Return the source's layers; of its outputs those whose labels are known, the others as they were drawn."""
    theirs, their_intercepts, source = read_layers(source)
    their_sizes = [theirs[0].shape[0], *(coef.shape[1] for coef in theirs)]
    if their_sizes[:-1] != sizes[:-1]:
        raise ValueError(
            f"weight_init has {their_sizes[0]} features and hidden layers of {their_sizes[1:-1]} units, this head "
            f"{sizes[0]} and {sizes[1:-1]}. Set hidden_layer_sizes to the source's, and bring X to its features."
        )
    last, last_intercept = theirs[-1], their_intercepts[-1]
    known = getattr(source, "classes_", None) if classes is not None else None
    if known is None:
        if last.shape[1] != sizes[-1]:
            raise ValueError(f"weight_init has {last.shape[1]} outputs and y has {sizes[-1]}.")
        return theirs, their_intercepts, None
    here, there, coverage = match_classes(known, classes, len(known))
    if coefs[-1].shape[1] == 1:  # one output speaks for two classes: half of it for the one, half against the other
        coefs[-1], intercepts[-1] = to_two_columns(coefs[-1]), to_two_columns(intercepts[-1])
    if last.shape[1] == 1:
        last, last_intercept = to_two_columns(last), to_two_columns(last_intercept)
    output, shift = coefs[-1], intercepts[-1]
    output[:, here], shift[here] = last[:, there], last_intercept[there]
    if sizes[-1] == 1:
        output, shift = output[:, 1:] - output[:, :1], shift[1:] - shift[:1]
    return [*theirs[:-1], output], [*their_intercepts[:-1], shift], coverage


def to_two_columns(array):
    """Return minus and plus half of a last axis of length one."""
    return np.concatenate([-array / 2, array / 2], axis=-1)


def read_layers(source):
    """Return weights and intercepts of a fitted network or linear head, and the head."""
    if isinstance(source, os.PathLike):
        from transferkit.persistence import load

        source = load(source)
    if hasattr(source, "coefs_"):
        dense = [coef.toarray() if hasattr(coef, "toarray") else coef for coef in source.coefs_]
        scales = getattr(source, "scales_", None) or [None] * len(dense)
        coefs = [
            np.array(coef, dtype=np.float64) * (1 if scale is None else scale)
            for coef, scale in zip(dense, scales, strict=True)
        ]
        return coefs, [np.array(intercept, dtype=np.float64) for intercept in source.intercepts_], source
    source = load_prior(source)
    coef = np.atleast_2d(np.asarray(source.coef_, dtype=np.float64))
    intercept = np.broadcast_to(np.asarray(source.intercept_, dtype=np.float64), len(coef)).copy()
    return [coef.T.copy()], [intercept], source
