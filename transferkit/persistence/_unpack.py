"""Nodes back to values: builds allowed classes only, runs no code of the file, and checks each estimator."""

import functools
import zlib
from itertools import pairwise
from types import MethodType, ModuleType

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from transferkit._estimator import default_parameters
from transferkit.exceptions import ModelFileError, how_to_trust
from transferkit.persistence._allowed import (
    PATH_PARAMETERS,
    SESSION_ATTRIBUTES,
    Trusted,
    class_of_name,
    is_attribute_of,
)
from transferkit.persistence._bounds import check_ends, check_keys, count_entries, is_out_of_proportion
from transferkit.persistence._container import STORABLE_DTYPES
from transferkit.persistence.protocols import FinishesLoading

__all__ = ["Unpacker", "reads_files"]

_DEEPEST = 100  # levels of nested values, and of nested estimators
# Shared ones count as often as they occur, because code that walks a model visits them as often.
_MOST_ESTIMATORS = 100_000
_DTYPES_BY_NAME = {dtype.name: dtype for dtype in STORABLE_DTYPES}
_SPARSE_FORMATS = {
    ("csr", "matrix"): sparse.csr_matrix,
    ("csr", "array"): sparse.csr_array,
    ("csc", "matrix"): sparse.csc_matrix,
    ("csc", "array"): sparse.csc_array,
}


class Unpacker:
    """Turns nodes back into values; builds allowed classes only, and runs no code of the file.

    `arrays` are those of the file by name, `estimators` the class and state of each estimator, where an estimator
    follows those inside it. `trusted` are the classes and functions that may be used in addition to the allowed ones.
    The attribute `estimators` lists the estimators of the file.
    """

    def __init__(self, arrays, estimators, budget, trusted=None, *, allow_file_input=False):
        self._arrays = arrays
        self._budget = budget
        self._used = set()  # names of arrays
        self._allow_file_input = allow_file_input
        self._trusted = trusted or Trusted(None, "load")
        self._depth = 0
        self._inflated = {}  # decompressed arrays by name
        self._size, self._sizes = 0, []  # number of nested estimators, itself included: of the current one; of each
        self._nesting, self._nestings = 0, []  # levels of nested estimators: of the current one; of each
        self.estimators = []
        for entry in estimators:
            self._size, self._nesting = 1, 1
            self.estimators.append(self._build(entry["class"], entry["state"]))
            self._sizes.append(self._size)
            self._nestings.append(self._nesting)

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
            if key in SESSION_ATTRIBUTES or not is_attribute_of(cls, key):
                raise ModelFileError(f"The model file sets {key!r}, which is not part of the state of a {name}.")
        estimator = object.__new__(cls)  # not cls.__new__, which may run any code
        if isinstance(estimator, BaseEstimator):
            vars(estimator).update(default_parameters(cls))  # for parameters newer than the file
        vars(estimator).update({key: self.unpack(node) for key, node in state.items()})
        _check_estimator(estimator, name, self._allow_file_input)
        if issubclass(type(estimator), FinishesLoading):
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
        if name in self._used:
            self._budget.spend_on_repeat(self._arrays[name])
        self._used.add(name)
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
        self._size += self._sizes[index]
        self._nesting = max(self._nesting, 1 + self._nestings[index])
        if self._size > _MOST_ESTIMATORS or self._nesting > _DEEPEST:
            raise ModelFileError("The model file holds estimators within estimators too often.")
        return self.estimators[index]


def _check_sparse(data, indices, indptr, shape):
    """Raise ValueError if SciPy would read out of bounds; its own check does little if indptr ends below one."""
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


def _check_estimator(estimator, name, allow_file_input):
    """Raise ModelFileError (or ValueError) unless an estimator whose state was just set is safe to use."""
    state = vars(estimator)
    if _has_file_input(state) and not allow_file_input:
        raise ModelFileError(
            f"The model file holds a {name} with input={state['input']!r}: its input names files, so whoever sends "
            "texts to the model chooses which files of this machine are read. If all input is your own, call "
            "load(path, allow_file_input=True)."
        )
    if name.startswith("transferkit."):
        for parameter in PATH_PARAMETERS:
            if isinstance(state.get(parameter), str):
                raise ModelFileError(f"The model file names another file ({name}.{parameter}), which is not opened.")
    if isinstance(state.get("memory"), str):
        raise ModelFileError(f"The model file names a folder ({name}.memory), which is not opened.")
    if name in _CHECKS:
        _CHECKS[name](estimator)


def _has_file_input(state):
    """Return whether an estimator of these attributes (a dict) reads the files named by its input."""
    kind = state.get("input")  # an array compares equal to its entries
    return isinstance(kind, np.ndarray) or (isinstance(kind, str) and kind in ("filename", "file"))


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
        if _has_file_input(_attributes_of(value)):
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


def _check_k_means(estimator):
    _require_shape(estimator, "cluster_centers_", (None, estimator.n_features_in_))
    if "_n_threads" in vars(estimator):
        vars(estimator)["_n_threads"] = _openmp_effective_n_threads()  # the file could hold any number


def _check_nmf(estimator):
    _require_shape(estimator, "components_", (vars(estimator)["_n_components"], estimator.n_features_in_))


def _check_category_encoder(estimator):
    state = vars(estimator)
    if not state.get("_infrequent_enabled"):
        return
    mappings, infrequent = state["_default_to_infrequent_mappings"], state["_infrequent_indices"]
    for categories, mapping, rare in zip(estimator.categories_, mappings, infrequent, strict=True):
        if mapping is not None:
            n_codes = len(categories) - len(rare) + 1
            if mapping.shape != categories.shape or mapping.min() < 0 or mapping.max() >= n_codes:
                raise ValueError("codes of categories out of range")


def _rebuild_isotonic(estimator):
    estimator._build_f(estimator.X_thresholds_, estimator.y_thresholds_)  # scikit-learn's pickles lack it, too


_CHECKS = {
    "sklearn.cluster.KMeans": _check_k_means,
    "sklearn.cluster.MiniBatchKMeans": _check_k_means,
    "sklearn.decomposition.NMF": _check_nmf,
    "sklearn.isotonic.IsotonicRegression": _rebuild_isotonic,
    "sklearn.preprocessing.OneHotEncoder": _check_category_encoder,
    "sklearn.preprocessing.OrdinalEncoder": _check_category_encoder,
}


def _require_shape(estimator, name, shape):
    array = getattr(estimator, name)
    fits = isinstance(array, np.ndarray) and array.ndim == len(shape) and array.dtype.kind == "f"
    if not fits or any(size is not None and size != found for size, found in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name} must be numbers of shape {shape}")
