"""The demo runs to its end and shows figures that it measured."""

import contextlib
import io
import json

import numpy as np
import pytest

import transferkit
from transferkit.cli import _demo
from transferkit.cli._demo import run_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return the folder of a short demo, its results, and what it wrote to both streams."""
    folder = tmp_path_factory.mktemp("demo")
    out, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(_demo, "_N_DRAWS", 2)
        patch.setattr(_demo, "_MOST_LABELS_DRAWN_AGAIN", 4)
        results = run_demo(folder, labels_per_class=(4, 16), packages=["joblib", "sklearn"])
    return folder, results, out.getvalue(), errors.getvalue()


def test_demo_compares_three_tasks_and_leaves_its_files(demo):
    folder, results, *_ = demo
    tasks = {run["task"] for run in results["runs"]}
    assert tasks >= {"sklearn area", "kind of object"}
    assert {(run["labels_per_class"], run["strategy"]) for run in results["runs"]} == {
        (n, strategy) for n in (4, 16) for strategy in ("transfer", "scratch")
    }
    assert all(0 < run["accuracy"] < 1 and run["seconds"] > 0 for run in results["runs"])
    assert (folder / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "results.json").read_text()) == results
    for task, size in results["model_bytes"].items():
        path = folder / f"{task.replace(' ', '_')}.tk"
        assert path.stat().st_size == size
        assert "TfidfEncoder" in str(transferkit.describe(path))


def test_english_encoder_is_shown_first(capsys):
    seen = {word for texts in _demo._SENTENCES.values() for text in texts for word in text.split()}
    assert not seen & {"delicious", "dinner", "shower", "broken", "charming", "helpful", "hosts", "horrible", "smell"}
    _demo._show_english()
    shown = capsys.readouterr().out
    answers = [line.split(" -> ")[1].split()[0] for line in shown.splitlines() if " -> " in line]
    assert answers == ["praise", "complaint", "praise", "complaint"]


def test_more_labels_help_on_average(demo):
    _, results, *_ = demo
    runs = [run for run in results["runs"] if run["strategy"] == "transfer"]
    mean = {n: np.mean([run["accuracy"] for run in runs if run["labels_per_class"] == n]) for n in (4, 16)}
    assert mean[16] > mean[4]


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    _demo._draw([], tmp_path)
    assert "pip install 'transferkit[plot]'" in capsys.readouterr().out


def test_results_are_shown_as_they_come_without_a_terminal(demo):
    _, results, output, errors = demo
    steps = errors.splitlines()
    assert steps[:2] == ["reading docstrings", "pretraining"]
    assert steps[2].startswith("  sklearn area, 4 labels per class: ")
    sizes = [run["labels_per_class"] for run in results["runs"]]
    assert sizes == sorted(sizes)
    n_tasks = len(results["model_bytes"])
    assert [step.split(" % transfer")[0].split(": ")[0] for step in steps[2:]].count(
        "  kind of object, 16 labels per class"
    ) == 1
    assert sizes.count(4) == 2 * 2 * n_tasks
    assert sizes.count(16) == 2 * n_tasks
    assert "draws of the labels: 2 with 4, 1 with 16" in output
