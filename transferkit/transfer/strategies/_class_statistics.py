"""Statistics of each class, kept with a model so that classes can be added later without the texts of the old ones."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.linear.class_means import compute_class_means, compute_log_sums, keep_largest
from transferkit._algorithms.linear.predictions import UNTRAINED
from transferkit._validation import check_features

__all__ = ["summarise_classes", "trim_means"]

MOST_TERMS = 300  # of the mean of a class that are kept


def summarise_classes(task, outcome):
    """Return what a model knows of its classes beside its weights.

    Parameters
    ----------
    task : ClassificationTask
        Labels and folds.
    outcome : Outcome
        The selected one.

    Returns
    -------
    statistics : dict or None
        See `class_statistics_` of `TransferClassifier`. None if the head is not linear, or for several labels per row.
    """
    if outcome.features is None or task.multilabel:
        return None
    rows = check_features(outcome.features)
    return {
        "means": trim_means(compute_class_means(rows, task.targets, task.sample_weight, len(task.classes))),
        "counts": np.bincount(task.targets, task.sample_weight, len(task.classes)),
        "log_sum": None if outcome.scores is None or not task.has_folds else _mean_log_sum(task, outcome.scores),
    }


def trim_means(means):
    """Return means with the largest values only if they are those of terms, so that model files stay small."""
    return keep_largest(means, MOST_TERMS) if sparse.issparse(means) else means


def _mean_log_sum(task, scores):
    """Return the mean over held-out rows of the log of the summed exponentials of their scores; None without any."""
    counted = task.held_out.is_scored
    decision, weights = task.held_out.decide(scores)[counted], task.sample_weight[counted]
    is_complete = (decision != np.float32(UNTRAINED)).all(1)  # no class was missing in all folds
    if not weights[is_complete].any():
        return None
    return float(np.average(compute_log_sums(decision[is_complete]), weights=weights[is_complete]))
