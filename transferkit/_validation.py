"""Input checks, and wrappers of scikit-learn's private helpers."""

import sys
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import wraps
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import numpy as np
from scipy.sparse import csr_array, csr_matrix, issparse
from sklearn import config_context, get_config
from sklearn.base import _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing as take_rows
from sklearn.utils import column_or_1d, get_tags
from sklearn.utils._array_api import _convert_to_numpy, _is_numpy_namespace, get_namespace
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_parameter_constraints
from sklearn.utils.metaestimators import available_if as _available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as read_feature_names
from sklearn.utils.validation import _num_samples as count_rows
from sklearn.utils.validation import check_array, validate_data
from sklearn.utils.validation import check_is_fitted as check_is_fitted_slowly

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks

__all__ = [
    "FLOATS",
    "SUM_TOLERANCE",
    "HasMethods",
    "Interval",
    "StrOptions",
    "available_if",
    "check_can_merge",
    "check_candidates",
    "check_count",
    "check_feature_names",
    "check_feature_names_in",
    "check_features",
    "check_has_classes",
    "check_is_fitted",
    "check_labels",
    "check_parameters",
    "check_probabilities",
    "check_row_width",
    "check_same_length",
    "check_sample_weight",
    "check_sizes",
    "check_targets",
    "check_texts",
    "count_rows",
    "fit_context",
    "forget_shards",
    "holds_texts",
    "is_fitted",
    "read_feature_names",
    "skip_check_of_stop_words",
    "take_rows",
    "to_numpy",
    "unchanged_on_error",
    "validate_data",
    "validate_features",
    "validate_parameter_constraints",
    "validate_rows",
    "warn_for_unused_text_parameters",
    "with_plain_outputs",
]

F = TypeVar("F", bound=Callable[..., Any])

_SEVERAL_LABELS = (
    "y holds several labels per row: turn them into an indicator matrix of zeros and ones with scikit-learn's "
    "MultiLabelBinarizer."
)
SUM_TOLERANCE = 1e-3  # of the probabilities of a sample, which may have come through float16
FLOATS = [np.float64, np.float32]  # features of these dtypes are not converted, others become the first


def check_texts(X, *, accept=(str,)):
    """Return X, any 1-D collection of texts (list, NumPy array, pandas or polars Series, Arrow array), as a list.

    `accept` are the types of a single text. ValueError is raised if X is a single string, has more than one dimension,
    is empty, or contains a missing text; TypeError if it is not a collection, or an item is not a text.
    """
    if isinstance(X, (str, bytes)):
        raise ValueError(f"Expected a collection of texts, got one bare {type(X).__name__}. Wrap it: [text].")
    shape = getattr(X, "shape", (None,))
    if len(shape) != 1:
        raise ValueError(
            f"Expected a 1-D collection of texts, got {type(X).__name__} of shape {tuple(shape)}. "
            "Pass the one column that holds the texts."
        )
    if isinstance(X, (Mapping, AbstractSet)) or not hasattr(X, "__iter__"):
        raise TypeError(f"Expected a 1-D collection of texts such as a list, got {type(X).__name__}.")
    to_list = getattr(X, "tolist", None) or getattr(X, "to_pylist", None)  # the latter is Arrow's
    texts = list(X) if to_list is None else to_list()
    if not texts:
        raise ValueError(f"Expected at least one text, got an empty {type(X).__name__}.")
    for position, text in enumerate(texts):
        if not isinstance(text, accept):
            _raise_not_a_text(text, position)
    return texts


def _raise_not_a_text(value, position):
    if _is_missing(value):
        raise ValueError(
            f"The text at position {position} is missing ({value!r}). Drop such rows or replace them by ''."
        )
    raise TypeError(f"The text at position {position} must be a str. Got {value!r} ({type(value).__name__}) instead.")


def _is_missing(value):
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, Real) and value != value)
    )


def holds_texts(X):
    """Return whether X is a 1-D collection (of texts) rather than numeric samples."""
    if isinstance(X, (str, bytes)):
        return True  # check_texts raises the right error for a single string
    if hasattr(X, "__array__") and not hasattr(X, "shape"):
        X = np.asarray(X)
    if hasattr(X, "shape"):  # numeric estimators have a better error for a 1-D array of numbers
        return len(X.shape) == 1 and getattr(getattr(X, "dtype", None), "kind", "O") not in "biufc"
    first = next(iter(X), None) if isinstance(X, (list, tuple)) else None
    return first is None or not hasattr(first, "__len__") or isinstance(first, (str, bytes))


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[F], F]:
    """Return scikit-learn's decorator of `fit`, which checks the parameters, as one that keeps the types."""
    return cast(Callable[[F], F], _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation))


