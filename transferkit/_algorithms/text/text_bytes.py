"""Documents as one array of normalised UTF-8 bytes."""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = [
    "PADDING",
    "SPACE",
    "TextBytes",
    "encode_documents",
    "strip_accents",
]

SPACE = 0x20
PADDING = 8  # bytes after the last document, so that eight bytes can be loaded at any position
_N_CODE_POINTS = 0x110000
_KNOWN, _WORD, _BLANK, _LOWERS, _NEEDS_STR = 1, 2, 4, 8, 16
_BLANK_RUN = re.compile(r"\s\s+")
_IS_BLANK_BYTE = np.array([byte < 128 and chr(byte).isspace() for byte in range(256)])


class TextBytes(NamedTuple):
    """A block of documents, separated by spaces, with spaces where no token is.

    `bytes` (uint8) starts with one separator and ends with `PADDING` spare bytes. Document i is
    ``bytes[starts[i] : ends[i]]``. If `is_ascii`, each byte is one character.
    """

    bytes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    is_ascii: bool


def encode_documents(documents: Sequence[str], unit: str, lowercase: bool) -> TextBytes:
    r"""Return the documents as bytes, normalised for one kind of term.

    The unit 'word' replaces each character that is not a word character (``\w``) by a space, 'char_wb' each white-space
    character. 'char' replaces each run of two or more white-space characters by one space. `lowercase` does what
    ``str.lower`` does on each document.
    """
    text, needs_str = _normalise(_encode(documents), unit, lowercase)
    if needs_str:
        # Final sigma, letters whose lower case has another length in UTF-8, and neighbouring blanks beyond ASCII are
        # rare: str methods replace them in the documents that are not ASCII, and a second pass finds none.
        prepared = [_prepare_with_str(document, unit, lowercase) for document in documents]
        text, _ = _normalise(_encode(prepared), unit, lowercase)
    return text


def strip_accents(documents: Sequence[str], form: str, lowercase: bool) -> list[str]:
    """Return the documents without accents.

    After compatibility decomposition (NFKD), the form 'unicode' drops combining marks, 'ascii' all characters that are
    not ASCII. `lowercase` lowercases before the decomposition, not after it, which can produce capitals that
    scikit-learn keeps.
    """
    lowered = [document.lower() for document in documents] if lowercase else documents
    return [document if document.isascii() else _strip(document, form) for document in lowered]


def _strip(document: str, form: str) -> str:
    decomposed = unicodedata.normalize("NFKD", document)
    if form == "ascii":
        return decomposed.encode("ascii", "ignore").decode("ascii")
    return decomposed.translate(_without_marks)


class _WithoutMarks(dict[int, int | None]):
    """Translation table that deletes combining marks, filled as characters occur."""

    def __missing__(self, code_point: int) -> int | None:
        self[code_point] = None if unicodedata.combining(chr(code_point)) else code_point
        return self[code_point]


_without_marks = _WithoutMarks()


def _prepare_with_str(document: str, unit: str, lowercase: bool) -> str:
    if document.isascii():
        return document
    if lowercase:
        document = document.lower()
    return _BLANK_RUN.sub(" ", document) if unit == "char" else document


def _encode(documents: Sequence[str]) -> list[bytes]:
    try:
        return [document.encode() for document in documents]
    except UnicodeEncodeError:
        return [document.encode("utf-8", "surrogatepass") for document in documents]


def _normalise(encoded: list[bytes], unit: str, lowercase: bool) -> tuple[TextBytes, bool]:
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    ends = np.cumsum(lengths + 1)
    starts = ends - lengths
    # The first document also has a separator before it, and the last one a separator after it.
    raw = np.frombuffer(b" " + b" ".join(encoded) + b" " * (PADDING + 1), np.uint8)
    text = _byte_table(unit, lowercase).take(raw)
    is_ascii = bool(text.max() < 0x80)
    needs_str = False
    if not is_ascii:
        needs_str = _normalise_beyond_ascii(text, unit, lowercase)
    if unit == "char":
        text, starts, ends = _squeeze_blanks(text, starts, ends)
    return TextBytes(text, starts, ends, is_ascii), needs_str


_byte_tables: dict[tuple[str, bool], np.ndarray] = {}


