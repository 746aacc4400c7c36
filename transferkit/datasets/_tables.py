"""Tables: .csv, .tsv and .jsonl files as rows, each with the number of its first line."""

import csv
import json
import os
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from transferkit.datasets.files import kind_of, name_of, read_lines

__all__ = ["JSON_KINDS", "TAB_KINDS", "Table", "read_table"]

JSON_KINDS, TAB_KINDS = ("jsonl", "ndjson"), ("tsv", "tab")  # all other tables have commas
_LONGEST_FIELD = 2**31 - 1  # the largest C long on every platform
_QUOTING_HINT = "If quotes enclose its fields, set quoting=True (on the command line --quoting)."
_NO_QUOTING_HINT = "If quotes are part of the texts, set quoting=False (on the command line --no-quoting)."


class Table(NamedTuple):
    """Some columns of a table."""

    rows: list[list[Any]]  # the values of each row, str except in JSON
    lines: list[int]  # the number of each row's first line, from 1
    n_blank: int  # number of blank lines, which are not rows
    names: list[str]  # the column of each value
    place: int  # of the texts among all columns of the file


def read_table(
    source: str | os.PathLike[str] | BinaryIO,
    columns: Sequence[str],
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    quoting: bool | None = None,
    kind: str | None = None,
    keep_blank: bool = False,
    all_others: bool = False,
) -> Table:
    """Read columns of a table, in the order of `columns`; the first one holds the texts.

    With `all_others` the other columns follow, in their order in the file; a key that a JSON object lacks is None.

    A table is ``.jsonl`` with one object per line, ``.tsv`` separated by tabs, or any other separated by commas; the
    last two have a header line of column names. `kind` is the file extension that determines the format, by default
    that of the file. With `quoting`, double quotes enclose fields that contain separators, quotes or line breaks; by
    default in all tables except those with tabs, where a quote is an ordinary character. With `keep_blank`, a blank
    line below a header of one column is a row with an empty field.

    ValueError with the line number is raised if a column is missing or duplicated, if the number of fields of a row
    differs from that of the columns, or if a line is not CSV or JSON.
    """
    kind, name = kind_of(name_of(source)) if kind is None else kind, name_of(source)
    if kind in JSON_KINDS:
        return _read_objects(read_lines(source, encoding, errors), columns, name, errors, all_others)
    has_tabs = kind in TAB_KINDS
    quoting = not has_tabs if quoting is None else quoting
    lines = read_lines(source, encoding, errors, any_end=quoting)
    with _unlimited_fields():
        rows = _split_quoted(lines, "\t" if has_tabs else ",", name) if quoting else _split_plain(lines, has_tabs)
        return _choose_columns(rows, columns, name, quoting, keep_blank, all_others)


def _split_plain(lines, has_tabs):
    """Yield the line number and the fields of each row, treating quotes as ordinary characters."""
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\n").removesuffix("\r")
        yield number, line.split("\t" if has_tabs else ",") if line else []


def _split_quoted(lines, delimiter, name):
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise ValueError(
                    f"The row that begins on line {start} of {name!r} is not CSV: a quote is opened in it and never "
                    f"closed. Double a quote within a quoted field. {_NO_QUOTING_HINT}"
                ) from None
            raise ValueError(
                f"Line {reader.line_num} of {name!r} is not CSV: {error} (the row begins on line {start}). "
                f"{_NO_QUOTING_HINT}"
            ) from None
        if row is None:
            return
        yield start, row


def _choose_columns(rows, columns, name, quoting, keep_blank, all_others):
    names = next((row for _, row in rows if row), [])
    for column in columns:
        if column not in names:
            hint = "" if quoting or not any('"' in found for found in names) else f" {_QUOTING_HINT}"
            raise ValueError(f"The file {name!r} has no column {column!r}. Its columns are: {names}.{hint}")
        if names.count(column) > 1:
            raise ValueError(f"The file {name!r} has {names.count(column)} columns {column!r}: rename all but one.")
    places = [names.index(column) for column in columns]
    if all_others:
        places += [place for place in range(len(names)) if place not in places]
    found, starts, n_blank = [], [], 0
    for number, row in rows:
        if not row and not (keep_blank and len(names) == 1):
            n_blank += 1
            continue
        row = row or [""]
        if len(row) != len(names):
            hint = f" {_QUOTING_HINT}" if not quoting and any(field.startswith('"') for field in row) else ""
            raise ValueError(f"Line {number} of {name!r} has {len(row)} fields; the header has {len(names)}.{hint}")
        found.append([row[place] for place in places])
        starts.append(number)
    if not found:
        raise ValueError(f"The file {name!r} holds no rows below its column names.")
    return Table(found, starts, n_blank, [names[place] for place in places], places[0])


def _read_objects(lines, columns, name, errors, all_others):
    found, starts, n_blank, first = [], [], 0, [columns[0]]
    names = dict.fromkeys(columns)  # a dict, as an ordered set
    for number, line in enumerate(lines, 1):
        if not line.strip():
            n_blank += 1
            continue
        where = f"Line {number} of {name!r}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where} is not JSON: {error}.") from None
        row = [_take(record, column, "text" if place == 0 else "value", where) for place, column in enumerate(columns)]
        if all_others:
            names.update(dict.fromkeys(record))
            row += [record.get(column) for column in [*names][len(columns) :]]
        if not isinstance(row[0], str):
            raise ValueError(f"{where} has {_short(row[0])} under {columns[0]!r}, where a text is expected.")
        first = first if found else [*record]
        found.append([_check_characters(value, errors, where) for value in row] if "\\u" in line else row)
        starts.append(number)
    if not found:
        raise ValueError(f"The file {name!r} holds no rows.")
    found = [row + [None] * (len(names) - len(row)) for row in found]
    return Table(found, starts, n_blank, [*names], first.index(columns[0]))


def _take(record, column, role, where):
    if not isinstance(record, dict):
        raise ValueError(f"{where} has no {role} under {column!r}. It has: {type(record).__name__}.")
    if column not in record:
        raise ValueError(f"{where} has no {role} under {column!r}. It has: {list(record)}.")
    return record[column]


def _short(value):
    written = json.dumps(value)
    return written if len(written) <= 40 else f"{written[:40]}..."


def _check_characters(value, errors, where):
    """Return a string that can be encoded; JSON may contain single surrogates, which are halves of characters."""
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        if errors == "strict":
            half = f"\\u{ord(value[error.start]):04x}"
            raise ValueError(
                f"{where} holds {half}, which is half a character. Repair it, or set errors='replace' "
                "(--encoding-errors replace)."
            ) from None
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", errors)
    return value


_readers, _lock, _limit_before = 0, threading.Lock(), 0


@contextmanager
def _unlimited_fields():
    """Allow texts longer than the csv module's limit of 131,072 characters.

    The limit is global to the process. The first thread that reads raises it, and the last one restores it unless it
    was changed in the meantime.
    """
    global _readers, _limit_before
    with _lock:
        if _readers == 0:
            _limit_before = csv.field_size_limit(_LONGEST_FIELD)
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0 and csv.field_size_limit() == _LONGEST_FIELD:
                csv.field_size_limit(_limit_before)
