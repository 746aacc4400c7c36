"""The command line as a function."""

import io
import sys

import pytest

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
