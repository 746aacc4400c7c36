"""What a strategy comes to: a fitted encoder and head, and how they did on held-out labels."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

COLUMNS = ("strategy", "alpha", "C", "idf", "terms", "weight", "log_loss", "mean", "standard_error", "seconds")
LEAST_DIFFERENCE = 1e-12  # of scores; less is rounding
_TEXTS = ("strategy", "idf", "terms")


@dataclass
class Outcome:
    """A fitted strategy."""

    strategy: str
    encoder: Any
    head: Any
    fold_scores: np.ndarray  # (n_folds,)
    rows: list  # of the table, one a candidate
    loss: float = np.nan  # mean negative log-likelihood of held-out labels, where it is known
    attributes: dict = field(default_factory=dict)  # further fitted attributes
    scores: np.ndarray | None = None  # decision values of each fold's model for all rows, where they are kept

    @property
    def mean(self):
        """Mean score of the folds that have one."""
        return summarise(self.fold_scores)[0]


def make_row(strategy, fold_scores, **values):
    """Return one row of the table of candidates; what is not given is NaN, or "" for text."""
    mean, error = summarise(fold_scores)
    row = dict.fromkeys(COLUMNS, np.nan) | dict.fromkeys(_TEXTS, "")
    return row | {"strategy": strategy, "mean": mean, "standard_error": error} | values


def summarise(fold_scores):
    """Return the mean of the folds that have a score, and its standard error; NaN where they are too few."""
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


def is_better(challenger, incumbent):
    """Return whether the challenger's mean is higher, over the folds in which both have a score."""
    difference = _subtract(challenger, incumbent)
    return len(difference) > 0 and difference.mean() > LEAST_DIFFERENCE


def is_clearly_better(challenger, incumbent):
    """Return whether the challenger's mean is higher by more than one standard error, and its loss is not higher."""
    difference = _subtract(challenger, incumbent)
    if challenger.loss > incumbent.loss or len(difference) < 2:  # the first is false where a loss is not known
        return False
    return difference.mean() > max(difference.std(ddof=1) / np.sqrt(len(difference)), LEAST_DIFFERENCE)


def _subtract(challenger, incumbent):
    difference = challenger.fold_scores - incumbent.fold_scores
    return difference[~np.isnan(difference)]
