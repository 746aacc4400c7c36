"""The binary word2vec format: a header, then each word, a space, and its vector as float32."""

import numpy as np

__all__ = ["read_binary"]

_CHUNK = 1 << 20  # bytes read at a time
_LONGEST_WORD = 1 << 16  # bytes


def read_binary(file, table, n_words, wanted):
    """Read the vectors after the header into a table.

    Parameters
    ----------
    file : binary file
        File positioned after the header.
    table : VectorTable
        Table that the vectors are added to.
    n_words : int
        Number of words to read.
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
            word = table.decode(buffer[position:space].lstrip(b"\n"), "Word", rank)
            if word is not None and (wanted is None or word in wanted):
                words.append(word)
                ranks.append(rank)
                starts.append(space + 1)
            position = space + 1 + size
        if starts:
            _add(table, words, ranks, _gather(buffer, starts, size))
        more = file.read(_CHUNK) if rank < n_words else b""
        if rank < n_words and (not more or (space < 0 and len(buffer) - position > _LONGEST_WORD)):
            table.refuse_count(
                f"Word {rank + 1} of {table.name!r} is cut off: the header announces {table.n_announced} words of "
                f"length {table.n_components}."
            )
            return
        buffer = buffer[position:] + more


def _gather(buffer, starts, size):
    """Return the float32 numbers that begin at these places of a buffer, copied in one step."""
    at_each_byte = np.ndarray(len(buffer) - size + 1, f"V{size}", buffer, strides=(1,))
    return at_each_byte[starts].view("<f4").reshape(len(starts), -1)


def _add(table, words, ranks, rows):
    is_finite = np.isfinite(rows).all(axis=1)
    if is_finite.all():
        table.add(words, ranks, rows)
        return
    for bad in np.flatnonzero(~is_finite):
        table.refuse(
            f"Word {ranks[bad]} of {table.name!r}, {words[bad]!r}, has a vector with a number that is not finite."
        )
    good = np.flatnonzero(is_finite)
    table.add([words[k] for k in good], [ranks[k] for k in good], rows[good])
