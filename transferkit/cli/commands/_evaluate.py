"""The commands that compare predictions with labels: evaluate, report."""

import json
from pathlib import Path

import click
import numpy as np

import transferkit
from transferkit.cli import _options
from transferkit.cli._evaluation import (
    REJECTED,
    LabelledPredictions,
    compare_predictions,
    evaluate_predictions,
    match_labels,
    report_unknown,
)
from transferkit.cli._output import check_page_output, say
from transferkit.cli._progress import show_progress
from transferkit.cli._rejection import apply_rejection
from transferkit.cli._text_models import find_selective, load_text_model, predict_in_batches
from transferkit.datasets.files import kind_of
from transferkit.persistence import write_atomically

__all__ = ["COMMANDS"]

MOST_IN_MATRIX = 10  # classes of a confusion matrix in a terminal
MOST_IN_TABLE = 30  # classes listed with their figures; of more, the worst
N_WORST = 10  # classes, and confusions
_LONGEST_EXAMPLE = 60  # characters


@click.command()
@click.argument("models", metavar="MODEL.tk...", nargs=-1, required=True)
@click.argument("labelled", metavar="LABELLED")
@_options.reading
@_options.label_column
@_options.as_json
@_options.trusted
def evaluate(models, labelled, reading, label_column, as_json, trusted):
    """Evaluate one or more models on labelled texts.

    LABELLED is a table, or a folder with a sub-folder per label.

    \b
    transferkit evaluate model.tk test.csv
    transferkit evaluate old.tk new.tk test.csv

    For one model: accuracy with its interval, calibration, the worst confusions, and precision and recall per class.
    For several: these figures side by side, and how much each differs from the first one, by the texts that only one of
    the two predicts rightly. An interval of 95 % contains, in 95 of 100 such tests, the accuracy that very many texts
    of the same kind would give.

    If a model rejects texts, the reject label is a class, "(rejected)" if it has none, and the accuracy of the accepted
    texts is printed, too.
    """  # noqa: D301
    if kind_of(labelled) == "tk":
        raise ValueError(
            f"evaluate takes models and then a file of labelled texts, such as test.csv. Got {labelled!r}."
        )
    fitted = {name: load_text_model(name, classes=True, trusted=trusted) for name in models}
    data = transferkit.datasets.load_labelled_csv(labelled, label=label_column, **reading)
    found = {}
    with show_progress("predicting", len(fitted), lines=True) as advance:
        for name, model in fitted.items():
            found[name] = _predict_labelled(model, name, data, labelled, advance.detail)
            advance()
    reports = {name: evaluate_predictions(predictions) for name, predictions in found.items()}
    differences = {name: compare_predictions(found[models[0]], found[name]) for name in list(found)[1:]}
    if as_json:
        several = {"models": reports, "differences_to_first": differences}
        click.echo(json.dumps(several if differences else reports[models[0]], indent=2, ensure_ascii=False))
    else:
        click.echo(_write_comparison(reports, differences) if differences else _write_report(reports[models[0]]))


def _write_report(report):
    """Return the result of `evaluate_predictions` as text."""
    low, high = report["accuracy_interval"]
    lines = [
        f"texts     {report['n_texts']}",
        f"accuracy  {report['accuracy']:.4f} (95 % interval {low:.3f} to {high:.3f}, Wilson)",
        f"macro F1  {report['macro_f1']:.4f}",
        *_write_rejection(report),
        *_write_calibration(report["calibration"]),
        *_write_confusions(report["confusions"]),
        *_write_classes(report["classes"]),
    ]
    if len(report["classes"]) <= MOST_IN_MATRIX:
        lines += _write_matrix(**report["confusion_matrix"])
    return "\n".join(lines)


def _write_rejection(report):
    if "accepted" not in report:
        return []
    accuracy = report["accuracy_of_accepted"]
    return [f"accepted  {report['accepted']:.4f}" + ("" if accuracy is None else f", accuracy of these {accuracy:.4f}")]


def _write_calibration(found):
    if found is None:
        return []
    sure = f"is {found['mean_confidence']:.1%} sure on average and right for {found['accuracy']:.1%} of the texts"
    meaning = {
        "fits": "its confidence fits",
        "too high": "it is surer than it should be",
        "too low": "it is less sure than it could be",
    }[found["verdict"]]
    return [f"expected calibration error {found['expected_calibration_error']:.3f}: the model {sure}; {meaning}"]


def _write_confusions(confusions):
    if not confusions:
        return ["", "no text is predicted wrongly"]
    shown, n_wrong = confusions[:N_WORST], sum(pair["n_texts"] for pair in confusions)
    n_shown = sum(pair["n_texts"] for pair in shown)
    lines = ["", f"worst confusions, true -> predicted, {n_shown:,} of {n_wrong:,} wrong predictions"]
    for pair in shown:
        example = " ".join(pair["example"].split())
        example = example if len(example) <= _LONGEST_EXAMPLE else f"{example[: _LONGEST_EXAMPLE - 3]}..."
        lines.append(f"{pair['n_texts']:5}  {pair['true']} -> {pair['predicted']}: {example}")
    return lines


