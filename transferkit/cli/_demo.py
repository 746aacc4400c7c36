"""The demo: eight sentences and the English encoder; then own texts, and four tasks with few labels beside scratch."""

import dataclasses
import json
import subprocess
import sys
import time
import warnings

import click
import numpy as np

import transferkit
from transferkit.cli._options import make_encoder
from transferkit.cli._progress import show_progress
from transferkit.exceptions import MissingExtraError

__all__ = ["run_demo"]

_SENTENCES = {
    "praise": ("friendly staff", "a lovely quiet room", "we enjoyed the breakfast", "great value for the price"),
    "complaint": ("rude staff", "a dirty and noisy room", "we waited an hour", "far too expensive"),
}
_NEW_SENTENCES = ("delicious dinner", "the shower was broken", "charming and helpful hosts", "a horrible smell")
_LABELS_PER_CLASS = (4, 16, 64)
STRATEGIES = {"transfer": "auto", "scratch": "scratch"}
_N_DRAWS = 3
_MOST_LABELS_DRAWN_AGAIN = 16  # per class; a draw of more takes as long as all others, and varies less
_MOST_TEST_TEXTS = 1000
_COLUMNS = (  # of the table, after the task
    "classes", "labels\nper class", "accuracy\ntransfer", "\nscratch", "\ngain", "macro F1\ntransfer", "\nscratch",
    "seconds to train\ntransfer", "\nscratch",
)  # fmt: skip


@dataclasses.dataclass
class _Task:
    """Labelled texts: some to draw training sets from, some to test on."""

    name: str
    labels: np.ndarray  # (n_docstrings,), "" for those outside the task
    train: np.ndarray  # positions
    test: np.ndarray

    @property
    def classes(self):
        return np.unique(self.labels[self.train])


