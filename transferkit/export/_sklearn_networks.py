"""Conversion of network heads and k-means encoders to scikit-learn's classes."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer

from transferkit._algorithms.networks.compression import dequantise_layers
from transferkit._validation import check_is_fitted
from transferkit.exceptions import ExportError
from transferkit.heads import MLPHeadClassifier

__all__ = ["convert_clusters", "convert_network", "dense_weights"]

_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}


def convert_network(head):
    """Return the MLPClassifier or MLPRegressor with the weights of a network head."""
    check_is_fitted(head, "coefs_")
    classifies = isinstance(head, MLPHeadClassifier)
    weights = dense_weights(head)
    if len(weights) > 1 and head.activation not in _ACTIVATIONS:
        raise ExportError(
            f"{type(head).__name__} with activation={head.activation!r} has no counterpart: scikit-learn's networks "
            f"have {', '.join(map(repr, _ACTIVATIONS))}."
        )
    if classifies and head.loss == "hinge":
        raise ExportError("MLPHeadClassifier after loss='hinge' has no probabilities, which MLPClassifier always has.")
    network = (MLPClassifier if classifies else MLPRegressor)(
        hidden_layer_sizes=tuple(coef.shape[1] for coef in weights[:-1]),
        activation=_ACTIVATIONS.get(head.activation, "identity"),
        max_iter=head.max_iter,
    )
    network.coefs_, network.intercepts_ = weights, head.intercepts_
    network.n_layers_, network.n_outputs_ = len(weights) + 1, weights[-1].shape[1]
    network.n_iter_, network.out_activation_ = head.n_iter_, "identity"
    if classifies:
        labels = np.eye(len(head.classes_), dtype=int) if head.multilabel_ else head.classes_
        network._label_binarizer = LabelBinarizer().fit(labels)
        network.classes_ = network._label_binarizer.classes_
        independent = head.multilabel_ or network.n_outputs_ == 1
        network.out_activation_ = "logistic" if independent else "softmax"
    return network


def dense_weights(head):
    """Return the weights of all layers as dense arrays in full precision, also of pruned or quantised heads."""
    return dequantise_layers(head.coefs_, getattr(head, "scales_", None))


def convert_clusters(encoder):
    """Return a KMeans with the distances of the encoder, after a whitening PCA if the encoder whitens."""
    check_is_fitted(encoder)
    if encoder.patches is not None:
        raise ExportError("KMeansEncoder with patches has no counterpart in scikit-learn.")
    if encoder.activation != "distance":
        raise ExportError(
            f"KMeansEncoder with activation={encoder.activation!r} has no counterpart: scikit-learn's KMeans "
            "returns distances."
        )
    kmeans = KMeans(len(encoder.cluster_centers_), n_init=encoder.n_init, max_iter=encoder.max_iter, tol=encoder.tol)
    kmeans.cluster_centers_, kmeans.n_features_in_ = encoder.cluster_centers_, encoder.n_features_in_
    kmeans.inertia_, kmeans.n_iter_ = encoder.inertia_, encoder.n_iter_
    kmeans._n_features_out, kmeans._n_threads = len(encoder.cluster_centers_), 1
    if encoder.whitening_matrix_ is None:
        return kmeans
    whitening = PCA(len(encoder.whitening_matrix_))
    whitening.components_, whitening.mean_ = encoder.whitening_matrix_.T, encoder.whitening_mean_
    whitening.n_components_, whitening.n_features_in_ = len(encoder.whitening_matrix_), encoder.n_features_in_
    whitening.explained_variance_ = np.ones(len(encoder.whitening_matrix_), whitening.components_.dtype)
    return make_pipeline(whitening, kmeans)
