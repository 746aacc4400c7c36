"""Word vectors in the usual files: word2vec (text and binary), GloVe, fastText."""

import codecs
import gzip
import os
import zlib
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from transferkit.exceptions import ModelFileError
from transferkit.persistence._file_kinds import N_BYTES, describe_kind
from transferkit.persistence._vector_binary import read_binary
from transferkit.persistence._vector_table import VectorTable

_LINES = 1024  # that are parsed at a time
_LONGEST_LINE = 1 << 24  # bytes: a longer one is cut, and then refused
_MOST_DIGITS = 19  # of a number in a header: with fewer, it fits into 64 bits
_MOST_COMPONENTS = 1_000_000
_PEEK = 4096
_BLANKS = b" \t\r\n"  # at the end of a line
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85")


def read_vectors(path, wanted=None, limit=None):
    """Read word vectors, line by line.

    Parameters
    ----------
    path : str or path
        word2vec (text or binary), GloVe (text) or fastText (``.vec``), plain or gzip-compressed; recognised by content.
    wanted : set of str, default=None
        Words to keep; None keeps all.
    limit : int, default=None
        Number of words at the beginning of the file, wanted or not, behind which nothing is read; None reads all.

    Returns
    -------
    words : list of str
        Words in the order of the file. Of a word that occurs again, the first vector is kept, with a warning.
    ranks : ndarray of int64 of shape (n_words,)
        Their places in the file, from 1 on.
    vectors : ndarray of float32 of shape (n_words, n_components)
        Their vectors.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, malformed (the line is named), or holds none of the wanted words.
    """
    name = os.fspath(path)
    try:
        with _open(path) as file:
            return _read(file, name, wanted, limit).finish()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ModelFileError(f"The file {name!r} is damaged: {error}.") from error


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


def _read(file, name, wanted, limit):
    """Return a table of the wanted words."""
    kind = describe_kind(file.peek(N_BYTES)[:N_BYTES])
    if kind is not None:
        raise ModelFileError(f"The file {name!r} holds no word vectors that can be read here. {kind}")
    first = file.readline(_LONGEST_LINE).removeprefix(codecs.BOM_UTF8)
    header = first.split()
    if len(header) == 2 and all(field.isdigit() for field in header):
        n_words, n_components = _check_header(header, name)
        is_cut = limit is not None and limit < n_words
        n_words = limit if is_cut else n_words
        if _is_binary(file.peek(_PEEK)[:_PEEK]):
            most_rows = _bound_rows(file, wanted, n_words, 4 * n_components + 1)
            table = VectorTable(name, n_components, most_rows)
            read_binary(file, table, n_words, _decode, wanted)
            return table
        table = VectorTable(name, n_components, _bound_rows(file, wanted, n_words, 2 * n_components + 1))
        lines = islice(_lines(file), limit) if is_cut else _lines(file)
        _read_text(lines, table, wanted, first_line=2, n_words=n_words)
        return table
    n_components = _count_numbers(first.rstrip(_BLANKS))
    if n_components < 1 or len(first) == _LONGEST_LINE:
        raise ModelFileError(f"Line 1 of {name!r} holds neither a header nor a word and its numbers: {first[:60]!r}.")
    table = VectorTable(name, n_components, None)
    _read_text(islice(chain([first], _lines(file)), limit), table, wanted, first_line=1, n_words=None)
    return table


def _count_numbers(line):
    """Return how many numbers follow the word, which may hold spaces before a tab."""
    word, tab, numbers = line.partition(b"\t")
    _, space, last = word.rpartition(b" ")
    if not tab or (space and _is_number(last)):  # a space, and not the tab, ends the word
        numbers = line.replace(b"\t", b" ").partition(b" ")[2]
    return len(numbers.split())


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _check_header(fields, name):
    n_words, n_components = (int(field[:_MOST_DIGITS]) for field in fields)
    if n_components == 0:
        raise ModelFileError(f"Line 1 of {name!r} announces vectors of length 0.")
    if max(map(len, fields)) >= _MOST_DIGITS or n_components > _MOST_COMPONENTS:
        shown = b" ".join(field[:20] for field in fields).decode()
        raise ModelFileError(f"Line 1 of {name!r} announces more words or longer vectors than can be: {shown!r}.")
    return n_words, n_components


