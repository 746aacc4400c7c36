"""What commands write: tables, and what they say of files, encoders, errors and warnings, in words of their options."""

import csv
import io
import json
import os
import re
import sys
from pathlib import Path

import click
import numpy as np

from transferkit.datasets.files import kind_of
from transferkit.persistence import is_pickle, write_atomically

__all__ = [
    "ask_for_texts",
    "check_model_output",
    "check_page_output",
    "check_writable",
    "describe_vocabulary",
    "megabytes",
    "print_warning",
    "say",
    "to_options",
    "write_csv",
    "write_json_lines",
]

N_WORDS, N_NEIGHBOURS = 5, 4  # words shown with their nearest ones
MOST_COMMON = 0.1  # share of the texts from which a word says nothing of a topic
SHORTEST = 4  # letters of such a word
_TABLES = ("csv", "tsv", "tab", "txt", "json", "jsonl", "ndjson", "xlsx", "parquet")
_OPTIONS = {  # or other words, of parameters
    "class_descriptions": "--descriptions",
    "class_prior": "--class-prior",
    "max_error": "--max-error",
    "min_count": "--min-df",
    "min_df": "--min-df",
    "n_components": "--n-components",
    "reject_label": "--reject-label",
    "token_pattern": "--token-pattern",
    "X_labelled": "the labelled texts",
    "X_unlabelled": "the unlabelled texts",
}
_OPTIONS_IF_SET = {  # of parameters that are ordinary words
    "coverage": "--coverage",
    "encoder": "--encoder",
    "method": "--method",
    "n": "-n",
    "source": "--source",
    "strategy": "--strategy",
    "teacher": "--teacher",
}
_ON_COMMAND_LINE = {  # patterns of messages that name both ways, and the one on the command line
    r"in Python by .+?, on the command line by ": "by ",
    r"use SentenceEncoder\([^)]*\) in Python, or make a model file of it, (.+?), on the command line": r"make a model "
    r"file of it: \1",
    r"trusted=\[[^]]*\] in Python, (.+?) on the command line": r"\1",
}
_SENTENCES = {
    "Model files are written by transferkit.save; for joblib or pickle files use joblib.load.": "Model files are those "
    "that transferkit pretrain and finetune write, or convert makes of joblib and pickle files.",
    "a model file, or a transformer such as WordVectorEncoder().fit(unlabelled_texts)": "one that pretrain makes",
    "Pass the encoder as well: TransferClassifier(encoder, source=source).": "Give --encoder as well.",
    "Try a lower min_df or a higher max_df.": "Try a lower min_df.",
}


def check_writable(path):
    """Raise ValueError before hours of work, not after."""
    if Path(path).is_dir():
        raise ValueError(f"The output {path!r} is a folder. Give the path of a file.")
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"The folder of the output {path!r} does not exist. Create it first.")
    if not Path(path).exists() and not os.access(Path(path).absolute().parent, os.W_OK):
        raise ValueError(f"The output {path!r} cannot be written: you may not write into its folder.")


def check_model_output(path):
    """Raise ValueError if a model file cannot be written, or would have the name of a table, and perhaps replace it."""
    if kind_of(path) in _TABLES or is_pickle(path):
        raise ValueError(f"--output {path}: this is written as a model file. Give a name that ends in .tk.")
    check_writable(path)


def check_page_output(path):
    """Raise ValueError if an HTML page cannot be written, or would have the name of a table or a model."""
    if kind_of(path) in (*_TABLES, "tk") or is_pickle(path):
        raise ValueError(f"--output {path}: this is written as an HTML page. Give a name that ends in .html.")
    check_writable(path)


def to_options(message):
    """Return an error or a warning with the options of commands in place of parameters."""
    for pattern, other in _ON_COMMAND_LINE.items():
        message = re.sub(pattern, other, message)
    for sentence, other in _SENTENCES.items():
        message = message.replace(sentence, other)
    everything, names = _OPTIONS | _OPTIONS_IF_SET, "|".join(_OPTIONS)
    message = re.sub(rf"The '({names})' parameter of \w+", lambda found: _OPTIONS[found[1]], message)
    value = r"('[^']*'|[\w.-]*\w)"
    return re.sub(
        rf"\b({'|'.join(everything)})={value}|\b({names})\b",
        lambda found: f"{everything[found[1]]} {found[2].strip(chr(39))}" if found[1] else _OPTIONS[found[3]],
        message,
    )


def print_warning(message, category, filename, lineno, file=None, line=None):
    """Print a warning as one line on stderr, in place of `warnings.showwarning`."""
    click.echo(f"Warning: {' '.join(to_options(str(message)).split())}", err=True)


def write_csv(rows, output):
    """Write rows as CSV to a file, or to standard output without one; values that are no strings as JSON has them."""
    rows = [[_write_field(value) for value in row] for row in rows]
    buffer = io.StringIO(newline="")
    has_returns = any("\r" in field for row in rows for field in row)  # readers take one for the end of a row
    quoting = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL  # the latter quotes none before Python 3.13
    csv.writer(buffer, lineterminator="\n", quoting=quoting).writerows(rows)
    _write(buffer.getvalue(), output)


def write_json_lines(rows, output):
    """Write rows, the first of which has the keys, as one JSON object per line."""
    names, *rows = rows
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Several columns are named {twice[0]!r}, but JSON has one value per name: rename all but one."
        )
    lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
    _write("".join(f"{line}\n" for line in lines), output)


def _write_field(value):
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _write(content, output):
    if output:
        with write_atomically(output, "output") as temporary:
            temporary.write_bytes(content.encode())
    else:
        click.echo(content, nl=False)


def megabytes(path):
    """Return the size of a file as text."""
    return f"{Path(path).stat().st_size / 1e6:.2f} MB"


def describe_vocabulary(encoder):
    """Return lines on a fitted encoder of texts: the size of its vocabulary, and words with their nearest ones.

    These are the most frequent words that may say something of a topic: not short, no stop words, not in many texts.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    encoders = [part for _, part in getattr(encoder, "transformer_list", [("", encoder)])]
    size = len(encoders[0].vocabulary_)
    if not hasattr(encoder, "most_similar"):
        return [f"vocabulary: {size:,} terms"]
    is_rare = encoder.idf_ >= 1 - np.log(MOST_COMMON)
    known = encoder.vocabulary_.items()
    words = [word for word, row in known if is_rare[row] and len(word) >= SHORTEST and word not in ENGLISH_STOP_WORDS]
    nearest = [", ".join(other for other, _ in encoder.most_similar(word, N_NEIGHBOURS)) for word in words[:N_WORDS]]
    return [
        f"vocabulary: {size:,} words",
        *(f"nearest to {word}: {others}" for word, others in zip(words, nearest, strict=False)),
    ]


def ask_for_texts():
    """Return standard input as a binary file; if it is a terminal, print first that text is expected."""
    if sys.stdin.isatty():
        click.echo("Type text and end it with Ctrl-D on a line of its own.", err=True)
    return sys.stdin.buffer


def say(message, quiet):
    """Print a message, unless the command is to be quiet."""
    if not quiet:
        click.echo(message)
