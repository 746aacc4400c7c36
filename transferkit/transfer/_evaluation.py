"""Evaluation of strategies on held-out labels: the folds, the outcome of each strategy, and which one is selected."""

import warnings
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv

from transferkit._estimator import UNWATCHED
from transferkit._validation import check_sample_weight
from transferkit.heads import LogisticHead
from transferkit.heads.linear import compute_sample_weights, encode_labels
from transferkit.heads.linear.evaluation import HeldOut, compute_fold_weights

__all__ = [
    "ClassificationTask",
    "Outcome",
    "average_scores",
    "choose",
    "describe_candidate",
    "fit_in_turn",
    "is_clearly_better",
    "make_folds",
    "make_head",
    "make_row",
    "report_undefined",
    "subtract_scores",
    "tabulate",
]

FEWEST_LABELS = 4  # per class, on average; with fewer there are no folds
MANY_ROWS, MOST_FOLDS_OF_MANY = 2500, 3  # thousands of held-out rows distinguish candidates in few folds
FEWEST_ROWS_FOR_ROUNDS = 2500  # beyond, the rows that one fold holds out tell bad candidates from good ones
LEAST_DIFFERENCE = 1e-12  # of scores; less is rounding
COLUMNS = (
    "strategy",
    "evidence",
    "evidence_factor",
    "alpha",
    "C",
    "idf",
    "terms",
    "weight",
    "log_loss",
    "mean",
    "standard_error",
    "seconds",
)
_TEXTS = ("strategy", "evidence", "idf", "terms")


class ClassificationTask:
    """Labels of some rows as numbers, folds of these rows, and evaluation on the rows that each fold holds out.

    Parameters
    ----------
    estimator : estimator
        Named in errors.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Labels or indicators.
    cv : int, splitter or iterable
        Folds, see `make_folds`.
    scoring : str, callable or None
        Score of the folds; accuracy if None.
    class_weight : dict, "balanced" or None
        Weights of the classes; for indicators, "balanced" weights each label separately.
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the rows.
    groups : array-like of shape (n_samples,) or None
        Groups, for splitters that use them.
    random_state : int, RandomState instance or None
        Shuffles the rows before an int `cv` makes folds of them.
    progress : FitProgress, default=UNWATCHED
        Reports the candidates that are evaluated.
    """

    def __init__(
        self, estimator, y, *, cv, scoring, class_weight, sample_weight, groups, random_state, progress=UNWATCHED
    ):
        self.y, self.class_weight, self.progress = y, class_weight, progress
        self.classes, self.targets, self.multilabel = encode_labels(estimator, y)
        self.n_outputs = 1 if self.multilabel or len(self.classes) == 2 else len(self.classes)
        self.n_scores = len(self.classes) if self.multilabel else self.n_outputs
        rows = np.arange(len(self.targets))
        placeholder = np.zeros((len(rows), 1), np.float32)
        self.sample_weight = check_sample_weight(sample_weight, placeholder, dtype=np.float32, ensure_non_negative=True)
        self.is_weighted = sample_weight is not None
        self.folds = make_folds(y, self.targets, cv, groups, random_state)
        with_all = [*self.folds, (rows, rows[:0])]
        # (n_samples, n_folds + 1) or (n_samples, n_folds + 1, n_labels); the last ones are those of all rows
        self.fold_weights = compute_fold_weights(self, self.classes, self.targets, with_all, self.sample_weight)
        self.row_weights = self.fold_weights[:, -1].reshape(len(rows), -1)
        of_folds = self.fold_weights[:, :-1]
        given = self.classes, y, self.targets, self.folds, of_folds, self.sample_weight
        self.held_out = HeldOut(scoring, *given, is_weighted=self.is_weighted)
        self.rounds = [self.held_out]  # of a comparison, which may leave out candidates after each
        if self.folds and len(rows) > FEWEST_ROWS_FOR_ROUNDS and isinstance(cv, Integral) and groups is None:
            self.rounds = [self.held_out.on_first_folds(n_folds + 1) for n_folds in range(len(self.folds))]
        self.to_beat = None  # what strategies before found in the first round, and further ones must reach

    @property
    def has_folds(self):
        """Whether there are enough labels to hold some out."""
        return len(self.folds) > 0

    @property
    def n_weights(self):
        """Number of weights per row: one, or one per label."""
        return self.row_weights.shape[1]

    @property
    def fit_weights(self):
        """Keyword arguments for the `fit` of a head on all rows."""
        return {"sample_weight": self.sample_weight} if self.is_weighted else {}

    def weigh(self, train):
        """Return the weights in training of some rows, (n_train, 1), or (n_train, n_labels) if labels differ."""
        rows, given = np.zeros((len(train), 1), np.float32), self.sample_weight[train]
        return compute_sample_weights(self, rows, self.classes, self.targets[train], self.multilabel, given)

    def loss(self, scores):
        """Return the mean negative log-likelihood of held-out rows, NaN without folds.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_folds or more, n_scores)
            Decision values of each fold's model.
        """
        return self.held_out.loss(scores)

    def make_head(self, coef, intercept, **parameters):
        """Return a fitted head with these weights (n_outputs or n_labels, n_features)."""
        return make_head(self.classes, coef, intercept, multilabel=self.multilabel, **parameters)

    def spread_classes(self, head):
        """Return a head with weights for every class of the task, zero for those that it was not trained on."""
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


def make_head(classes, coef, intercept, *, multilabel=False, **parameters):
    """Return a fitted LogisticHead with these weights (n_outputs or n_labels, n_features)."""
    head = LogisticHead(**parameters)
    head.classes_, head.multilabel_, head.coef_, head.intercept_ = classes, multilabel, coef, intercept
    head.n_iter_, head.prior_coverage_ = np.zeros(1, np.int32), None
    head.n_features_in_ = coef.shape[1]
    return head


