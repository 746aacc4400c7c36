"""Logistic regression on an encoder's features, averaged over C by likelihood on held-out labels."""

import time
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.linear.term_prior import weigh_candidates
from transferkit._validation import check_features
from transferkit.heads import LogisticHead
from transferkit.heads.linear._linear_classifier import warn_not_converged
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import LEAST_WEIGHT, SHARPNESS


def fit_logistic(strategy, encoder, features, task, settings, of_folds=None):
    """Return the outcome of a logistic head on features.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    encoder : transformer
        What the features come from.
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Encoded rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C. Without folds a middle one is taken.
    of_folds : iterable of FoldFeatures, default=None
        Features that candidates are judged on, where those of each fold come from an encoder of its own. None judges
        them on `features`.

    Returns
    -------
    outcome : Outcome
        Encoder and head, trained on all rows.
    """
    if not task.has_folds:
        C = settings.middle_C()
        head = _fit_head(features, task, settings, C)
        return Outcome(strategy, encoder, head, np.zeros(0), [make_row(strategy, [], C=C, weight=1.0)])
    search = SharedSearch(features, task, settings) if of_folds is None else SplitSearch(of_folds, task, settings)
    rows = [
        make_row(strategy, task.score_folds(scores), C=C, log_loss=task.loss(scores), seconds=seconds)
        for C, scores, seconds in search.candidates
    ]
    losses = np.array([row["log_loss"] for row in rows])
    weights = weigh_candidates(losses, task.held_weight, SHARPNESS, LEAST_WEIGHT)
    for row, weight in zip(rows, weights, strict=True):
        row["weight"] = float(weight)
    kept = np.flatnonzero(weights)
    head = _fit_head(features, task, settings, search.candidates[int(weights.argmax())].C)
    if len(kept) > 1:
        models = search.refit(kept, features)
        if not all(model.converged for model in models):
            warn_not_converged(head, max(model.n_iter for model in models if not model.converged))
        coef = sum(weights[place] * model.coef for place, model in zip(kept, models, strict=True))
        head.coef_ = np.ascontiguousarray(coef.T).T
        head.intercept_ = sum(weights[place] * model.intercept for place, model in zip(kept, models, strict=True))
    average = sum(weights[place] * search.candidates[place].scores for place in kept)
    return Outcome(strategy, encoder, head, task.score_folds(average), rows, task.loss(average))


class _Candidate(NamedTuple):
    """What the folds' models at one C have to do with held-out rows."""

    C: float
    scores: np.ndarray  # (n_samples, n_folds, n_outputs)
    seconds: float


class SharedSearch:
    """All folds on the same features, as one problem, pulled to a prior if there is one."""

    def __init__(self, features, task, settings, prior=None):
        X = check_features(features)
        self.row_weights = task.row_weights.astype(X.dtype)
        self.search = _make_search(X, task.targets, task.fold_weights[:, :-1].astype(X.dtype), task, settings, prior)
        self.fits, self.candidates, began = [], [], time.perf_counter()
        for fit in self.search.run(settings.Cs):
            self.fits.append(fit)
            self.candidates.append(_Candidate(fit.C, fit.scores, time.perf_counter() - began))
            began = time.perf_counter()

    def refit(self, kept, features):
        """Return models of all rows for some candidates."""
        return self.search.refit([self.fits[place] for place in kept], self.row_weights)


class SplitSearch:
    """Each fold on features of its own, pulled to a prior of its own if there are priors."""

    def __init__(self, of_folds, task, settings, priors=None):
        self.task, self.settings = task, settings
        shape = (len(task.targets), len(task.folds), task.n_scores)
        scores, seconds = np.zeros((len(settings.Cs), *shape), np.float32), np.zeros(len(settings.Cs))
        for fold, (features, (train, test)) in enumerate(zip(of_folds, task.folds, strict=True)):
            X, began = check_features(features.both), time.perf_counter()
            weights = np.concatenate([task.weigh(train), np.zeros((len(test), task.n_weights))]).astype(X.dtype)
            targets = task.targets[np.concatenate([train, test])]
            prior = None if priors is None else priors[fold]
            search = _make_search(X, targets, weights[:, None], task, settings, prior)
            for place, fit in enumerate(search.run(settings.Cs)):
                scores[place, test, fold] = fit.scores[len(train) :, 0]
                seconds[place], began = seconds[place] + time.perf_counter() - began, time.perf_counter()
        self.candidates = [_Candidate(*values) for values in zip(settings.Cs, scores, seconds, strict=True)]

    def refit(self, kept, features):
        """Return models of all rows for some candidates."""
        X = check_features(features)
        weights = self.task.row_weights.astype(X.dtype)
        search = _make_search(X, self.task.targets, weights[:, None], self.task, self.settings)
        return search.refit(list(search.run([self.candidates[place].C for place in kept])), weights)


def _make_search(X, targets, weights, task, settings, prior=None):
    from transferkit._training.linear.search import LogisticSearch

    weights = weights[:, :, 0] if weights.shape[2:] == (1,) else weights
    shape = {"n_outputs": task.n_outputs, "prior": None if prior is None else prior.astype(X.dtype)}
    return LogisticSearch(X, targets, weights, **shape, **common(settings))


def common(settings):
    """Return what the training of every candidate is told."""
    return {name: getattr(settings, name) for name in ("fit_intercept", "tol", "max_iter", "device")}


def _fit_head(features, task, settings, C):
    weights = {"sample_weight": task.sample_weight} if task.is_weighted else {}
    return LogisticHead(**settings.parameters(C)).fit(features, task.y, **weights)
