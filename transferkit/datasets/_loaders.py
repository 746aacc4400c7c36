"""Corpora and labelled texts from files."""

import json
import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from transferkit.datasets._tables import JSON_KINDS, TAB_KINDS, read_table
from transferkit.datasets.files import kind_of, name_of, read_lines
from transferkit.exceptions import count_inner_frames

__all__ = ["Texts", "load_corpus", "load_labelled_csv", "read_texts"]


def load_labelled_csv(
    path: str | os.PathLike[str],
    *,
    text: str = "text",
    label: str = "label",
    encoding: str = "utf-8",
    errors: str = "strict",
    quoting: bool | None = None,
    skip_unlabelled: bool = False,
) -> Bunch:
    """Load texts and their labels from a table.

    Parameters
    ----------
    path : str or path
        A ``.csv`` file, or ``.tsv`` separated by tabs, with a header line of column names; or a ``.jsonl`` file with
        one object per line. Gzipped if it ends in ``.gz``. Or a URL of such a file, if fsspec is installed.
    text : str, default="text"
        Name of the column, or key, of texts.
    label : str, default="label"
        Name of the column, or key, of labels.
    encoding : str, default="utf-8"
        Encoding of the file, such as "latin-1". A file that begins with the byte order mark of UTF-8, UTF-16 or UTF-32
        is read in that encoding.
    errors : str, default="strict"
        How to handle bytes that are invalid in this encoding: "strict" raises an error that gives the position of the
        first one, "replace" and "ignore" are as in ``bytes.decode``.
    quoting : bool, default=None
        Whether double quotes enclose fields that contain separators, quotes or line breaks. By default they do in
        tables with commas, as written by spreadsheets, and not in those with tabs, where a quote is an ordinary
        character and each line is a row.
    skip_unlabelled : bool, default=False
        Whether to leave out rows with an empty label, such as those of a table that is being labelled. By default they
        are an error.

    Returns
    -------
    bunch : Bunch
        data : list of str, the texts;
        target : ndarray of str, the labels without surrounding whitespace, numbers and booleans of JSON as they are
        written there;
        target_names : list of str, the sorted distinct labels;
        n_unlabelled : int, the number of rows left out.

    Raises
    ------
    ValueError
        If a column is missing (the message lists the columns) or duplicated, a label is empty (with `skip_unlabelled`,
        if all of them are), a row has too many or too few fields, a quote is not closed, a line is not JSON (the
        message gives the line number), bytes are invalid in the encoding, or there are no rows.

    Warns
    -----
    UserWarning
        If labels differ only in case, inner whitespace or Unicode form, since they are different classes; and if a
        quoted text of several lines looks like rows of the table, since a quote may be missing.
    """
    table = read_table(path, [text, label], encoding=encoding, errors=errors, quoting=quoting)
    kept = [i for i, (_, value) in enumerate(table.rows) if not (skip_unlabelled and _is_empty(value))]
    if not kept:
        raise ValueError(
            f"No row of {os.fspath(path)!r} has a label: the column {label!r} is empty in all {len(table.rows)} rows. "
            "Fill in some labels, of at least two classes."
        )
    labels = [
        _write_label(table.rows[i][1], f"data row {i + 1} of {os.fspath(path)!r}, line {table.lines[i]},") for i in kept
    ]
    n_unlabelled = len(table.rows) - len(kept)
    table = table._replace(rows=[table.rows[i] for i in kept], lines=[table.lines[i] for i in kept])
    names = sorted(set(labels))
    _warn_of_variants(names, path)
    if quoting or (quoting is None and kind_of(path) not in (*TAB_KINDS, *JSON_KINDS)):
        _warn_of_swallowed_rows(table, set(names), path)
    texts = [row[0] for row in table.rows]
    return Bunch(data=texts, target=np.array(labels), target_names=names, n_unlabelled=n_unlabelled)


def _write_label(value, where):
    """Return a label as a non-empty string."""
    is_number = isinstance(value, (bool, int)) or (isinstance(value, float) and np.isfinite(value))
    value = json.dumps(value) if is_number else value
    if not (value is None or isinstance(value, str)):
        raise ValueError(f"The label in {where} is {value!r}. A label is a string, a number, true or false.")
    if _is_empty(value):
        raise ValueError(f"The label in {where} is empty.")
    return value.strip()


def _is_empty(label):
    return label is None or (isinstance(label, str) and not label.strip())


