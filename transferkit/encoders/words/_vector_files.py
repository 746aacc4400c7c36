"""Word vectors of files of word2vec, GloVe and fastText and of other packages, compared with how texts are split."""

import codecs
import gzip
import os
import re
import warnings
import zlib
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from transferkit.encoders.words._vector_formats import VectorTable, count_numbers, read_binary, read_text
from transferkit.exceptions import ModelFileError, count_inner_frames

__all__ = [
    "read_vectors",
    "read_words_of",
    "shares_of_counts",
    "warn_of_words_no_text_gives",
]

_LONGEST_LINE = 1 << 24  # bytes: a longer one is cut and then rejected
_MOST_DIGITS = 19  # of a number in a header: with fewer, it fits into 64 bits
_MOST_COMPONENTS = 1_000_000
_PEEK = 4096
_ERRORS = ("strict", "replace", "ignore", "skip")
_MARKUP = b"\t\n\r 0123456789+-.einfaNIFAE"  # bytes around the words of a file
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85")
_UNPACK = "Unpack it, and give the file that holds the vectors as text."
_KINDS = [  # pattern of the first bytes, kind of file, advice
    (rb"PK\x03\x04", "a zip archive, as .zip, .npz and .pt files are", _UNPACK),
    (rb"BZh[1-9]1AY&SY", "compressed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\0", "compressed by xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by Zstandard", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"(?s:.{257})ustar", "a tar archive", _UNPACK),
    (
        rb"\xba\x16\x4f\x2f",
        "a model of fastText (.bin)",
        "Give the .vec file that belongs to it, or load it by gensim.models.fasttext.load_facebook_vectors and use "
        "WordVectorEncoder.from_gensim.",
    ),
    (
        rb"\x80[\x02-\x05]",
        "a Python pickle, as gensim's .kv and .model files are",
        "Load it by gensim.models.KeyedVectors.load (or Word2Vec.load) and use WordVectorEncoder.from_gensim.",
    ),
    (
        rb"\x93NUMPY",
        "a NumPy array (.npy), which holds no words",
        "Give a text file of words and numbers.",
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", "Write its words and vectors to a text file."),
    (
        rb"SQLite format 3\0",
        "an SQLite database, as Magnitude's files are",
        "Give the vectors that it was converted from.",
    ),
    (
        rb"(?s:.{4})\0{4}\{\"",
        "a safetensors or transferkit model file",
        "transferkit.load reads models of transferkit.",
    ),
    (
        rb"(?i)\s*<(!doctype\s+html|html>|html\s+\w+=)",
        "a web page (HTML)",
        "The download failed: open the address in a browser, and download the file itself.",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS in place of the file", "Run 'git lfs pull' to download it."),
    (rb"\xff\xfe|\xfe\xff", "text in UTF-16", "Save it as UTF-8."),
]
_N_BYTES = 512  # enough for all patterns
_N_SAMPLED = 1000  # words
_REMEDY = (
    "Set token_pattern=r'\\S+' if spaces separate the words of texts, else tokenizer=... to a function that splits "
    "a text into such words; and check strip_accents and stemmer."
)


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
    kind = _describe_kind(file.peek(_N_BYTES)[:_N_BYTES])
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


def _describe_kind(start: bytes) -> str | None:
    """Return the kind of a file that begins with these bytes, with advice; None if it may hold word vectors."""
    for pattern, kind, remedy in _KINDS:
        if re.match(pattern, start):
            return f"It is {kind}. {remedy}"
    return None


def read_words_of(texts, analyze, path, **reading):
    """Read the vectors of some words, and of the words of some texts; `reading` are options of `read_vectors`.

    `analyze` splits a text into words. If the file has none of the words, but words that `analyze` splits differently,
    a ValueError names one; otherwise it is a ModelFileError.
    """
    wanted = {word for text in texts for word in [text, *analyze(text)]}
    try:
        return read_vectors(path, wanted, **reading)
    except ModelFileError as error:
        others = {piece for text in texts for piece in [*text.split(), *text]} - wanted
        found = _find_first(path, others, reading)
        if found is None:
            raise
        raise ValueError(
            f"Words of restrict_to are in {os.fspath(path)!r}, {found!r} for example, but the tokens of its "
            f"texts are not. {_REMEDY}"
        ) from error


def _find_first(path, words, reading):
    try:
        with warnings.catch_warnings(action="ignore"):
            return read_vectors(path, words, **reading)[0][0] if words else None
    except ModelFileError:
        return None


def warn_of_words_no_text_gives(words, analyze):
    """Warn if most of the first, and so most frequent, words are split into other tokens when they occur in a text."""
    first = words[:_N_SAMPLED]
    lost = [word for word in first if [token.lower() for token in analyze(word)] != [word.lower()]]
    if len(lost) > len(first) / 2:
        examples = ", ".join(map(repr, lost[:3]))
        warnings.warn(
            f"{len(lost)} of the first {len(first)} words cannot be found in texts, because they are split into "
            f"other tokens: {examples}. {_REMEDY}",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def shares_of_counts(counts, n_words):
    """Return the shares of words up to a factor: gensim's counts if they are real, else 1 / rank (Zipf's law)."""
    counts = np.empty(0) if counts is None else np.asarray(counts, np.float64)
    ranks = np.arange(1, n_words + 1)
    if len(counts) != n_words or not (counts > 0).all() or np.array_equal(counts, ranks[::-1]):
        return 1.0 / ranks
    return counts
