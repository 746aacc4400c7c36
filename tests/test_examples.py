"""The examples run, print what they promise, and are what sphinx-gallery can show."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from transferkit import datasets

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))

# A line that each prints, with figures left out, as evidence that it came to its end.
LAST_LINES = {
    "01": r"gain \(percentage points\): \[.*\]",
    "02": r"\{'area': '\S+', 'kind': '\S+', 'package': '\S+'\}",
    "03": r"best on 1?\d{3} test texts: \d\d\.\d%",
    "04": r"test accuracy: best C \d\d\.\d%, average \d\d\.\d%",
    "05": r" 500 rows: mean error on the network \d\.\d degrees, on pixels \d\.\d",
    "06": r" +64 +\d\d\.\d% +\d\d\.\d%  \(t.*\)",
    "07": r"decay from 256 .*%",
    "08": r"fitted into a budget \['.*'\]",
    "09": r"autoencoder +16 features  \d\d\.\d%",
    "10": r"20 of \d+ vectors read",
    "11": r"  its first choice loses \d+\.\d percentage points to the best",
    "12": r"words of the text in no labelled text: \[.*\]",
    "13": "/explain see the plot",
    "14": r"answers \d+% of the texts that belong to no class",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_example_runs(path, tmp_path, monkeypatch, capsys, load_docstrings_once):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    if path.stem.startswith("13"):
        pytest.importorskip("fastapi")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [path.name])
    monkeypatch.setattr(datasets, "load_docstrings", load_docstrings_once)
    monkeypatch.delenv("TRANSFERKIT_20NEWSGROUPS", raising=False)
    try:
        runpy.run_path(str(path), run_name="__main__")
        assert pyplot.get_fignums(), "the gallery has a picture of each example"
    finally:
        pyplot.close("all")
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert re.fullmatch(LAST_LINES[path.stem[:2]], lines[-1]), lines[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_has_a_title(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
    assert lines[0] == '"""'
    assert lines[1].startswith(path.stem[:2] + " ")
    assert lines[2] == "=" * len(lines[1])
    assert "# %%" in lines


def test_examples_are_numbered_without_gaps():
    assert [path.stem[:2] for path in EXAMPLES] == [f"{n:02d}" for n in range(1, len(EXAMPLES) + 1)]