def make_folds(y, targets, cv, groups=None, random_state=None):
    """Return (train, test) positions of each fold.

    Parameters
    ----------
    y : ndarray
        Labels as given, for splitters.
    targets : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Class numbers or indicators.
    cv : int, splitter or iterable of (train, test) indices
        An int is the number of stratified, shuffled folds: fewer of very many rows, and none of very few labels.
    groups : array-like of shape (n_samples,), default=None
        With an int `cv` rows of one group are held out together.
    random_state : int, RandomState instance or None
        Seed of the shuffling.

    Returns
    -------
    folds : list of (ndarray, ndarray)
        The folds.
    """
    rows, multilabel = np.arange(len(targets)), targets.ndim == 2
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
            raise ValueError("groups must name at least 2 groups, because rows of one group are held out together.")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        return list(kind(most, shuffle=True, random_state=random_state).split(rows[:, None], strata, groups))


@dataclass
class Outcome:
    """A fitted strategy."""

    strategy: str
    encoder: Any
    head: Any
    fold_scores: np.ndarray  # (n_folds,)
    rows: list  # of the table, one per candidate
    loss: float = np.nan  # mean negative log-likelihood of held-out labels, NaN if it is not known
    attributes: dict = field(default_factory=dict)  # further fitted attributes
    scores: np.ndarray | None = None  # decision values of each fold's model for all rows, if they are kept
    baseline: tuple | None = None  # loss and fold scores of its best candidate without transfer, if it has one
    features: Any = None  # all rows, encoded, if the head is linear

    @property
    def mean(self):
        """Mean score of the folds that have one."""
        return average_scores(self.fold_scores)[0]


def make_row(strategy, fold_scores, **values):
    """Return one row of the table of candidates; missing values are NaN, or "" for text."""
    mean, error = average_scores(fold_scores)
    row = dict.fromkeys(COLUMNS, np.nan) | dict.fromkeys(_TEXTS, "")
    return row | {"strategy": strategy, "mean": mean, "standard_error": error} | values


def describe_candidate(row):
    """Return what distinguishes a candidate, and its loss or else its score, as text.

    Parameters
    ----------
    row : dict
        Its row of the table.
    """
    columns = ("C", "alpha", "terms", "idf", "evidence", "mean" if np.isnan(row["log_loss"]) else "log_loss")
    values = {name: row[name] if isinstance(row[name], str) else f"{row[name]:.4g}" for name in columns}
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in ("", "nan"))


def average_scores(fold_scores):
    """Return the mean of the folds that have a score, and its standard error; NaN if there are too few folds."""
    fold_scores = np.asarray(fold_scores, dtype=np.float64)
    fold_scores = fold_scores[~np.isnan(fold_scores)]
    n_folds = len(fold_scores)
    mean = float(np.mean(fold_scores)) if n_folds else np.nan
    return mean, float(np.std(fold_scores, ddof=1) / np.sqrt(n_folds)) if n_folds > 1 else np.nan


def tabulate(rows):
    """Return rows as a dict of columns, which ``pandas.DataFrame`` takes."""
    return {
        name: np.array([row[name] for row in rows], dtype=np.str_ if name in _TEXTS else np.float64) for name in COLUMNS
    }


def fit_in_turn(fit, names, progress):
    """Return the outcomes `fit(name)` of the strategies, of all unless a callback requests to stop.

    Parameters
    ----------
    fit : callable
        Takes the name of a strategy.
    names : list of str
        Strategies.
    progress : FitProgress
        Reports each of them.
    """
    outcomes = []
    for name in names:
        with progress.stage(name):
            outcomes.append(fit(name))
        if progress.stopped:
            break
    return outcomes


def choose(outcomes):
    """Return the outcome to use, of one per strategy.

    The average of linear candidates on term vectors is replaced only by an outcome that is clearly better (see
    `is_clearly_better`). Without it the best mean wins, and pretraining wins ties. Without folds, pretraining is used.
    """
    incumbent = outcomes[0]
    for challenger in outcomes[1:]:
        if len(incumbent.fold_scores) == 0:
            break
        wins = is_clearly_better if incumbent.strategy == "term_vectors" else is_better
        if wins(challenger, incumbent):
            incumbent = challenger
    return incumbent


def report_undefined(task, outcomes):
    """Warn, or raise ValueError, if folds have no score by which outcomes could be compared."""
    scores = [outcome.fold_scores for outcome in outcomes if len(outcome.fold_scores)]
    if len(scores) > 1:
        task.held_out.report_undefined(np.stack(scores))


def is_better(challenger, incumbent):
    """Return whether the challenger's mean is higher, over the folds in which both have a score."""
    difference = subtract_scores(challenger.fold_scores, incumbent.fold_scores)
    return len(difference) > 0 and difference.mean() > LEAST_DIFFERENCE


def is_clearly_better(challenger, incumbent):
    """Return whether the challenger's mean is higher by more than one standard error, and its loss is not higher."""
    difference = subtract_scores(challenger.fold_scores, incumbent.fold_scores)
    if challenger.loss > incumbent.loss or len(difference) < 2:  # the first is false if a loss is NaN
        return False
    return difference.mean() > max(difference.std(ddof=1) / np.sqrt(len(difference)), LEAST_DIFFERENCE)


def subtract_scores(scores, others):
    """Return the differences of fold scores, for the folds in which both have one."""
    difference = scores - others
    return difference[~np.isnan(difference)]
