"""Measure how well rejection finds texts of unknown classes, and how well calibrated probabilities are.

Run ``python benchmarks/bench_rejection.py FOLDER [--tasks banking77 trec] [--labels 8 64 all] [--seconds 900]``; FOLDER
holds the labelled sets and the Wikipedia sample (see datasets/). Of Banking77 a third of the intents, drawn at random,
is held back, of 20 Newsgroups one of the groups rec, sci, talk and comp: the model is trained without them, and their
test texts are out of scope. Word vectors are pretrained as in bench_transfer.py, on the Wikipedia sample and the
training texts in scope alone. The columns:

- probability, distance, both: SelectiveClassifier of TransferClassifier with this `method` and ``coverage=0.95``;
- words, characters: scikit-learn's TfidfVectorizer (words; n-grams of 2 to 5 characters within words) and
  LogisticRegressionCV, by the highest probability; because of the time, characters only on Banking77 with 8 labels per
  class;
- LOF: scikit-learn's LocalOutlierFactor(novelty=True) on the features of the same encoder, by cosine distance.

Each gives a score to the test texts. AUROC is that of texts in scope against those out of scope; recall is the share of
the latter that is rejected if the threshold accepts 95 % of the test texts in scope; AURC is the area under the
risk-coverage curve of the texts in scope. For the first three also the shares of both kinds that the threshold from
held-out folds rejects: that of texts in scope should be 5 %.

On these tasks and on AG News, SST-2, TREC, MR and MPQA, where nothing is held back, the expected calibration error of
TransferClassifier (10 bins of the highest probability), and the same after temperature scaling on held-out folds.

There are five folds; with more than 300 labels one of them is held out, because of the time. The rules of rejection
were made on the test texts of these tasks (docs/decisions.md). Measurements are stored as they are made, so that the
script may be stopped and started again. Without FOLDER there is one task, docstrings.
"""

import argparse
import os
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from bench_transfer import pretrain, read_task, read_texts
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import LocalOutlierFactor
from transfer_rivals import train_scikit_learn

import transferkit
from transferkit import SelectiveClassifier, TransferClassifier

KEPT = RESULTS / "bench_rejection.json"
GROUPS = {"rec": (7, 8, 9, 10), "sci": (11, 12, 13, 14), "talk": (16, 17, 18, 19), "comp": (1, 2, 3, 4, 5)}
TASKS = ("banking77", "20newsgroups", "ag_news_subset", "sst2", "trec", "mr", "mpqa")
METHODS = ("probability", "distance", "both")
MANY = 300  # labels, from which one fold is held out


def hold_back(task, draw, labels):
    """Return the labels that are out of scope, and the name of the draw's encoder."""
    names = np.unique(labels)
    if task in ("banking77", "docstrings"):
        return np.random.default_rng(draw).choice(names, len(names) // 3, replace=False), f"{task} {draw}"
    if task == "20newsgroups":
        group = list(GROUPS)[draw]
        return np.array(GROUPS[group]), f"{task} {group}"
    return names[:0], task


def take(labels, size, draw):
    """Return the indices of up to `size` samples per class, or of all."""
    if size == "all":
        return np.arange(len(labels))
    random = np.random.default_rng(draw)
    return np.concatenate(
        [random.permutation(np.flatnonzero(labels == label))[: int(size)] for label in np.unique(labels)]
    )


class Remembered(TransferClassifier):
    """A TransferClassifier that is fitted to the same texts once, for all methods."""

    known = {}

    def fit(self, X, y):
        """Fit the model, or take what it learned from these texts before."""
        key = tuple(X)
        if key not in self.known:
            self.known[key] = vars(super().fit(X, y)).copy()
        vars(self).update(self.known[key])
        return self


def find_folds(texts, labels):
    """Return the folds of held-out labels."""
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(texts, labels))
    return folds[:1] if len(texts) > MANY else folds


def measure(encoder, train, test, is_out, rivals):
    """Return the figures of one draw."""
    (texts, labels), (test_texts, truth) = train, test
    Remembered.known = {}
    folds, found = find_folds(texts, labels), {}
    for method in METHODS if is_out.any() else METHODS[:1]:
        model = SelectiveClassifier(Remembered(encoder), coverage=0.95, method=method, cv=folds).fit(texts, labels)
        scores, accepted = model.score_samples(test_texts), model.is_accepted(test_texts)
        found[method] = rate(scores, is_out, model.estimator_.predict(test_texts) == truth)
        found[method] |= {"rejected in scope": share(~accepted[~is_out])}
        if is_out.any():
            found[method] |= {"rejected out of scope": share(~accepted[is_out])}
    found["calibration"] = calibrate(model.estimator_, encoder, folds, train, (test_texts, truth), is_out)
    for column in rivals:
        rival = train_scikit_learn(column, texts, labels)
        right = rival.predict(test_texts) == truth
        found[column] = rate(rival.predict_proba(test_texts).max(axis=1), is_out, right)
    if is_out.any():
        found["LOF"] = rate(find_outliers(encoder, texts, test_texts), is_out, None)
    return found


def find_outliers(encoder, texts, test_texts):
    factor = LocalOutlierFactor(n_neighbors=min(20, len(texts) - 1), metric="cosine", novelty=True)
    return factor.fit(encoder.transform(texts)).score_samples(encoder.transform(test_texts))


def rate(scores, is_out, is_right):
    """Return what scores are worth, in percent."""
    found = {}
    if is_out.any():
        threshold = np.quantile(scores[~is_out], 0.05)
        found |= {"AUROC": percent(roc_auc_score(~is_out, scores)), "recall": share(scores[is_out] < threshold)}
    if is_right is not None:
        wrong = ~is_right[~is_out][np.argsort(-scores[~is_out], kind="stable")]
        found |= {"AURC": percent(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))}
        found |= {"accuracy": share(is_right[~is_out])}
    return found


