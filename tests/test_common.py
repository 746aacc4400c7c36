"""The contract of every estimator: scikit-learn's for rows of numbers, our own for texts."""

import pickle
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from transferkit import (
    AutoencoderEncoder,
    DomainTransferClassifier,
    KMeansEncoder,
    LogisticHead,
    LSAEncoder,
    MLPHeadClassifier,
    MLPHeadRegressor,
    MultiTaskTransfer,
    PretrainedEncoder,
    RidgeHead,
    SelectiveClassifier,
    SentenceEncoder,
    SOMEncoder,
    TfidfEncoder,
    TorchEncoder,
    TransferClassifier,
    TransferRegressor,
    WordVectorEncoder,
    encoders,
    load,
    save,
)
from transferkit.exceptions import LostPretrainingWarning

TEXTS = ["the cat sat on the mat", "a dog", "Ünïcode words, and CATS!", "the dog sat", "a cat and a dog and a mat"] * 3


@parametrize_with_checks(
    [
        AutoencoderEncoder((8,), 2, max_iter=3),
        KMeansEncoder(4),
        SOMEncoder((2, 2)),
        TorchEncoder(torch.nn.Identity()),
        MLPHeadClassifier(),
        MLPHeadRegressor(),
        TransferClassifier(head=LogisticHead(), strategy="scratch"),
        TransferRegressor(head=RidgeHead(), strategy="scratch"),
        SelectiveClassifier(LogisticHead(), coverage=1.0, method="both", cv=2),
    ]
)
@pytest.mark.filterwarnings("ignore:Features lie more than:UserWarning")  # rows around 100, for the autoencoder
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows


ENCODERS = [TfidfEncoder(), LSAEncoder(3, min_df=1), WordVectorEncoder(8, min_count=1)]


@pytest.fixture(params=ENCODERS, ids=lambda encoder: type(encoder).__name__)
def encoder(request):
    return clone(request.param)


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "numpy", "numpy object", "pandas", "polars"])
def test_collections_of_texts_are_all_the_same(encoder, kind):
    make = {
        "list": list,
        "tuple": tuple,
        "generator": iter,
        "numpy": np.array,
        "numpy object": lambda texts: np.array(texts, dtype=object),
        "pandas": lambda texts: pytest.importorskip("pandas").Series(texts, index=np.arange(len(texts))[::-1]),
        "polars": lambda texts: pytest.importorskip("polars").Series(texts),
    }[kind]
    expected = encoder.fit(TEXTS).transform(TEXTS)
    rows = clone(encoder).fit(make(TEXTS)).transform(make(TEXTS))
    assert sparse.issparse(rows) == sparse.issparse(expected)
    np.testing.assert_array_equal(dense(rows), dense(expected))


def test_fit_transform_is_fit_and_transform(encoder):
    first = dense(encoder.fit_transform(TEXTS))
    np.testing.assert_allclose(first, dense(encoder.transform(TEXTS)), atol=1e-6)
    np.testing.assert_allclose(first, dense(clone(encoder).fit(TEXTS).transform(TEXTS)), atol=1e-6)


def test_second_fit_forgets_the_first(encoder):
    fresh = dense(clone(encoder).fit(TEXTS).transform(TEXTS))
    again = dense(encoder.fit(["something else", "entirely else"]).fit(TEXTS).transform(TEXTS))
    np.testing.assert_array_equal(again, fresh)


def test_rows_do_not_depend_on_their_company(encoder):
    rows = dense(encoder.fit(TEXTS).transform(TEXTS))
    order = np.random.RandomState(0).permutation(len(TEXTS))
    np.testing.assert_allclose(dense(encoder.transform([TEXTS[i] for i in order])), rows[order], atol=1e-6)
    np.testing.assert_allclose(dense(encoder.transform(TEXTS[3:4])), rows[3:4], atol=1e-6)


def test_empty_and_unknown_texts_are_zero_rows(encoder):
    rows = dense(encoder.fit(TEXTS).transform(["", "  \n", "unheard", TEXTS[0]]))
    assert not rows[:3].any()
    assert rows[3].any()


