"""The command that predicts texts."""

import sys

import click
import numpy as np

from transferkit.cli import _options
from transferkit.cli._output import check_writable, write_csv
from transferkit.cli._progress import show_progress
from transferkit.cli._text_models import find_selective, load_text_model, predict_texts
from transferkit.datasets import read_texts

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model", metavar="MODEL.tk")
@click.argument("texts", metavar="[TEXTS]", default="-")
@click.option("--output", "-o", help="CSV file to write; by default standard output.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="Column or key of the input to include in the output; repeatable."
)
@click.option(
    "--reject/--no-reject",
    default=None,
    help="Whether rejected texts get the reject label of the model, or no prediction.  [default: if it rejects any]",
)
@_options.reading
@_options.quiet
@_options.trusted
def predict(model, texts, output, keep, reject, reading, quiet, trusted):
    """Predict the texts of a file (.txt, .csv, .tsv, .jsonl), or of standard input, one per line, and write CSV.

    Each input line gives one output row; blank lines are empty texts. For a model that rejects texts (finetune
    --coverage or --max-error) there is a column "rejected".
    """
    if output:
        check_writable(output)
    fitted = load_text_model(model, trusted=trusted)
    if reject and find_selective(fitted) is None:
        raise ValueError(
            f"--reject: the model in {model!r} rejects no texts. Make one that does with finetune --coverage or "
            "--max-error, or in Python with SelectiveClassifier."
        )
    source = {"source": texts} if texts != "-" else {"source": sys.stdin.buffer, "kind": "txt"}
    header = _make_header(fitted, keep)
    rows, kept, *_ = read_texts(**source, **reading, others=keep, keep_blank=True)
    lines, batch = [], 1000
    with show_progress(f"predicting {len(rows):,} texts", -(-len(rows) // batch), quiet=quiet) as advance:
        for start in range(0, len(rows), batch):
            lines += _predict_batch(fitted, rows[start : start + batch], reject is not False)
            advance()
    write_csv([header, *(others + line for others, line in zip(kept, lines, strict=True))], output)


def _make_header(model, keep):
    header = ["text", "prediction"] + ["rejected"] * (find_selective(model) is not None)
    if hasattr(model, "predict_proba"):
        header += [f"probability of {name}" for name in model.classes_]
    for place, name in enumerate(keep):
        if name in header or name in keep[:place]:
            raise ValueError(f"--keep {name}: the output already has a column {name!r}. Omit it, or rename it.")
    return [*keep, *header]


def _predict_batch(model, texts, reject):
    answer = predict_texts(model, texts, reject=reject)
    columns = [texts, answer.predictions.tolist()]
    if answer.rejected is not None:
        columns.append(np.where(answer.rejected, "true", "false").tolist())
    if answer.probabilities is not None:
        columns += [[f"{p:.6f}" for p in column] for column in answer.probabilities.T]
    return [list(row) for row in zip(*columns, strict=True)]


COMMANDS = (predict,)
