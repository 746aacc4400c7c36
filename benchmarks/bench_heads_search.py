"""Compare LogisticHeadCV with full grid searches over LogisticRegression, and draw how training time grows.

Run: python benchmarks/bench_heads_search.py [--device cuda] [--output PATH]. The data are a small part of the
docstrings, so that the rivals can run all five folds, also at a tolerance at which they reach the optimum; all scores
are compared with those of a search at a tight tolerance. Results go to benchmarks/results/bench_heads.json
("search-fair") or PATH, and the picture to the same folder.
"""

import json
import os
import time
import warnings

import numpy as np
import torch
from bench_heads import load_dense, measure_objective, read_arguments
from results import write_results
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from timing import time_alternating

from transferkit import LogisticHead, LogisticHeadCV

CS = np.logspace(-2, 3, 10)
MEDIUM = {"rows": 2000, "features": 64, "classes": 10, "candidates": 3}
GROWTH = {
    "rows": [500, 1000, 2000, 4000, 8000],
    "features": [16, 32, 64, 128, 256],
    "classes": [3, 5, 10, 20, 40],
    "candidates": [1, 2, 4, 8],
}


def load_part(n_rows=1000, n_features=64):
    X, _, y, _ = load_dense()
    labels, counts = np.unique(y, return_counts=True)
    kept = np.flatnonzero(np.isin(y, labels[np.argsort(-counts)[:20]]))[:n_rows]
    return np.ascontiguousarray(X[kept, :n_features]), y[kept]


def compare_searches(X, y, repeats, device):
    folds = list(StratifiedKFold(5).split(X, y))

    def search(tol):
        single = LogisticRegression(tol=tol, max_iter=5000)
        return GridSearchCV(single, {"C": CS}, cv=folds, n_jobs=os.cpu_count()).fit(X, y)

    makers = {
        "LogisticHeadCV": lambda: LogisticHeadCV(CS, cv=folds, device=device).fit(X, y),
        "GridSearchCV, default tol": lambda: search(1e-4),
        "GridSearchCV, tol=1e-6": lambda: search(1e-6),
        "LogisticRegressionCV": lambda: LogisticRegressionCV(
            Cs=CS, cv=folds, max_iter=5000, n_jobs=os.cpu_count(), l1_ratios=(0,), use_legacy_attributes=False
        ).fit(X, y),
    }
    seconds, found = time_alternating(makers, repeats)
    tight = LogisticHeadCV(CS, cv=folds, tol=1e-6, max_iter=5000, refit=False, device=device).fit(X, y)
    truth = tight.cv_results_["mean_test_score"]
    rows = {}
    for name, model in found.items():
        scores = model.scores_.mean(0).ravel() if name == "LogisticRegressionCV" else None
        scores = model.cv_results_["mean_test_score"] if scores is None else scores
        C = model.C_ if hasattr(model, "C_") else model.best_params_["C"]
        rows[name] = {
            "seconds": seconds[name],
            "times_faster_than_it": seconds[name] / seconds["LogisticHeadCV"],
            "C": float(np.ravel(C)[0]),
            "best_mean_score": float(scores.max()),
            "largest_error_of_mean_scores_in_points": float(100 * np.abs(scores - truth).max()),
        }
    return {
        "shape": [*X.shape, len(np.unique(y))],
        "Cs": CS.tolist(),
        "chosen_by_tight_search": tight.C_,
        "searches": rows,
        "excess_of_objectives": measure_excess(X, y),
    }


def measure_excess(X, y):
    """Return, at the smallest, a middle and the largest C, by what fraction each objective exceeds the lowest."""
    excess = {}
    for C in CS[[0, 5, 9]]:
        models = {
            "LogisticHead": LogisticHead(C=C),
            "LogisticRegression, default tol": LogisticRegression(C=C, max_iter=5000),
            "LogisticRegression, tol=1e-6": LogisticRegression(C=C, max_iter=5000, tol=1e-6),
            "LogisticHead, tol=1e-6": LogisticHead(C=C, max_iter=5000, tol=1e-6),
        }
        values = {name: measure_objective(model.fit(X, y), X, y, C) for name, model in models.items()}
        excess[f"C={C:.3g}"] = {name: value / min(values.values()) - 1 for name, value in values.items()}
    return excess


def measure_growth(device):
    """Return the seconds of one fit (of a search for candidates) as one size grows and the others stay."""
    seconds = {}
    for size, values in GROWTH.items():
        seconds[size] = []
        for value in values:
            sizes = MEDIUM | {size: value}
            rng = np.random.default_rng(0)
            X = rng.normal(size=(sizes["rows"], sizes["features"])).astype(np.float32)
            scores = X @ rng.normal(size=(sizes["features"], sizes["classes"])) + rng.gumbel(
                scale=5, size=(sizes["rows"], sizes["classes"])
            )
            y = scores.argmax(1)
            head = LogisticHeadCV(np.logspace(-2, 2, value)) if size == "candidates" else LogisticHead(C=1.0)
            head.set_params(device=device)
            head.fit(X, y)
            times = []
            for _ in range(3):
                began = time.perf_counter()
                head.fit(X, y)
                times.append(time.perf_counter() - began)
            seconds[size].append(float(np.median(times)))
    return seconds


def draw_growth(seconds, path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), sharey=True, layout="constrained")
    for axis, (size, times) in zip(axes, seconds.items(), strict=True):
        axis.loglog(GROWTH[size], times, "o-", label="measured")
        axis.loglog(GROWTH[size], times[0] * np.array(GROWTH[size]) / GROWTH[size][0], ":", label="proportional")
        axis.set_xticks(GROWTH[size], [str(value) for value in GROWTH[size]])
        axis.minorticks_off()
        axis.set_xlabel(f"number of {size}")
        axis.set_title("search of 5 folds" if size == "candidates" else "one fit", fontsize=10)
    axes[0].set_ylabel("seconds")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def main():
    cases = ["search-fair", "growth"]
    arguments, results = read_arguments(cases)
    warnings.simplefilter("ignore")
    device = arguments.device
    X, y = load_part()
    LogisticHead(device=device).fit(X[:300], y[:300])
    if "search-fair" in arguments.cases:
        results["search-fair"] = compare_searches(X, y, 1, device) | {"threads": torch.get_num_threads()}
        print(json.dumps(results["search-fair"], indent=2))
        write_results(arguments.output, results)
    if "growth" in arguments.cases:
        results["growth"] = {"sizes": GROWTH, "others": MEDIUM, "seconds": measure_growth(device)}
        write_results(arguments.output, results)
        draw_growth(results["growth"]["seconds"], arguments.output.with_name("bench_heads_growth.png"))


if __name__ == "__main__":
    main()