def run_demo(folder, *, quiet=False, labels_per_class=_LABELS_PER_CLASS, packages=None):
    """Show the English encoder; pretrain, fine-tune, compare, plot, and predict without torch.

    Files are written to `folder`.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    quiet : bool, default=False
        Print no progress.
    labels_per_class : tuple of int, default=(4, 16, 64)
        Sizes of the training sets.
    packages : list of str, default=None
        Packages whose docstrings are read; by default those of `load_docstrings`.

    Returns
    -------
    results : dict
        All printed figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _show_english()
    with show_progress("starting", 2, quiet=quiet, lines=True) as advance:
        advance("reading docstrings")
        docstrings = transferkit.datasets.load_docstrings(packages, remove_examples=True)
    texts = np.array(docstrings.data, dtype=object)
    held_out = np.random.RandomState(0).rand(len(texts)) < 0.3
    tasks = _make_tasks(docstrings, held_out, most_labels=max(labels_per_class))
    click.echo(f"{len(texts):,} docstrings; {held_out.sum():,} of them are held out, unseen by pretraining.")

    encoder_path = folder / "encoder.tk"
    with show_progress("starting", 2, quiet=quiet, lines=True) as advance:
        advance("pretraining")
        seconds = _timed(lambda: transferkit.save(make_encoder("vectors").fit(texts[~held_out]), encoder_path))[1]
    size = encoder_path.stat().st_size
    click.echo(f"Pretrained once on the others, without labels, in {seconds:.1f} s -> {encoder_path} ({_size(size)})\n")

    runs, models = [], {}
    n_fits = len(tasks) * sum(map(_count_draws, labels_per_class))
    with show_progress("fine-tuning", n_fits, quiet=quiet, lines=True) as advance:
        for n_labels in labels_per_class:  # the fastest ones first
            for task in tasks:
                for draw in range(_count_draws(n_labels)):
                    results, models[task.name] = _compare(task, n_labels, draw, texts, encoder_path)
                    runs += results
                    advance()
                    advance.detail(_write_result(results), is_new=draw == 0)
    _print_table(runs)
    results = {"pretraining_seconds": seconds, "encoder_bytes": size, "runs": runs}
    results["model_bytes"] = _save_models(models, folder)
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    _draw(runs, folder)
    click.echo("\nA fresh process in which torch cannot be imported (the first load imports scikit-learn):")
    click.echo(_predict_without_torch(tasks, texts, folder))
    return results


def _show_english():
    """Fit a few sentences with the encoder of the package, and predict others whose words have no labels."""
    texts = [text for group in _SENTENCES.values() for text in group]
    labels = [label for label, group in _SENTENCES.items() for _ in group]
    model, seconds = _timed(lambda: transferkit.TransferClassifier().fit(texts, labels))
    click.echo(f"{len(texts)} sentences with labels, TransferClassifier().fit(texts, labels), {seconds:.1f} s.")
    click.echo("New sentences, whose telling words are in none of these, by the English encoder of the package:")
    for text, probabilities in zip(_NEW_SENTENCES, model.predict_proba(list(_NEW_SENTENCES)), strict=True):
        click.echo(f"  {text!r} -> {model.classes_[probabilities.argmax()]} ({probabilities.max():.2f})")
    click.echo("\nDocstrings are not ordinary English, so the tasks that follow have an encoder of their own texts.")


def _count_draws(n_labels):
    return _N_DRAWS if n_labels <= _MOST_LABELS_DRAWN_AGAIN else 1


def _write_result(results):
    accuracies = [f"{100 * result['accuracy']:.1f} % {result['strategy']}" for result in results]
    return f"{results[0]['task']}, {results[0]['labels_per_class']} labels per class: {', '.join(accuracies)}"


def _make_tasks(docstrings, held_out, most_labels):
    """Return the tasks that have at least two classes with enough docstrings."""
    package, area = docstrings.package, docstrings.target
    candidates = {
        "package": np.where(package == "joblib", "", package),
        "SciPy area": np.where(package == "scipy", area, ""),
        "sklearn area": np.where(package == "sklearn", area, ""),
        "kind of object": docstrings.kind,
    }
    tasks = []
    for name, labels in candidates.items():
        found, counts = np.unique(labels[~held_out], return_counts=True)
        large = [
            label for label, n in zip(found, counts, strict=True) if label and n >= most_labels and "._" not in label
        ]
        labels = np.where(np.isin(labels, large), labels, "")
        test = np.flatnonzero(held_out & (labels != ""))
        test = np.random.RandomState(0).permutation(test)[:_MOST_TEST_TEXTS]
        if len(large) >= 2:
            tasks.append(_Task(name, labels, np.flatnonzero(~held_out & (labels != "")), test))
    return tasks


def _compare(task, n_labels, draw, texts, encoder_path):
    """Fine-tune on one draw of labels, with transfer and from scratch; return figures and the transfer model."""
    from sklearn.metrics import accuracy_score, f1_score

    random = np.random.RandomState(draw)
    chosen = np.concatenate(
        [random.choice(task.train[task.labels[task.train] == label], n_labels, replace=False) for label in task.classes]
    )
    results, models = [], {}
    for name, strategy in STRATEGIES.items():
        head = transferkit.LogisticHead(C=100.0)  # in both; selecting C as well takes five times as long
        model = transferkit.TransferClassifier(encoder_path, head, strategy=strategy, cv=3)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Transfer did not help")  # shown in the table
            models[name], seconds = _timed(lambda model=model: model.fit(texts[chosen], task.labels[chosen]))
        predicted, truth = model.predict(texts[task.test]), task.labels[task.test]
        results.append(
            {
                "task": task.name,
                "n_classes": len(task.classes),
                "n_test": len(truth),
                "labels_per_class": n_labels,
                "draw": draw,
                "strategy": name,
                "accuracy": float(accuracy_score(truth, predicted)),
                "macro_f1": float(f1_score(truth, predicted, average="macro")),
                "seconds": seconds,
            }
        )
    return results, models["transfer"]


def _print_table(runs):
    from rich.console import Console
    from rich.table import Table

    sizes = sorted({run["labels_per_class"] for run in runs})
    title = f"Transfer compared with the same head from scratch (%; draws of the labels: {_write_draws(sizes)})"
    table = Table(title=title, title_justify="left")
    table.add_column("task")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for task in dict.fromkeys(run["task"] for run in runs):
        for n_labels in sizes:
            chosen = [run for run in runs if run["task"] == task and run["labels_per_class"] == n_labels]
            first = (task, str(chosen[0]["n_classes"])) if n_labels == sizes[0] else ("", "")
            table.add_row(*first, str(n_labels), *_write_means(chosen), end_section=n_labels == sizes[-1])
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    gains = [f"{_mean_gain(runs, n_labels):+.1f} with {n_labels}" for n_labels in sizes]
    click.echo(f"Mean gain over the tasks, in percentage points of accuracy: {', '.join(gains)} labels per class.\n")


def _write_draws(sizes):
    return ", ".join(f"{_count_draws(n_labels)} with {n_labels}" for n_labels in sizes)


def _write_means(runs):
    """Return the cells from "accuracy" on: means over the draws of one task and number of labels."""
    mean = {
        (key, name): np.mean([run[key] for run in runs if run["strategy"] == name])
        for key in ("accuracy", "macro_f1", "seconds")
        for name in STRATEGIES
    }
    accuracy = [100 * mean["accuracy", name] for name in STRATEGIES]
    return [
        *(f"{value:.1f}" for value in accuracy),
        f"{accuracy[0] - accuracy[1]:+.1f}",
        *(f"{100 * mean['macro_f1', name]:.1f}" for name in STRATEGIES),
        *(f"{mean['seconds', name]:.2f}" for name in STRATEGIES),
    ]


def _mean_gain(runs, n_labels):
    accuracies = {
        name: [run["accuracy"] for run in runs if (run["labels_per_class"], run["strategy"]) == (n_labels, name)]
        for name in STRATEGIES
    }
    return 100 * (np.mean(accuracies["transfer"]) - np.mean(accuracies["scratch"]))


def _save_models(models, folder):
    sizes = {}
    for name, model in models.items():
        path = _model_path(folder, name)
        transferkit.save(model, path)
        sizes[name] = path.stat().st_size
        click.echo(f"{path} ({_size(sizes[name])}, all that is needed to predict)")
    return sizes


def _draw(runs, folder):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        click.echo(f"No plot: {MissingExtraError('Plotting learning curves', 'plot')}")
        return
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    figure = Figure(figsize=(4 * len(tasks), 3.8), layout="constrained")  # no pyplot: no global state
    FigureCanvasAgg(figure)
    for panel, task in zip(figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0], tasks, strict=True):
        sizes = sorted({run["labels_per_class"] for run in runs})
        scores = {name: [_accuracies(runs, task, size, name) for size in sizes] for name in STRATEGIES}
        # The display takes as many draws of every size.
        scores = {name: [(draws * _N_DRAWS)[:_N_DRAWS] for draws in values] for name, values in scores.items()}
        transferkit.TransferCurveDisplay(sizes, scores, score_name="accuracy on held-out docstrings, %").plot(panel)
        panel.set_title(task)
        panel.label_outer()
    figure.savefig(folder / "learning_curves.png", dpi=120)
    click.echo(f"{folder / 'learning_curves.png'} (learning curves)")


def _accuracies(runs, task, n_labels, name):
    wanted = (task, n_labels, name)
    return [100 * run["accuracy"] for run in runs if (run["task"], run["labels_per_class"], run["strategy"]) == wanted]


_WITHOUT_TORCH = """
import sys, json, time

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch cannot be imported here")

sys.meta_path.insert(0, NoTorch())
import transferkit
jobs = json.load(sys.stdin)
for path, text, truth in jobs:
    start = time.perf_counter()
    model = transferkit.load(path)
    loaded = time.perf_counter()
    label = model.predict([text])[0]
    end = time.perf_counter()
    first = " ".join(text.split())[:60]
    print(f"  {first!r}... -> {label} (truth: {truth}); {1e3 * (loaded - start):.0f} ms to load, "
          f"{1e3 * (end - loaded):.0f} ms to predict")
"""


def _predict_without_torch(tasks, texts, folder):
    jobs = [
        (str(_model_path(folder, task.name)), texts[task.test[0]], str(task.labels[task.test[0]])) for task in tasks
    ]
    command = [sys.executable, "-c", _WITHOUT_TORCH]
    result = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"The process without torch failed:\n{result.stderr}")
    return result.stdout.rstrip()


def _model_path(folder, task_name):
    return folder / f"{task_name.replace(' ', '_')}.tk"


def _timed(function):
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def _size(n_bytes):
    return f"{n_bytes / 1e6:.1f} MB"
