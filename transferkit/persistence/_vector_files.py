"""Word vectors in the usual files: word2vec (text and binary), GloVe, fastText."""

import gzip
import os
import warnings
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from transferkit.exceptions import ModelFileError

_LINES = 1024  # that are parsed at a time
_PEEK = 4096
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85")


def read_vectors(path, wanted=None):
    """Read word vectors, line by line.

    Parameters
    ----------
    path : str or path
        word2vec (text or binary), GloVe (text) or fastText (``.vec``), plain or gzip-compressed; recognised by content.
    wanted : set of str, default=None
        Words to keep; None keeps all.

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
            entries, n_components = _read_entries(file, name, wanted)
            return _collect(entries, n_components, name)
    except (EOFError, gzip.BadGzipFile) as error:
        raise ModelFileError(f"The file {name!r} is damaged: {error}.") from error


@contextmanager
def _open(path):
    if not Path(path).is_file():
        raise ModelFileError(f"There is no file {os.fspath(path)!r}.")
    with Path(path).open("rb") as raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(raw) as unzipped:
                yield unzipped
        else:
            yield raw


def _read_entries(file, name, wanted):
    """Return (word, rank, numbers) of each wanted word as they are read, and the number of components."""
    first = file.readline()
    header = first.split()
    if len(header) == 2 and all(field.isdigit() for field in header):
        n_words, n_components = map(int, header)
        if n_components == 0:
            raise ModelFileError(f"Line 1 of {name!r} announces vectors of length 0.")
        if _is_binary(file.peek(_PEEK)[:_PEEK]):
            return _read_binary(file, name, wanted, n_words, n_components), n_components
        return _read_text(file, name, wanted, n_components, first_line=2, n_words=n_words), n_components
    n_components = len(first.rstrip().split(b" ")) - 1
    if n_components < 1:
        raise ModelFileError(f"Line 1 of {name!r} holds neither a header nor a word and its numbers: {first[:60]!r}.")
    return _read_text(chain([first], file), name, wanted, n_components, first_line=1, n_words=None), n_components


def _is_binary(start):
    """Return whether bytes hold raw numbers, which text cannot look like for long."""
    return any(byte < 32 and byte not in _TEXT_CONTROLS for byte in start)


def _read_text(lines, name, wanted, n_components, first_line, n_words):
    n_read, pending = 0, []
    for number, line in enumerate(lines, first_line):
        fields = line.rstrip(b" \r\n")
        if not fields:
            raise ModelFileError(f"Line {number} of {name!r} is empty.")
        n_read += 1
        word, _, numbers = fields.partition(b" ")
        if numbers.count(b" ") != n_components - 1:
            word, numbers = _split_at_numbers(fields, n_components, f"Line {number} of {name!r}")
        word = _decode(word, f"Line {number} of {name!r}")
        if wanted is None or word in wanted:
            pending.append((word, number - first_line + 1, numbers, number))
        if len(pending) == _LINES:
            yield from _parse(pending, name, n_components)
            pending = []
    yield from _parse(pending, name, n_components)
    if n_words is not None and n_read != n_words:
        raise ModelFileError(f"The header of {name!r} announces {n_words} words, but {n_read} lines follow.")


def _split_at_numbers(fields, n_components, where):
    """Split a line whose word holds spaces."""
    parts = fields.rsplit(b" ", n_components)
    if len(parts) != n_components + 1:
        raise ModelFileError(f"{where} must hold a word and {n_components} numbers. Got {len(parts) - 1} numbers.")
    try:
        float(parts[0].rpartition(b" ")[2])
    except ValueError:
        return parts[0], b" ".join(parts[1:])
    n_numbers = fields.count(b" ")
    raise ModelFileError(f"{where} must hold a word and {n_components} numbers. Got {n_numbers} numbers.")


def _decode(word, where):
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError(f"{where} begins with a word that is not valid UTF-8: {word[:60]!r}.") from None


def _parse(pending, name, n_components):
    """Yield the entries of some lines, parsed together."""
    if not pending:
        return
    try:
        rows = _to_numbers([numbers for *_, numbers, _ in pending], n_components)
    except ValueError:
        for *_, numbers, line in pending:  # one of them is malformed: which one?
            try:
                _to_numbers([numbers], n_components)
            except ValueError as error:
                raise ModelFileError(f"Line {line} of {name!r} must hold a word and numbers: {error}.") from None
        raise
    for (word, rank, _, _), row in zip(pending, rows, strict=True):
        yield word, rank, row


def _to_numbers(lines, n_components):
    texts = [line.decode("ascii") for line in lines]
    rows = np.loadtxt(texts, dtype=np.float32, delimiter=" ", comments=None, ndmin=2)
    if rows.shape[1] != n_components:
        raise ValueError(f"{rows.shape[1]} numbers instead of {n_components}")
    if not np.isfinite(rows).all():
        raise ValueError("a number is not finite")
    return rows


def _read_binary(file, name, wanted, n_words, n_components):
    size = 4 * n_components
    buffer = b""
    for rank in range(1, n_words + 1):
        where = f"Word {rank} of {name!r}"
        while True:
            space = buffer.find(b" ")
            if space >= 0 and len(buffer) > space + size:
                break
            more = file.read(max(1 << 20, size))
            if not more:
                break
            buffer += more
        if space < 0 or len(buffer) < space + 1 + size:
            raise ModelFileError(f"{where} is cut off: the header announces {n_words} words of length {n_components}.")
        word = _decode(buffer[:space].lstrip(b"\n"), where)
        if wanted is None or word in wanted:
            row = np.frombuffer(buffer, "<f4", n_components, space + 1)
            if not np.isfinite(row).all():
                raise ModelFileError(f"{where}, {word!r}, has a vector with a number that is not finite.")
            yield word, rank, row
        buffer = buffer[space + 1 + size :]


def _collect(entries, n_components, name):
    words, ranks, blocks, block = {}, [], [], []
    n_repeated = 0
    for word, rank, row in entries:
        if word in words:
            n_repeated += 1
            continue
        words[word] = len(words)
        ranks.append(rank)
        block.append(row)
        if len(block) == _LINES:
            blocks.append(np.stack(block))
            block = []
    if block:
        blocks.append(np.stack(block))
    if not words:
        raise ModelFileError(f"None of the wanted words is in {name!r}.")
    if n_repeated:
        warnings.warn(
            f"{n_repeated} words of {name!r} occur again; their first vectors are kept.", UserWarning, stacklevel=4
        )
    return list(words), np.array(ranks, np.int64), np.concatenate(blocks).astype(np.float32, copy=False)