def _warn_of_variants(names, path):
    """Warn of labels that look the same to a reader."""
    variants = defaultdict(list)
    for name in names:
        variants[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    pairs = [found for found in variants.values() if len(found) > 1]
    if pairs:
        warnings.warn(
            f"Labels of {os.fspath(path)!r} differ only in case, whitespace or Unicode form, but are different "
            f"classes: {', '.join(map(str, pairs[:5]))}. Unify them if they are meant to be one class.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def _warn_of_swallowed_rows(table, labels, path):
    """Warn of a quoted text whose lines end with labels, or have a label before the text, as rows do."""
    separator = "\t" if kind_of(path) in TAB_KINDS else ","
    for (text, _), number in zip(table.rows, table.lines, strict=True):
        *lines, last = text.splitlines() if "\n" in text else [text]
        after = [separator in line and line.rpartition(separator)[2].strip() in labels for line in lines]
        before = [not labels.isdisjoint(line.split(separator)[:-1]) for line in [*lines, last][1:]]
        if lines and (all(after) or all(before)):
            warnings.warn(
                f"The row that begins on line {number} of {os.fspath(path)!r} has a quoted text of several lines, "
                "which look like rows of the table. Is a quote missing? If quotes are part of the texts, set "
                "quoting=False (on the command line --no-quoting).",
                UserWarning,
                stacklevel=count_inner_frames(),
            )
            return


def load_corpus(
    path: str | os.PathLike[str],
    *,
    text: str = "text",
    encoding: str = "utf-8",
    errors: str = "strict",
    quoting: bool | None = None,
) -> list[str]:
    """Load unlabelled texts.

    Parameters
    ----------
    path : str or path
        A ``.txt`` file with one text per line, a ``.csv`` or ``.tsv`` table with a header line of column names, or a
        ``.jsonl`` file with one object per line; gzipped if it ends in ``.gz``. Or a URL of such a file, if fsspec is
        installed.
    text : str, default="text"
        Name of the column or key of texts.
    encoding : str, default="utf-8"
        Encoding of the file, such as "latin-1". A file that begins with the byte order mark of UTF-8, UTF-16 or UTF-32
        is read in that encoding.
    errors : str, default="strict"
        How to handle bytes that are invalid in this encoding: "strict" raises an error that gives the position of the
        first one, "replace" and "ignore" are as in ``bytes.decode``.
    quoting : bool, default=None
        Whether double quotes enclose fields of a table; by default with commas and not with tabs, as in
        :func:`load_labelled_csv`.

    Returns
    -------
    texts : list of str
        The texts in the order of the file; blank lines are skipped. Lines of ``.txt`` and ``.jsonl`` files end only
        with newlines; a carriage return before a newline is dropped.

    Raises
    ------
    ValueError
        If the kind of file is unknown, the column or key is missing (the message lists those present), a row or line
        cannot be read (the message gives its number), bytes are invalid in the encoding, or there are no texts.
    """
    return read_texts(path, text, encoding=encoding, errors=errors, quoting=quoting).texts


class Texts(NamedTuple):
    """Texts and the values of other columns."""

    texts: list[str]
    others: list[list[Any]]  # values of the requested columns for each text, str except in JSON
    n_blank: int  # number of blank lines skipped
    names: list[str]  # the other columns
    place: int  # of the texts among all columns of the file


def read_texts(
    source: str | os.PathLike[str] | BinaryIO,
    text: str = "text",
    others: Sequence[str] | None = (),
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    quoting: bool | None = None,
    kind: str | None = None,
    keep_blank: bool = False,
) -> Texts:
    """Read texts and other columns from a file.

    Parameters
    ----------
    source : str, path or binary file
        A file as in `load_corpus`, or an open binary file.
    text : str, default="text"
        Name of the column or key of texts.
    others : sequence of str, default=()
        Names of other columns or keys; None for all of them, in the order of the file.
    encoding, errors, quoting : str, str, bool
        As in `load_corpus`.
    kind : str, default=None
        File extension that determines the format; by default that of the file.
    keep_blank : bool, default=False
        Whether a blank line of a ``.txt`` file, or of a table of one column, is an empty text.

    Returns
    -------
    texts : Texts
        At least one text.

    Raises
    ------
    ValueError
        As `load_corpus` does.
    """
    kind, name = kind_of(name_of(source)) if kind is None else kind, name_of(source)
    if kind != "txt":
        if kind not in ("csv", *TAB_KINDS, *JSON_KINDS):
            raise ValueError(f"A corpus is a .txt, .csv, .tsv or .jsonl file, or one of these with .gz. Got {name!r}.")
        options: dict[str, Any] = {"encoding": encoding, "errors": errors, "quoting": quoting}
        table = read_table(
            source, [text, *(others or ())], kind=kind, keep_blank=keep_blank, all_others=others is None, **options
        )
        values = [row[1:] for row in table.rows]
        return Texts([row[0] for row in table.rows], values, table.n_blank, table.names[1:], table.place)
    if others:
        raise ValueError(f"The file {name!r} has one text per line and no column {others[0]!r}.")
    found = [line.removesuffix("\n").removesuffix("\r") for line in read_lines(source, encoding, errors)]
    texts = found if keep_blank else [line for line in found if line.strip()]
    if not texts:
        raise ValueError(f"The file {name!r} holds no texts.")
    return Texts(texts, [[]] * len(texts), len(found) - len(texts), [], 0)