def test_rows_are_float32(encoder):
    assert encoder.fit(TEXTS).transform(TEXTS).dtype == np.float32


def test_feature_names_match_the_columns(encoder):
    names = encoder.fit(TEXTS).get_feature_names_out()
    assert names.dtype == object
    assert len(set(names)) == len(names) == encoder.transform(TEXTS).shape[1]


def test_pickled_encoder_encodes_the_same(encoder):
    rows = dense(encoder.fit(TEXTS).transform(TEXTS))
    np.testing.assert_array_equal(dense(pickle.loads(pickle.dumps(encoder)).transform(TEXTS)), rows)


def test_search_reaches_the_encoder(encoder):
    name = type(encoder).__name__.lower()
    search = GridSearchCV(make_pipeline(encoder, LogisticHead(C=100)), {f"{name}__lowercase": [True, False]}, cv=3)
    labels = [i % 5 for i in range(len(TEXTS))]
    assert search.fit(TEXTS, labels).score(TEXTS, labels) == 1


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["a b", None], ValueError, r"The text at position 1 is missing \(None\)"),
        (["a b", "c d", float("nan")], ValueError, r"The text at position 2 is missing \(nan\)"),
        (["a b", 3.5], TypeError, r"The text at position 1 must be a str. Got 3.5 \(float\) instead"),
        ("a bare string", ValueError, "got one bare str"),
        ([], ValueError, "at least one text, got an empty list"),
        (np.array([["a", "b"]]), ValueError, r"1-D collection of texts, got ndarray of shape \(1, 2\)"),
        ({"a": "b"}, TypeError, "1-D collection of texts such as a list, got dict"),
        (7, TypeError, "1-D collection of texts such as a list, got int"),
    ],
)  # fmt: skip
def test_bad_texts_are_named(encoder, method, X, error, message):
    if method == "transform":
        encoder.fit(TEXTS)
    with pytest.raises(error, match=message):
        getattr(encoder, method)(X)


def test_failed_fit_leaves_the_encoder_as_it_was(encoder):
    with pytest.raises(ValueError, match="missing"):
        encoder.fit(["a b", None])
    with pytest.raises(NotFittedError):
        encoder.transform(TEXTS)
    rows = dense(encoder.fit(TEXTS).transform(TEXTS))
    for bad in (["a b", None], ["", ""]):
        with pytest.raises(ValueError, match=r"missing|empty vocabulary"):
            encoder.fit(bad)
        np.testing.assert_array_equal(dense(encoder.transform(TEXTS)), rows)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("min_df", -1), ("norm", "l3"), ("analyzer", "sentence"), ("ngram_range", 2), ("lowercase", "yes")],
)
def test_bad_parameters_are_named(encoder, parameter, value):
    name = type(encoder).__name__
    if parameter not in encoder.get_params():
        pytest.skip(f"{name} has no {parameter}")
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {name} must be"):
        encoder.set_params(**{parameter: value}).fit(TEXTS)


# From here on: what holds for every text estimator in its default settings, those with a fitted encoder included.

ANIMALS = ["the cat sat on the mat", "a dog and a cat ran", "the dog ran to the park", "cat and dog on a mat"]
MATRICES = ["rows of a matrix", "the vector has entries", "the matrix has rows and entries", "entries of the vector"]
CORPUS = (ANIMALS + MATRICES) * 4
LABELS = np.array(([0] * 4 + [1] * 4) * 4)


def fit_encoder(make, texts=CORPUS, **parameters):
    return make(**parameters).fit(texts)


def fit_pretrained(make, texts=CORPUS, **parameters):
    return PretrainedEncoder(make(**parameters).fit(texts)).fit()


def fit_classifier(make, texts=CORPUS, labels=LABELS, **parameters):
    return TransferClassifier(make(**parameters).fit(list(CORPUS))).fit(texts, labels)


def fit_regressor(make, texts=CORPUS, labels=LABELS, **parameters):
    return TransferRegressor(make(**parameters).fit(list(CORPUS))).fit(texts, labels)


