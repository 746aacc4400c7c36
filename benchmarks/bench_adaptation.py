"""Measure the gain by adaptation to a domain without labels, and the quality of the choice without target labels.

Run ``python benchmarks/bench_adaptation.py FOLDER [--parts digits text ...] [--methods none auto ...] [--device cpu]
[--fresh] [--quick] [--output FILE]``; FOLDER holds the data sets (see datasets/). Finished cells are kept in the file
of results, so that an interrupted run can be continued; `--fresh` deletes those of the parts and methods that run.
`--quick` needs no folder and takes a minute: three shifts of the digits, and small fits.

Every model is trained on labelled samples of one domain and unlabelled samples of another; its accuracy in % is that on
the other domain's labels, which only this script uses. "oracle" is the model without adaptation, trained on target
labels (two folds).

text        Amazon reviews, all 12 ordered pairs of 4 kinds of goods. The target's texts are used without labels to
            adapt, and with labels to test.
bow         the same domains as bags of 5,000 words; tested on other reviews than the unlabelled ones.
newsgroups  20 Newsgroups, classification of pairs of top-level groups, without headers, footers and quotes. Source and
            target hold different subgroups of both.
digits      scikit-learn's digits, half and half, with shifts: inverted contrast, rotation, noise. Means of 2 draws.
objects     photographs of ten kinds of objects from three sources, six ordered pairs, as features of a GoogLeNet that
            are standardised per domain; logistic regression with C = 0.01.
counts      400 samples of each domain, as counts of 500 words that are standardised per domain; logistic regression
            with C = 0.01. Newsgroups, whose four classes are top-level groups and whose domains have one subgroup of
            each, all pairs; digits as bags of visual words, with shifts; features of objects made counts with much
            noise, with 20 labels per class (8 of "dslr").
reviews     sentiment of 400 or 1,000 reviews from one source, by counts of the 500 most frequent words, standardised
            per domain, where logistic regression (C = 0.01) is not far above chance; 1,000 reviews from another source.
            All pairs of films (MR), opinions (MPQA), books and kitchen goods, and of films (SST-2), long film reviews,
            DVDs and electronics. Means of 2 draws.
embedded    sentiment again, from one kind of goods to another, by embeddings of the English encoder. Means of 2 draws.
topics      400 and 1,000 texts as counts of the 100 most frequent words, standardised per domain; logistic regression
            with C = 0.01. Subgroups of two of four top-level newsgroups, and from shorter to longer texts, or back, of
            AG News, SST-5 and TREC. Means of 2 draws.
made-up     tables of scikit-learn, half and half, with shifts whose truth is known: other scales, means, mixtures of
            features, noise, class proportions, a selection of samples, or none. Means of 2 draws.
sources     bags of words of three kinds of goods, to classify those of the fourth: all pooled, or weighted.
skada       the digits again: skada 0.6's methods, and the choice among them by its own scorers. Measured in a separate
            process, because importing skada switches metadata routing on globally.
speed       seconds of fits on 5,000 + 5,000 samples of 1,000 features, ours and skada's in turn; medians of 3. A figure
            ("judged") compares their results: the norm of the map's difference from the identity, the
            share of variance along the axes, the objective of the domain classifier or of KMM (smaller is better), the
            mean log weight of KLIEP (larger is better). skada's KLIEP stays at its starting point, so SciPy's optimum
            is given as well.

Development: the methods' settings and the rule of choice were made with the target labels of the text and bow pairs
books-kitchen, electronics-dvd, kitchen-electronics and books-dvd, of the newsgroups "comp or rec" and "sci or talk",
and of the digits inverted, rotated by 15, 25 and 40 degrees, with noise of 0.3, 0.5 and 0.8, and unchanged. "auto" for
dense features, an average with a check on the source, was made with the target labels of all digits, of the objects and
of the made-up shifts of digits and breast cancer; those of wine, and the digits moved, blurred, occluded and with
another contrast curve, were looked at once, after it was made. Its weights were chosen later on these and on counts:
of newsgroups 0 to 2, digits as words (not those rotated by -35 degrees, smaller or sheared) and all objects. Its check
on the source was chosen last, on all of these, on reviews of MR, MPQA, books and kitchen goods, and on embedded reviews
of the four pairs above; all other pairs of these two parts, and all topics, were looked at once, afterwards. The
summary separates these ("development") from all others ("held out").
"""

