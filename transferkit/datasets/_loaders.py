"""Corpora and labelled texts from files."""

import os
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from transferkit.datasets._checks import (
    report_blank_rows,
    report_empty_texts,
    report_labels,
    report_swallowed_rows,
)
from transferkit.datasets._folders import is_folder
from transferkit.datasets._rows import write_value
from transferkit.datasets._tables import Options, Table, read_table
from transferkit.datasets.files import TABLE_KINDS, TextFile, kind_of, name_of

__all__ = ["Texts", "load_corpus", "load_labelled_csv", "read_texts"]


def load_labelled_csv(
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    label: str | None = None,
    encoding: str | None = None,
    errors: str = "strict",
    sep: str | None = None,
    quoting: bool | None = None,
    recursive: bool = False,
    skip_unlabelled: bool = False,
) -> Bunch:
    """Load texts and their labels from a table, or from a folder whose sub-folders are labels.

    Parameters
    ----------
    path : str or path
        A table with a header line of column names, such as ``.csv`` or ``.tsv``; JSON, as one object per line
        (``.jsonl``) or a list of objects (``.json``); the first sheet of a workbook (``.xlsx``, ``.xls`` or ``.ods``)
        or a ``.parquet`` file, which need ``pip install 'transferkit[tables]'``; or a folder with a sub-folder per
        label, in which each file is a text. Files of text may be gzipped and end in ``.gz``. Or a URL of a file, if
        fsspec is installed.
    text : str, default=None
        Name of the column, or key, of texts. By default "text" or, if there is none, the only column beside the labels,
        or the only one that looks like texts: most of its values have four words or more.
    label : str, default=None
        Name of the column, or key, of labels. By default "label" or, if there is none, the only column with the name
        "labels", "class", "category", "target", "intent", "topic" or "sentiment", or the one of two columns whose
        values repeat.
    encoding : str, default=None
        Encoding of the file, such as "latin-1". By default UTF-16 if zero bytes show it, UTF-8 if all bytes are valid
        in it, and otherwise cp1252, which includes latin-1, if the bytes are plausible as a Western European language.
        A file that begins with the byte order mark of UTF-8, UTF-16 or UTF-32 is read in that encoding.
    errors : str, default="strict"
        How to handle bytes that are invalid in this encoding: "strict" raises an error that gives the position of the
        first one, "replace" and "ignore" are as in ``bytes.decode``. With these the default encoding is UTF-8.
    sep : str, default=None
        Separator of fields: one character, or "tab". By default the one of comma, semicolon, tab and ``|`` that splits
        the first lines into equally many fields, or that of a first line ``sep=;``.
    quoting : bool, default=None
        Whether double quotes enclose fields that contain separators, quotes or line breaks. By default they do, as
        written by spreadsheets, except in ``.tsv`` files, where a quote is an ordinary character and each line is a
        row.
    recursive : bool, default=False
        Whether to read the files in folders within the sub-folders of a folder, too.
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
        n_unlabelled : int, the number of rows left out;
        text_column, label_column : str, the columns;
        encoding, sep : str, as they were detected; None where there is none.

    Raises
    ------
    ValueError
        If a column is missing and cannot be guessed (the message lists the columns) or duplicated, a label is empty
        (with `skip_unlabelled`, if all of them are), a row has too many or too few fields, a quote is not closed, a
        line is not JSON (the message gives the line number), bytes are invalid in the encoding, the encoding cannot be
        detected, or there are no rows.
    MissingExtraError
        If a package that reads the file is not installed.

    Warns
    -----
    DataWarning
        If a column or cp1252 was guessed; if texts are empty, or equal texts have different labels; if labels differ
        only in surrounding whitespace, which is removed, or in case, inner whitespace or Unicode form, since they are
        different classes; and if a quoted text of several lines looks like rows of the table, since a quote may be
        missing.
    """
    options, name = Options(encoding, errors, sep, quoting, recursive), os.fspath(path)
    table = read_table(path, options, text=text, label=label, labelled=True)
    report_blank_rows(table.n_blank, name)
    kept = [i for i, (_, value) in enumerate(table.rows) if not (skip_unlabelled and _is_empty(value))]
    if not kept:
        raise ValueError(
            f"No row of {name!r} has a label: the column {table.names[1]!r} is empty in all {len(table.rows)} rows. "
            "Fill in some labels, of at least two classes."
        )
    n_unlabelled = len(table.rows) - len(kept)
    table = table._replace(rows=[table.rows[i] for i in kept], numbers=[table.numbers[i] for i in kept])
    written = [_write_label(value, table, place, name) for place, (_, value) in enumerate(table.rows)]
    texts, labels = [row[0] for row in table.rows], [label.strip() for label in written]
    names = sorted(set(labels))
    report_empty_texts(table, name)
    report_labels(texts, written, labels, name)
    report_swallowed_rows(table, set(names), name)
    columns = dict(zip(("text_column", "label_column"), table.names, strict=True))
    found = {"n_unlabelled": n_unlabelled, **columns, "encoding": table.encoding, "sep": table.separator}
    return Bunch(data=texts, target=np.array(labels), target_names=names, **found)


def _write_label(value, table, place, name):
    """Return a label as a non-empty string."""
    is_number = isinstance(value, (bool, int)) or (isinstance(value, float) and np.isfinite(value))
    value = write_value(value) if is_number else value
    if not (value is None or isinstance(value, str)):
        where = f"{table.locate(place)} of {name!r}"
        raise ValueError(f"The label in {where} is {value!r}. A label is a string, a number, true or false.")
    if _is_empty(value):
        raise ValueError(f"The label in {table.locate(place)} of {name!r} is empty.")
    return value


