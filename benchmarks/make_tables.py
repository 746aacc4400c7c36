"""Write the tables of figures in the README and the documentation, and the picture of transfer, from the results.

Run ``python benchmarks/make_tables.py`` after a benchmark; ``--check`` writes nothing and fails if a table differs from
the results. A table is between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``. If a rival was not measured,
its cells are empty; if a figure of transferkit is missing, an error names the file and the key.
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

import scale_tables

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAGES = ("README.md", "docs/figures.md", "docs/scale.md")
MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
NEWS = "11,314 x 130,107 sparse rows, 20 classes"
DOCSTRINGS = "6,443 x 256 dense rows, 40 classes"


class MissingFigureError(KeyError):
    """A file of results lacks a figure of transferkit."""

    def __str__(self):
        return str(self.args[0])


class Results:
    """Files of results, each read on first access."""

    def __init__(self, folder=RESULTS):
        self.folder, self.read = folder, {}

    def get(self, file, *keys, optional=False):
        """Return a value; with `optional`, None if it is missing."""
        path = self.folder / f"bench_{file}.json"
        if file not in self.read:
            self.read[file] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        value = self.read[file]
        for depth, key in enumerate(keys):
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                if optional:
                    return None
                place = " -> ".join(map(str, keys[: depth + 1]))
                raise MissingFigureError(f"{path.name} has no figure at {place}") from None
        return value


def write_speeds(results, rows):
    """Return a table of tasks with our time, the rival's time and their ratio."""
    lines = ["| task | time | rival | rival's time | speed-up | results: ours / rival's |", "|---|--:|---|--:|--:|---|"]
    for what, rival, ours, theirs, quality in rows:
        seconds, its_seconds = results.get(*ours), results.get(*theirs, optional=True)
        seconds, its_seconds = (statistics.median(s) if isinstance(s, list) else s for s in (seconds, its_seconds))
        scale = SCALES.get(ours[-2] if len(ours) > 1 else "", SCALES.get(ours[1], 1.0))
        cells = [what, duration(seconds * scale), rival]
        cells += ["", ""] if its_seconds is None else [duration(its_seconds * scale), factor(its_seconds / seconds)]
        lines.append("| " + " | ".join([*cells, quality(results)]) + " |")
    return "\n".join(lines)


SCALES = {"one_short_text_microseconds": 1e-6, "load_ms": 1e-3, "one_text_ms": 1e-3, "process_ms": 1e-3}


def duration(seconds):
    """Return seconds with a unit and at most three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            value = seconds / size
            return f"{value:.0f}\N{NO-BREAK SPACE}{unit}" if value >= 100 else f"{value:.1f}\N{NO-BREAK SPACE}{unit}"
    raise AssertionError


def factor(value):
    """Return a ratio with two significant digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def flag(file, *keys, word):
    """Return a function that writes `word` if the results confirm it."""
    return lambda results: word if results.get(file, *keys) else "not equal"


def pair(first, second, form="{:.3f}", word=""):
    """Return a function that writes our figure and the rival's."""

    def write(results):
        values = [results.get(*keys, optional=index == 1) for index, keys in enumerate((first, second))]
        values = [max(v) if isinstance(v, list) else v for v in values]
        return f"{word} " + " / ".join("" if value is None else form.format(value) for value in values)

    return write


def nothing(results):
    return ""


def text_row(what, corpus, case):
    key = f"{corpus}, {case}"
    fits = ("text", key, "fit_transform")
    ours, theirs = (*fits, "transferkit, 2 threads", "seconds"), (*fits, "scikit-learn", "seconds")
    return what, "`TfidfVectorizer`", ours, theirs, flag("text", key, "equal", word="equal matrix")


def heads_row(what, case, ours="LogisticHead", theirs="LogisticRegression"):
    key = ("heads", case, "seconds")
    quality = flag("heads", case, "equal_objective", word="same or lower loss")
    return what, f"`{theirs}`", (*key, ours), (*key, theirs), quality


def fair_row(name):
    key = ("heads", "search-fair", "searches")
    word, figure = "max. abs. error of CV scores, percentage points", "largest_error_of_mean_scores_in_points"
    quality = pair((*key, "LogisticHeadCV", figure), (*key, name, figure), "{:.1f}", word)
    what = "search over 10 C x 5 folds, 1,000 x 64, 20 classes"
    return what, f"`{name}`", (*key, "LogisticHeadCV", "seconds"), (*key, name, "seconds"), quality


