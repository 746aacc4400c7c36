"""`explain` shows why a text gets its label: in a terminal with colours, as a page, and as JSON."""

import json

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

import transferkit
from transferkit import LogisticHead, RidgeHead, TfidfEncoder, TransferClassifier, TransferRegressor

TEXTS = ["the cat is here", "the stock again", "rain today", "the cow", "the bond", "a cloud"]
LABELS = ["pet", "money", "sky"] * 2


def save_model(path, n_classes=3):
    kept = [i for i, label in enumerate(LABELS) if label in ("pet", "money", "sky")[:n_classes]]
    model = TransferClassifier(TfidfEncoder().fit(TEXTS), LogisticHead(), strategy="frozen")
    transferkit.save(model.fit([TEXTS[i] for i in kept], [LABELS[i] for i in kept]), path)
    return path


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """The path of a model of three classes, which tests only read."""
    return save_model(tmp_path_factory.mktemp("explain") / "three.tk")


def test_contributions_add_up_to_the_decision_value(model_path, run):
    model = transferkit.load(model_path)
    code, out, error = run("explain", model_path, "the cat, cow, again")
    assert (code, error) == (0, "")
    text, _, title, _, *lines = out.splitlines()
    assert text == "the cat, cow, again"
    assert title == f"pet, confidence {model.predict_proba([text]).max():.3f}"
    numbers = [float(line.split()[0]) for line in lines]
    assert numbers[-1] == pytest.approx(model.decision_function([text]).max(), abs=1e-3)
    assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=5e-3)
    assert lines[0].split()[-1] in ("cat", "cow")
    (first, rest) = run("explain", model_path, text, "-n", 1)[1].splitlines()[4:6]
    assert (first, rest.split()[1:]) == (lines[0], ["(3", "other", "terms)"])
    assert float(rest.split()[0]) == pytest.approx(sum(numbers[1:4]), abs=2e-3)


@pytest.mark.parametrize("label", ["money", "pet"])
def test_each_of_two_classes_can_be_explained(label, run, tmp_path):
    path = save_model(tmp_path / "two.tk", 2)
    value = transferkit.load(path).decision_function(["the cat"])[0] * (1 if label == "pet" else -1)
    found = json.loads(run("explain", path, "the cat", "--label", label, "--json")[1])
    assert (found["label"], found["prediction"]) == (label, "pet")
    assert found["decision"] == pytest.approx(value, abs=1e-6)
    assert found["intercept"] + sum(row["contribution"] for row in found["terms"]) == pytest.approx(value, abs=1e-6)
    assert next(row["contribution"] for row in found["terms"] if row["term"] == "cat") * value > 0
    title = run("explain", path, "the cat", "--label", label)[1].splitlines()[2]
    assert title.endswith("; the prediction is pet") == (label == "money")


def test_terms_have_colours_in_a_terminal_only(model_path, run, monkeypatch):
    assert "\x1b" not in run("explain", model_path, "the cat, cow, again")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    text = run("explain", model_path, "the cat, cow, again")[1].splitlines()[0]
    assert "\x1b[1;37;48;2;0;114;178mcat\x1b[0m" in text
    assert "\x1b[38;2;213;94;0magain\x1b[0m" in text


def test_page_holds_the_text_as_text(model_path, run, tmp_path):
    code, out, error = run("explain", model_path, "<script> cat", "--html", tmp_path / "why.html")
    assert (code, error) == (0, "")
    assert out.endswith(f" -> {tmp_path / 'why.html'}\n")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "<h1>pet, confidence" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_parts_of_the_contributions_are_listed(run, tmp_path):
    encoder = transferkit.WordVectorEncoder(2, min_count=1).fit(TEXTS)
    model = TransferClassifier(encoder, LogisticHead(), strategy="term_vectors").fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "m.tk")
    assert "contribution  from pretraining       from labels  term" in run("explain", tmp_path / "m.tk", "the cat")[1]
    for row in json.loads(run("explain", tmp_path / "m.tk", "the cat", "--json")[1])["terms"]:
        assert row["from_pretraining"] + row["from_labels"] == pytest.approx(row["contribution"])


def test_text_of_unknown_words_and_from_standard_input(model_path, run):
    out = run("explain", model_path, "-", stdin="zzz\n")[1]
    assert out.startswith("zzz\n")
    assert "The model knows no term of the text: the intercept decides." in out


def test_models_without_probabilities_are_explained(run, tmp_path):
    model = make_pipeline(TfidfEncoder(), RidgeClassifier()).fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "m.tk")
    found = json.loads(run("explain", tmp_path / "m.tk", "rain", "--json")[1])
    assert (found["label"], found["probability"]) == ("sky", None)
    assert found["decision"] == pytest.approx(model.decision_function(["rain"]).max())
    assert run("explain", tmp_path / "m.tk", "rain")[1].splitlines()[2] == "sky"


def test_numbers_are_explained_too(run, tmp_path):
    transferkit.save(TransferRegressor(TfidfEncoder(), RidgeHead()).fit(TEXTS, np.arange(6.0)), tmp_path / "m.tk")
    code, out, _ = run("explain", tmp_path / "m.tk", "the cat")
    assert code == 0
    assert "(decision value)" in out
    assert "predicts no classes" in run("explain", tmp_path / "m.tk", "the cat", "--label", "pet")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("the cat", "--label", "dog"), "--label dog is not a class of the model: ['money', 'pet', 'sky']"),
        ((".",), "'.' is a file, but explain takes one text, in quotes"),
        (("a text", "--html", "no/why.html"), "The folder of the output 'no/why.html' does not exist"),
        (("a text", "-n", "0"), "Invalid value for '-n'"),
    ],
)
def test_mistakes_are_named(arguments, message, model_path, run):
    code, out, error = run("explain", model_path, *arguments)
    assert (code, out) == (2, "")
    assert message in error
