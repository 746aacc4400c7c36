"""A source model's weights in a new task."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import transferkit
from tests.transfer.test_strategies import TEST_LABELS, TEST_TEXTS, make_texts
from transferkit import LogisticHead, TransferClassifier

X, y = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def source():
    texts, labels = make_texts(200, 9)
    return TransferClassifier(strategy="scratch").fit(texts, labels)


def test_transfer_begins_where_the_source_is(source):
    texts, labels = make_texts(24, 5)
    model = TransferClassifier(source=source).fit(texts, labels)
    table = model.strategy_scores_
    assert table["strategy"].tolist() == ["source only", "transfer", "target only"]
    assert table["mean"][1] >= table["mean"][2]
    assert model.strategy_ == "transfer"
    assert model.score(TEST_TEXTS, TEST_LABELS) > 0.98


def test_new_words_and_other_classes_are_learned(source):
    texts, labels = make_texts(18, 5)
    texts, labels = [*texts, *["zebra zebu gnu"] * 6], [*labels, *["wild"] * 6]
    model = TransferClassifier(source=source).fit(texts, labels)
    assert model.predict(["a gnu and a zebra", *TEST_TEXTS[:3]]).tolist() == ["wild", *TEST_LABELS[:3]]
    assert model.head_.prior_coverage_["classes_new"] == ["wild"]
    assert model.head_.prior_coverage_["classes_matched"] == ["money", "pet", "sky"]


@pytest.mark.parametrize("kind", ["linear", "pipeline", "file"])
def test_sources_of_numbers(kind, tmp_path):
    make = {"linear": LogisticRegression(max_iter=2000), "pipeline": make_pipeline(StandardScaler(), LogisticHead())}
    fitted = make.get(kind, LogisticHead(C=0.01)).fit(X[:900], y[:900])
    source = fitted
    if kind == "file":
        source = tmp_path / "source.tk"
        transferkit.save(fitted, source)
    few = np.r_[900:940]
    model = TransferClassifier(source=source).fit(X[few], y[few])
    assert model.score(X[1000:], y[1000:]) > TransferClassifier(strategy="scratch").fit(X[few], y[few]).score(
        X[1000:], y[1000:]
    )


def test_features_of_data_frames_are_matched_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    source = LogisticHead(C=0.01).fit(frame[:900], y[:900])
    shuffled = frame[list(frame.columns[::-1])]
    model = TransferClassifier(source=source).fit(shuffled[900:940], y[900:940])
    assert model.score(shuffled[1000:], y[1000:]) > 0.85


def test_clone_keeps_the_source_and_a_file_does_not_need_it(source, tmp_path):
    model = TransferClassifier(source=source)
    assert clone(model).source is source
    texts, labels = make_texts(24, 5)
    transferkit.save(model.fit(texts, labels), tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_allclose(loaded.predict_proba(TEST_TEXTS), model.predict_proba(TEST_TEXTS), rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"source": RandomForestClassifier(2)}, "whose head is linear .* Got RandomForestClassifier"),
        ({"source": LogisticHead(), "strategy": "frozen"}, "source is for strategy='auto'"),
        ({"source": LogisticHead(), "head": RandomForestClassifier()}, "head must be None"),
        ({"source": 3}, "The 'source' parameter of TransferClassifier"),
    ],
)
def test_bad_sources_are_named(parameters, message):
    model = TransferClassifier(**parameters)
    if model.source != 3:
        model.source = clone(model.source).fit(X[:50], y[:50])
    with pytest.raises(ValueError, match=message):
        model.fit(X[:50], y[:50])
    assert not hasattr(model, "head_")
