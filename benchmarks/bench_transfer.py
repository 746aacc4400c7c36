"""Measure what pretraining adds to few labels and to all, beside scikit-learn and other libraries.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_transfer.py FOLDER [--quick] [--tasks sst2 trec] [--labels 8 64 all]
[--columns auto scikit-learn] [--draws 10] [--seconds 200]``; FOLDER holds the labelled sets and the Wikipedia sample
(see datasets/). Labels are drawn once for all columns, up to 8 or 64 per class, or all are given:

- scikit-learn, characters: TfidfVectorizer (words; n-grams of 2 to 5 characters within words) and LogisticRegressionCV;
- ComplementNB: TfidfVectorizer (words) and ComplementNB;
- fastText: its classifier, started from the word vectors of the encoder of the task;
- gensim: the mean of Word2Vec vectors (skip-gram, 5 epochs, 300 components, trained once on the Wikipedia sample and
  the training texts of all tasks) and LogisticRegressionCV;
- frozen, term_vectors, auto: TransferClassifier with the encoder of the task and this strategy;
- english: TransferClassifier(), which takes the encoder of the package;
- english and own: the same with this encoder after `continue_fit` on the training texts of the task, without labels.

The encoder of a task is a WordVectorEncoder fitted to the Wikipedia sample and the training texts of the task,
without labels. No column has seen a test text. Everything is selected on the drawn labels by folds: C, alpha,
strategy and weights; fastText's learning rate, epochs and n-grams. The values of these that are compared, and to
start from vectors, were looked at on TREC in a draw of its own. There fastText's own search of settings ("autotune",
20 seconds on 48 texts, one thread) crashed with n-grams of words in the search, and without had not ended after
minutes, so it is left out. MR and MPQA have no test part: a fifth of them, drawn once, is held out. 20 Newsgroups is
without headers, footers and quotes. Most sentences of MR are also in SST-5, which development used, and more than a
quarter of MPQA's held-out phrases are among its training phrases.

Draws begin at number 100: none was used in development. But the tasks were, and so were their test texts, with other
draws (`SEEN`).

Without FOLDER there is one task, docstrings, and only its texts are used for pretraining. Measurements are stored one
by one, with the commit, in a folder next to the results, so that the script may be stopped and started again; figures
of the file of results that were not measured again stay in it. Seconds are those of the processor: other work on the
machine changes them less.
"""

import argparse
import base64
import shutil
import statistics
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from data import draw_per_class, read_labelled, read_newsgroups, read_wiki, split_docstrings
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import is_installed, train_word2vec
from sklearn.model_selection import train_test_split
from transfer_rivals import (
    N_THREADS,
    PATTERN,
    FastText,
    GensimMean,
    clean,
    find_words,
    train_naive_bayes,
    train_scikit_learn,
)

import transferkit
from transferkit import TransferClassifier, WordVectorEncoder

KEPT = RESULTS / "bench_transfer.json"
COLUMNS = (
    "scikit-learn",
    "characters",
    "ComplementNB",
    "fastText",
    "gensim",
    "frozen",
    "term_vectors",
    "auto",
    "english",
    "english and own",
)
FIRST_DRAW = 100
# what was looked at while the rules for few labels and the encoder of the package were made
SEEN = {
    "ag_news_subset": "test accuracy",
    "sst2": "test accuracy",
    "trec": "test accuracy",
    "mr": "test accuracy",
    "mpqa": "test accuracy",
    "20newsgroups": "test accuracy",
    "banking77": "test accuracy",
    "docstrings": "time, held-out loss",
}
TASKS = tuple(SEEN)
SIZES = ("8", "64", "all")
OURS = ("english", "english and own", "auto")  # columns whose differences from scikit-learn are given


def read_texts(folder, quick):
    """Return unlabelled texts for pretraining, in addition to those of the task."""
    if folder is None:
        return []
    return read_wiki(folder)[: 2000 if quick else None]


def read_task(folder, name):
    """Return training texts and labels, test texts and labels."""
    if name in ("mr", "mpqa"):
        texts, labels = read_labelled(folder, name, "all")
        texts = np.array(texts, dtype=object)
        train, test, y, y_test = train_test_split(texts, labels, test_size=0.2, random_state=0, stratify=labels)
        return train, y, test, y_test
    if name == "docstrings":
        return split_docstrings(120)
    found = []
    for part in ("train", "test"):
        if name == "20newsgroups":
            texts, labels, _ = read_newsgroups(folder / name, part, remove=("headers", "footers", "quotes"))
        else:
            texts, labels = read_labelled(folder, name, part)
        found += [np.array(texts, dtype=object), labels]
    return tuple(found)


