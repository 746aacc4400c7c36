"""The self-test of a model file: a few samples generated from the model, and its output for them when it was saved."""

import contextlib
import re

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from transferkit.persistence._allowed import is_function

__all__ = ["find_reason_not_to_run", "gives_nan", "make_probe", "passes_probe"]

_METHODS = ("predict_proba", "decision_function", "transform", "predict")
_N_SAMPLES = 3
_N_TERMS = 24
_FEW_ITERATIONS = 10_000
_DEFAULT_PATTERN = r"(?u)\b\w\w+\b"  # of every text encoder
# One repetition, after which no match can fail, so that no text is scanned twice: \w+, \S+, the default and the like.
_HARMLESS_PATTERN = re.compile(r"(\(\?u\))?(\\b)?(\\[wS]){0,9}(\\w\+(\\b)?|\\S\+)")


def make_probe(estimator):
    """Return {"X", "method", "output"} of a fitted estimator, or None if no samples can be generated for it.

    Texts consist of terms of the model's own vocabulary, and numbers come from a formula: no data of the user is used.
    """
    method = next((method for method in _METHODS if hasattr(estimator, method)), None)
    X = _make_samples(estimator)
    if X is None or method is None:
        return None
    for rows in [X] if isinstance(X, list) else [X, X.astype(np.float64)]:  # NMF accepts only its own dtype
        with contextlib.suppress(TypeError, ValueError, OSError):  # its tags do not fit its input
            return {"X": rows, "method": method, "output": getattr(estimator, method)(rows)}
    return None


def find_reason_not_to_run(probe, estimators):
    """Return the reason why the self-test of a file with these estimators is not run, or None."""
    if probe is None:
        return "the file holds no self-test, because no samples could be generated for the model when it was saved"
    return next(filter(None, map(_find_reason_of, estimators)), None)


def _find_reason_of(estimator):
    """Return the reason why a self-test that uses an estimator must not run, or None.

    A file must not choose how long loading takes, or which files it opens. It could with regular expressions (some take
    forever on short texts), solvers that iterate in `transform`, names of files as input, and networks.
    """
    state, name = vars(estimator), type(estimator).__name__
    if name in ("TorchEncoder", "SentenceEncoder"):
        return f"the model holds a {name}, whose network is not run while it is loaded"
    if name == "NMF" and not (type(estimator.max_iter) is int and estimator.max_iter <= _FEW_ITERATIONS):
        return f"the model holds an NMF that may iterate more than {_FEW_ITERATIONS:,} times"
    pattern, kind = state.get("token_pattern", _DEFAULT_PATTERN), state.get("input", "content")
    if is_function(state.get("tokenizer")) or is_function(state.get("analyzer")):
        pattern = _DEFAULT_PATTERN  # the function is trusted, and is used instead of a pattern
    if type(pattern) is not str or not _HARMLESS_PATTERN.fullmatch(pattern):
        return f"the model holds a {name} with a custom token_pattern, which could take forever"
    if type(kind) is not str or kind != "content":
        return f"the model holds a {name} whose input names files"
    return None


def passes_probe(estimator, probe):
    """Return whether an estimator gives the output that was stored with it."""
    try:
        with joblib.parallel_config("sequential"):  # a file must not choose how many processes are started
            return _agrees(estimator, probe)
    except Exception:  # a damaged model may raise anything
        return False


def _agrees(estimator, probe):
    output, expected = getattr(estimator, probe["method"])(probe["X"]), probe["output"]
    if getattr(output, "shape", None) != getattr(expected, "shape", None):
        return False
    output, expected = (value.toarray() if hasattr(value, "toarray") else value for value in (output, expected))
    if np.asarray(expected).dtype.kind != "f":
        return np.array_equal(output, expected)
    # other processors and BLAS builds round differently; damage is larger
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-30)
    return np.allclose(output, expected, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)


def gives_nan(probe):
    """Return whether the stored output contains NaN."""
    output = probe["output"]
    output = np.asarray(output.data if hasattr(output, "toarray") else output)
    return output.dtype.kind == "f" and bool(np.isnan(output).any())


def _make_samples(estimator):
    if _takes_texts(estimator):
        terms = list(_find_vocabulary(estimator) or ())
        chosen = terms[:: max(1, len(terms) // _N_TERMS)][:_N_TERMS]
        return [" ".join(chosen[start::_N_SAMPLES]) for start in range(_N_SAMPLES)] if chosen else None
    n_features = getattr(estimator, "n_features_in_", None)
    if n_features is None or hasattr(estimator, "feature_names_in_"):
        return None
    rows, columns = np.mgrid[1 : _N_SAMPLES + 1, 1 : n_features + 1]
    return (rows * columns * 2654435761 % 1024 / 1024).astype(np.float32)


def _takes_texts(estimator):
    """Return whether an estimator takes texts; Pipelines and FeatureUnions do not propagate that tag."""
    if not isinstance(estimator, BaseEstimator):  # "drop", "passthrough"
        return False
    if get_tags(estimator).input_tags.string:
        return True
    parts = getattr(estimator, "steps", ())[:1] or getattr(estimator, "transformer_list", ())
    inside = [part for _, part in parts] + [getattr(estimator, name, None) for name in ("encoder_", "estimator_")]
    return any(map(_takes_texts, inside))


def _find_vocabulary(value):
    """Return the first vocabulary in an estimator or in those inside it."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_find_vocabulary, value)), None)
    if not isinstance(value, BaseEstimator):
        return None
    own = getattr(value, "vocabulary_", None)
    return own or _find_vocabulary([getattr(value, "encoder_", None), *vars(value).values()])
