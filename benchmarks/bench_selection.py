"""Compare rankings of encoders with the accuracy of heads on them, and the time that both take.

Run ``python benchmarks/bench_selection.py FOLDER [--draws 3]``; FOLDER holds the labelled sets and the Wikipedia sample
(see datasets/). ``--quick`` takes one task and six encoders, all from docstrings, and no FOLDER. Ten encoders (LSA and
word vectors of several sizes, pretrained on part of the Wikipedia sample, on the task's own training texts without
labels, or on product reviews) encode each task. A metric gets 64 labels per class. The truth is the mean test accuracy
over the same draws of LogisticHeadCV trained on them. Agreement is the weighted Kendall tau of metric and truth over
the encoders (1 is the same order; the best count most); the loss by following the metric is the difference in accuracy
between the best encoder and its first choice.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from data import draw_per_class, read_labelled, read_wiki, split_docstrings
from results import RESULTS, choose_output, describe_machine, write_results
from scipy.stats import weightedtau
from timing import timed

from transferkit import LogisticHeadCV, LSAEncoder, PretrainedEncoder, WordVectorEncoder, rank_encoders
from transferkit.datasets import load_docstrings

KEPT = RESULTS / "bench_selection.json"
TASKS = ("ag_news_subset", "sst2", "trec")
METRICS = ("logme", "hscore", "knn", "cv")
PER_CLASS = 64


def pretrain(texts, name, sizes):
    encoders = {f"LSA {size}, {name}": LSAEncoder(size, min_df=3).fit(texts) for size in sizes}
    return encoders | {f"words {size}, {name}": WordVectorEncoder(size).fit(texts) for size in sizes}


def pretrain_all(folder):
    reviews = read_labelled(folder, "amazon_reviews", "books")[0] + read_labelled(folder, "amazon_reviews", "dvd")[0]
    encoders = pretrain(read_wiki(folder)[:6000], "Wikipedia", (16, 100, 300))
    return encoders | {"LSA 100, reviews": LSAEncoder(100).fit(reviews), "words 100, reviews": fit_words(reviews)}


def fit_words(texts):
    return WordVectorEncoder(100, min_count=3).fit(texts)


def measure_task(texts, labels, test_texts, test_labels, encoders, draws):
    encoders = encoders | {"LSA 100, task": LSAEncoder(100).fit(texts), "words 100, task": fit_words(texts)}
    scores = {metric: [] for metric in METRICS}
    seconds = dict.fromkeys((*METRICS, "training"), 0.0)
    accuracies = []
    for seed in range(draws):
        chosen = draw_per_class(labels, PER_CLASS, np.random.default_rng(seed))
        few, y = [texts[i] for i in chosen], labels[chosen]
        for metric in METRICS:
            ranking = rank_encoders(encoders, few, y, metric=metric)
            by_name = dict(zip(ranking["encoder"], ranking["score"], strict=True))
            scores[metric].append([by_name[encoder] for encoder in encoders])
            seconds[metric] += ranking["score_seconds"].sum() / draws
        accuracies.append([])
        for encoder in encoders.values():
            pretrained = PretrainedEncoder(encoder)
            features, tests = pretrained.transform(few), pretrained.transform(test_texts)
            head, taken = timed(partial(LogisticHeadCV(cv=5).fit, features, y))
            seconds["training"] += taken / draws
            accuracies[-1].append(head.score(tests, test_labels))
    truth = np.mean(accuracies, axis=0)
    agreement = {
        metric: {
            "weighted_kendall_tau": float(np.mean([weightedtau(found, truth).statistic for found in values])),
            "points_lost": float(np.mean([100 * (truth.max() - truth[np.argmax(found)]) for found in values])),
            "seconds": seconds[metric],
        }
        for metric, values in scores.items()
    }
    return {
        "accuracy": dict(zip(encoders, (100 * truth).round(2).tolist(), strict=True)),
        "agreement": agreement,
        "seconds_to_train_all": seconds["training"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=KEPT)
    options = parser.parse_args()
    options.output = choose_output(options.output, KEPT, options.quick)
    if options.quick:
        task, unlabelled = split_docstrings(2 * PER_CLASS), load_docstrings(["scipy"]).data
        tasks = {"docstrings": measure_task(*task, pretrain(unlabelled, "SciPy", (16, 64)), draws=1)}
    else:
        encoders = pretrain_all(options.folder)
        tasks = {}
        for name in TASKS:
            task = (*read_labelled(options.folder, name, "train"), *read_labelled(options.folder, name, "test"))
            tasks[name] = measure_task(*task, encoders, options.draws)
    mean = {
        metric: {
            key: float(np.mean([task["agreement"][metric][key] for task in tasks.values()]))
            for key in ("weighted_kendall_tau", "points_lost", "seconds")
        }
        for metric in METRICS
    }
    report = {"machine": describe_machine(), "mean": mean, "tasks": tasks}
    write_results(options.output, report)
    print(json.dumps({"mean": mean, "tasks": tasks}, indent=1))


if __name__ == "__main__":
    main()
