"""Nodes of an ONNX graph for each kind of step."""

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC, LinearSVR

from transferkit.encoders import AutoencoderEncoder, KMeansEncoder
from transferkit.encoders.text import DEFAULT_TOKEN_PATTERN
from transferkit.exceptions import ExportError
from transferkit.export._onnx_networks import append_autoencoder, append_clusters, append_network_scores
from transferkit.export._sklearn import list_steps
from transferkit.heads import MLPHeadClassifier, MLPHeadRegressor

__all__ = ["NATIVE", "Graph", "append_step", "make_tokeniser"]

_SPLITTING = (
    "input", "encoding", "strip_accents", "lowercase", "preprocessor", "tokenizer", "stop_words", "token_pattern"
)  # fmt: skip
_PADDING = ""  # pads rows of tokens, so it cannot be a term


class Graph:
    """Nodes and constants of a graph under construction.

    Parameters
    ----------
    dtype : dtype
        Dtype of the numbers.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        self.nodes, self.initializers = [], []
        self.outputs = []  # (name, dtype, number of columns or None for a vector)

    def add(self, operator, *inputs, output=None, **attributes):
        """Append a node and return the name of its output."""
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, array):
        """Add a constant and return its name; floats are converted to the dtype of the graph."""
        from onnx import TensorProto, helper, numpy_helper

        array, name = np.asarray(array), f"c{len(self.initializers)}"
        if array.dtype.kind == "f":
            array = np.ascontiguousarray(array, self.dtype)
        if array.dtype.kind in "UO":
            texts = [str(text).encode() for text in array.ravel()]
            tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
        else:
            tensor = numpy_helper.from_array(array, name)
        self.initializers.append(tensor)
        return name

    def cast(self, value, dtype, output=None):
        """Append a conversion to another dtype."""
        from onnx import helper

        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), output=output)

    def finish(self, value):
        """Return descriptions of the outputs; without a head, the last value becomes the output "features"."""
        from onnx import TensorProto, helper

        if not self.outputs:
            self.outputs = [(self.add("Identity", value, output="features"), self.dtype, "n_features")]
        infos = []
        for name, dtype, columns in self.outputs:
            is_text = np.dtype(dtype).kind in "UO"
            kind = TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            infos.append(helper.make_tensor_value_info(name, kind, ["n"] if columns is None else ["n", columns]))
        return infos


def append_step(graph, step, value):
    """Append the nodes of a fitted step and return the name of its output."""
    append = next((function for classes, function in _STEPS if isinstance(step, classes)), None)
    if append is None:
        raise ExportError(f"to_onnx has no exact counterpart of {type(step).__name__}.")
    return append(graph, step, value)


def make_tokeniser(first):
    """Return the function from texts to tokens shared by all text encoders of a model; None if it has none."""
    vectorizers = list(_vectorizers(first))
    if not vectorizers:
        return None
    if any([getattr(v, name) for name in _SPLITTING] != [getattr(vectorizers[0], name) for name in _SPLITTING]
           for v in vectorizers):  # fmt: skip
        raise ExportError("to_onnx needs text encoders with the same tokenisation.")
    words = clone(vectorizers[0]).set_params(ngram_range=(1, 1), vocabulary=None)
    analyze = words.build_analyzer()

    def tokenise(texts):
        rows = [list(analyze(text)) for text in texts]  # a tokenizer may return a generator
        width = max([1, *map(len, rows)])
        return np.array([row + [_PADDING] * (width - len(row)) for row in rows], dtype=object)

    return tokenise


def _vectorizers(step):
    if isinstance(step, Pipeline):
        yield from _vectorizers(step.steps[0][1])
    elif isinstance(step, FeatureUnion):
        for _, part in step.transformer_list:
            yield from _vectorizers(part)
    elif isinstance(step, CountVectorizer):
        yield step


def _append_tfidf(graph, vectorizer, tokens):
    weights = vectorizer if isinstance(vectorizer, TfidfVectorizer) else None
    lowest, highest = vectorizer.ngram_range
    if vectorizer.analyzer != "word":
        raise ExportError(f"to_onnx needs analyzer='word'. Got analyzer={vectorizer.analyzer!r}.")
    if highest > 1 and (vectorizer.token_pattern != DEFAULT_TOKEN_PATTERN or vectorizer.tokenizer is not None):
        raise ExportError("to_onnx can only count n-grams of words without spaces: it needs the default token_pattern.")
    _check_terms(vectorizer.vocabulary_, highest)
    terms = sorted(vectorizer.vocabulary_.items(), key=lambda item: (item[0].count(" "), item[1]))
    sizes = np.array([term.count(" ") if highest > 1 else 0 for term, _ in terms])
    pool = [word for term, _ in terms for word in (term.split(" ") if highest > 1 else [term])]
    starts, begin = [], 0
    for size in range(highest):
        starts.append(begin)
        begin += int((sizes == size).sum()) * (size + 1)
    value = graph.add(
        "TfIdfVectorizer",
        tokens,
        mode="TF",
        min_gram_length=lowest,
        max_gram_length=highest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=[column for _, column in terms],
        pool_strings=pool,
    )
    if graph.dtype != np.float32:
        value = graph.cast(value, graph.dtype)
    if vectorizer.binary:
        value = graph.add("Min", value, np.float64(1))
    if weights is None:
        return value
    if weights.sublinear_tf:  # 1 + log(count); zero stays zero
        more = graph.add("Add", graph.add("Log", graph.add("Max", value, np.float64(1))), np.float64(1))
        value = graph.add("Mul", more, graph.add("Min", value, np.float64(1)))
    if weights.use_idf:
        value = graph.add("Mul", value, weights.idf_)
    return value if weights.norm is None else _normalise(graph, value, weights.norm)


def _check_terms(terms, highest):
    """Raise ExportError for terms that the graph would also find in padding, or as parts of other n-grams."""
    for term in terms:
        words = term.split(" ") if highest > 1 else [term]
        if _PADDING in words:
            raise ExportError(
                f"to_onnx pads rows of tokens with empty strings, and the term {term!r} of the vocabulary "
                f"{'is' if term == _PADDING else 'contains'} one. Fit with a tokenizer, token_pattern or vocabulary "
                "without empty strings."
            )
        if len(words) > highest > 1:
            raise ExportError(f"to_onnx counts n-grams of up to {highest} words, and the term {term!r} is longer.")


def _normalise(graph, value, norm):
    size = {"l1": lambda: graph.add("ReduceL1", value, axes=[1], keepdims=1),
            "l2": lambda: graph.add("ReduceL2", value, axes=[1], keepdims=1),
            "max": lambda: graph.add("ReduceMax", graph.add("Abs", value), axes=[1], keepdims=1)}[norm]()  # fmt: skip
    is_zero = graph.add("Equal", size, np.float64(0))
    return graph.add("Div", value, graph.add("Where", is_zero, np.float64(1), size))


def _append_normalizer(graph, step, value):
    return _normalise(graph, value, step.norm)


def _append_svd(graph, step, value):
    return graph.add("MatMul", value, step.components_.T)


def _append_pca(graph, step, value):
    value = graph.add("MatMul", graph.add("Sub", value, step.mean_), step.components_.T)
    return graph.add("Div", value, np.sqrt(step.explained_variance_)) if step.whiten else value


def _append_scaler(graph, step, value):
    centred = getattr(step, "with_mean", getattr(step, "with_centering", False))
    if centred:
        value = graph.add("Sub", value, step.mean_ if isinstance(step, StandardScaler) else step.center_)
    scaled = getattr(step, "with_std", getattr(step, "with_scaling", True))
    return graph.add("Div", value, step.scale_) if scaled and step.scale_ is not None else value


def _append_min_max(graph, step, value):
    value = graph.add("Add", graph.add("Mul", value, step.scale_), step.min_)
    if step.clip:
        low, high = step.feature_range
        value = graph.add("Min", graph.add("Max", value, np.float64(low)), np.float64(high))
    return value


def _append_identity(graph, step, value):
    if step.func is not None:
        raise ExportError("to_onnx has no exact counterpart of a FunctionTransformer with a function.")
    return value


def _append_union(graph, union, value):
    parts = []
    for name, part in union.transformer_list:
        if part == "drop":
            continue
        output = value
        for step in list_steps(part):
            output = output if step == "passthrough" else append_step(graph, step, output)
        weight = (union.transformer_weights or {}).get(name)
        parts.append(output if weight is None else graph.add("Mul", output, np.float64(weight)))
    return graph.add("Concat", *parts, axis=1)


def _append_classifier(graph, head, value):
    coef, intercept = np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_)
    scores = _append_scores(graph, coef, intercept, value)
    return _append_labels(graph, head.classes_, scores, len(coef) == 1, isinstance(head, LogisticRegression))


def _append_network_classifier(graph, head, value):
    scores = append_network_scores(graph, head, value, "scores")
    has_probabilities = hasattr(head, "predict_proba")
    if head.multilabel_:
        return _append_indicators(graph, scores, len(head.classes_), has_probabilities)
    return _append_labels(graph, head.classes_, scores, head.coefs_[-1].shape[1] == 1, has_probabilities)


def _append_labels(graph, classes, scores, is_binary, has_probabilities):
    if has_probabilities:
        if is_binary:
            both = [graph.add("Sigmoid", graph.add("Neg", scores)), graph.add("Sigmoid", scores)]
            graph.add("Concat", *both, axis=1, output="probabilities")
        else:
            graph.add("Softmax", scores, axis=1, output="probabilities")
        graph.outputs.append(("probabilities", graph.dtype, len(classes)))
    if is_binary:
        best = graph.cast(graph.add("Greater", graph.add("Squeeze", scores, np.array([1])), np.float64(0)), np.int64)
    else:
        best = graph.add("ArgMax", scores, axis=1, keepdims=0)
    classes = np.asarray(classes)
    classes = classes.astype(np.int64) if classes.dtype.kind in "iub" else classes.astype(str)
    graph.add("Gather", classes, best, output="labels")
    graph.outputs.append(("labels", classes.dtype, None))
    return scores


def _append_one_vs_rest(graph, head, value):
    if not head.multilabel_ or not all(isinstance(one, LogisticRegression) for one in head.estimators_):
        raise ExportError("to_onnx exports a OneVsRestClassifier of logistic regressions after a multilabel fit only.")
    coef = np.vstack([one.coef_ for one in head.estimators_])
    scores = _append_scores(graph, coef, np.concatenate([one.intercept_ for one in head.estimators_]), value)
    return _append_indicators(graph, scores, len(coef), has_probabilities=True)


def _append_indicators(graph, scores, n_labels, has_probabilities):
    if has_probabilities:
        graph.add("Sigmoid", scores, output="probabilities")
        graph.outputs.append(("probabilities", graph.dtype, n_labels))
    graph.cast(graph.add("Greater", scores, np.float64(0)), np.int64, output="labels")
    graph.outputs.append(("labels", np.int64, n_labels))
    return scores


def _append_scores(graph, coef, intercept, value):
    product = graph.add("MatMul", value, np.ascontiguousarray(coef.T))
    scores = graph.add("Add", product, np.asarray(intercept, np.float64), output="scores")
    graph.outputs.append(("scores", graph.dtype, len(coef)))
    return scores


def _append_regressor(graph, head, value):
    coef, intercept = np.atleast_2d(head.coef_), np.asarray(head.intercept_, np.float64)
    product = graph.add("MatMul", value, np.ascontiguousarray(coef.T))
    graph.add("Add", product, np.broadcast_to(intercept, len(coef)), output="predictions")
    graph.outputs.append(("predictions", graph.dtype, len(coef)))
    return "predictions"


# Estimators converted to nodes directly, not through a counterpart in scikit-learn.
NATIVE = (KMeansEncoder, AutoencoderEncoder, MLPHeadClassifier, MLPHeadRegressor)

_STEPS = [
    (CountVectorizer, _append_tfidf),
    (KMeansEncoder, append_clusters),
    (AutoencoderEncoder, append_autoencoder),
    (MLPHeadClassifier, _append_network_classifier),
    (MLPHeadRegressor, lambda graph, head, value: append_network_scores(graph, head, value, "predictions")),
    (TruncatedSVD, _append_svd),
    (PCA, _append_pca),
    (Normalizer, _append_normalizer),
    ((StandardScaler, MaxAbsScaler, RobustScaler), _append_scaler),
    (MinMaxScaler, _append_min_max),
    (FunctionTransformer, _append_identity),
    (FeatureUnion, _append_union),
    (OneVsRestClassifier, _append_one_vs_rest),
    ((LogisticRegression, RidgeClassifier, LinearSVC), _append_classifier),
    ((Ridge, LinearRegression, LinearSVR), _append_regressor),
]
