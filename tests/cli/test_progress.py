"""Long commands say what they are doing, and an interrupt ends them at once with nothing half-written."""

import csv
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import transferkit
from transferkit.cli import _progress
from transferkit.cli._progress import CandidateReport, show_progress

RNG = np.random.default_rng(0)
N_CLASSES = 8


def make_texts(n_texts):
    """Return texts of words, of which one says the class."""
    rest = RNG.integers(0, 500, (n_texts, 8))
    return [" ".join([f"class{i % N_CLASSES}", *(f"word{j}" for j in row)]) for i, row in enumerate(rest.tolist())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an encoder and a table of labelled texts."""
    folder = tmp_path_factory.mktemp("progress")
    texts = make_texts(120)
    transferkit.save(transferkit.WordVectorEncoder(20, min_count=1).fit(texts), folder / "encoder.tk")
    with open(folder / "labelled.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((text, text.split()[0]) for text in texts)])
    return folder


def finetune(folder, before=""):
    """Start the command in a process that does not ignore interrupts, as one in the background would."""
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
from transferkit.cli import main
main(["finetune", "labelled.csv", "-e", "encoder.tk", "-o", "model.tk"])
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )


def interrupt(process, after):
    """Send an interrupt once the process has written a line; return its exit code and the lines that follow."""
    with process:
        for line in process.stderr:
            if line.rstrip("\n") == after:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    return process.returncode, rest


def write_model(folder, content):
    """Write the content of an existing model file, or remove it."""
    path = folder / "model.tk"
    path.unlink(missing_ok=True)
    if content:
        path.write_bytes(content)


def check_untouched(folder, content):
    names = {path.name for path in folder.iterdir()}
    assert names == {"encoder.tk", "labelled.csv"} | ({"model.tk"} if content else set())
    assert content is None or (folder / "model.tk").read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize(
    ("after", "content"),
    [("training on 120 texts", None), ("  strategy scratch", b"a model")],
)
def test_interrupt_ends_finetune_at_once(folder, after, content):
    write_model(folder, content)
    code, rest = interrupt(finetune(folder), after)
    assert code == 130
    assert rest.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in rest
    assert "saving" not in rest
    check_untouched(folder, content)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize(("call", "content"), [("os.fsync", None), ("os.replace", b"a model"), ("import click", None)])
def test_interrupt_while_saving_or_importing_leaves_nothing(folder, call, content):
    write_model(folder, content)
    before = f"""
def interrupt(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)

{call} = interrupt
"""
    if call == "import click":
        before = """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
    with finetune(folder, before) as process:
        lines = process.stderr.read().splitlines()
    assert (process.returncode, lines[-1]) == (130, "Error: interrupted")
    check_untouched(folder, content)


@pytest.mark.filterwarnings("ignore:Transfer did not help")
def test_finetune_says_in_lines_what_it_tries_without_a_terminal(folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    command = ["finetune", "labelled.csv", "-e", "encoder.tk", "-o", "model.tk"]
    monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 0.0)
    code, _, errors = run(*command, progress=True)
    assert code == 0
    lines = errors.splitlines()
    steps = ["training on 120 texts", "saving"]
    strategies = [f"  strategy {name}" for name in ("term_vectors", "frozen", "scratch")]
    assert [line for line in lines if line in steps + strategies] == [steps[0], *strategies, steps[1]]
    assert any(line.startswith("  term_vectors, candidate 2: C=") for line in lines)
    monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 1e9)
    assert run(*command, progress=True)[2].splitlines() == [steps[0], *strategies, steps[1]]
    assert run(*command, "--quiet", progress=True) == (0, "", "")
    lines = run(*command, "--cv", "2", progress=True)[2].splitlines()
    assert lines == [steps[0], *strategies, steps[1], "evaluating 2 folds", "  fold 1 of 2", "  fold 2 of 2"]


