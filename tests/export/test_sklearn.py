"""Exported models predict the same and need nothing but scikit-learn."""

import pickle
import subprocess
import sys
from functools import cache, partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

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
    to_sklearn,
)
from transferkit.compression import quantise
from transferkit.exceptions import ExportError

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω, rows"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4
NEW = [*TEXTS[:5], "", "unknown words", "rows rows rows and a matrix"]
X, Y = np.random.RandomState(0).rand(40, 6), np.arange(40) % 3
MANY = (np.random.RandomState(1).rand(40, 4) < 0.4).astype(int)


def word_vectors(**parameters):
    return WordVectorEncoder(3, min_count=1, **parameters).fit(TEXTS)


@cache
def fit_lsa():
    return LSAEncoder(3).fit(TEXTS)


def encoders():
    """Yield names of encoders and functions that return them fitted."""
    yield "tfidf", lambda: TfidfEncoder(ngram_range=(1, 2), sublinear_tf=True, stop_words=["of"]).fit(TEXTS)
    yield "counts", lambda: TfidfEncoder(use_idf=False, norm=None, binary=True, dtype=np.float64).fit(TEXTS)
    yield "characters", lambda: TfidfEncoder(analyzer="char_wb", ngram_range=(2, 3), min_df=2, norm="l1").fit(TEXTS)
    yield "given terms", lambda: TfidfEncoder(vocabulary=["rows", "matrix"]).fit(TEXTS)
    yield "own tokenizer", lambda: TfidfEncoder(tokenizer=str.split, token_pattern=None).fit(TEXTS)
    yield "lsa", fit_lsa
    yield "frozen", lambda: PretrainedEncoder(fit_lsa())
    for pooling in ("mean", "tfidf", "sif"):
        for norm in ("l2", None):
            yield f"word vectors, {pooling}, {norm}", partial(word_vectors, pooling=pooling, norm=norm)
    yield "adapted", lambda: word_vectors(pooling="sif").adapt_idf(TEXTS)
    yield "union", lambda: make_union(TfidfEncoder(), PretrainedEncoder(fit_lsa())).fit(TEXTS)


def network(**parameters):
    return MLPHeadClassifier((8, 5), max_iter=20, tol=None, learning_rate_init=0.02, random_state=0, **parameters)


