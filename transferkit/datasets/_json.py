"""Tables of JSON: .jsonl with one object per line, and .json with a list of objects."""

import json

from transferkit.datasets._rows import MISSING, Rows
from transferkit.datasets.files import TextFile
from transferkit.datasets.messages import messages

__all__ = ["check_characters", "open_json"]


def open_json(file: TextFile, kind: str, errors: str) -> Rows:
    """Return the objects of a file as rows, whose columns are their keys.

    A ``.json`` file holds a list of objects, an object of columns, or one object per line. ValueError with the number
    of the line or item is raised if it is not JSON or no object.
    """
    unit, records = "Line", None
    if kind == "json":
        text = file.read()
        unit, records = "Item", _read_whole(text, file.name)
        lines = iter(text.split("\n"))
    else:
        lines = file.lines()
    if records is None:
        unit, records = "Line", _read_lines(lines, file.name)
    names: list[str] = []
    return Rows(file.name, names, _make_rows(records, names, file.name, unit), unit, errors=errors)


def _read_lines(lines, name):
    """Yield the number and the value of each line, MISSING for one that is blank."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield number, MISSING
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Line {number} of {name!r} is not JSON: {error}.") from None


def _read_whole(text, name):
    """Return the numbered objects of a list, or of the columns that pandas writes; None if each line has an object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise ValueError(f"The file {name!r} is not JSON: {error}.") from None
        return None
    if isinstance(found, dict):
        found = _transpose(found)
    return enumerate(found, 1) if isinstance(found, list) else None


def _transpose(columns):
    """Return the objects of columns, which are lists or objects of equal length, or None."""
    values = [list(column.values()) if isinstance(column, dict) else column for column in columns.values()]
    if not all(isinstance(column, list) and len(column) == len(values[0]) for column in values):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _make_rows(records, names, name, unit):
    known = set(names)
    for number, record in records:
        if record is MISSING:
            yield number, []
            continue
        where = f"{unit} {number} of {name!r}"
        if not isinstance(record, dict):
            raise ValueError(f"{where} is no object with keys for the text and others, but: {type(record).__name__}.")
        if not record.keys() <= known:
            names += [key for key in record if key not in known]
            known.update(record)
        yield number, [record.get(key, MISSING) for key in names]


def check_characters(value, errors, where):
    """Return a string that can be encoded; JSON may contain single surrogates, which are halves of characters."""
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        if errors == "strict":
            half = f"\\u{ord(value[error.start]):04x}"
            raise ValueError(
                f"{where} holds {half}, which is half a character. Repair it, or pass "
                f"{messages().option('errors', 'replace')}."
            ) from None
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", errors)
    return value
