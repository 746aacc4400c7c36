"""Strategy "frozen": a head on the features of an encoder that is not trained on the labels."""

import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from transferkit._validation import check_features, count_rows, read_feature_names, take_rows
from transferkit.adaptation.domains import stack_rows
from transferkit.heads import LogisticHead
from transferkit.heads.linear import warn_not_converged
from transferkit.heads.linear.evaluation import average_models
from transferkit.transfer._evaluation import Outcome, make_row
from transferkit.transfer.strategies._average import Average
from transferkit.transfer.strategies._candidates import SharedSearch, SplitSearch, make_search
from transferkit.transfer.strategies._evidence import EVIDENCE_FACTORS, make_evidence, sum_evidence

__all__ = ["FoldFeatures", "encode_folds", "finish_average", "fit_any_head", "fit_logistic"]


def fit_logistic(strategy, encoder, features, task, settings, of_folds=None, evidence=None):
    """Return the outcome of a logistic regression on features, averaged over C.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    encoder : transformer
        Encoder that computed the features.
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Features of all rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C. Without folds a middle one is used.
    of_folds : iterable of FoldFeatures, default=None
        Features on which candidates are evaluated, if the encoder is fitted in each fold; `features` if None.
    evidence : Evidence, default=None
        What is known beside labels, for a pretrained encoder.

    Returns
    -------
    outcome : Outcome
        Encoder and head, trained on all rows.
    """
    if evidence is not None:
        return _fit_with_evidence(strategy, encoder, features, task, settings, evidence)
    if not task.has_folds:
        C = settings.few_labels_C()
        head = LogisticHead(**settings.parameters(C)).fit(features, task.y, **task.fit_weights)
        row = make_row(strategy, [], C=C, weight=1.0)
        return Outcome(strategy, encoder, head, np.zeros(0), [row], features=features)
    if of_folds is None:
        search = SharedSearch(features, task, settings, in_rounds=True)
    else:
        search = SplitSearch(features, of_folds, task, settings)
    average = Average(strategy, task, in_rounds=of_folds is None)
    for place, (C, scores, seconds) in enumerate(search.found):
        average.add(scores, *search.readers(place), C=C, seconds=seconds)
    return finish_average(average, encoder, features, task, settings)


def _fit_with_evidence(strategy, encoder, features, task, settings, evidence):
    """Return the outcome with candidates for each source of evidence; without folds with all sources and one C."""
    found = make_evidence(evidence, encoder.transform, features, task, settings)
    average = Average(strategy, task)
    if not task.has_folds:
        X, offsets = check_features(features), found[-1].offsets(features, 1.0)
        search = make_search(X, task.targets, task.fold_weights, task, settings, offsets=offsets)
        fit = search.fit(settings.few_labels_C())
        average.add(fit.scores, fit.last_model, C=fit.C, evidence=found[-1].name, evidence_factor=1.0)
        return finish_average(average, encoder, features, task, settings, found)
    tried = [(source.name, factor, source.offsets(features, factor)) for source in found for factor in EVIDENCE_FACTORS]
    for name, factor, offsets in [("", np.nan, None), *tried]:
        search = SharedSearch(features, task, settings, offsets=offsets, in_rounds=True)
        for place, (C, scores, seconds) in enumerate(search.found):
            values = {"C": C, "seconds": seconds, "evidence": name, "evidence_factor": factor}
            average.add(scores, *search.readers(place), **values)
    return finish_average(average, encoder, features, task, settings, found)


def finish_average(average, encoder, features, task, settings, evidence=()):
    """Return the outcome of the candidates of an average.

    Parameters
    ----------
    average : Average
        Candidates on the features, or on the first ones: then the weights of the others are zero.
    encoder : transformer
        Encoder that computed the features.
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Features of all rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Parameters that the candidates share.
    evidence : sequence of LinearEvidence, default=()
        Models of the features whose scores are in those of the candidates.

    Returns
    -------
    outcome : Outcome
        Encoder and head, trained on all rows; without a head if the strategy is left out.
    """
    if average.is_beaten:
        return Outcome(average.strategy, None, None, np.zeros(0), average.rows)
    average.finish()
    kept = average.weigh()
    models = [_widen(candidate.read_model(), features.shape[1]) for _, candidate in kept]
    model = average_models(models, [weight for weight, _ in kept])
    coef, shift = sum_evidence(kept, evidence)
    head = task.make_head(model.coef + coef, model.intercept + shift, **settings.parameters(average.best.row["C"]))
    head.n_iter_ = np.array([model.n_iter], np.int32)
    names = read_feature_names(features)
    if names is not None:
        head.feature_names_in_ = names
    if not model.converged:
        warn_not_converged(head, model.n_iter)
    scores = sum(weight * candidate.scores for weight, candidate in kept)
    fold_scores, loss = task.held_out.score(scores), task.loss(scores)
    return Outcome(average.strategy, encoder, head, fold_scores, average.rows, loss, scores=scores, features=features)


