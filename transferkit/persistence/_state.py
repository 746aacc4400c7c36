"""Estimators as plain data: JSON for structure, named arrays for numbers.

A value is written as itself when JSON has it (None, bool, int, finite float, str, list), and otherwise as an object
with one key that says what it is; docs/model-files.md lists them.
"""

import math
import os
from inspect import signature

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from transferkit.exceptions import ModelFileError
from transferkit.persistence._allowed import class_of_name, name_of_class
from transferkit.persistence._container import STORABLE_DTYPES

# What a session attaches to an estimator and a model does not need: callbacks, metadata routing requests.
_SESSION_KEYS = frozenset({"_sklearn_version", "_skl_callbacks", "_parent_callback_ctx", "_metadata_request"})
_SPARSE_FORMATS = {
    ("csr", "matrix"): sparse.csr_matrix,
    ("csr", "array"): sparse.csr_array,
    ("csc", "matrix"): sparse.csc_matrix,
    ("csc", "array"): sparse.csc_array,
}


class Packer:
    """Turns values into nodes; collects arrays and estimators, each once however often it is met."""

    def __init__(self):
        self.arrays = {}
        self.estimators = []
        self._names_of_arrays = {}
        self._indices_of_estimators = {}
        self._alive = []  # ids stay unique only while their objects live

    def pack(self, value, where):
        """Return the node of a value; `where` names its place for error messages."""
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

    def _pack_all(self, values, where):
        return [self.pack(value, f"{where}[{position}]") for position, value in enumerate(values)]

    def _pack_numpy(self, value, where):
        if isinstance(value, np.ndarray):
            return self._pack_array(value, where)
        if sparse.issparse(value) and value.format in ("csr", "csc"):
            kind = "array" if isinstance(value, sparse.sparray) else "matrix"
            parts = [self.pack(getattr(value, part), where) for part in ("data", "indices", "indptr")]
            return {"sparse": [value.format, kind, list(value.shape), *parts]}
        if isinstance(value, np.str_):
            return str(value)
        if isinstance(value, np.generic) and value.dtype in STORABLE_DTYPES:
            return {"number": [value.dtype.name, repr(value.item())]}
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return {"dtype": [np.dtype(value).name, isinstance(value, type)]}
        return self._pack_estimator(value, where)

    def _pack_array(self, array, where):
        if array.dtype in STORABLE_DTYPES:
            return {"transposed" if array.flags.fnc else "array": self._add_array(array)}
        if array.dtype.kind in "UO" and all(type(item) in (str, np.str_) for item in array.flat):
            texts = [str(item).encode("utf-8", "surrogatepass") for item in array.flat]
            ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
            text = np.frombuffer(b"".join(texts), np.uint8)
            return {"strings": [array.dtype.kind, list(array.shape), self._add_array(text), self._add_array(ends)]}
        if array.dtype.kind == "O":
            return {"items": [list(array.shape), self._pack_all(list(array.flat), where)]}
        raise _refuse(array, where, f"arrays of {array.dtype} cannot be stored")

    def _add_array(self, array):
        if id(array) not in self._names_of_arrays:
            self._names_of_arrays[id(array)] = name = str(len(self.arrays))
            # Fortran order is a layout chosen so that products copy nothing: the transpose keeps it
            self.arrays[name] = array.T if array.flags.fnc else array
            self._alive.append(array)
        return self._names_of_arrays[id(array)]

    def _pack_estimator(self, value, where):
        if id(value) not in self._indices_of_estimators:
            name = name_of_class(type(value))
            if name is None or not isinstance(value, BaseEstimator):
                raise _refuse(value, where, "only plain data and estimators whose state is plain arrays can be stored")
            packed = {key: self.pack(item, f"{where}.{key}") for key, item in get_state(value).items()}
            self._indices_of_estimators[id(value)] = len(self.estimators)
            self.estimators.append({"class": name, "state": packed})
            self._alive.append(value)
        return {"estimator": self._indices_of_estimators[id(value)]}


