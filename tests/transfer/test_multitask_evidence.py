"""Tasks that share descriptions of classes and unlabelled rows, or have no labels at all."""

import numpy as np
import pytest
from sklearn.base import clone

import transferkit
from tests.transfer.test_evidence import (
    DESCRIPTIONS,
    LABELS,
    TEST,
    TEXTS,
    TRUTH,
    UNLABELLED,
    ask_topics,
    first_per_class,
    make_classifier,
    share_of_evidence,
)
from transferkit import MultiTaskTransfer, TransferClassifier, WordVectorEncoder

IS_MUSIC = {True: "music0 music1", False: "animal0 weather0"}


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(n_components=20, min_count=2).fit(UNLABELLED)


@pytest.fixture(scope="module")
def fitted(encoder):
    """Tasks with labels, with labels and descriptions, and with descriptions alone."""
    X = {"plain": TEXTS[:30], "music": TEXTS[:30]}
    y = {"plain": LABELS[:30], "music": LABELS[:30] == "music", "topic": []}
    unlabelled, descriptions = {"topic": UNLABELLED}, {"topic": DESCRIPTIONS, "music": IS_MUSIC}
    tasks = MultiTaskTransfer(make_classifier(encoder))
    return tasks.fit(X, y, X_unlabelled=unlabelled, class_descriptions=descriptions)


def test_each_task_is_learned_from_what_it_has(fitted, encoder):
    predicted = fitted.predict(TEST)
    assert (predicted["topic"] == TRUTH).mean() > 0.9
    assert (predicted["music"] == (TRUTH == "music")).mean() > 0.9
    assert share_of_evidence(fitted.models_["music"]) > 0
    assert set(fitted.models_["plain"].strategy_scores_["evidence"]) == {""}
    assert fitted.models_["topic"].strategy_scores_["evidence"].tolist() == ["descriptions + unlabelled"]
    alone = TransferClassifier(encoder, class_descriptions=DESCRIPTIONS).fit([], [], X_unlabelled=UNLABELLED)
    np.testing.assert_allclose(fitted.predict_proba(TEST)["topic"], alone.predict_proba(TEST), atol=1e-5)


def test_tasks_without_labels_and_with_few_share_the_pass_over_a_text(encoder):
    few = first_per_class(1)
    tasks = MultiTaskTransfer(make_classifier(encoder, class_descriptions=DESCRIPTIONS))
    tasks.fit([TEXTS[i] for i in few], {"few": LABELS[few], "none": []}, X_unlabelled=UNLABELLED)
    assert tasks.models_["few"].encoder_ is tasks.models_["none"].encoder_
    assert (tasks.predict(TEST)["few"] == TRUTH).mean() > 0.9


def test_one_collection_of_unlabelled_texts_serves_every_task(encoder):
    y = {"topic": LABELS[:20], "other": LABELS[:20][::-1], "none": []}
    descriptions = {"topic": None, "none": DESCRIPTIONS}
    tasks = MultiTaskTransfer(make_classifier(encoder))
    tasks.fit(TEXTS[:20], y, X_unlabelled=iter(UNLABELLED), class_descriptions=descriptions)
    assert set(tasks.models_["topic"].strategy_scores_["evidence"]) == {"", "unlabelled"}
    assert set(tasks.models_["other"].strategy_scores_["evidence"]) == {"", "unlabelled"}
    assert (tasks.predict(TEST)["none"] == TRUTH).mean() > 0.9


def test_descriptions_given_to_fit_replace_those_of_the_estimator(encoder):
    tasks = MultiTaskTransfer(make_classifier(encoder, class_descriptions=DESCRIPTIONS))
    y = {"topic": [], "music": [], "none": LABELS[:20]}
    tasks.fit({"none": TEXTS[:20]}, y, X_unlabelled=UNLABELLED, class_descriptions={"music": IS_MUSIC, "none": None})
    assert tasks.models_["topic"].classes_.tolist() == sorted(DESCRIPTIONS)
    assert tasks.models_["music"].classes_.tolist() == [False, True]
    assert set(tasks.models_["none"].strategy_scores_["evidence"]) == {"", "unlabelled"}
    assert tasks.estimator.class_descriptions == DESCRIPTIONS


