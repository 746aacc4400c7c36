"""The contract of every estimator: scikit-learn's for rows of numbers, our own for texts."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from transferkit import (
    AutoencoderEncoder,
    KMeansEncoder,
    LogisticHead,
    LSAEncoder,
    MLPHeadClassifier,
    MLPHeadRegressor,
    RidgeHead,
    SOMEncoder,
    TfidfEncoder,
    TorchEncoder,
    TransferClassifier,
    TransferRegressor,
    WordVectorEncoder,
)

TEXTS = ["the cat sat on the mat", "a dog", "Ünïcode words, and CATS!", "the dog sat", "a cat and a dog and a mat"] * 3


@parametrize_with_checks(
    [
        AutoencoderEncoder((8,), 2, max_iter=3),
        KMeansEncoder(4),
        LogisticHead(),
        SOMEncoder((2, 2)),
        TorchEncoder(torch.nn.Identity()),
        MLPHeadClassifier(),
        MLPHeadRegressor(),
        TransferClassifier(head=LogisticHead(), strategy="scratch"),
        TransferRegressor(head=RidgeHead(), strategy="scratch"),
    ]
)
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
