"""A table as it is read: the names of its columns, and its rows one after the other."""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["MISSING", "Rows", "write_value"]

MISSING: Final = object()  # the value of a key that an object of JSON lacks


class Rows(NamedTuple):
    """Rows of any kind of table."""

    name: str  # of the file, in messages
    names: list[str]  # of the columns; it grows while later objects of JSON bring new keys
    values: Iterator[tuple[int, list[Any]]]  # number of the first line of each row, and its values; none if it is blank
    unit: str = "Line"  # what is numbered
    separator: str | None = None
    quoting: bool = False
    note: str | None = None  # what was detected, to be reported when the rows are read
    errors: str | None = None  # how to handle half characters, which only JSON can hold


def write_value(value: Any) -> str:
    """Return a value of a table as a string: "" for None, and numbers, booleans and lists as in JSON."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
