"""Write the tables of figures in the README and the documentation, and the picture of transfer, from the results.

Run ``python benchmarks/make_tables.py`` after a benchmark; ``--check`` writes nothing and fails if a table differs from
the results. A table is between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``. If a rival was not measured,
its cells are empty; if a figure of transferkit is missing, an error names the file and the key.
"""

import argparse
import re
import sys
from pathlib import Path

from encoder_tables import write_frozen, write_published, write_uses_of_words, write_words
from first_screen import write_first_screen
from tables import (
    TASK_NAMES,
    Results,
    duration,
    table_of_allocators,
    table_of_runs,
    table_of_speeds,
    table_of_time,
    with_runs,
    write_accepted,
    write_adaptation,
    write_calibration,
    write_choices,
    write_comparisons,
    write_english,
    write_evidence,
    write_files,
    write_grid,
    write_load,
    write_machine,
    write_machines,
    write_new_classes,
    write_rejection,
    write_rivals_of_suggestions,
    write_scale,
    write_shifts,
    write_speeds,
    write_strategies,
    write_suggestions,
    write_transfer,
)

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/index.md", "docs/results.md", "docs/scale.md")
MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
NEWS = "11,314 x 130,107 sparse rows, 20 classes"
DOCSTRINGS = "6,443 x 256 dense rows, 40 classes"


def flag(file, *keys, word):
    """Return a function that writes `word` if the results confirm it."""
    return lambda results: word if results.get(file, *keys) else "not equal"


def pair(first, second, form="{:.3f}", word=""):
    """Return a function that writes our figure and the rival's."""

    def write(results):
        values = [results.get(*keys, optional=index == 1) for index, keys in enumerate((first, second))]
        values = [max(v) if isinstance(v, list) else v for v in values]
        return f"{word} " + " / ".join("" if value is None else form.format(value) for value in values)

    return write


def nothing(results):
    return ""


FIGURES = {
    "excess_of_objective": ("{:.0e}", "objective above the lowest"),
    "accuracy": ("{:.1f}", "accuracy in %"),
    "largest_error_of_mean_scores_in_points": ("{:.1f}", "largest error of a mean score, percentage points"),
}


def text_row(what, corpus, case, rival):
    key = f"{corpus}, {case}"
    word = "equal matrix" if rival == "TfidfVectorizer" else "hashes instead of terms"
    return what, f"`{rival}`", ("text", key), "TfidfEncoder", rival, flag("text", key, "equal", word=word)


def lsa_row(what, corpus, rival):
    key = ("text", f"{corpus}, LSA")
    energy = [(*key, "one thread", "captured_energy", name) for name in ("LSAEncoder", rival)]
    return what, f"`TfidfVectorizer`, `{rival}`", key, "LSAEncoder", rival, pair(*energy, "{:.2%}", "energy")


def fit_row(what, case, rival, ours="LogisticHead, tol=1e-6", figure="excess_of_objective", file="heads"):
    """Return a row of one case: figures are objectives, accuracies or scores."""
    form, word = FIGURES[figure]
    figures = [(file, case, "one thread", figure, name) for name in (ours, rival)]
    return what, f"`{rival}`", (file, case), ours, rival, pair(*figures, form, word)


def fit_rows(what, case, rivals, others=()):
    """Return a row for each rival: default tolerances, then tight ones, then other objectives with accuracies."""
    defaults = fit_row(what, case, "LogisticRegression", "LogisticHead")
    tight = [fit_row("the same, tol=1e-6", case, rival) for rival in ("LogisticRegression, tol=1e-6", *rivals)]
    return [defaults, *tight, *(fit_row("the same", case, other, "LogisticHead", "accuracy") for other in others)]


def search_rows(what, case, rivals):
    """Return a row for each rival of a search."""
    names = [what, *["the same"] * (len(rivals) - 1)]
    return [
        fit_row(name, case, rival, "LogisticHeadCV", "largest_error_of_mean_scores_in_points", "searches")
        for name, rival in zip(names, rivals, strict=True)
    ]


def adaptation_row(what, case, word, rival="skada", form="{:.2f}"):
    key = ("adaptation", "speed", case)
    quality = pair((*key, "judged", "ours"), (*key, "judged", "rival"), form, word)
    return what, rival, (*key, "ours"), (*key, "rival"), quality


