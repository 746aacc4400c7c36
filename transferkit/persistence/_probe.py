"""A few rows made from the model itself, and what it said to them when it was saved."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

_METHODS = ("predict_proba", "decision_function", "transform", "predict")
_N_ROWS = 3
_N_TERMS = 24
_FEW_ITERATIONS = 10_000
_WORDS = r"(?u)\b\w\w+\b"  # the default of every text encoder


def make_probe(estimator):
    """Return {"X", "method", "output"} of a fitted estimator, or None where no rows can be made for it.

    Texts are made of terms of the model's own vocabulary and numbers from a formula: nothing of the user's data.
    """
    method = next((method for method in _METHODS if hasattr(estimator, method)), None)
    X = _make_rows(estimator)
    if X is None or method is None:
        return None
    try:
        return {"X": X, "method": method, "output": getattr(estimator, method)(X)}
    except (TypeError, ValueError, OSError):  # takes input of another kind than its tags say, such as names of files
        return None


def may_run_long(estimator):
    """Return whether a file could choose how long an estimator's methods take, or what they open.

    That are regular expressions of the file (some take for ever on short texts), solvers that iterate in `transform`,
    names of files as input, and networks. Such models are loaded without a look at the probe.
    """
    state = vars(estimator)
    if type(estimator).__name__ in ("TorchEncoder", "SentenceEncoder"):
        return True
    if type(estimator).__name__ == "NMF":  # by name, because to import the class takes long
        return not (type(estimator.max_iter) is int and estimator.max_iter <= _FEW_ITERATIONS)
    choices = [(state.get("token_pattern", _WORDS), _WORDS), (state.get("input", "content"), "content")]
    return any(type(choice) is not str or choice != default for choice, default in choices)


def agrees_with_probe(estimator, probe):
    """Return whether the estimator still gives the output it gave when it was saved."""
    output, expected = getattr(estimator, probe["method"])(probe["X"]), probe["output"]
    if getattr(output, "shape", None) != getattr(expected, "shape", None):
        return False
    output, expected = (value.toarray() if hasattr(value, "toarray") else value for value in (output, expected))
    if np.asarray(expected).dtype.kind != "f":
        return np.array_equal(output, expected)
    # other processors and BLAS builds round otherwise; damage is larger
    return np.allclose(output, expected, rtol=1e-3, atol=1e-4 * max(np.abs(expected).max(), 1e-30))


def _make_rows(estimator):
    if get_tags(estimator).input_tags.string:
        terms = list(_find_vocabulary(estimator) or ())
        chosen = terms[:: max(1, len(terms) // _N_TERMS)][:_N_TERMS]
        return [" ".join(chosen[start::_N_ROWS]) for start in range(_N_ROWS)] if chosen else None
    n_features = getattr(estimator, "n_features_in_", None)
    if n_features is None or hasattr(estimator, "feature_names_in_"):
        return None
    rows, columns = np.mgrid[1 : _N_ROWS + 1, 1 : n_features + 1]
    return (rows * columns * 2654435761 % 1024 / 1024).astype(np.float32)


def _find_vocabulary(value):
    """Return the first vocabulary in an estimator or in those inside it."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_find_vocabulary, value)), None)
    if not isinstance(value, BaseEstimator):
        return None
    own = getattr(value, "vocabulary_", None)
    return own or _find_vocabulary([getattr(value, "encoder_", None), *vars(value).values()])