def models():
    """Yield names of models, functions that return them fitted, and the samples to compare them on."""
    for activation in ("relu", "tanh", "sigmoid", "identity"):
        yield f"network, {activation}", partial(network(activation=activation).fit, X, Y), X
    yield "network, two classes", lambda: network(dropout=0.2, batch_norm=True).fit(X.astype(np.float32), Y > 0), X
    yield "network, many labels", lambda: network().fit(X, MANY), X
    yield "network, sparse", lambda: network(loss="focal").fit(sparse.csr_matrix(X), Y), sparse.csr_matrix(X)
    one_layer, letters = MLPHeadClassifier((), max_iter=5, random_state=0), np.array(["a", "b"])[Y % 2]
    yield "network, one layer", partial(one_layer.fit, X, letters), X
    yield "network, quantised", lambda: quantise(network().fit(X, Y), "int8"), X
    yield "network, regression", lambda: MLPHeadRegressor(8, max_iter=20, random_state=0).fit(X, X[:, 0] ** 2), X
    yield "network, targets", lambda: MLPHeadRegressor(8, max_iter=20, random_state=0).fit(X, X[:, :2] ** 2), X
    for whiten in (False, True):
        clusters = KMeansEncoder(5, activation="distance", whiten=whiten)
        yield f"clusters, whiten={whiten}", partial(make_pipeline(clusters, LogisticHead()).fit, X, Y), X
    yield "frozen", lambda: TransferClassifier(fit_lsa(), strategy="frozen").fit(TEXTS, LABELS), NEW
    yield "term vectors", lambda: TransferClassifier(word_vectors(), strategy="term_vectors").fit(TEXTS, LABELS), NEW
    yield "default", lambda: TransferClassifier(fit_lsa()).fit(TEXTS, LABELS), NEW
    yield "scratch", lambda: TransferClassifier(strategy="scratch").fit(TEXTS, LABELS), NEW
    yield "two classes", lambda: TransferClassifier(fit_lsa()).fit(TEXTS, [label == "other" for label in LABELS]), NEW
    yield "folded", lambda: TransferClassifier(word_vectors(norm=None), strategy="frozen").fit(TEXTS, LABELS), NEW
    yield "folded sif", lambda: TransferClassifier(word_vectors(norm=None, pooling="sif")).fit(TEXTS, LABELS), NEW
    yield (
        "pipeline",
        lambda: make_pipeline(PretrainedEncoder(fit_lsa()), StandardScaler(), LogisticHead()).fit(TEXTS, LABELS),
        NEW,
    )
    search = GridSearchCV(make_pipeline(TfidfEncoder(), LogisticHead()), {"logistichead__C": [1.0, 9.0]}, cv=2)
    yield "search", lambda: search.fit(TEXTS, LABELS), NEW
    yield "head on sparse", lambda: LogisticHead().fit(sparse.csr_matrix(X), Y), sparse.csr_matrix(X)
    yield "head", lambda: LogisticHead().fit(X, Y), X
    yield "searched head", lambda: LogisticHeadCV([1.0, 10.0], cv=2).fit(X, Y), X
    yield "many labels", lambda: LogisticHead().fit(X, MANY), X
    yield "ridge", lambda: RidgeHead(alphas=[0.1, 1.0]).fit(X, X[:, :2] ** 2), X
    yield "ridge, one target", lambda: make_pipeline(StandardScaler(), RidgeHead()).fit(X, X[:, 0] ** 2), X
    columns = ColumnTransformer([("texts", TfidfEncoder(), 0), ("rest", "drop", [1])])
    rows = np.array([TEXTS, LABELS], dtype=object).T
    yield "columns", lambda: make_pipeline(columns, LogisticHead()).fit(rows, LABELS), rows
    yield "calibrated", lambda: CalibratedClassifierCV(LogisticHead(), cv=2).fit(X, Y), X
    yield "scratch on numbers", lambda: TransferClassifier(strategy="scratch").fit(X, Y), X
    yield "head of scikit-learn", lambda: TransferClassifier(fit_lsa(), LogisticRegression()).fit(TEXTS, LABELS), NEW


ENCODERS, MODELS = list(encoders()), list(models())


@cache
def build(make):
    """Return what `make` fits, fitted once for all tests, which only read it."""
    return make()


def dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows


@pytest.mark.parametrize("make_encoder", [pytest.param(make, id=name) for name, make in ENCODERS])
def test_exported_encoder_gives_the_same_rows(make_encoder):
    encoder = build(make_encoder)
    rows = dense(to_sklearn(encoder).transform(NEW))
    np.testing.assert_allclose(rows, dense(encoder.transform(NEW)), atol=1e-5)


@pytest.mark.parametrize(("make_model", "rows"), [pytest.param(*rest, id=name) for name, *rest in MODELS])
def test_exported_model_predicts_the_same(make_model, rows):
    model = build(make_model)
    exported = to_sklearn(model)
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(exported.predict_proba(rows), model.predict_proba(rows), atol=1e-5)
        np.testing.assert_array_equal(exported.predict(rows), model.predict(rows))
        np.testing.assert_array_equal(exported.classes_, model.classes_)
    else:
        np.testing.assert_allclose(exported.predict(rows), model.predict(rows), atol=1e-6)


BLOCK = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("transferkit", "torch"):
            raise ImportError(f"{name} cannot be imported here")
sys.meta_path.insert(0, Nothing())
import pickle
for model, method, rows, output in pickle.load(sys.stdin.buffer):
    found = getattr(model, method)(rows)
    assert abs((found.toarray() if hasattr(found, "toarray") else found) - output).max() < 1e-4, model
