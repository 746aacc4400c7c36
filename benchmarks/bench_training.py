"""Time the training of linear layers and small networks: same network, first weights, batches, epochs and solver.

Run: python benchmarks/bench_training.py [--data FOLDER] [--device cpu|cuda] [--cases dense sparse ...] [--output FILE].
FOLDER holds scikit-learn's copy of 20 Newsgroups (needed for the sparse case; downloaded otherwise). Rivals and heads
alternate, each turn with its own seed; times are medians in seconds of whole fits, including the transfer of data to
the device; accuracies are means over the turns. In the sparse case epochs are added until ours has the accuracy of the
rival. Rivals: skorch, a bare torch loop (data on the device, fused Adam, nothing else), scikit-learn (which draws its
own first weights). Peak memory of the sparse case is measured in separate processes: ours over a whole fit, skorch's
over two batches. Results go to benchmarks/results/bench_training.json or FILE.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from data import embed_docstrings, vectorise_newsgroups
from results import RESULTS, describe_machine, read_results, write_results
from rivals import is_installed
from scipy.special import expit
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from timing import forget_peak, peak_mb, time_alternating

from transferkit import MLPHeadClassifier

RATE = 3e-3  # with 1e-3 these epochs end far from the optimum, where accuracies depend on the seed
NETWORKS = {"linear": (), "mlp": (256, 128)}
SPARSE_EPOCHS = (1, 2, 3, 4, 6, 8)


def make_module(sizes):
    layers = []
    for n_inputs, n_outputs in pairwise(sizes):
        layers += [torch.nn.Linear(n_inputs, n_outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def fit_ours(X, y, hidden, batch, epochs, device, seed=0):
    torch.manual_seed(seed)
    layers = make_module([X.shape[1], *hidden, len(np.unique(y))])[::2]
    start = [layer.weight.detach().numpy().T for layer in layers], [layer.bias.detach().numpy() for layer in layers]
    head = MLPHeadClassifier(
        hidden, batch_size=batch, max_iter=epochs, learning_rate_init=RATE, alpha=0, tol=None, weight_init=start,
        random_state=seed, device=device,
    )  # fmt: skip
    return head.fit(X, y)


class BareLoop:
    """A bare torch loop written for speed: data on the device, one permutation per epoch, fused Adam."""

    def __init__(self, hidden, batch, epochs, device, seed):
        self.hidden, self.batch, self.epochs, self.device, self.seed = hidden, batch, epochs, device, seed

    def fit(self, X, y):  # noqa: D102
        torch.manual_seed(self.seed)
        self.module = make_module([X.shape[1], *self.hidden, len(np.unique(y))]).to(self.device)
        solver = torch.optim.Adam(self.module.parameters(), lr=RATE, fused=True)
        rows, labels = torch.from_numpy(X).to(self.device), torch.from_numpy(y).to(self.device)
        for _ in range(self.epochs):
            for batch in torch.randperm(len(rows), device=self.device).split(self.batch):
                solver.zero_grad()
                torch.nn.functional.cross_entropy(self.module(rows[batch]), labels[batch]).backward()
                solver.step()
        self.module.cpu()  # waits for the device, as storing NumPy arrays does
        return self

    def score(self, X, y):  # noqa: D102
        with torch.no_grad():
            return float((self.module(torch.from_numpy(X)).argmax(1).numpy() == y).mean())


def make_skorch(sizes, batch, epochs, device, seed=0):
    from skorch import NeuralNetClassifier

    torch.manual_seed(seed)
    return NeuralNetClassifier(
        make_module(sizes), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam, optimizer__fused=True,
        lr=RATE, batch_size=batch, max_epochs=epochs, train_split=None, iterator_train__shuffle=True, verbose=0,
        device=device,
    )  # fmt: skip


def time_seeds(makers, repeats):
    """Return the median seconds and all models of each maker, called with a seed in turns; the first is not timed."""
    models = {name: [make(0)] for name, make in makers.items()}

    def fit_next(name):
        models[name].append(makers[name](len(models[name])))

    seconds, _ = time_alternating({name: partial(fit_next, name) for name in makers}, repeats)
    return seconds, models


def compare_dense(data, network, batch, device, repeats):
    X, T, y, truth = data
    hidden, epochs = NETWORKS[network], 5 if batch < 500 else 20
    sizes = [X.shape[1], *hidden, len(np.unique(y))]
    makers = {
        "transferkit": lambda seed: fit_ours(X, y, hidden, batch, epochs, device, seed),
        "bare loop": lambda seed: BareLoop(hidden, batch, epochs, device, seed).fit(X, y),
    }
    if is_installed("skorch"):
        makers["skorch"] = lambda seed: make_skorch(sizes, batch, epochs, device, seed).fit(X, y)
    if hidden and device == "cpu":
        makers["MLPClassifier"] = lambda seed: MLPClassifier(
            hidden, batch_size=batch, max_iter=epochs, learning_rate_init=RATE, alpha=0, tol=0,
            n_iter_no_change=epochs, random_state=seed,
        ).fit(X, y)  # fmt: skip
    seconds, models = time_seeds(makers, repeats)
    ours = seconds["transferkit"]
    accuracy = {
        name: float(np.mean([model.score(T, truth) for model in of_seeds])) for name, of_seeds in models.items()
    }
    return {
        "shape": [*X.shape, sizes[-1]],
        "batch": batch,
        "epochs": epochs,
        "seconds": seconds,
        "accuracy": accuracy,
        "points_above": {name: 100 * (accuracy["transferkit"] - value) for name, value in accuracy.items()},
        "times_faster_than": {name: value / ours for name, value in seconds.items() if name != "transferkit"},
    }


def compare_objective(data, device, repeats):
    """Time one-against-rest logistic regression by gradient steps; ours counts if its loss is as low."""
    X, _, y, _ = data
    alpha, hot = 1e-4, np.eye(y.max() + 1)[y].astype(int)
    makers = {
        "transferkit": lambda seed: MLPHeadClassifier(
            (), alpha=alpha, learning_rate_init=0.3, learning_rate="one_cycle", max_iter=60, batch_size=256, tol=None,
            random_state=seed, device=device,
        ).fit(X, hot),
        "SGDClassifier": lambda seed: SGDClassifier(loss="log_loss", alpha=alpha, random_state=seed).fit(X, y),
        "SGDClassifier, all cores": lambda seed: SGDClassifier(
            loss="log_loss", alpha=alpha, random_state=seed, n_jobs=os.cpu_count()
        ).fit(X, y),
    }  # fmt: skip
    seconds, models = time_seeds(makers, repeats)
    weights = {
        name: (model.coefs_[0], model.intercepts_[0]) if name == "transferkit" else (model.coef_.T, model.intercept_)
        for name, [*_, model] in models.items()
    }
    objective = {}
    for name, (coef, intercept) in weights.items():
        scores = X.astype(np.float64) @ coef + intercept
        losses = -np.log(np.maximum(expit(np.where(hot > 0, scores, -scores)), 1e-300))
        objective[name] = float(losses.sum(1).mean() + alpha / 2 * (coef.astype(np.float64) ** 2).sum())
    best = min(value for name, value in seconds.items() if name != "transferkit")
    return {
        "seconds": seconds,
        "objective": objective,
        "as_low": bool(objective["transferkit"] <= objective["SGDClassifier"]),
        "times_faster_than_the_faster": best / seconds["transferkit"],
    }


def compare_sparse(data_home, device, batch, repeats):
    """Time a network of 128 hidden units on TF-IDF rows, and the memory of a fit in a separate process.

    Ours updates the weights of a word only in steps whose batch contains it, so that an epoch gains less than one of
    skorch on dense batches. It gets as many epochs as it needs for the accuracy, a mean over the turns, of one epoch of
    skorch.
    """
    X, T, y, truth = vectorise_newsgroups(data_home)
    seconds, accuracy = {}, {}
    if is_installed("skorch"):
        makers = {"skorch": lambda seed: make_skorch([X.shape[1], 128, 20], batch, 1, device, seed).fit(X, y)}
        time_and_score(makers, repeats, (T, truth), seconds, accuracy)
    for epochs in SPARSE_EPOCHS:
        name = f"transferkit, epochs {epochs}"
        makers = {name: lambda seed, epochs=epochs: fit_ours(X, y, (128,), batch, epochs, device, seed)}
        time_and_score(makers, repeats, (T, truth), seconds, accuracy)
        if accuracy[name] >= accuracy.get("skorch", 0):
            break
    seconds["transferkit"], accuracy["transferkit"] = seconds[name], accuracy[name]
    rivals = ["transferkit", *(["skorch"] if "skorch" in seconds else [])]
    memory = {
        f"batch {size}": {rival: measure_memory(rival, X, y, device, size) for rival in rivals}
        for size in (batch, 1024)
    }
    result = {"shape": [*X.shape, 20], "batch": batch, "epochs": {"transferkit": epochs, "skorch": 1}}
    result |= {"seconds": seconds, "accuracy": accuracy, "peak_MB": memory}
    if "skorch" in seconds:
        result["times_faster_than"] = {"skorch": seconds["skorch"] / seconds["transferkit"]}
        result["share_of_memory"] = {size: peak["transferkit"] / peak["skorch"] for size, peak in memory.items()}
    return result


def time_and_score(makers, repeats, tests, seconds, accuracy):
    """Add median seconds and mean accuracy of each maker."""
    times, models = time_seeds(makers, repeats)
    seconds |= times
    accuracy |= {name: float(np.mean([predict_in_parts(model, *tests) for model in models[name]])) for name in makers}


def predict_in_parts(model, T, truth):
    parts = [model.predict(T[begin : begin + 500]) for begin in range(0, T.shape[0], 500)]
    return float((np.concatenate(parts) == truth).mean())


def measure_memory(name, X, y, device, batch):
    """Return the megabytes that a fit of a few batches adds to the peak of a fresh process (or of the device)."""
    with tempfile.TemporaryDirectory() as folder:
        sp.save_npz(Path(folder) / "X.npz", X, compressed=False)
        np.save(Path(folder) / "y.npy", y)
        arguments = [sys.executable, __file__, "--memory-of", name, "--data", folder, "--device", device]
        run = subprocess.run([*arguments, "--batch", str(batch)], capture_output=True, text=True, check=True)
    return float(run.stdout.strip().splitlines()[-1])


def print_memory(name, folder, device, batch):
    X, y = sp.load_npz(Path(folder) / "X.npz"), np.load(Path(folder) / "y.npy")
    few = np.random.default_rng(0).permutation(len(y))[: 2 * batch]
    small, few_labels = X[few, :50].tocsr(), y[few]  # loads libraries, whose memory does not count
    fit_small = {
        "transferkit": lambda: fit_ours(small, few_labels, (8,), batch, 1, device),
        "skorch": lambda: make_skorch([50, 8, 20], batch, 1, device).fit(small, few_labels),
    }
    fit_small[name]()
    forget_peak()
    before = peak_mb()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    if name == "transferkit":
        MLPHeadClassifier((128,), batch_size=batch, max_iter=1, alpha=0, device=device).fit(X, y)
    else:
        make_skorch([X.shape[1], 128, 20], batch, 1, device).fit(X[few], few_labels)
    if device != "cpu":
        print(torch.cuda.max_memory_allocated() / 1e6)
    else:
        print(peak_mb() - before)


def load_numbered():
    """Return the embeddings of docstrings with classes as numbers, which torch needs."""
    X, T, y, truth = embed_docstrings()
    names, y = np.unique(y, return_inverse=True)
    return X, T, y, np.searchsorted(names, truth)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    names = [f"{network}-{batch}" for network in NETWORKS for batch in (64, 1024)] + ["objective", "sparse"]
    parser.add_argument("--data")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_training.json")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=64, help="batch size of the sparse case")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    device = arguments.device
    if arguments.memory_of:
        print_memory(arguments.memory_of, arguments.data, device, arguments.batch)
        return
    results = read_results(arguments.output)
    results["machine"] = describe_machine(device) | {"threads": torch.get_num_threads()}
    results["runs"] = arguments.repeats
    dense = load_numbered() if set(arguments.cases) - {"sparse"} else None
    for case in arguments.cases:
        if case == "sparse":
            results[case] = compare_sparse(arguments.data, device, arguments.batch, arguments.repeats)
        elif case == "objective":
            results[case] = compare_objective(dense, device, arguments.repeats)
        else:
            network, batch = case.split("-")
            results[case] = compare_dense(dense, network, int(batch), device, arguments.repeats)
        print(case, json.dumps(results[case]), flush=True)
        write_results(arguments.output, results)


if __name__ == "__main__":
    main()