def _is_empty(label):
    return label is None or (isinstance(label, str) and not label.strip())


def load_corpus(
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    encoding: str | None = None,
    errors: str = "strict",
    sep: str | None = None,
    quoting: bool | None = None,
    recursive: bool = False,
) -> list[str]:
    """Load unlabelled texts.

    Parameters
    ----------
    path : str or path
        A ``.txt`` file with one text per line, a table as in :func:`load_labelled_csv`, or a folder in which each file
        is a text.
    text : str, default=None
        Name of the column or key of texts; by default as in :func:`load_labelled_csv`.
    encoding : str, default=None
        Encoding of the file, such as "latin-1"; by default detected as in :func:`load_labelled_csv`.
    errors : str, default="strict"
        How to handle bytes that are invalid in this encoding: "strict" raises an error that gives the position of the
        first one, "replace" and "ignore" are as in ``bytes.decode``.
    sep : str, default=None
        Separator of the fields of a table; by default detected as in :func:`load_labelled_csv`.
    quoting : bool, default=None
        Whether double quotes enclose fields of a table; by default except in ``.tsv`` files, as in
        :func:`load_labelled_csv`.
    recursive : bool, default=False
        Whether to read the files in the sub-folders of a folder, too.

    Returns
    -------
    texts : list of str
        The texts in the order of the file, or of the paths of files; blank lines are skipped. Lines of ``.txt`` and
        ``.jsonl`` files end only with newlines; a carriage return before a newline is dropped.

    Raises
    ------
    ValueError
        If the kind of file is unknown, the column or key is missing (the message lists those present), a row or line
        cannot be read (the message gives its number), bytes are invalid in the encoding, or there are no texts.
    MissingExtraError
        If a package that reads the file is not installed.

    Warns
    -----
    DataWarning
        If a column or the encoding cp1252 was guessed, if texts of a table or folder are empty, or if files in
        sub-folders are not read.
    """
    options, name = Options(encoding, errors, sep, quoting, recursive), os.fspath(path)
    if _is_plain(path, None):
        texts, n_blank = _read_plain(path, options, keep_blank=False)
    else:
        table = _read_columns(path, options, text=text)
        texts, n_blank = [row[0] for row in table.rows], table.n_blank
        report_empty_texts(table, name)
    report_blank_rows(n_blank, name)
    return texts


class Texts(NamedTuple):
    """Texts and the values of other columns."""

    texts: list[str]
    others: list[list[Any]]  # values of the requested columns for each text, as in JSON
    n_blank: int  # number of blank lines skipped
    names: list[str]  # the other columns
    place: int  # of the texts among all columns of the file
    column: str  # of the texts


def read_texts(
    source: str | os.PathLike[str] | BinaryIO,
    text: str | None = None,
    others: Sequence[str] | None = (),
    *,
    encoding: str | None = None,
    errors: str = "strict",
    sep: str | None = None,
    quoting: bool | None = None,
    recursive: bool = False,
    kind: str | None = None,
    keep_blank: bool = False,
) -> Texts:
    """Read texts and other columns from a file.

    Parameters
    ----------
    source : str, path or binary file
        A file or folder as in `load_corpus`, or an open binary file. A folder has the columns "file", which is the path
        of a document within it, and "text".
    text : str, default=None
        Name of the column or key of texts, by default as in `load_corpus`.
    others : sequence of str, default=()
        Names of other columns or keys; None for all of them, in the order of the file.
    encoding, errors, sep, quoting, recursive : str, str, str, bool, bool
        As in `load_corpus`.
    kind : str, default=None
        File extension that determines the format; by default that of the file.
    keep_blank : bool, default=False
        Whether a row of empty fields, and a blank line of a ``.txt`` file or of a table of one column, is an empty
        text.

    Returns
    -------
    texts : Texts
        At least one text.

    Raises
    ------
    ValueError
        As `load_corpus` does.
    """
    options = Options(encoding, errors, sep, quoting, recursive, kind)
    if _is_plain(source, kind):
        if others:
            raise ValueError(f"The file {name_of(source)!r} has one text per line and no column {others[0]!r}.")
        texts, n_blank = _read_plain(source, options, keep_blank=keep_blank)
        return Texts(texts, [[]] * len(texts), n_blank, [], 0, "text")
    table = _read_columns(source, options, text=text, others=others, keep_blank=keep_blank)
    (column, *names), values = table.names, [row[1:] for row in table.rows]
    return Texts([row[0] for row in table.rows], values, table.n_blank, names, table.place, column)


def _is_plain(source, kind):
    """Return whether a source has one text per line."""
    return (kind or kind_of(name_of(source))) == "txt" and not is_folder(source)


def _read_plain(source, options: Options, *, keep_blank: bool) -> tuple[list[str], int]:
    """Return the lines of a text file, and how many blank ones were skipped."""
    file = TextFile(source, options.encoding, options.errors)
    found = [line.removesuffix("\n").removesuffix("\r") for line in file.lines()]
    texts = found if keep_blank else [line for line in found if line.strip()]
    if not texts:
        raise ValueError(f"The file {file.name!r} holds no texts.")
    file.report_encoding()
    return texts, len(found) - len(texts)


def _read_columns(source, options: Options, **columns: Any) -> Table:
    kind, name = options.kind or kind_of(name_of(source)), name_of(source)
    if kind not in TABLE_KINDS and not is_folder(source):
        raise ValueError(
            f"A corpus is a .txt, .csv, .tsv, .jsonl, .json, .xlsx or .parquet file, a text file with .gz after its "
            f"name, or a folder. Got {name!r}."
        )
    return read_table(source, options, **columns)
