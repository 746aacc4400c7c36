"""Time training, tuning and predicting of heads, at the same loss as scikit-learn's models.

Run: python benchmarks/bench_heads.py --data-home FOLDER [--cases dense sparse ...] [--device cuda] [--output PATH].
FOLDER holds scikit-learn's copy of 20 Newsgroups (also found through SCIKIT_LEARN_DATA, downloaded otherwise). Rivals
and heads alternate; times are medians in seconds. Results go to benchmarks/results/bench_heads.json or PATH; those of
cases that are not run are kept.
"""

import argparse
import json
import os
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from results import RESULTS, describe_machine, read_results, write_results
from scipy.special import log_expit, log_softmax
from sklearn.datasets import fetch_20newsgroups, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from timing import time_alternating

from transferkit import KMeansEncoder, LogisticHead, LogisticHeadCV, LSAEncoder, MLPHeadClassifier, TfidfEncoder
from transferkit.datasets import load_docstrings

C = 10.0
MANY_CORES = 8  # with at least this many, rivals run all folds of a search


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


def measure_objective(model, X, y, C=C):
    scores = np.asarray(X.astype(np.float64) @ model.coef_.T.astype(np.float64)) + model.intercept_
    losses = -log_softmax(scores, axis=1)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return C * losses.sum() + (model.coef_.astype(np.float64) ** 2).sum() / 2


def compare_fits(X, y, T, truth, others, repeats, device):
    """Time one fit of each model; the head counts only if its loss is as low as the rival's."""
    makers = {
        "LogisticHead": lambda: LogisticHead(C=C, device=device).fit(X, y),
        "LogisticRegression": lambda: LogisticRegression(C=C, max_iter=1000).fit(X, y),
    }
    seconds, models = time_alternating(makers, repeats)
    seconds_of_others, others = time_alternating({name: lambda m=m: m.fit(X, y) for name, m in others.items()}, 1)
    objectives = {name: measure_objective(model, X, y) for name, model in models.items()}
    models |= others
    return {
        "shape": [*X.shape, len(np.unique(y))],
        "seconds": seconds | seconds_of_others,
        "accuracy": {name: float(model.score(T, truth)) for name, model in models.items()},
        "objective": objectives,
        "equal_objective": bool(objectives["LogisticHead"] <= objectives["LogisticRegression"] * (1 + 1e-4)),
        "times_faster": seconds["LogisticRegression"] / seconds["LogisticHead"],
    }


def compare_soft_fits(X, y, T, truth, repeats, device):
    """Time fits to the probabilities that a network predicts; without them each row is there once per class."""
    teacher = MLPHeadClassifier(64, learning_rate_init=0.01, max_iter=10, random_state=0, device="cpu").fit(X, y)
    probabilities, classes = teacher.predict_proba(X).astype(np.float64), teacher.classes_
    rows, labels = np.tile(X, (len(classes), 1)), np.repeat(classes, len(X))
    weights = probabilities.T.ravel()
    makers = {
        "fit_soft": lambda: LogisticHead(C=C, device=device).fit_soft(X, probabilities, classes=classes),
        "fit": lambda: LogisticHead(C=C, device=device).fit(X, y),
    }
    seconds, models = time_alternating(makers, repeats)
    rivals = {
        "LogisticHead, one row per class": LogisticHead(C=C, device=device),
        "LogisticRegression, one row per class": LogisticRegression(C=C, max_iter=1000),
    }
    seconds_of_rivals, rivals = time_alternating(
        {name: lambda m=m: m.fit(rows, labels, sample_weight=weights) for name, m in rivals.items()}, 1
    )
    objectives = {
        name: measure_soft_objective(model, X, probabilities)
        for name, model in (models | rivals).items()
        if name != "fit"
    }
    least = objectives["LogisticRegression, one row per class"]
    return {
        "shape": [*X.shape, len(classes)],
        "seconds": seconds | seconds_of_rivals,
        "accuracy": {name: float(model.score(T, truth)) for name, model in (models | rivals).items()},
        "accuracy_of_teacher": float(teacher.score(T, truth)),
        "objective": objectives,
        "equal_objective": bool(objectives["fit_soft"] <= least * (1 + 1e-4)),
        "times_faster": seconds_of_rivals["LogisticRegression, one row per class"] / seconds["fit_soft"],
    }


def measure_soft_objective(model, X, probabilities, C=C):
    scores = np.asarray(X.astype(np.float64) @ model.coef_.T.astype(np.float64)) + model.intercept_
    losses = -(probabilities * log_softmax(scores, axis=1)).sum(1)
    return C * losses.sum() + (model.coef_.astype(np.float64) ** 2).sum() / 2


