"""Measure what is kept and what is lost when classes are added to a model without the texts of its old classes.

Run ``python benchmarks/bench_new_classes.py FOLDER [--tasks trec] [--draws 10] [--seconds 900]``; FOLDER holds the
labelled sets and the Wikipedia sample (see datasets/). Word vectors are pretrained as in bench_evidence.py. In each
draw some classes, drawn at random, are new: the old model is trained on 8 or 64 texts of each other class, and 8 texts
of each new class come later. Columns, accuracy on test texts of old classes, of new classes, and of all:

- before: the old model, which knows no new class;
- added: ``TransferClassifier(encoder, source=old model)`` on the texts of new classes alone;
- refitted: TransferClassifier on the texts of all classes.

All three use term vectors (``strategy="term_vectors"``). The rules were chosen on draws 0 to 2 of AG News, TREC, 20
Newsgroups and Banking77 (docs/decisions.md). Without FOLDER there is one task, docstrings.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
from bench_transfer import pretrain, read_task, read_texts
from results import RESULTS, choose_output, describe_machine, read_results, write_results

import transferkit
from transferkit import TransferClassifier

KEPT = RESULTS / "bench_new_classes.json"
N_ADDED = {"ag_news_subset": (1,), "trec": (1, 3), "20newsgroups": (1, 3, 10), "banking77": (1, 3, 10)}
SIZES = {"ag_news_subset": (8, 64), "trec": (8, 64), "20newsgroups": (8, 64), "banking77": (8,)}
N_NEW = 8  # texts of each new class


def measure(encoder, data, size, n_added, seed):
    """Return the accuracies of one draw: of each model on the test texts of old classes, of new ones, and of all."""
    texts, labels, test_texts, test_labels = data
    random, classes = np.random.default_rng(seed), np.unique(labels)
    new = random.choice(classes, n_added, replace=False)

    def draw(label):
        count = N_NEW if label in new else size
        return random.permutation(np.flatnonzero(labels == label))[:count]

    chosen = np.concatenate([draw(label) for label in classes])
    is_new = np.isin(labels[chosen], new)
    old_rows, new_rows = chosen[~is_new], chosen[is_new]

    def fit(rows, **parameters):
        return TransferClassifier(encoder, **parameters).fit(texts[rows].tolist(), labels[rows])

    before = fit(old_rows, strategy="term_vectors")
    models = {
        "before": before,
        "added": fit(new_rows, source=before),
        "refitted": fit(chosen, strategy="term_vectors"),
    }
    of_new = np.isin(test_labels, new)
    found = {}
    for name, model in models.items():
        right = model.predict(test_texts.tolist()) == test_labels
        parts = {"old": right[~of_new], "new": right[of_new], "all": right}
        found[name] = {part: round(100 * float(values.mean()), 2) for part, values in parts.items()}
    return found


def run(arguments, parts, keep, cache):
    """Measure all draws that are not yet there, until the time is over."""
    began, commit = time.perf_counter(), describe_machine()["commit"]
    for seed in range(arguments.draws):
        for task in arguments.tasks:
            data = read_task(arguments.folder, task)
            path = cache / f"{task}.tk"
            if not path.exists():
                transferkit.save(pretrain([*read_texts(arguments.folder, False), *data[0].tolist()]), path)
            encoder = transferkit.load(path)
            for size in SIZES.get(task, (8,)):
                for n_added in N_ADDED.get(task, (1,)):
                    key = f"{task} {size} {n_added} {seed}"
                    if key in parts:
                        continue
                    if time.perf_counter() - began > arguments.seconds:
                        return
                    keep(key, measure(encoder, data, size, n_added, seed) | {"commit": commit})
                    print(key, parts[key], flush=True)


def report(parts):
    """Return mean accuracies, and the standard errors of those of the added classes."""
    cells = {}
    for key, value in parts.items():
        name, _, _ = key.rpartition(" ")
        cells.setdefault(name, []).append(value)
    found = {}
    for name, draws in cells.items():
        means = {
            model: {
                part: round(statistics.mean(draw[model][part] for draw in draws), 2) for part in ("old", "new", "all")
            }
            for model in ("before", "added", "refitted")
        }
        lost = [draw["added"]["all"] - draw["refitted"]["all"] for draw in draws]
        error = round(statistics.stdev(lost) / len(lost) ** 0.5, 2) if len(lost) > 1 else None
        found[name] = means | {"draws": len(draws), "standard error of added - refitted": error}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tasks", nargs="+", default=list(N_ADDED), choices=[*N_ADDED, "docstrings"])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing new after so long")
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    if arguments.folder is None:
        arguments.tasks = ["docstrings"]
    output = choose_output(arguments.output, KEPT, arguments.folder is None)
    cache = output.with_name(f"{output.stem}_parts")
    cache.mkdir(parents=True, exist_ok=True)
    parts = read_results(cache / "parts.json")

    def keep(key, value):
        parts[key] = value
        write_results(cache / "parts.json", parts)

    run(arguments, parts, keep, cache)
    commits = sorted({value["commit"] for value in parts.values()})
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    machine = describe_machine() | {"threads": threads, "commit": ", ".join(commits)}
    write_results(output, {"machine": machine, "commits": commits, "accuracy": report(parts)})


if __name__ == "__main__":
    main()