def get_state(estimator):
    """Return the parameters and fitted attributes of an estimator that belong in a file."""
    state = getattr(estimator, "_get_state_for_file", estimator.__getstate__)()
    return {key: item for key, item in state.items() if key not in _SESSION_KEYS}


def _refuse(value, where, reason):
    advice = (
        "If it is random, give random_state as an int."
        if isinstance(value, (np.random.RandomState, np.random.Generator))
        else "Save it with joblib.dump or skops.io.dump instead."
    )
    return ModelFileError(f"{where} is a {type(value).__name__}, and {reason} in a model file. {advice}")


class Unpacker:
    """Turns nodes back into values; builds allowed classes only, and runs no code of the file."""

    def __init__(self, arrays, estimators):
        self._arrays = arrays
        self.estimators = []
        for entry in estimators:  # in the order of dependence: an estimator follows those inside it
            self.estimators.append(self._build(entry["class"], entry["state"]))

    def unpack(self, node):
        """Return the value of a node."""
        if isinstance(node, list):
            return [self.unpack(item) for item in node]
        if not isinstance(node, dict):
            return node
        [(kind, content)] = node.items()
        return getattr(self, f"_unpack_{kind}")(content)

    def _build(self, name, state):
        cls = class_of_name(name)
        if cls is None:
            raise ModelFileError(f"The model file holds a {name!r}, which is not among the classes that may be loaded.")
        for key in state:
            if not key.isidentifier() or key.startswith("__") or hasattr(cls, key):
                raise ModelFileError(f"The model file sets {key!r}, which is not part of the state of a {name}.")
        estimator = cls.__new__(cls)
        vars(estimator).update(_default_parameters(cls))  # the file may be older than a parameter
        vars(estimator).update({key: self.unpack(node) for key, node in state.items()})
        return estimator

    def _unpack_tuple(self, items):
        return tuple(self.unpack(items))

    def _unpack_set(self, items):
        return set(self.unpack(items))

    def _unpack_slice(self, items):
        return slice(*self.unpack(items))

    def _unpack_dict(self, items):
        return {self.unpack(key): self.unpack(value) for key, value in items}

    def _unpack_float(self, text):
        return float(text)

    def _unpack_number(self, content):
        name, text = content
        dtype = _storable_dtype(name)
        return dtype.type(text == "True" if dtype.kind == "b" else text)

    def _unpack_dtype(self, content):
        name, is_type = content
        dtype = _storable_dtype(name)
        return dtype.type if is_type else dtype

    def _unpack_array(self, name):
        return self._arrays[name]

    def _unpack_transposed(self, name):
        return self._arrays[name].T

    def _unpack_strings(self, content):
        kind, shape, text, ends = content
        text, ends = self._arrays[text].tobytes(), self._arrays[ends].tolist()
        texts = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return np.array(texts, dtype=object if kind == "O" else np.str_).reshape(shape)

    def _unpack_items(self, content):
        shape, items = content
        array = np.empty(len(items), dtype=object)
        for position, item in enumerate(items):
            array[position] = self.unpack(item)
        return array.reshape(shape)

    def _unpack_sparse(self, content):
        form, kind, shape, *parts = content
        matrix = _SPARSE_FORMATS[form, kind](tuple(self.unpack(part) for part in parts), shape=tuple(shape))
        matrix.check_format(full_check=True)  # an index out of range would read memory that is not ours
        return matrix

    def _unpack_estimator(self, index):
        return self.estimators[index]


def _default_parameters(cls):
    parameters = signature(cls.__init__).parameters.items() if issubclass(cls, BaseEstimator) else ()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}


def _storable_dtype(name):
    dtype = np.dtype(str(name))
    if dtype not in STORABLE_DTYPES:
        raise ValueError(f"no such type of numbers: {name!r}")
    return dtype
