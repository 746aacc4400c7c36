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

from transferkit._algorithms.networks.layers import LEAK
from transferkit.encoders import AutoencoderEncoder, KMeansEncoder
from transferkit.encoders.text import DEFAULT_TOKEN_PATTERN
from transferkit.exceptions import ExportError
from transferkit.export._sklearn import dense_weights, list_steps
from transferkit.heads import MLPHeadClassifier, MLPHeadRegressor

__all__ = ["NATIVE", "append_step", "make_tokeniser"]

_NORMALISING = ("input", "encoding", "strip_accents", "lowercase", "preprocessor")
_SPLITTING = (*_NORMALISING, "tokenizer", "stop_words", "token_pattern")
_PADDING = ""  # pads rows of tokens, so it cannot be a term
_CHARACTERS = ("char", "char_wb")
_MARK = "\x01"  # around the kind of n-grams of characters, which begins such tokens: a word might equal one


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
    words = [v for v in vectorizers if v.analyzer not in _CHARACTERS]
    for names, alike in ((_NORMALISING, vectorizers), (_SPLITTING, words)):
        if any([getattr(v, name) for name in names] != [getattr(alike[0], name) for name in names] for v in alike):
            raise ExportError("to_onnx needs text encoders with the same tokenisation.")
    analyzers = [clone(v).set_params(ngram_range=(1, 1), vocabulary=None).build_analyzer() for v in words[:1]]
    of_characters = {_mark(v): v.build_analyzer() for v in vectorizers if v.analyzer in _CHARACTERS}

    def tokenise(texts):
        rows = []
        for text in texts:
            row = [token for analyze in analyzers for token in analyze(text)]  # a tokenizer may return a generator
            for mark, analyze in of_characters.items():
                row += [_PADDING, *(mark + token for token in analyze(text))]  # padding parts n-grams of words
            rows.append(row)
        width = max([1, *map(len, rows)])
        return np.array([row + [_PADDING] * (width - len(row)) for row in rows], dtype=object)

    return tokenise


def _mark(vectorizer):
    """Return the beginning of the tokens of a vectorizer; "" for words."""
    if vectorizer.analyzer not in _CHARACTERS:
        return ""
    lowest, highest = vectorizer.ngram_range
    return f"{_MARK}{vectorizer.analyzer} {lowest} {highest}{_MARK}"


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
    mark = _mark(vectorizer)
    lowest, highest = (1, 1) if mark else vectorizer.ngram_range  # n-grams of characters are tokens
    if not mark and vectorizer.analyzer != "word":
        raise ExportError(f"to_onnx needs an analyzer that is a name. Got analyzer={vectorizer.analyzer!r}.")
    if highest > 1 and (vectorizer.token_pattern != DEFAULT_TOKEN_PATTERN or vectorizer.tokenizer is not None):
        raise ExportError("to_onnx can only count n-grams of words without spaces: it needs the default token_pattern.")
    _check_terms(vectorizer.vocabulary_, highest)
    terms = sorted(vectorizer.vocabulary_.items(), key=lambda item: (item[0].count(" "), item[1]))
    sizes = np.array([term.count(" ") if highest > 1 else 0 for term, _ in terms])
    pool = [mark + word for term, _ in terms for word in (term.split(" ") if highest > 1 else [term])]
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
    scores = _append_network_scores(graph, head, value, "scores")
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


def _append_layers(graph, coefs, intercepts, activation, value, output=None):
    """Append the layers of a network, without any link function."""
    for position, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        is_last = position == len(coefs) - 1
        value = graph.add("MatMul", value, np.asarray(coef, np.float64))
        value = graph.add("Add", value, np.asarray(intercept, np.float64), output=output if is_last else None)
        value = value if is_last else _activate(graph, activation, value)
    return value


def _append_autoencoder(graph, encoder, value):
    """Append the layers of the encoder, up to the code."""
    if encoder.image_shape is not None:
        raise ExportError("to_onnx does not write the convolutions of an AutoencoderEncoder with image_shape.")
    return _append_layers(graph, encoder.coefs_, encoder.intercepts_, encoder.activation, value)


def _append_network_scores(graph, head, value, output):
    """Append the layers of a network head and return the name of its outputs."""
    weights = dense_weights(head)
    value = _append_layers(graph, weights, head.intercepts_, head.activation, value, output=output)
    graph.outputs.append((output, graph.dtype, weights[-1].shape[1]))
    return value


def _append_clusters(graph, encoder, value):
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


# Estimators converted to nodes directly, not through a counterpart in scikit-learn.
NATIVE = (KMeansEncoder, AutoencoderEncoder, MLPHeadClassifier, MLPHeadRegressor)

_STEPS = [
    (CountVectorizer, _append_tfidf),
    (KMeansEncoder, _append_clusters),
    (AutoencoderEncoder, _append_autoencoder),
    (MLPHeadClassifier, _append_network_classifier),
    (MLPHeadRegressor, lambda graph, head, value: _append_network_scores(graph, head, value, "predictions")),
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
