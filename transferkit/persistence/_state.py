"""Estimators as plain data: JSON for structure, named arrays for numbers.

A value is written as itself when JSON has it (None, bool, int, finite float, str, list), and otherwise as an object
with one key that says what it is; docs/model-files.md lists them.
"""

import functools
import math
import os
import zlib
from itertools import pairwise
from types import MethodType

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from transferkit._versioning import default_parameters
from transferkit.exceptions import ModelFileError, how_to_trust
from transferkit.persistence._allowed import (
    Trusted,
    class_of_name,
    full_name,
    is_attribute_of,
    is_function,
    name_of_class,
)
from transferkit.persistence._bounds import Budget, check_ends, check_keys, count_entries, is_out_of_proportion
from transferkit.persistence._container import STORABLE_DTYPES
from transferkit.persistence._soundness import PATH_PARAMETERS, check_estimator
from transferkit.persistence.protocols import FinishesLoading, HasFileState

# What a session attaches to an estimator and a model does not need: callbacks, metadata routing requests.
_SESSION_KEYS = frozenset(
    {"_sklearn_version", "_transferkit_version", "_skl_callbacks", "_parent_callback_ctx", "_metadata_request"}
)
_DEEPEST = 100  # values within values
# Counted as often as they are met, because whoever walks through the model meets them so often.
_MOST_ESTIMATORS = 100_000
_SMALLEST_DEFLATED = 1 << 12  # bytes of an array that are worth it
_MOST_INFLATED = 32  # times the bytes of a stream: what grows more is stored as it is, so that files stay in bounds
_DTYPES_BY_NAME = {dtype.name: dtype for dtype in STORABLE_DTYPES}
_SPARSE_FORMATS = {
    ("csr", "matrix"): sparse.csr_matrix,
    ("csr", "array"): sparse.csr_array,
    ("csc", "matrix"): sparse.csc_matrix,
    ("csc", "array"): sparse.csc_array,
}


class Packer:
    """Turns values into nodes; collects arrays and estimators, each once however often it is met."""

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

    def _name_function(self, function, where):
        """Return the import path of a function that the caller trusts; raise ModelFileError where it has none."""
        kind = type(function).__name__
        if isinstance(function, (functools.partial, MethodType)):
            raise ModelFileError(
                f"{where} is a {kind}, and a model file holds the import paths of functions alone. Write a function of "
                "a module that calls it, or save the model with joblib.dump instead."
            )
        path = full_name(function)
        if path.startswith("__main__.") or "<" in path:
            where_from = "of __main__" if path.startswith("__main__.") else "that no import finds"
            raise ModelFileError(
                f"{where} is a {kind} {where_from} ({path}), and a model file holds the import paths of functions "
                "alone. Define it with 'def' at the top level of a module, and name it in trusted=[...]; or save the "
                "model with joblib.dump instead."
            )
        name = self._trusted.name_of_function(function)
        if name is None:
            raise ModelFileError(
                f"{where} is a {kind}. A model file can hold its import path, if whoever loads it trusts that: "
                f"save(..., trusted=[{path!r}]), if that imports this very function, and the same in load."
            )
        return name

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
                raise _refuse(array, where, "one long string in an array of many short ones takes too much memory")
            text = np.frombuffer(b"".join(texts), np.uint8)
            self._budget.spend_on_strings(len(texts), len(text))
            self._budget.spend(array.nbytes)
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
        else:
            self._budget.spend_on_repeat(array)
        return self._names_of_arrays[id(array)]

    def _add_deflated(self, array):
        """Return the name of the compressed array, or None where it would grow too much when it is read."""
        if id(array) not in self._names_of_deflated:
            stream = np.frombuffer(zlib.compress(array.tobytes()), np.uint8)
            fits = array.nbytes <= _MOST_INFLATED * len(stream)
            self._names_of_deflated[id(array)] = self._add_array(stream) if fits else None
            self._budget.spend(array.nbytes if fits else 0)
            self._alive.append(array)
        elif self._names_of_deflated[id(array)] is not None:
            self._budget.spend_on_repeat(array)
        return self._names_of_deflated[id(array)]

    def _pack_estimator(self, value, where):
        if id(value) not in self._indices_of_estimators:
            cls = type(value)
            name = name_of_class(cls) or self._trusted.name_of(cls)
            state = get_state(value) if name is not None else None
            if not isinstance(state, dict):
                raise _refuse(value, where, "only plain data and estimators whose state is plain arrays can be stored")
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

    def check_size(self, n_bytes):
        """Raise ModelFileError if a file of so many bytes would be refused because its values take too much memory."""
        Budget(n_bytes).spend(self._budget.spent)


