"""Conversion of models to scikit-learn's own classes."""

import copy

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelBinarizer, Normalizer

from transferkit._algorithms.networks.compression import dequantise_layers
from transferkit._validation import check_is_fitted, is_fitted
from transferkit.encoders import KMeansEncoder, LSAEncoder, PretrainedEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.exceptions import ExportError, NotLinearError
from transferkit.heads import LogisticHead, LogisticHeadCV, MLPHeadClassifier, MLPHeadRegressor, RidgeHead
from transferkit.persistence import make_probe

__all__ = [
    "convert",
    "dense_weights",
    "list_steps",
    "outputs_agree",
    "to_sklearn",
]

_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}


def to_sklearn(model: BaseEstimator) -> BaseEstimator:
    """Return an equivalent model that consists of scikit-learn's own classes only.

    Its joblib or pickle file can be loaded without transferkit. Its predictions are the same, but slower.

    Parameters
    ----------
    model : fitted estimator
        An encoder, a head, a :class:`TransferClassifier`, or an estimator of scikit-learn that contains these:
        Pipeline, FeatureUnion, ColumnTransformer, or a search, whose best estimator is converted.

    Returns
    -------
    exported : estimator
        Encoders become TfidfVectorizer, TruncatedSVD and Normalizer, heads LogisticRegression (OneVsRestClassifier
        after a multilabel fit), Ridge, MLPClassifier and MLPRegressor, a KMeansEncoder with ``activation="distance"``
        KMeans, a TransferClassifier a Pipeline. If only a projection stands between terms and head (a WordVectorEncoder
        with ``norm=None``), it is folded into one weight per term. Estimators of scikit-learn are shared with `model`,
        not copied.

    Raises
    ------
    ExportError
        If a part has no exact counterpart, such as a stemmer or ``pooling="max"``; the part is named.

    See Also
    --------
    to_onnx : A graph for other languages and runtimes.
    save : A model file, smaller, faster and without executable code, for use with transferkit.

    Examples
    --------
    >>> from transferkit import LSAEncoder, TransferClassifier, to_sklearn
    >>> encoder = LSAEncoder(n_components=2).fit(["the cat sat", "the cat ran", "a stock rose", "a stock fell"])
    >>> model = TransferClassifier(encoder, strategy="frozen").fit(["the cat", "a stock"], ["pet", "money"])
    >>> exported = to_sklearn(model)
    >>> [type(step).__name__ for step in exported]
    ['TfidfVectorizer', 'TruncatedSVD', 'Normalizer', 'LogisticRegression']
    >>> exported.predict(["stock"])
    array(['money'], dtype='<U5')
    """
    if not isinstance(model, BaseEstimator):
        raise ExportError(f"to_sklearn takes estimators. Got {type(model).__name__} instead.")
    check_is_fitted(model)
    model = getattr(model, "best_estimator_", model)
    exported = convert(model)
    _check_agreement(model, exported)
    return exported


