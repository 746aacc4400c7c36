"""Time fits of two classes, small dense fits, searches and labels by label, with the objective that each reaches.

Run: python benchmarks/bench_small_heads.py FOLDER [--quick] [--cases two-dense ...] [--runs N] [--output PATH].
FOLDER holds the movie reviews `mr` (see datasets/). Every case runs in a process with one thread and in one with all
threads. Rivals alternate, after one fit of each that does not count (of a search after one fold of it); times are
medians in seconds of the clock and of the processor. An objective is given by what fraction it exceeds the lowest one
of its case. Searches of rivals run once. Results go to benchmarks/results/bench_small_heads.json or PATH.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import is_installed
from scipy.sparse import issparse
from scipy.special import log_expit, log_softmax
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier

KEPT = RESULTS / "bench_small_heads.json"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RUNS = 5
C = 1.0
CS = np.logspace(-4, 4, 10)
EQUAL = 1e-6  # relative difference of objectives that count as equal


def read_case(case, folder, quick):
    """Return features and labels of a case: real texts, or drawn at random in a quick run."""
    from bench_heads import load_dense
    from data import read_labelled

    from transferkit import LSAEncoder, TfidfEncoder

    rng = np.random.default_rng(0)
    if case == "small-dense" or quick:
        n_rows, n_features, n_classes = (5000, 128, 20) if case == "small-dense" else (400, 20, 2)
        X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
        scores = X @ rng.normal(size=(n_features, n_classes)) + rng.gumbel(scale=5, size=(n_rows, n_classes))
        return X, scores.argmax(1)
    if case in ("search", "multilabel"):
        X, _, y, _ = load_dense()
        return X, np.unique(y, return_inverse=True)[1]
    texts, labels = read_labelled(folder, "mr", "all")
    y = np.unique(labels, return_inverse=True)[1]
    if case == "two-dense":
        X = LSAEncoder(n_components=256, random_state=0).fit_transform(texts)
        return np.asarray(X, dtype=np.float32), y
    rows = np.arange(len(y)) if case == "two-sparse" else rng.permutation(len(y))[:5000]
    return TfidfEncoder(ngram_range=(1, 2)).fit_transform([texts[row] for row in rows]).tocsr(), y[rows]


def draw_labels(X, n_labels):
    """Return indicators of labels that are noisy linear functions of the features."""
    rng = np.random.default_rng(0)
    scores = X @ rng.normal(size=(X.shape[1], n_labels)).astype(np.float32)
    noisy = scores + 0.3 * scores.std() * rng.normal(size=scores.shape)
    return (noisy > np.quantile(noisy, 0.9, axis=0)).astype(int)


def measure_objective(coef, intercept, X, y):
    """Return the objective of one model, in float64."""
    coef, intercept = (np.asarray(part, dtype=np.float64) for part in (np.atleast_2d(coef), intercept))
    scores = np.asarray(X.astype(np.float64) @ coef.T) + intercept
    if len(coef) == 1:
        losses = -log_expit(np.where(y > 0, scores[:, 0], -scores[:, 0]))
    else:
        losses = -log_softmax(scores, axis=1)[np.arange(len(y)), y]
    return C * losses.sum() + (coef**2).sum() / 2


def measure_fit(model, X, y):
    """Return the objective of a fitted model, summed over the labels of an indicator matrix."""
    if y.ndim == 1:
        return measure_objective(model.coef_, np.ravel(model.intercept_), X, y)
    singles = getattr(model, "estimators_", None)
    if singles is not None:
        pairs = [(single.coef_, single.intercept_) for single in singles]
    else:
        pairs = zip(model.coef_, model.intercept_, strict=True)
    return sum(measure_objective(*pair, X, column) for pair, column in zip(pairs, y.T, strict=True))


def list_fits(X, y, n_threads):
    """Return functions that fit each model to the data."""
    from transferkit import LogisticHead

    def wrap(single):
        return single if y.ndim == 1 else OneVsRestClassifier(single, n_jobs=n_threads)

    models = {
        "LogisticHead": LogisticHead(C, device="cpu"),
        "LogisticHead, tol=1e-6": LogisticHead(C, tol=1e-6, device="cpu"),
        "LogisticRegression": wrap(LogisticRegression(C=C, max_iter=5000)),
        "LogisticRegression, tol=1e-6": wrap(LogisticRegression(C=C, max_iter=5000, tol=1e-6)),
    }
    is_binary = y.ndim == 2 or y.max() == 1
    if not issparse(X) and is_binary:
        models["LogisticRegression, newton-cholesky"] = wrap(LogisticRegression(C=C, solver="newton-cholesky"))
    if is_installed("sklearnex"):
        from sklearnex.linear_model import LogisticRegression as Intelex

        models["scikit-learn-intelex"] = wrap(Intelex(C=C, max_iter=5000))
    if is_binary and y.ndim == 1 and is_installed("snapml"):
        from snapml import LogisticRegression as Snap

        for tol in (1e-3, 1e-4):
            options = {"regularizer": 1 / C, "max_iter": 5000, "fit_intercept": True, "normalize": False}
            models[f"snapml, tol={tol}"] = Snap(tol=tol, n_jobs=n_threads, **options)
    return {name: lambda model=model: model.fit(X, y) for name, model in models.items()}


def time_both(makers, runs):
    """Return the median seconds of the clock and of the processor of each maker, called in turns, and the results."""
    clock, processor, found = {name: [] for name in makers}, {name: [] for name in makers}, {}
    for _ in range(runs):
        for name, make in makers.items():
            began, began_processor = time.perf_counter(), time.process_time()
            found[name] = make()
            processor[name].append(time.process_time() - began_processor)
            clock[name].append(time.perf_counter() - began)
    return *({name: statistics.median(times) for name, times in kind.items()} for kind in (clock, processor)), found


def compare_fits(X, y, n_threads, runs):
    """Return the times and objectives of fits, and the speed-up over each rival at its objective or a lower one."""
    makers = list_fits(X, y, n_threads)
    for make in makers.values():
        make()
    clock, processor, found = time_both(makers, runs)
    objectives = {name: measure_fit(model, X, y) for name, model in found.items()}
    lowest = min(objectives.values())
    ours = [name for name in makers if name.startswith("LogisticHead")]

    def speed_up(rival):
        equal = [clock[name] for name in ours if objectives[name] <= objectives[rival] * (1 + EQUAL)]
        return clock[rival] / min(equal) if equal else None

    return {
        "shape": [*X.shape, int(y.shape[1] if y.ndim == 2 else y.max() + 1)],
        "runs": runs,
        "seconds": clock,
        "processor_seconds": processor,
        "excess_of_objective": {name: value / lowest - 1 for name, value in objectives.items()},
        "times_faster_at_its_objective": {name: speed_up(name) for name in makers if name not in ours},
    }


def list_searches(folds, n_threads, Cs=CS):
    """Return searches by name, each as the model and the function that reads its mean scores."""
    from transferkit import LogisticHeadCV

    def read_grid(model):
        return model.cv_results_["mean_test_score"]

    def read_path(model):
        return model.scores_.mean(0).ravel()

    options = {"cv": folds, "n_jobs": n_threads}
    searches = {
        "LogisticHeadCV": (LogisticHeadCV(Cs, cv=folds, device="cpu"), read_grid),
        "GridSearchCV": (GridSearchCV(LogisticRegression(max_iter=5000), {"C": Cs}, **options), read_grid),
        "LogisticRegressionCV": (
            LogisticRegressionCV(Cs=Cs, max_iter=5000, l1_ratios=(0,), use_legacy_attributes=False, **options),
            read_path,
        ),
    }
    if is_installed("sklearnex"):
        from sklearnex.linear_model import LogisticRegression as Intelex

        grid = GridSearchCV(Intelex(max_iter=5000), {"C": Cs}, **options)
        searches["GridSearchCV of scikit-learn-intelex"] = (grid, read_grid)
    return searches


def compare_searches(X, y, n_threads, runs):
    """Return the times of searches, and how far their mean scores are from those of a search at a tight tolerance."""
    from transferkit import LogisticHeadCV

    folds = list(StratifiedKFold(5).split(X, y))
    for model, _ in list_searches(folds[:1], n_threads, [1.0]).values():  # starts the processes of joblib
        model.fit(X, y)
    searches = list_searches(folds, n_threads)
    makers = {name: lambda model=model: model.fit(X, y) for name, (model, _) in searches.items()}
    clock, processor, found = time_both({"LogisticHeadCV": makers.pop("LogisticHeadCV")}, runs)
    for times, new in zip((clock, processor, found), time_both(makers, 1), strict=True):
        times.update(new)
    tight = LogisticHeadCV(CS, cv=folds, tol=1e-7, max_iter=5000, refit=False, device="cpu").fit(X, y)
    truth = tight.cv_results_["mean_test_score"]
    scores = {name: read(found[name]) for name, (_, read) in searches.items()}
    return {
        "shape": [*X.shape, int(y.max() + 1)],
        "runs": runs,
        "seconds": clock,
        "processor_seconds": processor,  # without those of joblib's processes
        "best_mean_score": {name: float(values.max()) for name, values in scores.items()},
        "largest_error_of_mean_scores_in_points": {
            name: float(100 * np.abs(values - truth).max()) for name, values in scores.items()
        },
        "times_faster": {name: clock[name] / clock["LogisticHeadCV"] for name in makers},
    }


def run_case(case, folder, n_threads, runs, quick):
    """Return the results of one case in this process."""
    warnings.simplefilter("ignore")
    X, y = read_case(case, folder, quick)
    if case == "search":
        return compare_searches(X, y, n_threads, runs)
    return compare_fits(X, draw_labels(X, 5 if quick else 50) if case == "multilabel" else y, n_threads, runs)


def run_process(case, n_threads, arguments):
    """Return the results of one case in a process with as many threads."""
    words = [sys.executable, __file__, "--case", case, "--threads", str(n_threads), "--runs", str(arguments.runs)]
    words += ["--quick"] * arguments.quick + ([arguments.folder] if arguments.folder else [])
    environment = os.environ | dict.fromkeys(THREADS, str(n_threads))
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


CASES = ("two-dense", "two-sparse", "two-sparse-5000", "small-dense", "multilabel", "search")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="small random data")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=KEPT)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        found = run_case(arguments.case, arguments.folder, arguments.threads, arguments.runs, arguments.quick)
        print(json.dumps(found))
        return
    path = choose_output(arguments.output, KEPT, arguments.quick)
    results = read_results(path)
    results["machine"] = describe_machine("cpu")
    for case in arguments.cases:
        for n_threads in sorted({1, os.cpu_count()}):
            found = run_process(case, n_threads, arguments)
            results.setdefault(case, {})["one thread" if n_threads == 1 else "all threads"] = found
            write_results(path, results)  # after each case, so that an interrupted run keeps its results
            print(json.dumps({f"{case}, threads: {n_threads}": found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
