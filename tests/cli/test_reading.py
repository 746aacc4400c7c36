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
        ("t.csv", TABLE.replace("café", "小猫在家里").encode("gbk"), "gbk for Chinese", ["--encoding", "gbk"]),
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


EXPORT = "Nr;Frage;Thema\n1;the café is here;pet\n2;the stock again;money\n3;the stock again;Money\n4;;pet\n"


def test_what_was_detected_and_looks_wrong_is_printed_in_the_words_of_the_command_line(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_bytes(EXPORT.encode("latin-1"))
    command = ("finetune", "t.csv", "--strategy", "scratch", "-C", 1, "-o", "m.tk", "--label-column", "Thema")
    code, _, error = run(*command)
    assert code == 0
    lines = error.splitlines()
    for part in (
        "texts are those of the column 'Frage'. Confirm this with --text-column Frage",
        "fields are separated by ';'",
        "read as cp1252 (Western European), for example 'café'. If this is wrong, give the encoding: --encoding cp1250",
        "1 of 4 texts is empty, the first in line 5",
        "'Money' (1 text) and 'money' (1 text)",
        "1 text in 2 rows has different labels, for example 'the stock again' has 'Money', 'money'",
    ):
        assert sum(part in line and line.startswith("t.csv: ") for line in lines) == 1
    assert len(lines) == 6
    quiet = run(*command, "--quiet")[2].splitlines()
    assert quiet == [line for line in lines if "separated" not in line]
    named = ("--text-column", "Frage", "--sep", ";", "--encoding", "latin-1")
    assert len(run(*command, *named)[2].splitlines()) == 3


def test_columns_that_cannot_be_guessed_are_listed_with_the_option(tmp_path, run):
    (tmp_path / "t.csv").write_text("Nr;Land;Frage;Thema\n1;x;the café is here;pet\n", encoding="utf-8")
    code, _, error = run("finetune", tmp_path / "t.csv", "--strategy", "scratch", "-o", tmp_path / "m.tk")
    assert code == 2
    assert "has no column 'label'. Its columns are: ['Nr', 'Land', 'Frage', 'Thema']" in error
    assert "--label-column" in error
    assert "label=" not in error


def test_a_folder_is_learned_evaluated_and_predicted(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, row in enumerate(ROWS):
        text, label = row.split(",")
        (tmp_path / "texts" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / label / f"{number}.txt").write_text(text, encoding="utf-8")
    how = ("--encoder", "tfidf", "--min-df", 1)
    assert "Pass --recursive" in run("pretrain", "texts", "-o", "e.tk", *how)[2]
    assert run("pretrain", "texts", "-o", "e.tk", "--recursive", *how)[0] == 0
    assert run("finetune", "texts", "-e", "e.tk", "--strategy", "frozen", "-C", 1, "-o", "m.tk")[::2] == (0, "")
    assert "accuracy  1.0000" in run("evaluate", "m.tk", "texts")[1]
    rows = list(csv.DictReader(io.StringIO(run("predict", "m.tk", "texts", "--recursive")[1])))
    assert [(row["file"], row["prediction"]) for row in rows] == [
        ("money/1.txt", "money"), ("money/3.txt", "money"), ("pet/0.txt", "pet"), ("pet/2.txt", "pet")
    ]  # fmt: skip