print("same")
"""


def test_pickles_load_where_transferkit_cannot_be_imported():
    built = [build(make) for _, make in ENCODERS]
    cases = [(to_sklearn(encoder), "transform", NEW, dense(encoder.transform(NEW))) for encoder in built]
    for _, make, rows in MODELS:
        model = build(make)
        method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        cases.append((to_sklearn(model), method, rows, getattr(model, method)(rows)))
    result = subprocess.run([sys.executable, "-c", BLOCK], input=pickle.dumps(cases), capture_output=True, check=False)
    assert result.stdout == b"same\n", result.stderr.decode()


def test_weights_are_folded_where_only_a_projection_stands_before_the_head():
    model = TransferClassifier(word_vectors(norm=None), strategy="frozen").fit(TEXTS, LABELS)
    exported = to_sklearn(model)
    assert [type(step).__name__ for step in exported] == ["TfidfVectorizer", "LogisticRegression"]
    assert exported[-1].coef_.shape == (3, len(model.encoder_.encoder_.vocabulary_))
    assert exported[-1].coef_.T.flags.c_contiguous
    two = WordVectorEncoder(2, min_count=1, norm=None).fit(TEXTS)
    few = TransferClassifier(two, strategy="frozen").fit(TEXTS, LABELS)
    assert len(to_sklearn(few)) == 3  # three classes would need more weights than two components


def test_multilabel_predictions_are_indicators():
    model = LogisticHead().fit(X, MANY)
    assert type(to_sklearn(model)).__name__ == "OneVsRestClassifier"
    np.testing.assert_array_equal(to_sklearn(model).predict(X), model.predict(X))


def test_what_is_scikit_learns_already_stays():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert to_sklearn(model) is model


def test_exported_model_can_be_fitted_again():
    exported = to_sklearn(TransferClassifier(strategy="scratch").fit(TEXTS, LABELS))
    assert exported.fit(TEXTS[:4], LABELS[:4]).predict(["entries of vectors"]) == ["vector"]


class Unknown(FunctionTransformer):
    __module__ = "transferkit.somewhere"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: TfidfEncoder(stemmer=str.upper).fit(TEXTS), "TfidfVectorizer has no stemmer"),
        (lambda: LSAEncoder(2, stemmer=str.upper).fit(TEXTS), "TfidfVectorizer has no stemmer"),
        (lambda: word_vectors(subword=True), "with subword=True gives vectors to words outside its vocabulary"),
        (lambda: word_vectors(pooling="max"), "pooling='max' is not linear in words"),
        (lambda: word_vectors(pooling="mean+max"), r"pooling='mean\+max' is not linear"),
        (lambda: make_pipeline(Unknown()).fit(X), "counterpart of a fitted Unknown"),
        (lambda: "text", "takes estimators. Got str"),
        (lambda: network(activation="gelu").fit(X, Y), "MLPHeadClassifier with activation='gelu' has no counterpart"),
        (lambda: network(loss="hinge").fit(X, Y), "loss='hinge' has no probabilities"),
        (lambda: KMeansEncoder(5).fit(X), "KMeansEncoder with activation='triangle' has no counterpart"),
        (lambda: KMeansEncoder(4, patches=(1, 1), image_shape=(2, 3)).fit(X), "KMeansEncoder with patches"),
        (lambda: AutoencoderEncoder((4,), n_components=2, max_iter=50).fit(X), "counterpart of a fitted AutoencoderEn"),
        (lambda: SOMEncoder((2, 2)).fit(X), "counterpart of a fitted SOMEncoder"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(model, message):
    with pytest.raises(ExportError, match=message):
        to_sklearn(model())


def test_unfitted_model_is_refused():
    with pytest.raises(NotFittedError):
        to_sklearn(LogisticHead())


def split_lazily(text):
    yield from text.split()


def test_tokenizer_that_scikit_learn_cannot_use_is_named():
    tokens = {"tokenizer": split_lazily, "token_pattern": None}
    encoder = TfidfEncoder(**tokens).fit(TEXTS)
    difference = to_sklearn(encoder).transform(TEXTS) - encoder.transform(TEXTS)
    assert abs(difference).max() < 1e-6
    with pytest.raises(ExportError, match=r"cannot be used: object of type 'generator' .* return a list of str"):
        to_sklearn(TfidfEncoder(**tokens, ngram_range=(1, 2)).fit(TEXTS))
