"""Functions given to text encoders may return any iterable of str; errors about other results name the parameter."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from transferkit import LogisticHead, LSAEncoder, TfidfEncoder, WordVectorEncoder, explain, to_onnx

TEXTS = ["rows of a matrix", "a vector has entries", "rows of a vector", "entries of a matrix"]
KINDS = {
    "generator": lambda words: (word for word in words),
    "map": lambda words: map(str, words),
    "tuple": tuple,
    "array": np.array,
    "view of a dict": lambda words: dict(enumerate(words)).values(),
}


def returning(kind):
    def split(text):
        return KINDS[kind](text.split())

    return split


def split_lazily(text):
    yield from text.split()


def dense(rows):
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "encoder",
    [
        TfidfEncoder(token_pattern=None),
        TfidfEncoder(token_pattern=None, ngram_range=(1, 2)),
        TfidfEncoder(token_pattern=None, ngram_range=(2, 2), stop_words=["a"]),
        TfidfEncoder(token_pattern=None, stemmer=str.title),
        LSAEncoder(2, min_df=1, token_pattern=None),
        WordVectorEncoder(3, min_count=1, token_pattern=None),
        WordVectorEncoder(3, min_count=1, token_pattern=None, subword=True),
    ],
    ids=str,
)
def test_tokenizers_may_return_any_iterable(encoder, kind):
    expected = clone(encoder).set_params(tokenizer=str.split).fit(TEXTS)
    encoder = clone(encoder).set_params(tokenizer=returning(kind))
    np.testing.assert_array_equal(dense(encoder.fit_transform(TEXTS)), dense(expected.fit_transform(TEXTS)))
    for texts in (TEXTS[:1], TEXTS, TEXTS * 5):  # few texts and many take different ways
        fresh = pickle.loads(pickle.dumps(clone(encoder).set_params(tokenizer=split_lazily).fit(TEXTS)))
        for fitted in (encoder, fresh, clone(encoder).partial_fit(TEXTS)):
            np.testing.assert_allclose(dense(fitted.transform(texts)), dense(expected.transform(texts)), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoder", [TfidfEncoder(), LSAEncoder(2, min_df=1)], ids=str)
def test_analyzers_may_return_any_iterable(encoder, kind):
    expected = clone(encoder).set_params(analyzer=str.split).fit(TEXTS)
    encoder = clone(encoder).set_params(analyzer=returning(kind)).fit(TEXTS)
    for texts in (TEXTS[:1], TEXTS * 5):
        np.testing.assert_array_equal(dense(encoder.transform(texts)), dense(expected.transform(texts)))


def test_preprocessors_may_return_what_the_tokenizer_takes():
    encoder = TfidfEncoder(preprocessor=split_lazily, tokenizer=list, token_pattern=None).fit(TEXTS)
    assert encoder.vocabulary_ == TfidfEncoder(analyzer=str.split).fit(TEXTS).vocabulary_
    assert encoder.transform(TEXTS[:1]).nnz == 4


def test_explanations_take_lazy_tokenizers():
    model = make_pipeline(TfidfEncoder(tokenizer=split_lazily, token_pattern=None), LogisticHead())
    explanation = explain(model.fit(TEXTS * 3, ["matrix", "vector", "vector", "matrix"] * 3), TEXTS[0])
    assert sorted(explanation.terms.tolist()) == sorted(TEXTS[0].split())
    assert model[0].build_analyzer()("a b") == ["a", "b"]


def test_graphs_take_lazy_tokenizers(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    model = make_pipeline(TfidfEncoder(tokenizer=split_lazily, token_pattern=None), LogisticHead())
    model.fit(TEXTS * 3, ["matrix", "vector", "vector", "matrix"] * 3)
    make_inputs = to_onnx(model, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    [found] = session.run(["probabilities"], make_inputs(TEXTS))
    np.testing.assert_allclose(found, model.predict_proba(TEXTS), atol=1e-5)


BAD_TERMS = [
    (lambda text: None, r"into a list, or another iterable, of str\. Got None \(NoneType\) for the text 'rows"),
    (lambda text: len(text), r"into a list, or another iterable, of str\. Got \d+ \(int\) for the text 'rows"),
    (lambda text: [None], r"must return terms that are str\. Got None \(NoneType\) for the text 'rows"),
    (lambda text: iter([1]), r"must return terms that are str\. Got 1 \(int\) for the text 'rows"),
    (lambda text: [["rows"]], r"must return terms that are str\. Got \['rows'\] \(list\) for the text 'rows"),
    (lambda text: [text.encode()], r"must return terms that are str\. Got b'rows.* \(bytes\) for the text 'rows"),
]


@pytest.mark.parametrize(("function", "message"), BAD_TERMS)
@pytest.mark.parametrize("name", ["tokenizer", "analyzer"])
def test_bad_terms_are_named_in_fit_and_in_transform_of_one_text(name, function, message):
    message = f"The '{name}' {'must turn a text ' if message.startswith('into') else ''}{message}"
    pattern = {"token_pattern": None} if name == "tokenizer" else {}
    for encoder in (TfidfEncoder(**pattern), LSAEncoder(2, min_df=1, **pattern)):
        with pytest.raises(TypeError, match=message):
            clone(encoder).set_params(**{name: function}).fit(TEXTS)
        fitted = clone(encoder).set_params(**{name: str.split}).fit(TEXTS).set_params(**{name: function})
        if isinstance(fitted, LSAEncoder):
            fitted.tfidf_.set_params(**{name: function})
        for texts in (TEXTS[:1], TEXTS * 5):
            with pytest.raises(TypeError, match=message):
                fitted.transform(texts)


@pytest.mark.parametrize("name", ["preprocessor", "strip_accents"])
@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_preprocessors_must_return_a_text(name, analyzer):
    with pytest.raises(
        TypeError, match=rf"The '{name}' must turn a text into a str\. Got \['r', .*\.\.\. \(list\) for"
    ):
        TfidfEncoder(analyzer=analyzer, **{name: list}).fit([TEXTS[0] * 9])
    with pytest.raises(TypeError, match=rf"The '{name}' must turn a text into a str\. Got None \(NoneType\)"):
        TfidfEncoder(analyzer=analyzer).fit(TEXTS).set_params(**{name: lambda text: None}).transform(TEXTS[:1])