import argparse
import csv
import gzip
import subprocess
import sys
import warnings
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import weak_heads
from counts import count_tasks, list_development
from data import read_newsgroups
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import is_installed
from scipy import ndimage
from scipy.io import loadmat
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse import vstack
from sklearn.datasets import load_breast_cancer, load_digits, load_svmlight_file, load_wine
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold
from timing import alternate, timed

from transferkit import (
    CORAL,
    DomainTransferClassifier,
    DomainWeighting,
    ImportanceWeighting,
    JointDistributionAdaptation,
    LinearTransport,
    LogisticHead,
    MarginalizedDenoising,
    StructuralCorrespondence,
    SubspaceAlignment,
)

KEPT = RESULTS / "bench_adaptation.json"
GOODS = ("books", "dvd", "electronics", "kitchen")
DEVELOPMENT = {"text": ("books-kitchen", "electronics-dvd", "kitchen-electronics", "books-dvd")}
DEVELOPMENT |= {"bow": DEVELOPMENT["text"], "newsgroups": ("comp or rec", "sci or talk")}
SHIFTS = ("inverted", "rotated 25", "rotated 40", "noise 0.5", "noise 0.8", "none", "rotated -20", "rotated 30")
SHIFTS += ("noise 0.4", "faded 0.5", "inverted and faded 0.5")
OBJECTS = ("amazon", "dslr", "webcam")
MADE_UP = ("none", "scale", "mean", "mix", "noise", "proportions", "selection", "proportions and mean")
LATER = ("moved", "blurred", "contrast curve", "occluded")
DEVELOPMENT |= {"digits": SHIFTS, "objects": [f"{a}-{b}" for a, b in permutations(OBJECTS, 2)]}
DEVELOPMENT |= {"counts": list_development(), **weak_heads.list_development()}
DEVELOPMENT |= {"made-up": [f"{table} {name}" for table in ("digits", "breast cancer") for name in MADE_UP]}
QUICK_SHIFTS = ("inverted", "rotated 25", "noise 0.5")
DENSE = {
    "CORAL": CORAL(),
    "transport": LinearTransport(),
    "transport, reflected": LinearTransport(reflection="auto"),
    "joint distributions": JointDistributionAdaptation(),
    "subspace": SubspaceAlignment(),
    "weights, logistic": ImportanceWeighting(),
    "weights, KLIEP": ImportanceWeighting("kliep"),
    "weights, KMM": ImportanceWeighting("kmm", tol=1e-4),
}
FAST = {name: DENSE[name] for name in ("CORAL", "transport", "joint distributions")}
SPARSE = {
    "denoising": MarginalizedDenoising(),
    "correspondence": StructuralCorrespondence(),
    "weights, logistic": ImportanceWeighting(),
}
SOURCES = {"pooled": None, "weights of sources": DomainWeighting(), "weights of samples": ImportanceWeighting()}
WEAK = {name: DENSE[name] for name in ("CORAL", "joint distributions")}
PARTS = ("digits", "objects", "counts", "reviews", "embedded", "topics", "made-up", "text", "newsgroups", "bow")
SUMMARISED, PARTS = PARTS, (*PARTS, "sources", "skada", "speed")


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


def read_bow(folder, name, part):
    with gzip.open(folder / "amazon_reviews_bow" / f"{name}_{part}.svmlight.gz") as file:
        X, y = load_svmlight_file(file, n_features=5000, dtype=np.float32)
    return X, y.astype(int)


def bow_tasks(folder):
    read = partial(read_bow, folder)
    for source in GOODS:
        for target in GOODS:
            if source != target:
                yield f"{source}-{target}", *read(source, "train"), read(target, "train")[0], *read(target, "test")