def compare_searches(X, y, device):
    """Time a search of 10 C and 5 folds; on few cores only one fold of the rival, which the results state."""
    cores = os.cpu_count()
    Cs, rival_folds = np.logspace(-4, 4, 10), 5 if cores >= MANY_CORES else 1
    folds = list(StratifiedKFold(5).split(X, y))
    single = LogisticRegression(max_iter=1000)
    rival = GridSearchCV(single, {"C": Cs}, cv=folds[:rival_folds], refit=False, n_jobs=cores)
    search = LogisticHeadCV(Cs, cv=folds, refit=False, device=device)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        search.fit(X, y)  # the first call of each kernel loads it
    seconds, found = time_alternating({"LogisticHeadCV": lambda: search.fit(X, y)}, 3 if on_gpu else 1)
    seconds_of_rival, found_of_rival = time_alternating({"GridSearchCV": lambda: rival.fit(X, y)}, 1)
    seconds, found = seconds | seconds_of_rival, found | found_of_rival
    ours, theirs = (
        np.array([found[name].cv_results_[f"split{i}_test_score"] for i in range(rival_folds)]) for name in seconds
    )
    return {
        "shape": [*X.shape, len(np.unique(y))],
        "seconds": seconds,
        "rival_folds": rival_folds,
        "rival_processes": cores,
        "best_C": {"LogisticHeadCV": found["LogisticHeadCV"].C_, "GridSearchCV": float(Cs[theirs.mean(0).argmax()])},
        "mean_scores": {"LogisticHeadCV": ours.mean(0).tolist(), "GridSearchCV": theirs.mean(0).tolist()},
        "largest_difference_of_mean_scores": float(np.abs(ours.mean(0) - theirs.mean(0)).max()),
        "difference_at_the_best_C": float(np.abs(ours.mean(0).max() - theirs.mean(0).max())),
        "times_faster": seconds["GridSearchCV"] * 5 / rival_folds / seconds["LogisticHeadCV"],
    }


def compare_small_searches(S, labels, repeats):
    """Time whole searches on few labelled rows: digits encoded with more features than rows, and sparse texts."""
    pixels, y = load_digits(return_X_y=True)
    X = KMeansEncoder(128, patches=(3, 1), image_shape=(8, 8), random_state=0).fit_transform(pixels / 16)
    digits, texts = (
        np.concatenate([np.flatnonzero(classes == label)[:n] for label in np.unique(classes)])
        for classes, n in ((y, 10), (labels, 8))
    )
    dense = StandardScaler().fit_transform(X[digits]).astype(np.float32)
    problems = {"dense": (dense, y[digits]), "sparse": (S[texts], labels[texts])}
    Cs, results = np.logspace(-4, 4, 10), {}
    for name, (features, classes) in problems.items():
        makers = {
            "LogisticHeadCV": lambda X=features, y=classes: LogisticHeadCV(Cs, device="cpu").fit(X, y),
            "GridSearchCV": lambda X=features, y=classes: GridSearchCV(
                LogisticRegression(max_iter=1000), {"C": Cs}, cv=5, n_jobs=os.cpu_count()
            ).fit(X, y),
        }
        seconds, found = time_alternating(makers, repeats)
        results[name] = {
            "shape": [*features.shape, len(np.unique(classes))],
            "seconds": seconds,
            "best_score": {key: float(model.best_score_) for key, model in found.items()},
            "times_faster": seconds["GridSearchCV"] / seconds["LogisticHeadCV"],
        }
    return results


def compare_multilabel(X, device, repeats, n_labels=50):
    """Time labels that are noisy linear functions of the features."""
    rng = np.random.default_rng(0)
    scores = X @ rng.normal(size=(X.shape[1], n_labels)).astype(np.float32)
    y = (scores + 0.3 * scores.std() * rng.normal(size=scores.shape) > np.quantile(scores, 0.9, axis=0)).astype(int)
    makers = {
        "LogisticHead": lambda: LogisticHead(C=C, device=device).fit(X, y),
        "OneVsRestClassifier": lambda: OneVsRestClassifier(
            LogisticRegression(C=C, max_iter=1000), n_jobs=os.cpu_count()
        ).fit(X, y),
    }
    seconds, models = time_alternating(makers, repeats)
    singles = models["OneVsRestClassifier"].estimators_
    pairs = {
        "LogisticHead": zip(models["LogisticHead"].coef_, models["LogisticHead"].intercept_, strict=True),
        "OneVsRestClassifier": ((single.coef_[0], single.intercept_[0]) for single in singles),
    }
    objectives = {
        name: [measure_binary_objective(*pair, X, column) for pair, column in zip(found, y.T, strict=True)]
        for name, found in pairs.items()
    }
    ours, theirs = (np.array(values) for values in objectives.values())
    return {
        "seconds": seconds,
        "objective": {name: float(np.sum(values)) for name, values in objectives.items()},
        "equal_objective": bool((ours <= theirs * (1 + 1e-4)).all()),
        "times_faster": seconds["OneVsRestClassifier"] / seconds["LogisticHead"],
    }


def measure_binary_objective(coef, intercept, X, y):
    scores = X.astype(np.float64) @ coef.astype(np.float64) + intercept
    return C * -log_expit(np.where(y > 0, scores, -scores)).sum() + (coef.astype(np.float64) ** 2).sum() / 2


