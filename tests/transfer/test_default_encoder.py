"""Texts without an encoder are encoded by that of the package."""

import numpy as np
import pytest
from sklearn.base import clone

import transferkit
from transferkit import (
    LogisticHead,
    MultiTaskTransfer,
    PretrainedEncoder,
    TransferClassifier,
    TransferRegressor,
    WordVectorEncoder,
)

TEXTS = ["a fine film", "a great story", "a dull film", "a boring story", "wonderful acting", "awful acting"] * 2
LABELS = ["good", "good", "bad", "bad", "good", "bad"] * 2
GERMAN = [
    "Der Zug nach Leipzig hatte gestern Abend eine Stunde Verspätung",
    "Wir haben den ganzen Nachmittag auf unsere Koffer gewartet",
    "Die Zimmer waren sauber und das Frühstück schmeckte ausgezeichnet",
    "Leider funktionierte die Heizung nicht, und niemand kümmerte sich darum",
]


def test_default_is_the_encoder_of_the_package(tmp_path):
    model = TransferClassifier().fit(TEXTS, LABELS)
    named = TransferClassifier("english").fit(TEXTS, LABELS)
    assert (model.default_encoder_, named.default_encoder_) == ("english", None)
    assert model.encoder is None
    assert clone(model).encoder is None
    np.testing.assert_array_equal(model.predict_proba(TEXTS), named.predict_proba(TEXTS))
    assert (
        model.summary_["text"]
        == named.summary_["text"] + " No encoder was given, so it is 'english', that of the package."
    )
    transferkit.save(model, tmp_path / "model.tk")
    assert "encoder='english' (none was given)" in str(transferkit.describe(tmp_path / "model.tk"))
    loaded = transferkit.load(tmp_path / "model.tk")
    assert loaded.default_encoder_ == "english"
    assert loaded.encoder is None


def test_encoder_of_the_package_finds_words_that_no_label_has():
    model = TransferClassifier().fit(TEXTS, LABELS)
    assert model.predict(["superb", "tedious"]).tolist() == ["good", "bad"]


@pytest.mark.parametrize("parameters", [{"strategy": "frozen", "head": LogisticHead()}, {"strategy": "term_vectors"}])
def test_every_strategy_takes_the_default(parameters):
    model = TransferClassifier(**parameters).fit(TEXTS, LABELS)
    assert (model.default_encoder_, model.strategy_) == ("english", parameters["strategy"])


def test_fit_without_labels_takes_the_default():
    descriptions = {"good": "good great fine", "bad": "bad poor awful"}
    model = TransferClassifier(class_descriptions=descriptions).fit([], [], X_unlabelled=TEXTS)
    assert model.default_encoder_ == "english"
    assert model.predict(["excellent"]).tolist() == ["good"]


def test_no_encoder_is_taken_where_none_is_needed():
    assert TransferClassifier(strategy="scratch").fit(TEXTS, LABELS).default_encoder_ is None
    source = TransferClassifier(strategy="scratch").fit(TEXTS, LABELS)
    assert TransferClassifier(source=source).fit(TEXTS, LABELS).default_encoder_ is None
    for estimator, y in ((TransferClassifier(), LABELS), (TransferRegressor(), np.arange(12.0))):
        with pytest.raises(ValueError, match=f"{type(estimator).__name__} with strategy='auto' needs an encoder"):
            estimator.fit(np.eye(12), y)


def test_second_fit_forgets_the_default():
    model = TransferClassifier().fit(TEXTS, LABELS)
    model.set_params(encoder=WordVectorEncoder(3, min_count=1).fit(TEXTS)).fit(TEXTS, LABELS)
    assert model.default_encoder_ is None


def test_regressor_takes_the_default():
    stars = np.where(np.array(LABELS) == "good", 5.0, 1.0)
    model = TransferRegressor().fit(TEXTS, stars)
    assert (model.default_encoder_, model.encoder) == ("english", None)
    assert model.predict(["superb"]) > model.predict(["tedious"])


def test_tasks_take_the_default():
    model = MultiTaskTransfer(TransferClassifier()).fit(TEXTS, {"tone": LABELS, "length": [len(t) > 11 for t in TEXTS]})
    assert [task.default_encoder_ for task in model.models_.values()] == ["english", "english"]
    assert len({id(task.encoder_) for task in model.models_.values()}) == 1


@pytest.mark.parametrize(
    "fit",
    [
        lambda texts: TransferClassifier().fit(texts, [0, 1] * (len(texts) // 2)),
        lambda texts: TransferClassifier("english", strategy="frozen").fit(texts, [0, 1] * (len(texts) // 2)),
        lambda texts: TransferRegressor().fit(texts, np.arange(len(texts)) / 7),
        lambda texts: PretrainedEncoder("english").fit(texts),
    ],
)
@pytest.mark.filterwarnings("ignore:Transfer did not help")
def test_other_languages_give_a_warning(fit):
    with pytest.warns(UserWarning, match=r"'english' knows only \d\d % of the words.*WordVectorEncoder\(\)\.fit"):
        fit(GERMAN * 3)


def test_english_gives_no_warning(load_docstrings_once):
    texts = load_docstrings_once(["joblib", "scipy"]).data[:1000]
    PretrainedEncoder("english").fit(texts)
    PretrainedEncoder("english").fit(["", "  "])
    PretrainedEncoder(WordVectorEncoder(3, min_count=1).fit(TEXTS)).fit(GERMAN)  # which may be what is wanted