def measure_sources(results, options):
    """Add the accuracies in each kind of goods of models that were trained on the three others."""
    found = results.setdefault("sources", {})
    for target in GOODS:
        parts = [read_bow(options.folder, name, "train") for name in GOODS if name != target]
        X, y = vstack([X for X, _ in parts], format="csr"), np.concatenate([y for _, y in parts])
        numbers = np.repeat([1, 2, 3], [len(y) for _, y in parts])
        unlabelled, (X_test, y_test) = (
            read_bow(options.folder, target, "train")[0],
            read_bow(options.folder, target, "test"),
        )
        encoder = TfidfTransformer(sublinear_tf=True).fit(vstack([X, unlabelled]))  # the same for all
        X, unlabelled, X_test = (encoder.transform(rows) for rows in (X, unlabelled, X_test))
        for name, adaptation in SOURCES.items():
            model = DomainTransferClassifier(adaptation=adaptation, device=options.device)
            model.fit(X, y, X_target=unlabelled, sample_domain=numbers)
            found.setdefault(target, {})[name] = 100 * model.score(X_test, y_test)
        write(results, options.output, "sources")
        print(f"sources {target}:", {name: round(value, 1) for name, value in found[target].items()}, flush=True)


def newsgroup_tasks(folder):
    data, groups, group_names = read_newsgroups(folder / "20newsgroups", "train", ("headers", "footers", "quotes"))
    names, texts = np.array(group_names)[groups], np.array(data, dtype=object)
    tops = ("comp", "rec", "sci", "talk")
    for i, first in enumerate(tops):
        for second in tops[i + 1 :]:
            parts = []
            for side in (0, 1):  # subgroups in turn to source and target
                groups = {top: [n for n in group_names if n.startswith(top + ".")][side::2] for top in (first, second)}
                kept = np.isin(names, groups[first] + groups[second])
                parts.append((texts[kept].tolist(), np.where(np.isin(names[kept], groups[first]), first, second)))
            yield f"{first} or {second}", *parts[0], parts[1][0], *parts[1]


def digit_tasks(is_quick):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    for shift in QUICK_SHIFTS if is_quick else SHIFTS:
        for draw in range(1 if is_quick else 2):
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
        turned = [ndimage.rotate(row.reshape(8, 8), float(size), reshape=False, order=1).ravel() for row in rows]
        return np.array(turned)
    if kind in ("faded", "inverted and faded"):
        return 0.3 + float(size) * (rows if kind == "faded" else 1 - rows)
    return rows + float(size) * random.normal(size=rows.shape) if kind == "noise" else rows


def object_tasks(folder):
    rows = {}
    for name in OBJECTS:
        read = loadmat(folder / "office_caltech10_googlenet" / f"{name}.mat")
        X = read["fts"].astype(np.float64)
        rows[name] = (X - X.mean(0)) / (X.std(0) + 1e-12), read["labels"].ravel()
    for source, target in permutations(OBJECTS, 2):
        yield f"{source}-{target}", *rows[source], rows[target][0], *rows[target]


