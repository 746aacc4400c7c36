"""Measure the encoder "english" of the package, which has seen no text of any task, beside scikit-learn's pipeline.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_english.py FOLDER [--tasks sst2 trec] [--labels 8 64] [--draws 5]
[--seconds 900]``; FOLDER holds the labelled sets (see datasets/). Labels per class are drawn as in bench_few_labels.py.
The columns:

- scikit-learn: TfidfVectorizer and LogisticRegressionCV;
- english: TransferClassifier() as it is, which takes the encoder "english";
- with own texts: the same encoder, continued by `continue_fit` on the training texts of the task, without labels.

Accuracies are those on up to 4,000 test texts. The number of words and the lengths of the vectors of the encoder were
chosen on AG News, SST-2, TREC and MPQA (datasets/english_encoder). Measurements are stored as they are made, so that
the script may be stopped and started again. Without FOLDER there is one task, docstrings.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from bench_rejection import take
from bench_transfer import read_task
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from transfer_rivals import train_scikit_learn

import transferkit
from transferkit import TransferClassifier

KEPT = RESULTS / "bench_english.json"
TASKS = ("ag_news_subset", "sst2", "trec", "mr", "mpqa", "20newsgroups", "banking77", "docstrings")
COLUMNS = ("scikit-learn", "english", "with own texts")
MOST_TEST_TEXTS = 4000


class Task:
    """Texts and labels of a task, and the encoder that has seen its texts."""

    def __init__(self, folder, name):
        self.texts, self.labels, test, truth = read_task(folder, name)
        chosen = np.random.default_rng(0).permutation(len(test))[:MOST_TEST_TEXTS]
        self.test, self.truth = np.asarray(test)[chosen].tolist(), np.asarray(truth)[chosen]
        self.continued = None

    def measure(self, column, size, draw):
        """Return the accuracy in percent."""
        few = take(self.labels, size, draw)
        texts, labels = self.texts[few].tolist(), self.labels[few]
        if column == "scikit-learn":
            return 100 * train_scikit_learn("words", texts, labels).score(self.test, self.truth)
        return 100 * TransferClassifier(self._find_encoder(column)).fit(texts, labels).score(self.test, self.truth)

    def _find_encoder(self, column):
        if column == "english":
            return None
        if self.continued is None:
            self.continued = transferkit.load("english").continue_fit(self.texts.tolist())
        return self.continued


def summarise(parts):
    """Return means over the draws in which all columns of a task were measured, and gains over scikit-learn."""
    values = {}
    for key, accuracy in parts.items():
        task, size, draw, column = key.split(" ", 3)
        values.setdefault(size, {}).setdefault(task, {}).setdefault(column, {})[draw] = accuracy
    accuracy, gains, draws = {}, {}, {}
    for size, tasks in values.items():
        for task, columns in tasks.items():
            common = set.intersection(*(set(of_draws) for of_draws in columns.values()))
            if common and "scikit-learn" in columns:
                means = {name: np.mean([columns[name][k] for k in common]) for name in COLUMNS if name in columns}
                accuracy.setdefault(size, {})[task] = {name: round(float(mean), 2) for name, mean in means.items()}
                draws.setdefault(size, {})[task] = len(common)
        gains[size] = {name: _find_gains(accuracy.get(size, {}).values(), name) for name in COLUMNS[1:]}
    return {"accuracy": accuracy, "gain over scikit-learn": gains, "draws": draws}


def _find_gains(rows, column):
    """Return the mean and the least gain of a column, None without any, and the number of tasks."""
    found = [row[column] - row["scikit-learn"] for row in rows if column in row]
    mean, least = (round(float(np.mean(found)), 2), round(min(found), 2)) if found else (None, None)
    return {"mean": mean, "least": least, "tasks": len(found)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--labels", nargs="+", default=["8", "64"])
    parser.add_argument("--columns", nargs="+", default=COLUMNS, choices=COLUMNS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing new after so long")
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    output = choose_output(arguments.output, KEPT, arguments.folder is None)
    names = ("docstrings",) if arguments.folder is None else arguments.tasks
    cells = [(size, draw, column) for size in arguments.labels for draw in range(arguments.draws) for column in COLUMNS]
    warnings.filterwarnings("ignore", message="Transfer did not help")
    began, parts = time.monotonic(), read_results(output).get("parts", {})
    for name in names:
        missing = [(f"{name} {size} {draw} {column}", size, draw, column) for size, draw, column in cells]
        missing = [cell for cell in missing if cell[0] not in parts and cell[-1] in arguments.columns]
        task = Task(arguments.folder, name) if missing else None
        for key, size, draw, column in missing:
            if time.monotonic() - began > arguments.seconds:
                return
            parts[key] = round(task.measure(column, size, draw), 2)
            print(key, parts[key], flush=True)
            write_results(output, {"machine": describe_machine("cpu"), **summarise(parts), "parts": parts})


if __name__ == "__main__":
    main()
