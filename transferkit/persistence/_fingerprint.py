"""Names for what an estimator has learned."""

import pickle
from uuid import uuid4
from weakref import WeakKeyDictionary

import joblib
from sklearn.base import BaseEstimator

_known: WeakKeyDictionary = WeakKeyDictionary()  # estimator -> (the values it is made of, fingerprint)


def fingerprint(estimator):
    """Return a name for an estimator's parameters and fitted state.

    Parameters
    ----------
    estimator : estimator
        Any fitted estimator. One that cannot be pickled (it holds a lambda, say) gets a name of its own, which
        no copy of it shares.

    Returns
    -------
    name : str
        Equal for equal state; computed again only when an attribute of the estimator, or of one inside it, was
        set since. (Arrays changed in place go unnoticed: fit and partial_fit must set new ones.)
    """
    leaves = list(_leaves(estimator))
    known = _known.get(estimator)
    if known is None or len(known[0]) != len(leaves) or any(a is not b for a, b in zip(known[0], leaves, strict=True)):
        known = _known[estimator] = (leaves, _name(estimator))
    return known[1]


def remember_fingerprint(estimator, name):
    """Name an estimator whose state is known otherwise, so that it need not be read: it comes from that file."""
    _known[estimator] = (list(_leaves(estimator)), name)


def forget_fingerprint(estimator):
    """Compute the name of an estimator again when it is next asked for."""
    _known.pop(estimator, None)


def _name(estimator):
    try:
        return joblib.hash(estimator)
    except (pickle.PicklingError, AttributeError, TypeError):  # which one depends on what is in it
        return uuid4().hex


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