def made_up_tasks():
    for table, load in (("digits", load_digits), ("breast cancer", load_breast_cancer), ("wine", load_wine)):
        X, y = load(return_X_y=True)
        for draw in range(2):
            random = np.random.RandomState(draw)
            order = random.permutation(len(y))
            source, target = order[: len(y) // 2], order[len(y) // 2 :]
            standard = (X - X.mean(0)) / (X.std(0) + 1e-9)
            for name in (*MADE_UP, *(LATER if table == "digits" else ())):
                rows, kept = X / 16 if name in LATER else standard, target
                if name in LATER:
                    moved = np.array([change_picture(row.reshape(8, 8), name).ravel() for row in rows[target]])
                else:
                    moved, kept = make_up(standard[target], y[target], name, random)
                    kept = target[kept]
                yield f"{table} {name}, draw {draw}", rows[source], y[source], moved, moved, y[kept]


def change_picture(picture, name):
    if name == "moved":
        return ndimage.shift(picture, (0, 1), order=1)
    if name == "blurred":
        return ndimage.gaussian_filter(picture, 0.8)
    return picture**3 if name == "contrast curve" else np.where(np.arange(8)[:, None] < 2, 0, picture)


def make_up(rows, y, name, random):
    """Return shifted rows, and the positions of the rows that they are made of."""
    kept, size = np.arange(len(y)), rows.shape[1]
    if "proportions" in name:
        shares = random.dirichlet(np.full(y.max() + 1, 0.7))[y] + 1e-6
        kept = random.choice(len(y), len(y) // 2, replace=False, p=shares / shares.sum())
    if name == "selection":
        scores = rows @ random.normal(size=size)
        kept = np.flatnonzero(random.rand(len(y)) < 1 / (1 + np.exp(-2 * scores / scores.std())))
    rows = rows[kept]
    if name == "scale":
        rows = rows * np.exp(0.7 * random.normal(size=size))
    if "mean" in name:
        rows = rows + (0.3 if "proportions" in name else 0.7) * random.normal(size=size)
    if name == "mix":
        rows = rows @ (np.eye(size) + 0.15 * random.normal(size=(size, size)))
    return rows + 0.8 * random.normal(size=rows.shape) if name == "noise" else rows, kept


def measure_task(found, X, y, X_target, X_test, y_test, methods, encoder, head, device):
    """Add the methods that are not measured yet."""

    def fit(adaptation, rows=X, labels=y, unlabelled=X_target):
        model = DomainTransferClassifier(encoder, head, adaptation=adaptation, device=device)
        return model.fit(rows, labels, X_target=unlabelled)

    for name, adaptation in methods.items():
        if name in found:
            continue
        if name == "oracle":
            found[name] = {"accuracy": measure_oracle(fit, X_test, y_test)}
            continue
        model, seconds = timed(lambda adaptation=adaptation: fit(adaptation))
        found[name] = {"accuracy": 100 * model.score(X_test, y_test), "seconds": seconds}
        if name == "auto":
            scores = {column: values.tolist() for column, values in model.adaptation_scores_.items()}
            found[name] |= {"chosen": model.adaptation_name_, "scores": scores}


def measure_oracle(fit, X, y):
    scores = []
    for train, test in StratifiedKFold(2, shuffle=True, random_state=0).split(np.zeros(len(y)), y):
        parts = [[X[i] for i in rows] if isinstance(X, list) else X[rows] for rows in (train, test)]
        scores.append(fit(None, parts[0], y[train], parts[1]).score(parts[1], y[test]))
    return 100 * float(np.mean(scores))


def measure_part(part, tasks, methods, encoder, results, options, head=None):
    found = results.setdefault(part, {})
    methods = {"none": None, **methods, "auto": "auto", "oracle": "oracle"}
    wanted = {name: value for name, value in methods.items() if not options.methods or name in options.methods}
    for name, *task in tasks:
        if options.pairs and name not in options.pairs:
            continue
        of_task = found.setdefault(name, {})
        if set(wanted) <= set(of_task):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measure_task(of_task, *task, wanted, encoder, head, options.device)
        of_task = found[name] = {method: of_task[method] for method in {**methods, **of_task} if method in of_task}
        write(results, options.output, part)
        row = " ".join(f"{method} {values['accuracy']:.1f}" for method, values in of_task.items())
        print(f"{part} {name}: {row} (auto: {of_task.get('auto', {}).get('chosen')})", flush=True)


def measure_skada(results, options):
    """Add the accuracies of skada's methods, and of those that its scorers select, to the results."""
    from skada import CORAL as SkadaCORAL
    from skada import DiscriminatorReweight, LinearOTMapping
    from skada import SubspaceAlignment as SkadaSubspaceAlignment
    from skada._utils import _DEFAULT_MASKED_TARGET_CLASSIFICATION_LABEL as MASKED
    from skada.metrics import CircularValidation, ImportanceWeightedScorer, PredictionEntropyScorer

    def head():
        return LogisticRegression(C=10, max_iter=1000).set_score_request(sample_weight=True)

    found = results.setdefault("skada", {})
    for name, X, y, X_target, _, y_target in digit_tasks(options.quick):
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
                except Exception as error:  # recorded, so that the other scorers are measured
                    found[name][method][f"{scorer} failed"] = f"{type(error).__name__}: {error}"[:200]
        for scorer, of_method in scores.items():
            if of_method:
                best = max(of_method, key=of_method.get)
                found[name][f"chosen by {scorer}"] = found[name][best] | {"chosen": best}
        write(results, options.output, "skada")
        print(f"skada {name}:", {key: round(value["accuracy"], 1) for key, value in found[name].items()}, flush=True)


def measure_speed(results, options):
    """Add seconds of fits of ours and of a rival's in turn, and the figure that compares their results."""
    from sklearn import set_config

    n_rows, n_features, repeats = (1000, 200, 1) if options.quick else (5000, 1000, 3)
    random = np.random.RandomState(0)
    mix = [random.normal(size=(n_features, n_features)) / n_features**0.5 + np.eye(n_features) for _ in range(2)]
    rows = np.vstack([random.normal(size=(n_rows, n_features)) @ matrix for matrix in mix])
    rows[n_rows:] += 0.1
    found = results.setdefault("speed", {})
    cases = list_speed_cases()
    set_config(enable_metadata_routing=False)  # which importing skada switched on
    for name, (models, evaluate) in cases.items():
        if name in found:
            continue
        seconds, domain = [[] for _ in models], np.repeat([1, -2], n_rows)
        for model in models:
            model.fit(rows[::4, :120], sample_domain=domain[::4])  # a warm-up: the first use loads libraries
        makers = {k: partial(model.fit, rows, sample_domain=domain) for k, model in enumerate(models)}
        for k, _, taken in alternate(makers, 1 if "KMM" in name else repeats):
            seconds[k].append(taken)
        ours, theirs = (float(np.median(times)) for times in seconds)
        figures = dict(zip(("ours", "rival"), evaluate(*models, rows[:n_rows], rows[n_rows:]), strict=True))
        found[name] = {"ours": ours, "rival": theirs, "times": theirs / ours, "all": seconds, "judged": figures}
        write(results, options.output, "speed")
        print(f"speed {name}: {ours:.3f} s, the rival {theirs:.3f} s, {theirs / ours:.1f} times; {figures}", flush=True)


def list_speed_cases():
    """Return, by name, a pair of ours and a rival's, and the function that computes a figure of each."""
    import skada

    kliep = ImportanceWeighting("kliep")
    return {
        "CORAL": ((CORAL(shrinkage=None), skada.CORALAdapter(reg=None)), evaluate_map),
        "CORAL, shrinkage of 0.1": ((CORAL(shrinkage=0.1), skada.CORALAdapter(reg=0.1)), evaluate_map),
        "CORAL, automatic shrinkage": ((CORAL(), skada.CORALAdapter()), evaluate_map),
        "transport": ((LinearTransport(shrinkage=None), skada.LinearOTMappingAdapter(reg=1e-8)), evaluate_map),
        "subspace, 50 axes": ((SubspaceAlignment(50), skada.SubspaceAlignmentAdapter(50)), evaluate_axes),
        "weights, logistic": ((ImportanceWeighting(), skada.DiscriminatorReweightAdapter()), evaluate_odds),
        "weights, KLIEP": ((kliep, skada.KLIEPReweightAdapter(gamma="scale", random_state=0)), evaluate_kliep),
        "weights, KLIEP, by SciPy's SLSQP": ((kliep, SciPyKLIEP()), evaluate_kliep),
        "weights, KMM": (
            (ImportanceWeighting("kmm", gamma=1e-3, tol=1e-4), skada.KMMReweightAdapter(gamma=1e-3)),
            evaluate_kmm,
        ),
    }


class SciPyKLIEP:
    """KLIEP at its optimum, which skada's algorithm does not reach, not even with larger steps."""

    def fit(self, X, sample_domain):
        """Maximise the mean log weight of target rows."""
        source, target = X[sample_domain > 0], X[sample_domain < 0]
        self.best_gamma_ = 1 / (X.shape[1] * X.var())
        self.centers_ = target[np.sort(np.random.RandomState(0).choice(len(target), 100, replace=False))]
        kernel = rbf_kernel(target, self.centers_, gamma=self.best_gamma_)
        means = rbf_kernel(source, self.centers_, gamma=self.best_gamma_).mean(0)
        self.alpha_ = minimize(
            lambda a: -np.log(kernel @ a).mean(),
            np.full(100, 1 / means.sum()),
            jac=lambda a: -kernel.T @ (1 / (kernel @ a)) / len(kernel),
            bounds=[(0, None)] * 100,
            constraints={"type": "eq", "fun": lambda a: means @ a - 1, "jac": lambda a: means},
            method="SLSQP",
            options={"maxiter": 1000, "ftol": 1e-8},
        ).x
        return self


def evaluate_map(ours, theirs, source, target):
    """Return the norms of the maps' differences from the identity."""
    n_features = source.shape[1]
    if hasattr(theirs, "cov_source_inv_sqrt_"):
        other = theirs.cov_source_inv_sqrt_ @ theirs.cov_target_sqrt_
    else:
        rows = np.vstack([np.zeros(n_features), np.eye(n_features)])
        mapped = theirs.transform(rows, sample_domain=np.ones(n_features + 1), allow_source=True)
        other = mapped[1:] - mapped[0]
    return [float(np.linalg.norm(matrix - np.eye(n_features))) for matrix in (ours.matrix_, other)]


def evaluate_axes(ours, theirs, source, target):
    """Return the share of the source's variance along the axes."""
    centred = source - source.mean(0)
    axes = ours.source_axes_, theirs.pca_source_.components_.T
    return [float(np.square(centred @ matrix).sum() / np.square(centred).sum()) for matrix in axes]


def evaluate_odds(ours, theirs, source, target):
    """Return the objective of the classifier of domains, each with its best intercept."""
    rows, found = np.vstack([source, target]), []
    for coef in (ours.coef_[0], theirs.domain_classifier_.coef_[0]):
        scores = rows @ coef
        found.append(float(minimize_scalar(lambda b, s=scores: measure_odds(s + b, len(source))).fun + coef @ coef / 2))
    return found


def measure_odds(scores, n_source):
    return float(np.logaddexp(0, scores[:n_source]).sum() + np.logaddexp(0, -scores[n_source:]).sum())


def evaluate_kliep(ours, theirs, source, target):
    """Return the mean log weight of target rows, with source weights of mean 1."""
    found = []
    for centres, coefficients, gamma in (
        (ours.centres_, ours.coefficients_, ours.gamma_),
        (theirs.centers_, theirs.alpha_, theirs.best_gamma_),
    ):
        weights = [rbf_kernel(rows, centres, gamma=gamma) @ coefficients for rows in (source, target)]
        found.append(float(np.log(weights[1] / weights[0].mean()).mean()))
    return found


def evaluate_kmm(ours, theirs, source, target):
    """Return the objective of the quadratic programme per sample, with the best scale of the weights."""
    kernel, n_rows, found = rbf_kernel(source, gamma=1e-3), len(source), []
    kappa = n_rows * rbf_kernel(source, target, gamma=1e-3).mean(1)
    for weights in (ours.sample_weight_[:n_rows], theirs.source_weights_):
        weights = weights / weights.mean()
        curvature, slope, slack = weights @ kernel @ weights, kappa @ weights, 1 - 1 / np.sqrt(n_rows)
        scale = np.clip(slope / curvature, 1 - slack, 1 + slack)
        found.append(float(scale**2 * curvature / 2 - scale * slope) / n_rows)
    return found


def summarise(results):
    """Print and return means over pairs and shifts: development, held out and all."""
    summary = {}
    for part in SUMMARISED:
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
        development, apart = DEVELOPMENT.get(part, ()), [pair for pair in means if not pair.startswith("inverted")]
        groups = {"development": [pair for pair in means if pair in development]}
        groups |= {"held out": [pair for pair in means if pair not in development], "all": list(means)}
        groups |= {"without inverted contrast": apart if len(apart) < len(means) else []}
        for which, kept in groups.items():
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


def write(results, path, part=None):
    """Write the results, with the commit at which each part was measured, and the machine of the times."""
    machine = describe_machine()
    if part is not None:
        commits = results.setdefault("commits", {})
        commits[part] = machine["commit"]
        kept = results.get("machine", machine) if part != "speed" else machine
        results["machine"] = kept | {"commit": ", ".join(sorted({str(commit) for commit in commits.values()}))}
    write_results(path, results)


def remove_cells(results, options):
    """Return the results without the parts to measure or, if methods are named, without these methods of theirs."""
    if not options.methods:
        return {name: values for name, values in results.items() if name not in options.parts}
    for part in options.parts:
        for methods in results.get(part, {}).values():
            for name in options.methods:
                methods.pop(name, None)
    return results


OF_ITS_OWN = {"skada": measure_skada, "speed": measure_speed, "sources": measure_sources}


def list_dense_parts(options):
    """Return, by part, tasks of dense features, the methods and the head."""
    return {
        "reviews": (weak_heads.review_tasks(options.folder), WEAK, LogisticHead(0.01)),
        "embedded": (weak_heads.embedded_tasks(options.folder), WEAK, None),
        "topics": (weak_heads.topic_tasks(options.folder), WEAK, LogisticHead(0.01)),
        "digits": (digit_tasks(options.quick), DENSE, None),
        "objects": (object_tasks(options.folder), FAST, LogisticHead(0.01)),
        "counts": (count_tasks(options.folder), FAST, LogisticHead(0.01)),
        "made-up": (made_up_tasks(), FAST, None),
    }


def main():
    options = read_arguments()
    if options.fresh:
        write(remove_cells(read_results(options.output), options), options.output)
    for part in options.parts:
        if part in ("skada", "speed") and not is_installed("skada"):
            continue
        if part in ("skada", "speed") and not options.in_this_process:
            words = ["--parts", part, "--output", str(options.output), *(["--quick"] if options.quick else [])]
            subprocess.run([sys.executable, __file__, *words, "--in-this-process"], check=True)
            continue
        results = read_results(options.output)
        if part in OF_ITS_OWN:
            OF_ITS_OWN[part](results, options)
        elif part in (dense := list_dense_parts(options)):
            tasks, methods, head = dense[part]
            measure_part(part, tasks, methods, None, results, options, head)
        elif part == "bow":
            encoder = TfidfTransformer(sublinear_tf=True)
            methods = {**SPARSE, "none+denoising": "none+denoising"}
            measure_part(part, bow_tasks(options.folder), methods, encoder, results, options)
        else:
            tasks = {"text": text_tasks, "newsgroups": newsgroup_tasks}[part](options.folder)
            methods = {**SPARSE, "term_vectors": "term_vectors", "term_vectors+denoising": "term_vectors+denoising"}
            measure_part(part, tasks, methods, None, results, options)
    if not options.in_this_process:
        results = read_results(options.output)
        results["summary"] = summarise(results)
        write(results, options.output)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--parts", nargs="+", choices=PARTS)
    parser.add_argument("--methods", nargs="+", help="columns; all if not given")
    parser.add_argument("--pairs", nargs="+", help="pairs of domains; all if not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=KEPT)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parts is None:
        options.parts = ["digits", "speed"] if options.quick else list(PARTS)
    if options.folder is None and set(options.parts) & set(PARTS) - {"digits", "made-up", "skada", "speed"}:
        parser.error("these parts need the folder of data sets")
    options.output = choose_output(options.output, KEPT, options.quick)
    return options


if __name__ == "__main__":
    main()