TRAINING_RIVALS = {"skorch": "skorch", "bare loop": "bare loop in torch"}


def training_row(what, case, rival="skorch", figure="accuracy", form="{:.1%}", file="training"):
    seconds, figures = ((file, case, kind) for kind in ("seconds", figure))
    quality = pair((*figures, "transferkit"), (*figures, rival), form, figure)
    return what, TRAINING_RIVALS.get(rival, f"`{rival}`"), (*seconds, "transferkit"), (*seconds, rival), quality


def training_rows(what, case, rivals, file="training"):
    """Return a row for each rival."""
    names = [what, *["the same"] * (len(rivals) - 1)]
    return [training_row(name, case, rival, file=file) for name, rival in zip(names, rivals, strict=True)]


def words_row(what, kind):
    """Return a row beside gensim with the best of the settings that were tried, on one thread."""
    figures = ("word_vectors", "parts", kind), ("word_vectors", "gensim, tuned")
    ours, theirs = ((*keys, "processor seconds") for keys in figures)
    quality = pair(*((*keys, "similarity", "mean") for keys in figures), word="Spearman")
    return (
        f"word vectors of 8.9 M words, {what}, one thread",
        "gensim `Word2Vec`, skip-gram, tuned",
        ours,
        theirs,
        quality,
    )


def unsupervised_row(what, case, ours, theirs, figure, word, form="{:.3g}"):
    key = ("unsupervised", case)
    quality = pair((*key, ours, figure), (*key, theirs, figure), form, word)
    return what, theirs, (*key, ours, "seconds"), (*key, theirs, "seconds"), quality


def first_row(what, figure, rival, quality=nothing):
    key = ("first_answers", "processor_seconds", figure)
    return what, f"`TfidfVectorizer` and `LogisticRegression`, {rival}", (*key, "transferkit"), (*key, rival), quality


def difference(results):
    return f"probabilities equal within {results.get('first_answers', 'largest_difference_of_probabilities'):.0e}"


def import_alone(results):
    key = ("first_answers", "processor_seconds", "new process", "import sklearn.base alone")
    return f"importing scikit-learn alone {duration(results.get(*key))}"


def difference_of_scores(results):
    points = 100 * results.get("heads_h100", "search-sparse", "largest_difference_of_mean_scores")
    return f"mean scores differ by up to {points:.1f} percentage points"


SAME_PICKLED = "pickle, float32"


def one_thread(row):
    """Return a row of `write_comparisons` as one of `write_speeds`: processor time with one thread."""
    what, rival, key, ours, theirs, quality = row
    seconds = (*key, "one thread", "processor_seconds")
    return what, rival, (*seconds, ours), (*seconds, theirs), quality