def test_bar_shows_the_step_and_what_it_tries(monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with show_progress("reading", 2, lines=True) as advance:
        advance("training")
        advance.detail("C=1")
        advance.progress.refresh()
    errors = capsys.readouterr().err
    assert "training: C=1" in errors
    assert "━" in errors


def test_nothing_is_shown_without_a_terminal_unless_lines_are_wanted(capsys):
    for options in ({}, {"quiet": True, "lines": True}):
        with show_progress("predicting", 2, **options) as advance:
            advance()
            advance.detail("C=1", is_new=True)
        assert capsys.readouterr().err == ""


def test_lines_do_not_repeat_themselves(capsys):
    with show_progress("reading", 4, lines=True) as advance:
        advance("predicting")
        advance()
        advance("predicting")
        advance("saving")
        advance.detail("soon after another line")
    assert capsys.readouterr().err == "predicting\nsaving\n"


@pytest.mark.filterwarnings("ignore:Transfer did not help")
def test_candidates_are_counted_for_each_strategy():
    shown = []
    texts = make_texts(48)
    model = transferkit.TransferClassifier(transferkit.WordVectorEncoder(5, min_count=1).fit(texts))
    model.set_callbacks(CandidateReport(lambda text, is_new=False: shown.append(text.partition(":")[0])))
    model.fit(texts, [text.split()[0] for text in texts])
    counts = {
        name: (model.strategy_scores_["strategy"] == name).sum() for name in ("term_vectors", "frozen", "scratch")
    }
    expected = []
    for name, count in counts.items():
        expected += [f"strategy {name}", *(f"{name}, candidate {i + 1}" for i in range(count))]
    assert shown == expected


def test_pretrain_says_in_lines_which_steps_are_done(folder, tmp_path, run, monkeypatch):
    command = ["pretrain", folder / "labelled.csv", "-o", tmp_path / "encoder.tk", "--text-column", "text"]
    for options in (["--encoder", "lsa", "--n-components", "2"], ["--encoder", "tfidf+lsa", "--n-components", "2"]):
        monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 0.0)
        lines = run(*command, *options, progress=True)[2].splitlines()
        assert lines[:2] == ["pretraining on 120 texts", "  step 1 of at most 8: counting"]
        assert lines[2].startswith("  step 2 of at most 8: iteration")
        monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 1e9)
        assert run(*command, *options, progress=True)[2].splitlines()[:2] == ["pretraining on 120 texts", "saving"]
    monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 0.0)
    lines = run(*command, "--teacher", folder / "encoder.tk", progress=True)[2].splitlines()
    assert "  step 1 of at most 13: counting" in lines
    assert any(line.startswith("  step 1 of at most") and line.endswith(": texts") for line in lines)


@pytest.mark.filterwarnings("ignore:Transfer did not help")
def test_finetune_says_in_lines_which_fold_it_fits(folder, tmp_path, run):
    command = ["finetune", folder / "labelled.csv", "-e", folder / "encoder.tk", "-o", tmp_path / "model.tk"]
    lines = run(*command, "--strategy", "frozen", "--coverage", "0.9", "--cv", "2", progress=True)[2].splitlines()
    lines = [line.strip() for line in lines if "candidate" not in line]
    fits = [line for line in lines if line.startswith(("all", "fold", "strategy"))]
    of_thresholds = ["all samples", *(f"fold {i}" for i in range(1, 6))]
    expected = [part for name in of_thresholds for part in (name, "strategy frozen")]
    assert fits == [*expected, "fold 1 of 2", "fold 2 of 2"]


def test_predictions_of_many_texts_are_counted_in_lines(folder, saved_model, run, tmp_path, monkeypatch):
    texts = ["the cat", "the stock"] * 1250
    with open(tmp_path / "texts.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((text, "pet") for text in texts)])
    expected = ["  1,000 of 2,500 texts", "  2,000 of 2,500 texts", "  2,500 of 2,500 texts"]
    for command in (
        ["predict", saved_model, tmp_path / "texts.csv"],
        ["evaluate", saved_model, tmp_path / "texts.csv"],
    ):
        monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 0.0)
        errors = run(*command, progress=True)[2].splitlines()
        assert [line for line in errors if " of 2,500 texts" in line] == expected
        monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_DETAILS", 10.0)
        assert not [line for line in run(*command, progress=True)[2].splitlines() if " of 2,500 texts" in line]


def test_suggest_says_in_a_line_what_it_compares(folder, tmp_path, run):
    command = ["suggest", folder / "labelled.csv", "-e", folder / "encoder.tk", "-o", tmp_path / "to_label.csv"]
    assert run(*command, progress=True)[2].splitlines() == ["comparing 120 texts"]
