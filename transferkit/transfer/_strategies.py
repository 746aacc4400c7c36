"""Strategies of transfer for classes: which apply, how each is fitted, and which one is taken."""

import time
import warnings

import numpy as np
from sklearn.base import clone

from transferkit._validation import take_rows
from transferkit.encoders._term_projection import find_projection, join_terms
from transferkit.transfer._logistic import fit_logistic
from transferkit.transfer._outcome import Outcome, is_clearly_better, make_row
from transferkit.transfer._prior import fit_prior


def fit_strategy(estimator, strategy, X, is_text, task, settings):
    """Return the outcome of one strategy.

    Parameters
    ----------
    estimator : TransferClassifier
        Has the parameters.
    strategy : {"scratch", "frozen", "prior"}
        Name of the strategy.
    X : list of str, array or sparse matrix
        Raw input.
    is_text : bool
        Whether X holds texts.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings or None
        Candidates for C; None for heads of another kind.

    Returns
    -------
    outcome : Outcome
        Trained on all rows, judged on the folds of the task.
    """
    encoder = estimator._make_encoder(is_text, strategy)
    if strategy == "prior":
        return fit_prior(find_terms_of(encoder, X, is_text, estimator), X, task, settings)
    if settings is None or needs_labels_of_folds(encoder, estimator, strategy):
        return _fit_any_head(estimator, strategy, encoder, X, task)
    return fit_logistic(strategy, encoder, encoder.fit_transform(X, task.y), task, settings)


def find_terms_of(encoder, X, is_text, estimator):
    """Return the joint terms of encoder and labelled texts, or say why there are none."""
    name = type(estimator.encoder).__name__
    if not is_text:
        raise ValueError(
            "strategy='prior' works on the words of texts, and X holds rows of numbers. Use strategy='frozen'."
        )
    if not estimator._has_frozen_encoder():
        encoder = encoder.fit(X)
    projection = find_projection(encoder)
    if projection is None:
        raise ValueError(
            f"strategy='prior' needs an encoder that projects weights of terms linearly: a WordVectorEncoder or an "
            f"LSAEncoder. Got {name}. Use strategy='frozen'."
        )
    return join_terms(projection, X)


def needs_labels_of_folds(encoder, estimator, strategy):
    """Return whether encoder must be fitted anew in each fold, because it may look at labels or at other rows."""
    return strategy != "scratch" and not estimator._has_frozen_encoder()


def choose(outcomes):
    """Return the outcome to take, of one a strategy.

    The average of linear candidates ("prior") gives way only to what is better by more than one standard error. Without
    it the best mean wins, and pretraining wins ties. Without folds, pretraining is trusted.
    """
    by_name = {outcome.strategy: outcome for outcome in outcomes}
    order = [by_name[name] for name in ("prior", "frozen", "finetune", "scratch") if name in by_name]
    incumbent, judged = order[0], len(order[0].fold_scores) > 0
    for challenger in order[1:]:
        if not judged:
            break
        averaged = incumbent.strategy == "prior"
        if is_clearly_better(challenger, incumbent) if averaged else challenger.mean > incumbent.mean:
            incumbent = challenger
    return incumbent


def warn_without_transfer(outcome):
    """Warn when what was pretrained did not help."""
    share = sum(row["weight"] for row in outcome.rows if row["strategy"] == "prior" and row["alpha"] == 0)
    if outcome.strategy != "scratch" and not share > 0.5:
        return
    how = "scratch did better" if outcome.strategy == "scratch" else f"candidates without it weigh {share:.0%}"
    warnings.warn(
        f"Transfer did not help on the held-out labels: {how} (see strategy_scores_). An encoder pretrained on texts "
        "closer to the task may.",
        UserWarning,
        stacklevel=4,
    )


def _fit_any_head(estimator, strategy, encoder, X, task):
    """Return the outcome of a head of any kind, fitted anew with its encoder in each fold."""
    began = time.perf_counter()
    scores = []
    for train, test in task.folds if estimator.strategy == "auto" else ():
        part = clone(estimator).set_params(strategy=strategy)
        weights = {"sample_weight": task.sample_weight[train]} if task.is_weighted else {}
        part.fit(take_rows(X, train), task.y[train], **weights)
        scores.append(task.scorer(part, take_rows(X, test), task.y[test], **task.score_weights(test)))
    features = encoder.fit_transform(X, task.y)
    head = estimator._default_head() if estimator.head is None else clone(estimator.head)
    weights = {"sample_weight": task.sample_weight} if task.is_weighted else {}
    head.fit(features, task.y, **weights)
    row = make_row(strategy, scores, weight=1.0, seconds=time.perf_counter() - began)
    return Outcome(strategy, encoder, head, np.array(scores, dtype=np.float64), [row])
