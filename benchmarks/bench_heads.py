"""Time fits of logistic regression beside other libraries, with the objective and the accuracy that each reaches.

Run: python benchmarks/bench_heads.py FOLDER [--quick] [--cases two-dense ...] [--runs N] [--device cuda] [--output
PATH]. FOLDER holds the movie reviews `mr` and 20 Newsgroups (see datasets/); a quick run draws small data at random.
Every case runs in a process with one thread and in one with all threads. Rivals alternate, after a fit of each to a
part of the samples that does not count; times are medians in seconds of the clock and of the processor, of as many runs
as 20 seconds allow. An objective is given by what fraction it exceeds the lowest one of its case. LinearSVC and
SGDClassifier minimise other objectives, so that only their accuracy is given. Cases with test samples: 40 classes of
docstrings as embeddings ("dense"), and 20 Newsgroups as sparse rows ("sparse"). "soft" trains on the probabilities of
a network; without them each sample is there once per class. Results go to benchmarks/results/bench_heads.json or PATH.
"""

import argparse
import json
import os
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from data import embed_docstrings, read_labelled, vectorise_newsgroups
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import is_installed
from scipy.sparse import issparse
from scipy.special import log_expit, log_softmax
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from timing import measure_in_process, time_both

from transferkit import LogisticHead, LSAEncoder, MLPHeadClassifier, TfidfEncoder

KEPT = RESULTS / "bench_heads.json"
CASES = ("two-dense", "two-sparse", "two-sparse-5000", "small-dense", "dense", "sparse", "multilabel", "soft")
RUNS = 5
C = {"dense": 10.0, "sparse": 10.0, "soft": 10.0}  # of the other cases 1
EQUAL = 1e-6  # relative difference of objectives that count as equal
N_WARM = 500  # samples of the fits that do not count


class PlainTorch(LogisticRegression):
    """Softmax regression by torch's own L-BFGS: dense features, no preconditioning."""

    def fit(self, X, y):  # noqa: D102
        X, self.classes_ = torch.from_numpy(X), np.unique(y)
        labels = torch.from_numpy(np.searchsorted(self.classes_, y))
        weights = torch.zeros(len(self.classes_), X.shape[1] + 1, requires_grad=True)
        solver = torch.optim.LBFGS([weights], max_iter=1000, tolerance_change=1e-7, line_search_fn="strong_wolfe")

        def evaluate():
            solver.zero_grad()
            scores = X @ weights[:, :-1].T + weights[:, -1]
            loss = torch.nn.functional.cross_entropy(scores, labels)
            loss = loss + weights[:, :-1].square().sum() / (2 * self.C * len(X))
            loss.backward()
            return loss

        solver.step(evaluate)
        self.coef_, self.intercept_ = weights.detach()[:, :-1].numpy(), weights.detach()[:, -1].numpy()
        return self