def few_row(what, case):
    key = ("heads", "search-few", case)
    quality = pair((*key, "best_score", "LogisticHeadCV"), (*key, "best_score", "GridSearchCV"), "{:.1%}", "best score")
    return what, "`GridSearchCV`", (*key, "seconds", "LogisticHeadCV"), (*key, "seconds", "GridSearchCV"), quality


def adaptation_row(what, case, word, rival="skada", form="{:.2f}"):
    key = ("adaptation", "speed", case)
    quality = pair((*key, "judged", "ours"), (*key, "judged", "rival"), form, word)
    return what, rival, (*key, "ours"), (*key, "rival"), quality


def training_row(what, case, rival="skorch", file="training"):
    accuracy = (file, case, "accuracy")
    quality = pair((*accuracy, "transferkit"), (*accuracy, rival), "{:.1%}", "accuracy")
    return what, rival, (file, case, "seconds", "transferkit"), (file, case, "seconds", rival), quality


def words_row(what, method):
    rival = "gensim Word2Vec"
    quality = pair(
        ("word_vectors", method, "similarity", "mean"), ("word_vectors", rival, "similarity", "mean"), word="Spearman"
    )
    ours, theirs = (("word_vectors", name, "seconds") for name in (method, rival))
    return f"word vectors of 8.9 M words, {what}", "gensim `Word2Vec`, 5 epochs", ours, theirs, quality


def unsupervised_row(what, case, ours, theirs, figure, word, form="{:.3g}"):
    key = ("unsupervised", case)
    quality = pair((*key, ours, figure), (*key, theirs, figure), form, word)
    return what, theirs, (*key, ours, "seconds"), (*key, theirs, "seconds"), quality


def serving_row(what, figure):
    key = ("serving", "table", figure)
    return what, "`TfidfVectorizer` and `LogisticRegression`, joblib", (*key, "transferkit"), (*key, "joblib"), nothing


TEXT = [
    text_row("TF-IDF of 20 Newsgroups, words", "20newsgroups", "words"),
    text_row("the same, 1-2-grams", "20newsgroups", "word 1-2-grams"),
    text_row("the same, char_wb 3-5-grams", "20newsgroups", "char_wb 3-5-grams"),
    (
        "TF-IDF of one short text",
        "`TfidfVectorizer`",
        ("text", "20newsgroups, words", "one_short_text_microseconds", "transferkit"),
        ("text", "20newsgroups, words", "one_short_text_microseconds", "scikit-learn"),
        nothing,
    ),
    (
        "LSA of 9,077 docstrings, 64 components",
        "`TfidfVectorizer`, `TruncatedSVD`",
        ("text", "docstrings, LSA", "fit", "transferkit, 2 threads", "seconds"),
        ("text", "docstrings, LSA", "fit", "scikit-learn", "seconds"),
        pair(
            ("text", "docstrings, LSA", "fit", "transferkit, 2 threads", "captured_energy"),
            ("text", "docstrings, LSA", "fit", "scikit-learn", "captured_energy"),
            "{:.1%}",
            "energy",
        ),
    ),
]
HEADS = [
    heads_row(f"logistic regression, {NEWS}", "sparse"),
    heads_row(f"logistic regression, {DOCSTRINGS}", "dense"),
    heads_row("logistic regression, 50 labels per sample, dense", "multilabel", theirs="OneVsRestClassifier"),
    fair_row("GridSearchCV, tol=1e-6"),
    fair_row("GridSearchCV, default tol"),
    fair_row("LogisticRegressionCV"),
    few_row("search on few labels, 160 texts x 130,107 sparse", "sparse"),
    few_row("search on few labels, 100 digits x 512 dense", "dense"),
    *(
        training_row(f"{name}, batches of {batch:,}", f"{case}-{batch}")
        for name, case in (("linear layer", "linear"), ("network (256, 128)", "mlp"))
        for batch in (64, 1024)
    ),
    training_row("network on 130,107 sparse features, to the accuracy of skorch after one epoch", "sparse"),
]
INERTIA = ("inertia", "inertia", "{:,.0f}")
UNSUPERVISED = [
    words_row("factorised", "ppmi-svd"),
    words_row("GloVe", "glove"),
    words_row("skip-gram", "sgns"),
    unsupervised_row("k-means of 100,000 image patches x 243, k = 256", "kmeans", "KMeansEncoder", "KMeans", *INERTIA),
    unsupervised_row("the same", "kmeans", "KMeansEncoder", "MiniBatchKMeans(4096)", *INERTIA),
    unsupervised_row(
        "self-organising map of the digits, 12 x 12, ending at radius 1",
        "som",
        "SOMEncoder, final_radius=1",
        "MiniSom, 50 epochs",
        "quantisation_error",
        "quantisation error",
    ),
    unsupervised_row(
        "denoising autoencoder of the digits, same network and epochs",
        "autoencoder",
        "AutoencoderEncoder",
        "skorch",
        "mean_squared_error",
        "squared error",
        "{:.4f}",
    ),
]
SERVING = [
    serving_row("load a model of 130,107 terms and 20 classes", "load_ms"),
    serving_row("predict one short text with it", "one_text_ms"),
    serving_row("start a process, import, load and predict", "process_ms"),
]
SHORT = [TEXT[0], HEADS[0], HEADS[3], UNSUPERVISED[0], UNSUPERVISED[3], SERVING[0]]
GPU = [
    (
        f"logistic regression, {NEWS}",
        "`LogisticRegression`, 16 cores",
        ("heads_h100", "sparse", "seconds", "LogisticHead"),
        ("heads_h100", "sparse", "seconds", "LogisticRegression"),
        flag("heads_h100", "sparse", "equal_objective", word="same or lower loss"),
    ),
    (
        "search over 10 C x 5 folds of the same data",
        "`GridSearchCV`, 16 cores",
        ("heads_h100", "search-sparse", "seconds", "LogisticHeadCV"),
        ("heads_h100", "search-sparse", "seconds", "GridSearchCV"),
        nothing,
    ),
    training_row("linear layer, batches of 1,024", "linear-1024", file="training_h100"),
    training_row("network (256, 128), batches of 1,024", "mlp-1024", file="training_h100"),
    training_row("the same, batches of 64", "mlp-64", file="training_h100"),
]
TASK_NAMES = {
    "ag_news_subset": "AG News subset",
    "sst2": "SST-2",
    "20newsgroups": "20 Newsgroups",
    "docstrings": "docstrings",
}
COLUMNS = ("scratch", "frozen", "term_vectors", "finetune", "auto", "fastText", "gensim", "scikit-learn")


