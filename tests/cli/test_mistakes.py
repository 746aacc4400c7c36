"""The page of the commonest mistakes shows what the commands say, in the words of their options."""

import re
import shlex
import warnings
from pathlib import Path

import pytest

import transferkit
from transferkit import LogisticHead, TfidfEncoder, TransferClassifier
from transferkit.cli._output import print_warning, to_options

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "mistakes.md"
MISTAKES = re.findall(r"```console\n\$ transferkit (.+?)\n(Error: .+?)\n```", PAGE.read_text(encoding="utf-8"), re.S)
TEXTS = ["the cat is here", "the cow is there", "a cat and a cow", "the stock is up", "the bond is down", "a stock"]
LABELS = ["pet"] * 3 + ["money"] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which the commands of the page run."""
    folder = tmp_path_factory.mktemp("mistakes")
    rows = [f"{text},{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    files = {
        "labelled.csv": ["text,label", *rows],
        "pets.csv": ["text,label", *rows[:3]],
        "header.csv": ["text,label"],
        "to_label.csv": ["text,label", *(f"{text}," for text in TEXTS)],
        "reviews.csv": ["text,label", "a good film,positive", "a bad film,negative"],
        "classes.json": ['{"pets": "cat", "money": "stock"}'],
        "corpus.txt": TEXTS,
        "tiny.txt": ["one text", "another line"],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    encoder = TfidfEncoder().fit(TEXTS)
    transferkit.save(encoder, folder / "encoder.tk")
    transferkit.save(
        TransferClassifier(encoder, LogisticHead(), strategy="frozen").fit(TEXTS, LABELS), folder / "model.tk"
    )
    return folder


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_mistakes_have_the_message_of_the_page(command, message, folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    code, out, error = run(*shlex.split(command))
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert find_words(message) == find_words(error)
    assert sorted(path.name for path in folder.iterdir()) == before


def find_words(message):
    """Return the words without punctuation at their ends, which differs between versions of click."""
    return [word.strip("'\".:,?") for word in message.split()]


def test_the_page_has_twenty_mistakes():
    assert len(MISTAKES) == PAGE.read_text(encoding="utf-8").count("```console") == 20


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("The 'n_components' parameter of LSAEncoder must be 1.", "--n-components must be 1."),
        ("min_count=2 words. Use a lower min_count, or strategy='auto'.", "--min-df 2 words. Use a lower --min-df, or "
         "--strategy auto."),
        ("class_descriptions of class_descriptions_ and a strategy of one's own", "--descriptions of "
         "class_descriptions_ and a strategy of one's own"),
        ("in Python by A(x='y').fit(), on the command line by transferkit pretrain.", "by transferkit pretrain."),
        ("name it: trusted=['a.B'] in Python, --trusted a.B on the command line.", "name it: --trusted a.B."),
        ("of one, use SentenceEncoder('a') in Python, or make a model file of it, transferkit pretrain, on the command "
         "line.", "of one, make a model file of it: transferkit pretrain."),
        ("n=20 of method='typical'", "-n 20 of --method typical"),
    ],
)  # fmt: skip
def test_parameters_become_options(message, expected):
    assert to_options(message) == expected


def test_warnings_are_one_line_without_paths(run, monkeypatch, capsys):
    monkeypatch.setattr(transferkit, "describe", lambda path: warnings.warn("of min_df=2\nlines", UserWarning, 1) or "")
    with warnings.catch_warnings(action="always"):
        code, _, error = run("describe", "model.tk")
    assert (code, error) == (0, "Warning: of --min-df 2 lines\n")
    assert warnings.showwarning is not print_warning
