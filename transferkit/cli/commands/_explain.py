"""The command that explains a prediction."""

import dataclasses
import json
import os
from html import escape
from itertools import groupby

import click
import numpy as np

from transferkit.cli import _options
from transferkit.cli._evaluation import find_class, write_labels
from transferkit.cli._output import ask_for_texts, check_writable
from transferkit.cli._text_models import load_text_model, predict_texts
from transferkit.inspection import explain as explain_model
from transferkit.persistence import write_atomically

__all__ = ["COMMANDS"]

_POSITIVE, _NEGATIVE = "rgb(0,114,178)", "rgb(213,94,0)"  # blue and orange, which colour-blind people can distinguish
_STRONG, _WEAK = 0.5, 0.1  # shares of the largest contribution
_PARTS = ("from_pretraining", "from_labels", "from_evidence")


@click.command()
@click.argument("model", metavar="MODEL.tk")
@click.argument("text", metavar="TEXT")
@click.option("--label", help="Class to explain.  [default: the predicted one]")
@click.option("-n", "n", type=click.IntRange(min=1), default=10, show_default=True, help="Number of terms to list.")
@click.option("--html", metavar="FILE", help="Write a page with the coloured text instead, for example why.html.")
@_options.as_json
@_options.trusted
def explain(model, text, label, n, html, as_json, trusted):
    """Explain a prediction by the terms of the text.

    \b
    transferkit explain model.tk "where is my card?"

    Prints the text, in a terminal with coloured terms (blue ones speak for the class, orange ones against it), and the
    terms with the largest contributions. These and the intercept add up to the decision value. If the model has them,
    the parts of each contribution that come from pretraining and from labels are listed, too. TEXT may be - for
    standard input. The model must be linear in its terms.
    """  # noqa: D301
    if html is not None:
        check_writable(html)
    if os.path.exists(text):
        raise ValueError(f"{text!r} is a file, but explain takes one text, in quotes.")
    text = ask_for_texts().read().decode().strip() if text == "-" else text
    fitted = load_text_model(model, trusted=trusted)
    answer = predict_texts(fitted, [text], reject=False)
    chosen = _choose_class(fitted, answer, label, model)
    explanation = _about(explain_model(fitted, text), chosen)
    title = _write_title(answer, chosen)
    if as_json:
        click.echo(json.dumps(_to_json(explanation, answer, chosen, n), indent=2, ensure_ascii=False))
    elif html is not None:
        page = _write_page(title, explanation.to_html(chosen, n))
        with write_atomically(html, "output") as temporary:
            temporary.write_text(page, encoding="utf-8")
        click.echo(f"{title} -> {html}")
    else:
        _print_text(explanation, chosen)
        click.echo("\n".join(["", title, *_write_terms(explanation, chosen, n)]))


def _choose_class(fitted, answer, label, model):
    """Return the class to explain, None if the model predicts numbers."""
    if answer.predictions.ndim > 1:
        raise ValueError(f"The model in {model!r} predicts several labels per text: explain it in Python.")
    if not hasattr(fitted, "classes_"):
        if label is not None:
            raise ValueError(f"--label {label}: the model in {model!r} predicts no classes.")
        return None
    classes = fitted.classes_.tolist()
    name = str(answer.predictions[0]) if label is None else find_class(label, classes)
    if name is None:
        raise ValueError(f"--label {label} is not a class of the model: {write_labels(classes)}.")
    return next(known for known in classes if str(known) == name)


def _about(explanation, chosen):
    """Return the explanation with a decision value of this class: for two classes there is only that of the second."""
    if chosen is None or len(explanation.labels) > 1 or explanation.labels[0] == chosen:
        return explanation
    parts = {"contributions": explanation.contributions, "intercept": explanation.intercept}
    parts |= {name: getattr(explanation, name) for name in ("from_pretraining", "from_evidence")}
    turned = {name: None if values is None else -values for name, values in parts.items()}
    return dataclasses.replace(explanation, labels=np.array([chosen], dtype=object), **turned)


