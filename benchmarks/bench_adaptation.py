"""What adaptation to a domain without labels brings, and whether the choice without target labels is a good one.

Run ``python benchmarks/bench_adaptation.py FOLDER [--parts digits text ...] [--methods none auto ...] [--device cpu]
[--fresh]``; FOLDER holds the data sets (see datasets/). Finished cells are kept in the results, so that a run that was
stopped goes on; `--fresh` forgets them.

Every model is trained on labelled rows of one domain and unlabelled rows of another; its accuracy in % is that on the
other domain's labels, which nothing but this script sees. "oracle" is the model without adaptation, trained on target
labels (two folds).

text        Amazon reviews, all 12 ordered pairs of 4 kinds of goods. The target's texts are unlabelled and then tested.
bow         the same domains as bags of 5,000 words; tested on other reviews than the unlabelled ones.
newsgroups  20 Newsgroups, pairs of top-level groups to be told apart, without headers, footers and quotes. Source and
            target hold different subgroups of both.
digits      scikit-learn's digits, half and half, with shifts: inverted contrast, rotation, noise. Means of 2 draws.
skada       the digits again: skada 0.6's methods, and what its own scorers choose among them. In a process of its own,
            because importing skada switches metadata routing on everywhere.
speed       seconds of fits on 5,000 + 5,000 rows of 1,000 features, ours and skada's in turn; medians of 3.

Development: the methods' settings and the rule of choice were made while looking at target labels of the text pairs
books-kitchen, electronics-dvd, kitchen-electronics and books-dvd, and of the digits inverted, rotated by 15, 25 and 40
degrees, with noise of 0.3, 0.5 and 0.8, and as they are. The summary keeps these ("development") from all others ("held
out").
"""

import argparse
import csv
import gzip
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.ndimage import rotate
from sklearn.datasets import fetch_20newsgroups, load_digits, load_svmlight_file
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from transferkit import (
    CORAL,
    DomainTransferClassifier,
    ImportanceWeighting,
    LinearTransport,
    MarginalizedDenoising,
    StructuralCorrespondence,
    SubspaceAlignment,
)

RESULTS = Path(__file__).parent / "results" / "bench_adaptation.json"
GOODS = ("books", "dvd", "electronics", "kitchen")
DEVELOPMENT = {"text": ("books-kitchen", "electronics-dvd", "kitchen-electronics", "books-dvd")}
DEVELOPMENT |= {"digits": ("inverted", "rotated 25", "rotated 40", "noise 0.5", "noise 0.8", "none")}
SHIFTS = (*DEVELOPMENT["digits"], "rotated -20", "rotated 30", "noise 0.4", "faded 0.5", "inverted and faded 0.5")
DENSE = {
    "CORAL": CORAL(),
    "transport": LinearTransport(),
    "transport, reflected": LinearTransport(reflection="auto"),
    "subspace": SubspaceAlignment(),
    "weights, logistic": ImportanceWeighting(),
    "weights, KLIEP": ImportanceWeighting("kliep"),
    "weights, KMM": ImportanceWeighting("kmm", tol=1e-4),
}
SPARSE = {
    "denoising": MarginalizedDenoising(),
    "correspondence": StructuralCorrespondence(),
    "weights, logistic": ImportanceWeighting(),
}
PARTS = ("digits", "text", "newsgroups", "bow", "skada", "speed")


def read_reviews(folder):
    found = {}
    for name in GOODS:
        path = folder / "amazon_reviews" / f"{name}.csv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found[name] = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    return found


def text_tasks(folder):
    reviews = read_reviews(folder)
    for source in GOODS:
        for target in GOODS:
            if source != target:
                yield f"{source}-{target}", *reviews[source], reviews[target][0], *reviews[target]


def bow_tasks(folder):
    def read(name, part):
        with gzip.open(folder / "amazon_reviews_bow" / f"{name}_{part}.svmlight.gz") as file:
            X, y = load_svmlight_file(file, n_features=5000, dtype=np.float32)
        return X, y.astype(int)

    for source in GOODS:
        for target in GOODS:
            if source != target:
                yield f"{source}-{target}", *read(source, "train"), read(target, "train")[0], *read(target, "test")


def newsgroup_tasks(folder):
    options = {"subset": "train", "remove": ("headers", "footers", "quotes"), "download_if_missing": False}
    data = fetch_20newsgroups(data_home=folder / "20newsgroups", **options)
    names = np.array(data.target_names)[data.target]
    texts = np.array(data.data, dtype=object)
    tops = ("comp", "rec", "sci", "talk")
    for i, first in enumerate(tops):
        for second in tops[i + 1 :]:
            parts = []
            for side in (0, 1):  # subgroups in turn to source and target
                groups = {
                    top: [n for n in data.target_names if n.startswith(top + ".")][side::2] for top in (first, second)
                }
                kept = np.isin(names, groups[first] + groups[second])
                parts.append((texts[kept].tolist(), np.where(np.isin(names[kept], groups[first]), first, second)))
            yield f"{first} or {second}", *parts[0], parts[1][0], *parts[1]


