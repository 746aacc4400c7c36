"""Evaluation of classifiers on held-out rows of folds, and the average of candidates by their likelihood there.

Folds may lack a class: in their training part, so that the fold's model cannot predict it, or among the held-out rows,
so that some scores are undefined.
"""

import copy
import warnings
from dataclasses import replace
from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import check_scoring

from transferkit._algorithms.linear.predictions import UNTRAINED, to_log_probabilities
from transferkit.exceptions import count_inner_frames
from transferkit.heads.linear._linear_classifier import ScoringClassifierMixin, compute_sample_weights
from transferkit.heads.linear._logistic import LogisticHead

__all__ = [
    "HeldOut",
    "average_folds",
    "average_models",
    "compute_candidate_weights",
    "compute_fold_weights",
    "count_scores",
]

NEGLIGIBLE_WEIGHT = 1e-3  # of a candidate in an average, as a share of the largest
LOWEST_LOG_PROBABILITY = -30.0  # of a held-out label, so that no single row decides between candidates


class HeldOut:
    """The held-out rows of folds: scores and likelihoods of models that were trained on the other rows.

    Models are given by their decision values, an array of shape (n_samples, n_folds or more, n_scores), with one score
    per class or label, or a single one for two classes. Only those of the held-out rows of each fold are read.

    Parameters
    ----------
    scoring : str, callable or None
        Scorer; accuracy if None.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Labels as given.
    targets : ndarray of the same shape
        Class numbers or indicators.
    folds : list of (train, test) indices
        Positions of the rows.
    fold_weights : ndarray
        Weights in the training part of each fold, see `compute_fold_weights`.
    sample_weight : ndarray of shape (n_samples,)
        Weights of the rows in the likelihood.
    is_weighted : bool
        Whether scorers that take weights are given them.
    """

    def __init__(self, scoring, classes, y, targets, folds, fold_weights, sample_weight, *, is_weighted):
        self.classes, self.y, self.targets, self.folds = classes, y, targets, folds
        self.multilabel = targets.ndim == 2
        self.sample_weight = sample_weight
        self.is_accuracy = scoring in (None, "accuracy")
        self.needs_models = callable(scoring) and not hasattr(scoring, "_score_func")
        self.scorer = resolve_scorer(scoring, classes, self.multilabel)
        self.weights_scores = is_weighted and takes_weights(self.scorer)
        self.trained = np.ones((len(folds), len(classes)), bool)  # whether a fold's training part has the class
        if not self.multilabel:
            totals = [np.bincount(targets, weights, len(classes)) for weights in fold_weights.T]
            self.trained = np.reshape(totals, self.trained.shape) > 0
        self._mark_rows()

    def _mark_rows(self):
        self.is_held = np.zeros(len(self.targets), bool)
        self.is_scored = self.is_held.copy()  # whether some model that did not see the row knows its class
        for fold, (_, test) in enumerate(self.folds):
            self.is_held[test] = True
            self.is_scored[test] |= True if self.multilabel else self.trained[fold, self.targets[test]]

    def on_first_folds(self, n_folds):
        """Return the held-out rows of the first folds alone."""
        part = copy.copy(self)
        part.folds, part.trained = self.folds[:n_folds], self.trained[:n_folds]
        part._mark_rows()
        return part

    @property
    def weight(self):
        """Total weight of the rows that count in the likelihood."""
        return float(self.sample_weight[self.is_scored].sum(dtype=np.float64))

    @property
    def n_scored(self):
        """Number of these rows."""
        return int(np.count_nonzero(self.is_scored))

    def score(self, scores):
        """Return the score of each fold, (n_folds,), from decision values; NaN if it is undefined."""
        head, results = DecidedRows(self.classes, self.multilabel), []
        for fold, (_, test) in enumerate(self.folds):
            decided = scores[test, fold]
            if scores.shape[2] > 1:  # classes that are missing from the training part are not predicted
                decided = np.where(self.trained[fold], decided, UNTRAINED)
            results.append(self._accuracy(decided, test) if self.is_accuracy else self.score_head(head, decided, fold))
        return np.array(results, dtype=np.float64)

    def score_head(self, head, X, fold):
        """Return the score of a fitted classifier on the held-out rows X of a fold, NaN if it is undefined.

        Errors of the scorer are raised with the number of the fold and the classes that its rows lack.
        """
        test = self.folds[fold][1]
        weights = {"sample_weight": self.sample_weight[test]} if self.weights_scores else {}
        with warnings.catch_warnings():  # `report_undefined` warns once for all folds
            warnings.filterwarnings("ignore", message="Only one class is present", category=UndefinedMetricWarning)
            try:
                return self.scorer(head, X, self.y[test], **weights)
            except ValueError as error:
                missing = name_missing(head.classes_, self.y[test])
                if not missing:
                    raise
                raise ValueError(
                    f"The scorer failed in fold {fold} of cv, whose held-out rows have no label {', '.join(missing)}: "
                    f"{error} Use fewer folds, a stratified splitter or another scoring."
                ) from error

    def decide(self, scores):
        """Return one decision per row, (n_samples, n_scores): the mean over the folds that hold the row out.

        For a class the mean is over the folds that were trained on it; if there are none, the value is `UNTRAINED`.
        Rows that no fold holds out have NaN.
        """
        shape = (len(scores), scores.shape[2])
        total, counts = np.zeros(shape), np.zeros(shape)
        for fold, (_, test) in enumerate(self.folds):
            known = self.trained[fold] if shape[1] > 1 else np.ones(1, bool)
            total[test] += np.where(known, scores[test, fold], 0)
            counts[test] += known
        decision = np.where(counts > 0, total / np.maximum(counts, 1), UNTRAINED)
        decision[~self.is_held] = np.nan
        return decision.astype(scores.dtype)

    def log_likelihood(self, decision):
        """Return the weighted sum of the log probabilities of the labels of held-out rows, given what `decide` returns.

        Rows of a class that no training part has do not count, and no label counts for less than
        `LOWEST_LOG_PROBABILITY`.
        """
        decision, targets = decision[self.is_scored].astype(np.float64), self.targets[self.is_scored]
        if self.multilabel:
            signed = np.where(targets > 0, decision, -decision)
            logs = np.maximum(-np.logaddexp(0, -signed), LOWEST_LOG_PROBABILITY).sum(1)
        else:
            logs = to_log_probabilities(decision[:, 0] if decision.shape[1] == 1 else decision)
            logs = np.maximum(logs[np.arange(len(logs)), targets], LOWEST_LOG_PROBABILITY)
        return float(logs @ self.sample_weight[self.is_scored])

    def loss(self, scores):
        """Return the mean negative log-likelihood of held-out rows, NaN without folds, given decision values."""
        if not self.folds:
            return np.nan
        return -self.log_likelihood(self.decide(scores)) / max(self.weight, 1e-300)

    def report_undefined(self, scores):
        """Warn of folds in which no candidate has a score, (n_candidates, n_folds); raise ValueError if all are so."""
        undefined = np.flatnonzero(np.isnan(scores).all(0))
        if len(undefined) == 0:
            return
        missing = sorted(
            {name for fold in undefined for name in name_missing(self.classes, self.y[self.folds[fold][1]])}
        )
        reason = f", whose held-out rows have no label {', '.join(missing)}" if missing else ""
        if len(undefined) == len(self.folds):
            raise ValueError(
                f"The score is undefined (NaN) in every fold of cv{reason}: no candidate can be chosen. Use fewer "
                "folds, a stratified splitter or another scoring."
            )
        warnings.warn(
            f"The score is undefined (NaN) in folds {undefined.tolist()} of cv{reason}. Means are those of the others.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )

    def _accuracy(self, decided, test):
        """Return the accuracy without the checks of scikit-learn, which take longer than a small fit."""
        truth = self.targets[test]
        if self.multilabel:
            right = ((decided > 0) == (truth > 0)).all(1)
        else:
            right = (decided.argmax(1) if decided.shape[1] > 1 else decided[:, 0] > 0) == truth
        return np.average(right, weights=self.sample_weight[test] if self.weights_scores else None)


class DecidedRows(ScoringClassifierMixin, BaseEstimator):
    """A classifier whose features are the decision values of the rows, so that scorers take known predictions."""

    def __init__(self, classes, multilabel):
        self.classes_, self.multilabel_ = classes, multilabel

    def decision_function(self, X):
        """Return decision values (n_rows, n_scores), those of two classes as (n_rows,)."""
        return X[:, 0] if X.shape[1] == 1 and not self.multilabel_ else X


def resolve_scorer(scoring, classes, multilabel):
    """Return the scorer that a `scoring` parameter names, with the classes as arguments if it takes them.

    A scorer of probabilities would otherwise infer the classes from held-out rows, which may lack one of them. A scorer
    for two classes assumes that the label 1 is positive; if there is no such label, it is given the second class.
    """
    scorer = check_scoring(LogisticHead(), scoring=scoring)
    if multilabel or not hasattr(scorer, "_score_func"):
        return scorer
    parameters, known = signature(scorer._score_func).parameters, {}
    if "labels" in parameters and scorer._response_method != "predict":
        known["labels"] = classes
    if "pos_label" in parameters and len(classes) == 2 and parameters["pos_label"].default not in classes.tolist():
        known["pos_label"] = classes[1]
    informed = copy.copy(scorer)
    informed._kwargs = known | scorer._kwargs
    return informed


def takes_weights(scorer):
    """Return whether a scorer takes sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def average_folds(scores):
    """Return mean and standard deviation over the folds, of scores (n_candidates, n_folds).

    Folds without a score, for example because a class is missing, are left out. Candidates that have scores in fewer
    folds than others have a mean of NaN.
    """
    counts = count_scores(scores)
    comparable = counts == max(counts.max(), 1)
    means, deviations = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    means[comparable], deviations[comparable] = np.nanmean(scores[comparable], 1), np.nanstd(scores[comparable], 1)
    return means, deviations


def count_scores(scores):
    """Return the number of folds that have a score, along the last axis."""
    return (~np.isnan(scores)).sum(-1)


def name_missing(classes, y):
    """Return the classes that labels (n_rows,) lack, each as text; none of indicators."""
    return [] if np.ndim(y) == 2 else [repr(label) for label in np.setdiff1d(classes, y).tolist()]


def compute_fold_weights(head, classes, targets, folds, sample_weight):
    """Return the training weights of each fold, zero for the rows that are held out.

    They are (n_samples, n_folds), or (n_samples, n_folds, n_labels) if the labels of an indicator matrix have weights
    of their own. The head's `class_weight` is applied within each fold. A row that a training part repeats, as
    bootstrap samples do, counts as often.
    """
    multilabel = targets.ndim == 2
    n_weights = targets.shape[1] if multilabel and head.class_weight is not None else 1
    weights = np.zeros((len(targets), len(folds), n_weights), sample_weight.dtype)
    for fold, (train, _) in enumerate(folds):
        given = sample_weight[train]
        inside = compute_sample_weights(head, given[:, None], classes, targets[train], multilabel, given)
        np.add.at(weights[:, fold], train, inside)
    return weights[:, :, 0] if n_weights == 1 else weights


def compute_candidate_weights(log_likelihoods, sharpness=1.0):
    """Return the weight of each candidate in their average, in proportion to exp(sharpness * log likelihood).

    The weights sum to one; candidates below the share `NEGLIGIBLE_WEIGHT` of the largest get none. A sharpness of 1
    gives the posterior of candidates that are equally likely beforehand, less a tempered one.
    """
    weights = np.exp(sharpness * (log_likelihoods - log_likelihoods.max()))
    weights[weights < NEGLIGIBLE_WEIGHT] = 0
    return weights / weights.sum()


def average_models(models, weights):
    """Return the mean of linear models of the same shape, with weights that sum to one.

    Its number of steps is the largest one, and it has converged if all have.
    """
    first = models[0]
    coef = np.zeros(first.coef.T.shape)
    for model, weight in zip(models, weights, strict=True):
        coef += weight * model.coef.T
    intercept = np.einsum("m,mk->k", weights, np.stack([model.intercept for model in models]).astype(np.float64))
    return replace(
        first,
        coef=coef.astype(first.coef.dtype).T,
        intercept=intercept.astype(first.intercept.dtype),
        n_iter=max(model.n_iter for model in models),
        converged=all(model.converged for model in models),
    )
