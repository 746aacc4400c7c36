"""Estimators as plain data: JSON for their structure, named arrays for numbers.

A value is written as itself if JSON has it (None, bool, int, finite float, str, list), and otherwise as a node: an
object with one key, the kind of the value. The kinds are listed in docs/model-files.md.
"""

import functools
import math
import os
import zlib
from types import MethodType

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from transferkit.exceptions import ModelFileError, how_to_trust
from transferkit.persistence._allowed import (
    PATH_PARAMETERS,
    SESSION_ATTRIBUTES,
    Trusted,
    full_name,
    is_attribute_of,
    is_function,
    name_of_class,
)
from transferkit.persistence._bounds import Budget, is_out_of_proportion
from transferkit.persistence._container import STORABLE_DTYPES
from transferkit.persistence.protocols import HasFileState

__all__ = ["Packer", "get_state"]

_SMALLEST_DEFLATED = 1 << 12  # bytes of an array from which compressing it pays
_MOST_INFLATED = 32  # arrays that shrink more are stored as they are, so that the size of the file bounds the memory


class Packer:
    """Turns values into nodes; collects arrays and estimators, each once however often it occurs.

    `trusted` are the classes and functions that may be stored in addition to the allowed ones; `compress` compresses
    large arrays of integers. The attribute `arrays` holds arrays by name, `estimators` the class and state of each
    estimator, where an estimator follows those inside it.
    """

    def __init__(self, trusted=None, *, compress=False):
        self._compress = compress
        self._budget = Budget(math.inf)
        self._trusted = trusted or Trusted(None, "save")
        self.arrays = {}
        self.estimators = []
        self._names_of_arrays, self._names_of_deflated = {}, {}
        self._indices_of_estimators = {}
        self._alive = []  # ids stay unique only while their objects live

    def pack(self, value, where):
        """Return the node of a value; `where` is its place, for error messages."""
        if value is None or (isinstance(value, (bool, int, str)) and type(value).__module__ == "builtins"):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list:
            return self._pack_all(value, where)
        if type(value) is tuple:
            return {"tuple": self._pack_all(value, where)}
        if type(value) in (set, frozenset):
            return {"set": self._pack_all(sorted(value, key=repr), where)}
        if isinstance(value, dict):
            return {"dict": [[self.pack(k, where), self.pack(v, f"{where}[{k!r}]")] for k, v in value.items()]}
        if type(value) is slice:
            return {"slice": self._pack_all([value.start, value.stop, value.step], where)}
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        return self._pack_numpy(value, where)

    def check_size(self, n_bytes):
        """Raise ModelFileError if the values take too much memory for `load` to read them from a file of this size."""
        Budget(n_bytes).spend(self._budget.spent)

    def _pack_all(self, values, where):
        return [self.pack(value, f"{where}[{position}]") for position, value in enumerate(values)]

    def _pack_numpy(self, value, where):
        if isinstance(value, np.ndarray):
            return self._pack_array(value, where)
        if sparse.issparse(value) and value.format in ("csr", "csc"):
            kind = "array" if isinstance(value, sparse.sparray) else "matrix"
            parts = [self.pack(getattr(value, part), where) for part in ("data", "indices", "indptr")]
            self._budget.spend(sum(getattr(value, part).nbytes for part in ("data", "indices", "indptr")))
            return {"sparse": [value.format, kind, list(value.shape), *parts]}
        if isinstance(value, np.str_):
            return str(value)
        if isinstance(value, np.generic) and value.dtype in STORABLE_DTYPES:
            return {"number": [value.dtype.name, repr(value.item())]}
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return {"dtype": [np.dtype(value).name, isinstance(value, type)]}
        if is_function(value) or isinstance(value, functools.partial):
            return {"function": self._name_function(value, where)}
        return self._pack_estimator(value, where)

    def _pack_array(self, array, where):
        if self._compress and array.dtype.kind in "iu" and array.nbytes >= _SMALLEST_DEFLATED:
            name = self._add_deflated(array)
            if name is not None:
                return {"deflated": [array.dtype.name, list(array.shape), name]}
        if array.dtype in STORABLE_DTYPES:
            return {"transposed" if array.flags.fnc else "array": self._add_array(array)}
        if array.dtype.kind in "UO" and all(type(item) in (str, np.str_) for item in array.flat):
            texts = [str(item).encode("utf-8", "surrogatepass") for item in array.flat]
            ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
            if array.dtype.kind == "U" and is_out_of_proportion(len(texts), array.itemsize // 4, ends[-1:].sum()):
                raise _cannot_store(
                    array, where, "one long string in an array of many short ones takes too much memory"
                )
            text = np.frombuffer(b"".join(texts), np.uint8)
            self._budget.spend_on_strings(len(texts), len(text))
            self._budget.spend(array.nbytes)
            return {"strings": [array.dtype.kind, list(array.shape), self._add_array(text), self._add_array(ends)]}
        if array.dtype.kind == "O":
            return {"items": [list(array.shape), self._pack_all(list(array.flat), where)]}
        raise _cannot_store(array, where, f"arrays of {array.dtype} cannot be stored")

    def _add_deflated(self, array):
        """Return the name of the compressed array, or None if decompressing it would need too much memory."""
        if id(array) not in self._names_of_deflated:
            stream = np.frombuffer(zlib.compress(array.tobytes()), np.uint8)
            fits = array.nbytes <= _MOST_INFLATED * len(stream)
            self._names_of_deflated[id(array)] = self._add_array(stream) if fits else None
            self._budget.spend(array.nbytes if fits else 0)
            self._alive.append(array)
        elif self._names_of_deflated[id(array)] is not None:
            self._budget.spend_on_repeat(array)
        return self._names_of_deflated[id(array)]

    def _add_array(self, array):
        if id(array) not in self._names_of_arrays:
            self._names_of_arrays[id(array)] = name = str(len(self.arrays))
            # Fortran order is chosen so that products need no copy: storing the transpose keeps it
            self.arrays[name] = array.T if array.flags.fnc else array
            self._alive.append(array)
        else:
            self._budget.spend_on_repeat(array)
        return self._names_of_arrays[id(array)]

    def _name_function(self, function, where):
        """Return the import path of a function that the caller trusts; raise ModelFileError if it has none."""
        kind = type(function).__name__
        if isinstance(function, (functools.partial, MethodType)):
            raise ModelFileError(
                f"{where} is a {kind}, and a model file holds only the import paths of functions. Write a function of "
                "a module that calls it, or save the model with joblib.dump instead."
            )
        path = full_name(function)
        if path.startswith("__main__.") or "<" in path:
            origin = "of __main__" if path.startswith("__main__.") else "that cannot be imported"
            raise ModelFileError(
                f"{where} is a {kind} {origin} ({path}), and a model file holds only the import paths of functions. "
                "Define it with 'def' at the top level of a module, and name it in trusted=[...]; or save the "
                "model with joblib.dump instead."
            )
        name = self._trusted.name_of_function(function)
        if name is None:
            raise ModelFileError(
                f"{where} is a {kind}. A model file can hold its import path if that imports this very function and "
                f"whoever loads the file trusts it: save(..., trusted=[{path!r}]), and the same in load."
            )
        return name

    def _pack_estimator(self, value, where):
        if id(value) not in self._indices_of_estimators:
            cls = type(value)
            name = name_of_class(cls) or self._trusted.name_of(cls)
            state = get_state(value) if name is not None else None
            if not isinstance(state, dict):
                reason = "only plain data and estimators whose state is plain arrays can be stored"
                raise _cannot_store(value, where, reason)
            for key in state:
                if not is_attribute_of(cls, key):
                    raise ModelFileError(
                        f"{where}.{key} is not an attribute that {cls.__name__} declares, so it cannot be stored in "
                        "a model file. Delete it, or save it with the model: save(..., card={...})."
                    )
            packed = {key: self.pack(item, f"{where}.{key}") for key, item in state.items()}
            self._budget.spend_on_estimator()
            self._indices_of_estimators[id(value)] = len(self.estimators)
            self.estimators.append({"class": name, "state": packed})
            self._alive.append(value)
        return {"estimator": self._indices_of_estimators[id(value)]}


def get_state(estimator):
    """Return the parameters and fitted attributes of an estimator that belong in a file."""
    # asked of the class, because an instance of scikit-learn's FrozenEstimator has the methods of the one inside it
    state = estimator.get_file_state() if issubclass(type(estimator), HasFileState) else estimator.__getstate__()
    if not isinstance(state, dict):
        return state
    state = {key: item for key, item in state.items() if key not in SESSION_ATTRIBUTES}
    if isinstance(state.get("memory"), (str, os.PathLike)):
        state["memory"] = None  # a folder of this machine
    if type(estimator).__module__.startswith("transferkit."):
        from transferkit.persistence._model_file import load_shared  # here, because it imports this module

        for name, value in state.items():
            if isinstance(value, os.PathLike) or (name in PATH_PARAMETERS and isinstance(value, str)):
                state[name] = load_shared(value)
    return state


def _cannot_store(value, where, reason):
    advice = "Save it with joblib.dump or skops.io.dump instead."
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        advice = "If it is random, give random_state as an int."
    elif isinstance(value, BaseEstimator):
        advice += f" If its state is arrays and plain data, name it: {how_to_trust(full_name(type(value)))}."
    return ModelFileError(f"{where} is a {type(value).__name__}, and {reason} in a model file. {advice}")