def _widen(model, n_features):
    """Return a linear model with weights of zero for further features."""
    n_known = model.coef.shape[1]
    if n_known == n_features:
        return model
    columns = np.zeros((n_features, len(model.coef)), model.coef.dtype)
    columns[:n_known] = model.coef.T
    return replace(model, coef=columns.T)


def fit_any_head(strategy, encoder, head, X, task):
    """Return the outcome of a classifier of any kind, fitted together with its encoder in each fold.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    encoder : transformer
        Pretrained, or cloned and fitted in each fold.
    head : classifier
        Cloned.
    X : list of str, array, sparse matrix or data frame
        Raw input.
    task : ClassificationTask
        Labels and folds.

    Returns
    -------
    outcome : Outcome
        Encoder and head, trained on all rows.
    """
    began, scores = time.perf_counter(), []
    for fold, features in enumerate(encode_folds(encoder, X, task.y, task.folds)):
        train = task.folds[fold][0]
        weights = {"sample_weight": task.sample_weight[train]} if task.is_weighted else {}
        of_fold = clone(head).fit(features.train, task.y[train], **weights)
        scores.append(task.held_out.score_head(_AllClasses.of(of_fold, task), features.test, fold))
    trained = clone(head).fit(encoder.fit_transform(X, task.y), task.y, **task.fit_weights)
    row = make_row(strategy, scores, weight=1.0, seconds=time.perf_counter() - began)
    return Outcome(strategy, encoder, trained, np.array(scores, dtype=np.float64), [row])


class FoldFeatures(NamedTuple):
    """The rows of one fold, encoded by an encoder that was fitted on its training part."""

    encoder: Any
    train: Any  # features of the training rows
    test: Any  # features of the rows held out

    @property
    def both(self):
        """Features of the training rows, followed by those held out."""
        return stack_rows(self.train, self.test)

    @property
    def positions(self):
        """Positions in `both` of the training rows and of those held out, as a fold for a search."""
        n_train, n_rows = count_rows(self.train), count_rows(self.train) + count_rows(self.test)
        return np.arange(n_train), np.arange(n_train, n_rows)


def encode_folds(encoder, X, y, folds):
    """Yield the features of each fold, by an encoder that was fitted without the held-out rows and their labels.

    Parameters
    ----------
    encoder : transformer
        Cloned for each fold.
    X : list of str, array, sparse matrix or data frame
        Raw input.
    y : ndarray
        Labels or targets.
    folds : list of (train, test) indices
        Positions of the rows.

    Yields
    ------
    features : FoldFeatures
        Those of the next fold.
    """
    for train, test in folds:
        of_fold = clone(encoder)
        features = of_fold.fit_transform(take_rows(X, train), y[train])
        yield FoldFeatures(of_fold, features, of_fold.transform(take_rows(X, test)))


class _AllClasses(ClassifierMixin, BaseEstimator):
    """A head that was trained on some of the classes, with a probability of zero for the others."""

    def __init__(self, head, classes):
        self.head, self.classes_ = head, classes

    @classmethod
    def of(cls, head, task):
        """Return the head, wrapped if it lacks classes of the task."""
        lacks = not task.multilabel and len(getattr(head, "classes_", task.classes)) < len(task.classes)
        return cls(head, task.classes) if lacks else head

    def predict(self, X):
        """Return the head's predictions."""
        return self.head.predict(X)

    def predict_proba(self, X):
        """Return probabilities in the order of all classes."""
        found = self.head.predict_proba(X)
        probabilities = np.zeros((len(found), len(self.classes_)), found.dtype)
        probabilities[:, np.searchsorted(self.classes_, self.head.classes_)] = found
        return probabilities