def fit_multitask(make, texts=CORPUS, labels=LABELS, **parameters):
    model = MultiTaskTransfer(TransferClassifier(make(**parameters).fit(list(CORPUS))))
    return model.fit(texts, {"kind": labels})


def fit_domain_classifier(make, texts=CORPUS, labels=LABELS, **parameters):
    encoder = make(**parameters).fit(list(CORPUS)) if parameters else None  # None is the default: TF-IDF
    return DomainTransferClassifier(encoder).fit(texts, labels, X_target=texts)


TEXT_MODELS = {
    f"{fit.__name__[4:]} {make.__name__}": (fit, make)
    for fit, makes in {
        fit_encoder: [TfidfEncoder, LSAEncoder, WordVectorEncoder],
        fit_pretrained: [TfidfEncoder, LSAEncoder, WordVectorEncoder],
        fit_classifier: [TfidfEncoder, LSAEncoder, WordVectorEncoder],
        fit_regressor: [TfidfEncoder, LSAEncoder, WordVectorEncoder],
        fit_multitask: [LSAEncoder],
        fit_domain_classifier: [TfidfEncoder],
    }.items()
    for make in makes
}
ENCODING = [name for name in TEXT_MODELS if name.startswith(("encoder", "pretrained"))]
PREDICTING = [name for name in TEXT_MODELS if name not in ENCODING]
CLASSIFYING = ["classifier TfidfEncoder", "multitask LSAEncoder", "domain_classifier TfidfEncoder"]

SPARSE_ROWS = "rows are sparse, which no data frame holds: scikit-learn raises its error and says so"
EXCEPTIONS = {
    ("encoder TfidfEncoder", "set_config"): SPARSE_ROWS,
    ("pretrained TfidfEncoder", "set_config"): SPARSE_ROWS,
}


def every(names, contract):
    """Parametrise with the models of these names; those with an exception to the contract must break it."""
    reasons = [EXCEPTIONS.get((name, contract)) for name in names]
    marks = [() if why is None else pytest.mark.xfail(reason=why, strict=True, raises=ValueError) for why in reasons]
    return pytest.mark.parametrize("name", [pytest.param(n, marks=mark) for n, mark in zip(names, marks, strict=True)])


