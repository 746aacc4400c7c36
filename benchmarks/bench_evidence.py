"""Measure what descriptions of the classes and unlabelled texts of the task add to few labels.

Run ``python benchmarks/bench_evidence.py FOLDER [--tasks sst2 trec] [--labels 0 2 8 64] [--draws 10] [--seconds 900]``;
FOLDER holds the labelled sets and the Wikipedia sample (see datasets/). Word vectors are pretrained as in
bench_transfer.py, on the Wikipedia sample and the training texts of the task. Up to 4,000 of these, drawn once, are the
unlabelled texts of the fit; they may contain the labelled ones, without their labels. Labels per class are drawn as
in bench_transfer.py, the same draws for all columns:

- words, characters: scikit-learn's TfidfVectorizer (words; n-grams of 2 to 5 characters within words) and
  LogisticRegressionCV, which needs labels of each class in each fold and so is left out with fewer than 5 per class;
- labels: TransferClassifier with labels alone;
- unlabelled, descriptions, both: the same with `X_unlabelled`, with `class_descriptions`, and with both.

The descriptions were written once for each task, from the names of its classes and before any result; those of AG News,
SST-2 and TREC come from an earlier trial. The rules and constants were made by the test accuracy of these tasks on
draws 0 to 3 (docs/decisions.md).

Without FOLDER there is one task, docstrings, and only its texts are used for pretraining. Figures are of the draws in
which all columns were measured.
"""

import argparse
import os
import statistics
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from bench_transfer import draw, pretrain, read_task, read_texts
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from timing import timed
from transfer_rivals import train_scikit_learn

import transferkit
from transferkit import TransferClassifier

KEPT = RESULTS / "bench_evidence.json"
SENTIMENT = {"negative": "negative bad awful boring dull", "positive": "positive good great wonderful excellent"}
NEWSGROUPS = (
    "atheism atheist religion god",
    "computer graphics image",
    "microsoft windows operating system",
    "ibm pc hardware computer",
    "apple mac hardware computer",
    "x window system server",
    "for sale offer shipping",
    "car autos automobile",
    "motorcycle bike ride",
    "baseball team",
    "hockey team",
    "cryptography encryption key",
    "electronics circuit",
    "medicine disease doctor",
    "space nasa orbit",
    "christian religion church jesus",
    "guns politics weapons",
    "middle east israel arab politics",
    "politics government",
    "religion bible",
)
DESCRIPTIONS = {
    "ag_news_subset": {
        "Business": "business company market",
        "Sci/Tech": "science technology computer",
        "Sports": "sports game team",
        "World": "world politics war",
    },
    "sst2": SENTIMENT,
    "trec": {
        "abbreviation": "abbreviation stand for",
        "description": "description definition what mean",
        "entity": "entity animal color thing",
        "human": "human person who name",
        "location": "location city country where",
        "numeric": "numeric how many when date",
    },
    "mr": SENTIMENT,
    "mpqa": {"negative": "negative bad criticism blame fear", "positive": "positive good praise support hope"},
    "20newsgroups": dict(enumerate(NEWSGROUPS)),
    "banking77": "labels",
    "docstrings": "labels",
}
COLUMNS = ("words", "characters", "labels", "unlabelled", "descriptions", "both")
N_UNLABELLED = 4000


def train(column, task, encoder, texts, labels, unlabelled):
    """Return the trained model of a column."""
    if column in ("words", "characters"):
        return train_scikit_learn(column, texts, labels)
    descriptions = DESCRIPTIONS[task] if column in ("descriptions", "both") else None
    X_unlabelled = unlabelled if column in ("unlabelled", "both") else None
    return TransferClassifier(encoder, class_descriptions=descriptions).fit(texts, labels, X_unlabelled=X_unlabelled)


def columns_of(size, task):
    """Return the columns that can be trained with `size` labels per class."""
    if size == 0:
        return ("both",) if isinstance(DESCRIPTIONS[task], dict) else ()
    return COLUMNS if size >= 5 else COLUMNS[2:]


def measure(arguments, parts, keep, cache):
    """Measure all cells that are not yet there, until the time is over."""
    warnings.filterwarnings("ignore", message="Transfer did not help")
    began, commit = time.perf_counter(), describe_machine()["commit"]
    for size in arguments.labels:
        for task in arguments.tasks:
            texts, labels, test_texts, test_labels = read_task(arguments.folder, task)
            path = cache / f"{task}.tk"
            if not path.exists():
                transferkit.save(pretrain([*read_texts(arguments.folder, False), *texts.tolist()]), path)
            encoder = transferkit.load(path)
            unlabelled = texts[np.random.default_rng(5).permutation(len(texts))[:N_UNLABELLED]].tolist()
            for seed in range(arguments.draws if size else 1):
                chosen = draw(labels, size, seed) if size else []
                few = (texts[chosen].tolist(), labels[chosen]) if size else ([], [])
                for column in columns_of(size, task):
                    key = f"{task} {size} {seed} {column}"
                    if key in parts:
                        continue
                    if time.perf_counter() - began > arguments.seconds:
                        return
                    model, seconds = timed(partial(train, column, task, encoder, *few, unlabelled))
                    accuracy = round(100 * float(model.score(test_texts.tolist(), test_labels)), 2)
                    keep(key, {"accuracy": accuracy, "seconds": round(seconds, 2), "commit": commit})
                    print(key, parts[key], flush=True)


def report(parts):
    """Return means, standard errors of the difference from labels alone, and seconds."""
    cells = {}
    for key, value in parts.items():
        task, size, seed, column = key.split(" ")
        cells.setdefault(size, {}).setdefault(task, {}).setdefault(column, {})[seed] = value
    found = {"accuracy": {}, "difference from labels alone": {}, "seconds": {}, "draws": {}}
    for size, tasks in cells.items():
        for task, measured in tasks.items():
            complete = set.intersection(*(set(row) for row in measured.values()))
            if not complete or set(measured) != set(columns_of(int(size), task)):
                continue
            columns = {column: {seed: row[seed] for seed in complete} for column, row in measured.items()}
            means = {c: round(statistics.mean(v["accuracy"] for v in row.values()), 2) for c, row in columns.items()}
            found["accuracy"].setdefault(size, {})[task] = means
            seconds = {c: round(statistics.median(v["seconds"] for v in row.values()), 2) for c, row in columns.items()}
            found["seconds"].setdefault(size, {})[task] = seconds
            found["draws"].setdefault(size, {})[task] = len(complete)
            alone = columns.get("labels", {})
            for column, row in columns.items():
                both = [row[seed]["accuracy"] - alone[seed]["accuracy"] for seed in row if seed in alone]
                if column != "labels" and len(both) > 1:
                    error = statistics.stdev(both) / len(both) ** 0.5
                    entry = {"mean": round(statistics.mean(both), 2), "standard error": round(error, 2)}
                    found["difference from labels alone"].setdefault(size, {}).setdefault(task, {})[column] = entry
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tasks", nargs="+", default=list(DESCRIPTIONS), choices=list(DESCRIPTIONS))
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 2, 8, 64])
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

    measure(arguments, parts, keep, cache)
    commits = sorted({value["commit"] for value in parts.values()})
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    machine = describe_machine() | {"threads": threads, "commit": ", ".join(commits)}
    write_results(output, {"machine": machine, "commits": commits, **report(parts)})


if __name__ == "__main__":
    main()
