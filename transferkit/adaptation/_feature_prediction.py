"""Features that predict others in both domains: structural correspondence learning, marginalized denoising."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from transferkit._algorithms.domains.feature_prediction import (
    choose_pivots,
    document_frequency,
    encode,
    find_correspondences,
    fit_layer,
)
from transferkit._validation import Interval, check_feature_names_in, check_is_fitted
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin
from transferkit.adaptation.domains import check_source_labels, stack_rows

__all__ = ["MarginalizedDenoising", "StructuralCorrespondence"]


class StructuralCorrespondence(LinearOnTargetMixin, DomainTransformer):
    """Add features shared by the domains, by structural correspondence learning [1]_.

    Pivots are features that are frequent in both domains and have the largest mutual information with the labels of the
    source [2]_. The presence of each pivot is predicted from all other features, over the rows of both domains. The
    projections of a row onto the leading directions of these predictors are appended to it. In these features,
    "boring" in book reviews and "leaks" in reviews of kitchenware are similar, because both predict the pivot "poor".

    Parameters
    ----------
    n_pivots : int, default=1000
        Maximum number of pivots.
    n_components : int, default=50
        Number of added features, at most the number of pivots.
    min_count : int, default=5
        Minimum number of rows per domain in which a pivot occurs.
    alpha : float, default=1.0
        Penalty of the predictors, relative to the mean squared length of the rows.
    scale : float, default=1.0
        Root mean square length of the added features, relative to that of the rows.

    Attributes
    ----------
    pivots_ : ndarray of shape (n_pivots_found,)
        Columns of the pivots.
    correspondences_ : ndarray of shape (n_features, n_components_)
        Scaled directions; the entries of pivots are zero.
    mean_ : ndarray of shape (n_components_,)
        Mean of the added features over the rows of both domains, which is subtracted.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    DomainTransferClassifier : For texts, also evaluates word vectors pretrained on both domains.

    Notes
    -----
    Sparse rows stay sparse: the result is one CSR matrix whose last columns are the added features. The predictors are
    ridge regressions instead of classifiers with the modified Huber loss as in [1]_, so that one factorisation serves
    all pivots.

    References
    ----------
    .. [1] J. Blitzer, R. McDonald, F. Pereira, "Domain adaptation with structural correspondence learning", EMNLP
       (2006).
    .. [2] J. Blitzer, M. Dredze, F. Pereira, "Biographies, Bollywood, boom-boxes and blenders: domain adaptation for
       sentiment classification", ACL (2007).

    Examples
    --------
    >>> from transferkit import StructuralCorrespondence, TfidfEncoder
    >>> source = ["poor and boring", "poor boring plot", "great and moving", "great moving plot"]
    >>> target = ["poor it leaks", "it leaks so poor", "great it lasts", "it lasts so great"]
    >>> X = TfidfEncoder(use_idf=False).fit_transform(source + target)
    >>> adaptation = StructuralCorrespondence(n_components=1, min_count=2)
    >>> adapted = adaptation.fit_transform(X, [0, 0, 1, 1, -1, -1, -1, -1], sample_domain=[1] * 4 + [-1] * 4)
    >>> added = adapted.toarray()[:, -1]
    >>> bool((added[[0, 1, 4, 5]] * added[0] > 0).all() and (added[[2, 3, 6, 7]] * added[0] < 0).all())
    True
    """

    fitted_attributes = ("correspondences_", "mean_", "pivots_")

    _parameter_constraints: dict = {
        "n_pivots": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "scale": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_pivots: int = 1000,
        n_components: int = 50,
        *,
        min_count: int = 5,
        alpha: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        self.n_pivots = n_pivots
        self.n_components = n_components
        self.min_count = min_count
        self.alpha = alpha
        self.scale = scale

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the names of the features and of those added.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features; those seen in `fit` if None.

        Returns
        -------
        names : ndarray of str objects
            The names of the features, followed by "correspondence0", "correspondence1" and so on.
        """
        check_is_fitted(self)
        names = check_feature_names_in(self, input_features)
        added = [f"correspondence{i}" for i in range(self.correspondences_.shape[1])]
        return np.concatenate([names, np.array(added, dtype=object)])

    def _learn(self, source, target, y):
        labels = None if y is None else np.unique(check_source_labels(self, y), return_inverse=True)[1]
        pivots = choose_pivots(source, target, labels, self.n_pivots, self.min_count)
        if len(pivots) == 0:
            raise ValueError(
                f"No feature occurs in min_count={self.min_count} rows of each domain, so there are no pivots. Lower "
                "min_count, or use features that the domains share."
            )
        rows = stack_rows(source, target)
        directions = find_correspondences(rows, pivots, min(self.n_components, len(pivots)), self.alpha)
        added = np.asarray(rows @ directions)
        mean = added.mean(0)
        length = np.square(added - mean).sum()
        squares = rows.multiply(rows).sum() if sparse.issparse(rows) else np.square(rows).sum()
        factor = self.scale * np.sqrt(squares / length) if length > 0 else 0.0
        dtype = rows.dtype
        return {
            "pivots_": pivots,
            "correspondences_": np.ascontiguousarray(directions * factor, dtype),
            "mean_": (mean * factor).astype(dtype),
        }

    def _map_source(self, X):
        return _append(X, np.asarray(X @ self.correspondences_, X.dtype) - self.mean_.astype(X.dtype))

    def _map_target(self, X):
        return self._map_source(X)

    def _make_target_map(self):
        same = sparse.eye_array(self.n_features_in_, format="csr", dtype=self.correspondences_.dtype)
        matrix = sparse.hstack([same, sparse.csr_array(self.correspondences_)], format="csr")
        return matrix, np.concatenate([np.zeros(self.n_features_in_), -self.mean_])


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
    n_hidden : int, default=2000
        Width of the layers: the number of most frequent features to reconstruct. The weights take
        (max_features + (n_layers - 1) n_hidden) n_hidden numbers, which fewer hidden features reduce.
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

    fitted_attributes = ("features_", "intercepts_", "means_", "scales_", "weights_")

    _parameter_constraints: dict = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "corruption": [Interval(Real, 0, 1, closed="neither")],
        "max_features": [Interval(Integral, 1, None, closed="left")],
        "keep_input": ["boolean"],
    }

    def __init__(
        self,
        n_layers: int = 3,
        n_hidden: int = 2000,
        *,
        corruption: float = 0.9,
        max_features: int = 4000,
        keep_input: bool = False,
    ) -> None:
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
        return _append(X, encoded) if self.keep_input else encoded

    def _map_target(self, X):
        return self._map_source(X)

    @property
    def _n_features_out(self):
        return sum(weights.shape[1] for weights in self.weights_) + self.keep_input * self.n_features_in_


def _append(X, features):
    """Return features beside those of X, sparse if X is."""
    if sparse.issparse(X):
        return sparse.hstack([X, sparse.csr_matrix(features)], format="csr")
    return np.hstack([X, features])
