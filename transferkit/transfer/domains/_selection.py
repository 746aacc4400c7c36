"""Selection of a candidate by estimates of its error rate in the target, without target labels."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold

from transferkit._algorithms.domains.diagnostics import (
    agreed_gain,
    confidence_risk,
    deep_embedded_risk,
    weighted_risk,
)
from transferkit._algorithms.domains.importance_weights import effective_sample_size
from transferkit.adaptation.domains import stack_rows
from transferkit.exceptions import count_inner_frames
from transferkit.heads import LogisticHeadCV
from transferkit.transfer.domains._candidates import BLENDS, N_FOLDS

__all__ = [
    "density_ratio",
    "estimate_error_rates",
    "make_single_row",
    "select_candidate",
    "tabulate",
    "warn_too_few_labels",
]

CRITERIA = ("iwv", "dev", "circular", "entropy")
SOURCE_CRITERIA = CRITERIA[:3]
COLUMNS = ("adaptation", *CRITERIA, "median", "gain", "standard_error", "n_in_favour", "chosen", "seconds")
FEWEST_EFFECTIVE = 0.2  # effective sample size, relative to the source, below which a weighted criterion is not used
LEAST_GAIN, LEAST_ERRORS = 0.0075, 1.0  # reduction of the error rate that counts, absolute and in standard errors
_MOST_LOG_RATIO = 20.0


def estimate_error_rates(fitted, domains, shared_weights):
    """Return estimates of a candidate's error rate in the target, by criterion; inapplicable criteria are missing.

    `shared_weights` (n_source,) are density ratios of source samples from features without adaptation, shared by all
    candidates.
    """
    classes, truth = fitted.head.classes_, domains.y[domains.is_source]
    held_out = fitted.held_out[domains.is_source]
    is_wrong = (classes[held_out.argmax(1)] != truth).astype(np.float64)
    found = {}
    if _are_reliable(shared_weights):
        found["iwv"] = weighted_risk(is_wrong, shared_weights)
    own_weights = density_ratio(_to_scores(held_out), _to_scores(fitted.target))
    if _are_reliable(own_weights):
        found["dev"] = deep_embedded_risk(is_wrong, own_weights)
    pseudo = classes[fitted.target.argmax(1)]
    reverse = np.unique(pseudo)[fitted.predict_source(pseudo).argmax(1)]
    found["circular"] = weighted_risk((reverse != truth).astype(np.float64), np.ones(len(truth)))
    found["entropy"] = confidence_risk(held_out, is_wrong, fitted.target)
    return found


def density_ratio(source, target, C=1.0):
    """Return p_target / p_source of source samples (n_source,), from the odds of a held-out logistic regression.

    The odds of training samples would be too extreme, because a classifier of many features overfits.
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


def select_candidate(candidates, estimates):
    """Return the index of the selected candidate, and the rows of the table.

    The first candidate has no adaptation. A candidate is preferred to it if the estimated error rate, by the median of
    the criteria available for both, is lower by more than `LEAST_GAIN` and `LEAST_ERRORS` standard errors; of several
    such candidates, the one with the largest reduction is selected. A blend is then preferred to the selected candidate
    unless its error rate is higher by more than these.
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


def make_single_row(name, seconds):
    """Return the row of a candidate that was not compared with others."""
    return dict.fromkeys(COLUMNS, np.nan) | {"adaptation": name, "n_in_favour": 0, "chosen": True, "seconds": seconds}


def tabulate(rows):
    """Return rows as a dict of columns, which ``pandas.DataFrame`` accepts."""
    kinds = {"adaptation": np.str_, "chosen": np.bool_, "n_in_favour": np.int64}
    return {
        name: np.array([row.get(name, np.nan) for row in rows], dtype=kinds.get(name, np.float64)) for name in COLUMNS
    }


def warn_too_few_labels(counts):
    """Warn that candidates cannot be compared."""
    warnings.warn(
        f"adaptation='auto' compares candidates on held-out labels, but one class has only {counts.min()}: no "
        "adaptation is used. Give at least 2 labels per class, or name an adaptation.",
        UserWarning,
        stacklevel=count_inner_frames(),
    )


class _Change(NamedTuple):
    """Reduction of the estimated error rate from one candidate to another, over the criteria available for both."""

    gain: float
    error: float
    n_in_favour: int
    median: float  # of the estimates for the second candidate

    @property
    def least(self):
        """Gain beyond which a difference counts."""
        return max(LEAST_GAIN, LEAST_ERRORS * self.error)


def _compare(before, after):
    shared = [criterion for criterion in CRITERIA if criterion in before and criterion in after]
    before, after = ({criterion: found[criterion] for criterion in shared} for found in (before, after))
    median = float(np.median([estimate.value for estimate in after.values()]))
    return _Change(*agreed_gain(before, after, SOURCE_CRITERIA), median)


def _are_reliable(weights):
    return effective_sample_size(weights) >= FEWEST_EFFECTIVE * len(weights)


def _to_scores(probabilities):
    """Return centred log-probabilities and their scaled squares, the features of a classifier of domains."""
    scores = np.log(np.clip(probabilities, 1e-6, 1))
    scores = scores - scores.mean(1, keepdims=True)
    return np.hstack([scores, np.square(scores) / 10]) / 10