def _write_title(answer, chosen):
    if chosen is None:
        return f"prediction {answer.predictions[0]}"
    probability, is_predicted = _find_probability(answer, chosen), chosen == answer.predictions[0]
    name = "confidence" if is_predicted else "probability"
    title = f"{chosen}" if probability is None else f"{chosen}, {name} {probability:.3f}"
    return title if is_predicted else f"{title}; the prediction is {answer.predictions[0]}"


def _find_probability(answer, chosen):
    return (
        None if answer.probabilities is None else float(answer.probabilities[0, answer.classes.tolist().index(chosen)])
    )


def _find_column(explanation, chosen):
    return 0 if chosen is None else int(np.flatnonzero(explanation.labels == chosen)[0])


def _list_terms(explanation, chosen, n):
    """Return the terms of largest contribution, each with its contribution and the parts of it, by name."""
    column = _find_column(explanation, chosen)
    columns = {"contribution": explanation.contributions}
    columns |= {name: getattr(explanation, name) for name in _PARTS if getattr(explanation, name) is not None}
    order = np.argsort(-np.abs(explanation.contributions[:, column]), kind="stable")[:n]
    return [
        {"term": explanation.terms[i], **{name: float(values[i, column]) for name, values in columns.items()}}
        for i in order
    ]


def _write_terms(explanation, chosen, n):
    """Return lines: contributions and their sum."""
    column, rows = _find_column(explanation, chosen), _list_terms(explanation, chosen, n)
    names = [name for name in rows[0] if name != "term"] if rows else ["contribution"]
    width = max(map(len, names))
    lines = ["  ".join(f"{name.replace('_', ' '):>{width}}" for name in names) + "  term"] if rows else []
    for row in rows:
        term = row["term"] if row["term"] == row["term"].strip() else repr(row["term"])
        lines.append("  ".join(_write_number(row[name], width) for name in names) + f"  {term}")
    rest = explanation.contributions[:, column].sum() - sum(row["contribution"] for row in rows)
    sums = {
        f"{len(explanation.terms) - len(rows)} other terms": rest,
        "intercept": explanation.intercept[column],
        "decision value": explanation.decision[column],
    }
    if not rows:
        lines.append("The model knows no term of the text: the intercept decides.")
    if len(rows) == len(explanation.terms):
        sums.pop(next(iter(sums)))
    return lines + [f"{_write_number(value, width)}  ({name})" for name, value in sums.items()]


def _write_number(value, width):
    return f"{round(value, 3) + 0.0:+{width}.3f}"  # no negative zero


def _print_text(explanation, chosen):
    """Print the text, in a terminal with coloured terms."""
    from rich.console import Console
    from rich.text import Text

    segments = explanation.segments(chosen)
    most = max((abs(value) for _, value in segments), default=0.0) or 1.0
    styled = [(piece, _choose_style(value / most)) for piece, value in segments]
    coloured = Text()
    for style, group in groupby(styled, key=lambda pair: pair[1]):
        coloured.append("".join(piece for piece, _ in group), style=style)
    Console(highlight=False).print(coloured, soft_wrap=True)


def _choose_style(share):
    colour = _POSITIVE if share > 0 else _NEGATIVE
    return f"bold white on {colour}" if abs(share) > _STRONG else colour if abs(share) > _WEAK else ""


def _to_json(explanation, answer, chosen, n):
    column = _find_column(explanation, chosen)
    found = {"text": explanation.text, "prediction": answer.predictions.tolist()[0]}
    if chosen is not None:
        found |= {"label": chosen, "probability": _find_probability(answer, chosen)}
    decision, intercept = float(explanation.decision[column]), float(explanation.intercept[column])
    return found | {"decision": decision, "intercept": intercept, "terms": _list_terms(explanation, chosen, n)}


def _write_page(title, body):
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    style = "body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }"
    head = f"<head><meta charset='utf-8'>{view}<title>{escape(title)}</title><style>{style}</style></head>"
    return f"<!DOCTYPE html>\n<html lang='en'>{head}\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"


COMMANDS = (explain,)
