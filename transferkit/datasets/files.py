"""Text files by path or URL: their kind and name, how they are opened, and their lines in any encoding."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

from transferkit.exceptions import MissingExtraError

__all__ = ["is_url", "kind_of", "name_of", "open_binary", "read_lines", "split_url"]

_MARKS = (  # the longer ones first, because that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
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


def read_lines(
    source: str | os.PathLike[str] | BinaryIO, encoding: str, errors: str, *, any_end: bool = False
) -> Iterator[str]:
    """Yield the lines of a text file, each with its line ending; the last line may have none.

    `encoding` is that of the file, unless it begins with the byte order mark of UTF-8, UTF-16 or UTF-32. With `any_end`
    a single carriage return ends a line, as in tables from old Macs. Otherwise only newlines do, so that a carriage
    return, a form feed or a Unicode line separator within a line is part of it. ValueError is raised if the encoding is
    unknown, if bytes are invalid in it, or if the gzip stream is damaged.
    """
    newline, ends = ("", "\r\n") if any_end else ("\n", "\n")
    parts: list[str] = []
    for text in _decode(_read_chunks(source), name_of(source), encoding, errors):
        parts.append(text)
        if any(end in text for end in ends):
            *lines, last = io.StringIO("".join(parts), newline).readlines()
            parts = [last]  # even a complete line: a newline may follow its carriage return
            yield from lines
    yield from io.StringIO("".join(parts), newline)


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


def _decode(chunks, name, encoding, errors):
    """Yield the text of each chunk of bytes."""
    _check_encoding(encoding, errors)
    decoder = None
    for chunk in chunks:
        if decoder is None:
            found, mark = next(((found, mark) for mark, found in _MARKS if chunk.startswith(mark)), (encoding, b""))
            decoder, chunk = _Decoder(name, found, errors, len(mark)), chunk[len(mark) :]
            if errors == "strict":
                decoder.check_zeros(chunk)
        yield decoder.decode(chunk)
    if decoder is not None:
        yield decoder.decode(b"", final=True)


def _check_encoding(encoding, errors):
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)  # accepts codecs of text only
        is_known = codecs.lookup(encoding).incrementaldecoder is not None
    except LookupError:
        is_known = False
    if not is_known:
        raise ValueError(f"Unknown encoding {encoding!r}. Encodings are, for example, 'utf-8' and 'latin-1'.")
    try:
        codecs.lookup_error(errors)
    except LookupError:
        raise ValueError(
            f"The 'errors' parameter must be 'strict', 'replace', 'ignore' or another error handler of Python. Got "
            f"{errors!r} instead."
        ) from None


class _Decoder:
    """Decode successive chunks; errors name the position of the invalid byte."""

    def __init__(self, name, encoding, errors, n_bytes):
        codec = codecs.lookup(encoding)
        self.name, self.encoding = name, codec.name
        self.n_bytes, self.n_lines = n_bytes, 0  # decoded so far
        self._decoder = codec.incrementaldecoder(errors)

    def decode(self, chunk, *, final=False):
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(chunk)  # bytes of a character that the previous chunk began
            before = error.object[: error.start].decode(self.encoding, "replace")
            raise ValueError(
                f"The file {self.name!r} is not {self.encoding.upper()}: byte {self.n_bytes - pending + error.start}, "
                f"on line {self.n_lines + before.count(chr(10)) + 1}, is 0x{error.object[error.start]:02x} "
                f"({error.reason}). {_remedy('latin-1')}, or set errors='replace' (--encoding-errors replace)."
            ) from None
        except UnicodeError as error:  # of codecs that give no position
            raise ValueError(f"The file {self.name!r} is not {self.encoding.upper()}: {error}.") from None
        self.n_bytes += len(chunk)
        self.n_lines += text.count("\n")
        return text

    def check_zeros(self, chunk):
        """Raise ValueError for UTF-16 without a mark, where every other byte is zero, which is valid in UTF-8."""
        start = chunk[:4096]
        if self.encoding.startswith(("utf-16", "utf-32")) or 3 * start.count(0) <= len(start):
            return
        likely = "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"
        raise ValueError(
            f"The file {self.name!r} is not text in {self.encoding.upper()}: {start.count(0)} of its first "
            f"{len(start)} bytes are zero. {_remedy(likely)}."
        )


def _remedy(encoding):
    return f"Give its encoding, for example encoding={encoding!r} (on the command line --encoding {encoding})"
