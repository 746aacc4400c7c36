"""Tables of word vectors, of frozen encoders by the protocol of MTEB, and of published figures beside ours."""

import json
from pathlib import Path

from tables import NOT_MEASURED, TASK_NAMES, duration, factor, to_markdown

PUBLISHED = Path(__file__).parent / "published.json"
SIMILARITY = {
    "wordsim353": "WordSim-353",
    "simlex999": "SimLex-999",
    "men3000": "MEN",
    "mturk771": "MTurk-771",
    "rarewords": "RareWords",
    "mean": "mean",
}
FEW_LABELS = ("ag_news_subset", "sst2", "trec")
OURS = {
    "factorised": '`WordVectorEncoder`, "ppmi-svd" (default)',
    "GloVe": '`WordVectorEncoder`, "glove"',
    "skip-gram": '`WordVectorEncoder`, "sgns"',
    "subwords": "`WordVectorEncoder`, `subword=True`",
}
WITH_SUBWORDS = ("subwords", "fastText")  # which have vectors of all words
FROZEN = ("TF-IDF", "LSA", "Wikipedia and own", "english", "english and own", "model2vec", "MiniLM")
TIMED, MTEB_LABELS = "ag_news_subset", 8
CASES = (("ag_news_subset", 8), ("ag_news_subset", 64), ("banking77", 8))  # of which there are published figures
ON_ALL_TEXTS = "pretrained on Wikipedia and the training texts"


def write_words(results):
    """Write processor time and correlations with human similarity of each kind of word vectors."""
    parts = results.get("word_vectors", "parts", optional=True)
    if not parts:
        return NOT_MEASURED
    first = parts["factorised"]["processor seconds"]
    lines = []
    for kind, part in parts.items():
        seconds = part.get("processor seconds")
        times = ["", ""] if seconds is None else [duration(seconds), factor(seconds / first)]
        scores = [f"{part['similarity'][name]:.3f}" for name in SIMILARITY]
        lines.append([OURS.get(kind, kind), *times, *scores])
    return to_markdown(["vectors", "time", "times that of the first", *SIMILARITY.values()], lines)


def write_uses_of_words(results):
    """Write analogies, correlations on all pairs of rare words and accuracies with few labels of word vectors."""
    parts = results.get("word_vectors", "parts", optional=True)
    if not parts:
        return NOT_MEASURED
    lines = []
    for kind, part in parts.items():
        rare = f"{part['rarewords, all pairs']['spearman']:.3f}" if kind.startswith(WITH_SUBWORDS) else ""
        accuracies = (part.get("8 labels", {}).get(task) for task in FEW_LABELS)
        cells = ["" if accuracy is None else f"{accuracy:.1f}" for accuracy in accuracies]
        lines.append([OURS.get(kind, kind), f"{part['analogies']['accuracy']:.1%}", rare, *cells])
    tasks = [TASK_NAMES.get(task, task.upper()) for task in FEW_LABELS]
    return to_markdown(["vectors", "analogies", "RareWords, all pairs", *tasks], lines)


def write_frozen(results):
    """Write accuracies of frozen encoders, per task, and the time to encode texts."""
    accuracy = results.get("mteb", "accuracy", optional=True)
    if not accuracy:
        return NOT_MEASURED
    lines = []
    for task, row in accuracy.items():
        best = max(value["mean"] for value in row.values())
        lines.append([TASK_NAMES.get(task, task.upper()), *(_write_value(row.get(name), best) for name in FROZEN)])
    seconds = (results.get("mteb", "parts", f"{TIMED} {name}", optional=True) for name in FROZEN)
    cells = ["" if part is None else duration(part["processor seconds per 1,000 texts"]) for part in seconds]
    lines.append([f"1,000 texts of {TASK_NAMES[TIMED]}", *cells])
    return to_markdown(["task", *FROZEN], lines)


def _write_value(value, best):
    if value is None:
        return ""
    text = f"{value['mean']:.1f} ± {value['standard deviation']:.1f}"
    return f"**{text}**" if value["mean"] == best else text


def write_published(results):
    """Write published accuracies with few labels and ours, in order, with what differs."""
    rows = [*json.loads(PUBLISHED.read_text(encoding="utf-8")), *find_measured(results)]
    rows.sort(key=lambda row: (row["task"], row["labels per class"], -row["accuracy"]))
    lines = []
    for row in rows:
        deviation = row.get("standard deviation")
        lines.append(
            [
                TASK_NAMES[row["task"]].removesuffix(" subset"),
                row["labels per class"],
                f"**{row['system']}**" if _is_ours(row) else row["system"],
                f"{row['accuracy']:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}"),
                row.get("draws") or "",
                row.get("source", "measured here"),
                row["protocol"],
            ]
        )
    names = ["task", "labels per class", "system", "accuracy", "draws", "source", "protocol"]
    return to_markdown(names, lines, "lrlrrll")


def _is_ours(row):
    return "source" not in row and not row["system"].startswith(("scikit-learn", "all-MiniLM"))


def find_measured(results):
    """Yield our figures of the cases with published ones."""
    for task, size in CASES:
        columns = results.get("transfer", "columns", str(size), task, optional=True) or {}
        for column, system, protocol in (
            ("scikit-learn", "scikit-learn, TF-IDF", "no pretraining"),
            ("english", "`TransferClassifier()`", 'encoder "english", which saw no text of the task'),
            ("english and own", "`TransferClassifier(encoder)`", 'encoder "english", continued on the training texts'),
            ("auto", "`TransferClassifier(encoder)`", ON_ALL_TEXTS),
        ):
            if column in columns:
                yield _describe(task, size, system, protocol, columns[column]["accuracy"], columns[column]["draws"])
        accuracy = results.get("evidence", "accuracy", str(size), task, "both", optional=True)
        if accuracy is not None:
            protocol = (
                f"{ON_ALL_TEXTS}; descriptions of the classes, unlabelled texts; its rules were made on this task"
            )
            draws = results.get("evidence", "draws", str(size), task)
            yield _describe(task, size, "`TransferClassifier(encoder)`", protocol, accuracy, draws)
        frozen = results.get("mteb", "accuracy", task, optional=True) if size == MTEB_LABELS else {}
        for column, system in (("MiniLM", "all-MiniLM-L6-v2, frozen"), ("english", 'encoder "english", frozen')):
            if column in (frozen or {}):
                draws = len(results.get("mteb", "parts", f"{task} {column}", "accuracies"))
                found = _describe(task, size, system, "that of MTEB", frozen[column]["mean"], draws)
                yield found | {"standard deviation": frozen[column]["standard deviation"]}


def _describe(task, size, system, protocol, accuracy, draws):
    found = {"task": task, "labels per class": size, "system": system, "protocol": protocol}
    return found | {"accuracy": accuracy, "draws": draws}