def available_if(check: Callable[[Any], bool]) -> Callable[[F], F]:
    """Return scikit-learn's decorator of methods that only some estimators have, as one that keeps the types."""
    return cast(Callable[[F], F], _available_if(check))


def check_parameters(estimator: Any) -> None:
    """Raise ValueError if a parameter of an estimator is not valid, as its `fit` does."""
    estimator._validate_params()


def check_labels(y):
    """Return checked labels as a 1-D array, or as a 2-D array or matrix if there are several labels per sample.

    Numbers in object arrays, as from data frames of nullable types, are converted to numeric dtypes. ValueError is
    raised if a label is missing (the message gives its position), labels are of several types, there are several per
    sample, a matrix contains values other than zeros and ones, or y contains continuous numbers.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None: give one label for each row."
        )
    y = y if issparse(y) else _read_labels(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y.toarray() if issparse(y) else y, warn=True)
    if y.ndim == 2:
        _check_indicators(y.data if issparse(y) else y)
    else:
        is_number = y.dtype.kind in "biufc"
        check_classification_targets(y if is_number else np.repeat(y, 2))  # which warns if most classes are there once
    return y


def _read_labels(y):
    try:
        labels = np.asarray(y)
    except ValueError as error:  # rows of different lengths
        raise ValueError(_SEVERAL_LABELS) from error
    if labels.dtype.kind == "U" and isinstance(y, (list, tuple)):  # NumPy has converted its other items to texts
        _check_label_objects(np.array(y, dtype=object))
    if labels.dtype.kind == "O" and _check_label_objects(labels) == {"number"}:
        labels = np.array(labels.ravel().tolist()).reshape(labels.shape)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row, label = next((row, label) for row, label in enumerate(labels) if not np.isfinite(label).all())
        if np.isinf(label).any():
            raise ValueError("The labels contain infinity: a label names a class.")
        _raise_missing_label(row, label)
    return labels


def _check_label_objects(labels):
    """Return the kinds of labels in an object array, of which there may be only one."""
    kinds = {}
    for position, label in enumerate(labels.ravel().tolist()):
        row = position // max(1, labels.size // len(labels))
        if _is_missing(label):
            _raise_missing_label(row, label)
        if isinstance(label, (list, tuple, np.ndarray, Mapping, AbstractSet)):
            raise ValueError(_SEVERAL_LABELS)
        kinds.setdefault(
            "text" if isinstance(label, str) else "number" if isinstance(label, Real) else type(label).__name__,
            (row, label),
        )
    if len(kinds) > 1:
        (row, label), (other_row, other), *_ = kinds.values()
        raise ValueError(
            f"The labels must be of one type. Got {label!r} ({type(label).__name__}) at position {row} and {other!r} "
            f"({type(other).__name__}) at position {other_row}."
        )
    return set(kinds)


def _raise_missing_label(position, label):
    raise ValueError(f"The label at position {position} is missing ({label!r}). Drop such rows.")


def check_probabilities(probabilities, classes, estimator):
    """Return the sorted labels of the columns, and their probabilities in float64, normalised to rows that sum to one.

    Labels are the column numbers if `classes` is None. ValueError is raised if an entry is missing or negative, if a
    row does not sum to one within `SUM_TOLERANCE`, and if labels are repeated or are not one per column.
    """
    name = type(estimator).__name__
    probabilities = check_array(
        to_numpy(probabilities), dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="probabilities"
    )
    if probabilities.ndim != 2:
        raise ValueError(
            f"{name} needs probabilities of shape (n_samples, n_classes), one column per class, also with two classes. "
            f"Got the shape {probabilities.shape}."
        )
    columns = np.arange(probabilities.shape[1]) if classes is None else _read_labels(to_numpy(classes))
    if columns.shape != probabilities.shape[1:]:
        raise ValueError(
            "classes must be a list of one label per column of the probabilities. Got labels of the shape "
            f"{columns.shape} for {probabilities.shape[1]} columns."
        )
    check_classification_targets(np.repeat(columns, 2))  # which warns if no label is there twice
    labels, order = np.unique(columns, return_index=True)
    if len(labels) < len(columns):
        raise ValueError(f"classes must be distinct: one column per label. Got {columns.tolist()!r}.")
    check_has_classes(labels, estimator)
    negative = (probabilities < 0).any(1)
    if negative.any():
        row = negative.argmax()
        raise ValueError(
            f"Probabilities must not be negative. Got {probabilities[row].min():.4g} in row {row}. Scores of a model "
            "are converted to probabilities by a softmax."
        )
    sums = probabilities.sum(1)
    is_off = np.abs(sums - 1) > SUM_TOLERANCE
    if is_off.any():
        row = is_off.argmax()
        raise ValueError(
            f"The probabilities of a sample must sum to one, since it has exactly one class. Those of row {row} sum to "
            f"{sums[row]:.4g}. Probabilities of independent labels (multilabel) are not supported."
        )
    return labels, probabilities[:, order] / sums[:, None]


def _check_indicators(entries):
    is_valid = (entries == 0) | (entries == 1)
    if entries.dtype.kind not in "biuf" or not np.all(is_valid):
        found = list(dict.fromkeys(np.ravel(entries).tolist()))
        raise ValueError(
            "y with several columns must be an indicator matrix of zeros and ones, one column per label. "
            f"Got {' and '.join(map(repr, found[:5]))}. Convert other values by a comparison (y == value), and sets of "
            "labels by scikit-learn's MultiLabelBinarizer."
        )


def check_targets(y):
    """Return regression targets as a finite float array (n_samples,) or (n_samples, n_outputs)."""
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None: give one number per sample."
        )
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def check_same_length(X, y):
    """Raise ValueError unless X and y have the same length."""
    n_rows, n_labels = count_rows(X), count_rows(y)
    if n_rows != n_labels:
        raise ValueError(
            f"X and y must have the same length: one label for each row. Got {n_rows} rows and {n_labels} labels."
        )


def check_features(X):
    """Return features of any kind as a finite float32 or float64 array or CSR matrix."""
    return check_array(X, accept_sparse="csr", dtype=FLOATS)


def check_sizes(estimator, name, lengths=None):
    """Raise ValueError unless a parameter is None or a tuple of positive integers, of an allowed length if given."""
    value = getattr(estimator, name)
    if value is None:  # the declared constraints determine whether that is allowed
        return
    whole = all(isinstance(size, Integral) and size >= 1 for size in value)
    if not whole or (lengths is not None and len(value) not in lengths):
        expected = "" if lengths is None else f"{' or '.join(map(str, lengths))} "
        or_none = ", or None" if None in estimator._parameter_constraints[name] else ""
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be a tuple of {expected}positive integers"
            f"{or_none}. Got {value!r} instead."
        )


def check_count(name, value, function, least=0):
    """Raise ValueError unless an argument of a function or method is an integer of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(
            f"The {name!r} argument of {function} must be an int in the range [{least}, inf). Got {value!r} instead."
        )


