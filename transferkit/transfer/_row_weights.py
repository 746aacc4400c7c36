"""Rows of weight zero, which are to be as if they were not there."""

from collections.abc import Iterable
from numbers import Integral

import numpy as np

from transferkit._validation import take_rows


def drop_weightless(head, X, y, sample_weight, groups=None, cv=None):
    """Return what `fit` is given without the rows of weight zero.

    Otherwise they would have a part in all that is learned without weights: folds, vocabularies, unfitted encoders.

    Parameters
    ----------
    head : estimator or None
        Where its own `cv` has the positions of rows, all rows are left in their places.
    X, y, sample_weight, groups : as given to `fit`
        Texts are a list.
    cv : int, splitter or iterable of (train, test) indices
        Folds; positions are changed to those of the rows that are left.

    Returns
    -------
    X, y, sample_weight, groups, cv
        What is left.

    Raises
    ------
    ValueError
        If no weight is larger than zero.
    """
    weights = np.asarray(sample_weight if sample_weight is not None else 1.0)
    if weights.shape != (len(y),) or weights.all() or _has_positions(getattr(head, "cv", None)):
        return X, y, sample_weight, groups, cv
    kept = np.flatnonzero(weights)
    if len(kept) == 0:
        raise ValueError("sample_weight is zero for all rows: at least one must have a weight larger than 0.")
    if _has_positions(cv):
        place = np.full(len(y), -1)
        place[kept] = np.arange(len(kept))
        parts = [[place[part][place[part] >= 0] for part in fold] for fold in cv]
        cv = [(train, test) for train, test in parts if len(train) and len(test)]
    groups = None if groups is None else take_rows(groups, kept)
    return take_rows(X, kept), y[kept], weights[kept], groups, cv


def _has_positions(cv):
    return isinstance(cv, Iterable) and not isinstance(cv, Integral) and not hasattr(cv, "split")
