"""Loaded files that a process shares, and names for what an estimator has learned."""

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from weakref import WeakKeyDictionary

import joblib
from sklearn.base import BaseEstimator

from transferkit.exceptions import ModelFileError
from transferkit.persistence._model_file import load

_MOST_FILES = 16
_loaded = OrderedDict()
_fingerprints = WeakKeyDictionary()
_lock = Lock()


def load_shared(path):
    """Return the estimator in a file, loaded once a process for as long as the file stays the same.

    Parameters
    ----------
    path : str or path
        A model file; names ending in ``.joblib``, ``.pkl`` or ``.pickle`` are loaded by joblib, which runs their code.

    Returns
    -------
    estimator : estimator
        The one object that all callers share.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or foreign.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError:
        raise ModelFileError(f"There is no model file {os.fspath(path)!r}.") from None
    key = (path.resolve(), status.st_ino, status.st_mtime_ns, status.st_size)
    with _lock:  # two threads must not load the same file twice
        if key not in _loaded:
            _loaded[key] = _load_pickled(path) if path.suffix in (".joblib", ".pkl", ".pickle") else load(path)
        _loaded.move_to_end(key)
        while len(_loaded) > _MOST_FILES:
            _loaded.popitem(last=False)
        return _loaded[key]


def _load_pickled(path):
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling damaged bytes can raise anything
        raise ModelFileError(f"The file {os.fspath(path)!r} could not be loaded by joblib: {error!r}.") from error


def fingerprint(estimator):
    """Return a digest of an estimator's parameters and fitted state.

    Parameters
    ----------
    estimator : estimator
        Any fitted estimator that can be pickled.

    Returns
    -------
    digest : str
        Equal for equal state; computed again only when an attribute of the estimator, or of one inside it, was
        set since. (Arrays changed in place go unnoticed: fit and partial_fit must set new ones.)
    """
    leaves = list(_leaves(estimator))
    known = _fingerprints.get(estimator)
    if known is None or len(known[0]) != len(leaves) or any(a is not b for a, b in zip(known[0], leaves, strict=True)):
        known = _fingerprints[estimator] = (leaves, joblib.hash(estimator))
    return known[1]


def _leaves(value):
    """Yield the values that an estimator is made of, those of inner estimators included."""
    if isinstance(value, BaseEstimator):
        for item in vars(value).values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)) and len(value) < 1000:
        for item in value:
            yield from _leaves(item)
    else:
        yield value
