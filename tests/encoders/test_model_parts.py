"""A model in two parts predicts what it predicts as a whole."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transferkit import (
    DomainTransferClassifier,
    FeatureAugmentation,
    LogisticHead,
    RidgeHead,
    SelectiveClassifier,
    TfidfEncoder,
    TransferClassifier,
    TransferRegressor,
)
from transferkit.encoders.model_parts import split_model

TEXTS = ["a good film", "a bad film", "good music in it", "bad music in it", "a long film", "short music"] * 4
LABELS = np.array(["good", "bad", "good", "bad", "other", "other"] * 4)
ROWS = np.random.default_rng(0).normal(size=(60, 3)) + np.array([0, 5, 0])
CLASSES = (ROWS[:, 0] > 0).astype(int)


def assert_parts_predict(model, X):
    parts = split_model(model, X)
    np.testing.assert_array_equal(parts.head.predict(parts.features), model.predict(X))
    return parts


@pytest.mark.parametrize("wrap", [lambda model: model, FrozenEstimator], ids=["plain", "frozen"])
def test_parts_predict_what_the_model_does(wrap):
    pipeline = make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS, LABELS)
    parts = assert_parts_predict(wrap(pipeline), TEXTS)
    assert parts.encoder[0] is pipeline[0]
    for model in (TransferClassifier(strategy="scratch"), TransferRegressor(strategy="scratch", head=RidgeHead())):
        model.fit(TEXTS, LABELS if isinstance(model, TransferClassifier) else np.arange(24.0))
        parts = assert_parts_predict(wrap(model), TEXTS)
        assert parts.encoder is model.encoder_
        assert parts.encoded is parts.features
    head = LogisticHead().fit(ROWS, CLASSES)
    parts = assert_parts_predict(wrap(head), ROWS)
    assert (parts.features is ROWS, parts.encoder, parts.encoded) == (True, None, None)


def test_features_of_another_domain_are_adapted_after_encoding():
    scaler = StandardScaler(with_mean=False).fit(ROWS)
    model = DomainTransferClassifier(scaler, adaptation=FeatureAugmentation(), head=LogisticHead())
    model.fit(ROWS, CLASSES, X_target=2 * ROWS + 1)
    parts = assert_parts_predict(model, ROWS)
    np.testing.assert_array_equal(parts.encoded, scaler.transform(ROWS))
    assert parts.features.shape[1] > parts.encoded.shape[1]


@pytest.mark.parametrize("method", ["probability", "distance", "both"])
def test_encoded_samples_are_accepted_like_others(method):
    model = SelectiveClassifier(make_pipeline(TfidfEncoder(), LogisticHead()), coverage=0.7, method=method, cv=2)
    model.fit(TEXTS, LABELS)
    texts = [*TEXTS[:6], "unknown words"]
    samples = model.encode(texts)
    labels = samples.predict()
    np.testing.assert_array_equal(labels, model.estimator_.predict(texts))
    accepted = model.accept(samples, labels)
    np.testing.assert_array_equal(accepted, model.is_accepted(texts))
    assert 0 < accepted.sum() < 7
    assert not accepted[-1]
