"""Models as plain scikit-learn objects."""

import copy

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelBinarizer, Normalizer

from transferkit._validation import check_is_fitted, is_fitted
from transferkit.encoders import KMeansEncoder, LSAEncoder, PretrainedEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.exceptions import ExportError, NotLinearError
from transferkit.export._sameness import check_same
from transferkit.export._sklearn_networks import convert_clusters, convert_network
from transferkit.heads import LogisticHead, LogisticHeadCV, MLPHeadClassifier, MLPHeadRegressor, RidgeHead


def to_sklearn(model: BaseEstimator) -> BaseEstimator:
    """Return an equal model that is made of scikit-learn's own classes alone.

    Its joblib or pickle file loads where scikit-learn is installed and transferkit is not. It predicts the same, and is
    slower.

    Parameters
    ----------
    model : fitted estimator
        An encoder, a head, a :class:`TransferClassifier`, or anything of scikit-learn with these inside: Pipeline,
        FeatureUnion, ColumnTransformer, a search (of which the best estimator is taken).

    Returns
    -------
    exported : estimator
        Encoders become TfidfVectorizer, TruncatedSVD and Normalizer, heads LogisticRegression (OneVsRestClassifier
        after a multilabel fit), Ridge, MLPClassifier and MLPRegressor, a KMeansEncoder with ``activation="distance"``
        KMeans, a TransferClassifier a Pipeline. Where only a projection stands between terms
        and head (a WordVectorEncoder with ``norm=None``), the weights are folded to one a term. What was
        scikit-learn's is shared with `model`, not copied.

    Raises
    ------
    ExportError
        If a part cannot be expressed exactly: a stemmer, ``pooling="max"``, other classes of transferkit. It is named.

    See Also
    --------
    to_onnx : A graph for other languages and runtimes.
    save : A file for places where transferkit is installed: smaller, faster, without code.

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
    check_same(model, exported)
    return exported


def convert(value, kept=()):
    """Return a value with every estimator of transferkit in it replaced, but for the classes that are `kept`.

    The same object where there is none.
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
        raise ExportError(f"to_sklearn does not know scikit-learn's counterpart of a fitted {type(value).__name__}.")
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
    vectorizer._tfidf = TfidfTransformer(**weighting)
    vectorizer._tfidf.n_features_in_ = len(encoder.idf_)
    if vectorizer.use_idf:
        vectorizer._tfidf.idf_ = np.array(encoder.idf_ if idf is None else idf)
    return vectorizer


def _convert_projection(encoder):
    """Return TfidfVectorizer, TruncatedSVD and, for rows of unit length, Normalizer."""
    if getattr(encoder, "subword", False):
        raise ExportError(
            "WordVectorEncoder with subword=True gives vectors to words outside its vocabulary: TfidfVectorizer does "
            "not."
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
    svd.components_ = matrix.T  # a view: the product needs it this way round, and would otherwise copy it each time
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


_CONVERTERS = {
    TfidfEncoder: _convert_tfidf,
    (LSAEncoder, WordVectorEncoder): _convert_projection,
    LogisticHead: _convert_logistic,
    LogisticHeadCV: _convert_logistic,
    RidgeHead: _convert_ridge,
    (MLPHeadClassifier, MLPHeadRegressor): convert_network,
    KMeansEncoder: convert_clusters,
}


def _join(encoder, head):
    """Return a Pipeline of an encoder and a head, folded to one weight a term where that is smaller."""
    steps = [*list_steps(encoder), *list_steps(head)]
    while len(steps) > 2 and isinstance(steps[-2], TruncatedSVD) and isinstance(steps[-1], (LogisticRegression, Ridge)):
        svd, head = steps[-2:]
        if len(np.atleast_2d(head.coef_)) > len(svd.components_):
            break
        head = copy.copy(head)
        # contiguous the other way round, as everywhere, so that a sparse product copies nothing
        head.coef_ = np.ascontiguousarray(svd.components_.T @ head.coef_.T).T
        head.n_features_in_ = svd.n_features_in_
        steps[-2:] = [head]
    return make_pipeline(*steps)


def list_steps(estimator):
    """Return the steps of a Pipeline within Pipelines, or the estimator itself."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    return [inner for _, step in estimator.steps if step not in (None, "passthrough") for inner in list_steps(step)]
