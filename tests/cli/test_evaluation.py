"""What `evaluate` says of models, and what `finetune --cv` says of folds, which it checks before it trains."""

import json

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

import transferkit
from transferkit._algorithms.proportions import paired_interval, wilson_interval
from transferkit.cli._evaluation import LabelledPredictions, describe_folds, evaluate_predictions


def write_table(path, counts):
    rows = [f"word {label * 3} text{i},{label}" for label, n in counts.items() for i in range(n)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("counts", "cv", "message"),
    [
        ({"a": 4, "b": 4}, 1, "--cv takes 2 or more folds, or 0 for none. Got 1."),
        ({"a": 4, "b": 4}, -3, "--cv takes 2 or more folds, or 0 for none. Got -3."),
        ({"a": 4, "b": 4}, 9, "--cv 9 asks for more folds than 't.csv' has texts: 8."),
        ({"a": 4, "b": 3}, 5, "--cv 5 asks for more folds than 't.csv' has texts of any class: at most 4."),
        ({"a": 4, "b": 1}, 2, "--cv 2 needs two texts of each class, but 't.csv' has one of class 'b'"),
    ],
)
def test_impossible_folds_are_refused_before_training(counts, cv, message, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "t.csv", counts)
    monkeypatch.setattr(transferkit.TransferClassifier, "fit", lambda *args: pytest.fail("trained"))
    code, out, error = run("finetune", "t.csv", "--strategy", "scratch", "-o", "m.tk", "--cv", cv)
    assert (code, out) == (2, "")
    assert error.startswith(f"Error: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "m.tk").exists()


@pytest.mark.parametrize(
    ("counts", "cv", "note"),
    [
        ({"a": 4, "b": 4}, 0, ""),
        ({"a": 4, "b": 4}, 4, ""),
        ({"a": 4, "b": 2}, 2, ""),
        ({"a": 4, "b": 2}, 3, "Class 'b' has fewer texts (2) than --cv has folds"),
        ({"a": 4, "b": 4, "c": 1}, 2, "Class 'c' has fewer texts (1) than --cv has folds"),
    ],
)
def test_possible_folds_are_scored(counts, cv, note, tmp_path, run):
    path = write_table(tmp_path / "t.csv", counts)
    code, out, error = run("finetune", path, "--strategy", "scratch", "-C", 1, "-o", tmp_path / "m.tk", "--cv", cv)
    assert code == 0
    assert (f"accuracy in {cv} folds: " in out) == (cv > 0)
    assert "nan" not in out
    assert note in error
    assert bool(error) == bool(note)


def test_failure_of_a_fold_does_not_cost_the_model(tmp_path, run, monkeypatch):
    path = write_table(tmp_path / "t.csv", {"a": 4, "b": 4})
    fit = transferkit.TransferClassifier.fit

    def fit_all_rows_only(self, X, y):
        if len(X) < 8:
            raise ValueError("no such luck")
        return fit(self, X, y)

    monkeypatch.setattr(transferkit.TransferClassifier, "fit", fit_all_rows_only)
    code, _, error = run("finetune", path, "--strategy", "scratch", "-C", 1, "-o", tmp_path / "m.tk", "--cv", 2)
    assert code == 2
    assert error == "Error: The model is saved, but could not be evaluated in 2 folds (--cv): no such luck\n"
    assert transferkit.load(tmp_path / "m.tk").predict(["word aaa text1"]).tolist() == ["a"]


@pytest.mark.parametrize(("n_texts", "means_little"), [(90, True), (100, False)])
def test_accuracy_of_few_texts_in_folds_is_said_to_mean_little(n_texts, means_little):
    text = describe_folds(np.arange(n_texts) % 2 == 0, 5)
    low, high = wilson_interval(n_texts // 2, n_texts)
    figure = f"accuracy in 5 folds: 0.500 (95 % interval {low:.2f} to {high:.2f}, Wilson, {n_texts} texts)"
    assert text.startswith(figure)
    assert ("This says little: the interval is wide, and each fold trains on 72 of 90 labels" in text) == means_little
    assert (text == figure) != means_little


def test_the_last_line_of_finetune_says_whether_transfer_helped(tmp_path, run):
    path = write_table(tmp_path / "t.csv", {"a": 5, "b": 5})
    _, out, _ = run("finetune", path, "--strategy", "scratch", "-C", 1, "-o", tmp_path / "m.tk", "--cv", 2)
    assert out.splitlines()[-1] == transferkit.load(tmp_path / "m.tk").summary_["text"]


# --- evaluate ---


def write_rows(path, rows):
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]) + "\n")
    return path


def save_model(path, labels, seed=0):
    """Save a model of texts that are the words of their labels, and return its path."""
    texts = [f"{label} word{i}" for label in labels for i in range(4)]
    model = transferkit.TransferClassifier(head=transferkit.LogisticHead(C=10.0), strategy="scratch")
    transferkit.save(model.fit(texts, np.repeat(labels, 4)), path)
    return path


