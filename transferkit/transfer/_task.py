"""A classification task: labels as numbers, folds, weights of the rows, and how predictions are judged."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv

from transferkit._algorithms.linear.predictions import UNTRAINED
from transferkit._validation import check_sample_weight
from transferkit.heads import LogisticHead
from transferkit.heads.linear._fold_scores import DecidedRows, read_scorer, report_undefined, score_fold, takes_weights
from transferkit.heads.linear._logistic import read_targets, weigh_targets

FEWEST_LABELS = 4  # a class, on average; with fewer there are no folds
MANY_ROWS, MOST_FOLDS_OF_MANY = 5000, 3  # thousands of held-out rows tell candidates apart in few folds
_FLOOR = -30.0  # least log-probability that counts: one row must not decide between candidates


class ClassificationTask:
    """Labels of some rows, in numbers.

    Parameters
    ----------
    estimator : estimator
        For the words of errors.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Labels or indicators.
    cv : int, splitter or iterable
        As given by the user.
    scoring : str, callable or None
        What the folds are scored by; accuracy if None.
    class_weight : dict, "balanced" or None
        Weights of the classes; of indicators "balanced" ones for each label.
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the rows.
    groups : array-like of shape (n_samples,) or None
        Groups, for splitters that ask for them.
    random_state : int, RandomState instance or None
        Shuffles the rows before an int `cv` makes folds of them.
    """

    def __init__(self, estimator, y, *, cv, scoring, class_weight, sample_weight, groups, random_state):
        self.y, self.scoring = y, scoring
        self.classes, self.targets, self.multilabel = read_targets(estimator, y)
        n_rows = len(self.targets)
        self.n_outputs = 1 if self.multilabel or len(self.classes) == 2 else len(self.classes)
        self.n_scores = len(self.classes) if self.multilabel else self.n_outputs
        self.class_weight = class_weight
        placeholder = np.zeros((n_rows, 1), np.float32)
        self.sample_weight = check_sample_weight(sample_weight, placeholder, dtype=np.float32, ensure_non_negative=True)
        self.is_weighted = sample_weight is not None
        self.scorer = read_scorer(scoring, self.classes, self.multilabel)
        self.weighs_scores = self.is_weighted and takes_weights(self.scorer)
        self.folds = make_folds(y, self.targets, self.multilabel, cv, groups, random_state)
        self.row_weights = self.weigh(np.arange(n_rows))  # of all rows
        self.n_weights = self.row_weights.shape[1]
        by_fold = np.stack([*(self._weigh_all(train) for train, _ in self.folds), self.row_weights], axis=1)
        self.fold_weights = by_fold[:, :, 0] if self.n_weights == 1 else by_fold
        self.trained = np.ones((len(self.folds), len(self.classes)), bool)  # whether a fold's training part has a class
        if not self.multilabel:
            weights = [np.bincount(self.targets, column, len(self.classes)) for column in self.fold_weights.T[:-1]]
            self.trained = np.array(weights).reshape(self.trained.shape) > 0

    @property
    def held_weight(self):
        """Weight of the rows that count in some fold: how much their losses prove."""
        counts = np.zeros(len(self.targets), bool)
        for fold, (_, test) in enumerate(self.folds):
            counts[test if self.multilabel else test[self.trained[fold, self.targets[test]]]] = True
        return float(self.sample_weight[counts].sum(dtype=np.float64))

    @property
    def has_folds(self):
        """Whether there are labels enough to hold some out."""
        return len(self.folds) > 0

    def make_head(self, coef, intercept, **parameters):
        """Return a fitted head with these weights (n_outputs or n_labels, n_features)."""
        head = LogisticHead(**parameters)
        head.classes_, head.multilabel_, head.coef_, head.intercept_ = self.classes, self.multilabel, coef, intercept
        head.n_iter_, head.prior_coverage_ = np.zeros(1, np.int32), None
        head.n_features_in_ = coef.shape[1]
        return head

    def spread_classes(self, head):
        """Return a head with a row of weights for every class of the task, zero for those it was not trained on."""
        if self.multilabel or len(head.classes_) == len(self.classes):
            return head
        here = np.searchsorted(self.classes, head.classes_)
        known = len(head.coef_) if len(head.classes_) > 2 else 2
        coef = head.coef_ if known > 2 else np.vstack([-head.coef_ / 2, head.coef_ / 2])
        shift = head.intercept_ if known > 2 else np.array([-head.intercept_[0] / 2, head.intercept_[0] / 2])
        weights = np.zeros((len(self.classes), coef.shape[1]), coef.dtype)
        intercept = np.full(len(self.classes), shift.min() - 5, shift.dtype)
        weights[here], intercept[here] = coef, shift
        return self.make_head(weights, intercept, **head.get_params())

    def loss(self, scores):
        """Return the mean negative log-likelihood of held-out rows.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_folds or more, n_outputs or n_labels)
            Decision values of each fold's model for all rows.

        Returns
        -------
        loss : float
            NaN without folds. Weighted by the rows' weights. Rows whose class is missing from the training part do not
            count: no candidate knows it.
        """
        if not self.has_folds:
            return np.nan
        total = weight = 0.0
        for fold, (_, test) in enumerate(self.folds):
            likelihood, counts = self._log_likelihood(scores[test, fold].astype(np.float64), test, fold)
            total -= (likelihood * counts).sum()
            weight += counts.sum()
        return total / max(weight, 1e-300)

    def score_folds(self, scores):
        """Return the score of each fold, (n_folds,), from decision values as `loss` takes them; NaN if undefined."""
        head, results = DecidedRows(self.classes, self.multilabel), []
        for fold, (_, test) in enumerate(self.folds):
            decided = scores[test, fold]
            if scores.shape[2] > 1:  # classes that are missing from the training part are not predicted
                decided = np.where(self.trained[fold], decided, UNTRAINED)
            results.append(self.score_fold(head, decided, fold))
        return np.array(results, dtype=np.float64)

    def score_fold(self, head, X, fold):
        """Return the score of a fold's held-out rows X as a head predicts them."""
        test = self.folds[fold][1]
        weights = {"sample_weight": self.sample_weight[test]} if self.weighs_scores else {}
        return score_fold(self.scorer, head, X, self.y[test], fold, **weights)

    def report_undefined(self, outcomes):
        """Warn, or raise ValueError, where folds have no score by which outcomes could be compared."""
        scores = [outcome.fold_scores for outcome in outcomes if len(outcome.fold_scores)]
        if len(scores) > 1:
            report_undefined(np.stack(scores), self.y, self.folds, self.classes)

    def _log_likelihood(self, scores, test, fold):
        """Return log-likelihoods and weights of the held-out rows."""
        counts = self.sample_weight[test].astype(np.float64)
        if self.multilabel:
            signs = 2.0 * self.targets[test] - 1
            return np.maximum(-np.logaddexp(0, -signs * scores), _FLOOR).sum(1), counts
        labels = self.targets[test]
        if scores.shape[1] == 1:
            scores = np.hstack([np.zeros_like(scores), scores])
        trained = self.trained[fold]
        scores = np.where(trained, scores, -np.inf)
        largest = scores.max(1, keepdims=True)
        normaliser = largest[:, 0] + np.log(np.exp(scores - largest).sum(1))
        likelihood = scores[np.arange(len(labels)), labels] - normaliser
        return np.maximum(likelihood, _FLOOR), counts * trained[labels]

    def weigh(self, train):
        """Return the weights in training of some rows, (n_train, 1), or (n_train, n_labels) where labels differ."""
        rows = np.zeros((len(train), 1), np.float32)
        return weigh_targets(self, rows, self.classes, self.targets[train], self.multilabel, self.sample_weight[train])

    def _weigh_all(self, train):
        """Return weights of all rows, zero for those that are not in training."""
        weights = np.zeros((len(self.targets), self.n_weights), np.float32)
        np.add.at(weights, train, self.weigh(train))  # a row that a bootstrap repeats counts as often
        return weights


