"""The average of the candidates of a strategy, weighted by the likelihood of held-out labels (a tempered posterior).

With many rows candidates are compared in rounds, one fold after the other, and those that could have no weight given
the folds so far are left out (a race, as in Maron and Moore 1994).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transferkit.heads.linear.evaluation import NEGLIGIBLE_WEIGHT, compute_candidate_weights
from transferkit.transfer._evaluation import average_scores, make_row
from transferkit.transfer.strategies._candidates import SHARPNESS

__all__ = ["Average"]


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
    def is_beaten(self):
        """Whether the strategy is left out, because another one had a clearly smaller loss in the first round."""
        return self.task.to_beat is not None and self.best.loss > self.task.to_beat

    def finish(self, baseline=None):
        """Evaluate the candidates in the rounds that are left, and also one without transfer."""
        for held_out in self.rounds[1:]:
            self.held_out = held_out
            for candidate in self.kept:
                candidate.evaluate(held_out)
            self._keep(self.kept)
        if baseline is not None:
            baseline.evaluate(self.task.held_out)

    def find_loss_to_beat(self, scores, baseline):
        """Return the loss in the first round above which other strategies are left out, None if there are no rounds.

        They are neither near these scores of the average nor better than the best candidate without transfer.
        """
        if len(self.rounds) == 1:
            return None
        first = self.rounds[0]
        near = first.loss(scores) + find_margin(first.n_scored)
        return near if baseline is None else max(near, first.loss(baseline.scores))

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


def find_margin(n_rows):
    """Return the distance from the least loss beyond which a candidate has no weight, given some held-out rows."""
    return -np.log(NEGLIGIBLE_WEIGHT) / (SHARPNESS * max(n_rows, 1e-300))


def describe_candidate(row):
    """Return what distinguishes a candidate, and its loss, as text.

    Parameters
    ----------
    row : dict
        Its row of the table.
    """
    columns = ("C", "alpha", "terms", "idf", "evidence", "log_loss")
    values = {name: row[name] if isinstance(row[name], str) else f"{row[name]:.4g}" for name in columns}
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in ("", "nan"))
