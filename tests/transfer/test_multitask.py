"""Many tasks from one encoder."""

import warnings

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

import transferkit
from tests.transfer.strategies.test_strategies import TEST_LABELS, TEST_TEXTS, UNLABELLED, make_texts
from transferkit import LogisticHead, MultiTaskTransfer, TfidfEncoder, TransferClassifier, WordVectorEncoder
from transferkit.exceptions import ModelFileError
from transferkit.transfer import _multitask

TEXTS = {"subject": make_texts(24, 1)[0], "indoors": make_texts(24, 3)[0] + ["zebra"], "third": make_texts(18, 4)[0]}
LABELS = {
    "subject": make_texts(24, 1)[1],
    "indoors": [*(make_texts(24, 3)[1] == "money").tolist(), False],
    "third": make_texts(18, 4)[1],
}


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(8, min_count=1).fit(UNLABELLED)


@pytest.fixture(params=["term_vectors", "frozen"])
def tasks(request, encoder):
    return MultiTaskTransfer(TransferClassifier(encoder, strategy=request.param)).fit(TEXTS, LABELS)


def test_each_task_is_learned(tasks):
    predicted = tasks.predict(TEST_TEXTS)
    assert (predicted["subject"] == TEST_LABELS).mean() > 0.95
    assert (predicted["indoors"] == (TEST_LABELS == "money")).mean() > 0.95


def test_tasks_share_one_encoder_and_one_pass(tasks, monkeypatch):
    encoder = tasks.models_["subject"].encoder_
    assert all(model.encoder_ is encoder for model in tasks.models_.values())
    calls = []
    encode = _multitask.encode_terms
    monkeypatch.setattr(_multitask, "encode_terms", lambda encoder, X: calls.append(1) or encode(encoder, X))
    probabilities = tasks.predict_proba(["an orbit"])
    assert len(calls) == 1
    assert set(probabilities) == set(TEXTS)


def test_frozen_tasks_are_those_of_the_classifier(encoder):
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen")
    tasks = MultiTaskTransfer(model).fit(TEXTS, LABELS)
    for task, found in tasks.predict_proba(TEST_TEXTS).items():
        expected = TransferClassifier(encoder, LogisticHead(), strategy="frozen").fit(TEXTS[task], LABELS[task])
        np.testing.assert_allclose(found, expected.predict_proba(TEST_TEXTS), rtol=1e-6)


def test_saved_tasks_share_one_encoder_when_loaded(tasks, tmp_path):
    tasks.save_tasks(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["indoors.tk", "shared-0.tk", "subject.tk", "third.tk"]
    loaded = MultiTaskTransfer.load_tasks(tmp_path)
    assert len({id(model.encoder_) for model in loaded.models_.values()}) == 1
    for task, found in loaded.predict_proba(TEST_TEXTS).items():
        np.testing.assert_allclose(found, tasks.predict_proba(TEST_TEXTS)[task], rtol=1e-5)
    sizes = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    tasks.save_tasks(tmp_path / "whole", embed=True)
    assert transferkit.load(tmp_path / "whole" / "third.tk").predict(["cat"]).tolist() == ["pet"]
    assert (tmp_path / "whole" / "third.tk").stat().st_size > sizes["third"]


@pytest.mark.parametrize("embed", [False, True])
def test_tasks_with_a_trusted_class_are_saved_and_loaded_where_it_is_named(embed, tmp_path):
    encoder = make_pipeline(CountVectorizer()).fit(UNLABELLED)
    tasks = MultiTaskTransfer(TransferClassifier(encoder, LogisticHead(), strategy="frozen")).fit(TEXTS, LABELS)
    with pytest.raises(ModelFileError, match="trusted="):
        tasks.save_tasks(tmp_path)
    tasks.save_tasks(tmp_path, embed=embed, trusted=[CountVectorizer])
    with pytest.raises(ModelFileError, match="trusted="):
        MultiTaskTransfer.load_tasks(tmp_path)
    loaded = MultiTaskTransfer.load_tasks(tmp_path, trusted=[CountVectorizer])
    for task, found in loaded.predict(TEST_TEXTS).items():
        np.testing.assert_array_equal(found, tasks.predict(TEST_TEXTS)[task])


def test_task_file_without_its_encoder_says_so(tasks, tmp_path):
    tasks.save_tasks(tmp_path)
    with pytest.raises(ModelFileError, match=r"saved without its encoder.*load_tasks"):
        transferkit.load(tmp_path / "third.tk").predict(["cat"])
    other = WordVectorEncoder(3, min_count=1).fit(UNLABELLED[:50])
    transferkit.save(other, tmp_path / "shared-0.tk")
    with pytest.raises(ModelFileError, match="is not the encoder that the task was saved with"):
        MultiTaskTransfer.load_tasks(tmp_path)


def test_one_collection_with_labels_for_every_task(encoder):
    texts, labels = make_texts(24, 1)
    y = {"subject": labels, "money": labels == "money"}
    tasks = MultiTaskTransfer(TransferClassifier(encoder, strategy="term_vectors")).fit(texts, y)
    assert tasks.predict(["the stock of a bank"])["money"].tolist() == [True]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("strategy", "magic"), ("anchor_strength", -5), ("unfreeze_at", 2.5), ("scoring", "nonsense"), ("cv", 1)],
)
def test_parameters_of_the_estimator_are_checked(encoder, parameter, value):
    tasks = MultiTaskTransfer(TransferClassifier(encoder).set_params(**{parameter: value}))
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of TransferClassifier must be"):
        tasks.fit(TEXTS, LABELS)
    assert not hasattr(tasks, "models_")


