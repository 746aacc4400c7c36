"""Tables of text with separators: .csv, .tsv and others."""

import csv
import itertools
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from transferkit.datasets._rows import Rows
from transferkit.datasets.files import TAB_KINDS, TextFile
from transferkit.datasets.messages import messages

__all__ = ["open_delimited"]

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 100  # lines by which the separator is detected
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line of tables for Excel
_LONGEST_FIELD = 2**31 - 1  # the largest C long on every platform


def open_delimited(file: TextFile, kind: str, sep: str | None, quoting: bool | None) -> Rows:
    """Return the rows of a table below its header line.

    The separator is `sep`, that of a first line ``sep=;``, or the one that splits the first lines best
    (`_detect_separator`). ValueError with the line number is raised if a quote is not closed, or if the number of
    fields of a row differs from that of the header.
    """
    by_default = "\t" if kind in TAB_KINDS else ","
    lines, number = file.lines(any_end=quoting or (quoting is None and by_default == ",")), 1
    start = list(itertools.islice(lines, SAMPLE))
    if quoting is None:
        quoting = by_default == "," or (bool(start) and _has_quotes(start[0]))
    declared = _DECLARED.fullmatch(start[0]) if start else None
    if declared:
        start, number = start[1:], 2
    found = _read_separator(sep) or (declared and declared[1]) or _detect_separator(start, by_default, quoting)
    is_detected = found != by_default and not (sep or declared)
    note = f"{file.name}: fields are separated by {_describe(found)}." if is_detected else None
    rows = _split(itertools.chain(start, lines), found, quoting, file.name, number)
    names = next((row for _, row in rows if any(row)), [])
    return Rows(file.name, names, _check_lengths(rows, names, file.name, found, quoting), "Line", found, quoting, note)


def _has_quotes(header):
    """Return whether quotes enclose all names of a header with tabs."""
    names = header.strip().split("\t")
    return all(len(name) > 1 and name[0] == name[-1] == '"' for name in names)


def _read_separator(sep):
    """Return the separator that the user gave, which may be spelled out, or None."""
    if sep is None:
        return None
    found = _NAMES.get(sep.lower(), sep)
    if len(found) != 1 or found in '"\r\n':
        raise ValueError(
            f"{messages().option('sep', sep)}: a separator is one character, such as ';', or the word tab."
        )
    return found


def _describe(separator):
    return "tabs" if separator == "\t" else repr(separator)


def _detect_separator(lines: Sequence[str], by_default: str, quoting: bool) -> str:
    """Return the separator that splits the header into at least two names and most rows into as many fields.

    If several do, it is the one with the most fields, and then the default one. A header without any separator is that
    of a single column.
    """
    ranked = []
    for separator in SEPARATORS:
        lengths = _count_fields(lines, separator, quoting)
        if lengths and lengths[0] > 1:
            n_different = sum(length != lengths[0] for length in lengths)
            ranked.append(((n_different, -lengths[0], separator != by_default), separator))
    return min(ranked)[1] if ranked else by_default


def _count_fields(lines, separator, quoting):
    """Return the number of fields of each row, none if the lines are not CSV with this separator."""
    if not quoting:
        return [len(line.split(separator)) for line in lines if line.strip()]
    try:
        with _unlimited_fields():
            return [len(row) for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return []


def _split(
    lines: Iterable[str], separator: str, quoting: bool, name: str, number: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line of each row, and its fields; a blank line has none."""
    if not quoting:
        for count, line in enumerate(lines, number):
            line = line.removesuffix("\n").removesuffix("\r")
            yield count, line.split(separator) if line else []
        return
    with _unlimited_fields():
        reader = csv.reader(lines, delimiter=separator, strict=True)
        while True:
            start = reader.line_num + number
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise _name_quote(error, name, start, reader.line_num + number - 1) from None
            if row is None:
                return
            yield start, row


def _name_quote(error, name, start, end):
    hint = f"If quotes are part of the texts, pass {messages().option('quoting', False)}."
    if "unexpected end of data" in str(error):
        return ValueError(
            f"The row that begins on line {start} of {name!r} is not CSV: a quote is opened in it and never closed. "
            f"Double a quote within a quoted field. {hint}"
        )
    return ValueError(f"Line {end} of {name!r} is not CSV: {error} (the row begins on line {start}). {hint}")


def _check_lengths(rows, names, name, separator, quoting):
    """Yield rows of as many fields as the header; empty ones beyond, as some spreadsheets write them, are dropped."""
    for number, row in rows:
        if len(row) > len(names) and not any(row[len(names) :]):
            row = row[: len(names)]
        if row and len(row) != len(names):
            hint = ""
            if not quoting and any(field.startswith('"') for field in row):
                hint = f" If quotes enclose its fields, pass {messages().option('quoting', True)}."
            elif quoting and len(row) > len(names):
                hint = f" Enclose fields that contain {_describe(separator)} in double quotes."
            raise ValueError(f"Line {number} of {name!r} has {len(row)} fields; the header has {len(names)}.{hint}")
        yield number, row


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
