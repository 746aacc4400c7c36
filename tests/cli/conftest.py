"""The command line as a function."""

import io
import re
import sys

import pytest

import transferkit
from transferkit.cli import main

PROGRESS = re.compile(r"(  |training on|pretraining on|learning from|saving|evaluating|comparing).*\n")


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that runs the command line and returns exit code, output and errors, without progress."""

    def run(*args, stdin="", progress=False):
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        output, errors = capsys.readouterr()
        if not progress:
            errors = "".join(line for line in errors.splitlines(keepends=True) if not PROGRESS.fullmatch(line))
        return stop.value.code, output, errors

    return run


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The path of a model of classes "pet" and "money", which tests only read."""
    path = tmp_path_factory.mktemp("saved") / "model.tk"
    texts, labels = ["the cat is here", "the stock again", "the cow is there", "the bond"], ["pet", "money"] * 2
    model = transferkit.TransferClassifier(head=transferkit.LogisticHead(), strategy="scratch")
    transferkit.save(model.fit(texts, labels), path)
    return path