def draw(labels, size, seed):
    """Return the indices of `size` samples per class, or of all."""
    if size == "all":
        return np.arange(len(labels))
    return draw_per_class(labels, int(size), np.random.default_rng(seed))


def pretrain(texts):
    return WordVectorEncoder(300, min_count=3, token_pattern=PATTERN, n_jobs=N_THREADS).fit(texts)


class Run:
    """Measurements of one folder, each stored in a file as it is made."""

    def __init__(self, arguments):
        self.arguments, self.began = arguments, time.perf_counter()
        self.folder = arguments.folder and Path(arguments.folder)
        self.output = choose_output(arguments.output, KEPT, arguments.quick or arguments.folder is None)
        self.parts_folder = self.output.with_name(f"{self.output.stem}_parts")
        if arguments.quick:
            shutil.rmtree(self.parts_folder, ignore_errors=True)
        self.parts_folder.mkdir(parents=True, exist_ok=True)
        self.parts_path = self.parts_folder / "parts.json"
        self.parts = read_results(self.parts_path)
        self.commit = describe_machine()["commit"]
        self.read_task = cache(lambda task: read_task(self.folder, task))

    def keep(self, key, value):
        """Store a measurement, with the commit."""
        self.parts[key] = value | {"commit": self.commit}
        write_results(self.parts_path, self.parts)

    def encoder(self, task):
        """Return the task's encoder, pretrained once."""
        path = self.parts_folder / f"{task}.tk"
        if not path.exists():
            texts = [*read_texts(self.folder, self.arguments.quick), *self.read_task(task)[0].tolist()]
            encoder, seconds = _time(lambda: pretrain(texts))
            self.keep(f"pretraining {task}", {"seconds": round(seconds, 1)})
            transferkit.save(encoder, path)
        return transferkit.load(path)

    def word_vectors(self, task):
        """Return the vectors of the encoder by word, of the words of the task."""
        encoder, (texts, _, test_texts, _) = self.encoder(task), self.read_task(task)
        words = {word for text in (*texts, *test_texts) for word in clean(text).split()}
        return {word: encoder.vectors_[row] for word, row in encoder.vocabulary_.items() if word in words}

    def gensim_vectors(self):
        """Return gensim's vectors, trained once on the texts of all tasks."""
        from gensim.models import KeyedVectors

        path = self.parts_folder / "gensim.kv"
        if not path.exists():
            texts = [text for task in TASKS for text in self.read_task(task)[0]]
            texts += read_texts(self.folder, quick=False)
            model, seconds = _time(lambda: train_word2vec(texts, find_words, min_count=3))
            model.wv.save(str(path))
            self.keep("pretraining gensim", {"seconds": round(seconds, 1)})
        return KeyedVectors.load(str(path))

    def measure(self):
        """Measure the cells asked for, until the time is over."""
        arguments = self.arguments
        for size in arguments.labels:
            for task in arguments.tasks:
                prepared = {column: cache(lambda c=column, t=task: self.prepare(c, t)) for column in arguments.columns}
                for seed in range(FIRST_DRAW, FIRST_DRAW + (1 if size == "all" else arguments.draws)):
                    for column in arguments.columns:
                        if time.perf_counter() - self.began > arguments.seconds:
                            return
                        if f"{task} {size} {seed} {column}" not in self.parts:
                            self.measure_cell(task, size, seed, column, prepared[column]())

    def prepare(self, column, task):
        """Return a function of texts and labels that trains the model of a column."""
        if column in ("scikit-learn", "characters"):
            name = "words" if column == "scikit-learn" else column
            return lambda texts, labels: train_scikit_learn(name, texts, labels)
        if column == "ComplementNB":
            return train_naive_bayes
        if column == "fastText":
            return FastText(self.parts_folder, self.word_vectors(task)).fit
        if column == "gensim":
            return GensimMean(self.gensim_vectors()).fit
        if column == "english":
            return TransferClassifier().fit
        if column == "english and own":
            encoder = transferkit.load("english").continue_fit(self.read_task(task)[0].tolist())
            return TransferClassifier(encoder).fit
        return TransferClassifier(self.encoder(task), strategy=column).fit

    def measure_cell(self, task, size, seed, column, train):
        """Store accuracy and processor seconds of a fit, and which test texts it has right."""
        texts, labels, test_texts, test_labels = self.read_task(task)
        chosen = draw(labels, size, seed)
        model, seconds = _time(lambda: train(texts[chosen].tolist(), labels[chosen]))
        right = model.predict(test_texts.tolist()) == test_labels
        value = {"accuracy": round(100 * float(right.mean()), 2), "seconds": round(seconds, 3), "texts": len(chosen)}
        if column == "auto":
            value["strategy"] = model.strategy_
        key = f"{task} {size} {seed} {column}"
        print(key, value, flush=True)
        self.keep(key, value | {"right": base64.b64encode(np.packbits(right).tobytes()).decode(), "tests": len(right)})

    def report(self):
        """Write figures of each column over its draws, and its differences from scikit-learn."""
        found = {} if self.arguments.quick else read_results(self.output)
        columns = found.setdefault("columns", {})
        pretraining = found.setdefault("processor seconds of pretraining", {})
        cells = {}
        for key, value in self.parts.items():
            if key.startswith("pretraining"):
                pretraining[key.removeprefix("pretraining ")] = value["seconds"]
                continue
            task, size, seed, column = key.split(" ", 3)
            cells.setdefault((size, task), {}).setdefault(column, {})[seed] = value
        for (size, task), row in cells.items():
            figures = columns.setdefault(size, {}).setdefault(task, {})
            figures |= {column: _summarise(draws) for column, draws in row.items()}
            for column in [column for column in OURS if {column, "scikit-learn"} <= set(row)]:
                differences = found.setdefault(f"{column} - scikit-learn", {}).setdefault(size, {})
                differences[task] = _compare(row[column], row["scikit-learn"], size)
        found["columns"] = {
            size: {task: _sort(columns[size][task], COLUMNS) for task in TASKS if task in columns[size]}
            for size in SIZES
            if size in columns
        }
        rows = [row for tasks in columns.values() for row in tasks.values()]
        commits = sorted({commit for row in rows for figures in row.values() for commit in figures["commits"]})
        machine = describe_machine("cpu") | {"threads": N_THREADS, "commit": ", ".join(commits)}
        write_results(self.output, found | {"machine": machine, "seen in development": SEEN})


