"""Columns of a table of any kind, each row with the number of its first line."""

import itertools
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, BinaryIO, NamedTuple

from transferkit.datasets._columns import find_column, find_columns
from transferkit.datasets._delimited import open_delimited
from transferkit.datasets._folders import is_folder, open_folder
from transferkit.datasets._json import check_characters, open_json
from transferkit.datasets._rows import MISSING, Rows, write_value
from transferkit.datasets._workbooks import open_parquet, open_sheet
from transferkit.datasets.files import JSON_KINDS, SHEET_KINDS, TextFile, kind_of, name_of
from transferkit.datasets.messages import messages

__all__ = ["Options", "Table", "read_table"]

_SAMPLE = 1000  # rows by which columns are guessed


class Options(NamedTuple):
    """How a file is read; None is detected."""

    encoding: str | None = None
    errors: str = "strict"
    sep: str | None = None
    quoting: bool | None = None
    recursive: bool = False
    kind: str | None = None  # extension that determines the format, by default that of the file


class Table(NamedTuple):
    """Some columns of a table."""

    rows: list[list[Any]]  # the values of each row as in JSON: text first, then the label if any, then other columns
    numbers: list[int]  # the number of each row's first line, from 1
    n_blank: int  # number of blank lines and rows
    names: list[str]  # the column of each value
    place: int  # of the texts among all columns of the file
    unit: str  # what is numbered
    separator: str | None
    quoting: bool
    encoding: str | None  # that of the text

    def locate(self, place: int) -> str:
        """Return how messages name a row."""
        return f"{self.unit.lower()} {self.numbers[place]}"


def read_table(
    source: str | os.PathLike[str] | BinaryIO,
    options: Options,
    *,
    text: str | None = None,
    label: str | None = None,
    labelled: bool = False,
    others: Sequence[str] | None = (),
    keep_blank: bool = False,
) -> Table:
    """Read columns of a table or folder: the texts, if `labelled` the labels, and `others`, which is None for all.

    Columns of texts and labels that are not named are guessed (`find_columns`). With `keep_blank` a row of empty fields
    is kept, and so is a blank line below a header of one column. ValueError with the number of the row is raised if one
    cannot be read.
    """
    with ExitStack() as stack:
        file, rows = _open(source, options, labelled, stack)
        sample = list(itertools.islice(rows.values, _SAMPLE))
        rows = rows._replace(values=itertools.chain(sample, rows.values))
        if not any(row for _, row in sample):
            raise ValueError(f"The file {rows.name!r} holds no rows{' below its column names' if rows.names else ''}.")
        columns = find_columns(rows, [row for _, row in sample if row], text, label, labelled=labelled)
        columns += [find_column(rows, name) for name in others or ()]
        table = _choose(rows, columns, others is None, keep_blank)
        if rows.note is not None:
            messages().note(rows.note)
        if file is not None:
            file.report_encoding()
            table = table._replace(encoding=file.encoding)
        return table


def _open(source, options, labelled, stack):
    """Return the text file, if it is one, and its rows."""
    encoding, errors, sep, quoting, recursive, kind = options
    if kind is None and is_folder(source):
        return None, open_folder(source, encoding, errors, recursive=recursive, labelled=labelled)
    kind = kind_of(name_of(source)) if kind is None else kind
    if kind in SHEET_KINDS or kind == "parquet":
        return None, open_parquet(source) if kind == "parquet" else open_sheet(source)
    file = stack.enter_context(closing(TextFile(source, encoding, errors)))
    return file, open_json(file, kind, errors) if kind in JSON_KINDS else open_delimited(file, kind, sep, quoting)


def _choose(rows: Rows, columns: list[str], all_others: bool, keep_blank: bool) -> Table:
    """Read the columns, and with `all_others` those beyond them."""
    places = [rows.names.index(column) for column in columns]
    found, numbers, n_blank = [], [], 0
    for number, row in rows.values:
        if keep_blank and not row and len(rows.names) == 1 and rows.errors is None:
            row = [""]
        if not row or (not keep_blank and rows.errors is None and all(map(_is_blank, row))):
            n_blank += 1
            continue
        values = [row[place] if place < len(row) else MISSING for place in places]
        if MISSING in values or rows.errors is not None:
            values = _check_values(values, columns, row, rows, number)
        if not isinstance(values[0], str):  # a number, or an empty cell
            values[0] = write_value(values[0])
        if all_others:
            values += [value for place, value in enumerate(row) if place not in places]
        found.append(values)
        numbers.append(number)
    if not found:
        raise ValueError(f"The file {rows.name!r} holds no rows below its column names.")
    if all_others:
        columns = columns + [name for place, name in enumerate(rows.names) if place not in places]
        found = [[None if value is MISSING else value for value in row] for row in found]
        found = [row + [None] * (len(columns) - len(row)) for row in found]
    return Table(found, numbers, n_blank, columns, places[0], rows.unit, rows.separator, rows.quoting, None)


def _is_blank(value):
    return value is None or (isinstance(value, str) and not value.strip())


def _check_values(values, columns, row, rows, number):
    """Return the values of an object of JSON, in which keys may be missing."""
    where = f"{rows.unit} {number} of {rows.name!r}"
    for place, (column, value) in enumerate(zip(columns, values, strict=True)):
        if value is MISSING:
            present = [name for name, value in zip(rows.names, row, strict=False) if value is not MISSING]
            raise ValueError(f"{where} has no {'value' if place else 'text'} under {column!r}. It has: {present}.")
    if not isinstance(values[0], str):
        written = json.dumps(values[0])
        short = written if len(written) <= 40 else f"{written[:40]}..."
        raise ValueError(f"{where} has {short} under {columns[0]!r}, where a text is expected.")
    return [check_characters(value, rows.errors, where) for value in values]