def test_evaluate_shows_interval_calibration_and_worst_confusions(tmp_path, run):
    path = save_model(tmp_path / "m.tk", ["cat", "cow", "dog"])
    rows = [("cat", "cat")] * 5 + [("dog dog cat", "cow"), ("dog", "cow"), ("the dog", "cat"), ("x", "y")]
    code, out, error = run("evaluate", path, write_rows(tmp_path / "t.csv", rows))
    assert code == 0
    low, high = wilson_interval(5, 9)
    assert f"accuracy  {5 / 9:.4f} (95 % interval {low:.3f} to {high:.3f}, Wilson)" in out
    assert "worst confusions, true -> predicted, 4 of 4 wrong predictions\n    2  cow -> dog: dog\n" in out
    assert "    1  cat -> dog: the dog\n" in out
    assert "are not classes of the model: ['y'], in 1 of 9 texts" in error
    report = json.loads(run("evaluate", path, tmp_path / "t.csv", "--json")[1])
    model, texts = transferkit.load(path), [text for text, _ in rows]
    sure = model.predict_proba(texts).max(axis=1)
    assert report["accuracy_interval"] == pytest.approx([low, high])
    assert report["calibration"]["mean_confidence"] == pytest.approx(sure.mean(), abs=1e-6)
    assert f"is {sure.mean():.1%} sure on average and right for 55.6% of the texts" in out
    assert sure[6] > sure[5]
    assert report["confusions"][0] == {"true": "cow", "predicted": "dog", "n_texts": 2, "example": "dog"}


def test_many_classes_have_no_matrix_and_only_the_worst_are_listed(tmp_path, run):
    for n_classes, has_matrix, n_listed in ((10, True, 10), (11, False, 11), (30, False, 30), (31, False, 10)):
        labels = [f"label{place:02}" for place in range(n_classes)]
        path = save_model(tmp_path / "m.tk", labels)
        rows = [(label, label) for label in labels[:-1]] + [(labels[0], labels[-1])]
        out = run("evaluate", path, write_rows(tmp_path / "t.csv", rows))[1]
        assert ("confusion matrix" in out) == has_matrix
        table = out[out.index("class ") :].split("\n\n")[0]
        assert table.count("label") == n_listed
        assert f"{labels[-1]}      0.000   0.000   0.000      1" in table
    rows = [(label, label) for label in labels if label != labels[5]] + [(labels[5], labels[0])]
    out = run("evaluate", path, write_rows(tmp_path / "t.csv", rows))[1]
    assert "the 10 of 30 classes with the lowest F1" in out
    assert f"\n{labels[5]} " not in out  # predicted, but no text of the file has it


@pytest.mark.parametrize(("share", "verdict"), [(0.80, "fits"), (0.85, "fits"), (0.60, "too high"), (0.95, "too low")])
def test_confidence_is_judged_by_what_chance_allows(share, verdict):
    n_texts = 100  # at a confidence of 0.8, two standard errors are 0.08
    truth = np.where(np.arange(n_texts) < share * n_texts, "a", "b")
    predicted = np.full(n_texts, "a")
    found = LabelledPredictions(["t"] * n_texts, truth, predicted, predicted, np.full(n_texts, 0.8), None)
    calibration = evaluate_predictions(found)["calibration"]
    assert calibration["verdict"] == verdict
    assert calibration["expected_calibration_error"] == pytest.approx(abs(share - 0.8))


def test_several_models_are_compared_on_the_texts_that_only_one_gets_right(tmp_path, run):
    good = save_model(tmp_path / "good.tk", ["cat", "dog"])
    bad = tmp_path / "bad.tk"
    model = transferkit.load(good)
    model.head_.intercept_ = model.head_.intercept_ + 20.0  # always "dog"
    transferkit.save(model, bad)
    table = write_rows(tmp_path / "t.csv", [("cat", "cat"), ("dog", "dog")] * 20)
    code, out, error = run("evaluate", good, bad, table)
    assert (code, error) == (0, "")
    assert f"{good}    1.0000  0.912 to 1.000" in out
    low, high = (100 * end for end in paired_interval(20, 0, 40))
    assert f"{bad} - {good}: -50.0 points of accuracy, 95 % interval {low:.1f} to {high:.1f} (paired), worse: 0 " in out
    assert f"(paired), better: 20 texts only {good}" in run("evaluate", bad, good, table)[1]
    report = json.loads(run("evaluate", good, bad, table, "--json")[1])
    assert report["models"][str(bad)]["accuracy"] == 0.5
    assert report["differences_to_first"][str(bad)]["n_right_only_in_first"] == 20
    few = write_rows(tmp_path / "few.csv", [("cat", "cat"), ("dog", "dog")])
    assert "(paired), no clear difference: 0 texts" in run("evaluate", good, bad, few)[1]


@pytest.mark.parametrize(
    ("label", "hint"), [("Cat", "'Cat' differs from the class 'cat' in case or blanks only"), ("horse", "another task")]
)
def test_labels_that_are_no_classes_are_explained(label, hint, tmp_path, run):
    path = save_model(tmp_path / "m.tk", ["cat", "dog"])
    code, out, error = run("evaluate", path, write_rows(tmp_path / "t.csv", [("cat", label)]))
    assert (code, out) == (2, "")
    assert "is a class of the model: ['cat', 'dog']" in error
    assert hint in error


def test_calibration_is_that_of_the_model_without_rejection(tmp_path, run):
    model = transferkit.load(save_model(tmp_path / "plain.tk", ["cat", "dog"]))
    texts, labels = ["cat word0", "dog word1", "cat word2", "dog word3"] * 3, ["cat", "dog"] * 6
    selective = transferkit.SelectiveClassifier(FrozenEstimator(model), coverage=0.5, cv=2).fit(texts, labels)
    transferkit.save(selective, tmp_path / "m.tk")
    table = write_rows(tmp_path / "t.csv", zip(["cat", "dog", "x"], ["cat", "dog", "dog"], strict=True))
    report = json.loads(run("evaluate", tmp_path / "m.tk", table, "--json")[1])
    plain = json.loads(run("evaluate", tmp_path / "plain.tk", table, "--json")[1])
    assert report["accepted"] < 1
    assert report["calibration"] == pytest.approx(plain["calibration"])
