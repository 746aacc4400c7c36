"""Measure how long the default TransferClassifier takes to fit a few labels, beside scikit-learn's usual pipeline.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_few_labels.py FOLDER [--encoders FOLDER]``; FOLDER holds the labelled
sets and the Wikipedia sample (see datasets/). Word vectors are pretrained for each task as in bench_transfer.py, once:
``--encoders`` names a folder that keeps them. The rival is TfidfVectorizer and LogisticRegressionCV, which compares the
same five values of C in as many folds. Both are fitted in turns; processor seconds are medians of the runs, because
other work on the machine does not change them much, and accuracies are those of the last run on up to 4,000 test texts.
Without FOLDER there is one task, docstrings. ``--many`` fits thousands of labels instead, which takes minutes per run;
results of the others are kept. "Halved" classes are split in two at random, so that there are more.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from bench_rejection import find_encoder, take
from bench_transfer import read_task
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from tables import TASK_NAMES
from timing import alternate
from transfer_rivals import train_scikit_learn

from transferkit import TransferClassifier

KEPT = RESULTS / "bench_few_labels.json"
CASES = (
    ("ag_news_subset", "8"),
    ("ag_news_subset", "64"),
    ("trec", "64"),
    ("20newsgroups", "8"),
    ("banking77", "8"),
    ("20newsgroups", "64"),
)
CASES_OF_MANY = (("banking77", "64"), ("banking77, halved", "all"), ("20newsgroups", "all"))
MOST_TEST_TEXTS = 4000


def read_case(folder, name):
    """Return training and test texts and labels of a task, whose classes may be halved."""
    task, _, halved = name.partition(", ")
    texts, labels, test_texts, truth = read_task(folder, task)
    if halved:
        random = np.random.default_rng(0)
        labels, truth = (np.char.add(y.astype(str), random.choice(["_0", "_1"], len(y))) for y in (labels, truth))
    return texts, labels, test_texts, truth


def measure(encoder, train, test, n_runs):
    """Return processor seconds of both fits, their ratio, and accuracies."""
    seconds = {"transferkit": [], "scikit-learn": []}

    def timed(name, fit):
        def run():
            start = time.process_time()
            model = fit()
            seconds[name].append(time.process_time() - start)
            return model

        return run

    makers = {
        "transferkit": timed("transferkit", lambda: TransferClassifier(encoder, random_state=0).fit(*train)),
        "scikit-learn": timed("scikit-learn", lambda: train_scikit_learn("words", *train)),
    }
    models = {name: model for name, model, _ in alternate(makers, n_runs)}
    found = {f"{name}, s": round(statistics.median(values), 3) for name, values in seconds.items()}
    ratios = [ours / others for ours, others in zip(*seconds.values(), strict=True)]
    found["ratio"] = round(statistics.median(ratios), 2)
    return found | {f"{name}, accuracy": round(100 * model.score(*test), 2) for name, model in models.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--encoders", type=Path, default=None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--many", action="store_true", help="fit thousands of labels instead")
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    cases = CASES_OF_MANY if arguments.many else CASES
    cases = cases if arguments.folder is not None else (("docstrings", "8"),)
    output = choose_output(arguments.output, KEPT, arguments.folder is None)
    encoders = Path(tempfile.mkdtemp()) if arguments.encoders is None else arguments.encoders
    warnings.filterwarnings("ignore", message="Transfer did not help")
    fits = read_results(output).get("fits", {}) if arguments.many else {}
    for name, size in cases:
        texts, labels, test_texts, truth = read_case(arguments.folder, name)
        task = name.partition(", ")[0]
        encoder = find_encoder(arguments.folder, encoders / f"{task}.tk", texts)
        chosen = take(labels, size, 0)
        train = texts[chosen].tolist(), labels[chosen]
        few = train[0][:30]
        TransferClassifier(encoder).fit(few, np.arange(len(few)) % 2)  # imports what is needed
        key = f"{TASK_NAMES.get(task, task.upper())}, {len(chosen):,} texts of {len(np.unique(labels))} classes"
        test = test_texts[:MOST_TEST_TEXTS].tolist(), truth[:MOST_TEST_TEXTS]
        fits[key] = measure(encoder, train, test, arguments.runs)
        print(key, fits[key], flush=True)
    machine = describe_machine() | {"threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))}
    part = {"machine of many": machine, "runs of many": arguments.runs} if arguments.many else {"machine": machine}
    part |= {} if arguments.many else {"runs": arguments.runs}
    write_results(output, read_results(output) | part | {"fits": fits})


if __name__ == "__main__":
    main()