def convert(value, kept=()):
    """Return a value with every estimator of transferkit in it converted, except for the classes in `kept`.

    The value itself is returned if it contains none.
    """
    if isinstance(value, kept):
        return value
    if isinstance(value, PretrainedEncoder):
        return convert(value.encoder_, kept)
    converter = next((function for cls, function in _CONVERTERS.items() if isinstance(value, cls)), None)
    if converter is not None:
        return converter(value)
    if type(value).__module__.startswith("transferkit."):
        if hasattr(value, "encoder_") and hasattr(value, "head_"):
            return _join(convert(value.encoder_, kept), convert(value.head_, kept))
        raise ExportError(f"to_sklearn has no counterpart of a fitted {type(value).__name__} in scikit-learn.")
    if isinstance(value, (list, tuple)):
        items = [convert(item, kept) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
    if type(value).__module__.startswith("sklearn.") and hasattr(value, "__dict__"):
        state = {name: convert(item, kept) for name, item in vars(value).items()}
        if all(state[name] is item for name, item in vars(value).items()):
            return value
        value = copy.copy(value)
        vars(value).update(state)
    return value


def _convert_tfidf(encoder, **changes):
    if encoder.stemmer is not None:
        raise ExportError("scikit-learn's TfidfVectorizer has no stemmer: an encoder with one cannot be exported.")
    names = TfidfVectorizer().get_params()
    parameters = {name: value for name, value in encoder.get_params(deep=False).items() if name in names}
    idf = changes.pop("idf", None)
    vectorizer = TfidfVectorizer(**parameters | changes)
    if not is_fitted(encoder):
        return vectorizer
    vectorizer.vocabulary_ = encoder.vocabulary_
    vectorizer.fixed_vocabulary_ = encoder.vocabulary is not None
    weighting = {name: getattr(vectorizer, name) for name in ("norm", "use_idf", "smooth_idf", "sublinear_tf")}
    transformer = TfidfTransformer(**weighting)
    transformer.n_features_in_ = len(encoder.idf_)
    if vectorizer.use_idf:
        transformer.idf_ = np.array(encoder.idf_ if idf is None else idf)
    vectorizer._tfidf = transformer  # scikit-learn has no public way to set a fitted one without idf
    return vectorizer


def _convert_projection(encoder):
    """Return TfidfVectorizer, TruncatedSVD and, for rows of unit length, Normalizer."""
    if getattr(encoder, "subword", False):
        raise ExportError(
            "WordVectorEncoder with subword=True gives vectors to words outside its vocabulary, unlike TfidfVectorizer."
        )
    try:
        form = encoder.as_linear()
    except NotLinearError as error:
        raise ExportError(f"{error}, and scikit-learn has no equal estimator.") from None
    changes = {"norm": "l1"} if form.averages else {}  # a weighted mean is a product with rows that sum to one
    if form.weights is not None:
        changes |= {"use_idf": True, "idf": form.weights}
    projection = form.projection
    if form.removed is not None:
        projection = projection - np.outer(projection @ form.removed, form.removed)
    steps = [Normalizer(form.norm)] if form.norm is not None else []
    return make_pipeline(_convert_tfidf(form.vectorizer, **changes), _project(projection), *steps)


def _project(matrix):
    """Return a TruncatedSVD that multiplies by a matrix of shape (n_terms, n_components)."""
    svd = TruncatedSVD(matrix.shape[1])
    svd.components_ = matrix.T  # in the memory order that products need; otherwise each would copy it
    svd.n_features_in_ = len(matrix)
    return svd


def _convert_logistic(head):
    regression = LogisticRegression(
        C=getattr(head, "C_", getattr(head, "C", 1.0)),
        class_weight=getattr(head, "class_weight", None),
        fit_intercept=head.fit_intercept,
        tol=head.tol,
        max_iter=head.max_iter,
    )
    if not hasattr(head, "coef_"):
        return regression
    _copy_features(head, regression)
    if head.multilabel_:
        return _one_vs_rest(head, regression)
    regression.coef_, regression.intercept_, regression.classes_ = head.coef_, head.intercept_, head.classes_
    regression.n_iter_ = head.n_iter_
    return regression


def _one_vs_rest(head, regression):
    many = OneVsRestClassifier(regression)
    many.estimators_ = []
    for weights, intercept in zip(head.coef_, head.intercept_, strict=True):
        one = copy.copy(regression)
        one.coef_, one.intercept_ = weights[None], np.array([intercept])
        one.classes_, one.n_iter_ = np.array([0, 1]), head.n_iter_
        many.estimators_.append(one)
    many.label_binarizer_ = LabelBinarizer().fit(np.eye(len(head.classes_), dtype=int))
    many.classes_ = many.label_binarizer_.classes_
    _copy_features(head, many)
    return many


def _convert_ridge(head):
    ridge = Ridge(alpha=getattr(head, "alpha_", head.alpha), fit_intercept=head.fit_intercept)
    if hasattr(head, "coef_"):
        _copy_features(head, ridge)
        ridge.coef_, ridge.intercept_, ridge.n_iter_, ridge.solver_ = head.coef_, head.intercept_, None, "auto"
    return ridge


def _copy_features(head, other):
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(head, name):
            setattr(other, name, getattr(head, name))


def _convert_network(head):
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


def _convert_clusters(encoder):
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


_CONVERTERS = {
    TfidfEncoder: _convert_tfidf,
    (LSAEncoder, WordVectorEncoder): _convert_projection,
    LogisticHead: _convert_logistic,
    LogisticHeadCV: _convert_logistic,
    RidgeHead: _convert_ridge,
    (MLPHeadClassifier, MLPHeadRegressor): _convert_network,
    KMeansEncoder: _convert_clusters,
}


def _join(encoder, head):
    """Return a Pipeline of an encoder and a head, folded into one weight per term if that is smaller."""
    steps = [*list_steps(encoder), *list_steps(head)]
    while len(steps) > 2 and isinstance(steps[-2], TruncatedSVD) and isinstance(steps[-1], (LogisticRegression, Ridge)):
        svd, head = steps[-2:]
        if len(np.atleast_2d(head.coef_)) > len(svd.components_):
            break
        head = copy.copy(head)
        # its transpose is C-contiguous, so that sparse products need no copy
        head.coef_ = np.ascontiguousarray(svd.components_.T @ head.coef_.T).T
        head.n_features_in_ = svd.n_features_in_
        steps[-2:] = [head]
    return make_pipeline(*steps)


def list_steps(estimator):
    """Return the steps of a Pipeline within Pipelines, or the estimator itself."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    return [inner for _, step in estimator.steps if step not in (None, "passthrough") for inner in list_steps(step)]


def _check_agreement(model, exported):
    """Raise ExportError unless the exported model and the model agree on the rows of its probe."""
    probe = make_probe(model)
    if probe is None or not hasattr(exported, probe["method"]):
        return
    expected = getattr(model, probe["method"])(probe["X"])
    try:
        output = getattr(exported, probe["method"])(probe["X"])
    except (AttributeError, TypeError) as error:
        raise ExportError(
            f"The exported {type(model).__name__} cannot be used: {error}. A custom tokenizer must return a list of "
            "str, because scikit-learn accepts nothing else with n-grams."
        ) from error
    is_numbers = expected.dtype.kind == "f" and 0 not in expected.shape
    largest = np.abs(expected).max() if is_numbers else 0
    if not outputs_agree(output, expected, rtol=1e-4, atol=1e-5 * max(1, largest)):
        raise ExportError(
            f"The exported {type(model).__name__} would not give the same results, so it is not returned."
        )


def outputs_agree(output, expected, *, rtol, atol):
    """Return whether dense or sparse outputs are equal; floats may differ by a tolerance."""
    output, expected = (
        value.toarray() if hasattr(value, "toarray") else np.asarray(value) for value in (output, expected)
    )
    if expected.dtype.kind != "f":
        return np.array_equal(output, expected)
    return np.allclose(output.reshape(expected.shape), expected, rtol=rtol, atol=atol)
