"""All commands that read texts have the same options for reading, which work as the loaders' messages say."""

import csv
import io

import pytest

import transferkit

ROWS = ["the café is here,pet", "the stock again,money", "the café there,pet", "the bond again,money"]
TABLE = "\n".join(["text,label", *ROWS]) + "\n"


@pytest.fixture(params=["pretrain", "finetune", "evaluate", "predict"])
def command(request, tmp_path, saved_model):
    """A function from a table to the arguments of a command that reads it."""
    output = ("-o", tmp_path / "output")
    arguments = {
        "pretrain": lambda table: ("pretrain", table, *output, "--encoder", "tfidf", "--min-df", 1),
        "finetune": lambda table: ("finetune", table, *output, "--strategy", "scratch", "-C", 1),
        "evaluate": lambda table: ("evaluate", saved_model, table),
        "predict": lambda table: ("predict", saved_model, table, *output),
    }
    return arguments[request.param]


@pytest.mark.parametrize(
    ("name", "content", "message", "options"),
    [
        ("t.csv", TABLE.replace("café", "小猫在家里").encode("gbk"), "or gbk for Chinese", ["--encoding", "gbk"]),
        ("t.csv", TABLE.encode() + b"\xff,pet\n", "--encoding-errors replace", ["--encoding-errors", "replace"]),
        ("t.csv", TABLE.encode() + b"\xff,pet\n", "--encoding-errors replace", ["--encoding-errors", "ignore"]),
        ("t.csv", TABLE.replace("the", '"the').encode(), "--no-quoting", ["--no-quoting"]),
        ("t.tsv", b'text\tlabel\n"the\tcat"\t"pet"\n"a bond"\t"money"\n', "--quoting", ["--quoting"]),
        ("t.jsonl", b'{"text": "half \\ud83d cat", "label": "pet"}\n{"text": "the bond", "label": "money"}\n',
         "--encoding-errors replace", ["--encoding-errors", "replace"]),
    ],
)  # fmt: skip
def test_option_that_the_error_names_reads_the_table(name, content, message, options, command, tmp_path, run):
    (tmp_path / name).write_bytes(content)
    code, out, error = run(*command(tmp_path / name))
    assert (code, out) == (2, "")
    assert error.startswith("Error: ")
    assert message in error
    assert error.count("\n") == 1
    assert run(*command(tmp_path / name), *options)[0] == 0


def test_unknown_encoding_and_handler_are_named(command, tmp_path, run):
    (tmp_path / "t.csv").write_text(TABLE)
    assert "Unknown encoding 'nonsense'" in run(*command(tmp_path / "t.csv"), "--encoding", "nonsense")[2]
    code, _, error = run(*command(tmp_path / "t.csv"), "--encoding-errors", "guess")
    assert code == 2
    assert "'strict', 'replace', 'ignore'" in error


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--encoding", "latin-1"], "naïve"),
        (["--encoding-errors", "replace"], "na\ufffdve"),
        (["--encoding-errors", "ignore"], "nave"),
    ],
)
@pytest.mark.parametrize("name", ["t.txt", "-"])
def test_texts_are_decoded_as_requested(name, options, expected, tmp_path, saved_model, run):
    content = "naïve\n".encode("latin-1")
    (tmp_path / "t.txt").write_bytes(content)
    code, out, _ = run("predict", saved_model, "-" if name == "-" else tmp_path / name, *options, stdin=content)
    assert code == 0
    assert list(csv.reader(io.StringIO(out)))[1][0] == expected


def test_terms_are_learned_as_decoded(tmp_path, run):
    (tmp_path / "t.txt").write_bytes("the café\nthe bond\n".encode("latin-1"))
    options = ("--encoder", "tfidf", "--min-df", 1, "--encoding", "latin-1")
    assert run("pretrain", tmp_path / "t.txt", "-o", tmp_path / "e.tk", *options)[0] == 0
    assert "café" in transferkit.load(tmp_path / "e.tk").get_feature_names_out()
