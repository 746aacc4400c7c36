"""Models that reject texts: made by `finetune`, and used by all commands and the server."""

import csv
import io
import json

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

import transferkit
from tests.selection.test_selective_classifier import FAR, LABELS, TEXTS
from transferkit import LogisticHead, SelectiveClassifier, TfidfEncoder, TransferClassifier

COMMON = ("--strategy", "scratch", "-C", "10", "-q")


def write_table(path, texts, labels):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tables and models, which tests only read: one with a reject label, one without, and a plain one."""
    folder = tmp_path_factory.mktemp("rejection")
    write_table(folder / "labelled.csv", TEXTS, LABELS)
    write_table(folder / "mixed.csv", [*TEXTS, *FAR], [*LABELS, *["none"] * len(FAR)])
    plain = TransferClassifier(head=LogisticHead(), strategy="scratch").fit(TEXTS, LABELS)
    transferkit.save(plain, folder / "plain.tk")
    for name, label in (("labelled", "none"), ("unlabelled", None)):
        model = SelectiveClassifier(FrozenEstimator(plain), coverage=0.9, reject_label=label, method="both", cv=2)
        transferkit.save(model.fit(TEXTS, LABELS), folder / f"{name}.tk")
    step = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both", cv=2)
    transferkit.save(make_pipeline(TfidfEncoder(), step).fit(TEXTS, LABELS), folder / "pipeline.tk")
    return folder


def read_csv(out):
    return list(csv.DictReader(io.StringIO(out)))


def test_finetune_makes_a_model_that_rejects(folder, run, tmp_path):
    path = tmp_path / "model.tk"
    options = ("--coverage", 0.8, "--reject-label", "none", "--reject-by", "both")
    code, out, error = run("finetune", folder / "labelled.csv", "-o", path, *options, *COMMON[:-1], "--cv", 2)
    assert (code, error) == (0, "")
    model = transferkit.load(path)
    assert (model.coverage, model.max_error, model.reject_label, model.method) == (0.8, None, "none", "both")
    assert f"accepts {model.coverage_:.1%} of 30 held-out texts, {model.error_:.1%} of these wrong" in out
    assert "accuracy in 2 folds: " in out
    assert run("finetune", folder / "labelled.csv", "-o", path, "--max-error", 0.3, *COMMON)[0] == 0
    assert (transferkit.load(path).max_error, transferkit.load(path).method) == (0.3, "probability")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--coverage", "0.9", "--max-error", "0.1"), "--coverage and --max-error exclude each other"),
        (("--reject-label", "none"), "--reject-label is for a model that rejects texts: add --coverage or --max-error"),
        (("--reject-by", "both"), "--reject-by is for a model that rejects texts"),
        (("--coverage", "0"), "0.0 is not in the range 0<x<=1"),
        (("--max-error", "1"), "1.0 is not in the range 0<x<1"),
        (("--coverage", "0.9", "--reject-label", "pet"), "--reject-label pet is one of the labels"),
    ],
)
def test_wrong_options_of_finetune_are_named(arguments, message, folder, run, tmp_path):
    code, _, error = run("finetune", folder / "labelled.csv", "-o", tmp_path / "model.tk", *arguments, *COMMON)
    assert code == 2
    assert message in error
    assert not (tmp_path / "model.tk").exists()


def test_thresholds_need_labelled_texts(folder, run, tmp_path):
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    (tmp_path / "classes.json").write_text(json.dumps({"pet": "cat", "money": "stock", "sky": "rain"}))
    given = ("--unlabelled", tmp_path / "corpus.txt", "--descriptions", tmp_path / "classes.json", "--coverage", "0.9")
    code, _, error = run("finetune", "-e", folder / "plain.tk", "-o", tmp_path / "model.tk", *given)
    assert code == 2
    assert "set thresholds on held-out labels: give LABELLED" in error


@pytest.mark.parametrize(("name", "label"), [("labelled", "none"), ("unlabelled", ""), ("pipeline", "")])
def test_predict_writes_what_is_rejected(name, label, folder, run):
    code, out, error = run("predict", folder / f"{name}.tk", folder / "mixed.csv", "-q")
    rows, model = read_csv(out), transferkit.load(folder / f"{name}.tk")
    assert (code, error) == (0, "")
    rejected = np.array([row["rejected"] == "true" for row in rows])
    step = model if isinstance(model, SelectiveClassifier) else model[-1]
    accepted = step.is_accepted([*TEXTS, *FAR] if step is model else model[:-1].transform([*TEXTS, *FAR]))
    np.testing.assert_array_equal(rejected, ~accepted)
    assert rejected[-len(FAR) :].all()
    assert {row["prediction"] for row, out in zip(rows, rejected, strict=True) if out} == {label}
    assert list(rows[0]) == ["text", "label", "prediction", "confidence", "rejected"]
    kept = read_csv(run("predict", folder / f"{name}.tk", folder / "mixed.csv", "-q", "--no-reject")[1])
    assert {row["prediction"] for row in kept} == {"pet", "money", "sky"}
    assert [row["rejected"] for row in kept] == [row["rejected"] for row in rows]


def test_a_model_that_cannot_reject_says_so(folder, run):
    code, _, error = run("predict", folder / "plain.tk", folder / "mixed.csv", "--reject")
    assert code == 2
    assert "rejects no texts. Give a --threshold, or make a model that does with finetune --coverage" in error
    assert "rejected" not in read_csv(run("predict", folder / "plain.tk", folder / "mixed.csv", "-q")[1])[0]


def test_evaluate_counts_rejected_texts(folder, run):
    found = json.loads(run("evaluate", folder / "labelled.tk", folder / "mixed.csv", "--json")[1])
    model = transferkit.load(folder / "labelled.tk")
    texts, truth = [*TEXTS, *FAR], np.array([*LABELS, *["none"] * len(FAR)])
    accepted = model.is_accepted(texts)
    assert found["accuracy"] == pytest.approx(model.score(texts, truth))
    assert found["accepted"] == pytest.approx(accepted.mean())
    assert found["accuracy_of_accepted"] == pytest.approx(np.mean(model.predict(texts)[accepted] == truth[accepted]))
    assert found["classes"]["none"]["n_texts"] == len(FAR)
    code, out, error = run("evaluate", folder / "unlabelled.tk", folder / "mixed.csv")
    assert code == 0
    assert "are not classes of the model: ['none']" in error
    assert "(rejected)" in out
    assert f"accepted  {found['accepted']:.4f}, accuracy of these {found['accuracy_of_accepted']:.4f}" in out


def test_report_has_a_section_on_rejection(folder, run, tmp_path):
    path = tmp_path / "report.html"
    assert run("report", folder / "labelled.tk", "-o", path, "--data", folder / "labelled.csv", "-q")[0] == 0
    page, model = path.read_text(encoding="utf-8"), transferkit.load(folder / "labelled.tk")
    assert f"It accepts {model.coverage_:.1%} of 30 held-out texts" in page
    assert "are accepted, accuracy of these" in page
    assert "Top terms of each class" in page
    assert "stock" in page
    assert run("report", folder / "pipeline.tk", "-o", path, "-q")[0] == 0


def test_describe_and_verify_take_it(folder, run):
    code, out, _ = run("describe", folder / "labelled.tk")
    assert code == 0
    assert "SelectiveClassifier" in out
    assert "self-test passed" in run("verify", folder / "labelled.tk")[1]


@pytest.mark.parametrize("name", ["labelled", "unlabelled", "pipeline", "plain"])
def test_server_answers_what_is_rejected(name, folder):
    pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    from transferkit.cli import make_app

    with testclient.TestClient(make_app(folder / f"{name}.tk")) as client:
        answer = client.post("/predict", json={"texts": [TEXTS[0], FAR[0]]}).json()
        explained = client.post("/explain", json={"text": TEXTS[0]}).json()
    assert set(answer) - {"rejected"} == {"predictions", "classes", "probabilities"}
    assert answer.get("rejected") == (None if name == "plain" else [False, True])
    expected = {"labelled": "none", "unlabelled": None, "pipeline": None}
    if name != "plain":
        assert answer["predictions"][1] == expected[name]
        assert answer["predictions"][0] == LABELS[0]
    assert set(explained["labels"]) == {"pet", "money", "sky"}
