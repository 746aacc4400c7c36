"""Reading of word vectors from files of word2vec (text and binary), GloVe and fastText."""

import codecs
import gzip
import os
import zlib
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path

from transferkit.encoders.words.vector_files._binary import read_binary
from transferkit.encoders.words.vector_files._file_kinds import N_BYTES, describe_kind
from transferkit.encoders.words.vector_files._table import VectorTable
from transferkit.encoders.words.vector_files._text import count_numbers, read_text
from transferkit.exceptions import ModelFileError

__all__ = ["read_vectors"]

_LONGEST_LINE = 1 << 24  # bytes: a longer one is cut and then rejected
_MOST_DIGITS = 19  # of a number in a header: with fewer, it fits into 64 bits
_MOST_COMPONENTS = 1_000_000
_PEEK = 4096
_ERRORS = ("strict", "replace", "ignore", "skip")
_MARKUP = b"\t\n\r 0123456789+-.einfaNIFAE"  # bytes around the words of a file
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85")


def read_vectors(path, wanted=None, limit=None, encoding="utf-8", errors="strict"):
    """Read word vectors from a file as a stream.

    Parameters
    ----------
    path : str or path
        word2vec (text or binary), GloVe (text) or fastText (``.vec``), plain or gzip-compressed; recognised by content.
    wanted : set of str, default=None
        Words to keep; None keeps all.
    limit : int, default=None
        Read only that many words from the beginning of the file, wanted or not; None reads all.
    encoding : str, default="utf-8"
        Encoding of the words.
    errors : {'strict', 'replace', 'ignore', 'skip'}, default='strict'
        How to handle a word with bytes that are invalid in that encoding: raise an error, replace them by U+FFFD, drop
        them, or leave out the word. "skip" also leaves out all other lines that cannot be read, and accepts a wrong
        number of words in the header, with one warning.

    Returns
    -------
    words : list of str
        Words in the order of the file. If a word is repeated, its first vector is kept, with a warning.
    ranks : ndarray of int64 of shape (n_words,)
        Their positions in the file, from 1.
    vectors : ndarray of float32 of shape (n_words, n_components)
        Their vectors.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, malformed (the line is named), or holds none of the wanted words.
    ValueError
        If the encoding or the value of `errors` is unknown.

    Warns
    -----
    UserWarning
        If words are repeated, or if ``errors="skip"`` left something out.
    """
    name = os.fspath(path)
    _check_encoding(encoding, errors)
    try:
        with _open(path) as file:
            return _read(file, name, wanted, limit, encoding, errors).finish()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ModelFileError(f"The file {name!r} is damaged: {error}.") from error


def _check_encoding(encoding, errors):
    if errors not in _ERRORS:
        raise ValueError(
            f"The 'errors' argument must be one of {', '.join(map(repr, _ERRORS))}. Got {errors!r} instead."
        )
    try:
        keeps_markup = _MARKUP.decode(encoding, "replace") == _MARKUP.decode("ascii")
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"There is no encoding {encoding!r} of text. Encodings are, for example, 'utf-8' and 'latin-1'."
        ) from None
    if not keeps_markup:
        raise ValueError(
            f"Word vectors in the encoding {encoding!r} cannot be read, because its digits and spaces are not those of "
            "ASCII. Save the file as UTF-8."
        )


@contextmanager
def _open(path):
    if Path(path).is_dir():
        raise ModelFileError(f"{os.fspath(path)!r} is a folder: give the file in it that holds the word vectors.")
    if not Path(path).is_file():
        raise ModelFileError(f"There is no file {os.fspath(path)!r}.")
    with Path(path).open("rb") as raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(raw) as unzipped:
                yield unzipped
        else:
            yield raw


def _read(file, name, wanted, limit, encoding, errors):
    """Return a table of the wanted words."""
    kind = describe_kind(file.peek(N_BYTES)[:N_BYTES])
    if kind is not None:
        raise ModelFileError(f"The file {name!r} holds no word vectors that can be read here. {kind}")
    first = file.readline(_LONGEST_LINE).removeprefix(codecs.BOM_UTF8)
    table = VectorTable(name, encoding, errors)
    header = first.split()
    if len(header) == 2 and all(field.isdigit() for field in header):
        n_announced, n_components = _check_header(header, name)
        is_cut = limit is not None and limit < n_announced
        n_words = limit if is_cut else n_announced
        is_binary = _is_binary(file.peek(_PEEK)[:_PEEK])
        n_least_bytes = (4 if is_binary else 2) * n_components + 1
        table.begin(n_components, _bound_rows(file, wanted, n_words, n_least_bytes), n_announced)
        if is_binary:
            read_binary(file, table, n_words, wanted)
        else:
            read_text(islice(_lines(file), limit) if is_cut else _lines(file), table, wanted, 2, n_words)
        return table
    n_components = count_numbers(first)
    if n_components < 1 or len(first) == _LONGEST_LINE:
        raise ModelFileError(f"Line 1 of {name!r} holds neither a header nor a word and its numbers: {first[:60]!r}.")
    table.begin(n_components, None, None)
    read_text(islice(chain([first], _lines(file)), limit), table, wanted, 1, None)
    return table


def _check_header(fields, name):
    n_words, n_components = (int(field[:_MOST_DIGITS]) for field in fields)
    if n_components == 0:
        raise ModelFileError(f"Line 1 of {name!r} announces vectors of length 0.")
    if max(map(len, fields)) >= _MOST_DIGITS or n_components > _MOST_COMPONENTS:
        shown = b" ".join(field[:20] for field in fields).decode()
        raise ModelFileError(f"Line 1 of {name!r} announces more words or longer vectors than can be: {shown!r}.")
    return n_words, n_components


def _bound_rows(file, wanted, n_words, n_bytes_per_row):
    """Return an upper bound on the number of rows from the size of the file; None for a compressed file."""
    if isinstance(file, gzip.GzipFile):
        return None
    n_bytes = os.fstat(file.fileno()).st_size
    most = n_words if wanted is None else min(n_words, len(wanted))
    return min(most, n_bytes // n_bytes_per_row)


def _is_binary(start):
    """Return whether bytes hold control characters, which binary numbers have and text does not."""
    return any(byte < 32 and byte not in _TEXT_CONTROLS for byte in start)


def _lines(file):
    return iter(partial(file.readline, _LONGEST_LINE), b"")
