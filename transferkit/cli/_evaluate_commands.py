"""The commands that compare predictions with labels: evaluate, report."""

import json
from pathlib import Path

import click
import numpy as np

import transferkit
from transferkit.cli import _options
from transferkit.cli._evaluation import REJECTED, evaluate_predictions, format_report, match_labels, write_labels
from transferkit.cli._output import check_writable, say
from transferkit.cli._text_models import find_selective, load_text_model, predict_texts
from transferkit.persistence import write_atomically

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model", metavar="MODEL.tk")
@click.argument("labelled", metavar="LABELLED")
@_options.reading
@_options.label_column
@_options.as_json
@_options.trusted
def evaluate(model, labelled, reading, label_column, as_json, trusted):
    """Evaluate a model on labelled texts (.csv, .tsv or .jsonl).

    Prints accuracy, macro F1, precision and recall per class, and the confusion matrix. If the model rejects texts, the
    reject label is a class, "(rejected)" if it has none, and the accuracy of the accepted texts is printed, too.
    """
    fitted = load_text_model(model, classes=True, trusted=trusted)
    truth, predicted, _, rejected = _predict_labelled(fitted, model, labelled, label_column, reading)
    report = evaluate_predictions(truth, predicted, rejected)
    click.echo(json.dumps(report, indent=2) if as_json else format_report(report))


@click.command()
@click.argument("model", metavar="MODEL.tk")
@click.option("--output", "-o", required=True, help="HTML file to write, for example report.html.")
@click.option(
    "--data",
    multiple=True,
    metavar="LABELLED",
    help="Labelled texts (.csv, .tsv or .jsonl) for the confusion matrix and the calibration; repeatable.",
)
@_options.reading
@_options.label_column
@_options.quiet
@_options.trusted
def report(model, output, data, reading, label_column, quiet, trusted):
    """Write a page about a model: whether transfer helped, candidates, top terms, and predictions for labelled texts.

    The page is one HTML file that needs no network and no JavaScript.
    """
    from transferkit.cli._report import make_report

    check_writable(output)
    fitted = load_text_model(model, classes=True, trusted=trusted)
    predicted = {name: _predict_labelled(fitted, model, name, label_column, reading, reject=False) for name in data}
    page = make_report(fitted, Path(model).name, transferkit.describe(model), predicted)
    with write_atomically(output, "output") as temporary:
        temporary.write_text(page, encoding="utf-8")
    say(f"{model} -> {output}", quiet)


def _predict_labelled(fitted, model, labelled, label_column, reading, reject=True):
    """Return labels and predictions as text, the probability of each prediction, and whether it is rejected.

    The last two are None if the model has no probabilities, and if it never rejects. Without `reject` the predictions
    are those for accepted texts in any case.
    """
    data = transferkit.datasets.load_labelled_csv(labelled, label=label_column, **reading)
    selective = find_selective(fitted)
    truth, unknown = match_labels(data.target, fitted, labelled, None if selective is None else selective.reject_label)
    answer = predict_texts(fitted, data.data, reject=reject)
    if answer.predictions.ndim > 1:
        raise ValueError(
            f"The model in {model!r} predicts several labels per text, but a table has one: evaluate it in Python."
        )
    if unknown:
        click.echo(f"Labels of {labelled!r} that are not classes of the model: {write_labels(unknown)}.", err=True)
    highest = None if answer.probabilities is None else answer.probabilities.max(axis=1)
    predicted = np.array([REJECTED if label is None else str(label) for label in answer.predictions.tolist()])
    return truth, predicted, highest, answer.rejected


COMMANDS = (evaluate, report)
