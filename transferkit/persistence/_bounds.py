"""Bounds on the memory that a model file may request, checked before anything is computed or allocated."""

import math

import numpy as np

from transferkit.exceptions import ModelFileError

__all__ = [
    "SMALL",
    "Budget",
    "check_ends",
    "check_json",
    "check_keys",
    "cost_of_json",
    "count_entries",
    "is_out_of_proportion",
    "is_shape",
]

SMALL = 1 << 26  # bytes that any file may request, whatever its size
_PROPORTION = 64  # bytes in memory per byte of the file
_JSON_SMALL, _JSON_PROPORTION = SMALL // 2, _PROPORTION // 4  # the same for lists and objects of the header
_LIST, _OBJECT = 64, 192  # bytes of a list and of an object of one key, with the reference to it
_STRING = 64  # bytes of a short string
_COPIES = 4  # memory that an estimator may need for copies of one of its arrays, in sizes of the array
_ESTIMATOR = 2048  # bytes of an estimator with default parameters
_MOST_DIMENSIONS = 64  # NumPy's limit
_FEW_KEYS = 1000  # up to this number, keys may all have the same hash


class Budget:
    """Count the memory that the values of a file of `n_bytes` bytes take beyond the file itself."""

    def __init__(self, n_bytes):
        self.n_bytes = n_bytes
        self.spent = 0

    def spend(self, n_bytes):
        """Count bytes that are about to be allocated; raise ModelFileError if they are too many."""
        self.spent += int(n_bytes)
        if self.spent > max(SMALL, _PROPORTION * self.n_bytes):
            raise ModelFileError(
                f"The values of the model file would take more than {max(SMALL, _PROPORTION * self.n_bytes) >> 20} MB "
                f"of memory, out of proportion to its {self.n_bytes:,} bytes."
            )

    def spend_on_json(self, cost):
        """Count lists and objects twice: as parsed JSON, and as the values that they represent."""
        self.spend(2 * cost)

    def spend_on_strings(self, n_texts, n_bytes):
        """Count strings of `n_bytes` bytes of UTF-8, which take up to four bytes per character in memory."""
        self.spend(_STRING * n_texts + 4 * n_bytes)

    def spend_on_repeat(self, array):
        """Count another occurrence of an array, of which its estimator may make copies."""
        self.spend(_COPIES * array.nbytes)

    def spend_on_estimator(self):
        """Count an estimator."""
        self.spend(_ESTIMATOR)


def cost_of_json(text):
    """Return a bound on the bytes that the lists and objects of JSON data take, from their brackets alone.

    Strings and numbers take at most 16 bytes per byte of JSON.
    """
    brace, bracket = (b"{", b"[") if isinstance(text, bytes) else ("{", "[")
    return _OBJECT * text.count(brace) + _LIST * text.count(bracket)


def check_json(text, n_bytes):
    """Return the cost of JSON data in a file of `n_bytes` bytes; raise ModelFileError if it is out of proportion."""
    cost = cost_of_json(text)
    if cost > max(_JSON_SMALL, _JSON_PROPORTION * n_bytes):
        raise ModelFileError(
            f"The model file's header holds too many lists and objects: {cost >> 20} MB of them in a file of "
            f"{n_bytes:,} bytes."
        )
    return cost


def is_out_of_proportion(n_texts, longest, n_bytes):
    """Return whether an array of strings, each allocated the length of the longest, is much larger than its text."""
    return 4 * n_texts * longest > max(SMALL, _PROPORTION * int(n_bytes))


def is_shape(shape):
    """Return whether a value is a valid shape of a NumPy array: a short list of non-negative integers."""
    return (
        type(shape) is list
        and len(shape) <= _MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size < 1 << 63 for size in shape)
    )


def count_entries(shape):
    """Return the number of entries of an array of this shape; raise ValueError if it is not a shape."""
    if not is_shape(shape):
        raise ValueError("a shape must be a short list of non-negative integers")
    return math.prod(shape)


def check_ends(ends, n_texts, n_bytes):
    """Raise ValueError unless `ends` are the ascending ends of `n_texts` strings in `n_bytes` bytes of text."""
    fits = ends.dtype.kind in "iu" and ends.shape == (n_texts,)
    if not fits or (np.diff(ends.astype(np.int64), prepend=0) < 0).any():
        raise ValueError("the ends of strings must ascend, one per string")
    if n_bytes != (int(ends[-1]) if n_texts else 0):
        raise ValueError("the last string must end where the text ends")


def check_keys(keys):
    """Raise ValueError for keys chosen to have the same hash, which make a dict or set very slow."""
    if len(keys) > _FEW_KEYS and 2 * len(set(map(hash, keys))) < len(keys):
        raise ValueError("too many keys have the same hash")