def compare_one_row(X, y):
    """Time predict_proba of one sparse row."""
    few = np.flatnonzero(np.random.default_rng(0).random(len(y)) < 0.1)
    models = {
        "LogisticHead": LogisticHead().fit(X[few], y[few]),
        "LogisticRegression": LogisticRegression(max_iter=20, tol=0.1).fit(X[few], y[few]),
    }
    row = X[:1]
    seconds, _ = time_alternating({name: lambda m=m: m.predict_proba(row) for name, m in models.items()}, 200)
    return {"seconds": seconds, "times_faster": seconds["LogisticRegression"] / seconds["LogisticHead"]}


def compare_one_text(data_home):
    """Time predict_proba of one short text through encoder and classifier, each library with its own."""
    train = fetch_20newsgroups(subset="train", data_home=data_home)
    some = slice(0, 600)
    pipelines = {}
    for name, encoder, head in (
        ("transferkit", TfidfEncoder(sublinear_tf=True), LogisticHead()),
        ("scikit-learn", TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=20, tol=0.1)),
    ):
        X = encoder.fit_transform(train.data)  # all terms; the time of one prediction does not depend on the weights
        pipelines[name] = Pipeline([("encoder", encoder), ("head", head.fit(X[some], train.target[some]))])
    text = ["Does anyone know a good graphics card for an old 486 with a VESA bus?"]
    seconds, _ = time_alternating({name: lambda p=p: p.predict_proba(text) for name, p in pipelines.items()}, 100)
    return {
        "terms": X.shape[1],
        "seconds": seconds,
        "times_faster": seconds["scikit-learn"] / seconds["transferkit"],
    }


def load_dense():
    bunch = load_docstrings()
    labels, counts = np.unique(bunch.target, return_counts=True)
    kept = np.isin(bunch.target, labels[np.argsort(-counts)[:40]])
    texts = [text for text, keep in zip(bunch.data, kept, strict=True) if keep]
    X = np.asarray(LSAEncoder(n_components=256, random_state=0).fit_transform(texts), dtype=np.float32)
    return train_test_split(X, np.asarray(bunch.target)[kept], test_size=0.2, random_state=0)


def load_sparse(data_home):
    train, test = (fetch_20newsgroups(subset=part, data_home=data_home) for part in ("train", "test"))
    encoder = TfidfEncoder(sublinear_tf=True).fit(train.data)
    X, T = (sp.csr_matrix(encoder.transform(part.data)) for part in (train, test))
    return X, T, train.target, test.target


def read_arguments(cases):
    """Return the options of a benchmark of heads, and the results that are already in its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-home")
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_heads.json")
    arguments = parser.parse_args()
    results = read_results(arguments.output)
    results["machine"] = describe_machine(arguments.device)
    return arguments, results


def main():
    names = ["dense", "soft", "sparse", "search-dense", "search-sparse", "search-few", "multilabel"]
    names += ["one-row", "one-text"]
    arguments, results = read_arguments(names)
    warnings.simplefilter("ignore")
    cases, device = set(arguments.cases), arguments.device
    on_gpu = device.startswith("cuda")
    repeats = 1 if on_gpu else 3
    makers = {}
    if cases & {"dense", "soft", "search-dense", "multilabel"}:
        X, T, y, truth = load_dense()
        LogisticHead(device=device).fit(X[:500], y[:500])  # the first use of torch loads it
        others = {"torch L-BFGS": PlainTorch(C=C), "LinearSVC": LinearSVC(), "SGDClassifier": SGDClassifier()}
        others = {} if on_gpu else others
        makers["dense"] = lambda: compare_fits(X, y, T, truth, others, repeats, device)
        makers["soft"] = lambda: compare_soft_fits(X, y, T, truth, repeats, device)
        makers["search-dense"] = lambda: compare_searches(X, y, device)
        makers["multilabel"] = lambda: compare_multilabel(X, device, repeats)
    if cases & {"sparse", "search-sparse", "search-few", "one-row"}:
        S, S_test, labels, S_truth = load_sparse(arguments.data_home)
        LogisticHead(device=device).fit(S[:500], labels[:500])
        sparse_others = {} if on_gpu else {"LinearSVC": LinearSVC(), "SGDClassifier": SGDClassifier()}
        makers["sparse"] = lambda: compare_fits(S, labels, S_test, S_truth, sparse_others, 1, device)
        makers["search-sparse"] = lambda: compare_searches(S, labels, device)
        makers["search-few"] = lambda: compare_small_searches(S, labels, 3)
        makers["one-row"] = lambda: compare_one_row(S, labels)
    makers["one-text"] = lambda: compare_one_text(arguments.data_home)
    for name in names:
        if name in cases:
            results[name] = makers[name]()
            write_results(arguments.output, results)  # after each case, so that an interrupted run keeps its results
            print(json.dumps({name: results[name]}, indent=2), flush=True)


if __name__ == "__main__":
    main()
