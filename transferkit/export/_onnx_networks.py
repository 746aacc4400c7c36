"""Networks and k-means activations as nodes of an ONNX graph."""

import numpy as np

from transferkit._algorithms.networks.layers import LEAK
from transferkit.exceptions import ExportError
from transferkit.export._sklearn_networks import dense_weights

__all__ = ["append_autoencoder", "append_clusters", "append_network_scores"]


def _append_layers(graph, coefs, intercepts, activation, value, output=None):
    """Append the layers of a network, without any link function."""
    for position, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        is_last = position == len(coefs) - 1
        value = graph.add("MatMul", value, np.asarray(coef, np.float64))
        value = graph.add("Add", value, np.asarray(intercept, np.float64), output=output if is_last else None)
        value = value if is_last else _activate(graph, activation, value)
    return value


def append_autoencoder(graph, encoder, value):
    """Append the layers of the encoder, up to the code."""
    if encoder.image_shape is not None:
        raise ExportError("to_onnx does not write the convolutions of an AutoencoderEncoder with image_shape.")
    return _append_layers(graph, encoder.coefs_, encoder.intercepts_, encoder.activation, value)


def append_network_scores(graph, head, value, output):
    """Append the layers of a network head and return the name of its outputs."""
    weights = dense_weights(head)
    value = _append_layers(graph, weights, head.intercepts_, head.activation, value, output=output)
    graph.outputs.append((output, graph.dtype, weights[-1].shape[1]))
    return value


def append_clusters(graph, encoder, value):
    """Append the activations of a KMeansEncoder."""
    if encoder.patches is not None:
        raise ExportError("to_onnx has no exact counterpart of a KMeansEncoder with patches.")
    if encoder.whitening_matrix_ is not None:
        value = graph.add("MatMul", graph.add("Sub", value, encoder.whitening_mean_), encoder.whitening_matrix_)
    # distances far from zero would lose their digits
    middle = encoder.cluster_centers_.mean(axis=0, dtype=np.float64)
    centres, value = encoder.cluster_centers_ - middle, graph.add("Sub", value, middle)
    squares = graph.add("ReduceSumSquare", value, axes=[1], keepdims=1)
    products = graph.add("Mul", graph.add("MatMul", value, np.ascontiguousarray(centres.T)), np.float64(-2))
    squared = graph.add("Add", graph.add("Add", products, squares), np.einsum("ij,ij->i", centres, centres))
    squared = graph.add("Max", squared, np.float64(0))
    if encoder.activation == "onehot":
        nearest = graph.add("ArgMin", squared, axis=1, keepdims=1)
        return graph.cast(graph.add("Equal", nearest, np.arange(len(centres))), graph.dtype)
    if encoder.activation == "soft":
        scale = max(float(encoder.inertia_ / max(encoder.counts_.sum(), 1e-300)), 1e-30)
        return graph.add("Softmax", graph.add("Div", squared, np.float64(-2 * scale)), axis=1)
    distances = graph.add("Sqrt", squared)
    if encoder.activation == "distance":
        return distances
    nearer = graph.add("Sub", graph.add("ReduceMean", distances, axes=[1], keepdims=1), distances)
    return graph.add("Max", nearer, np.float64(0))


def _activate(graph, activation, value):
    if activation in ("relu", "tanh", "sigmoid"):
        return graph.add(activation.capitalize(), value)
    if activation == "leaky_relu":
        return graph.add("Max", value, graph.add("Mul", value, np.float64(LEAK)))
    if activation == "elu":
        below = graph.add("Sub", graph.add("Exp", graph.add("Min", value, np.float64(0))), np.float64(1))
        return graph.add("Where", graph.add("Greater", value, np.float64(0)), value, below)
    if activation == "gelu":  # runtimes have the error function for float32 only
        scaled = graph.cast(graph.add("Mul", value, np.float64(0.5**0.5)), np.float32)
        error = graph.cast(graph.add("Erf", scaled), graph.dtype)
        return graph.add("Mul", value, graph.add("Mul", graph.add("Add", error, np.float64(1)), np.float64(0.5)))
    return value