def test_a_generator_of_texts_serves_every_task(encoder):
    texts, labels = make_texts(24, 1)
    y = {"subject": labels, "money": labels == "money"}
    model = MultiTaskTransfer(TransferClassifier(encoder, LogisticHead(), strategy="frozen"))
    found = model.fit((text for text in texts), y).predict(iter(texts))
    np.testing.assert_array_equal(found["money"], model.fit(texts, y).predict(texts)["money"])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TEXTS, [1, 2], "y must be a dict"),
        (TEXTS, {}, "y must be a dict .* one task at least"),
        ({"a": ["x"]}, {"b": [1]}, r"These differ: \['a', 'b'\]"),
        ({"subject": ["a", None]}, {"subject": [1, 2]}, "The text at position 1 is missing"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(encoder, X, y, message):
    tasks = MultiTaskTransfer(TransferClassifier(encoder))
    with pytest.raises(ValueError, match=message):
        tasks.fit(X, y)
    assert not hasattr(tasks, "models_")


def test_names_that_are_no_file_names_are_refused(encoder, tmp_path):
    tasks = MultiTaskTransfer(TransferClassifier(encoder, strategy="frozen")).fit(
        {"a/b": ["cat", "star"]}, {"a/b": [0, 1]}
    )
    with pytest.raises(ValueError, match="'a/b' cannot be saved under its name"):
        tasks.save_tasks(tmp_path)


@pytest.mark.parametrize("kind", ["fitted", "path"])
def test_all_tasks_in_one_file_predict_the_same_and_can_be_fitted_again(encoder, kind, tmp_path):
    transferkit.save(encoder, tmp_path / "encoder.tk")
    source = encoder if kind == "fitted" else tmp_path / "encoder.tk"
    tasks = MultiTaskTransfer(TransferClassifier(source, LogisticHead(), strategy="frozen")).fit(TEXTS, LABELS)
    transferkit.save(tasks, tmp_path / "tasks.tk")
    (tmp_path / "encoder.tk").unlink()  # the file of the tasks holds the encoder
    loaded = transferkit.load(tmp_path / "tasks.tk")
    for again in (loaded, loaded.fit(TEXTS, LABELS)):
        for task, found in again.predict(TEST_TEXTS).items():
            np.testing.assert_array_equal(found, tasks.models_[task].head_.predict(encoder.transform(TEST_TEXTS)))


def fit_with_warnings():
    """Fit two tasks with an encoder that knows none of their words."""
    encoder = TfidfEncoder().fit(["other words", "of another kind"])
    labels = {"first": LABELS["subject"], "second": LABELS["third"]}
    return MultiTaskTransfer(TransferClassifier(encoder)).fit(
        {"first": TEXTS["subject"], "second": TEXTS["third"]}, labels
    )


def test_warnings_name_the_task_and_point_to_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_with_warnings()
    messages = [str(warning.message) for warning in caught]
    assert any(message.startswith("Task 'first': Transfer did not help") for message in messages)
    assert {message.partition(":")[0] for message in messages} == {"Task 'first'", "Task 'second'"}
    assert {warning.filename for warning in caught} == {__file__}


def warn_and_fail():
    with _multitask._naming("first"):
        warnings.warn("few labels", stacklevel=1)
        raise ValueError("no labels")


def test_an_error_does_not_hide_the_warnings_before_it():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match=r"^Task 'first': no labels$"):
            warn_and_fail()
    assert [str(warning.message) for warning in caught] == ["Task 'first': few labels"]


def test_warnings_of_tasks_can_be_ignored_or_raised():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", UserWarning)
        fit_with_warnings()
    assert not [warning for warning in caught if issubclass(warning.category, UserWarning)]
    with warnings.catch_warnings(action="error"), pytest.raises(UserWarning, match=r"^Task 'first': "):
        fit_with_warnings()
