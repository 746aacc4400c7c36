"""Measure frozen encoders by the protocol of the English classification tasks of MTEB: 8 labels per class, ten draws.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_mteb.py FOLDER [--minilm FOLDER] [--tasks banking77 trec] [--encoders
FOLDER] [--seconds 900]``; FOLDER holds the labelled sets and the Wikipedia sample (see datasets/). The protocol is that
of ``AbsTaskClassification`` in the package mteb: scikit-learn's LogisticRegression with ``max_iter=100`` and its
default C on the features of 8 texts per class, which stay as they are; mean accuracy on the test texts over ten draws.
Draws are made as there, by shuffling the order of the training texts again for each draw, from seed 42, but the files
may be in another order than those of mteb. Of the tasks, Banking77 alone is one of MTEB. Up to 4,000 test texts.

Nothing is selected, and no label is used but the eight per class. The columns:

- TF-IDF: scikit-learn's TfidfVectorizer(sublinear_tf=True), fitted to the training texts of the task;
- LSA: LSAEncoder(300) of the training texts of the task;
- Wikipedia and own: WordVectorEncoder pretrained as in bench_transfer.py, on the Wikipedia sample and the training
  texts;
- english: the encoder of the package, which has seen no text of any task;
- english and own: the same after `continue_fit` on the training texts;
- MiniLM: the sentence model all-MiniLM-L6-v2, in the folder ``--minilm``, by sentence-transformers;
- model2vec: a static model that model2vec distils from this sentence model, with its defaults
  (``pip install "transferkit[sentence]" "model2vec[distill]"``).

Each part holds the accuracies of the draws, and the processor seconds that 1,000 test texts take to encode on one
thread. Parts are stored as they are measured, so that the script may be stopped and started again. Without FOLDER there
is one task, docstrings.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_rejection import find_encoder
from bench_transfer import read_task
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import transferkit
from transferkit import LSAEncoder, SentenceEncoder

KEPT = RESULTS / "bench_mteb.json"
TASKS = ("banking77", "ag_news_subset", "trec", "sst2", "mr", "mpqa", "20newsgroups", "docstrings")
SENTENCE_COLUMNS = ("MiniLM", "model2vec")
COLUMNS = ("TF-IDF", "LSA", "Wikipedia and own", "english", "english and own", *SENTENCE_COLUMNS)
N_DRAWS, PER_CLASS, SEED = 10, 8, 42
MOST_TEST_TEXTS, TIMED_TEXTS = 4000, 1000


def draw_texts(labels):
    """Yield the indices of the labelled texts of each draw, as mteb draws them."""
    order = np.arange(len(labels))
    for _ in range(N_DRAWS):
        np.random.RandomState(SEED).shuffle(order)  # of the order before, hence other draws from the same seed
        first = [order[labels[order] == label][:PER_CLASS] for label in np.unique(labels)]
        yield np.concatenate(first)


def find_accuracies(encoder, texts, labels, test_rows, truth):
    """Return the accuracy in percent of each draw."""
    draws = list(draw_texts(labels))
    needed, places = np.unique(np.concatenate(draws), return_inverse=True)  # a sentence model is slow
    rows = encoder.transform([texts[index] for index in needed])
    found = []
    for chosen, place in zip(draws, places.reshape(N_DRAWS, -1), strict=True):
        head = LogisticRegression(max_iter=100, random_state=SEED).fit(rows[place], labels[chosen])
        found.append(round(100 * head.score(test_rows, truth), 2))
    return found


def read_parts(folder, name):
    """Return training texts and labels, and up to 4,000 test texts and their labels."""
    texts, labels, test, truth = read_task(folder, name)
    chosen = np.random.default_rng(0).permutation(len(test))[:MOST_TEST_TEXTS]
    return texts.tolist(), np.asarray(labels), np.asarray(test)[chosen].tolist(), np.asarray(truth)[chosen]


class Encoders:
    """The fitted encoder of each column."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.static = None

    def find(self, column, task, texts):
        """Return an object with `transform`, which has seen at most the training texts of the task."""
        if column == "TF-IDF":
            return TfidfVectorizer(sublinear_tf=True).fit(texts)
        if column == "LSA":
            return LSAEncoder(300).fit(texts)
        if column == "Wikipedia and own":
            path = self.arguments.encoders / f"{task}.tk"
            return find_encoder(self.arguments.folder, path, np.array(texts, dtype=object))
        if column == "MiniLM":
            return SentenceEncoder(str(self.arguments.minilm), device="cpu")
        if column == "model2vec":
            return self._distilled()
        encoder = transferkit.load("english")
        return encoder.continue_fit(texts) if column == "english and own" else encoder

    def _distilled(self):
        if self.static is None:
            from model2vec.distill import distill

            self.static = SentenceEncoder(distill(str(self.arguments.minilm), device="cpu"))
        return self.static


def measure(encoder, texts, labels, test, truth):
    """Return the accuracies and the time to encode 1,000 texts."""
    encoder.transform(test[:1])  # loads the model, which the next call shall not time
    start = time.process_time()
    test_rows = encoder.transform(test)
    seconds = (time.process_time() - start) * TIMED_TEXTS / len(test)
    found = find_accuracies(encoder, texts, labels, test_rows, truth)
    return {"accuracies": found, "processor seconds per 1,000 texts": round(seconds, 4)}


def summarise(parts):
    """Return the mean and the standard deviation of each task and column."""
    found = {}
    for key, part in parts.items():
        task, column = key.split(" ", 1)
        values = part["accuracies"]
        found.setdefault(task, {})[column] = {
            "mean": round(float(np.mean(values)), 2),
            "standard deviation": round(float(np.std(values, ddof=1)), 2),
        }
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--minilm", type=Path, help="folder of the sentence model; without, its columns stay empty")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--columns", nargs="+", default=COLUMNS, choices=COLUMNS)
    parser.add_argument("--encoders", type=Path, help="folder that keeps the pretrained encoders")
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing new after so long")
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    output = choose_output(arguments.output, KEPT, arguments.folder is None)
    names = ("docstrings",) if arguments.folder is None else arguments.tasks
    columns = [name for name in arguments.columns if arguments.minilm or name not in SENTENCE_COLUMNS]
    arguments.encoders = arguments.encoders or Path(tempfile.mkdtemp())
    encoders, machine = Encoders(arguments), describe_machine("cpu")
    began, parts = time.monotonic(), read_results(output).get("parts", {})
    for name in names:
        missing = [column for column in columns if f"{name} {column}" not in parts]
        data = read_parts(arguments.folder, name) if missing else None
        for column in missing:
            if time.monotonic() - began > arguments.seconds:
                return
            found = measure(encoders.find(column, name, data[0]), *data)
            parts[f"{name} {column}"] = found | {"commit": machine["commit"]}
            print(name, column, found, flush=True)
            commits = ", ".join(sorted({part["commit"] for part in parts.values()}))
            described = machine | {"commit": commits}
            write_results(output, {"machine": described, "accuracy": summarise(parts), "parts": parts})


if __name__ == "__main__":
    main()
