"""The command line as a function."""

import io
import sys

import pytest

import transferkit
from transferkit.cli import main


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that runs the command line and returns exit code, output and errors."""

    def run(*args, stdin=""):
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The path of a model of classes "pet" and "money", which tests only read."""
    path = tmp_path_factory.mktemp("saved") / "model.tk"
    texts, labels = ["the cat is here", "the stock again", "the cow is there", "the bond"], ["pet", "money"] * 2
    model = transferkit.TransferClassifier(head=transferkit.LogisticHead(), strategy="scratch")
    transferkit.save(model.fit(texts, labels), path)
    return path
