"""Models that read the files named by their input: whoever sends input to them chooses the files."""

import functools
from types import MethodType, ModuleType

import numpy as np

from transferkit.persistence._unpack import has_file_input

__all__ = ["reads_files"]


def reads_files(model) -> bool:
    """Return whether predicting with a model reads files named by its input.

    Parameters
    ----------
    model : estimator
        A model of any class and origin; estimators and other objects inside it are examined as well.

    Returns
    -------
    reads : bool
        True if a part has ``input="filename"`` or ``input="file"``, parameters of TfidfEncoder and scikit-learn's text
        vectorizers.
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
