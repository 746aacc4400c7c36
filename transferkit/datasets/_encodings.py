"""Encodings: detected from the bytes of a file, which are decoded in chunks; errors give the position of a byte."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator

from transferkit.datasets.messages import messages

__all__ = ["Decoder", "decode"]

_MARKS = (  # the longer ones first, because that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SIGNATURES = {  # first bytes of files that are often given the wrong extension
    b"PK\x03\x04": "a workbook (.xlsx, .ods) or another zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook (.xls) or another file of old Microsoft Office",
    b"PAR1": "a Parquet file (.parquet)",
    b"\x1f\x8b": "a gzipped file (.gz)",
    b"%PDF": "a PDF file",
}
_WESTERN = "cp1252"  # all printable characters of latin-1, and those of Windows
MOST_ODD_ZEROS = 0.05  # zero bytes that are not the upper halves of characters, as a share of those that are
MOST_IN_RUNS = 0.25  # share of accented letters and signs that stand in runs of four or more
MOST_MISPLACED = 0.1  # share of characters between two lower-case letters that do not belong there
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BETWEEN_LETTERS = re.compile(rb"(?<=[a-z])[\x80-\xff](?=[a-z])")
# lower-case letters and ordinals, apostrophes, dashes, dots, soft hyphens and unbreakable blanks
_FITTING = re.compile(rb"[\x9a\x9c\x9e\xaa\xba\xdf-\xf6\xf8-\xff\x85\x91\x92\x96\x97\xa0\xad\xb7]")
_RUN = re.compile(rb"[\xa1-\xaa\xac-\xba\xbc-\xff]{4,}")  # without dashes, dots and quotation marks
_ACCENTED_WORD = re.compile(r"\w*[^\W\x00-\x7f]\w*")
_SIGN = re.compile(r"\S*[^\x00-\x7f]\S*|[^\x00-\x7f]")


def decode(chunks: Iterable[bytes], decoder: "Decoder") -> Iterator[str]:
    """Yield the text of each chunk of a file."""
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


class Decoder:
    """Decode successive chunks of a file; errors name the position of an invalid byte.

    A byte order mark determines the encoding. Otherwise it is the one given or, if that is None, UTF-16 if the zero
    bytes are those of UTF-16, UTF-8 if all bytes are valid in it, and cp1252 if the bytes are those of a Western
    European language (`_is_western`). Other files are errors.

    Attributes
    ----------
    encoding : str
        The encoding found so far, None before the first chunk.
    example : str
        A word of a file that was taken for cp1252, None of other files.
    """

    def __init__(self, name: str, encoding: str | None, errors: str) -> None:
        _check_encoding("utf-8" if encoding is None else encoding, errors)
        self.name, self.given, self.errors = name, encoding, errors
        self.encoding: str | None = None
        self.example: str | None = None
        self.n_bytes, self.n_lines = 0, 0  # decoded so far
        self._is_ascii, self._is_marked = True, False
        self._error: ValueError | None = None

    @property
    def is_detected(self) -> bool:
        """Whether the encoding is neither UTF-8, nor given, nor that of a byte order mark."""
        return self.given is None and not self._is_marked and self.encoding not in (None, "utf-8")

    def decode(self, chunk: bytes, *, final: bool = False) -> str:
        """Return the text of the next chunk."""
        if self.encoding is None:
            chunk = self._begin(chunk)
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            text = self._decode_otherwise(error, chunk, final)
        except UnicodeError as error:  # of codecs that give no position
            raise ValueError(f"The file {self.name!r} is not {str(self.encoding).upper()}: {error}.") from None
        if self._error is not None and not _is_western(chunk):
            raise self._error
        self._is_ascii &= text.isascii()
        self.n_bytes += len(chunk)
        self.n_lines += text.count("\n")
        return text

    def _begin(self, chunk):
        """Determine the encoding by the first chunk, and return this chunk without a byte order mark."""
        kind = next((kind for start, kind in _SIGNATURES.items() if chunk.startswith(start)), None)
        if kind is not None and self.errors == "strict":
            raise ValueError(
                f"The file {self.name!r} is not text, but {kind}. If it can be read as such, give it this extension."
            )
        found, mark = next(((found, mark) for mark, found in _MARKS if chunk.startswith(mark)), (self.given, b""))
        if found is None:
            found = (self.errors == "strict" and _find_utf_16(chunk[:4096])) or "utf-8"
        self._is_marked, self.n_bytes, chunk = bool(mark), len(mark), chunk[len(mark) :]
        self._start(found)
        if self.errors == "strict":
            self._check_zeros(chunk[:4096])
        return chunk

    def _start(self, encoding):
        codec = codecs.lookup(encoding)
        self.encoding, self._decoder = codec.name, codec.incrementaldecoder(self.errors)

    def _decode_otherwise(self, error, chunk, final):
        """Return the text of a chunk that is not valid in the encoding, if another one was not excluded."""
        self._error = self._error or self._name_byte(error, chunk)
        may_be_western = self.given is None and not self._is_marked and self.encoding == "utf-8" and self._is_ascii
        if not (may_be_western and _is_western(error.object)):
            raise self._error from None
        self._start(_WESTERN)
        text = self._decoder.decode(error.object, final)
        word = _ACCENTED_WORD.search(text) or _SIGN.search(text)
        self.example = word.group()[:40]
        return text

    def _name_byte(self, error, chunk):
        pending = len(error.object) - len(chunk)  # bytes of a character that the previous chunk began
        before = error.object[: error.start].decode(self.encoding, "replace")
        return ValueError(
            f"The file {self.name!r} is not {self.encoding.upper()}: byte {self.n_bytes - pending + error.start}, "
            f"on line {self.n_lines + before.count(chr(10)) + 1}, is 0x{error.object[error.start]:02x} "
            f"({error.reason}). {self._remedy()}, or {messages().option('errors', 'replace')}."
        )

    def _check_zeros(self, start):
        """Raise ValueError for UTF-16 without a mark, where every other byte is zero, which is valid in UTF-8."""
        if self.encoding.startswith(("utf-16", "utf-32")) or 3 * start.count(0) <= len(start):
            return
        likely = "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"
        raise ValueError(
            f"The file {self.name!r} is not text in {self.encoding.upper()}: {start.count(0)} of its first "
            f"{len(start)} bytes are zero. {self._remedy(likely)}."
        )

    def _remedy(self, likely=None):
        is_open = self.given is None and likely is None  # no encoding was plausible
        example = likely or ("cp1252" if is_open else "latin-1")
        others = (
            " for Western Europe, cp1250 for Central Europe, cp1251 for Cyrillic, gbk for Chinese" if is_open else ""
        )
        return f"Give its encoding, for example {messages().option('encoding', example)}{others}"


def _find_utf_16(start):
    """Return the encoding of the beginning of a file if it is UTF-16 without a mark, else None."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if min(even, odd) > MOST_ODD_ZEROS * max(even, odd):
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        return None
    is_likely = 3 * (even + odd) > len(start) or 2 * text.count("\n") > start.count(b"\n")  # most are line ends
    return encoding if is_likely and not _CONTROLS.search(text) else None


def _is_western(data):
    """Return whether bytes that are not UTF-8 are plausible as cp1252.

    They are not if one is a control character or undefined there, if most of them are UTF-8 (then it is damaged), if
    they stand in long runs, as those of Cyrillic or Chinese letters do, or if signs or capitals stand within words, as
    accented letters of Mac OS, DOS and Central Europe then do.
    """
    if re.search(rb"[\x00-\x08\x0e-\x19\x1c-\x1f\x81\x8d\x8f\x90\x9d]", data):
        return False
    n_high = _count(rb"[\x80-\xff]", data)
    if 2 * sum(map(len, _UTF_8.findall(data))) > n_high:
        return False
    if sum(map(len, _RUN.findall(data))) > MOST_IN_RUNS * n_high:
        return False
    within = b"".join(_BETWEEN_LETTERS.findall(data))
    return len(within) - _count(_FITTING, within) <= MOST_MISPLACED * len(within)


def _count(pattern, data):
    return len(re.findall(pattern, data))


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
