"""Samples of a source and a target domain: concatenated, split, and distinguished by ``sample_domain``."""

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from transferkit._validation import check_labels, count_rows

__all__ = ["as_rows", "check_labels_of_rows", "check_source_labels", "read_domains", "split_rows", "stack_rows"]


def read_domains(estimator, X, sample_domain, *, needs_both=True):
    """Return a mask of the samples that belong to the source domain (n_samples,), after checking `sample_domain`.

    Parameters
    ----------
    estimator : estimator
        Named in error messages.
    X : iterable of samples
        Samples of any kind that has a length or a shape.
    sample_domain : array-like of shape (n_samples,)
        Larger than 0 for samples of the source domain, less than 0 for those of the target domain.
    needs_both : bool, default=True
        Whether an error is raised if all samples belong to one domain.
    """
    name = type(estimator).__name__
    if sample_domain is None:
        raise ValueError(
            f"{name} needs 'sample_domain': one number per row, larger than 0 for rows of the source domain and less "
            "than 0 for rows of the target domain."
        )
    domains = np.asarray(sample_domain)
    if domains.ndim != 1 or domains.dtype.kind not in "iuf":
        raise ValueError(
            f"The 'sample_domain' of {name} must be a 1-D array of numbers. Got an array of shape {domains.shape} and "
            f"type {domains.dtype}."
        )
    if len(domains) != count_rows(X):
        raise ValueError(
            f"X and sample_domain must have the same length. Got {count_rows(X)} rows and {len(domains)} domains."
        )
    unknown = np.flatnonzero(~((domains > 0) | (domains < 0)))
    if len(unknown):
        raise ValueError(
            f"The 'sample_domain' of {name} must be larger than 0 (source) or less than 0 (target) in every row. Got "
            f"{domains[unknown[0]].item()!r} at position {unknown[0]}."
        )
    is_source = domains > 0
    if needs_both and not (is_source.any() and (~is_source).any()):
        missing = "source (larger than 0)" if not is_source.any() else "target (less than 0)"
        raise ValueError(
            f"{name} needs rows of both domains, and 'sample_domain' has none of the {missing}: all n_samples="
            f"{len(domains)} are of the other one."
        )
    return is_source


def as_rows(X):
    """Return samples of any kind in a container that `stack_rows` accepts."""
    if hasattr(X, "shape"):
        return X.tocsr() if sparse.issparse(X) else X
    X = list(X)
    return X if isinstance(X[0], Mapping) else np.asarray(X)


def stack_rows(first, second):
    """Concatenate samples of two domains: lists of texts, arrays, sparse matrices or data frames."""
    if isinstance(first, list):
        return first + second
    if sparse.issparse(first) or sparse.issparse(second):
        return sparse.vstack([first, second], format="csr")
    if hasattr(first, "columns") or hasattr(second, "columns"):
        return _stack_frames(first, second)
    return np.concatenate([first, second])


def _stack_frames(first, second):
    if type(first) is not type(second):
        kinds = [f"{type(X).__name__} of {type(X).__module__.partition('.')[0]}" for X in (first, second)]
        raise TypeError(f"X and X_target must have the same type. Got {kinds[0]} and {kinds[1]}.")
    if hasattr(first, "vstack"):
        return first.vstack(second)
    from pandas import concat  # the only other kind of data frame

    return concat([first, second], ignore_index=True)


def split_rows(X, is_source):
    """Return the rows of the source and those of the target; views if each domain is one contiguous block."""
    changes = np.flatnonzero(np.diff(is_source))
    if len(changes) != 1:
        return X[is_source], X[~is_source]
    first, second = X[: changes[0] + 1], X[changes[0] + 1 :]
    return (first, second) if is_source[0] else (second, first)


def check_labels_of_rows(X, y):
    """Return the labels as an array, after checking that there is one per row."""
    y = np.asarray(y)
    if y.ndim != 1 or len(y) != count_rows(X):
        raise ValueError(f"X and y must have the same length. Got {count_rows(X)} rows and y of shape {y.shape}.")
    return y


def check_source_labels(estimator, y):
    """Return the labels of the source rows, after checking that there are some and that each names a class."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"{name} requires y to be passed, but the target y is None: give one label per row. Those of target rows "
            "are ignored."
        )
    try:
        return check_labels(y)
    except ValueError as error:
        raise ValueError(f"Labels of source rows (positions count these only): {error}") from error
