"""Warnings that refer to the line of the user."""

import sys

__all__ = ["count_inner_frames"]

_INNER = ("transferkit", "sklearn", "contextlib")  # the last for functions decorated with a context


def count_inner_frames() -> int:
    """Return the `stacklevel` with which a warning of the caller refers to the user's line.

    The number of scikit-learn's wrappers in between differs from method to method.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _INNER:
        level, frame = level + 1, frame.f_back
    return level
