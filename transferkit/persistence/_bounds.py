"""How much memory a model file may ask for: what it claims is checked before anything is computed or allocated."""

import math

import numpy as np

from transferkit.exceptions import ModelFileError

SMALL = 1 << 26  # bytes that need not stand in proportion to the file
_PROPORTION = 64  # bytes in memory for each byte of the file
_JSON_SMALL, _JSON_PROPORTION = SMALL // 2, _PROPORTION // 4  # the same for lists and objects of the header
_LIST, _OBJECT = 64, 192  # bytes of a list and of an object of one key, with its place in another
_STRING = 64  # bytes of a short string
_COPIES = 4  # what an estimator may make of an array that it holds, in sizes of the array
_ESTIMATOR = 2048  # bytes of one that says nothing and has default parameters
_MOST_DIMENSIONS = 64  # as NumPy
_FEW_KEYS = 1000


class Budget:
    """Counts the memory that the values of a file take beyond the file itself.

    Parameters
    ----------
    n_bytes : int
        Size of the file.
    """

    def __init__(self, n_bytes):
        self.n_bytes = n_bytes
        self.spent = 0

    def spend(self, n_bytes):
        """Count bytes that are about to be allocated; raise ModelFileError where they are too many."""
        self.spent += int(n_bytes)
        if self.spent > max(SMALL, _PROPORTION * self.n_bytes):
            raise ModelFileError(
                f"The values of the model file would take more than {max(SMALL, _PROPORTION * self.n_bytes) >> 20} MB "
                f"of memory, out of proportion to its {self.n_bytes:,} bytes."
            )

    def spend_on_json(self, cost):
        """Count lists and objects twice: as they are read, and as the values that they stand for."""
        self.spend(2 * cost)

    def spend_on_strings(self, n_texts, n_bytes):
        """Count strings of so many bytes of UTF-8, which have up to four bytes for each character."""
        self.spend(_STRING * n_texts + 4 * n_bytes)

    def spend_on_repeat(self, array):
        """Count an array that is met again: whoever holds it may make copies of it."""
        self.spend(_COPIES * array.nbytes)

    def spend_on_estimator(self):
        """Count an estimator."""
        self.spend(_ESTIMATOR)


def cost_of_json(text):
    """Return a bound on the bytes that the lists and objects of JSON data take, from their brackets alone.

    Strings and numbers take no more than 16 bytes for each of theirs.
    """
    brace, bracket = (b"{", b"[") if isinstance(text, bytes) else ("{", "[")
    return _OBJECT * text.count(brace) + _LIST * text.count(bracket)


def check_json(text, n_bytes):
    """Return the cost of JSON data in a file of so many bytes; raise ModelFileError where it is out of proportion."""
    cost = cost_of_json(text)
    if cost > max(_JSON_SMALL, _JSON_PROPORTION * n_bytes):
        raise ModelFileError(
            f"The model file's header holds too many lists and objects: {cost >> 20} MB of them in a file of "
            f"{n_bytes:,} bytes."
        )
    return cost


def is_out_of_proportion(n_texts, longest, n_bytes):
    """Return whether an array of strings, each as long as the longest, is much larger than its text."""
    return 4 * n_texts * longest > max(SMALL, _PROPORTION * int(n_bytes))


def is_shape(shape):
    """Return whether a value is a shape that NumPy could have: a short list of integers that are not negative."""
    return (
        type(shape) is list
        and len(shape) <= _MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size < 1 << 63 for size in shape)
    )


def count_entries(shape):
    """Return the number of entries of an array of that shape; raise ValueError if it is none."""
    if not is_shape(shape):
        raise ValueError("a shape must be a list of a few integers that are not negative")
    return math.prod(shape)


def check_ends(ends, n_texts, n_bytes):
    """Raise ValueError unless `n_texts` strings end where `ends` says, one after the other, in `n_bytes` of text."""
    fits = ends.dtype.kind in "iu" and ends.shape == (n_texts,)
    if not fits or (np.diff(ends.astype(np.int64), prepend=0) < 0).any():
        raise ValueError("the ends of strings must ascend, one for each string")
    if n_bytes != (int(ends[-1]) if n_texts else 0):
        raise ValueError("the last string must end where the text ends")


def check_keys(keys):
    """Raise ValueError for keys that were chosen to have the same hash, which would take a dict or set very long."""
    if len(keys) > _FEW_KEYS and 2 * len(set(map(hash, keys))) < len(keys):
        raise ValueError("too many keys have the same hash")
