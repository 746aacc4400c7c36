"""What several commands share: their options, and the progress bar."""

import functools
from contextlib import contextmanager

import click

__all__ = ["as_json", "label_column", "quiet", "reading", "show_progress", "splitting", "trusted"]

quiet = click.option("--quiet", "-q", is_flag=True, help="Do not print progress or a summary.")
label_column = click.option("--label-column", default="label", show_default=True, help="Column or key of the labels.")
trusted = click.option(
    "--trusted",
    multiple=True,
    metavar="NAME",
    help="Class, function or sentence model that the model file may use; repeatable.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def reading(command):
    """Add the options for reading a table or corpus, which the command receives as one dict named `reading`.

    It contains the parameters common to `load_corpus`, `load_labelled_csv` and `read_texts`.
    """

    @click.option("--text-column", default="text", show_default=True, help="Column or key of the texts.")
    @click.option(
        "--encoding", default="utf-8", show_default=True, metavar="NAME", help="Encoding of the texts, such as latin-1."
    )
    @click.option(
        "--encoding-errors",
        type=click.Choice(["strict", "replace", "ignore"]),
        default="strict",
        show_default=True,
        help="How to handle bytes that are invalid in this encoding.",
    )
    @click.option(
        "--quoting/--no-quoting",
        default=None,
        help="Whether double quotes enclose fields of a table.  [default: with commas, not with tabs]",
    )
    @functools.wraps(command)
    def wrapped(*args, text_column, encoding, encoding_errors, quoting, **kwargs):
        options = {"text": text_column, "encoding": encoding, "errors": encoding_errors, "quoting": quoting}
        return command(*args, reading=options, **kwargs)

    return wrapped


def splitting(command):
    """Add the options for splitting texts into terms, which the command receives as one dict named `splitting`.

    It contains parameters of `make_encoder`.
    """

    @click.option(
        "--analyzer",
        type=click.Choice(["word", "char", "char_wb"]),
        default="word",
        show_default=True,
        help="Terms are words, character n-grams, or character n-grams within words.",
    )
    @click.option(
        "--token-pattern",
        metavar="REGEX",
        help="Regular expression of a word.  [default: two or more letters or digits]",
    )
    @functools.wraps(command)
    def wrapped(*args, analyzer, token_pattern, **kwargs):
        return command(*args, splitting={"analyzer": analyzer, "token_pattern": token_pattern}, **kwargs)

    return wrapped


@contextmanager
def show_progress(description, total, *, quiet=False):
    """Return a context manager with a function that advances the bar by one of `total` steps and may change its text.

    Nothing is shown if stderr is no terminal, or if `quiet`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda text=None: progress.update(task, advance=1, description=text or description)