HASHING = "HashingVectorizer"
TEXT = [
    text_row("TF-IDF of 20 Newsgroups, words", "20newsgroups", "words", "TfidfVectorizer"),
    text_row("the same", "20newsgroups", "words", HASHING),
    text_row("words and pairs of words", "20newsgroups", "word 1-2-grams", "TfidfVectorizer"),
    text_row("the same", "20newsgroups", "word 1-2-grams", HASHING),
    text_row("n-grams of 3 to 5 characters within words", "20newsgroups", "char_wb 3-5-grams", "TfidfVectorizer"),
    text_row("the same", "20newsgroups", "char_wb 3-5-grams", HASHING),
    text_row("TF-IDF of docstrings, words", "docstrings", "words", "TfidfVectorizer"),
    text_row("the same", "docstrings", "words", HASHING),
    lsa_row("LSA of 4,000 texts of 20 Newsgroups, 128 components", "20newsgroups", "TruncatedSVD"),
    lsa_row("the same", "20newsgroups", "TruncatedSVD(algorithm='arpack')"),
    lsa_row("LSA of 4,000 docstrings, 128 components", "docstrings", "TruncatedSVD"),
]
NEWTON, INTEL = "LogisticRegression, newton-cholesky", "scikit-learn-intelex"
SNAPML = ("snapml, tol=0.001", "snapml, tol=0.0001")
LINEAR = ("LinearSVC", "SGDClassifier")
HEADS = [
    *fit_rows(f"logistic regression, {NEWS}", "sparse", (), LINEAR),
    *fit_rows(f"logistic regression, {DOCSTRINGS}", "dense", (NEWTON, INTEL, "torch L-BFGS"), LINEAR),
    *fit_rows("20 classes, 5,000 x 128 dense rows", "small-dense", (NEWTON, INTEL)),
    *fit_rows("two classes, 10,662 x 256 dense rows", "two-dense", (NEWTON, INTEL, *SNAPML)),
    *fit_rows("two classes, 10,662 x 124,615 sparse rows", "two-sparse", SNAPML),
    *fit_rows("two classes, 5,000 x 69,617 sparse rows", "two-sparse-5000", SNAPML),
    *fit_rows("50 labels per sample, 6,443 x 256 dense rows", "multilabel", (NEWTON, INTEL)),
    fit_row("probabilities of 40 classes, dense", "soft", "LogisticRegression, one row per class", "LogisticHead"),
]
GRIDS = ("GridSearchCV", "GridSearchCV, tol=1e-6", "LogisticRegressionCV", "LogisticRegressionCV, tol=1e-6")
GRIDS_DENSE = (*GRIDS, "GridSearchCV of scikit-learn-intelex")
SEARCHES = [
    *search_rows("6,443 x 256 dense rows, 40 classes", "many", GRIDS_DENSE),
    *search_rows("1,000 x 64 dense rows, 20 classes", "medium", GRIDS_DENSE),
    *search_rows("100 digits x 512, 10 classes", "few-dense", GRIDS_DENSE),
    *search_rows("160 texts of 20 classes, sparse", "few-sparse", GRIDS),
]
LAYER, NETWORK = ("skorch", "bare loop"), ("skorch", "bare loop", "MLPClassifier")
AGAINST_REST = "40 classes, each against the rest, logistic regression by gradient steps"
TRAINING = [
    *training_rows("linear layer, batches of 64", "linear-64", LAYER),
    *training_rows("linear layer, batches of 1,024", "linear-1024", LAYER),
    *training_rows("network (256, 128), batches of 64", "mlp-64", NETWORK),
    *training_rows("network (256, 128), batches of 1,024", "mlp-1024", NETWORK),
    training_row("network on 130,107 sparse features, to the accuracy of skorch after one epoch", "sparse"),
    training_row(AGAINST_REST, "objective", "SGDClassifier", "objective", "{:.3f}"),
    training_row("the same", "objective", "SGDClassifier, all cores", "objective", "{:.3f}"),
]
INTEL_MEANS = "KMeans of scikit-learn-intelex"
INERTIA = ("inertia", "inertia", "{:,.0f}")
UNSUPERVISED = [
    unsupervised_row("k-means of 100,000 image patches x 243, k = 256", "kmeans", "KMeansEncoder", "KMeans", *INERTIA),
    unsupervised_row("the same", "kmeans", "KMeansEncoder", "MiniBatchKMeans(4096)", *INERTIA),
    unsupervised_row("the same, one thread", "kmeans-one-thread", "KMeansEncoder", INTEL_MEANS, *INERTIA),
    unsupervised_row("the same, one thread", "kmeans-one-thread", "KMeansEncoder", "KMeans", *INERTIA),
    unsupervised_row("the same, one thread", "kmeans-one-thread", "KMeansEncoder", "MiniBatchKMeans(4096)", *INERTIA),
    unsupervised_row(
        "self-organising map of the digits, 12 x 12, ending at radius 1",
        "som",
        "SOMEncoder, final_radius=1",
        "MiniSom, 50 epochs",
        "quantisation_error",
        "quantisation error",
    ),
    unsupervised_row(
        "denoising autoencoder of the digits, same network and epochs",
        "autoencoder",
        "AutoencoderEncoder",
        "skorch",
        "mean_squared_error",
        "squared error",
        "{:.4f}",
    ),
]
SERVING = [
    first_row(
        "load a model of 130,107 terms and 20 classes, predict 100 texts",
        "load and first batch",
        SAME_PICKLED,
        difference,
    ),
    first_row("features of short texts that all differ, one at a time", "one text, features", SAME_PICKLED),
    first_row("probabilities of the same", "one text, probabilities", SAME_PICKLED),
    first_row("start a process, import, load and predict, processor time", "new process", "pickle", import_alone),
    first_row("the same", "new process", "joblib", import_alone),
]
SHORT = [
    *(one_thread(row) for row in (TEXT[0], HEADS[0])),
    ("search over 10 C x 5 folds, 1,000 x 64, 20 classes", *one_thread(SEARCHES[len(GRIDS_DENSE) + 2])[1:]),
    words_row("factorised", "factorised"),
    ("k-means of 100,000 image patches x 243, k = 256, one thread", *UNSUPERVISED[2][1:]),
    SERVING[0],
]
GPU = [
    (
        f"logistic regression, {NEWS}",
        "`LogisticRegression`, 16 cores",
        ("heads_h100", "sparse", "seconds", "LogisticHead"),
        ("heads_h100", "sparse", "seconds", "LogisticRegression"),
        flag("heads_h100", "sparse", "equal_objective", word="same or lower loss"),
    ),
    (
        "search over 10 C x 5 folds of the same data",
        "`GridSearchCV`, 16 cores",
        ("heads_h100", "search-sparse", "seconds", "LogisticHeadCV"),
        ("heads_h100", "search-sparse", "seconds", "GridSearchCV"),
        difference_of_scores,
    ),
    *training_rows("linear layer, batches of 1,024", "linear-1024", LAYER, "training_h100"),
    *training_rows("network (256, 128), batches of 1,024", "mlp-1024", LAYER, "training_h100"),
    *training_rows("network (256, 128), batches of 64", "mlp-64", LAYER, "training_h100"),
]


