"""ONNX graphs agree with the models they come from, and what has no exact counterpart is refused."""

import os
import re
from functools import cache, partial

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from transferkit import (
    AutoencoderEncoder,
    KMeansEncoder,
    LogisticHead,
    LogisticHeadCV,
    LSAEncoder,
    MLPHeadClassifier,
    MLPHeadRegressor,
    PretrainedEncoder,
    RidgeHead,
    SOMEncoder,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
    to_onnx,
)
from transferkit._algorithms.networks.layers import ACTIVATIONS
from transferkit.compression import prune, quantise
from transferkit.exceptions import ExportError, MissingExtraError

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'transferkit[onnx]'")
pytest.importorskip("onnx")

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω, rows"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4
NEW = [*TEXTS[:5], "", "unknown words", "rows rows Rows and a MATRIX has rows"]
X, Y = np.random.RandomState(0).rand(40, 6), np.arange(40) % 3
MANY = (np.random.RandomState(1).rand(40, 4) < 0.4).astype(int)


def network(**parameters):
    return MLPHeadClassifier((8, 5), max_iter=20, learning_rate_init=0.02, random_state=0, **parameters)


@cache
def fit_lsa():
    return LSAEncoder(3).fit(TEXTS)


def classifiers():
    """Yield names of models, functions that return them fitted, and the samples to compare them on."""
    for activation in ACTIVATIONS:
        rows = X if activation in ("elu", "gelu", "relu") else X.astype(np.float32)
        yield f"network, {activation}", partial(network(activation=activation).fit, rows, Y), rows
    yield "network, two classes", lambda: network(dropout=0.2, batch_norm=True).fit(X, Y > 0), X
    yield "network, many labels", lambda: network().fit(X, MANY), X
    yield "network, pruned", lambda: prune(network().fit(X, Y), 0.5), X
    yield "network, quantised", lambda: quantise(network().fit(X, Y), "int8"), X
    yield "terms, quantised", lambda: make_quantised_terms(), NEW
    for kind in ("triangle", "distance", "soft"):
        for whiten in (False, True):
            clusters = KMeansEncoder(5, activation=kind, whiten=whiten)
            yield f"clusters, {kind}, {whiten}", partial(make_pipeline(clusters, LogisticHead()).fit, X, Y), X
    code = AutoencoderEncoder((8,), n_components=3, activation="gelu", max_iter=5)
    yield "autoencoder", lambda: make_pipeline(code, LogisticHead()).fit(X, Y), X
    yield "head", lambda: LogisticHead().fit(X, Y), X
    yield "float32", lambda: LogisticHead().fit(X.astype(np.float32), Y), X.astype(np.float32)
    yield "two classes", lambda: LogisticHead().fit(X, Y > 0), X
    yield "names", lambda: LogisticHeadCV([1.0, 10.0], cv=2).fit(X, np.array(["a", "Ω", "c"])[Y]), X
    yield "many labels", lambda: LogisticHead().fit(X, MANY), X
    for step in (StandardScaler(), MinMaxScaler(clip=True), RobustScaler(), MaxAbsScaler(), PCA(3, whiten=True)):
        yield type(step).__name__, partial(make_pipeline(step, Normalizer("l1"), LogisticHead()).fit, X, Y), X
    union = make_union(PCA(2), TruncatedSVD(2), FunctionTransformer()).set_params(transformer_weights={"pca": 2.0})
    yield "union of numbers", lambda: make_pipeline(union, Normalizer("max"), LogisticHead()).fit(X, Y), X
    yield "scratch on numbers", lambda: TransferClassifier(strategy="scratch").fit(X, Y), X
    yield "terms", lambda: TransferClassifier(strategy="scratch").fit(TEXTS, LABELS), NEW
    yield (
        "n-grams",
        lambda: make_pipeline(TfidfEncoder(ngram_range=(1, 3), stop_words=["has"]), LogisticHead()).fit(TEXTS, LABELS),
        NEW,
    )
    yield (
        "bigrams",
        lambda: make_pipeline(TfidfEncoder(ngram_range=(2, 2), binary=True), LogisticHead()).fit(TEXTS, LABELS),
        NEW,
    )
    yield (
        "double",
        lambda: make_pipeline(TfidfEncoder(dtype=np.float64, norm="l1"), LogisticHead()).fit(TEXTS, LABELS),
        NEW,
    )
    for analyzer in ("char", "char_wb"):
        characters = TfidfEncoder(analyzer=analyzer, ngram_range=(1, 3), sublinear_tf=True)
        yield analyzer, partial(make_pipeline(characters, LogisticHead()).fit, TEXTS, LABELS), NEW
        both = make_union(TfidfEncoder(ngram_range=(1, 2)), characters, TfidfEncoder(analyzer="char"))
        yield f"words and {analyzer}", partial(make_pipeline(both, LogisticHead()).fit, TEXTS, LABELS), NEW
    yield "lsa", lambda: TransferClassifier(fit_lsa()).fit(TEXTS, LABELS), NEW
    for pooling, norm in (("mean", "l2"), ("tfidf", None), ("sif", "l2")):
        yield f"word vectors, {pooling}", partial(fit_on_word_vectors, pooling=pooling, norm=norm), NEW
    yield (
        "union",
        lambda: make_pipeline(make_union(TfidfEncoder(), PretrainedEncoder(fit_lsa())), LogisticHead()).fit(
            TEXTS, LABELS
        ),
        NEW,
    )


