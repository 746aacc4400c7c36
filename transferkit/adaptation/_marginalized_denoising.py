"""Marginalized stacked denoising autoencoders, fitted to both domains."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from transferkit._algorithms.domains.feature_prediction import document_frequency, encode, fit_layer
from transferkit._validation import Interval
from transferkit.adaptation._base import DomainTransformer
from transferkit.adaptation.domains import stack_rows

__all__ = ["MarginalizedDenoising"]


class MarginalizedDenoising(ClassNamePrefixFeaturesOutMixin, DomainTransformer):
    """Represent rows by marginalized stacked denoising autoencoders fitted to both domains (mSDA [1]_).

    Each layer is the linear map that best reconstructs features after a random subset of them was set to zero, in
    expectation over all subsets, followed by tanh; it has a closed form. Words that co-occur with the same words, in
    one domain or across both, get similar representations. The features are the concatenated outputs of all layers,
    each centred and scaled so that the mean squared length of its rows is 1 / n_layers.

    Parameters
    ----------
    n_layers : int, default=3
        Number of layers; each takes the outputs of the one before.
    n_hidden : int, default=600
        Width of the layers: the number of most frequent features to reconstruct.
    corruption : float, default=0.9
        Probability with which a feature is set to zero, larger than 0 and less than 1.
    max_features : int, default=4000
        Number of most frequent features used as input.
    keep_input : bool, default=False
        Whether the input features are put before the layers' outputs, as in [1]_. The result is then sparse for sparse
        rows.

    Attributes
    ----------
    features_ : ndarray of shape (n_inputs,)
        Input columns, most frequent first.
    weights_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Intercepts of the layers.
    means_ : list of ndarray of shape (n_outputs,)
        Means of the layers' outputs.
    scales_ : list of float
        Factors of the centred outputs.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    StructuralCorrespondence : Predicts pivots only. Linear, so predictions can be explained.
    AutoencoderEncoder : A denoising autoencoder with a code, trained by gradient descent.

    Notes
    -----
    Designed for TF-IDF and counts, where zero means that a feature is absent. Centre features that lie far from zero
    first, or outputs hardly differ between rows. Source and target rows are treated in the same way, and labels are not
    used. Input may be sparse; the layers' outputs are dense. The first layer takes (n_inputs)^3 / 3 operations and a
    matrix of size n_inputs x n_inputs, which `max_features` bounds.

    References
    ----------
    .. [1] M. Chen, Z. Xu, K. Weinberger, F. Sha, "Marginalized denoising autoencoders for domain adaptation", ICML
       (2012).

    Examples
    --------
    >>> from transferkit import MarginalizedDenoising, TfidfEncoder
    >>> X = TfidfEncoder().fit_transform(["a good film", "a bad film", "a good pan", "a bad pan", "good"])
    >>> MarginalizedDenoising(n_layers=2, n_hidden=4).fit_transform(X, sample_domain=[1, 1, -1, -1, -1]).shape
    (5, 8)
    """

    is_symmetric = True
    fitted_attributes = ("features_", "intercepts_", "means_", "scales_", "weights_")

    _parameter_constraints: dict = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "corruption": [Interval(Real, 0, 1, closed="neither")],
        "max_features": [Interval(Integral, 1, None, closed="left")],
        "keep_input": ["boolean"],
    }

    def __init__(self, n_layers=3, n_hidden=600, *, corruption=0.9, max_features=4000, keep_input=False):
        self.n_layers = n_layers
        self.n_hidden = n_hidden
        self.corruption = corruption
        self.max_features = max_features
        self.keep_input = keep_input

    def _learn(self, source, target, y):
        rows = stack_rows(source, target)
        features = np.argsort(-document_frequency(rows), kind="stable")[: self.max_features]
        found = {"features_": features, "weights_": [], "intercepts_": [], "means_": [], "scales_": []}
        hidden = rows[:, features]
        columns = np.arange(min(self.n_hidden, len(features)))  # features are ordered by frequency
        for _ in range(self.n_layers):
            weights, intercept = fit_layer(hidden, columns, self.corruption)
            hidden = encode(hidden, weights, intercept)
            mean = hidden.mean(0)
            length = float(np.square(hidden - mean).sum(1).mean())
            scale = float(1 / np.sqrt(self.n_layers * length)) if length > 0 else 1.0
            for name, value in zip(
                ("weights_", "intercepts_", "means_", "scales_"), (weights, intercept, mean, scale), strict=True
            ):
                found[name].append(value)
            columns = np.arange(weights.shape[1])
        return found

    def _map_source(self, X):
        hidden, outputs = X[:, self.features_], []
        for weights, intercept, mean, scale in zip(
            self.weights_, self.intercepts_, self.means_, self.scales_, strict=True
        ):
            hidden = encode(hidden, weights.astype(X.dtype, copy=False), intercept.astype(X.dtype, copy=False))
            outputs.append((hidden - mean) * scale)
        encoded = np.hstack(outputs).astype(X.dtype, copy=False)
        if not self.keep_input:
            return encoded
        if sparse.issparse(X):
            return sparse.hstack([X, sparse.csr_matrix(encoded)], format="csr")
        return np.hstack([X, encoded])

    def _map_target(self, X):
        return self._map_source(X)

    @property
    def _n_features_out(self):
        return sum(weights.shape[1] for weights in self.weights_) + self.keep_input * self.n_features_in_
