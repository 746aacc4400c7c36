"""The command that predicts texts."""

import os
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from transferkit.cli import _options
from transferkit.cli._output import ask_for_texts, check_writable, write_csv, write_json_lines
from transferkit.cli._progress import show_progress
from transferkit.cli._rejection import apply_rejection
from transferkit.cli._text_models import BATCH, find_selective, load_text_model, predict_texts
from transferkit.datasets import read_texts
from transferkit.datasets.files import TABLE_KINDS, kind_of

__all__ = ["COMMANDS"]

_DIGITS = 6  # of probabilities
_WRITERS = {"csv": write_csv, "jsonl": write_json_lines, "ndjson": write_json_lines}


class _Columns(NamedTuple):
    """The columns that are asked for."""

    top: int
    threshold: float | None
    reject: bool
    probabilities: bool


@click.command()
@click.argument("model", metavar="MODEL.tk")
@click.argument("texts", metavar="[TEXTS]", default="-")
@click.option("--output", "-o", help="File to write, .csv or .jsonl; by default CSV on standard output.")
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="Column or key of the input to include in the output; repeatable.  [default: all]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of labels per text, the most probable ones, each with its confidence.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Reject texts whose confidence is below P, beside those that the model rejects.",
)
@click.option(
    "--reject/--no-reject",
    default=None,
    help="Whether rejected texts get the reject label of the model, or no prediction.  [default: if any are rejected]",
)
@click.option("--probabilities", is_flag=True, help="Add a column with the probability of each class.")
@_options.as_json
@_options.reading
@_options.quiet
@_options.trusted
def predict(model, texts, output, keep, top, threshold, reject, probabilities, as_json, reading, quiet, trusted):
    """Predict the labels of texts.

    TEXTS is a .txt file of one text per line, a table, a folder, - for standard input, or one text.

    \b
    transferkit predict model.tk inbox.csv -o answered.csv
    transferkit predict model.tk "where is my card?" --top 3

    Each line of the input gives one of the output, with all columns of the input, the prediction and its confidence,
    which is the probability of the predicted label; blank lines are empty texts. With --threshold, and for a model that
    rejects texts (finetune --coverage or --max-error), there is a column "rejected". If the input has columns of these
    names, they are kept, and the new ones begin with the name of the model. The output is CSV, or with --json one JSON
    object per line.
    """  # noqa: D301
    write = _find_writer(output, as_json)
    if output is not None and os.path.isfile(texts) and os.path.exists(output) and os.path.samefile(texts, output):
        raise ValueError(f"--output {output}: this is the file of the texts, which stays as it is. Give another name.")
    source = _find_source(texts)
    fitted = load_text_model(model, trusted=trusted)
    wanted = _Columns(top, threshold, reject is not False, probabilities)
    _check_columns(fitted, model, wanted, reject)
    given = _Input(["text"], [[texts]], [texts]) if source is None else _read(source, keep, reading)
    names, lines = _predict_all(fitted, given.texts, wanted, quiet)
    if source is None and len(texts.split()) == 1 and not quiet:
        click.echo(f"There is no file {texts!r}: it is predicted as a text.", err=True)
    if source is None and output is None and not as_json:
        click.echo(_write_answer(names, lines[0]))
        return
    header = [*given.names, *_rename(names, given.names, model, quiet)]
    write([header, *(row + line for row, line in zip(given.rows, lines, strict=True))], output)


def _find_writer(output, as_json):
    """Return the function that writes the output; ValueError is raised if the file cannot be written."""
    if output is None:
        return write_json_lines if as_json else write_csv
    check_writable(output)
    kind = kind_of(output) if not output.lower().endswith(".gz") else "gz"
    if kind and kind not in _WRITERS:
        raise ValueError(f"--output {output}: predict writes .csv or .jsonl. Give a name that ends so.")
    if kind == "csv" and as_json:
        raise ValueError(f"--output {output}: --json writes JSON lines. Give a name that ends in .jsonl.")
    return write_json_lines if as_json else _WRITERS.get(kind, write_csv)


def _find_source(texts):
    """Return the arguments of `read_texts` for a file or standard input, None if the argument is itself a text."""
    if texts == "-":
        return {"source": ask_for_texts(), "kind": "txt"}
    return None if _is_text(texts) else {"source": texts}


def _is_text(argument):
    """Return whether an argument is a text, and not the name of a file.

    Names are those of existing files, those with the extension of a table or corpus, URLs, and words with any extension
    or a separator of folders.
    """
    if os.path.exists(argument) or kind_of(argument) in ("txt", *TABLE_KINDS):
        return False
    has_blanks = len(argument.split()) > 1
    return has_blanks or not (Path(argument.rstrip(".")).suffix or os.sep in argument)


class _Input(NamedTuple):
    """The rows of the input."""

    names: list[str]  # of the columns
    rows: list[list]  # their values
    texts: list[str]


