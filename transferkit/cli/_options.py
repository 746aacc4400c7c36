"""Options that several commands have."""

import functools

import click

quiet = click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
label_column = click.option(
    "--label-column", default="label", show_default=True, help="Column or key that holds the labels."
)
trusted = click.option(
    "--trusted", multiple=True, metavar="NAME", help="Class or sentence model that the model file may use; repeatable."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def reading(command):
    """Add the options on how a table or corpus is read, which the command gets as one dict named `reading`.

    Parameters
    ----------
    command : callable
        Function of a command. `reading` holds parameters that `load_corpus`, `load_labelled_csv` and `read_texts`
        have in common.

    Returns
    -------
    command : callable
        The function with the options.
    """

    @click.option("--text-column", default="text", show_default=True, help="Column or key that holds the texts.")
    @click.option(
        "--encoding", default="utf-8", show_default=True, metavar="NAME", help="Encoding of the texts, such as latin-1."
    )
    @click.option(
        "--encoding-errors",
        type=click.Choice(["strict", "replace", "ignore"]),
        default="strict",
        show_default=True,
        help="What to do about bytes that are not of that encoding.",
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
    """Add the options on how texts are split into terms, which the command gets as one dict named `splitting`.

    Parameters
    ----------
    command : callable
        Function of a command. `splitting` holds parameters of `make_encoder`.

    Returns
    -------
    command : callable
        The function with the options.
    """

    @click.option(
        "--analyzer",
        type=click.Choice(["word", "char", "char_wb"]),
        default="word",
        show_default=True,
        help="Terms are words, n-grams of characters, or those within words.",
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