def digit_tasks(folder):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    for shift in SHIFTS:
        for draw in range(2):
            random = np.random.RandomState(draw)
            order = random.permutation(len(y))
            source, target = order[: len(y) // 2], order[len(y) // 2 :]
            rows = shift_digits(X[target], shift, random)
            yield f"{shift}, draw {draw}", X[source], y[source], rows, rows, y[target]


def shift_digits(rows, shift, random):
    kind, _, size = shift.rpartition(" ") if " " in shift else (shift, "", "")
    if kind == "inverted":
        return 1 - rows
    if kind == "rotated":
        turned = [rotate(row.reshape(8, 8), float(size), reshape=False, order=1).ravel() for row in rows]
        return np.array(turned)
    if kind in ("faded", "inverted and faded"):
        return 0.3 + float(size) * (rows if kind == "faded" else 1 - rows)
    return rows + float(size) * random.normal(size=rows.shape) if kind == "noise" else rows


def measure_task(found, X, y, X_target, X_test, y_test, methods, encoder, device):
    """Add the methods that are not measured yet."""

    def fit(adaptation, rows=X, labels=y, unlabelled=X_target):
        model = DomainTransferClassifier(encoder, adaptation=adaptation, device=device)
        return model.fit(rows, labels, X_target=unlabelled)

    for name, adaptation in methods.items():
        if name in found:
            continue
        if name == "oracle":
            found[name] = {"accuracy": measure_oracle(fit, X_test, y_test)}
            continue
        began = time.perf_counter()
        model = fit(adaptation)
        found[name] = {"accuracy": 100 * model.score(X_test, y_test), "seconds": time.perf_counter() - began}
        if name == "auto":
            scores = {column: values.tolist() for column, values in model.adaptation_scores_.items()}
            found[name] |= {"chosen": model.adaptation_name_, "scores": scores}


def measure_oracle(fit, X, y):
    scores = []
    for train, test in StratifiedKFold(2, shuffle=True, random_state=0).split(np.zeros(len(y)), y):
        parts = [[X[i] for i in rows] if isinstance(X, list) else X[rows] for rows in (train, test)]
        scores.append(fit(None, parts[0], y[train], parts[1]).score(parts[1], y[test]))
    return 100 * float(np.mean(scores))


def measure_part(part, tasks, methods, encoder, results, options):
    found = results.setdefault(part, {})
    methods = {"none": None, **methods, "auto": "auto", "oracle": "oracle"}
    wanted = {name: value for name, value in methods.items() if not options.methods or name in options.methods}
    for name, *task in tasks:
        of_task = found.setdefault(name, {})
        if set(wanted) <= set(of_task):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measure_task(of_task, *task, wanted, encoder, options.device)
        write(results)
        row = " ".join(f"{method} {values['accuracy']:.1f}" for method, values in of_task.items())
        print(f"{part} {name}: {row} (auto: {of_task.get('auto', {}).get('chosen')})", flush=True)


def measure_skada(results):
    """Return nothing; the accuracies of skada's methods and of what its scorers choose go into the results."""
    from skada import CORAL as SkadaCORAL
    from skada import DiscriminatorReweight, LinearOTMapping
    from skada import SubspaceAlignment as SkadaSubspaceAlignment
    from skada._utils import _DEFAULT_MASKED_TARGET_CLASSIFICATION_LABEL as MASKED
    from skada.metrics import CircularValidation, ImportanceWeightedScorer, PredictionEntropyScorer

    def head():
        return LogisticRegression(C=10, max_iter=1000).set_score_request(sample_weight=True)

    found = results.setdefault("skada", {})
    for name, X, y, X_target, _, y_target in digit_tasks(None):
        if name in found:
            continue
        rows, domain = np.vstack([X, X_target]), np.repeat([1, -2], [len(X), len(X_target)])
        labels = np.concatenate([y, np.full(len(X_target), MASKED)])
        methods = {
            "CORAL": SkadaCORAL(head()),
            "transport": LinearOTMapping(head(), reg=1e-3),
            "subspace": SkadaSubspaceAlignment(head(), n_components=50),
            "weights, logistic": DiscriminatorReweight(head().set_fit_request(sample_weight=True)),
        }
        scorers = {"iwv": ImportanceWeightedScorer(), "circular": CircularValidation()}
        scorers["entropy"] = PredictionEntropyScorer()
        found[name], scores = {}, {scorer: {} for scorer in scorers}
        for method, model in methods.items():
            model.fit(rows, labels, sample_domain=domain)
            accuracy = float(np.mean(model.predict(X_target) == y_target))
            found[name][method] = {"accuracy": 100 * accuracy}
            for scorer, score in scorers.items():
                try:
                    scores[scorer][method] = float(score(model, rows, labels, sample_domain=domain))
                except Exception as error:  # a scorer that cannot judge a method is noted, and the others go on
                    found[name][method][f"{scorer} failed"] = f"{type(error).__name__}: {error}"[:200]
        for scorer, of_method in scores.items():
            if of_method:
                best = max(of_method, key=of_method.get)
                found[name][f"chosen by {scorer}"] = found[name][best] | {"chosen": best}
        write(results)
        print(f"skada {name}:", {key: round(value["accuracy"], 1) for key, value in found[name].items()}, flush=True)


def measure_speed(results):
    import skada

    random = np.random.RandomState(0)
    mix = [random.normal(size=(1000, 1000)) / 30 + np.eye(1000) for _ in range(2)]
    rows = np.vstack([random.normal(size=(5000, 1000)) @ matrix for matrix in mix])
    rows[5000:] += 0.1
    domain = np.repeat([1, -2], 5000)
    pairs = {
        "CORAL": (CORAL(), skada.CORALAdapter()),
        "CORAL, no shrinkage": (CORAL(shrinkage=None), skada.CORALAdapter(reg=None)),
        "transport": (LinearTransport(shrinkage=None), skada.LinearOTMappingAdapter()),
        "subspace, 50 axes": (SubspaceAlignment(50), skada.SubspaceAlignmentAdapter(50)),
        "weights, logistic": (ImportanceWeighting(), skada.DiscriminatorReweightAdapter()),
        "weights, KLIEP": (ImportanceWeighting("kliep"), skada.KLIEPReweightAdapter(gamma="scale")),
        "weights, KMM": (ImportanceWeighting("kmm", tol=1e-4), skada.KMMReweightAdapter(gamma=1e-3)),
    }
    found = results.setdefault("speed", {})
    for name, models in pairs.items():
        if name in found:
            continue
        seconds = [[], []]
        for _ in range(1 if "KMM" in name else 3):
            for times, model in zip(seconds, models, strict=True):
                began = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(rows, sample_domain=domain)
                times.append(time.perf_counter() - began)
        ours, theirs = (float(np.median(times)) for times in seconds)
        found[name] = {"ours": ours, "skada": theirs, "times": theirs / ours, "all": seconds}
        write(results)
        print(f"speed {name}: {ours:.2f} s, skada {theirs:.2f} s, {theirs / ours:.1f} times", flush=True)


def summarise(results):
    """Print and return means over pairs and shifts: development, held out and all."""
    summary = {}
    for part in ("text", "newsgroups", "bow", "digits"):
        pairs = {}
        for name, methods in results.get(part, {}).items():
            if {"none", "auto"} <= set(methods):
                pairs.setdefault(name.partition(", draw")[0], []).append(methods)
        if not pairs:
            continue
        means = {
            pair: {m: float(np.mean([r[m]["accuracy"] for r in runs])) for m in runs[0] if all(m in r for r in runs)}
            for pair, runs in pairs.items()
        }
        for which in ("development", "held out", "all"):
            development = DEVELOPMENT.get(part, ())
            kept = [pair for pair in means if which == "all" or (pair in development) == (which == "development")]
            if not kept:
                continue
            columns = [method for method in means[kept[0]] if all(method in means[pair] for pair in kept)]
            row = {method: float(np.mean([means[pair][method] for pair in kept])) for method in columns}
            gains = [means[pair]["auto"] - means[pair]["none"] for pair in kept]
            values = {"mean": row, "n_pairs": len(kept), "gain": float(np.mean(gains)), "worst": float(min(gains))}
            summary[f"{part}, {which}"] = values
            text = " ".join(f"{method} {value:.1f}" for method, value in row.items())
            print(
                f"{part}, {which} ({len(kept)}): {text}; auto {np.mean(gains):+.1f} on average, worst {min(gains):+.1f}"
            )
    return summary


def read(fresh):
    if RESULTS.exists() and not fresh:
        return json.loads(RESULTS.read_text())
    return {}


def write(results):
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    results["machine"] = machine | versions
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--methods", nargs="+", help="columns; all if not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for part in options.parts:
        if part in ("skada", "speed") and not options.in_this_process:
            command = [sys.executable, __file__, str(options.folder), "--parts", part, "--in-this-process"]
            subprocess.run(command, check=True)
            continue
        results = read(options.fresh and part == options.parts[0])
        if part == "skada":
            measure_skada(results)
        elif part == "speed":
            measure_speed(results)
        elif part == "digits":
            measure_part(part, digit_tasks(options.folder), DENSE, None, results, options)
        elif part == "bow":
            encoder = TfidfTransformer(sublinear_tf=True)
            measure_part(part, bow_tasks(options.folder), SPARSE, encoder, results, options)
        else:
            tasks = {"text": text_tasks, "newsgroups": newsgroup_tasks}[part](options.folder)
            measure_part(part, tasks, {**SPARSE, "prior": "prior"}, None, results, options)
    if not options.in_this_process:
        results = read(False)
        results["summary"] = summarise(results)
        write(results)


if __name__ == "__main__":
    main()