def _read(source, keep, reading):
    found = read_texts(**source, **reading, others=keep or None, keep_blank=True)
    for place, name in enumerate(keep):
        if name in (*keep[:place], found.column):
            raise ValueError(f"--keep {name}: the output already has a column {name!r}. Omit it, or rename it.")
    place = len(found.names) if keep else found.place
    names = _insert(found.names, place, found.column)
    rows = [_insert(values, place, text) for text, values in zip(found.texts, found.others, strict=True)]
    return _Input(names, rows, found.texts)


def _insert(values, place, value):
    return [*values[:place], value, *values[place:]]


def _check_columns(fitted, model, wanted, reject):
    """Raise ValueError if the model cannot give the columns."""
    options = {"--top": wanted.top > 1, "--threshold": wanted.threshold is not None}
    asked = [name for name, is_given in {**options, "--probabilities": wanted.probabilities}.items() if is_given]
    if asked and not hasattr(fitted, "predict_proba"):
        raise ValueError(f"{asked[0]}: the model in {model!r} has no probabilities of its classes.")
    if reject and wanted.threshold is None and find_selective(fitted) is None:
        raise ValueError(
            f"--reject: the model in {model!r} rejects no texts. Give a --threshold, or make a model that does with "
            "finetune --coverage or --max-error."
        )


def _predict_all(model, texts, wanted, quiet):
    """Return the names of the new columns, and their values for each text."""
    lines = []
    n_texts = len(texts)
    with show_progress(f"predicting {n_texts:,} texts", -(-n_texts // BATCH), quiet=quiet, lines=True) as advance:
        for start in range(0, n_texts, BATCH):
            columns = _predict_batch(model, texts[start : start + BATCH], wanted)
            lines += [list(row) for row in zip(*columns.values(), strict=True)]
            advance()
            advance.detail(f"{len(lines):,} of {n_texts:,} texts")
    return [*columns], lines


def _predict_batch(model, texts, wanted):
    """Return the new columns by name."""
    answer = predict_texts(model, texts, reject=False)
    if answer.predictions.ndim > 1:
        if wanted.top > 1 or wanted.threshold is not None:
            raise ValueError("--top and --threshold are for models of one label per text; this one predicts several.")
        return {"prediction": answer.predictions.tolist(), **_name_probabilities(answer)}
    if answer.probabilities is None:
        labels, rejected = apply_rejection(model, answer)
        return {"prediction": labels} | ({} if rejected is None else {"rejected": rejected.tolist()})
    ranked, confidence = _rank_labels(answer, wanted.top)
    labels, rejected = apply_rejection(model, answer, confidence[:, 0], wanted.threshold, wanted.reject)
    columns = {"prediction": labels, "confidence": _round(confidence[:, 0])}
    if rejected is not None:
        columns["rejected"] = rejected.tolist()
    for rank in range(1, ranked.shape[1]):
        columns[f"prediction_{rank + 1}"] = ranked[:, rank].tolist()
        columns[f"confidence_{rank + 1}"] = _round(confidence[:, rank])
    return columns | (_name_probabilities(answer) if wanted.probabilities else {})


def _name_probabilities(answer):
    if answer.probabilities is None:
        return {}
    columns = zip(answer.classes, answer.probabilities.T, strict=True)
    return {f"probability of {name}": _round(column) for name, column in columns}


def _rank_labels(answer, n):
    """Return the `n` most probable labels of each text, the predicted one first, and their probabilities."""
    predicted = answer.predictions[:, None] == answer.classes
    order = np.argsort(-np.where(predicted, np.inf, answer.probabilities), axis=1, kind="stable")[:, :n]
    return answer.classes[order], np.take_along_axis(answer.probabilities, order, axis=1)


def _round(values):
    return np.asarray(values, np.float64).round(_DIGITS).tolist()


def _write_answer(names, line):
    """Return the answer for a single text: a line per label, with its confidence."""
    found = dict(zip(names, line, strict=True))
    ranks = [name for name in names if name.startswith("prediction")]
    labels = ["(rejected)" if found[name] is None else str(found[name]) for name in ranks]
    numbers = [found.get(name.replace("prediction", "confidence")) for name in ranks]
    width = max(map(len, labels))
    pairs = zip(labels, numbers, strict=True)
    return "\n".join(label if p is None else f"{label:<{width}}  {p:.3f}" for label, p in pairs)


def _rename(names, taken, model, quiet):
    """Return names of new columns, which begin with that of the model if the input has one of them."""
    clashes = [name for name in names if name in taken]
    if not clashes:
        return names
    prefix = f"{Path(model).stem}_"
    while any(prefix + name in taken for name in names):
        prefix = f"new_{prefix}"
    if not quiet:
        click.echo(
            f"The input has a column {clashes[0]!r}, which is kept: the names of the new ones begin with {prefix!r}.",
            err=True,
        )
    return [prefix + name for name in names]


COMMANDS = (predict,)
