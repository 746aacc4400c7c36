"""Measure how much longer fits take while other processes keep the processor busy, with the default number of threads.

Run ``python benchmarks/bench_busy.py [--runs 5] [--quick] [--output FILE]`` on an otherwise quiet machine, without
OMP_NUM_THREADS and its like. Two processes per core that only count are started for each fit of the second kind. One
thread of ours then has about two fifths of a core on two cores, so 2.5 is the least ratio without a gain from threads.
Fits alone and beside the others alternate; medians are reported. The rival is TfidfVectorizer and LogisticRegressionCV.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from data import draw_per_class, split_docstrings
from results import RESULTS, choose_output, describe_machine, write_results
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from timing import timed

from transferkit import LogisticHead, TransferClassifier, WordVectorEncoder

KEPT = RESULTS / "bench_busy.json"
CS = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_BUSY = 2 * (os.cpu_count() or 1)


@contextmanager
def busy(n_processes):
    """Keep the processor busy with other processes."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def make_fits(quick):
    """Return functions that fit, by name."""
    texts, labels, *_ = split_docstrings(120)
    chosen = draw_per_class(labels, 8 if quick else 16, np.random.RandomState(0))
    few, few_labels = texts[chosen], labels[chosen]
    encoder = WordVectorEncoder().fit(texts)
    X, y = encoder.transform(texts), labels
    rival = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegressionCV(Cs=CS, cv=5, max_iter=1000))
    return {
        f"`TransferClassifier`, {len(few)} texts": lambda: TransferClassifier(encoder).fit(few, few_labels),
        f"scikit-learn, {len(few)} texts": lambda: rival.fit(few, few_labels),
        f"`LogisticHead`, {X.shape[0]:,} x {X.shape[1]}": lambda: LogisticHead().fit(X, y),
        f"`WordVectorEncoder`, {len(texts):,} texts": lambda: WordVectorEncoder().fit(texts),
    }


def measure(fit, n_runs):
    """Return the medians of seconds alone and beside busy processes, in turns, and their ratio."""
    fit()
    seconds = {"alone": [], "busy": []}
    for _ in range(n_runs):
        for name, others in (("alone", nullcontext()), ("busy", busy(N_BUSY))):
            with others:
                seconds[name].append(timed(fit)[1])
    alone, beside = (statistics.median(values) for values in seconds.values())
    return {"alone, s": alone, f"beside {N_BUSY} busy processes, s": beside, "ratio": beside / alone}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=KEPT)
    args = parser.parse_args()
    report = {"runs": args.runs, "load_before": os.getloadavg()[0], "machine": describe_machine("cpu"), "fits": {}}
    with warnings.catch_warnings(action="ignore"):
        for name, fit in make_fits(args.quick).items():
            report["fits"][name] = measure(fit, args.runs)
            print(name, json.dumps(report["fits"][name]), flush=True)
    write_results(choose_output(args.output, KEPT, args.quick), report)


if __name__ == "__main__":
    main()