def calibrate(model, encoder, folds, train, test, is_out):
    """Return the calibration of the test texts in scope, before and after temperature scaling on held-out folds."""
    (texts, labels), (test_texts, truth) = train, test
    parts = []
    for known, held_out in folds:
        fitted = Remembered(encoder).fit([texts[i] for i in known], labels[known])
        parts.append((decide(fitted, [texts[i] for i in held_out]), np.searchsorted(model.classes_, labels[held_out])))
    scores, targets = map(np.concatenate, zip(*parts, strict=True))

    def loss(log_temperature):
        return -log_softmax(scores / np.exp(log_temperature), axis=1)[np.arange(len(targets)), targets].mean()

    temperature = float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
    inside = [text for text, out in zip(test_texts, is_out, strict=True) if not out]
    truth = np.searchsorted(model.classes_, truth[~is_out])
    found = {"temperature": round(temperature, 3)}
    for name, scale in (("plain", 1.0), ("scaled", temperature)):
        probabilities = softmax(decide(model, inside) / scale, axis=1)
        found[f"ECE {name}"] = percent(expected_calibration_error(probabilities, truth))
        found[f"log loss {name}"] = round(
            float(log_loss(truth, probabilities, labels=np.arange(len(model.classes_)))), 4
        )
    return found


def decide(model, texts):
    """Return decision values (n_texts, n_classes)."""
    values = np.asarray(model.decision_function(texts), np.float64)
    return np.stack([-values / 2, values / 2], axis=1) if values.ndim == 1 else values


def expected_calibration_error(probabilities, truth, n_bins=10):
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((highest * n_bins).astype(int), n_bins - 1)
    return sum(abs(highest[bins == i].sum() - right[bins == i].sum()) for i in range(n_bins)) / len(truth)


def share(values):
    return percent(np.mean(values))


def percent(value):
    return round(100 * float(value), 2)


def count_draws(task, size, most):
    """Return the number of draws of labels, or of what is held back."""
    if task == "20newsgroups":
        return len(GROUPS)
    return min(most, 1 if size == "all" and task != "banking77" else most)


def run(arguments, parts, keep, cache):
    """Measure all cells that are not yet there, until the time is over."""
    warnings.filterwarnings("ignore", message="Transfer did not help")
    began, commit = time.perf_counter(), describe_machine()["commit"]
    for size in arguments.labels:
        for task in arguments.tasks:
            texts, labels, test_texts, truth = read_task(arguments.folder, task)
            for draw in range(count_draws(task, size, arguments.draws)):
                key = f"{task} {size} {draw}"
                if key in parts:
                    continue
                if time.perf_counter() - began > arguments.seconds:
                    return
                out, name = hold_back(task, draw, labels)
                inside = np.flatnonzero(~np.isin(labels, out))
                encoder = find_encoder(arguments.folder, cache / f"{name}.tk", texts[inside])
                chosen = inside[take(labels[inside], size, draw)]
                train, test = (texts[chosen].tolist(), labels[chosen]), (test_texts.tolist(), truth)
                rivals = () if len(out) == 0 else ("words",)
                rivals += ("characters",) if task == "banking77" and size == "8" else ()
                start = time.perf_counter()
                found = measure(encoder, train, test, np.isin(truth, out), rivals)
                keep(key, found | {"seconds": round(time.perf_counter() - start, 1), "commit": commit})
                print(key, parts[key], flush=True)


def find_encoder(folder, path, texts):
    """Return the encoder in a file, pretrained once."""
    if not path.exists():
        transferkit.save(pretrain([*read_texts(folder, False), *texts.tolist()]), path)
    return transferkit.load(path)


def report(parts):
    """Return means and standard errors over the draws, and the differences from probabilities."""
    cells = {}
    for key, value in parts.items():
        task, size, _ = key.split(" ")
        cells.setdefault(size, {}).setdefault(task, []).append(value)
    found = {}
    for size, tasks in cells.items():
        for task, draws in tasks.items():
            columns = [name for name in draws[0] if all(isinstance(draw.get(name), dict) for draw in draws)]
            table = {
                column: {name: average([draw[column][name] for draw in draws]) for name in draws[0][column]}
                for column in columns
            }
            for column in [column for column in columns if "AUROC" in draws[0][column] and column != "probability"]:
                for name in ("AUROC", "recall"):
                    both = [draw[column][name] - draw["probability"][name] for draw in draws]
                    table[column][f"{name} less that of probability"] = average(both)
            found.setdefault(size, {})[task] = table | {"draws": len(draws)}
    return found


def average(values):
    entry = {"mean": round(statistics.mean(values), 3)}
    if len(values) > 1:
        entry["standard error"] = round(statistics.stdev(values) / len(values) ** 0.5, 3)
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=[*TASKS, "docstrings"])
    parser.add_argument("--labels", nargs="+", default=["8", "64", "all"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing new after so long")
    parser.add_argument("--output", type=Path, default=KEPT)
    arguments = parser.parse_args()
    if arguments.folder is None:
        arguments.tasks = ["docstrings"]
    output = choose_output(arguments.output, KEPT, arguments.folder is None)
    cache = output.with_name(f"{output.stem}_parts")
    cache.mkdir(parents=True, exist_ok=True)
    parts = read_results(cache / "parts.json")

    def keep(key, value):
        parts[key] = value
        write_results(cache / "parts.json", parts)

    run(arguments, parts, keep, cache)
    commits = sorted({value["commit"] for value in parts.values()})
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    machine = describe_machine() | {"threads": threads, "commit": ", ".join(commits)}
    write_results(output, {"machine": machine, "commits": commits, "figures": report(parts)})


if __name__ == "__main__":
    main()
