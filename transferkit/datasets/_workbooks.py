"""Tables of Excel, LibreOffice and Parquet, which optional packages read."""

import datetime
import io
import itertools
import math
import os
from typing import Any, BinaryIO

from transferkit.datasets._rows import Rows
from transferkit.datasets.files import is_url, name_of, open_binary
from transferkit.exceptions import MissingExtraError

__all__ = ["open_parquet", "open_sheet"]


def open_sheet(source: str | os.PathLike[str] | BinaryIO) -> Rows:
    """Return the rows of the first sheet of a workbook below the names of columns; titles above them are left out."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise MissingExtraError(f"Reading {name_of(source)!r}", "tables") from error
    name, content = name_of(source), _read_bytes(source)
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        first, *others = workbook.sheet_names
        cells = workbook.get_sheet_by_name(first).to_python(skip_empty_area=False)
    except (CalamineError, ValueError) as error:
        raise ValueError(f"The file {name!r} is no workbook: {error or type(error).__name__}.") from None
    rows = [[_simplify(value) for value in row] for row in cells]
    header = _find_header(rows)
    notes = [f"read the sheet {first!r}, the first of {1 + len(others)}"] if others else []
    if any(any(value is not None for value in row) for row in rows[:header]):
        notes.append(f"skipped the rows above row {header + 1}, which has the names of columns")
    names = ["" if value is None else str(value) for value in (rows[header] if rows else [])]
    note = f"{name}: {'; '.join(notes)}." if notes else None
    return Rows(name, names, iter(enumerate(rows[header + 1 :], header + 2)), "Row", note=note)


def _find_header(rows):
    """Return the place of the first row that is neither blank nor a title, which is alone in its row."""
    filled = [sum(value is not None for value in row) for row in rows]
    has_columns = max(filled, default=0) > 1
    for place, row in enumerate(rows):
        is_title = has_columns and filled[place] == 1 and row[0] is not None  # a column of numbers has no name
        if filled[place] and not is_title:
            return place
    return 0


def open_parquet(source: str | os.PathLike[str] | BinaryIO) -> Rows:
    """Return the rows of a Parquet file, which are read in batches, without columns of lists."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError(f"Reading {name_of(source)!r}", "tables") from error
    name = name_of(source)
    try:
        file = parquet.ParquetFile(source if _is_local(source) else io.BytesIO(_read_bytes(source)))
    except ArrowException as error:
        raise ValueError(f"The file {name!r} is no Parquet file: {error}.") from None
    names = [field.name for field in file.schema_arrow if field.type.num_fields == 0]
    return Rows(name, names, _read_batches(file, names), "Row")


def _is_local(source):
    return isinstance(source, (str, os.PathLike)) and not is_url(os.fspath(source))


def _read_batches(file, names):
    numbers = itertools.count(1)
    for batch in file.iter_batches(columns=names):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield next(numbers), [_simplify(value) for value in row]


def _read_bytes(source):
    if not isinstance(source, (str, os.PathLike)):
        return source.read()
    with open_binary(os.fspath(source)) as file:
        return file.read()


def _simplify(value: Any) -> Any:
    """Return the value of a cell as in JSON, where None is an empty cell; whole numbers are integers, as displayed."""
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, datetime.datetime) and not (value.hour or value.minute or value.second or value.microsecond):
        value = value.date()
    is_json = value is None or isinstance(value, (str, int, float, bool, list, dict))
    return value if is_json else value.isoformat() if hasattr(value, "isoformat") else str(value)
