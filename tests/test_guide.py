"""The sessions of the documentation run, and print the output that it shows."""

import contextlib
import doctest
import io
import re
import shlex
import sys
import urllib.parse
import warnings
from pathlib import Path

import pytest

from transferkit import datasets
from transferkit.cli import main, make_app

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(pycon|console)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
OTHERS = {
    "mistakes"
}  # tests/cli/test_mistakes.py runs these commands, each in a folder with the files that it is about
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.stem not in OTHERS and BLOCK.search(page.read_text(encoding="utf-8"))
]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
TOLERANCE = 0.5  # of a number that a command prints, relative to the page: scikit-learn's docstrings change


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).with_suffix("").as_posix())
def test_sessions_print_what_they_show(page, tmp_path, monkeypatch, load_docstrings_once):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_docstrings", load_docstrings_once)
    values, found = {}, []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind == "pycon":
                test = doctest.DocTestParser().get_doctest(block, values, page.stem, str(page), 0)
                doctest.DocTestRunner(optionflags=FLAGS).run(test, out=found.append, clear_globs=False)
                values = test.globs
            else:
                for command, wanted in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE):
                    printed = run_command(shlex.split(command), monkeypatch)
                    if not is_close(wanted, printed):
                        found.append(f"{command}printed\n{printed}")
    assert "".join(found) == ""


def run_command(words, monkeypatch):
    """Return what a command of the package or a request to its server, made by curl, writes."""
    if words[0] == "curl":
        return request(words[1:])
    assert words[0] == "transferkit"
    out, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as end:
        main(words[1:])
    assert end.value.code == 0, errors.getvalue()
    return out.getvalue()


def request(words):
    client = pytest.importorskip("fastapi.testclient").TestClient(make_app("model.tk"))
    path = urllib.parse.urlsplit("//" + words[0]).path
    options = dict(zip(words[1::2], words[2::2], strict=True))
    headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
    return client.request("POST" if "-d" in options else "GET", path, content=options.get("-d"), headers=headers).text


def is_close(wanted, printed):
    """Return whether two outputs agree apart from times, and from numbers that differ by little."""
    wanted, printed = (re.sub(r"\d[\d.]* s\b", "# s", text) for text in (wanted, printed))
    if not doctest.OutputChecker().check_output(NUMBER.sub("#", wanted), NUMBER.sub("#", printed), FLAGS):
        return False
    numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (wanted, printed)]
    return all(abs(a - b) <= TOLERANCE * abs(a) for a, b in zip(*numbers, strict=False))


def test_outputs_are_compared_by_words_and_numbers():
    assert is_close("0.72 in 3 s, ...", "0.70 in 9.5 s, 1, 2")
    assert not is_close("0.72 in 3 s", "0.30 in 3 s")
    assert not is_close("0.72 in 3 s", "0.72 of 3 s")


def test_guide_has_sessions():
    assert {page.stem for page in PAGES} >= {"pretrain", "finetune", "choose", "explain", "save", "scale", "tutorial"}


def test_every_page_of_the_guides_has_a_line_of_description():
    for index in (DOCS / "guide" / "index.md", DOCS / "how-to" / "index.md"):
        text = index.read_text(encoding="utf-8")
        described = set(re.findall(r"^- \[[^\]]+\]\((?:\.\./)?([\w-]+)\.md\): \S", text, flags=re.MULTILINE))
        assert described >= {page.stem for page in index.parent.glob("*.md")} - {"index"}


def test_guide_knows_every_example():
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    named = set(re.findall(r"gallery/(\w+)\.rst", text)) - {"index"}
    there = {path.stem for path in (DOCS.parent / "examples").glob("[0-9]*.py")}
    assert named <= there
