"""Models that are loaded once per process."""

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import joblib

from transferkit.exceptions import ModelFileError
from transferkit.persistence._allowed import Trusted
from transferkit.persistence._model_file import load

__all__ = ["is_pickle", "load_shared"]

_MOST_FILES = 16
_loaded: OrderedDict = OrderedDict()
_lock = Lock()


def load_shared(path, trusted=None):
    """Return the estimator in a file, which is loaded once per process as long as the file does not change.

    Parameters
    ----------
    path : str or path
        A model file. Files ending in ``.joblib``, ``.pkl`` or ``.pickle`` are loaded by joblib, which runs their code.
    trusted : list of str, class or function, default=None
        Other classes, functions and sentence models that a model file may name, as in :func:`transferkit.load`. A
        file is loaded once per such list: the trust of one caller does not extend to another.

    Returns
    -------
    estimator : estimator
        The same object for all callers.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or not a model file, or names something that is not trusted.
    """
    path = Path(path)
    names = Trusted(trusted, "load").names
    try:
        status = path.stat()
    except OSError:
        raise ModelFileError(f"There is no model file {os.fspath(path)!r}.") from None
    key = (path.resolve(), status.st_ino, status.st_mtime_ns, status.st_size, names)
    with _lock:  # two threads must not load the same file twice
        if key not in _loaded:
            _loaded[key] = _load_pickled(path) if is_pickle(path) else load(path, trusted=trusted)
        _loaded.move_to_end(key)
        while len(_loaded) > _MOST_FILES:
            _loaded.popitem(last=False)
        return _loaded[key]


def is_pickle(path):
    """Return whether the name of a file is that of a joblib or pickle file."""
    return Path(path).suffix in (".joblib", ".pkl", ".pickle")


def _load_pickled(path):
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling damaged bytes can raise anything
        raise ModelFileError(f"The file {os.fspath(path)!r} could not be loaded by joblib: {error!r}.") from error
