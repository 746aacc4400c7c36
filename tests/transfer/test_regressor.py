"""Transfer for numbers."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

import transferkit
from tests.transfer.strategies.test_strategies import TEST_LABELS, TEST_TEXTS, UNLABELLED, make_texts
from transferkit import LogisticHead, RidgeHead, TfidfEncoder, TransferRegressor, WordVectorEncoder, explain

VALUES = {"pet": 1.0, "money": -2.0, "sky": 4.0}
TEXTS, LABELS = make_texts(15, 1)
Y, TEST_Y = (np.array([VALUES[label] for label in labels]) for labels in (LABELS, TEST_LABELS))


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(8, min_count=1).fit(UNLABELLED)


def test_frozen_is_ridge_on_the_features(encoder):
    model = TransferRegressor(encoder, RidgeHead(alpha=2.0), strategy="frozen").fit(TEXTS, Y)
    reference = Ridge(alpha=2.0).fit(encoder.transform(TEXTS), Y)
    np.testing.assert_allclose(model.predict(TEST_TEXTS), reference.predict(encoder.transform(TEST_TEXTS)), atol=1e-4)


def test_prior_uses_words_that_only_pretraining_saw(encoder):
    prior = TransferRegressor(encoder).fit(TEXTS[:6], Y[:6])
    scratch = TransferRegressor(strategy="scratch").fit(TEXTS[:6], Y[:6])
    assert prior.strategy_ in ("term_vectors", "frozen")
    assert prior.score(TEST_TEXTS, TEST_Y) > scratch.score(TEST_TEXTS, TEST_Y)
    assert prior.score(TEST_TEXTS, TEST_Y) > 0.8


def test_average_folds_into_one_weight_a_term(encoder):
    model = TransferRegressor(encoder, strategy="term_vectors").fit(TEXTS, Y)
    assert isinstance(model.encoder_, TfidfEncoder)
    assert model.strategy_scores_["weight"].sum() == pytest.approx(1)
    explanation = explain(model, TEST_TEXTS[0])
    np.testing.assert_allclose(explanation.decision, model.predict(TEST_TEXTS[:1]), atol=1e-4)
    assert explanation.from_pretraining is not None


def test_several_outputs_and_weights(encoder):
    both = np.stack([Y, -Y], axis=1)
    weights = np.r_[np.ones(12), np.zeros(3)]
    spoilt = both.copy()
    spoilt[-3:] = 50
    model = TransferRegressor(encoder, RidgeHead(alpha=1.0), strategy="term_vectors").fit(
        TEXTS, both, sample_weight=weights
    )
    other = TransferRegressor(encoder, RidgeHead(alpha=1.0), strategy="term_vectors").fit(
        TEXTS, spoilt, sample_weight=weights
    )
    np.testing.assert_allclose(model.predict(TEST_TEXTS), other.predict(TEST_TEXTS), atol=1e-3)
    assert model.predict(TEST_TEXTS).shape == (300, 2)


def test_any_regressor_is_a_head_and_searches_reach_it(encoder):
    model = TransferRegressor(encoder, Lasso(alpha=0.01)).fit(TEXTS, Y)
    assert isinstance(model.head_, Lasso)
    search = GridSearchCV(TransferRegressor(encoder, strategy="frozen"), {"head__alpha": [0.1, 1e4]}, cv=3)
    assert search.fit(TEXTS, Y).best_params_["head__alpha"] == 0.1
    assert search.best_estimator_.head_.alpha_ == 0.1
    assert clone(model).encoder is encoder


@pytest.mark.parametrize(
    "head", [RidgeHead(0.5), RidgeHead(alphas=[0.5]), RidgeHead(alphas=[0.1, 0.5], cv=3)], ids=["alpha", "alphas", "cv"]
)
def test_auto_compares_strategies_with_every_ridge_head(head):
    """Frozen features that say nothing: auto takes the rows as they are."""
    X = np.random.RandomState(0).rand(40, 5)
    y = X @ np.arange(5)
    model = TransferRegressor(FunctionTransformer(np.zeros_like).fit(X), head).fit(X, y)
    assert model.strategy_ == "scratch"
    frozen, scratch = model.strategy_scores_["mean"]
    assert frozen == pytest.approx(-y.var() * (40 / 39) ** 2, rel=0.1)
    assert scratch > frozen
    assert model.head_.alpha_ in (0.1, 0.5)


def test_rows_of_numbers():
    X = np.random.RandomState(0).rand(40, 5)
    model = TransferRegressor(strategy="scratch").fit(X, X @ np.arange(5))
    assert model.score(X, X @ np.arange(5)) > 0.99


def test_saved_and_loaded_predicts_the_same(encoder, tmp_path):
    model = TransferRegressor(encoder, strategy="term_vectors").fit(TEXTS, Y)
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_allclose(loaded.predict(TEST_TEXTS), model.predict(TEST_TEXTS), rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"strategy": "magic"}, Y, "The 'strategy' parameter of TransferRegressor"),
        ({"head": LogisticHead()}, Y, "must be a regressor. Got the classifier LogisticHead: use TransferClassifier"),
        ({"strategy": "term_vectors", "head": Lasso()}, Y, "head must be None or a RidgeHead"),
        ({"strategy": "term_vectors", "encoder": "tfidf"}, Y, "Got TfidfEncoder. Use strategy='frozen'"),
        ({}, Y[:3], "same length"),
        ({}, [*Y[:-1], np.nan], "Input y contains NaN"),
        ({}, LABELS, "could not convert string to float"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(encoder, parameters, y, message):
    model = TransferRegressor(**{"encoder": encoder, **parameters})
    if model.encoder == "tfidf":
        model.encoder = TfidfEncoder().fit(TEXTS)
    with pytest.raises(ValueError, match=message):
        model.fit(TEXTS, y)
    assert not hasattr(model, "head_")