def _time(function):
    """Return the result of a function and the processor seconds that it took."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def _summarise(draws):
    """Return figures of a column over its draws."""
    accuracies = [value["accuracy"] for value in draws.values()]
    commits = sorted({value["commit"] for value in draws.values()})
    found = {"accuracy": round(statistics.mean(accuracies), 2), "draws": len(accuracies), "commits": commits}
    if len(accuracies) > 1:
        found["standard deviation"] = round(statistics.stdev(accuracies), 2)
    seconds = statistics.median(value["seconds"] for value in draws.values())
    return found | {"seconds": round(seconds, 3), "texts": next(iter(draws.values()))["texts"]}


def _sort(row, names):
    return {name: row[name] for name in names if name in row}


def _compare(ours, theirs, size):
    """Return the mean difference in points and its standard error: over draws or, with all labels, test texts."""
    common = [seed for seed in ours if seed in theirs]
    differences = [ours[seed]["accuracy"] - theirs[seed]["accuracy"] for seed in common]
    if size == "all":
        differences = 100 * (_right(ours[common[0]]) - _right(theirs[common[0]]))
    found = {"mean": round(float(np.mean(differences)), 2), "draws": len(common)}
    if len(differences) > 1:
        found["standard error"] = round(float(np.std(differences, ddof=1)) / len(differences) ** 0.5, 2)
    return found


def _right(value):
    """Return 1.0 for each test text that was classified correctly, and 0.0 for the others."""
    packed = np.frombuffer(base64.b64decode(value["right"]), np.uint8)
    return np.unpackbits(packed, count=value["tests"]).astype(float)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--labels", nargs="+", default=SIZES, choices=SIZES)
    parser.add_argument("--columns", nargs="+", default=COLUMNS, choices=COLUMNS)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two draws, little unlabelled text")
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing new after so long")
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    missing = {rival for rival in ("fastText", "gensim") if not is_installed(rival.lower())}
    arguments.columns = [column for column in arguments.columns if column not in missing]
    if arguments.folder is None:
        arguments.tasks = ["docstrings"]
    if arguments.quick:
        arguments.draws = min(arguments.draws, 2)
    return arguments


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Transfer did not help")
    run = Run(parse())
    run.measure()
    run.report()
