"""The average of the candidates of a strategy, weighted by the likelihood of held-out labels (a tempered posterior).

With many rows candidates are compared in rounds, one fold after the other, and those that could have no weight given
the folds so far are left out (a race, as in Maron and Moore 1994).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.linear.grid_descent import descend_grid
from transferkit._validation import check_features
from transferkit.heads.linear.evaluation import NEGLIGIBLE_WEIGHT, compute_candidate_weights
from transferkit.transfer._evaluation import average_scores, describe_candidate, make_row
from transferkit.transfer.strategies._candidates import (
    SHARPNESS,
    drop_scores,
    first_round,
    fit_fold,
    make_search,
    refit,
)

__all__ = ["Average", "ToBeat", "search_around_best"]


@dataclass
class Candidate:
    """One candidate: its row of the table, and its models."""

    row: dict
    fold_scores: np.ndarray  # (n_folds,)
    scores: np.ndarray  # (n_samples, n_folds or more, n_scores), decision values of the models of the folds
    read_model: Callable  # returns coef, intercept, n_iter and converged of the model of all rows
    fit_fold: Callable | None  # returns the decision values of the model of a fold, (n_samples, 1, n_scores)

    @property
    def loss(self):
        """Log loss of the rows held out so far."""
        return self.row["log_loss"]

    def evaluate(self, held_out):
        """Train the models of the next folds, if there are any, and evaluate those of all folds so far."""
        for fold in range(self.scores.shape[1], len(held_out.folds)):
            self.scores = np.concatenate([self.scores, self.fit_fold(fold)], 1)
        self.fold_scores = held_out.score(self.scores)
        mean, error = average_scores(self.fold_scores)
        self.row |= {"mean": mean, "standard_error": error, "log_loss": held_out.loss(self.scores)}


class Average:
    """Candidates of one strategy.

    Parameters
    ----------
    strategy : str
        Its name.
    task : ClassificationTask
        Labels and folds.
    in_rounds : bool, default=True
        Whether candidates are added after the first round of the task, and not after the last one.
    """

    def __init__(self, strategy, task, *, in_rounds=True):
        self.strategy, self.task = strategy, task
        self.rounds = task.rounds if in_rounds else task.rounds[-1:]
        self.held_out = self.rounds[0]
        self.rows = []  # of the table, one per candidate
        self.kept = []  # candidates whose weight is not negligible so far
        self.baseline = None  # best candidate without transfer

    def add(self, scores, read_model, fit_fold=None, **values):
        """Evaluate one more candidate.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_folds or more, n_scores)
            Decision values of the models of the folds of the first round.
        read_model : callable
            Returns the model of all rows.
        fit_fold : callable, default=None
            Returns the decision values of the model of a fold that the first round lacks.
        **values : dict
            Columns of the table.

        Returns
        -------
        loss : float
            Log loss of held-out rows, NaN without folds.
        """
        row = make_row(self.strategy, [], weight=0.0, **values)
        candidate = Candidate(row, np.zeros(0), scores, read_model, fit_fold)
        candidate.evaluate(self.held_out)
        is_baseline = row["alpha"] == 0 and not row["evidence"]
        if is_baseline and self.task.has_folds and (self.baseline is None or candidate.loss < self.baseline.loss):
            self.baseline = candidate
        self.task.progress.step(name=describe_candidate(row))
        self.rows.append(row)
        self._keep([*self.kept, candidate])
        return candidate.loss

    @property
    def best(self):
        """Candidate with the least loss; of equals, and without folds, the first."""
        return min(self.kept, key=lambda candidate: candidate.loss)

    @property
    def margin(self):
        """Distance from the least loss of all folds beyond which a candidate has no weight in the average."""
        return find_margin(self.task.held_out.weight)

    @property
    def first_loss(self):
        """Loss of the best candidate in the first round."""
        return self.rounds[0].loss(self.best.scores)

    @property
    def doubt(self):
        """Difference of losses in the first round up to which further rounds may change its sign; zero without any."""
        return find_margin(self.rounds[0].n_scored) if len(self.rounds) > 1 else 0.0

    @property
    def is_beaten(self):
        """Whether the strategy is left out, because another one had a clearly smaller loss in the first round."""
        is_comparable = len(self.rounds) > 1 and self.task.to_beat is not None
        return is_comparable and self.best.loss > self.task.to_beat.loss

    def finish(self, baseline=None):
        """Evaluate the candidates in the rounds that are left, and also one without transfer."""
        for held_out in self.rounds[self.rounds.index(self.held_out) + 1 :]:
            self.held_out = held_out
            for candidate in self.kept:
                candidate.evaluate(held_out)
            self._keep(self.kept)
        if baseline is not None:
            baseline.evaluate(self.task.held_out)

    def set_to_beat(self, scores, baseline):
        """Set the loss in the first round above which further strategies are left out, if there are rounds.

        They are clearly worse than these scores of the average, and worse than the best candidate without transfer.
        """
        if len(self.rounds) > 1:
            loss = self.rounds[0].loss(scores) + self.margin
            loss = loss if baseline is None else max(loss, self.rounds[0].loss(baseline.scores))
            self.task.to_beat = ToBeat(loss, self.best.row["C"])

    def weigh(self):
        """Return (weight, candidate) of all that have a weight, and enter the weights in the table."""
        losses = np.array([candidate.loss for candidate in self.kept])
        weights = compute_candidate_weights(-self.held_out.weight * np.nan_to_num(losses), SHARPNESS).tolist()
        for weight, candidate in zip(weights, self.kept, strict=True):
            candidate.row["weight"] = weight
        return [pair for pair in zip(weights, self.kept, strict=True) if pair[0] > 0]

    def _keep(self, candidates):
        self.kept = candidates
        is_last = self.held_out is self.rounds[-1]
        least = self.best.loss + (self.margin if is_last else find_margin(self.held_out.n_scored))
        self.kept = [candidate for candidate in candidates if not candidate.loss > least]


class ToBeat(NamedTuple):
    """What a strategy found in the first round, for those after it."""

    loss: float
    C: float


def search_around_best(average, features, task, settings, before=(), **values):
    """Add the candidates whose C is near the best so far, of the average or of the strategies before, and the fits.

    Parameters
    ----------
    average : Average
        Average of a strategy.
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Features of all rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.
    before : list of fits, default=()
        Fits of some of the features, near which these start.
    **values : dict
        Columns of the table.

    Returns
    -------
    fits : list
        Those before and the new ones.
    """
    X = check_features(features)
    search = make_search(X, task.targets, task.fold_weights[:, :-1], task, settings)
    of_round, fits, row_weights = first_round(search, task), list(before), task.row_weights.astype(X.dtype)

    def evaluate(point):
        fit = of_round.fit(settings.Cs[point[1]], fits)
        fits.append(drop_scores(fit))
        readers = partial(refit, search, fits[-1], row_weights), partial(fit_fold, search, fits[-1])
        return average.add(fit.scores, *readers, C=fit.C, seconds=fit.seconds, **values)

    C = average.best.row["C"] if average.kept else task.to_beat.C
    known = [] if task.to_beat is None else [task.to_beat.loss]
    known += [candidate.loss for candidate in average.kept]
    descend_grid((1, len(settings.Cs)), [(0, settings.Cs.index(C))], evaluate, average.margin, min(known))
    return fits


def find_margin(n_rows):
    """Return the distance from the least loss beyond which a candidate has no weight, given some held-out rows."""
    return -np.log(NEGLIGIBLE_WEIGHT) / (SHARPNESS * max(n_rows, 1e-300))
