"""The binary form of word2vec's files: after a header, each word, a space, and its numbers as float32."""

import numpy as np

from transferkit.exceptions import ModelFileError

_CHUNK = 1 << 20  # bytes that are read at a time
_LONGEST_WORD = 1 << 16  # bytes


def read_binary(file, table, n_words, decode, wanted):
    """Read all vectors that a header announces into a table.

    Parameters
    ----------
    file : binary file
        Open behind the header.
    table : VectorTable
        Takes the vectors.
    n_words : int
        Number of words to read.
    decode : callable
        From the bytes of a word, and the words that name its place, to a str.
    wanted : set of str or None
        Words to keep; None keeps all.
    """
    size = 4 * table.n_components
    buffer, rank = b"", 0
    while rank < n_words:
        words, ranks, starts = [], [], []
        position = 0
        while rank < n_words:
            space = buffer.find(b" ", position, position + _LONGEST_WORD)
            if space < 0 or space + 1 + size > len(buffer):
                break
            rank += 1
            word = decode(buffer[position:space].lstrip(b"\n"), f"Word {rank} of {table.name!r}")
            if wanted is None or word in wanted:
                words.append(word)
                ranks.append(rank)
                starts.append(space + 1)
            position = space + 1 + size
        if starts:
            _add(table, words, ranks, _gather(buffer, starts, size))
        more = file.read(_CHUNK) if rank < n_words else b""
        if rank < n_words and (not more or (space < 0 and len(buffer) - position > _LONGEST_WORD)):
            raise ModelFileError(
                f"Word {rank + 1} of {table.name!r} is cut off: the header announces {n_words} words of length "
                f"{table.n_components}."
            )
        buffer = buffer[position:] + more


def _gather(buffer, starts, size):
    """Return the float32 numbers that begin at these places of a buffer, copied in one step."""
    at_each_byte = np.ndarray(len(buffer) - size + 1, f"V{size}", buffer, strides=(1,))
    return at_each_byte[starts].view("<f4").reshape(len(starts), -1)


def _add(table, words, ranks, rows):
    is_finite = np.isfinite(rows).all(axis=1)
    if not is_finite.all():
        bad = int(np.argmin(is_finite))
        raise ModelFileError(
            f"Word {ranks[bad]} of {table.name!r}, {words[bad]!r}, has a vector with a number that is not finite."
        )
    table.add(words, ranks, rows)
