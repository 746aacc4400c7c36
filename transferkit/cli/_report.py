"""The page that ``transferkit report`` writes: one HTML file without scripts that loads nothing else."""

from html import escape

import numpy as np

from transferkit._algorithms.proportions import N_BINS, calibrate
from transferkit.cli._evaluation import evaluate_predictions
from transferkit.cli._text_models import find_selective
from transferkit.inspection import top_terms

__all__ = ["make_report"]

MOST_CANDIDATES = 20  # rows of the table
MOST_CLASSES = 30  # of a confusion matrix and of open tables; of more the most frequent confusions are listed
MOST_CONFUSIONS = 20
N_TERMS = 10  # per class
_COLUMNS = {
    "strategy": "strategy",
    "evidence": "evidence",
    "evidence_factor": "factor",
    "alpha": "alpha",
    "C": "C",
    "idf": "idf",
    "terms": "terms",
    "weight": "weight",
    "log_loss": "log loss",
    "mean": "score",
    "standard_error": "+-",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; } .scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; } td.text.wide { white-space: normal; }
.summary { font-size: 1.1rem; background: #f3f6fa; padding: .8rem 1rem; border-left: 4px solid #0072b2; }
.note { color: #555; } svg { max-width: 100%; height: auto; } summary { cursor: pointer; }
@media (max-width: 40rem) { td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; } }
"""


def make_report(model, name, description, predicted):
    """Return a page about a model of texts as an HTML document that is complete in itself.

    `description` is that of the model's file, and `predicted` holds LabelledPredictions by the name of a file.
    """
    selective = find_selective(model)
    model = model if selective is not model else model.estimator_
    facts = [
        ["model", description.class_name],
        ["saved", description.created],
        ["size", f"{description.n_bytes / 1e6:.2f} MB"],
        ["digest", description.digest],
        ["versions", ", ".join(f"{package} {version}" for package, version in description.versions.items())],
        *([name, value] for name, value in description.card.items()),
    ]
    parts = [
        f"<h1>{escape(name)}</h1>",
        _write_summary(model),
        _write_rejection(selective),
        _write_labels(model),
        _write_candidates(model),
        *(_write_predicted(file, found) for file, found in predicted.items()),
    ]
    if not predicted:
        parts.append(
            "<h2>Confusion and calibration</h2><p class='note'>A model file holds neither texts nor predictions for "
            "held-out labels. Give a labelled file by --data to see which classes are confused, and whether "
            "probabilities can be trusted.</p>"
        )
    parts += [_write_terms(model), f"<h2>File</h2>{_table(['', ''], facts, classes=('text', 'text wide'))}"]
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    head = f"<head><meta charset='utf-8'>{view}<title>{escape(name)}</title><style>{_STYLE}</style></head>"
    body = "\n".join(parts)
    return f"<!DOCTYPE html>\n<html lang='en'>{head}\n<body>\n{body}\n</body></html>\n"


def _write_summary(model):
    summary = getattr(model, "summary_", None)
    if summary is None:
        text = (
            "The model does not record what held-out labels said of transfer: it was saved by an earlier version, or "
        )
        return f"<h2>Did transfer help?</h2><p class='note'>{text}is not a TransferClassifier.</p>"
    return f"<h2>Did transfer help?</h2><p class='summary'>{escape(summary['text'])}</p>{_draw_scores(summary)}"


def _write_rejection(selective):
    if selective is None:
        return ""
    goal = "coverage" if selective.coverage is not None else "max_error"
    text = (
        f"The model rejects texts by {selective.method}, with {goal}={getattr(selective, goal):g}. It accepts "
        f"{selective.coverage_:.1%} of {selective.n_held_out_:,} held-out texts, {selective.error_:.1%} of these wrong."
    )
    return f"<h2>Rejection</h2><p>{text}</p>"


def _draw_scores(summary):
    """Return bars of the scores, if they are shares."""
    names = {"with transfer": "with_transfer", "without transfer": "without_transfer", "majority class": "majority"}
    known = {name: summary[key] for name, key in names.items() if summary[key] is not None}
    if not known or not all(0 <= value <= 1 for value in known.values()):
        return ""
    bars, height = [], 28 * len(known)
    for place, (name, value) in enumerate(known.items()):
        y = 28 * place
        bars.append(
            f"<text x='0' y='{y + 17}'>{escape(name)}</text><rect x='140' y='{y + 3}' width='{400 * value:.1f}' "
            f"height='20' fill='{'#0072b2' if place == 0 else '#999'}'/>"
            f"<text x='{146 + 400 * value:.1f}' y='{y + 17}'>{100 * value:.1f} %</text>"
        )
    label = "; ".join(f"{name} {100 * value:.1f} %" for name, value in known.items())
    svg = f"<svg role='img' aria-label='{escape(label)}' viewBox='0 0 610 {height}' width='610' height='{height}'"
    return f"{svg} font-size='14'>{''.join(bars)}</svg>"


def _write_labels(model):
    counts = (getattr(model, "summary_", None) or {}).get("class_counts")
    rows = [[str(label)] for label in model.classes_.tolist()]
    if counts is None:
        return "<h2>Labels</h2>" + _fold(_table(["label"], rows), len(rows))
    rows = [[*row, count] for row, count in zip(rows, counts, strict=True)]
    each = f", {counts[0]:,} of each" if len(set(counts)) == 1 else ""
    table = _fold(_table(["label", "texts"], rows), len(rows))
    return f"<h2>Labels</h2><p>{sum(counts):,} labels of {len(counts)} classes{each}.</p>{table}"


def _fold(table, n_classes):
    """Return a table of classes, which is opened by a click if there are many."""
    if n_classes <= MOST_CLASSES:
        return table
    return f"<details><summary>All {n_classes} classes</summary>{table}</details>"


def _write_candidates(model):
    table = getattr(model, "strategy_scores_", None)
    if table is None:
        return ""
    columns = [name for name in _COLUMNS if name in table]
    order = np.lexsort((table["log_loss"], -table["weight"]))[:MOST_CANDIDATES]
    rows = [[_write_value(name, table[name][place]) for name in columns] for place in order.tolist()]
    groups = {}
    for place in range(len(table["strategy"])):
        key = tuple(str(table[name][place]) if name in table else "" for name in ("strategy", "evidence", "terms"))
        groups.setdefault(key, []).append(place)
    summed = [
        [
            *key,
            len(places),
            _write_value("weight", table["weight"][places].sum()),
            _write_value("log_loss", _best(table["log_loss"][places], np.min)),
            _write_value("mean", _best(table["mean"][places], np.max)),
        ]
        for key, places in groups.items()
    ]
    head = ["strategy", "evidence", "terms", "candidates", "weight", "least log loss", "best score"]
    texts = ("text",) * 3
    shown = f"The {len(rows)} of {len(table['weight'])} candidates with the largest weights."
    titles = [_COLUMNS[name] for name in columns]
    kinds = ["text" if name in ("strategy", "evidence", "idf", "terms") else "" for name in columns]
    return (
        "<h2>Candidates</h2><p>Strategies and sources of evidence. Weights are those in the average that the model is; "
        "those of strategies that were not selected are 0.</p>"
        f"{_table(head, summed, classes=texts)}<h3>Single candidates</h3><p>{shown}</p>"
        f"{_table(titles, rows, classes=kinds)}"
    )


def _best(values, select):
    values = values[~np.isnan(values)]
    return select(values) if len(values) else np.nan


def _write_value(name, value):
    if isinstance(value, (str, np.str_)):
        return str(value)
    if np.isnan(value):
        return ""
    return f"{value:g}" if name in ("alpha", "C", "evidence_factor") else f"{value:.3f}"


def _write_predicted(file, found):
    report = evaluate_predictions(found._replace(predicted=found.classified))  # without rejection
    head = ["class", "precision", "recall", "F1", "texts"]
    rows = [
        [name, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), row["n_texts"]]
        for name, row in report["classes"].items()
    ]
    low, high = report["accuracy_interval"]
    accuracy = (
        f"accuracy {100 * report['accuracy']:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}), macro F1 "
        f"{report['macro_f1']:.3f}"
    )
    if found.rejected is not None:
        accuracy += f", without rejection; {_describe_rejection(report)}"
    return (
        f"<h2>Predictions for {escape(file)}</h2><p>{report['n_texts']:,} texts: {accuracy}.</p>"
        f"{_fold(_table(head, rows), len(rows))}"
        f"{_write_confusion(report)}{_write_calibration(found.classified == found.truth, found.confidence)}"
    )


def _describe_rejection(report):
    found = report["accuracy_of_accepted"]
    accuracy = "" if found is None else f", accuracy of these {100 * found:.1f} %"
    return f"{100 * report['accepted']:.1f} % are accepted{accuracy}"


def _write_confusion(report):
    labels, counts = report["confusion_matrix"]["labels"], np.array(report["confusion_matrix"]["counts"])
    title = "<h3>Confusion</h3>"
    if len(labels) > MOST_CLASSES:
        rows = [[pair["true"], pair["predicted"], pair["n_texts"]] for pair in report["confusions"][:MOST_CONFUSIONS]]
        note = f"<p>The most frequent confusions of {len(labels)} classes.</p>"
        return title + note + _table(["true", "predicted", "texts"], rows, classes=("text", "text"))
    totals = np.maximum(counts.sum(1), 1)
    lines = ["<tr><th>true \\ predicted</th>" + "".join(f"<th>{escape(label)}</th>" for label in labels) + "</tr>"]
    for place, label in enumerate(labels):
        colour = "0,114,178", "213,94,0"  # right, wrong
        cells = "".join(
            f"<td style='background:rgba({colour[place != column]},{0.75 * count / totals[place]:.2f})'>{count}</td>"
            for column, count in enumerate(counts[place].tolist())
        )
        lines.append(f"<tr><td>{escape(label)}</td>{cells}</tr>")
    return f"{title}<div class='scroll'><table>{''.join(lines)}</table></div>"


def _write_calibration(is_right, probabilities):
    """Return a table and a drawing of how often predictions of some probability are right."""
    title = "<h3>Calibration</h3>"
    if probabilities is None:
        return f"{title}<p class='note'>The model has no probabilities.</p>"
    found = calibrate(is_right, probabilities)
    bins = zip(found.bins, found.expected, found.found, found.counts, strict=True)
    rows = [[f"{i / N_BINS:.1f} to {(i + 1) / N_BINS:.1f}", f"{x:.3f}", f"{y:.3f}", n] for i, x, y, n in bins]
    points = zip(found.expected, found.found, strict=True)
    note = (
        "<p>Predictions by the probability of the predicted class. Where probabilities can be trusted, their mean is "
        f"the share that is right; the mean distance is {found.error:.3f} (expected calibration error).</p>"
    )
    head = ["probability", "mean probability", "share right", "texts"]
    return title + note + _draw_calibration(points) + _table(head, rows)


def _draw_calibration(points):
    places = [(40 + 220 * x, 240 - 220 * y) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='#0072b2'/>" for x, y in places)
    axes = (
        "<rect x='40' y='20' width='220' height='220' fill='none' stroke='#999'/>"
        "<line x1='40' y1='240' x2='260' y2='20' stroke='#bbb' stroke-dasharray='4'/>"
        "<text x='150' y='272' text-anchor='middle'>mean probability</text>"
        "<text x='14' y='130' text-anchor='middle' transform='rotate(-90 14 130)'>share right</text>"
        "<text x='40' y='256' text-anchor='middle'>0</text><text x='260' y='256' text-anchor='middle'>1</text>"
        "<text x='34' y='244' text-anchor='end'>0</text><text x='34' y='26' text-anchor='end'>1</text>"
    )
    line = f"<polyline points='{line}' fill='none' stroke='#0072b2'/>"
    label = "share of right predictions by probability; the figures are in the table"
    svg = f"<svg role='img' aria-label='{label}' viewBox='0 0 280 280' width='280' height='280' font-size='12'>"
    return f"{svg}{axes}{line}{dots}</svg>"


def _write_terms(model):
    title = "<h2>Top terms of each class</h2>"
    try:
        found = top_terms(model, N_TERMS)
    except TypeError as error:  # it is not linear in terms
        return f"{title}<p class='note'>{escape(str(error))}</p>"
    rows = [
        [str(label), ", ".join(f"{term} ({weight:+.2f})" for term, weight in terms if weight > 0)]
        for label, terms in found.items()
    ]
    note = "<p>Terms of largest weight; a unit of the term adds as much to the decision value of the class.</p>"
    table = _table(["class", "terms"], rows, classes=("text", "text wide"))
    return title + note + _fold(table, len(rows))


def _table(head, rows, classes=()):
    """Return an HTML table, without a row of titles if all are empty; `classes` are those of the first columns."""
    kinds = [*classes, *[""] * (len(head) - len(classes))]
    marks = [f" class='{kind}'" if kind else "" for kind in kinds]
    lines = []
    if any(head):
        cells = (f"<th{mark}>{escape(str(name))}</th>" for name, mark in zip(head, marks, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    for row in rows:
        cells = (f"<td{mark}>{escape(str(value))}</td>" for value, mark in zip(row, marks, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<div class='scroll'><table>{''.join(lines)}</table></div>"