def check_candidates(name, values, expected="a list"):
    """Return candidates for a parameter as a 1-D array of positive float64 numbers."""
    candidates = np.asarray(values, dtype=np.float64)
    if candidates.ndim != 1 or len(candidates) == 0 or not (np.isfinite(candidates) & (candidates > 0)).all():
        raise ValueError(f"{name} must be {expected} of finite numbers larger than 0. Got {values!r} instead.")
    return candidates


def check_row_width(name, shape, width):
    """Raise ValueError unless samples of this width contain arrays of the shape given by a parameter."""
    if np.prod(shape) != width:
        raise ValueError(f"{name}={shape!r} means {np.prod(shape)} values per sample, but the samples have {width}.")


def check_can_merge(encoder, other, names):
    """Raise TypeError or ValueError unless two encoders are fitted, of the same class, and equal in some attributes."""
    check_is_fitted(encoder)
    if not isinstance(other, type(encoder)):
        raise TypeError(f"Only another {type(encoder).__name__} can be merged. Got {type(other).__name__}.")
    check_is_fitted(other)
    different = [name for name in names if not _equal(getattr(encoder, name), getattr(other, name))]
    if different:
        raise ValueError(f"Encoders can be merged only if they agree. These differ: {different}.")


def _equal(a, b):
    return a is b or np.array_equal(a, b)  # stop words and vocabularies may be arrays


def check_has_classes(classes, estimator):
    """Raise ValueError if there are fewer than two classes; `estimator` may be the name of a function."""
    if len(classes) < 2:
        name = estimator if isinstance(estimator, str) else type(estimator).__name__
        raise ValueError(
            f"{name} needs labels of at least 2 classes. Got {len(classes)} class: {np.asarray(classes).tolist()!r}."
        )


def to_numpy(array):
    """Return an array of another library (such as a torch tensor, on any device) as NumPy, and other values unchanged.

    Only if scikit-learn's `array_api_dispatch` is on; otherwise such arrays are converted or rejected later.
    """
    namespace, is_array_api = get_namespace(array) if hasattr(array, "shape") and not issparse(array) else (None, False)
    return _convert_to_numpy(array, namespace) if is_array_api and not _is_numpy_namespace(namespace) else array


