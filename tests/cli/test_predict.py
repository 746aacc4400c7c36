"""`predict` keeps the columns of its input, and gives as many labels, with confidence, as are asked for."""

import csv
import io
import json

import numpy as np
import pytest

import transferkit
from transferkit import LogisticHead, RidgeHead, TfidfEncoder, TransferClassifier, TransferRegressor

TEXTS = ["the cat is here", "the stock again", "rain today", "the cow", "the bond", "a cloud"]
LABELS = ["pet", "money", "sky"] * 2


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """The path of a model of three classes, which tests only read."""
    path = tmp_path_factory.mktemp("predict") / "three.tk"
    model = TransferClassifier(head=LogisticHead(), strategy="scratch").fit(TEXTS, LABELS)
    transferkit.save(model, path)
    return path


def read_csv(out):
    return list(csv.DictReader(io.StringIO(out, newline="")))


def test_all_columns_are_kept_in_their_order(model_path, run, tmp_path):
    (tmp_path / "t.csv").write_text('id,text,note\n007,the cat,"a, b"\n')
    code, out, error = run("predict", model_path, tmp_path / "t.csv")
    assert (code, error) == (0, "")
    (row,) = read_csv(out)
    assert list(row) == ["id", "text", "note", "prediction", "confidence"]
    assert [*row.values()][:4] == ["007", "the cat", "a, b", "pet"]
    assert float(row["confidence"]) == pytest.approx(
        transferkit.load(model_path).predict_proba(["the cat"]).max(), abs=1e-6
    )


def test_json_lines_keep_their_types(model_path, run, tmp_path):
    records = [{"id": 7, "text": "the cat", "tags": ["a", None]}, {"id": None, "text": "the bond", "new": "\xfc"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert run("predict", model_path, tmp_path / "t.jsonl", "-o", tmp_path / "out.jsonl")[0] == 0
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines())
    assert list(first)[:4] == ["id", "text", "tags", "new"]
    assert (first["id"], first["tags"], first["new"], first["prediction"]) == (7, ["a", None], None, "pet")
    assert (second["id"], second["tags"], second["new"], second["prediction"]) == (None, None, "\xfc", "money")
    (row, _) = read_csv(run("predict", model_path, tmp_path / "t.jsonl")[1])
    assert (row["id"], row["tags"], row["new"]) == ("7", '["a", null]', "")


def test_columns_of_the_input_are_never_replaced(model_path, run, tmp_path):
    (tmp_path / "t.csv").write_text("prediction,text,three_confidence\nold,the cat,0\n")
    code, out, error = run("predict", model_path, tmp_path / "t.csv")
    assert code == 0
    (row,) = read_csv(out)
    new = ["new_three_prediction", "new_three_confidence"]
    assert list(row) == ["prediction", "text", "three_confidence", *new]
    assert (row["prediction"], row["three_confidence"], row[new[0]]) == ("old", "0", "pet")
    assert error == (
        "The input has a column 'prediction', which is kept: the names of the new ones begin with 'new_three_'.\n"
    )


def test_columns_of_one_name_are_no_json(model_path, run, tmp_path):
    (tmp_path / "t.csv").write_text("id,text,id\n1,the cat,2\n")
    assert run("predict", model_path, tmp_path / "t.csv")[1].startswith("id,text,id,prediction")
    code, _, error = run("predict", model_path, tmp_path / "t.csv", "--json")
    assert code == 2
    assert "Several columns are named 'id', but JSON has one value per name" in error


def test_top_labels_are_the_most_probable(model_path, run):
    probabilities = transferkit.load(model_path).predict_proba(TEXTS[:2])
    _, out, _ = run("predict", model_path, "--top", 9, stdin="\n".join(TEXTS[:2]) + "\n")
    for row, expected in zip(read_csv(out), probabilities, strict=True):
        places = np.argsort(-expected)
        labels = [row[name] for name in ("prediction", "prediction_2", "prediction_3")]
        assert labels == [["money", "pet", "sky"][i] for i in places]
        found = [float(row[name]) for name in ("confidence", "confidence_2", "confidence_3")]
        np.testing.assert_allclose(found, expected[places], atol=1e-6)
    assert list(read_csv(run("predict", model_path, "--top", 2, stdin="a\n")[1])[0])[-1] == "confidence_2"


def test_texts_below_the_threshold_are_rejected(model_path, run):
    confidence = transferkit.load(model_path).predict_proba(["the cat", "of no known word"]).max(axis=1)
    assert confidence[0] > confidence[1] + 0.01
    command = ("predict", model_path, "--threshold", f"{confidence.mean():.3f}")
    rows = read_csv(run(*command, stdin="the cat\nof no known word\n")[1])
    assert [(row["prediction"], row["rejected"]) for row in rows] == [("pet", "false"), ("", "true")]
    assert float(rows[1]["confidence"]) == pytest.approx(confidence[1], abs=1e-6)
    rows = read_csv(run(*command, "--no-reject", stdin="the cat\nof no known word\n")[1])
    assert [row["rejected"] for row in rows] == ["false", "true"]
    assert rows[1]["prediction"] in LABELS


@pytest.mark.parametrize("text", ["the cat", "the cat.", "e.g. the cat / the cow", "see http://cat.org cat", "cat"])
def test_a_text_is_predicted_at_once(text, model_path, run):
    probability = transferkit.load(model_path).predict_proba([text]).max()
    code, out, error = run("predict", model_path, text)
    assert (code, out) == (0, f"pet  {probability:.3f}\n")
    assert error == ("There is no file 'cat': it is predicted as a text.\n" if text == "cat" else "")
    assert json.loads(run("predict", model_path, text, "--json", "-q")[1])["text"] == text
    assert len(run("predict", model_path, text, "--top", 3)[1].splitlines()) == 3
    assert run("predict", model_path, text, "--threshold", 1)[1] == f"(rejected)  {probability:.3f}\n"


@pytest.mark.parametrize("name", ["missing.csv", "my texts.csv", "missing.dat", "folder/missing"])
def test_a_missing_file_is_no_text(name, model_path, run):
    code, out, error = run("predict", model_path, name)
    assert (code, out) == (2, "")
    assert name in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--top", 2), "--top: the model in"),
        (("--threshold", 0.5), "--threshold: the model in"),
        (("--probabilities",), "has no probabilities of its classes"),
    ],
)
def test_models_without_probabilities_say_so(options, message, run, tmp_path):
    path = tmp_path / "numbers.tk"
    transferkit.save(TransferRegressor(TfidfEncoder(), RidgeHead()).fit(TEXTS, np.arange(6.0)), path)
    code, out, error = run("predict", path, *options, stdin="the cat\n")
    assert (code, out) == (2, "")
    assert message in error
    assert list(read_csv(run("predict", path, stdin="the cat\n")[1])[0]) == ["text", "prediction"]