def write_transfer(size):
    """Return a function that writes the accuracies of all strategies for a number of labels per class."""

    def write(results):
        table = results.get("transfer", "accuracy", size, optional=True)
        if not table:
            return "Not measured yet."
        draws = results.get("transfer", "draws", size)
        columns = [column for column in COLUMNS if any(column in row for row in table.values())]
        lines = ["| task | draws | " + " | ".join(columns) + " |", "|---|--:|" + "--:|" * len(columns)]
        for task, row in table.items():
            best = max(row.values())
            cells = [
                "" if c not in row else f"**{row[c]:.1f}**" if row[c] == best else f"{row[c]:.1f}" for c in columns
            ]
            lines.append(f"| {TASK_NAMES.get(task, task.upper())} | {draws[task]} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    return write


def write_grid(file, *keys, first, form="{:.1f}"):
    """Return a function that writes a dict of dicts of numbers as a table."""

    def write(results):
        table = results.get(file, *keys, optional=True)
        if not table:
            return "Not measured yet."
        rows = {name: row for name, row in table.items() if isinstance(row, dict)}
        columns = list(dict.fromkeys(c for row in rows.values() for c, v in row.items() if isinstance(v, int | float)))
        lines = [
            f"| {first} | " + " | ".join(c.replace("_", " ").replace(" a class", " per class") for c in columns) + " |"
        ]
        lines.append("|---|" + "--:|" * len(columns))
        for name, row in rows.items():
            cells = [form.format(row[c]) if isinstance(row.get(c), int | float) else "" for c in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    return write


def write_adaptation(*parts):
    """Return a function that writes accuracies without adaptation, with each method, and with target labels."""

    def write(results):
        summary = results.get("adaptation", "summary", optional=True) or {}
        summary = {name: values for name, values in summary.items() if name.partition(",")[0] in parts}
        columns = list(dict.fromkeys(method for values in summary.values() for method in values["mean"]))
        lines = ["| pairs of domains | n | " + " | ".join(columns) + " | gain of auto | worst |"]
        lines.append("|---|--:|" + "--:|" * (len(columns) + 2))
        for name, values in summary.items():
            cells = [f"{values['mean'][c]:.1f}" if c in values["mean"] else "" for c in columns]
            cells += [f"{values['gain']:+.1f}", f"{values['worst']:+.1f}"]
            lines.append(f"| {name} | {values['n_pairs']} | " + " | ".join(cells) + " |")
        return "\n".join(lines) if summary else "Not measured yet."

    return write


def write_choices(results):
    """Return the mean accuracy on shifted digits of the methods that skada's scorers and ours select."""
    found = {"transferkit, auto": [], "no adaptation": []}
    for shift in results.get("adaptation", "digits", optional=True) or {}:
        for name, method in (("transferkit, auto", "auto"), ("no adaptation", "none")):
            found[name].append(results.get("adaptation", "digits", shift, method, "accuracy"))
    for methods in (results.get("adaptation", "skada", optional=True) or {}).values():
        for method, values in methods.items():
            found.setdefault(f"skada, {method}", []).append(values["accuracy"])
    lines = [f"| {name} | {sum(values) / len(values):.1f} |" for name, values in found.items() if values]
    return "\n".join(["| digits, all shifts | accuracy |", "|---|--:|", *lines])


def write_files(results):
    """Return sizes of the files of one model."""
    sizes = dict(results.get("serving", "table", "file_mb"))
    for name, size in (results.get("serving", "smaller_files", "file_mb", optional=True) or {}).items():
        sizes[f"transferkit, {name}"] = size
    rows = "\n".join(f"| {name} | {size:.1f} |" for name, size in sizes.items())
    return f"| file of the model | MB |\n|---|--:|\n{rows}"


def write_load(results):
    """Return a table of the load test of the server."""
    load = results.get("serving", "load_test")
    memory, latency = load["memory_mb"], load["latency_ms"]
    lines = {
        "clients": load["clients"],
        "seconds": f"{load['seconds']:.0f}",
        "requests": f"{load['requests']:,}",
        "errors": load["errors"],
        "latency, median / 95 % / 99 %": " / ".join(f"{latency[q]:.1f} ms" for q in ("p50", "p95", "p99")),
        "memory at the start / end": f"{memory[0]:.0f} / {memory[-1]:.0f} MB",
    }
    return "| `transferkit serve` | |\n|---|--:|\n" + "\n".join(
        f"| {name} | {value} |" for name, value in lines.items()
    )


def write_scale(make):
    """Return a function that writes a table of docs/scale.md."""
    return lambda results: make(results.get("scale")) if results.get("scale") else "Not measured yet."


def write_machines(*files):
    """Return a function that lists the machines and commits at which result files were measured."""

    def write(results):
        scripts = {}
        for file in files:
            words, commit = describe(results, file)
            script = f"`bench_{file.removesuffix('_h100')}.py`"
            scripts.setdefault(", ".join(words), []).append(f"{script} at {commit}" if commit else script)
        return "\n".join(f"- {machine}: {', '.join(found)}." for machine, found in scripts.items())

    return write


def describe(results, file, versions_of=None):
    """Return the machine, versions and commit that a file was measured with; older files have fewer of them.

    `versions_of` are the packages to name, by default all.
    """
    machine = results.get(file, "run", optional=True) or results.get(file, optional=True) or {}
    if isinstance(machine.get("machine"), dict):
        machine = machine["machine"]
    versions = machine.get("versions") or results.get(file, "versions", optional=True) or {}
    versions = versions or {
        k: v for k, v in machine.items() if k in ("numpy", "scipy", "scikit-learn", "torch", "dask")
    }
    device = machine.get("gpu") or machine.get("device")
    words = [str(machine["processor"])] if machine.get("processor") else []
    words += [f"{machine['cores']} cores"] if machine.get("cores") else []
    words += [str(device)] if device and device not in ("cpu", machine.get("processor"), "x86_64") else []
    words += [f"Python {machine['python']}"] if machine.get("python") else []
    words += [f"{name} {version}" for name, version in versions.items() if versions_of is None or name in versions_of]
    return words or ["not measured yet"], machine.get("commit")


def write_machine(start, file, versions_of=None):
    """Return a function that writes a line on one machine."""

    def write(results):
        words, _ = describe(results, file, versions_of)
        return f"{start} {', '.join(words)}."

    return write


ADAPTATION = [
    adaptation_row("CORAL, covariances as they are", "CORAL", "norm of the map minus the identity"),
    adaptation_row("CORAL, shrinkage of 0.1", "CORAL, shrinkage of 0.1", "norm of the map minus the identity"),
    adaptation_row("CORAL, shrinkage by Ledoit and Wolf", "CORAL, automatic shrinkage", "each with its own estimate"),
    adaptation_row("linear transport", "transport", "norm of the map minus the identity"),
    adaptation_row("subspace alignment, 50 axes", "subspace, 50 axes", "variance along the axes", form="{:.4f}"),
    adaptation_row("logistic weights", "weights, logistic", "objective", form="{:.1f}"),
    adaptation_row("KMM", "weights, KMM", "objective", form="{:.1f}"),
    adaptation_row("KLIEP", "weights, KLIEP", "mean log weight", form="{:.4f}"),
    adaptation_row("KLIEP", "weights, KLIEP, by SciPy's SLSQP", "mean log weight", "SciPy's SLSQP", form="{:.4f}"),
]
TABLES = {
    "short": lambda results: write_speeds(results, SHORT),
    "text": lambda results: write_speeds(results, TEXT),
    "heads": lambda results: write_speeds(results, HEADS),
    "unsupervised": lambda results: write_speeds(results, UNSUPERVISED),
    "serving": lambda results: write_speeds(results, SERVING),
    "gpu": lambda results: write_speeds(results, GPU),
    "transfer-8": write_transfer("8"),
    "transfer-64": write_transfer("64"),
    "transfer-all": write_transfer("all"),
    "digits": write_grid("unsupervised", "digits", first="features"),
    "selection": write_grid("selection", "mean", first="metric", form="{:.2f}"),
    "adaptation-words": write_adaptation("text", "newsgroups", "bow"),
    "adaptation-rows": write_adaptation("digits"),
    "adaptation-choices": write_choices,
    "adaptation-speed": lambda results: write_speeds(results, ADAPTATION),
    "files": write_files,
    "load": write_load,
    "scale": write_scale(scale_tables.table_of_speeds),
    "scale-runs": write_scale(scale_tables.table_of_runs),
    "scale-time": write_scale(scale_tables.table_of_time),
    "scale-allocator": write_scale(scale_tables.table_of_allocators),
    "scale-machine": write_machine("Measured on", "scale", ("numpy", "scipy", "dask")),
    "machine": write_machine(
        "Measured with `make bench DATA=folder` on", "heads", ("numpy", "scikit-learn", "torch", "gensim")
    ),
    "machines": write_machines(
        "text",
        "heads",
        "training",
        "unsupervised",
        "word_vectors",
        "serving",
        "selection",
        "adaptation",
        "scale",
        "transfer",
    ),
    "machines-gpu": write_machines("heads_h100", "training_h100"),
}


def fill(text, results):
    """Return the text with every table between its marks regenerated."""

    def write(match):
        try:
            table = TABLES[match[2]]
        except KeyError:
            raise SystemExit(f"There is no table {match[2]!r}. There are: {', '.join(TABLES)}") from None
        return f"{match[1]}{table(results)}\n{match[3]}"

    return MARKED.sub(write, text)


def draw_transfer(results, path):
    """Draw the accuracy with and without transfer, one line per task, for each number of labels."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "transferkit"
    tables = {size: results.get("transfer", "accuracy", size, optional=True) or {} for size in ("8", "64")}
    tasks = [task for task, row in tables["8"].items() if {"scratch", "auto"} <= set(row)]
    tasks.sort(key=lambda task: tables["8"][task]["auto"] - tables["8"][task]["scratch"])
    figure, axes = plt.subplots(1, 2, figsize=(8, 0.34 * len(tasks) + 1.1), sharey=True, layout="constrained")
    for ax, (size, table) in zip(axes, tables.items(), strict=True):
        for place, task in enumerate(tasks):
            row = table.get(task, {})
            if {"scratch", "auto"} <= set(row):
                ax.plot([row["scratch"], row["auto"]], [place] * 2, color="#bbbbbb", linewidth=3, zorder=1)
                ax.scatter(row["scratch"], place, color="#d55e00", marker="s", s=36, zorder=2)
                ax.scatter(row["auto"], place, color="#0072b2", s=44, zorder=3)
        ax.set(title=f"{size} labels per class", xlabel="test accuracy, %", xlim=(20, 100))
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(tasks)), [TASK_NAMES.get(task, task.upper()) for task in tasks])
    handles = [
        plt.Line2D([], [], color="#d55e00", marker="s", linestyle="", label="scratch"),
        plt.Line2D([], [], color="#0072b2", marker="o", linestyle="", label="with transfer"),
    ]
    axes[0].legend(handles=handles, loc="lower right", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a page is out of date")
    arguments = parser.parse_args()
    results, stale = Results(), []
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        filled = fill(text, results)
        if filled != text:
            stale.append(name)
            if not arguments.check:
                path.write_text(filled, encoding="utf-8")
    if arguments.check:
        sys.exit(f"Out of date: {', '.join(stale)}. Run: make tables" if stale else 0)
    draw_transfer(results, ROOT / "docs" / "transfer.svg")
    print("wrote", ", ".join([*stale, "docs/transfer.svg"]))


if __name__ == "__main__":
    main()