class AllClasses(ClassifierMixin, BaseEstimator):
    """A head that was trained on some of the classes, with a probability of zero for the others."""

    def __init__(self, head, classes):
        self.head, self.classes_ = head, classes

    @classmethod
    def of(cls, head, task):
        """Return the head, in this disguise where it lacks classes of the task."""
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


def make_folds(y, targets, multilabel, cv, groups, random_state):
    """Return (train, test) positions of each fold; none where an int asks for folds of very few labels."""
    rows = np.arange(len(targets))
    if not isinstance(cv, Integral):
        folds = check_cv(cv, y, classifier=True).split(rows[:, None], y, groups)
        return [(rows[train], rows[test]) for train, test in folds]  # masks become positions
    counts = np.array([len(targets)]) if multilabel else np.bincount(targets)
    if len(targets) < FEWEST_LABELS * max(len(counts), 2) or (not multilabel and np.sort(counts)[-2] < 2):
        return []
    strata = np.zeros(len(targets), np.int64) if multilabel else targets
    most = min(cv, int(counts.max()), MOST_FOLDS_OF_MANY if len(targets) > MANY_ROWS else cv)
    kind = StratifiedKFold
    if groups is not None:
        kind, most = StratifiedGroupKFold, min(most, len(np.unique(groups)))
        if most < 2:
            raise ValueError("groups must name at least 2 groups: rows of one are held out together.")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        return list(kind(most, shuffle=True, random_state=random_state).split(rows[:, None], strata, groups))
