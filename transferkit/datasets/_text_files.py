"""Text files as lines: compression, encodings, byte order marks, line ends."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from transferkit.exceptions import MissingExtraError

_MARKS = (  # the longer ones first: that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHUNK = 1 << 20  # bytes that are read at once


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the ending of a file's name in lower case, without its dot and without that of gzip."""
    name = os.fspath(path)
    return Path(name[:-3] if name.lower().endswith(".gz") else name).suffix.removeprefix(".").lower()


def read_lines(
    source: str | os.PathLike[str] | BinaryIO, encoding: str, errors: str, *, any_end: bool = False
) -> Iterator[str]:
    r"""Yield the lines of a text file, each with its end.

    Parameters
    ----------
    source : str, path or binary file
        A path, gzipped when it ends in ``.gz``; a URL, where fsspec is installed; or an open file.
    encoding : str
        Encoding of the file, unless it begins with the byte order mark of UTF-8, UTF-16 or UTF-32.
    errors : str
        What to do about bytes that are not of that encoding: "strict", "replace", "ignore" or another error handler of
        Python's.
    any_end : bool, default=False
        Whether a carriage return alone ends a line, as in tables of old Macs. Otherwise only newlines do, so that a
        carriage return, a form feed or a Unicode line separator within a line is part of it.

    Yields
    ------
    line : str
        A line up to and with its end; the last one may have none.

    Raises
    ------
    ValueError
        If there is no such encoding, if the bytes are not of it, or if the gzip stream is damaged.
    """
    newline, ends = ("", "\r\n") if any_end else ("\n", "\n")
    parts: list[str] = []
    for text in _decode(_read_chunks(source), name_of(source), encoding, errors):
        parts.append(text)
        if any(end in text for end in ends):
            *lines, last = io.StringIO("".join(parts), newline).readlines()
            parts = [last]  # even a whole line: what follows a carriage return may be its newline
            yield from lines
    yield from io.StringIO("".join(parts), newline)


def name_of(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Return what errors call a file."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else "standard input"


def _read_chunks(source):
    if not isinstance(source, (str, os.PathLike)):
        yield from iter(lambda: source.read(_CHUNK), b"")
        return
    try:
        with _open(os.fspath(source)) as file:
            yield from iter(lambda: file.read(_CHUNK), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"The file {name_of(source)!r} is damaged or not gzipped: {error}.") from error


def _open(path):
    if "://" in path:
        try:
            import fsspec
        except ImportError as error:
            raise MissingExtraError(f"Reading {path!r}", "dask") from error
        return fsspec.open(path, "rb", compression="infer").open()
    return gzip.open(path, "rb") if path.lower().endswith(".gz") else open(path, "rb")


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
        codec = codecs.lookup(encoding)
    except LookupError:
        codec = None
    if codec is None or not codec._is_text_encoding or codec.incrementaldecoder is None:
        raise ValueError(f"There is no encoding {encoding!r}. Encodings are, for example, 'utf-8' and 'latin-1'.")
    try:
        codecs.lookup_error(errors)
    except LookupError:
        raise ValueError(
            f"The 'errors' parameter must be 'strict', 'replace', 'ignore' or another error handler of Python's. Got "
            f"{errors!r} instead."
        ) from None


class _Decoder:
    """Decodes chunks one after the other, and says where a byte is that cannot be decoded."""

    def __init__(self, name, encoding, errors, n_bytes):
        codec = codecs.lookup(encoding)
        self.name, self.encoding = name, codec.name
        self.n_bytes, self.n_lines = n_bytes, 0  # that were decoded
        self._decoder = codec.incrementaldecoder(errors)

    def decode(self, chunk, *, final=False):
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(chunk)  # bytes of a character that the chunk before has begun
            before = error.object[: error.start].decode(self.encoding, "replace")
            raise ValueError(
                f"The file {self.name!r} is not {self.encoding.upper()}: byte {self.n_bytes - pending + error.start}, "
                f"on line {self.n_lines + before.count(chr(10)) + 1}, is 0x{error.object[error.start]:02x} "
                f"({error.reason}). {_remedy('latin-1')}, or take errors='replace' (--encoding-errors replace)."
            ) from None
        except UnicodeError as error:  # of codecs that give no place
            raise ValueError(f"The file {self.name!r} is not {self.encoding.upper()}: {error}.") from None
        self.n_bytes += len(chunk)
        self.n_lines += text.count("\n")
        return text

    def check_zeros(self, chunk):
        """Refuse UTF-16 without a mark: every other byte is zero in most languages, and that is valid UTF-8, too."""
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