ADAPTATION = [
    adaptation_row("CORAL, covariances as they are", "CORAL", "norm of the map minus the identity"),
    adaptation_row("CORAL, shrinkage of 0.1", "CORAL, shrinkage of 0.1", "norm of the map minus the identity"),
    adaptation_row("CORAL, shrinkage by Ledoit and Wolf", "CORAL, automatic shrinkage", "each with its own estimate"),
    adaptation_row("linear transport", "transport", "norm of the map minus the identity"),
    adaptation_row("subspace alignment, 50 axes", "subspace, 50 axes", "variance along the axes", form="{:.4f}"),
    adaptation_row("logistic weights", "weights, logistic", "objective", form="{:.1f}"),
    adaptation_row("KMM", "weights, KMM", "objective", form="{:.1f}"),
    adaptation_row("KLIEP", "weights, KLIEP", "mean log weight", form="{:.4f}"),
    adaptation_row("KLIEP", "weights, KLIEP, by SciPy's SLSQP", "mean log weight", "SciPy's SLSQP", form="{:.4f}"),
]
TABLES = {
    "first-screen": write_first_screen,
    "short": lambda results: write_speeds(results, SHORT),
    "text": lambda results: write_comparisons(results, TEXT),
    "heads": lambda results: write_comparisons(results, HEADS),
    "searches": lambda results: write_comparisons(results, SEARCHES),
    "training": with_runs(lambda results: write_speeds(results, TRAINING), "training"),
    "unsupervised": lambda results: write_speeds(results, UNSUPERVISED),
    "words": write_words,
    "words-used": write_uses_of_words,
    "serving": with_runs(lambda results: write_speeds(results, SERVING), "first_answers"),
    "english": write_english,
    "frozen": write_frozen,
    "published": write_published,
    "few-labels": write_grid("few_labels", "fits", first="", form="{:.2f}"),
    "busy": with_runs(write_grid("busy", "fits", first="", form="{:.2f}"), "busy"),
    "gpu": lambda results: write_speeds(results, GPU),
    "transfer-8": write_transfer("8"),
    "transfer-64": write_transfer("64"),
    "transfer-all": write_transfer("all"),
    "transfer-strategies": write_strategies,
    "evidence": write_evidence,
    "new-classes": write_new_classes,
    "digits": write_grid("unsupervised", "digits", first="features"),
    "selection": write_grid("selection", "mean", first="metric", form="{:.2f}"),
    "suggest": write_suggestions,
    "suggest-rivals": write_rivals_of_suggestions,
    "suggest-time": write_grid("suggest", "100,000 texts", first="", form="{:.1f}"),
    "rejection": write_rejection,
    "rejection-thresholds": write_accepted,
    "calibration": write_calibration,
    "adaptation-words": write_adaptation("text", "newsgroups", "bow"),
    "adaptation-rows": write_adaptation("digits", "objects", "counts", "reviews", "embedded", "topics", "made-up"),
    "adaptation-shifts": write_shifts("digits", "objects", "counts", "made-up"),
    "adaptation-sources": write_grid("adaptation", "sources", first="target", form="{:.1f}"),
    "adaptation-choices": write_choices,
    "adaptation-speed": lambda results: write_speeds(results, ADAPTATION),
    "files": write_files,
    "load": write_load,
    "scale": write_scale(table_of_speeds),
    "scale-runs": write_scale(table_of_runs),
    "scale-time": write_scale(table_of_time),
    "scale-allocator": write_scale(table_of_allocators),
    "scale-machine": write_machine("Measured on", "scale", ("numpy", "scipy", "dask"), with_commit=True),
    "machine": write_machine(
        "Measured with `make bench DATA=folder` on", "heads", ("numpy", "scikit-learn", "torch", "gensim")
    ),
    "machines": write_machines(
        "text",
        "heads",
        "searches",
        "training",
        "unsupervised",
        "word_vectors",
        "serving",
        "first_answers",
        "mteb",
        "few_labels",
        "busy",
        "selection",
        "adaptation",
        "scale",
        "transfer",
        "evidence",
        "new_classes",
        "suggest",
        "rejection",
    ),
    "machines-gpu": write_machines("heads_h100", "training_h100"),
}