def validate_features(estimator, X, y, **checks):
    """Return X as a valid dense or CSR matrix, or as feature blocks of these, and y, for the fit of an estimator."""
    if not isinstance(X, FeatureBlocks):
        return validate_data(estimator, to_numpy(X), to_numpy(y), accept_sparse="csr", dtype=FLOATS, **checks)
    X = check_blocks(estimator, X)
    validate_data(estimator, X, skip_check_array=True)
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    y = validate_data(estimator, y=to_numpy(y), **checks)
    check_same_length(X, y)
    return X, y


def check_blocks(estimator, X):
    """Return feature blocks of one dtype with finite entries."""
    options = {"accept_sparse": "csr", "dtype": FLOATS, "estimator": estimator, "ensure_min_features": 0}
    blocks = [check_array(block, input_name=f"block {number} of X", **options) for number, block in enumerate(X.blocks)]
    valid = FeatureBlocks(*blocks)
    return valid.astype(valid.dtype, copy=False)


def validate_rows(estimator, X):
    """Return X as a valid dense or CSR matrix, or as feature blocks of these, for the predictions of an estimator.

    For a single sample scikit-learn's checks take ten times as long as the prediction. Therefore a finite NumPy array
    or CSR matrix of the right dtype and width is returned immediately if there are no feature names to compare. All
    other input is passed to scikit-learn, which converts it or raises an error.
    """
    if type(X) in (np.ndarray, csr_matrix, csr_array) and not hasattr(estimator, "feature_names_in_"):
        fits = X.ndim == 2 and X.shape[0] > 0 and X.shape[1] == estimator.n_features_in_ and X.dtype in FLOATS
        with np.errstate(all="ignore"):  # if the sum overflows, scikit-learn checks again
            if fits and np.isfinite((X if type(X) is np.ndarray else X.data).sum()):
                return X
    if isinstance(X, FeatureBlocks):
        X = check_blocks(estimator, X)
        return validate_data(estimator, X, skip_check_array=True, reset=False)
    return validate_data(estimator, to_numpy(X), accept_sparse="csr", dtype=FLOATS, reset=False)


def check_is_fitted(estimator, attribute=None):
    """Raise scikit-learn's NotFittedError unless an estimator is fitted.

    The fast checks come first: scikit-learn builds the tags of the estimator, which takes a third of the time of a
    prediction for one text.
    """
    if attribute is not None and attribute in vars(estimator):
        return
    is_fitted_method = getattr(type(estimator), "__sklearn_is_fitted__", None)
    if is_fitted_method is None or not is_fitted_method(estimator):
        check_is_fitted_slowly(estimator, attribute)


def is_fitted(estimator):
    """Return whether the estimator is fitted (or needs no fitting).

    A pipeline is fitted if its last step that needs fitting is. scikit-learn looks at the last step of all, so that
    pipelines that end in a Normalizer would always count as fitted.
    """
    pipeline = sys.modules.get("sklearn.pipeline")  # which takes long to import
    if pipeline is not None and isinstance(estimator, pipeline.Pipeline):
        backwards = (step for _, step in reversed(estimator.steps) if hasattr(step, "fit"))
        last = next((step for step in backwards if get_tags(step).requires_fit), None)
        return last is None or is_fitted(last)
    if pipeline is not None and isinstance(estimator, pipeline.FeatureUnion):
        return all(is_fitted(part) for _, part in estimator.transformer_list if hasattr(part, "fit"))
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


@contextmanager
def unchanged_on_error(estimator):
    """Restore the state of the estimator if the block fails, so that no fit is left incomplete."""
    state = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(state)
        raise


def forget_shards(estimator):
    """Remove what :func:`transferkit.distributed.fit_sharded` recorded in an earlier fit."""
    for name in ("n_shards_", "skipped_shards_"):
        vars(estimator).pop(name, None)


def with_plain_outputs(function: F) -> F:
    """Wrap a function so that transformers called in it return arrays, whatever output scikit-learn is set to.

    ``sklearn.set_config(transform_output="pandas")`` concerns the results that users get, not the steps inside an
    estimator, of which sparse ones would raise an error.
    """

    @wraps(function)
    def call(*args, **kwargs):
        if get_config()["transform_output"] == "default":
            return function(*args, **kwargs)
        with config_context(transform_output="default"):
            return function(*args, **kwargs)

    return cast(F, call)


def warn_for_unused_text_parameters(vectorizer):
    """Issue scikit-learn's warnings about parameters of a text vectorizer that exclude each other."""
    vectorizer._warn_for_unused_params()


def skip_check_of_stop_words(vectorizer):
    """Suppress the warning of a text vectorizer about stop words that its tokenizer splits."""
    vectorizer._stop_words_id = id(vectorizer.stop_words)