def get_state(estimator):
    """Return the parameters and fitted attributes of an estimator that belong in a file."""
    state = estimator.get_file_state() if isinstance(estimator, HasFileState) else estimator.__getstate__()
    if not isinstance(state, dict):
        return state
    state = {key: item for key, item in state.items() if key not in _SESSION_KEYS}
    if isinstance(state.get("memory"), (str, os.PathLike)):
        state["memory"] = None  # a folder of this machine
    if type(estimator).__module__.startswith("transferkit."):
        for name, value in state.items():
            if isinstance(value, os.PathLike) or (name in PATH_PARAMETERS and isinstance(value, str)):
                state[name] = _load_shared(value)
    return state


def _load_shared(path):
    from transferkit.persistence._shared import load_shared  # which reads model files, and so needs this module

    return load_shared(path)


def _refuse(value, where, reason):
    advice = "Save it with joblib.dump or skops.io.dump instead."
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        advice = "If it is random, give random_state as an int."
    elif isinstance(value, BaseEstimator):
        advice += f" If its state is arrays and plain data, name it: {how_to_trust(full_name(type(value)))}."
    return ModelFileError(f"{where} is a {type(value).__name__}, and {reason} in a model file. {advice}")


class Unpacker:
    """Turns nodes back into values; builds allowed classes only, and runs no code of the file."""

    def __init__(self, arrays, estimators, budget, trusted=None, *, allow_file_input=False):
        self._arrays = arrays
        self._budget = budget
        self._met = set()  # names of arrays
        self._allow_file_input = allow_file_input
        self._trusted = trusted or Trusted(None, "load")
        self._depth = 0
        self._inflated = {}  # arrays by name
        self._n_met, self._sizes = 0, []  # estimators met while one is unpacked; what each counts for in all
        self._nesting, self._nestings = 0, []  # levels of estimators in the one that is unpacked; in each
        self.estimators = []
        for entry in estimators:  # in the order of dependence: an estimator follows those inside it
            self._n_met, self._nesting = 1, 1
            self.estimators.append(self._build(entry["class"], entry["state"]))
            self._sizes.append(self._n_met)
            self._nestings.append(self._nesting)

    @property
    def n_repeats(self):
        """How many more estimators a walk through the last one meets than there are."""
        return (self._sizes[-1] if self._sizes else 0) - len(self._sizes)

    def unpack(self, node):
        """Return the value of a node."""
        if not isinstance(node, (list, dict)):
            return node
        if self._depth == _DEEPEST:
            raise ModelFileError(f"The model file holds values more than {_DEEPEST} levels deep.")
        self._depth += 1
        try:
            if isinstance(node, list):
                return [self.unpack(item) for item in node]
            [(kind, content)] = node.items()
            return getattr(self, f"_unpack_{kind}")(content)
        finally:
            self._depth -= 1

    def _build(self, name, state):
        cls = class_of_name(name) or self._trusted.class_of(name)
        if cls is None:
            raise ModelFileError(
                f"The model file holds a {name!r}, which is not among the classes that may be loaded. If you know "
                f"this class and trust its code, name it: {how_to_trust(name)}."
            )
        self._budget.spend_on_estimator()
        for key in state:
            if key in _SESSION_KEYS or not is_attribute_of(cls, key):
                raise ModelFileError(f"The model file sets {key!r}, which is not part of the state of a {name}.")
        estimator = object.__new__(cls)  # and not cls.__new__, which could be anyone's code
        if isinstance(estimator, BaseEstimator):
            vars(estimator).update(default_parameters(cls))  # the file may be older than a parameter
        vars(estimator).update({key: self.unpack(node) for key, node in state.items()})
        check_estimator(estimator, name, allow_file_input=self._allow_file_input)
        if isinstance(estimator, FinishesLoading):
            estimator.finish_loading(self._trusted)
        return estimator

    def _unpack_tuple(self, items):
        return tuple(self.unpack(items))

    def _unpack_set(self, items):
        keys = self.unpack(items)
        check_keys(keys)
        return set(keys)

    def _unpack_slice(self, items):
        return slice(*self.unpack(items))

    def _unpack_dict(self, items):
        pairs = [(self.unpack(key), self.unpack(value)) for key, value in items]
        check_keys([key for key, _ in pairs])
        return dict(pairs)

    def _unpack_function(self, name):
        function = self._trusted.function_of(name) if type(name) is str else None
        if function is None:
            raise ModelFileError(
                f"The model file uses the function {name!r}, which is not in it and would be imported. If you know it "
                f"and trust its code, name it: {how_to_trust(str(name))}."
            )
        return function

    def _unpack_float(self, text):
        return float(text)

    def _unpack_number(self, content):
        name, text = content
        dtype = _storable_dtype(name)
        return dtype.type(text == "True" if dtype.kind == "b" else str(text))

    def _unpack_dtype(self, content):
        name, is_type = content
        dtype = _storable_dtype(name)
        return dtype.type if is_type else dtype

    def _unpack_array(self, name):
        if name in self._met:
            self._budget.spend_on_repeat(self._arrays[name])
        self._met.add(name)
        return self._arrays[name]

    def _unpack_transposed(self, name):
        return self._unpack_array(name).T

    def _unpack_deflated(self, content):
        name, shape, stream = content
        dtype = _storable_dtype(name)
        n_bytes = count_entries(shape) * dtype.itemsize
        if stream not in self._inflated:
            self._budget.spend(n_bytes)
            self._inflated[stream] = _inflate(self._arrays[stream], n_bytes)
        else:
            self._budget.spend_on_repeat(self._inflated[stream])
        return self._inflated[stream].view(dtype).reshape(shape)

    def _unpack_strings(self, content):
        kind, shape, text, ends = content
        text, ends = self._arrays[text], self._arrays[ends]
        check_ends(ends, count_entries(shape), text.nbytes)
        self._budget.spend_on_strings(len(ends), text.nbytes)
        text, ends = text.tobytes(), ends.tolist()
        texts = [text[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise([0, *ends])]
        if kind == "O":
            return np.array(texts, dtype=object).reshape(shape)
        longest = max(map(len, texts), default=0)
        if is_out_of_proportion(len(texts), longest, len(text)):
            raise ValueError("strings out of proportion")
        self._budget.spend(4 * len(texts) * longest)
        return np.array(texts, dtype=np.str_).reshape(shape)

    def _unpack_items(self, content):
        shape, items = content
        if count_entries(shape) != len(items):
            raise ValueError("an array of objects has another size than its shape")
        array = np.empty(len(items), dtype=object)
        for position, item in enumerate(items):
            array[position] = self.unpack(item)
        return array.reshape(shape)

    def _unpack_sparse(self, content):
        form, kind, shape, *parts = content
        count_entries(shape)
        data, indices, indptr = (self.unpack(part) for part in parts)
        self._budget.spend(data.nbytes + indices.nbytes + indptr.nbytes)
        _check_sparse(data, indices, indptr, shape if form == "csr" else shape[::-1])
        return _SPARSE_FORMATS[form, kind]((data, indices, indptr), shape=tuple(shape))

    def _unpack_estimator(self, index):
        if type(index) is not int or not 0 <= index < len(self.estimators):
            raise ValueError(f"no such estimator: {index!r}")
        self._n_met += self._sizes[index]
        self._nesting = max(self._nesting, 1 + self._nestings[index])
        if self._n_met > _MOST_ESTIMATORS or self._nesting > _DEEPEST:
            raise ModelFileError("The model file holds estimators within estimators too often.")
        return self.estimators[index]


def _check_sparse(data, indices, indptr, shape):
    """Refuse what would read memory that is not ours; SciPy's own check looks at little when indptr ends below one."""
    n_major, n_minor = shape
    integers = {indices.dtype.name, indptr.dtype.name}
    fits = indices.shape == data.shape and data.ndim == indptr.ndim == 1 and len(indptr) == n_major + 1
    if not fits or len(integers) > 1 or not integers <= {"int32", "int64"}:
        raise ValueError("the parts of a sparse matrix do not fit each other")
    ascending = (indptr[1:] >= indptr[:-1]).all()
    if indptr[0] != 0 or indptr[-1] != len(indices) or not ascending:
        raise ValueError("the rows of a sparse matrix do not fit its entries")
    if len(indices) and not 0 <= indices.min() <= indices.max() < n_minor:
        raise ValueError("an index of a sparse matrix is out of range")


def _inflate(stream, n_bytes):
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(stream.tobytes(), n_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"a compressed array is damaged: {error}") from None
    if len(content) != n_bytes or not inflater.eof:
        raise ValueError("a compressed array has another size than it should")
    return np.frombuffer(content, np.uint8)


def _storable_dtype(name):
    if type(name) is not str or name not in _DTYPES_BY_NAME:
        raise ValueError(f"no such type of numbers: {name!r}")
    return _DTYPES_BY_NAME[name]