def _bound_rows(file, wanted, n_words, n_bytes_per_row):
    """Return how many rows there can be, whatever the header says; None for a compressed file, which may hold any."""
    if isinstance(file, gzip.GzipFile):
        return None
    n_bytes = os.fstat(file.fileno()).st_size
    most = n_words if wanted is None else min(n_words, len(wanted))
    return min(most, n_bytes // n_bytes_per_row)


def _is_binary(start):
    """Return whether bytes hold raw numbers, which text cannot look like for long."""
    return any(byte < 32 and byte not in _TEXT_CONTROLS for byte in start)


def _lines(file):
    return iter(partial(file.readline, _LONGEST_LINE), b"")


def _read_text(lines, table, wanted, first_line, n_words):
    name, n_components = table.name, table.n_components
    n_read, pending = 0, []
    for number, line in enumerate(lines, first_line):
        fields = line.rstrip(_BLANKS)
        if not fields:  # which the last lines may be
            continue
        n_read += 1
        if number != n_read + first_line - 1:
            raise ModelFileError(f"Line {n_read + first_line - 1} of {name!r} is empty.")
        word, _, numbers = fields.partition(b"\t" if b"\t" in fields else b" ")
        numbers = numbers.replace(b"\t", b" ").lstrip(b" ")
        if not numbers or numbers.count(b" ") != n_components - 1:
            word, numbers = _split_at_numbers(fields.replace(b"\t", b" "), n_components, f"Line {number} of {name!r}")
        word = _decode(word, f"Line {number} of {name!r}")
        if wanted is None or word in wanted:
            pending.append((word, number - first_line + 1, numbers, number))
        if len(pending) == _LINES:
            _parse(pending, table)
            pending = []
    _parse(pending, table)
    if n_words is not None and n_read != n_words:
        raise ModelFileError(f"The header of {name!r} announces {n_words} words, but {n_read} lines follow.")


def _split_at_numbers(fields, n_components, where):
    """Split a line whose word holds spaces."""
    parts = fields.rsplit(b" ", n_components)
    if len(parts) != n_components + 1:
        raise ModelFileError(f"{where} must hold a word and {n_components} numbers. Got {len(parts) - 1} numbers.")
    if not _is_number(parts[0].rpartition(b" ")[2]):
        return parts[0].rstrip(b" "), b" ".join(parts[1:])
    n_numbers = fields.count(b" ")
    raise ModelFileError(f"{where} must hold a word and {n_components} numbers. Got {n_numbers} numbers.")


def _decode(word, where):
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError(f"{where} begins with a word that is not valid UTF-8: {word[:60]!r}.") from None


def _parse(pending, table):
    """Add the words of some lines, whose numbers are parsed together, to a table."""
    if not pending:
        return
    words, ranks, texts, numbers = zip(*pending, strict=True)
    try:
        rows = _to_numbers(texts, table.n_components)
    except ValueError:
        for text, number in zip(texts, numbers, strict=True):  # one of them is malformed: which one?
            try:
                _to_numbers([text], table.n_components)
            except ValueError as error:
                raise ModelFileError(
                    f"Line {number} of {table.name!r} must hold a word and numbers: {error}."
                ) from None
        raise
    table.add(words, ranks, rows)


def _to_numbers(lines, n_components):
    texts = [line.decode("ascii") for line in lines]
    rows = np.loadtxt(texts, dtype=np.float32, delimiter=" ", comments=None, ndmin=2)
    if rows.shape != (len(lines), n_components):
        raise ValueError(f"{rows.shape[1] if rows.size else 0} numbers instead of {n_components}")
    if not np.isfinite(rows).all():
        raise ValueError("a number is not finite")
    return rows
