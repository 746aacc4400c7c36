"""Time searches for C beside those of other libraries, with the scores that each finds.

Run: python benchmarks/bench_searches.py FOLDER [--quick] [--cases many ...] [--runs N] [--output PATH]. FOLDER holds 20
Newsgroups (see datasets/). A search fits 10 C in 5 folds and the best C to all samples. "many" and "medium" are
embeddings of docstrings: 6,443 samples with 256 features of 40 classes, and 1,000 with 64 of 20; "few-sparse" are 8
texts per class of 20 Newsgroups, of whose terms only those of these texts are kept, and "few-dense" 10 of
scikit-learn's digits per class, as activations of a codebook of patches. Every case runs in a process with one thread
and in one with all threads (of rivals: processes of joblib, started before). Rivals alternate, after a search of one
fold that does not count; times are medians of as many runs as 20 seconds allow. Scores are compared with those of a
search at a tight tolerance. Results go to benchmarks/results/bench_searches.json or PATH.
"""

import argparse
import json
import os
import warnings
from pathlib import Path

import numpy as np
from data import draw_per_class, embed_docstrings, vectorise_newsgroups
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import is_installed
from scipy.sparse import issparse
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from timing import measure_in_process, time_both

from transferkit import KMeansEncoder, LogisticHeadCV

KEPT = RESULTS / "bench_searches.json"
CASES = ("many", "medium", "few-sparse", "few-dense")
CS = np.logspace(-4, 4, 10)


def read_case(case, folder, quick):
    """Return features and numbers of classes."""
    rng = np.random.default_rng(0)
    if quick:
        X, y = load_digits(return_X_y=True)
        return (X[:300] / 16).astype(np.float32), y[:300]
    if case == "few-dense":
        pixels, y = load_digits(return_X_y=True)
        X = KMeansEncoder(128, patches=(3, 1), image_shape=(8, 8), random_state=0).fit_transform(pixels / 16)
        chosen = draw_per_class(y, 10, rng)
        return StandardScaler().fit_transform(X[chosen]).astype(np.float32), y[chosen]
    if case == "few-sparse":
        X, _, y, _ = vectorise_newsgroups(folder / "20newsgroups")
        chosen = draw_per_class(y, 8, rng)
        X = X[chosen]
        return X[:, np.flatnonzero(X.getnnz(axis=0))], y[chosen]
    X, _, y, _ = embed_docstrings() if case == "many" else embed_docstrings(20, 64)
    y = np.unique(y, return_inverse=True)[1]
    return (X, y) if case == "many" else (X[:1000], y[:1000])


def list_searches(X, folds, n_threads, Cs):
    """Return searches by name, each as the model and the function that reads its mean scores."""

    def read_grid(model):
        return model.cv_results_["mean_test_score"]

    def read_path(model):
        return model.scores_.mean(0).ravel()

    options = {"cv": folds, "n_jobs": n_threads}
    searches = {"LogisticHeadCV": (LogisticHeadCV(Cs, cv=folds, device="cpu"), read_grid)}
    for name, tol in (("", 1e-4), (", tol=1e-6", 1e-6)):
        single = LogisticRegression(max_iter=5000, tol=tol)
        path = LogisticRegressionCV(
            Cs=Cs, tol=tol, max_iter=5000, l1_ratios=(0,), use_legacy_attributes=False, **options
        )
        searches[f"GridSearchCV{name}"] = GridSearchCV(single, {"C": Cs}, **options), read_grid
        searches[f"LogisticRegressionCV{name}"] = path, read_path
    if is_installed("sklearnex") and not issparse(X):
        from sklearnex.linear_model import LogisticRegression as Intelex

        grid = GridSearchCV(Intelex(max_iter=5000), {"C": Cs}, **options)
        searches["GridSearchCV of scikit-learn-intelex"] = grid, read_grid
    return searches


def run_case(case, folder, n_threads, runs, quick):
    """Return times of searches, and how far their mean scores are from those of a search at a tight tolerance."""
    X, y = read_case(case, folder, quick)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    for model, _ in list_searches(X, folds[:1], n_threads, [1.0]).values():  # starts the processes of joblib
        model.fit(X, y)
    searches = list_searches(X, folds, n_threads, CS)
    result, found = time_both({name: lambda m=model: m.fit(X, y) for name, (model, _) in searches.items()}, runs)
    tight = LogisticHeadCV(CS, cv=folds, tol=1e-7, max_iter=5000, refit=False, device="cpu").fit(X, y)
    truth = tight.cv_results_["mean_test_score"]
    scores = {name: read(found[name]) for name, (_, read) in searches.items()}
    return {
        "shape": [*X.shape, int(y.max() + 1)],
        **result,
        "best_mean_score": {name: 100 * float(values.max()) for name, values in scores.items()},
        "largest_error_of_mean_scores_in_points": {
            name: float(100 * np.abs(values - truth).max()) for name, values in scores.items()
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="a few digits")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=KEPT)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quick, runs = arguments.quick, arguments.runs
    if arguments.case is not None:
        warnings.simplefilter("ignore")
        print(json.dumps(run_case(arguments.case, arguments.folder, arguments.threads, runs, quick)))
        return
    path = choose_output(arguments.output, KEPT, quick)
    results = read_results(path)
    results["machine"] = describe_machine("cpu")
    for case in arguments.cases:
        words = ["--case", case, "--runs", runs, *["--quick"] * quick]
        words += [arguments.folder] if arguments.folder else []
        for n_threads in sorted({1, os.cpu_count()}):
            found = measure_in_process(__file__, words, n_threads)
            results.setdefault(case, {})["one thread" if n_threads == 1 else "all threads"] = found
            write_results(path, results)  # after each case, so that an interrupted run keeps its results
            print(json.dumps({f"{case}, threads: {n_threads}": found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
