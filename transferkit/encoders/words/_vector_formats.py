"""The text and binary formats of word vectors, read into a table that grows."""

import warnings

import numpy as np

from transferkit.exceptions import ModelFileError, count_inner_frames

__all__ = [
    "VectorTable",
    "count_numbers",
    "read_binary",
    "read_text",
]

_SKIP = "errors='skip' leaves out what cannot be read."
_LINES = 1024  # lines parsed at a time
_BLANKS = b" \t\r\n"  # at the end of a line
_CHUNK = 1 << 20  # bytes read at a time
_LONGEST_WORD = 1 << 16  # bytes


class VectorTable:
    """Words, their ranks, and their vectors in one array that grows in place.

    `errors` says how to handle bytes that are invalid in the encoding; "skip" leaves out all entries that cannot be
    read. The name of the file is for messages.
    """

    def __init__(self, name, encoding, errors):
        self.name = name
        self._encoding = encoding
        self._skips = errors == "skip"
        self._errors = "strict" if self._skips else errors
        self._n_skipped = self._n_repeated = 0
        self._first_problem = self._wrong_count = None
        self._words = {}
        self._ranks = []

    def begin(self, n_components, most_rows, n_announced):
        """Allocate memory for the vectors: for `most_rows` of them, if that bound is known.

        `n_announced` is the number of words according to the header; None without a header.
        """
        self.n_components, self.n_announced = n_components, n_announced
        self._vectors = np.empty((most_rows or 0, n_components), np.float32)

    def decode(self, word, place, number):
        """Return a word as a str, or None to leave it out; `place` ("Line" or "Word") and `number` locate it."""
        try:
            return word.decode(self._encoding, self._errors)
        except UnicodeError:
            name = "UTF-8" if self._encoding.lower() in ("utf-8", "utf8") else self._encoding
        self.refuse(
            f"{place} {number} of {self.name!r} begins with a word that is not valid {name}: {word[:60]!r}.",
            "Give the encoding of the file, encoding='latin-1' for example, or errors='replace', 'ignore' or 'skip', "
            "which leaves such words out.",
        )
        return None

    def refuse(self, problem, remedy=_SKIP):
        """Raise ModelFileError about an entry that cannot be read, or count it with errors='skip'."""
        if not self._skips:
            raise ModelFileError(f"{problem} {remedy}")
        self._n_skipped += 1
        self._first_problem = self._first_problem or problem

    def refuse_count(self, problem):
        """Raise ModelFileError about a wrong number of words in the header, or note it with errors='skip'."""
        if not self._skips:
            raise ModelFileError(f"{problem} errors='skip' reads those that are there.")
        self._wrong_count = problem

    def add(self, words, ranks, rows):
        """Add the words of a block in the order of the file; of a repeated word the first row is kept."""
        new = []
        for place, (word, rank) in enumerate(zip(words, ranks, strict=True)):
            if word in self._words:
                self._n_repeated += 1
            else:
                self._words[word] = len(self._words)
                self._ranks.append(rank)
                new.append(place)
        end = len(self._words)
        if end > len(self._vectors):  # no reference check: the array is not shared yet
            self._vectors.resize((max(end, len(self._vectors) * 5 // 4), self.n_components), refcheck=False)
        self._vectors[end - len(new) : end] = rows if len(new) == len(rows) else rows[new]

    def finish(self):
        """Return words, ranks and vectors, and warn of entries that were left out."""
        left_out = ""
        if self._n_skipped:
            left_out = f"{self._n_skipped} lines or words of {self.name!r} could not be read. {self._first_problem}"
        left_out = " ".join(filter(None, [left_out, self._wrong_count]))
        if not self._words:
            raise ModelFileError(f"None of the wanted words is in {self.name!r}. {left_out}".rstrip())
        if left_out:
            warnings.warn(f"{left_out} What could be read is used.", UserWarning, stacklevel=count_inner_frames())
        if self._n_repeated:
            warnings.warn(
                f"{self._n_repeated} words of {self.name!r} occur again; their first vectors are kept.",
                UserWarning,
                stacklevel=count_inner_frames(),
            )
        self._vectors.resize((len(self._words), self.n_components), refcheck=False)
        return list(self._words), np.array(self._ranks, np.int64), self._vectors


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
    """Read lines after the header into a table; `wanted` is a set of words to keep, or None for all.

    `first_line` is the number of the first line in the file, `n_words` that of lines according to the header, if there
    is one.
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


def read_binary(file, table, n_words, wanted):
    """Read `n_words` vectors after the header into a table; `wanted` is a set of words to keep, or None for all."""
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
