"""Weights of a source model as the prior of a penalty (L2-SP), matched by feature name and by label."""

import os
import warnings

import numpy as np

from transferkit.exceptions import CLONES_IN_GRIDS, count_inner_frames

__all__ = ["load_prior", "match_classes", "match_prior"]


def match_prior(prior, classes, n_features, feature_names=None):
    """Return the prior weights of each class or output, float64, and their overlap with the task.

    `prior` is a fitted model with `coef_`, and `classes_` if it is a classifier, or the path of a file with one;
    `classes` are the labels of the task, None for a regression. Weights are zero for classes and features that the
    prior does not have. The one row of a binary model gives the weights of two classes: minus and plus half of it. The
    overlap has the counts "features_matched", "features_new", "features_dropped", and the lists "classes_matched",
    "classes_new", "classes_dropped".
    """
    source = load_prior(prior)
    if classes is not None and not hasattr(source, "classes_"):
        raise ValueError(
            f"prior must be a classifier with classes_, by which its weights are matched. Got {type(source).__name__}."
        )
    coef = np.atleast_2d(np.asarray(source.coef_, dtype=np.float64))
    known = getattr(source, "classes_", None) if classes is not None else None
    if known is not None and len(known) == 2 and len(coef) == 1:
        coef = np.concatenate([-coef / 2, coef / 2])
    here, there = match_features(source, coef.shape[1], n_features, feature_names)
    rows, source_rows, lists = match_classes(known, classes, len(coef))
    if len(rows) == 0 or len(here) == 0:
        what, theirs = ("classes", known) if len(rows) == 0 else ("names of features", source.feature_names_in_)
        ours = classes if len(rows) == 0 else feature_names
        warnings.warn(
            f"prior has no effect: its {what}, such as {_first(theirs)}, and those of the task, such as {_first(ours)}"
            ", have none in common.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
    weights = np.zeros((len(coef) if classes is None else len(classes), n_features))
    weights[np.ix_(rows, here)] = coef[np.ix_(source_rows, there)]
    counts = {
        "features_matched": len(here),
        "features_new": n_features - len(here),
        "features_dropped": coef.shape[1] - len(there),
    }
    return weights, counts | lists


def load_prior(prior):
    """Return the fitted linear model given as a prior, loaded if it is a path."""
    if isinstance(prior, (str, os.PathLike)):
        from transferkit.persistence import load

        prior = load(prior)
    if not hasattr(prior, "coef_") or np.ndim(prior.coef_) not in (1, 2):
        raise ValueError(
            f"prior must be a fitted linear model with weights in coef_. Got {prior!r}, which has none: fit it first, "
            f"or pass the last step of its pipeline. In a grid give its path: {CLONES_IN_GRIDS}."
        )
    return prior


def _first(names):
    return repr(np.asarray(names[:1]).tolist()[0])


def match_features(source, n_source, n_features, feature_names):
    """Return positions of the shared features, in the task and in the source."""
    source_names = getattr(source, "feature_names_in_", None)
    if feature_names is not None and source_names is not None:
        _, here, there = np.intersect1d(feature_names, source_names, assume_unique=True, return_indices=True)
        return here, there
    if n_source != n_features:
        raise ValueError(
            f"prior has weights of {n_source} features and X has {n_features}. Different features are matched "
            "by name: fit both on data frames, or bring X to the prior's features."
        )
    return np.arange(n_features), np.arange(n_features)


def match_classes(known, classes, n_rows):
    """Return positions of the shared classes, in the task and in the source, and lists of labels for the coverage."""
    if classes is None:
        return np.arange(n_rows), np.arange(n_rows), {}
    known = [] if known is None else list(known)
    position = {label: row for row, label in enumerate(known)}
    matched = [label for label in classes.tolist() if label in position]
    here = np.array([row for row, label in enumerate(classes.tolist()) if label in position], dtype=np.intp)
    there = np.array([position[label] for label in matched], dtype=np.intp)
    lists = {
        "classes_matched": matched,
        "classes_new": [label for label in classes.tolist() if label not in position],
        "classes_dropped": [label for label in np.asarray(known).tolist() if label not in set(matched)],
    }
    return here, there, lists