def _write_classes(classes):
    names, title = list(classes), ""
    if len(names) > MOST_IN_TABLE:
        present = [name for name in names if classes[name]["n_texts"]]  # others have no F1 of their own
        names = sorted(present, key=lambda name: classes[name]["f1"])[:N_WORST]
        title = f"the {len(names)} of {len(present)} classes with the lowest F1 (--json has all)"
    width = max(len(name) for name in [*names, "class"])
    lines = ["", *([title] if title else []), f"{'class':<{width}}  precision  recall      F1  texts"]
    for name in names:
        row = classes[name]
        numbers = f"{row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}  {row['n_texts']:5}"
        lines.append(f"{name:<{width}}  {numbers}")
    return lines


def _write_matrix(labels, counts):
    width = max(map(len, labels))
    cell = max(len(str(count)) for row in counts for count in row) + 2
    lines = ["", "confusion matrix (rows: true, columns: predicted, in the order above)"]
    for name, row in zip(labels, counts, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{cell}}" for count in row))
    return lines


def _write_comparison(reports, differences):
    """Return the figures of several models, and the differences to the first one, as text."""
    first, *_ = reports
    width = max(map(len, reports))
    lines = [
        f"texts  {reports[first]['n_texts']}",
        "",
        f"{'':<{width}}  accuracy  95 % interval   macro F1  calibration error",
    ]
    for name, report in reports.items():
        low, high = report["accuracy_interval"]
        calibration = report["calibration"]
        error = "" if calibration is None else f"{calibration['expected_calibration_error']:17.3f}"
        accuracy = f"{report['accuracy']:8.4f}  {low:.3f} to {high:.3f}"
        lines.append(f"{name:<{width}}  {accuracy}  {report['macro_f1']:8.4f}  {error}".rstrip())
    return "\n".join([*lines, "", *(_write_difference(first, name, found) for name, found in differences.items())])


def _write_difference(first, second, found):
    low, high = (100 * end for end in found["interval"])
    verdict = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    only_first, only_second = found["n_right_only_in_first"], found["n_right_only_in_second"]
    points, texts = f"{100 * found['difference']:+.1f} points of accuracy", f"{only_second:,} texts"
    return (
        f"{second} - {first}: {points}, 95 % interval {low:+.1f} to {high:+.1f} (paired), {verdict}: {texts} only "
        f"{second} predicts rightly, {only_first:,} only {first}"
    )


@click.command()
@click.argument("model", metavar="MODEL.tk")
@click.option("--output", "-o", required=True, help="HTML file to write, for example report.html.")
@click.option(
    "--data",
    multiple=True,
    metavar="LABELLED",
    help="Labelled texts, a table or folder, for the confusion matrix and the calibration; repeatable.",
)
@_options.reading
@_options.label_column
@_options.quiet
@_options.trusted
def report(model, output, data, reading, label_column, quiet, trusted):
    """Write a page about a model.

    It shows whether transfer helped, candidates, top terms, and with --data predictions for labelled texts. The page is
    one HTML file that needs no network and no JavaScript.
    """
    from transferkit.cli._report import make_report

    check_page_output(output)
    fitted = load_text_model(model, classes=True, trusted=trusted)
    tables = {name: transferkit.datasets.load_labelled_csv(name, label=label_column, **reading) for name in data}
    predicted = {name: _predict_labelled(fitted, model, table, name) for name, table in tables.items()}
    page = make_report(fitted, Path(model).name, transferkit.describe(model), predicted)
    with write_atomically(output, "output") as temporary:
        temporary.write_text(page, encoding="utf-8")
    say(f"{model} -> {output}", quiet)


def _predict_labelled(fitted, model, data, labelled, show=lambda text: None):
    """Return the predictions of a model for the texts of a file, and say which of its labels are no classes."""
    selective = find_selective(fitted)
    truth, unknown = match_labels(data.target, fitted, labelled, None if selective is None else selective.reject_label)
    answer = predict_in_batches(fitted, data.data, show, reject=False)
    if answer.predictions.ndim > 1:
        raise ValueError(
            f"The model in {model!r} predicts several labels per text, but a table has one: evaluate it in Python."
        )
    report_unknown(truth, unknown, fitted.classes_.tolist(), labelled, model)
    labels, rejected = apply_rejection(fitted, answer)
    return LabelledPredictions(
        data.data,
        truth,
        np.array([REJECTED if label is None else str(label) for label in labels]),
        np.array([str(label) for label in answer.predictions.tolist()]),
        None if answer.probabilities is None else answer.probabilities.max(axis=1),
        rejected,
    )


COMMANDS = (evaluate, report)
