"""Names that identify the parameters and fitted state of an estimator."""

import pickle
from uuid import uuid4

import joblib
from sklearn.base import BaseEstimator

from transferkit._lazy import DerivedValues

__all__ = ["fingerprint", "forget_fingerprint", "remember_fingerprint"]

_fingerprints: DerivedValues[str] = DerivedValues()


def fingerprint(estimator):
    """Return a name that identifies an estimator's parameters and fitted state, equal for equal state.

    It is recomputed only if an attribute of the estimator, or of one inside it, was set since. (Arrays changed in place
    go unnoticed: fit and partial_fit must set new ones.) An estimator that cannot be pickled, because it holds a lambda
    for example, gets a unique name, which no copy of it shares.
    """
    return _fingerprints.get(estimator, list(_leaves(estimator)), lambda: _name(estimator))


def remember_fingerprint(estimator, name):
    """Set the name of an estimator whose state is identified by its file, so that the state need not be read."""
    _fingerprints.set(estimator, list(_leaves(estimator)), name)


def forget_fingerprint(estimator):
    """Recompute the name of an estimator when it is next requested."""
    _fingerprints.forget(estimator)


def _name(estimator):
    try:
        return joblib.hash(estimator)
    except (pickle.PicklingError, AttributeError, TypeError):  # depending on its attributes
        return uuid4().hex


def _leaves(value):
    """Yield the attribute values of an estimator and of the estimators inside it."""
    if isinstance(value, BaseEstimator):
        for item in vars(value).values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)) and len(value) < 1000:
        for item in value:
            yield from _leaves(item)
    else:
        yield value