def draw_data(n_samples, n_features, n_classes):
    """Return normal features, and classes that are noisy linear functions of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    scores = X @ rng.normal(size=(n_features, n_classes)) + rng.gumbel(scale=5, size=(n_samples, n_classes))
    return X, scores.argmax(1)


def draw_labels(X, n_labels):
    """Return indicators of labels that are noisy linear functions of the features."""
    rng = np.random.default_rng(0)
    scores = X @ rng.normal(size=(X.shape[1], n_labels)).astype(np.float32)
    noisy = scores + 0.3 * scores.std() * rng.normal(size=scores.shape)
    return (noisy > np.quantile(noisy, 0.9, axis=0)).astype(int)


def read_case(case, folder, quick):
    """Return features and labels (numbers, indicators or probabilities) of a case, and test data or None."""
    test = None
    if quick:
        X, y = draw_data(600, 20, 2 if case.startswith("two") else 5)
    elif case == "small-dense":
        X, y = draw_data(5000, 128, 20)
    elif case.startswith("two"):
        texts, labels = read_labelled(folder, "mr", "all")
        y = np.unique(labels, return_inverse=True)[1]
        chosen = np.random.default_rng(0).permutation(len(y))[:5000] if case == "two-sparse-5000" else np.arange(len(y))
        texts, y = [texts[k] for k in chosen], y[chosen]
        encoder = LSAEncoder(256, random_state=0) if case == "two-dense" else TfidfEncoder(ngram_range=(1, 2))
        X = encoder.fit_transform(texts)
    else:
        X, X_test, y, y_test = vectorise_newsgroups(folder / "20newsgroups") if case == "sparse" else embed_docstrings()
        names, y = np.unique(y, return_inverse=True)
        test = X_test, np.searchsorted(names, y_test)
    if case == "multilabel":
        return X, draw_labels(X, 5 if quick else 50), None
    if case == "soft":
        teacher = MLPHeadClassifier(64, learning_rate_init=0.01, max_iter=10, random_state=0, device="cpu")
        return X, teacher.fit(X, y).predict_proba(X).astype(np.float64), test
    return X, y, test


def measure_objective(coef, intercept, X, y, C):
    """Return the objective of one model in float64; `y` are numbers of classes, or their probabilities."""
    coef, intercept = (np.asarray(part, dtype=np.float64) for part in (np.atleast_2d(coef), np.ravel(intercept)))
    scores = np.asarray(X.astype(np.float64) @ coef.T) + intercept
    if len(coef) == 1:
        losses = -log_expit(np.where(y > 0, scores[:, 0], -scores[:, 0]))
    elif y.ndim == 2:
        losses = -(y * log_softmax(scores, axis=1)).sum(1)
    else:
        losses = -log_softmax(scores, axis=1)[np.arange(len(y)), y]
    return C * losses.sum() + (coef**2).sum() / 2


def measure_fit(case, model, X, y):
    """Return the objective of a fitted model, summed over the labels of an indicator matrix."""
    if case != "multilabel":
        return measure_objective(model.coef_, model.intercept_, X, y, C.get(case, 1.0))
    singles = getattr(model, "estimators_", None)
    if singles is not None:
        pairs = [(single.coef_, single.intercept_) for single in singles]
    else:
        pairs = zip(model.coef_, model.intercept_, strict=True)
    return sum(measure_objective(*pair, X, column, 1.0) for pair, column in zip(pairs, y.T, strict=True))


def list_models(case, X, y, n_threads, device):
    """Return unfitted models by name: ours, those of the same objective, and those that are only as accurate."""
    strength = C.get(case, 1.0)
    is_binary = y.ndim == 2 or y.max() == 1
    ours = {
        "LogisticHead": LogisticHead(strength, device=device),
        "LogisticHead, tol=1e-6": LogisticHead(strength, tol=1e-6, device=device),
    }
    same = {
        "LogisticRegression": LogisticRegression(C=strength, max_iter=5000),
        "LogisticRegression, tol=1e-6": LogisticRegression(C=strength, max_iter=5000, tol=1e-6),
    }
    others = {}
    if not issparse(X):
        same["LogisticRegression, newton-cholesky"] = LogisticRegression(C=strength, solver="newton-cholesky")
        if is_installed("sklearnex"):
            from sklearnex.linear_model import LogisticRegression as Intelex

            same["scikit-learn-intelex"] = Intelex(C=strength, max_iter=5000)
        if not is_binary:
            same["torch L-BFGS"] = PlainTorch(C=strength)
    if case.startswith("two") and is_installed("snapml"):
        from snapml import LogisticRegression as Snap

        options = {"max_iter": 5000, "fit_intercept": True, "normalize": False, "n_jobs": n_threads}
        for tol in (1e-3, 1e-4):
            same[f"snapml, tol={tol}"] = Snap(regularizer=1 / strength, tol=tol, **options)
    if case == "multilabel":
        same = {name: OneVsRestClassifier(single, n_jobs=n_threads) for name, single in same.items()}
    if case in ("dense", "sparse"):
        others = {"LinearSVC": LinearSVC(), "SGDClassifier": SGDClassifier(n_jobs=n_threads, random_state=0)}
    return ours, same, others


def list_fits(case, X, y, n_threads, device):
    """Return functions that fit each model to samples, and the names of the models whose objective is the same."""
    if case == "soft":
        n_classes = y.shape[1]
        rivals = {
            "LogisticHead, one row per class": LogisticHead(C[case], device=device),
            "LogisticRegression, one row per class": LogisticRegression(C=C[case], max_iter=1000),
        }

        def fit_soft(X, y):
            return LogisticHead(C[case], device=device).fit_soft(X, y, classes=np.arange(n_classes))

        def fit_rows(model, X, y):
            labels = np.repeat(np.arange(n_classes), len(X))
            return model.fit(np.tile(X, (n_classes, 1)), labels, sample_weight=y.T.ravel())

        fits = {"LogisticHead": fit_soft} | {name: partial(fit_rows, model) for name, model in rivals.items()}
        return fits, list(fits)
    ours, same, others = list_models(case, X, y, n_threads, device)
    models = ours | same | others
    return {name: lambda X, y, model=model: model.fit(X, y) for name, model in models.items()}, [*ours, *same]


def warm_up(fits, X, y):
    """Fit each model to a part of the samples that has all classes; the first use of a library loads it."""
    order = np.random.default_rng(0).permutation(X.shape[0])[:N_WARM]
    if y.ndim == 1:
        first = np.unique(y, return_index=True)[1]
        order = np.union1d(order, first)
    for fit in fits.values():
        fit(X[order], y[order])


def run_case(case, folder, n_threads, runs, quick, device):
    """Return times, objectives and accuracies of one case in this process."""
    X, y, test = read_case(case, folder, quick)
    fits, comparable = list_fits(case, X, y, n_threads, device)
    warm_up(fits, X, y)
    result, found = time_both({name: partial(fit, X, y) for name, fit in fits.items()}, runs)
    objectives = {name: measure_fit(case, found[name], X, y) for name in comparable}
    lowest = min(objectives.values())
    result["shape"] = [*X.shape, int(y.shape[1] if y.ndim == 2 else y.max() + 1)]
    result["excess_of_objective"] = {name: value / lowest - 1 for name, value in objectives.items()}
    if test is not None:
        result["accuracy"] = {name: 100 * float(model.score(*test)) for name, model in found.items()}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="small random data")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=KEPT)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quick, runs, device = arguments.quick, arguments.runs, arguments.device
    if arguments.case is not None:
        warnings.simplefilter("ignore")
        print(json.dumps(run_case(arguments.case, arguments.folder, arguments.threads, runs, quick, device)))
        return
    path = choose_output(arguments.output, KEPT, quick)
    for case in arguments.cases:
        words = ["--case", case, "--runs", runs, "--device", device, *["--quick"] * quick]
        words += [arguments.folder] if arguments.folder else []
        for n_threads in sorted({1, os.cpu_count()} if device == "cpu" else {os.cpu_count()}):
            found = measure_in_process(__file__, words, n_threads)
            results = read_results(path)  # other scripts may have added to the file
            results["machine"] = describe_machine(device)
            results.setdefault(case, {})["one thread" if n_threads == 1 else "all threads"] = found
            write_results(path, results)  # after each case, so that an interrupted run keeps its results
            print(json.dumps({f"{case}, threads: {n_threads}": found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
