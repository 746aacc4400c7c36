"""Scores of held-out rows, also in folds that lack some of the classes."""

import copy
import warnings
from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import check_scoring

from transferkit.heads.linear._linear_classifier import ScoringClassifierMixin
from transferkit.heads.linear._logistic import LogisticHead


class DecidedRows(ScoringClassifierMixin, BaseEstimator):
    """A classifier of rows whose decision values are known: it takes these in the place of features."""

    def __init__(self, classes, multilabel):
        self.classes_, self.multilabel_ = classes, multilabel

    def decision_function(self, X):
        """Return decision values (n_rows, n_scores), those of two classes as (n_rows,)."""
        return X[:, 0] if X.shape[1] == 1 and not self.multilabel_ else X


def read_scorer(scoring, classes, multilabel):
    """Return the scorer that a `scoring` parameter names, told the classes where it takes them.

    A scorer of probabilities otherwise reads the classes off held-out rows, which may lack one of them, and a scorer
    of two classes takes 1 for the positive one, which may be no label here: then it is the second class.
    """
    scorer = check_scoring(LogisticHead(), scoring=scoring)
    if multilabel or not hasattr(scorer, "_score_func"):
        return scorer
    parameters, known = signature(scorer._score_func).parameters, {}
    if "labels" in parameters and scorer._response_method != "predict":
        known["labels"] = classes
    if "pos_label" in parameters and len(classes) == 2 and parameters["pos_label"].default not in classes.tolist():
        known["pos_label"] = classes[1]
    told = copy.copy(scorer)
    told._kwargs = known | scorer._kwargs
    return told


def takes_weights(scorer):
    """Return whether a scorer takes sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def score_fold(scorer, head, X, y, fold, **weights):
    """Return the score of a fold's held-out rows, NaN where it is undefined.

    Raises ValueError with the number of the fold where the scorer does, and names the classes that its rows lack.
    """
    with warnings.catch_warnings():  # whoever averages the folds says which were undefined
        warnings.filterwarnings("ignore", message="Only one class is present", category=UndefinedMetricWarning)
        try:
            return scorer(head, X, y, **weights)
        except ValueError as error:
            missing = name_missing(head.classes_, y)
            if not missing:
                raise
            raise ValueError(
                f"The scorer failed in fold {fold} of cv, whose held-out rows have no label {', '.join(missing)}: "
                f"{error} Use fewer folds, a stratified splitter or another scoring."
            ) from error


def average_folds(scores):
    """Return mean and standard deviation over the folds, of scores (n_candidates, n_folds).

    A fold may have no score, say for want of a class, and is left out. Of candidates that have scores in fewer folds
    than others the mean is NaN.
    """
    counts = count_scores(scores)
    comparable = counts == max(counts.max(), 1)
    means, deviations = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    means[comparable], deviations[comparable] = np.nanmean(scores[comparable], 1), np.nanstd(scores[comparable], 1)
    return means, deviations


def count_scores(scores):
    """Return the number of folds that have a score, along the last axis."""
    return (~np.isnan(scores)).sum(-1)


def report_undefined(scores, y, folds, classes):
    """Warn of folds without a score of any candidate, (n_candidates, n_folds); if no fold has one, raise ValueError."""
    undefined = np.flatnonzero(np.isnan(scores).all(0))
    if len(undefined) == 0:
        return
    missing = sorted({name for fold in undefined for name in name_missing(classes, y[folds[fold][1]])})
    reason = f", whose held-out rows have no label {', '.join(missing)}" if missing else ""
    if len(undefined) == len(folds):
        raise ValueError(
            f"The score is undefined (NaN) in every fold of cv{reason}: no candidate can be chosen. Use fewer folds, a "
            "stratified splitter or another scoring."
        )
    warnings.warn(
        f"The score is undefined (NaN) in folds {undefined.tolist()} of cv{reason}. Means are those of the others.",
        UserWarning,
        stacklevel=4,
    )


def name_missing(classes, y):
    """Return the classes that labels (n_rows,) lack, each as text; none of indicators."""
    return [] if np.ndim(y) == 2 else [repr(label) for label in np.setdiff1d(classes, y).tolist()]
