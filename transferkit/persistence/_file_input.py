"""Models whose input names files: predicting for others would open whatever these name."""

import functools
from types import MethodType, ModuleType

import numpy as np


def reads_files(model) -> bool:
    """Return whether predicting with a model reads files that its input names.

    Parameters
    ----------
    model : estimator
        Of any class, from wherever it was loaded; estimators and other objects inside it are looked at as well.

    Returns
    -------
    reads : bool
        True where a part takes ``input="filename"`` or ``input="file"``, as TfidfEncoder and scikit-learn's text
        vectorizers may.
    """
    seen, waiting = set(), [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (str, bytes, int, float, type, ModuleType, type(None))) or id(value) in seen:
            continue
        seen.add(id(value))
        if has_file_input(_attributes_of(value)):
            return True
        waiting += _parts_of(value)
    return False


def has_file_input(state):
    """Return whether the attributes of one estimator say that its input names files.

    Parameters
    ----------
    state : dict of str to object
        Parameters and fitted attributes.

    Returns
    -------
    has : bool
        Also where `input` is an array, which compares equal to what it holds.
    """
    kind = state.get("input")
    return isinstance(kind, np.ndarray) or (isinstance(kind, str) and kind in ("filename", "file"))


def _attributes_of(value):
    attributes = getattr(value, "__dict__", None)
    return attributes if isinstance(attributes, dict) else {}


def _parts_of(value):
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, np.ndarray):
        return list(value.flat) if value.dtype.kind == "O" else ()
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    return [value.__self__] if isinstance(value, MethodType) else _attributes_of(value).values()