def fit_on_word_vectors(**parameters):
    encoder = WordVectorEncoder(3, min_count=1, **parameters).fit(TEXTS)
    return TransferClassifier(encoder).fit(TEXTS, LABELS)


def make_quantised_terms():
    encoder = TfidfEncoder().fit(TEXTS)
    head = LogisticHead().fit(encoder.transform(TEXTS), LABELS)
    return Pipeline([("encoder", encoder), ("head", quantise(head, "float16"))])


def run(path, inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.mark.parametrize(("make_model", "rows"), [pytest.param(*rest, id=name) for name, *rest in classifiers()])
def test_graph_agrees_with_the_classifier(make_model, rows, tmp_path):
    model = make_model()
    make_inputs = to_onnx(model, tmp_path / "model.onnx")
    outputs = run(tmp_path / "model.onnx", make_inputs(rows))
    np.testing.assert_allclose(outputs["probabilities"], model.predict_proba(rows), atol=1e-5)
    scores = model.decision_function(rows)
    np.testing.assert_allclose(outputs["scores"].reshape(scores.shape), scores, atol=1e-4)
    np.testing.assert_array_equal(outputs["labels"].astype(model.classes_.dtype), model.predict(rows))
    assert os.listdir(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("model", [LinearSVC(), RidgeClassifier()], ids=lambda model: type(model).__name__)
def test_graph_of_a_classifier_without_probabilities(model, tmp_path):
    make_inputs = to_onnx(model.fit(X, Y), tmp_path / "model.onnx")
    outputs = run(tmp_path / "model.onnx", make_inputs(X))
    assert set(outputs) == {"scores", "labels"}
    np.testing.assert_allclose(outputs["scores"], model.decision_function(X), atol=1e-5)
    np.testing.assert_array_equal(outputs["labels"], model.predict(X))


@pytest.mark.parametrize("y", [X[:, 0] ** 2, X[:, :2] ** 2])
def test_graph_of_a_regressor(y, tmp_path):
    model = make_pipeline(StandardScaler(), RidgeHead()).fit(X, y)
    outputs = run(tmp_path / "model.onnx", to_onnx(model, tmp_path / "model.onnx")(X))
    np.testing.assert_allclose(outputs["predictions"].reshape(y.shape), model.predict(X), atol=1e-5)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_graph_of_a_network_regressor(n_outputs, tmp_path):
    model = MLPHeadRegressor(8, max_iter=20, random_state=0).fit(X, X[:, :n_outputs] ** 2)
    outputs = run(tmp_path / "model.onnx", to_onnx(model, tmp_path / "model.onnx")(X))
    np.testing.assert_allclose(outputs["predictions"], model.predict(X).reshape(len(X), -1), atol=1e-5)


def test_graph_of_a_network_without_probabilities(tmp_path):
    model = network(loss="hinge").fit(X, Y)
    outputs = run(tmp_path / "model.onnx", to_onnx(model, tmp_path / "model.onnx")(X))
    assert set(outputs) == {"scores", "labels"}
    np.testing.assert_array_equal(outputs["labels"], model.predict(X))


@pytest.mark.parametrize(
    ("kind", "offset"), [("triangle", 0), ("distance", 0), ("distance", 64), ("soft", 0), ("soft", 64), ("onehot", 0)]
)
def test_graph_of_clusters(kind, offset, tmp_path):
    encoder = KMeansEncoder(5, activation=kind).fit(X + offset)
    rows = (np.random.RandomState(3).rand(50, X.shape[1]) + offset).astype(np.float32)
    outputs = run(tmp_path / "model.onnx", to_onnx(encoder, tmp_path / "model.onnx")(rows))
    expected = encoder.transform(rows)
    tolerance = 1e-5 if offset == 0 else 1e-4  # of the middle of the centres in float32
    found = outputs["features"]
    np.testing.assert_allclose(found, expected.toarray() if kind == "onehot" else expected, atol=tolerance)


@pytest.mark.parametrize("encoder", [LSAEncoder(3), TfidfEncoder(), make_pipeline(LSAEncoder(3), StandardScaler())])
def test_graph_of_an_encoder(encoder, tmp_path):
    rows = encoder.fit(TEXTS).transform(NEW)
    outputs = run(tmp_path / "model.onnx", to_onnx(encoder, tmp_path / "model.onnx")(NEW))
    np.testing.assert_allclose(outputs["features"], rows.toarray() if hasattr(rows, "toarray") else rows, atol=1e-5)


def test_one_text_and_many_are_the_same(tmp_path):
    make_inputs = to_onnx(TransferClassifier(LSAEncoder(3).fit(TEXTS)).fit(TEXTS, LABELS), tmp_path / "model.onnx")
    many = run(tmp_path / "model.onnx", make_inputs(NEW))["probabilities"]
    one = [run(tmp_path / "model.onnx", make_inputs([text]))["probabilities"][0] for text in NEW]
    np.testing.assert_allclose(one, many, atol=1e-6)


@pytest.mark.parametrize(
    ("make_model", "message"),
    [
        (lambda: RandomForestClassifier(2).fit(X, Y), "no exact counterpart of RandomForestClassifier"),
        (lambda: make_pipeline(FunctionTransformer(np.log1p), LogisticHead()).fit(X, Y), "FunctionTransformer with a"),
        (lambda: TfidfEncoder(analyzer=str.split).fit(TEXTS), "analyzer that is a name. Got analyzer=<method 'split'"),
        (lambda: TfidfEncoder(token_pattern=r"\S.\S+", ngram_range=(1, 2)).fit(TEXTS), "the default token_pattern"),
        (lambda: TfidfEncoder(stemmer=str.upper).fit(TEXTS), "no stemmer"),
        (lambda: KMeansEncoder(4, patches=(1, 1), image_shape=(2, 3)).fit(X), "a KMeansEncoder with patches"),
        (lambda: SOMEncoder((2, 2)).fit(X), "SOMEncoder"),
        (
            lambda: AutoencoderEncoder((4,), n_components=2, image_shape=(2, 3), max_iter=2).fit(X),
            "convolutions of an AutoencoderEncoder",
        ),
        (lambda: make_union(TfidfEncoder(), TfidfEncoder(lowercase=False)).fit(TEXTS), "with the same tokenisation"),
    ],
)
def test_what_has_no_exact_counterpart_is_refused_by_name(make_model, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        to_onnx(make_model(), tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def split_all(text):
    return re.split(r"\W+", text)


def split_lazily(text):
    yield from text.split()


@pytest.mark.parametrize(
    "parameters",
    [
        {"tokenizer": split_all, "token_pattern": None},
        {"token_pattern": r"\w*"},
        {"vocabulary": ["", "rows"]},
        {"vocabulary": ["has  rows", "rows"], "ngram_range": (1, 2)},
        {"vocabulary": ["rows ", "rows"], "ngram_range": (1, 2)},
        {"vocabulary": [" rows", "rows"], "ngram_range": (2, 2)},
    ],
)
@pytest.mark.parametrize("head", [None, LogisticHead()])
def test_empty_terms_which_would_count_the_padding_are_refused(parameters, head, tmp_path):
    model = make_pipeline(TfidfEncoder(**parameters), head or "passthrough").fit([*TEXTS, "rows!"], [*LABELS, "other"])
    with pytest.raises(ExportError, match=r"pads rows of tokens with empty strings, and the term '.*' of the vocab"):
        to_onnx(model, tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_term_of_more_words_than_are_counted_is_refused(tmp_path):
    encoder = TfidfEncoder(vocabulary=["rows", "matrix has rows"], ngram_range=(1, 2)).fit(TEXTS)
    with pytest.raises(ExportError, match="n-grams of up to 2 words, and the term 'matrix has rows' is longer"):
        to_onnx(encoder, tmp_path / "model.onnx")


def test_empty_tokens_that_are_no_terms_are_not_counted(tmp_path):
    encoder = TfidfEncoder(tokenizer=split_all, token_pattern=None, vocabulary=["rows", "matrix"]).fit(TEXTS)
    make_inputs, texts = to_onnx(encoder, tmp_path / "model.onnx"), ["!rows!", "a matrix has many rows, and more"]
    for batch in (texts, texts[:1]):
        found = run(tmp_path / "model.onnx", make_inputs(batch))["features"]
        np.testing.assert_allclose(found, encoder.transform(batch).toarray(), atol=1e-6)


@pytest.mark.parametrize("stop_words", [None, ["has"]])
def test_tokenizer_may_return_a_generator(stop_words, tmp_path):
    encoder = TfidfEncoder(tokenizer=split_lazily, token_pattern=None, stop_words=stop_words)
    model = make_pipeline(encoder, LogisticHead()).fit(TEXTS, LABELS)
    make_inputs = to_onnx(model, tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", make_inputs(NEW))["probabilities"]
    np.testing.assert_allclose(found, model.predict_proba(NEW), atol=1e-5)


def test_missing_onnx_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'transferkit\[onnx\]'"):
        to_onnx(LogisticHead().fit(X, Y), tmp_path / "model.onnx")
