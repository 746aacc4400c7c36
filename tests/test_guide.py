"""The sessions in the guide run, and print the output that it shows."""

import doctest
import re
import warnings
from pathlib import Path

import pytest

from transferkit import datasets

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "```pycon" in page.read_text(encoding="utf-8")]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sessions_print_what_they_show(page, tmp_path, monkeypatch, load_docstrings_once):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_docstrings", load_docstrings_once)
    text = page.read_text(encoding="utf-8")
    sessions = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(sessions, {}, page.stem, str(page), 0)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=found.append)
    assert "".join(found) == ""


def test_guide_has_sessions():
    assert {page.stem for page in PAGES} >= {"pretrain", "finetune", "choose", "explain", "save", "scale"}


def test_guide_knows_every_example():
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    named = set(re.findall(r"gallery/(\w+)\.rst", text)) - {"index"}
    there = {path.stem for path in (DOCS.parent / "examples").glob("[0-9]*.py")}
    assert named <= there
