"""Text files by path or URL: their kind and name, how they are opened, and their lines in any encoding."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

from transferkit.datasets._encodings import Decoder, decode
from transferkit.datasets.messages import messages
from transferkit.exceptions import MissingExtraError

__all__ = [
    "JSON_KINDS",
    "SHEET_KINDS",
    "TABLE_KINDS",
    "TAB_KINDS",
    "TextFile",
    "is_url",
    "kind_of",
    "name_of",
    "open_binary",
    "split_url",
]

# extensions
TAB_KINDS = ("tsv", "tab")  # by default with tabs and without quotes, other text with commas and quotes
JSON_KINDS = ("jsonl", "ndjson", "json")
SHEET_KINDS = ("xlsx", "xlsm", "xlsb", "xls", "ods")
TABLE_KINDS = ("csv", "parquet", *TAB_KINDS, *JSON_KINDS, *SHEET_KINDS)
_CHUNK = 1 << 20  # bytes read at once


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the extension of a file name in lower case, without the dot and without a final ``.gz``."""
    name = os.fspath(path)
    return Path(name[:-3] if _is_gzipped(name) else name).suffix.removeprefix(".").lower()


def name_of(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Return the name of a file in messages; an open file is taken for standard input."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else "standard input"


def is_url(path: str) -> bool:
    """Return whether a path has a protocol, such as ``s3://``."""
    return "://" in path


def split_url(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL or path, and the path in it."""
    file_system, path = _import_fsspec(url).url_to_fs(url)
    return file_system, path


def open_binary(path: str, *, decompress: bool = False) -> BinaryIO:
    """Open a local file, or a URL with fsspec, to read bytes; `decompress` applies to names that end in ``.gz``."""
    if is_url(path):
        remote = _import_fsspec(path).open(path, "rb", compression="infer" if decompress else None)
        return cast(BinaryIO, remote.open())
    open_local = gzip.open if decompress and _is_gzipped(path) else open
    return cast(BinaryIO, open_local(path, "rb"))


class TextFile:
    """A text file or binary stream in an encoding that is given or, if None, detected.

    Parameters
    ----------
    source : str, path or binary file
        The file.
    encoding : str
        Encoding of the file, unless it begins with a byte order mark; None to detect it.
    errors : str
        As in ``bytes.decode``. Encodings are detected only with "strict"; otherwise None is UTF-8.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, encoding: str | None, errors: str) -> None:
        self.name = name_of(source)
        self._decoder, self._chunks = Decoder(self.name, encoding, errors), _read_chunks(source)

    @property
    def encoding(self) -> str | None:
        """The encoding of what was read so far."""
        return self._decoder.encoding

    @property
    def is_detected(self) -> bool:
        """Whether the encoding was found in the bytes, and is not UTF-8."""
        return self._decoder.is_detected

    def lines(self, *, any_end: bool = False) -> Iterator[str]:
        """Yield the lines, each with its line ending; the last line may have none.

        With `any_end` a single carriage return ends a line, as in tables from old Macs. Otherwise only newlines do, so
        that a carriage return, a form feed or a Unicode line separator within a line is part of it. ValueError is
        raised if bytes are invalid in the encoding, or if the gzip stream is damaged.
        """
        newline, ends = ("", "\r\n") if any_end else ("\n", "\n")
        parts: list[str] = []
        for text in decode(self._chunks, self._decoder):
            parts.append(text)
            if any(end in text for end in ends):
                *lines, last = io.StringIO("".join(parts), newline).readlines()
                parts = [last]  # even a complete line: a newline may follow its carriage return
                yield from lines
        yield from io.StringIO("".join(parts), newline)

    def close(self) -> None:
        """Close the file, if an error ended the reading of its lines."""
        self._chunks.close()

    def read(self) -> str:
        """Return the whole text."""
        return "".join(decode(self._chunks, self._decoder))

    def report_encoding(self) -> None:
        """Report an encoding that was detected, with a word by which a reader sees whether it is right."""
        if not self.is_detected:
            return
        if (example := self._decoder.example) is None:
            messages().note(f"{self.name}: read as {self.encoding}.")
        else:
            messages().warn(
                f"{self.name}: not UTF-8, read as {self.encoding} (Western European), for example {example!r}. If "
                f"this is wrong, give the encoding: {messages().option('encoding', 'cp1250')} or another one."
            )


def _is_gzipped(name: str) -> bool:
    return name.lower().endswith(".gz")


def _import_fsspec(url: str) -> ModuleType:
    try:
        import fsspec.core
    except ImportError as error:
        raise MissingExtraError(f"Opening {url!r}", "dask") from error
    module: ModuleType = fsspec.core
    return module


def _read_chunks(source):
    if not isinstance(source, (str, os.PathLike)):
        yield from iter(lambda: source.read(_CHUNK), b"")
        return
    try:
        with open_binary(os.fspath(source), decompress=True) as file:
            yield from iter(lambda: file.read(_CHUNK), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"The file {name_of(source)!r} is damaged or not gzipped: {error}.") from error
