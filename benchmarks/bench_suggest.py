"""Compare labels chosen by suggest_labels with random ones and with other choices, and time it on 100,000 texts.

Run ``python benchmarks/bench_suggest.py FOLDER [--tasks sst2 trec] [--draws 10] [--columns random suggest]``; FOLDER
holds the labelled sets and the Wikipedia sample (see datasets/). Word vectors are pretrained as in bench_transfer.py,
on the Wikipedia sample and the training texts of the task. For each draw, 3,000 of these texts are the pool, the same
for all columns. Labels are taken in batches, 10, 10, 20, 40 and 80, and after each a TransferClassifier is fitted to
all labels so far, and tested on up to 2,000 test texts:

- random: a random batch;
- margin: the texts with the smallest difference between the two most probable classes of the model, the first batch at
  random;
- k-means: scikit-learn's k-means on the embeddings, as many clusters as there are labels after the batch; the texts
  nearest to the centres of the largest clusters without a label;
- typiclust: the same clusters; of each the text with the smallest mean distance to its 20 nearest neighbours in the
  cluster (G. Hacohen, A. Dekel, D. Weinshall, 2022);
- suggest: suggest_labels, the first batch without a model.

A model that has seen labels of one class predicts this class. suggest_labels was developed by the test accuracy of
these tasks, mostly on other pools of draws 0 to 5, with logistic regression on words and embeddings in place of
TransferClassifier.

Without FOLDER there is one task, docstrings, and only its texts are used for pretraining.
"""

import argparse
import os
import statistics
import time
import warnings
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from bench_transfer import pretrain, read_task, read_texts
from data import read_wiki
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from sklearn.cluster import KMeans
from timing import timed

import transferkit
from transferkit import PretrainedEncoder, TransferClassifier, suggest_labels

KEPT = RESULTS / "bench_suggest.json"
TASKS = ("ag_news_subset", "sst2", "trec", "mr", "mpqa", "20newsgroups", "banking77", "docstrings")
BATCHES = (10, 10, 20, 40, 80)
N_POOL, N_TEST, N_NEIGHBOURS = 3000, 2000, 20
N_MANY, N_WORDS = 100_000, 30


class Pool:
    """Unlabelled texts, of which some have been labelled."""

    def __init__(self, texts, encoder, seed):
        self.texts, self.encoder, self.seed = texts, encoder, seed
        self.embeddings = encoder.transform(texts)
        self.labelled, self.model = [], None  # positions in texts, and the model fitted to their labels
        self.random = np.random.default_rng(seed)

    @property
    def unlabelled(self):
        """The positions of the other texts."""
        return np.setdiff1d(np.arange(len(self.texts)), self.labelled)

    def take(self, rows):
        """Return the texts at some positions."""
        return [self.texts[i] for i in rows]


def choose_random(pool, n):
    return pool.random.choice(pool.unlabelled, n, replace=False)


def choose_by_margin(pool, n):
    if pool.model is None:
        return choose_random(pool, n)
    rows = pool.unlabelled
    sorted_probabilities = np.sort(pool.model.predict_proba(pool.take(rows)), axis=1)
    return rows[np.argsort(sorted_probabilities[:, -1] - sorted_probabilities[:, -2], kind="stable")[:n]]


def choose_from_clusters(pool, n, typical):
    n_clusters = len(pool.labelled) + n
    found = KMeans(n_clusters, random_state=pool.seed).fit(pool.embeddings)
    sizes = np.bincount(found.labels_, minlength=n_clusters)
    sizes[found.labels_[pool.labelled]] = 0  # at least n clusters are without a label
    chosen = []
    for cluster in np.argsort(-sizes, kind="stable")[:n]:
        rows = np.flatnonzero(found.labels_ == cluster)
        points, centre = pool.embeddings[rows], found.cluster_centers_[[cluster]]
        apart = mean_neighbour_distances(points) if typical else distances(points, centre)[:, 0]
        chosen.append(rows[apart.argmin()])
    return np.array(chosen)


def mean_neighbour_distances(points):
    """Return the mean distance of each point to its nearest neighbours, 0 for a single point."""
    n_neighbours = min(N_NEIGHBOURS, len(points) - 1)
    return np.sort(distances(points, points), axis=1)[:, 1 : n_neighbours + 1].sum(axis=1) / max(n_neighbours, 1)


def distances(points, others):
    squares = np.square(points).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squares, 0))


def choose_by_suggestion(pool, n):
    rows, known = pool.unlabelled, pool.take(pool.labelled)
    options = {"encoder": pool.encoder, "model": pool.model, "random_state": pool.seed}
    return rows[suggest_labels(pool.take(rows), n, X_labelled=known, **options)["index"]]


COLUMNS = {
    "random": choose_random,
    "suggest": choose_by_suggestion,
    "margin": choose_by_margin,
    "k-means": partial(choose_from_clusters, typical=False),
    "typiclust": partial(choose_from_clusters, typical=True),
}


def label_in_batches(pool, labels, choose, test_texts, test_labels):
    """Return the accuracy by the number of labels, in percent."""
    accuracies = {}
    for n in BATCHES:
        pool.labelled += choose(pool, n).tolist()
        known = labels[pool.labelled]
        if len(np.unique(known)) == 1:
            accuracy = np.mean(test_labels == known[0])
        else:
            pool.model = TransferClassifier(pool.encoder).fit(pool.take(pool.labelled), known)
            accuracy = pool.model.score(test_texts, test_labels)
        accuracies[str(len(pool.labelled))] = round(100 * float(accuracy), 2)
    return accuracies