def _byte_table(unit: str, lowercase: bool) -> np.ndarray:
    """Return what each byte becomes; bytes of characters beyond ASCII stay as they are."""
    if (unit, lowercase) not in _byte_tables:
        table = np.arange(256, dtype=np.uint8)
        for byte in range(128):
            character = chr(byte)
            if (unit == "word" and not _is_word(character)) or (unit == "char_wb" and character.isspace()):
                table[byte] = SPACE
            elif lowercase:
                table[byte] = ord(character.lower())
        _byte_tables[unit, lowercase] = table
    return _byte_tables[unit, lowercase]


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _normalise_beyond_ascii(text: np.ndarray, unit: str, lowercase: bool) -> bool:
    """Normalise characters of two to four bytes in place; return whether that needs ``str`` methods."""
    lead = np.flatnonzero(text >= 0xC0)
    first = text[lead]
    code_points = _decode(text, lead, first)
    flags = _character_flags(code_points)
    needs_str = unit == "char" and _has_blank_neighbours(text, lead, first, flags)
    if lowercase:
        needs_str |= bool((flags & _NEEDS_STR).any())
        changed = np.flatnonzero(flags & _LOWERS)
        if len(changed) and not needs_str:
            code_points[changed] = _lower_of[code_points[changed]]
            _overwrite(text, lead[changed], first[changed], code_points[changed])
            flags = _character_flags(code_points)
    if unit != "char" and not needs_str:
        outside = (flags & _WORD) == 0 if unit == "word" else (flags & _BLANK) != 0
        lead, first = lead[outside], first[outside]
        for offset, threshold in enumerate((0, 0xC0, 0xE0, 0xF0)):
            text[lead[first >= threshold] + offset] = SPACE
    return needs_str


def _has_blank_neighbours(text: np.ndarray, lead: np.ndarray, first: np.ndarray, flags: np.ndarray) -> bool:
    """Return whether a blank beyond ASCII touches another blank (of the same document or not)."""
    blank = np.flatnonzero(flags & _BLANK)
    at = lead[blank]
    after = at + 2 + (first[blank] >= 0xE0)
    beside = _IS_BLANK_BYTE[text[at - 1]] | _IS_BLANK_BYTE[text[after]]
    return bool(beside.any() or np.isin(after, at).any())


def _decode(text: np.ndarray, lead: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the code points (int32) of the characters that start at `lead`."""
    head = first.astype(np.int32)
    second = text[lead + 1].astype(np.int32) & 0x3F
    code_points = (head & 0x1F) << 6 | second
    for threshold, n_bytes in ((0xE0, 3), (0xF0, 4)):
        longer = np.flatnonzero(first >= threshold)
        if len(longer):
            value = head[longer] & (0x0F if n_bytes == 3 else 0x07)
            for offset in range(1, n_bytes):
                value = value << 6 | (text[lead[longer] + offset].astype(np.int32) & 0x3F)
            code_points[longer] = value
    return code_points


def _overwrite(text: np.ndarray, lead: np.ndarray, first: np.ndarray, code_points: np.ndarray) -> None:
    """Write other characters of the same number of bytes at `lead`."""
    bounds = ((0xC0, 0xE0, 2), (0xE0, 0xF0, 3), (0xF0, 0x100, 4))
    for low, high, n_bytes in bounds:
        chosen = (first >= low) & (first < high)
        at, value = lead[chosen], code_points[chosen]
        for offset in range(n_bytes - 1, 0, -1):
            text[at + offset] = 0x80 | (value & 0x3F)
            value = value >> 6
        text[at] = (0, 0, 0xC0, 0xE0, 0xF0)[n_bytes] | value


# Properties of a character, looked up when it first occurs, because looking up all characters takes 0.3 s.
_flags_of = np.zeros(_N_CODE_POINTS, np.uint8)
_lower_of = np.zeros(_N_CODE_POINTS, np.int32)


def _character_flags(code_points: np.ndarray) -> np.ndarray:
    flags = _flags_of[code_points]
    unknown = np.flatnonzero(flags == 0)
    if len(unknown):
        for code_point in np.unique(code_points[unknown]).tolist():
            _look_up_character(code_point)
        flags = _flags_of[code_points]
    return flags


def _look_up_character(code_point: int) -> None:
    character = chr(code_point)
    lower = character.lower()
    flags = _KNOWN
    if _is_word(character):
        flags |= _WORD
    if character.isspace():
        flags |= _BLANK
    if lower != character:
        flags |= _LOWERS
        same_length = len(lower.encode("utf-8")) == len(character.encode("utf-8"))
        if character == "Σ" or len(lower) > 1 or not same_length:
            flags |= _NEEDS_STR
        else:
            _lower_of[code_point] = ord(lower)
    _flags_of[code_point] = flags  # last, so that no other thread reads a lower case that is not set yet


def _squeeze_blanks(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn each run of two or more ASCII blanks within a document into one space."""
    blank = _IS_BLANK_BYTE.take(text)
    blank[starts - 1] = False
    blank[ends[-1] :] = False
    follows = np.zeros(len(text), bool)
    np.logical_and(blank[1:], blank[:-1], out=follows[1:])
    dropped = np.flatnonzero(follows)
    if len(dropped) == 0:
        return text, starts, ends
    text[dropped - 1] = SPACE  # the first of a run stays, as a space; the others go anyway
    shorter = text[~follows]
    return shorter, starts - np.searchsorted(dropped, starts), ends - np.searchsorted(dropped, ends)