@pytest.mark.parametrize("name", ["out.tsv", "out.xlsx", "out.csv.gz", "three.tk"])
def test_output_of_another_kind_is_refused(name, model_path, run, tmp_path):
    code, _, error = run("predict", model_path, "the cat", "-o", tmp_path / name)
    assert code == 2
    assert "predict writes .csv or .jsonl" in error
    assert not (tmp_path / name).exists()


def test_the_input_is_never_written_over(model_path, run, tmp_path):
    (tmp_path / "t.csv").write_text("id,text\n1,the cat\n")
    before = (tmp_path / "t.csv").read_bytes()
    for options, message in (((), "this is the file of the texts"), (("--json",), "--json writes JSON lines")):
        code, _, error = run("predict", model_path, tmp_path / "t.csv", "-o", tmp_path / "t.csv", *options)
        assert code == 2
        assert message in error
    assert (tmp_path / "t.csv").read_bytes() == before


def test_models_of_several_labels_keep_their_probabilities(run, tmp_path):
    y = np.array([[0, 1], [1, 0], [1, 1]] * 2)
    transferkit.save(TransferClassifier(strategy="scratch").fit(TEXTS, y), tmp_path / "m.tk")
    (row,) = read_csv(run("predict", tmp_path / "m.tk", stdin="the cat\n")[1])
    assert [name.split()[0] for name in row] == ["text", "prediction", "probability", "probability"]
    assert json.loads(row["prediction"]) in ([0, 1], [1, 0], [1, 1], [0, 0])
    code, _, error = run("predict", tmp_path / "m.tk", "--top", 2, stdin="the cat\n")
    assert code == 2
    assert "--top and --threshold are for models of one label per text" in error


@pytest.mark.parametrize("command", ["predict", "explain"])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_is_told_that_text_is_expected(command, is_terminal, saved_model, run, monkeypatch):
    terminal = type("Terminal", (io.TextIOWrapper,), {"isatty": lambda self: is_terminal})
    monkeypatch.setattr(io, "TextIOWrapper", terminal)  # of which the fixture makes standard input
    code, _, error = run(command, saved_model, "-", stdin="the cat")
    assert (code, "Type text and end it with Ctrl-D" in error) == (0, is_terminal)
