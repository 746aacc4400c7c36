"""Raw input that nothing can be learned from as it is, but that the encoder takes."""

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from transferkit import (
    LogisticHead,
    LSAEncoder,
    MultiTaskTransfer,
    PretrainedEncoder,
    TorchEncoder,
    TransferClassifier,
    TransferCurveDisplay,
    TransferRegressor,
    WordVectorEncoder,
)

Y = np.arange(40) % 2
TEXTS = ["red cat", "blue dog"] * 20


def make_images():
    images = np.random.RandomState(0).rand(40, 1, 8, 8).astype(np.float32) + Y[:, None, None, None]
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten())
    return TorchEncoder(network), images


def make_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS, "price": np.arange(40.0)})
    return ColumnTransformer([("t", LSAEncoder(2), "text"), ("p", StandardScaler(), ["price"])]).fit(frame), frame


def make_missing():
    X = np.random.RandomState(0).rand(40, 3) + Y[:, None]
    X[::5, 0] = np.nan
    return SimpleImputer().fit(X), X


def make_dicts():
    dicts = [{"colour": text.split()[0]} for text in TEXTS]
    return DictVectorizer().fit(dicts), dicts


def make_tokens():
    tokens = [text.split() + ["old"] * (i % 3) for i, text in enumerate(TEXTS)]
    return TfidfVectorizer(analyzer=list).fit(tokens), tokens


INPUTS = [make_images, make_frame, make_missing, make_dicts, make_tokens]


@pytest.mark.parametrize("make", INPUTS)
def test_auto_leaves_out_what_cannot_be_learned_from_raw_input(make):
    encoder, X = make()
    model = TransferClassifier(encoder, LogisticHead(), cv=2).fit(X, Y)
    table = model.strategy_scores_
    assert model.strategy_ in ("frozen", "finetune")
    assert np.isnan(table["mean"][table["strategy"] == "scratch"]).tolist() == [True]
    assert model.score(X, Y) > 0.9


@pytest.mark.parametrize("make", INPUTS)
def test_regressors_leave_it_out_too(make):
    encoder, X = make()
    model = TransferRegressor(encoder).fit(X, Y.astype(float))
    assert model.strategy_ == "frozen"
    assert np.isnan(model.strategy_scores_["mean"]).tolist() == [False, True]


@pytest.mark.parametrize("make", [make_images, make_dicts])
def test_tasks_leave_it_out_too(make):
    encoder, X = make()
    tasks = MultiTaskTransfer(TransferClassifier(encoder, LogisticHead(), cv=2)).fit(X, {"one": Y, "two": 1 - Y})
    np.testing.assert_array_equal(tasks.predict(X)["two"], 1 - tasks.predict(X)["one"])


def test_a_head_that_takes_raw_input_is_compared_on_it():
    encoder, X = make_missing()
    table = TransferClassifier(encoder, HistGradientBoostingClassifier(max_iter=2), cv=2).fit(X, Y).strategy_scores_
    assert not np.isnan(table["mean"]).any()


def test_errors_of_a_head_on_plain_rows_are_raised():
    class Fails(LogisticHead):
        def fit(self, X, y, sample_weight=None):
            if np.shape(X)[1] == 3:
                raise ValueError("no rows of three")
            return super().fit(X, y, sample_weight)

    X = np.random.RandomState(0).rand(40, 3)
    model = TransferClassifier(PretrainedEncoder(TorchEncoder(torch.nn.Linear(3, 2)).fit(X)), Fails(), cv=2)
    with pytest.raises(ValueError, match="no rows of three"):
        model.fit(X, Y)


@pytest.mark.parametrize("make", [make_images, make_frame])
def test_strategy_scratch_itself_is_not_left_out(make):
    encoder, X = make()
    with pytest.raises(ValueError, match=r"dim 4|could not convert string"):
        TransferClassifier(encoder, strategy="scratch").fit(X, Y)


def test_texts_without_words_are_learned_from_where_the_encoder_knows_them():
    words = WordVectorEncoder(2, min_count=1).fit(TEXTS)
    known = [f"{text} 😀" for text in TEXTS]
    assert TransferClassifier(words, cv=2).fit(known, Y).score(known, Y) == 1
    with pytest.warns(UserWarning, match="No text of this batch holds a term"):
        model = TransferClassifier(words, cv=2).fit(["😀"] * 40, Y)
    assert np.isnan(model.strategy_scores_["mean"][model.strategy_scores_["strategy"] == "scratch"]).all()
    np.testing.assert_allclose(model.predict_proba(["red"]), 0.5, atol=1e-3)
    with pytest.warns(UserWarning, match="No text of this batch holds a term"):
        model = TransferClassifier(words, strategy="term_vectors", cv=2).fit(["😀😀", "😢"] * 20, Y)
    assert model.score(["😀😀", "😢"], Y[:2]) == 1  # by their characters


def test_learning_curves_ask_for_a_baseline_where_there_is_none():
    pytest.importorskip("matplotlib")
    encoder, X = make_images()
    model = TransferClassifier(encoder, LogisticHead(), cv=2)
    with pytest.raises(ValueError, match=r"strategy='scratch' cannot be fitted to this X.*'baseline'"):
        TransferCurveDisplay.from_estimator(model, X, Y, n_labels=[4], n_draws=1)
    flat = TransferClassifier(encoder, LogisticHead(), strategy="frozen")
    display = TransferCurveDisplay.from_estimator(model, X, Y, baseline=flat, n_labels=[4], n_draws=1)
    assert display.gain().shape == (1,)


@pytest.mark.parametrize("kind", [TransferClassifier, TransferRegressor])
@pytest.mark.parametrize("strategy", ["frozen", "scratch"])
def test_names_of_columns_are_kept_and_looked_at(kind, strategy):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.RandomState(0).rand(40, 3) + Y[:, None], columns=list("abc"))
    model = kind(StandardScaler().fit(X), strategy=strategy).fit(X, Y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[["c", "b", "a"]])


def test_names_that_the_encoder_does_not_know_are_looked_at():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.RandomState(0).rand(40, 3) + Y[:, None], columns=list("abc"))
    model = TransferClassifier(TorchEncoder(torch.nn.Identity()), strategy="frozen")
    assert model.fit(X, Y).feature_names_in_.tolist() == ["a", "b", "c"]
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(ValueError, match="feature names should match"):
            method(X[["c", "b", "a"]])
    assert not hasattr(model.fit(X.to_numpy(), Y), "feature_names_in_")