def test_files_hold_what_was_learned(fitted, tmp_path):
    expected = fitted.predict_proba(TEST)
    transferkit.save(fitted, tmp_path / "tasks.tk")
    fitted.save_tasks(tmp_path / "tasks")
    loaded = MultiTaskTransfer.load_tasks(tmp_path / "tasks")
    for tasks in (transferkit.load(tmp_path / "tasks.tk"), loaded):
        assert tasks.models_["topic"].class_descriptions == DESCRIPTIONS
        assert tasks.models_["music"].class_descriptions == IS_MUSIC
        for task, found in tasks.predict_proba(TEST).items():
            np.testing.assert_allclose(found, expected[task], atol=1e-6)
    assert loaded.estimator.class_descriptions is None  # those of a single task
    assert len(list((tmp_path / "tasks").iterdir())) == 4  # one encoder


@pytest.mark.parametrize("kind", ["callable", "path"])
def test_the_file_of_tasks_does_not_hold_the_teacher(kind, encoder, tmp_path):
    teacher = ask_topics
    if kind == "path":
        learned = TransferClassifier(encoder, class_descriptions=DESCRIPTIONS).fit([], [], X_unlabelled=UNLABELLED)
        teacher = str(tmp_path / "teacher.tk")
        transferkit.save(learned, teacher)
    few = first_per_class(1)
    tasks = MultiTaskTransfer(make_classifier(encoder, teacher=teacher))
    tasks.fit([TEXTS[i] for i in few], {"topic": LABELS[few]}, X_unlabelled=UNLABELLED)
    transferkit.save(tasks, tmp_path / "tasks.tk")
    loaded = transferkit.load(tmp_path / "tasks.tk")
    assert loaded.estimator.teacher is loaded.models_["topic"].teacher is None
    assert (loaded.predict(TEST)["topic"] == TRUTH).mean() > 0.9
    assert clone(tasks).estimator.teacher is teacher


BAD = {
    "descriptions of no task": ({"class_descriptions": {"topc": DESCRIPTIONS}}, r"names the task 'topc', which y does"),
    "unlabelled rows of no task": ({"X_unlabelled": {"topc": UNLABELLED}}, r"X_unlabelled names the task 'topc'"),
    "not per task": ({"class_descriptions": "labels"}, "must be a dict of the descriptions of each task"),
    "not descriptions": ({"class_descriptions": {"topic": 5}}, r"Task 'topic': The 'class_descriptions' parameter"),
    "other labels": ({"class_descriptions": {"topic": IS_MUSIC}}, r"Task 'topic': .*Not among the labels"),
    "missing text": ({"X_unlabelled": {"topic": ["a", None]}}, r"Task 'topic': The text at position 1 is missing"),
    "numbers": ({"X_unlabelled": np.ones((5, 2))}, r"Task 'topic': X and X_unlabelled must be of one kind"),
    "no unlabelled rows": ({"y": {"topic": []}}, r"The task 'topic' has no labels: it needs unlabelled rows"),
    "no descriptions": (
        {"y": {"topic": []}, "X_unlabelled": UNLABELLED},
        r"Task 'topic': Without labelled rows the classes must be known",
    ),
    "too few labels": ({"y": {"topic": LABELS[:20]}}, r"Task 'topic': X and y must have the same length"),
    "no rows": ({"X": {}}, r"X and y must name the same tasks. These differ: \['topic'\]"),
    "labels missing": ({"y": {"topic": None}}, r"Task 'topic': This estimator requires y"),
    "no name": ({"y": {1: LABELS[:30]}}, "The names of tasks must be str"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_names_the_task_and_changes_nothing(case, encoder):
    given, message = BAD[case]
    given = {"X": TEXTS[:30], "y": {"topic": LABELS[:30]}} | given
    tasks = MultiTaskTransfer(make_classifier(encoder))
    with pytest.raises(ValueError, match=message):
        tasks.fit(given.pop("X"), given.pop("y"), **given)
    assert not hasattr(tasks, "models_")
