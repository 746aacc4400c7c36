"""All commands read tables of JSON, and `predict` writes the columns of the input next to the predictions."""

import csv
import io
import json

import pytest

ROWS = [("the cat is here", "pet"), ("the stock again", "money"), ("the cow is there", "pet"), ("the bond", "money")]


def read_csv(out):
    return list(csv.DictReader(io.StringIO(out, newline="")))


@pytest.mark.parametrize(("name", "text", "label"), [("t.jsonl", "text", "label"), ("t.ndjson", "body", "kind")])
def test_jsonl_is_learned_evaluated_and_predicted(name, text, label, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"id": i, label: y, text: x}) for i, (x, y) in enumerate(ROWS)]
    (tmp_path / name).write_text("\n".join([lines[0], "", *lines[1:]]) + "\n")
    columns = ("--text-column", text)
    labels = (*columns, "--label-column", label)
    assert run("finetune", name, "--strategy", "scratch", "-C", 1, "-o", "m.tk", *labels)[0] == 0
    report = json.loads(run("evaluate", "m.tk", name, "--json", *labels)[1])
    assert (report["n_texts"], report["accuracy"]) == (4, 1.0)
    code, out, error = run("predict", "m.tk", name, "--keep", "id", "--keep", label, *columns)
    assert (code, error) == (0, "")
    found = [(row["id"], row[text], row[label], row["prediction"]) for row in read_csv(out)]
    assert found == [(str(i), x, y, y) for i, (x, y) in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("labels", "classes"), [([1, 0], ["0", "1"]), ([True, False], ["false", "true"]), ([1.5, 2], ["1.5", "2"])]
)
def test_labels_of_json_that_are_no_strings_are_found_again(labels, classes, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"text": x, "label": labels[i % 2]}) for i, (x, _) in enumerate(ROWS)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    assert run("finetune", "t.jsonl", "--strategy", "scratch", "-C", 1, "-o", "m.tk")[0] == 0
    report = json.loads(run("evaluate", "m.tk", "t.jsonl", "--json")[1])
    assert report["accuracy"] == 1
    assert list(report["classes"]) == classes


def test_kept_columns_are_in_the_requested_order_and_as_written(saved_model, tmp_path, run):
    content = 'id,text,note\n007,the cat,"a, ""b""\nc"\n008,,\n'
    (tmp_path / "t.csv").write_text(content, newline="")
    code, out, _ = run("predict", saved_model, tmp_path / "t.csv", "--keep", "note", "--keep", "id")
    assert code == 0
    header = ["note", "id", "text", "prediction", "confidence"]
    assert out.splitlines()[0] == ",".join(header)
    rows = read_csv(out)
    assert [(row["note"], row["id"], row["text"]) for row in rows] == [('a, "b"\nc', "007", "the cat"), ("", "008", "")]
    assert rows[0]["prediction"] == "pet"


@pytest.mark.parametrize(
    ("source", "keep", "message"),
    [
        ("t.csv", ["no"], "has no column 'no'. Its columns are: ['text', 'id']"),
        ("t.csv", ["id", "id"], "the output already has a column 'id'"),
        ("t.csv", ["text"], "the output already has a column 'text'"),
        ("t.txt", ["id"], "has one text per line and no column 'id'"),
        ("-", ["id"], "'standard input' has one text per line and no column 'id'"),
    ],
)
def test_columns_that_cannot_be_kept_are_named(source, keep, message, saved_model, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("text,id\na,1\n")
    (tmp_path / "t.txt").write_text("a\n")
    options = [word for name in keep for word in ("--keep", name)]
    code, out, error = run("predict", saved_model, source, *options, stdin="a\n")
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