def fit_model(name, **arguments):
    fit, make = TEXT_MODELS[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(transfer|adapt)", category=UserWarning)
        return fit(make, **arguments)


fitted_model = cache(fit_model)


def answer(model, texts):
    """Return one row of numbers for each text, from whatever the model gives."""
    if hasattr(model, "transform"):
        return dense(model.transform(texts))
    if isinstance(model, MultiTaskTransfer):
        return model.predict_proba(texts)["kind"]
    return model.predict_proba(texts) if hasattr(model, "predict_proba") else model.predict(texts)[:, None]


def cut_to_list(text):
    return text.split()


def cut_to_generator(text):
    yield from text.split()


def cut_to_iterator(text):
    return map(str, text.split())


@every(TEXT_MODELS, "user functions")
def test_tokenizers_that_return_generators_are_as_good_as_lists(name):
    model, expected = fit_model(name, tokenizer=cut_to_generator, token_pattern=None), fitted_with_lists(name)
    for texts in (CORPUS, CORPUS[:1], ["unheard cat", ""]):
        np.testing.assert_array_equal(answer(model, texts), answer(expected, texts))


@every(ENCODING, "user functions")
def test_tokenizers_that_return_iterators_are_as_good_as_lists(name):
    model, expected = fit_model(name, tokenizer=cut_to_iterator, token_pattern=None), fitted_with_lists(name)
    for texts in (CORPUS, CORPUS[:1], ["unheard cat", ""]):
        np.testing.assert_array_equal(answer(model, texts), answer(expected, texts))


@cache
def fitted_with_lists(name):
    return fit_model(name, tokenizer=cut_to_list, token_pattern=None)


@every(TEXT_MODELS, "one and many")
def test_one_text_gives_the_same_row_as_among_many(name):
    model = fitted_model(name)
    many = answer(model, CORPUS)
    for place in (0, 5):
        np.testing.assert_allclose(answer(model, CORPUS[place : place + 1])[0], many[place], rtol=1e-5, atol=1e-6)


@every(TEXT_MODELS, "order")
def test_order_and_subset_of_texts_do_not_matter(name):
    model = fitted_model(name)
    order = np.random.RandomState(0).permutation(len(CORPUS))
    for kept in (order, order[:20], order[:3]):
        rows = answer(model, [CORPUS[i] for i in kept])
        np.testing.assert_allclose(rows, answer(model, CORPUS)[kept], rtol=1e-5, atol=1e-6)


@every(TEXT_MODELS, "unknown texts")
def test_texts_without_known_words_warn_from_three_on(name):
    model = fitted_model(name)
    few = answer(model, ["ζζζ", "δδδ ηηη"])  # no character is known; warnings are errors: there is none
    length = 3 + list(TEXT_MODELS).index(name)
    unknown = [letter * length for letter in "ξψω"]  # not in any cache of rows yet
    with pytest.warns(UserWarning, match="No text of this batch holds a term that the .* knows"):
        rows = answer(model, unknown)
    np.testing.assert_allclose(rows, np.broadcast_to(few[:1], rows.shape), rtol=1e-6)
    if name in ENCODING:
        assert not rows.any()


SCRIPTS = {
    "Chinese": (["我喜欢这部电影。这本书很好看", "他昨天去了北京。今天天气非常好"], "tokenizer="),
    "Hindi": (["यह फ़िल्म अच्छी है", "यह किताब बुरी है", "हिंदी भाषा में लिखा", "बच्चे स्कूल जाते हैं"], "token_pattern="),
}


@pytest.mark.parametrize("script", SCRIPTS)
@every([name for name in TEXT_MODELS if name.startswith(("encoder", "domain"))], "scripts")
def test_scripts_that_the_default_pattern_cannot_split_warn_with_the_remedy(name, script):
    texts, remedy = SCRIPTS[script]
    arguments = {} if name in ENCODING else {"labels": np.array([0, 0, 1, 1] * 8)}
    with pytest.warns(UserWarning, match=f"Set {remedy}"):
        fit_model(name, texts=(texts * 16)[:32], **arguments)


@pytest.mark.parametrize("output", ["pandas", "polars"])
@every(ENCODING, "set_config")
def test_encoders_return_data_frames_where_these_are_configured(name, output):
    frames = pytest.importorskip(output)
    with config_context(transform_output=output):
        model = fit_model(name)
        found = model.transform(CORPUS)
    assert isinstance(found, frames.DataFrame)
    assert list(found.columns) == list(model.get_feature_names_out())
    np.testing.assert_array_equal(np.asarray(found), answer(fitted_model(name), CORPUS))


@every(PREDICTING, "set_config")
def test_data_frames_as_configured_output_change_no_prediction(name):
    pytest.importorskip("pandas"), pytest.importorskip("polars")
    with config_context(transform_output="pandas"):
        model = fit_model(name)
    with config_context(transform_output="polars"):
        found = answer(model, CORPUS)
    np.testing.assert_array_equal(found, answer(fitted_model(name), CORPUS))


def read_only(texts, dtype):
    array = np.array(texts, dtype=dtype)
    array.setflags(write=False)
    return array


KINDS = {
    "tuple": tuple,
    "str array": lambda texts: read_only(texts, str),
    "object array": lambda texts: read_only(texts, object),
    "pandas": lambda texts: pytest.importorskip("pandas").Series(texts, index=np.arange(len(texts))[::-1]),
    "polars": lambda texts: pytest.importorskip("polars").Series(texts),
}


@pytest.mark.parametrize("kind", KINDS)
@every(TEXT_MODELS, "collections")
def test_any_collection_is_answered_alike_and_stays_as_it_is(name, kind):
    model, texts = fitted_model(name), KINDS[kind](CORPUS)
    np.testing.assert_array_equal(answer(model, texts), answer(model, CORPUS))
    assert list(texts) == CORPUS


@every(TEXT_MODELS, "collections")
def test_generators_are_answered_alike(name):
    model = fitted_model(name)
    np.testing.assert_array_equal(answer(model, iter(CORPUS)), answer(model, CORPUS))


@every(PREDICTING, "collections")
def test_read_only_texts_and_labels_are_learned_from_alike(name):
    labels = LABELS.copy()
    labels.setflags(write=False)
    model = fit_model(name, texts=read_only(CORPUS, object), labels=labels)
    np.testing.assert_array_equal(answer(model, CORPUS), answer(fitted_model(name), CORPUS))


LABEL_KINDS = {
    "int": np.array([3, 7]),
    "float": np.array([1.0, 2.0]),
    "bool": np.array([False, True]),
    "str": np.array(["matrix", "animal"]),
    "object": np.array(["matrix", "animal"], dtype=object),
}


@pytest.mark.parametrize("kind", LABEL_KINDS)
@every(CLASSIFYING, "label types")
def test_labels_keep_their_type_through_fit_and_files(name, kind, tmp_path):
    labels = LABEL_KINDS[kind][LABELS]
    model = fit_model(name, labels=labels)
    save(model, tmp_path / "model.tk")
    for each in (model, pickle.loads(pickle.dumps(model)), load(tmp_path / "model.tk")):
        found = each.predict(CORPUS)
        found = found["kind"] if isinstance(found, dict) else found
        assert found.dtype == labels.dtype
        assert {type(label) for label in found.tolist()} == {type(label) for label in labels.tolist()}
        np.testing.assert_array_equal(found, labels)


# Encoders in models that clone or fit them

NUMBERS = np.random.RandomState(0).randn(len(TEXTS), 5).astype(np.float32)


class Lengths:
    """A sentence model."""

    def encode(self, texts):
        return [[len(text), text.count(" ")] for text in texts]


ALL_ENCODERS = {
    "AutoencoderEncoder": (AutoencoderEncoder((4,), 2, max_iter=1), NUMBERS),
    "KMeansEncoder": (KMeansEncoder(2), NUMBERS),
    "LSAEncoder": (LSAEncoder(2, min_df=1), TEXTS),
    "PretrainedEncoder": (lambda: PretrainedEncoder(TfidfEncoder().fit(TEXTS)), TEXTS),
    "SOMEncoder": (SOMEncoder((2, 2)), NUMBERS),
    "SentenceEncoder": (SentenceEncoder(Lengths()), TEXTS),
    "TfidfEncoder": (TfidfEncoder(), TEXTS),
    "TorchEncoder": (TorchEncoder(torch.nn.Identity()), NUMBERS),
    "WordVectorEncoder": (WordVectorEncoder(2, min_count=1), TEXTS),
}


def make_encoder(name):
    """Return an unfitted encoder and samples for it."""
    encoder, X = ALL_ENCODERS[name]
    return clone(encoder() if callable(encoder) else encoder), X


def test_contract_of_encoders_leaves_none_out():
    assert set(ALL_ENCODERS) == set(encoders.__all__)


@pytest.mark.parametrize("name", ALL_ENCODERS)
@pytest.mark.parametrize("copied", [False, True], ids=["itself", "clone"])
def test_pretrained_encoder_in_a_model_keeps_what_it_learned_or_warns(name, copied):
    encoder, X = make_encoder(name)
    encoder = encoder.fit(X)
    expected = dense(encoder.transform(X))
    for y in (np.arange(8) % 2, None):
        model = make_pipeline(clone(encoder) if copied else encoder)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X[:8], y)
        if not any(warning.category is LostPretrainingWarning for warning in caught):
            np.testing.assert_array_equal(dense(model.transform(X)), expected)
        encoder.fit(X)  # by hand: no warning


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_unfitted_encoder_is_fitted_in_a_model_without_a_warning(name):
    encoder, X = make_encoder(name)
    model = make_pipeline(clone(encoder)).fit(X, np.arange(len(X)) % 2)
    clone(model).fit(X, np.arange(len(X)) % 2)
