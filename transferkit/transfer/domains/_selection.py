"""Which adaptation to take, without target labels, and when to take none."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold

from transferkit._algorithms.domains.importance_weights import effective_sample_size
from transferkit._algorithms.domains.validation import (
    agreed_gain,
    confidence_risk,
    deep_embedded_risk,
    weighted_risk,
)
from transferkit._validation import count_inner_frames
from transferkit.adaptation.domains import stack_rows
from transferkit.heads import LogisticHeadCV
from transferkit.transfer.domains._candidates import BLENDS, N_FOLDS

CRITERIA = ("iwv", "dev", "circular", "entropy")
SOURCE_CRITERIA = CRITERIA[:3]
COLUMNS = ("adaptation", *CRITERIA, "median", "gain", "standard_error", "n_in_favour", "chosen", "seconds")
FEWEST_EFFECTIVE = 0.2  # of the source rows; below, the weights rest on a few of them and their criterion does not vote
LEAST_GAIN, LEAST_ERRORS = 0.0075, 1.0  # what is clear: so much of an error rate, and one standard error
_MOST_LOG_RATIO = 20.0


def judge(fitted, domains, shared_weights):
    """Return the estimates of the target's error rate, by criterion; those that cannot say are left out.

    Parameters
    ----------
    fitted : Fitted
        A candidate with the predictions that it is judged by.
    domains : Domains
        Rows.
    shared_weights : array of shape (n_source,)
        Density ratios of source rows, the same for all candidates.
    """
    classes, truth = fitted.head.classes_, domains.y[domains.is_source]
    held_out = fitted.held_out[domains.is_source]
    is_wrong = (classes[held_out.argmax(1)] != truth).astype(np.float64)
    found = {}
    if is_supported(shared_weights):
        found["iwv"] = weighted_risk(is_wrong, shared_weights)
    own_weights = density_ratio(_to_scores(held_out), _to_scores(fitted.target))
    if is_supported(own_weights):
        found["dev"] = deep_embedded_risk(is_wrong, own_weights)
    pseudo = classes[fitted.target.argmax(1)]
    reverse = np.unique(pseudo)[fitted.learn_back(pseudo).argmax(1)]
    found["circular"] = weighted_risk((reverse != truth).astype(np.float64), np.ones(len(truth)))
    found["entropy"] = confidence_risk(held_out, is_wrong, fitted.target)
    return found


def density_ratio(source, target, C=1.0):
    """Return p_target / p_source of source rows (n_source,), from the odds of logistic regression on other rows.

    Of its own training rows a classifier of many features is surer than it has reason to be.
    """
    domain = np.repeat([0, 1], [source.shape[0], target.shape[0]])
    n_folds = min(N_FOLDS, *np.bincount(domain))
    scores = np.zeros(source.shape[0])
    if n_folds > 1:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
        search = LogisticHeadCV([C], cv=folds, scoring="neg_log_loss", refit=False, store_oof=True, device="cpu")
        scores = np.asarray(search.fit(stack_rows(source, target), domain).oof_decision_[0, : len(scores)], np.float64)
        scores += np.log(source.shape[0] / target.shape[0])
    return np.exp(np.clip(scores, -_MOST_LOG_RATIO, _MOST_LOG_RATIO))


def is_supported(weights):
    """Return whether weights rest on enough rows to estimate anything."""
    return effective_sample_size(weights) >= FEWEST_EFFECTIVE * len(weights)


def choose(candidates, estimates):
    """Return the position of the candidate to take, and the rows of the table.

    The first candidate is none. Another one takes its place where the estimates, by the median of the criteria that
    both have, fall by more than 0.75 points and one standard error; half of the criteria at least then see it. Of
    several, it is the one with the largest gain. With a blend the burden of proof is the other way round: it takes the
    place of what was chosen unless they rise by so much.
    """
    rows, best, largest = [], 0, 0.0
    for position, (candidate, found) in enumerate(zip(candidates, estimates, strict=True)):
        change = _compare(estimates[0], found)
        if candidate.name not in BLENDS and change.gain > max(change.least, largest):
            best, largest = position, change.gain
        values = {criterion: found[criterion].value if criterion in found else np.nan for criterion in CRITERIA}
        row = {"adaptation": candidate.name, "median": change.median, "gain": change.gain}
        row |= {"standard_error": change.error, "n_in_favour": change.n_in_favour, "seconds": candidate.seconds}
        rows.append(row | values)
    for position, (candidate, found) in enumerate(zip(candidates, estimates, strict=True)):
        change = _compare(estimates[best], found)
        if candidate.name in BLENDS and change.gain > -change.least:
            best = position
    for position, row in enumerate(rows):
        row["chosen"] = position == best
    return best, rows


class _Change(NamedTuple):
    """By how much the estimates of one candidate are below those of another, by the criteria that both have."""

    gain: float
    error: float
    n_in_favour: int
    median: float  # of the estimates themselves

    @property
    def least(self):
        """What a gain must exceed to be clear."""
        return max(LEAST_GAIN, LEAST_ERRORS * self.error)


def _compare(before, after):
    shared = [criterion for criterion in CRITERIA if criterion in before and criterion in after]
    before, after = ({criterion: found[criterion] for criterion in shared} for found in (before, after))
    median = float(np.median([estimate.value for estimate in after.values()]))
    return _Change(*agreed_gain(before, after, SOURCE_CRITERIA), median)


def tabulate(rows):
    """Return rows as a dict of columns, which ``pandas.DataFrame`` takes."""
    kinds = {"adaptation": np.str_, "chosen": np.bool_, "n_in_favour": np.int64}
    return {
        name: np.array([row.get(name, np.nan) for row in rows], dtype=kinds.get(name, np.float64)) for name in COLUMNS
    }


def make_row_of_one(name, seconds):
    """Return the row of a candidate that was not compared with others."""
    return dict.fromkeys(COLUMNS, np.nan) | {"adaptation": name, "n_in_favour": 0, "chosen": True, "seconds": seconds}


def warn_too_few_labels(counts):
    """Warn that candidates cannot be compared."""
    warnings.warn(
        f"adaptation='auto' compares candidates on held-out labels, and a class has {counts.min()} of them: no "
        "adaptation is used. Give at least 2 labels a class, or name an adaptation.",
        UserWarning,
        stacklevel=count_inner_frames(),
    )


def _to_scores(probabilities):
    """Return centred log-probabilities and their squares, scaled alike: the last features of a linear classifier."""
    scores = np.log(np.clip(probabilities, 1e-6, 1))
    scores = scores - scores.mean(1, keepdims=True)
    return np.hstack([scores, np.square(scores) / 10]) / 10