CURVES = {  # column: its name, how far it lies to the right, its style
    "auto": ("transferkit, pretrained word vectors", -0.05, {"color": "#0072b2", "marker": "o"}),
    "scikit-learn": ("scikit-learn, TF-IDF and logistic regression", 0.05, {"color": "#d55e00", "marker": "s"}),
}


def fill(text, results):
    """Return the text with every table between its marks regenerated."""

    def write(match):
        try:
            table = TABLES[match[2]]
        except KeyError:
            raise SystemExit(f"There is no table {match[2]!r}. There are: {', '.join(TABLES)}") from None
        return f"{match[1]}{table(results)}\n{match[3]}"

    return MARKED.sub(write, text)


def draw_transfer(results, path):
    """Draw the accuracy by the number of labels with transfer and of scikit-learn, one panel per task."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "transferkit"
    sizes = results.get("transfer", "columns", optional=True)
    if not sizes:
        return
    tasks = list(dict.fromkeys(task for rows in sizes.values() for task in rows))
    figure, axes = plt.subplots(2, -(-len(tasks) // 2), figsize=(8, 4.4), sharex=True, layout="constrained")
    for ax, task in zip(axes.flat, tasks, strict=False):
        for column, (label, shift, style) in CURVES.items():
            found = {size: rows[task][column] for size, rows in sizes.items() if column in rows.get(task, {})}
            accuracies = [figures["accuracy"] for figures in found.values()]
            errors = [figures.get("standard deviation", 0.0) for figures in found.values()]
            places = [list(sizes).index(size) + shift for size in found]
            ax.errorbar(places, accuracies, errors, label=label, capsize=3, markersize=5, **style)
        ax.set_title(TASK_NAMES.get(task, task.upper()), fontsize=11)
        ax.set_xticks(range(len(sizes)), sizes)
        ax.set_xlim(-0.3, len(sizes) - 0.7)
        ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=4, integer=True))
        ax.grid(axis="y", alpha=0.3)
    for ax in list(axes.flat)[len(tasks) :]:
        ax.set_axis_off()
    figure.supxlabel("labels per class", fontsize=11)
    figure.supylabel("test accuracy, %", fontsize=11)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=11)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a page is out of date")
    arguments = parser.parse_args()
    results, stale = Results(), []
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        filled = fill(text, results)
        if filled != text:
            stale.append(name)
            if not arguments.check:
                path.write_text(filled, encoding="utf-8")
    if arguments.check:
        sys.exit(f"Out of date: {', '.join(stale)}. Run: make tables" if stale else 0)
    draw_transfer(results, ROOT / "docs" / "transfer.svg")
    print("wrote", ", ".join([*stale, "docs/transfer.svg"]))


if __name__ == "__main__":
    main()