def measure_task(arguments, task, cache):
    """Measure all draws and columns of a task that are not yet there."""
    path, commit = cache / f"{task}.json", describe_machine()["commit"]
    parts = read_results(path)
    texts, labels, test_texts, test_labels = read_task(arguments.folder, task)
    encoder = PretrainedEncoder(open_encoder(arguments.folder, task, texts, cache))
    tested = np.random.default_rng(1).permutation(len(test_texts))[:N_TEST]
    tests = test_texts[tested].tolist(), test_labels[tested]
    for seed in range(arguments.draws):
        drawn = np.random.default_rng(seed).permutation(len(texts))[:N_POOL]
        for column in arguments.columns:
            key = f"{column} {seed}"
            if key not in parts:
                pool = Pool(texts[drawn].tolist(), encoder, seed)
                accuracies, seconds = timed(partial(label_in_batches, pool, labels[drawn], COLUMNS[column], *tests))
                parts[key] = {"accuracy": accuracies, "seconds": round(seconds, 1), "commit": commit}
                write_results(path, parts)
                print(task, key, parts[key], flush=True)


def open_encoder(folder, task, texts, cache):
    path = cache / f"{task}.tk"
    if not path.exists():
        transferkit.save(pretrain([*read_texts(folder, False), *texts.tolist()]), path)
    return transferkit.load(path)


def measure_many(arguments, task, cache):
    """Return the seconds that 20 suggestions from many texts take, embeddings of the sampled ones included."""
    texts, labels, *_ = read_task(arguments.folder, task)
    encoder = PretrainedEncoder(open_encoder(arguments.folder, task, texts, cache), cache_size=0)
    words = (word for article in read_wiki(arguments.folder) for word in article.split())
    many = [" ".join(islice(words, N_WORDS)) for _ in range(N_MANY)]
    few = texts[:200].tolist()
    model = TransferClassifier(encoder).fit(few, labels[:200])
    settings = {"without a model": {}, "with a model": {"model": model, "X_labelled": few}}
    found = {}
    for name, options in settings.items():
        began = time.process_time()
        _, seconds = timed(partial(suggest_labels, many, 20, encoder=encoder, **options))
        found[name] = {"seconds": round(seconds, 2), "processor seconds": round(time.process_time() - began, 2)}
    return found


def report(cache, tasks):
    """Return mean accuracies, and differences from random labels in the same draws, with standard errors."""
    parts = {task: read_results(cache / f"{task}.json") for task in tasks}
    found = {"accuracy": {}, "difference from random": {}, "draws": {}}
    for size in map(str, np.cumsum(BATCHES).tolist()):
        differences = {}
        for task, measured in parts.items():
            random = by_draw(measured, "random", size)
            for column in COLUMNS:
                rows = by_draw(measured, column, size)
                common = sorted(set(rows) & set(random))
                if not common:
                    continue
                mean = statistics.mean(rows[seed] for seed in common)
                found["draws"].setdefault(column, {})[task] = len(common)
                found["accuracy"].setdefault(size, {}).setdefault(column, {})[task] = round(mean, 2)
                if column != "random":
                    gains = [rows[seed] - random[seed] for seed in common]
                    differences.setdefault(column, {})[task] = summarise(gains)
        found["difference from random"][size] = {
            column: row | {"mean": summarise_tasks(row.values())} for column, row in differences.items()
        }
    return found


def by_draw(measured, column, size):
    rows = {key.rpartition(" "): value for key, value in measured.items()}
    return {int(seed): value["accuracy"][size] for (name, _, seed), value in rows.items() if name == column}


def summarise(gains):
    error = float(np.std(gains, ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else float("nan")
    return {"mean": round(float(np.mean(gains)), 2), "standard error": round(error, 2)}


def summarise_tasks(rows):
    """Return the mean over tasks, with the standard error that the draws of each task give it."""
    error = np.sqrt(sum(row["standard error"] ** 2 for row in rows)) / len(rows)
    return {"mean": round(statistics.mean(row["mean"] for row in rows), 2), "standard error": round(float(error), 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--columns", nargs="+", default=list(COLUMNS), choices=list(COLUMNS))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    if arguments.folder is None:
        arguments.tasks = ["docstrings"]
    warnings.filterwarnings("ignore", message="Transfer did not help")
    output = choose_output(arguments.output, KEPT, arguments.folder is None)
    cache = output.with_name(f"{output.stem}_parts")
    cache.mkdir(parents=True, exist_ok=True)
    for task in arguments.tasks:
        measure_task(arguments, task, cache)
    results = read_results(output)
    if arguments.folder is not None and "100,000 texts" not in results:
        results["100,000 texts"] = measure_many(arguments, arguments.tasks[0], cache)
    parts = [read_results(cache / f"{task}.json") for task in arguments.tasks]
    commits = sorted({value["commit"] for measured in parts for value in measured.values()})
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    results["machine"] = describe_machine() | {"threads": threads, "commit": ", ".join(commits)}
    write_results(output, results | report(cache, arguments.tasks))


if __name__ == "__main__":
    main()
