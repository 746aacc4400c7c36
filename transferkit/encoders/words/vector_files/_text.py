"""The text format of word vectors: a word and its numbers per line."""

import numpy as np

__all__ = ["count_numbers", "read_text"]

_LINES = 1024  # lines parsed at a time
_BLANKS = b" \t\r\n"  # at the end of a line


def count_numbers(line):
    """Return the number of numbers after the word of a line; the word may contain spaces if a tab ends it."""
    line = line.rstrip(_BLANKS)
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


def read_text(lines, table, wanted, first_line, n_words):
    """Read lines into a table.

    Parameters
    ----------
    lines : iterable of bytes
        Lines after the header.
    table : VectorTable
        Table that the vectors are added to.
    wanted : set of str or None
        Words to keep; None keeps all.
    first_line : int
        Number in the file of the first line, from 1.
    n_words : int or None
        Number of lines according to the header; None without a header.
    """
    n_read, n_empty, pending = 0, 0, []
    for number, line in enumerate(lines, first_line):
        fields = line.rstrip(_BLANKS)
        if not fields:  # allowed at the end of the file
            n_empty += 1
            continue
        for empty in range(number - n_empty, number):
            table.refuse(f"Line {empty} of {table.name!r} is empty.")
        n_read, n_empty = n_read + 1, 0
        word, numbers = _split(fields, table, number)
        word = None if word is None else table.decode(word, "Line", number)
        if word is not None and (wanted is None or word in wanted):
            pending.append((word, number - first_line + 1, numbers, number))
        if len(pending) == _LINES:
            _parse(pending, table)
            pending = []
    _parse(pending, table)
    if n_words is not None and n_read != n_words:
        table.refuse_count(
            f"The header of {table.name!r} announces {table.n_announced} words, but {n_read} lines follow."
        )


def _split(fields, table, number):
    """Return the bytes of the word and of the numbers of a line, or (None, None) to leave it out."""
    word, _, numbers = fields.partition(b"\t" if b"\t" in fields else b" ")
    numbers = numbers.replace(b"\t", b" ").lstrip(b" ")
    if numbers and numbers.count(b" ") == table.n_components - 1:
        return word, numbers
    fields = fields.replace(b"\t", b" ")
    parts = fields.rsplit(b" ", table.n_components)  # a word may hold spaces
    n_numbers = len(parts) - 1
    if n_numbers == table.n_components:
        if not _is_number(parts[0].rpartition(b" ")[2]):
            return parts[0].rstrip(b" "), b" ".join(parts[1:])
        n_numbers = fields.count(b" ")
    table.refuse(
        f"Line {number} of {table.name!r} must hold a word and {table.n_components} numbers. Got {n_numbers} numbers."
    )
    return None, None


def _parse(pending, table):
    """Parse the numbers of some lines together and add them to a table."""
    if not pending:
        return
    words, ranks, texts, numbers = zip(*pending, strict=True)
    try:
        rows = _to_numbers(texts, table.n_components)
    except ValueError as error:
        if len(pending) == 1:
            table.refuse(f"Line {numbers[0]} of {table.name!r} must hold a word and numbers: {error}.")
            return
        middle = len(pending) // 2  # bisect to find the malformed line
        _parse(pending[:middle], table)
        _parse(pending[middle:], table)
    else:
        table.add(words, ranks, rows)


def _to_numbers(lines, n_components):
    texts = [line.decode("ascii") for line in lines]
    rows = np.loadtxt(texts, dtype=np.float32, delimiter=" ", comments=None, ndmin=2)
    if rows.shape != (len(lines), n_components):
        raise ValueError(f"{rows.shape[1] if rows.size else 0} numbers instead of {n_components}")
    if not np.isfinite(rows).all():
        raise ValueError("a number is not finite")
    return rows
