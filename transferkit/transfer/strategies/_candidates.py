"""Candidates for the hyperparameters of a logistic regression: trained on folds, evaluated there, and averaged.

Every strategy with a linear head compares candidates in the same way. A search trains the models of all folds for each
candidate; an `Average` collects their decision values for held-out rows and weights candidates by their likelihood.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from transferkit._algorithms.linear.kernel_search import KernelSearch
from transferkit._validation import check_features, check_parameters
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.heads.linear import read_candidates

__all__ = [
    "LOOSE_TOL",
    "SHARPNESS",
    "LogisticSettings",
    "SharedSearch",
    "SplitSearch",
    "check_head_of_candidates",
    "drop_scores",
    "first_round",
    "fit_fold",
    "make_search",
    "read_settings",
    "refit",
]

CS = (0.1, 1.0, 10.0, 100.0, 1000.0)
SHARPNESS = 0.25  # of the average; 1/4, 1/2 and 1 were tried on development sets, and differed by tenths of a point
LOOSE_TOL = 1e-3  # of the default head if many candidates are averaged, or a source is the prior
FEW_LABELS_C = 10.0  # if labels are too few to select one; of a given head's candidates the nearest


@dataclass(frozen=True)
class LogisticSettings:
    """Candidates for C, and the parameters that they share."""

    Cs: tuple
    class_weight: dict | str | None
    fit_intercept: bool
    tol: float
    max_iter: int
    device: str

    def nearest_C(self, C):
        """Return the candidate nearest to some C."""
        return min(self.Cs, key=lambda candidate: abs(np.log(candidate / C)))

    def few_labels_C(self):
        """Return the candidate to use if labels are too few to select one."""
        return self.nearest_C(FEW_LABELS_C)

    def parameters(self, C):
        """Return the parameters of a head with that C."""
        return {"C": float(C), **{name: value for name, value in vars(self).items() if name != "Cs"}}


_OF_OTHERS = {"cv": "cv", "scoring": "scoring", "refit": None, "store_oof": None, "block_scales": None}


def check_head_of_candidates(head, estimator):
    """Raise ValueError if a head that specifies candidates has parameters that their comparison ignores.

    Parameters
    ----------
    head : classifier or None
        As given.
    estimator : estimator
        Estimator with this head, named in the error.
    """
    if head is None or read_settings(head, "cpu") is None:
        return
    defaults = type(head)().get_params()
    for name, instead in _OF_OTHERS.items():
        if name in defaults and getattr(head, name) is not defaults[name] and getattr(head, name) != defaults[name]:
            kind = type(estimator).__name__
            advice = f"Set {instead!r} of {kind}" if instead else "Leave it out"
            raise ValueError(
                f"The {name!r} parameter of the head is not used, because {kind} compares values of C itself, together "
                f"with strategies. {advice}, or choose strategy='frozen' or 'scratch', which train the head as it is."
            )


def read_settings(head, device):
    """Return the settings that a head specifies, or None if it is not a logistic regression without a prior.

    Parameters
    ----------
    head : classifier or None
        The candidates are the default ones for None, the C of a `LogisticHead`, and the `Cs` of a `LogisticHeadCV`.
    device : str
        Device on which the default head is trained.
    """
    if head is None:
        return LogisticSettings(CS, None, True, 1e-4, 1000, device)
    if type(head) not in (LogisticHead, LogisticHeadCV) or head.prior is not None:
        return None
    check_parameters(head)  # the head itself is never fitted
    Cs = (head.C,) if type(head) is LogisticHead else tuple(np.sort(read_candidates(head.Cs)).tolist())
    return LogisticSettings(Cs, head.class_weight, head.fit_intercept, head.tol, head.max_iter, head.device)


class FoldScores(NamedTuple):
    """Decision values of the models of some folds at one C."""

    C: float
    scores: np.ndarray  # (n_samples, n_folds, n_scores)
    seconds: float


class SharedSearch:
    """Search over C with the same features in all folds, which are trained together.

    Parameters
    ----------
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Features of all rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.
    prior : ndarray of shape (n_scores, n_features), default=None
        Mean of the Gaussian prior over the weights.
    offsets : ndarray of shape (n_samples, n_folds + 1, n_scores), default=None
        Added to the scores of the models of the folds and of all rows.
    in_rounds : bool, default=False
        Whether only the folds of the first round of the task are trained, and the others on request.
    """

    def __init__(self, features, task, settings, prior=None, offsets=None, *, in_rounds=False):
        X = check_features(features)
        self.row_weights = task.row_weights.astype(X.dtype)
        self.offset = None if offsets is None else offsets[:, -1]
        options = {"prior": prior, "offsets": None if offsets is None else offsets[:, :-1]}
        self.search = make_search(X, task.targets, task.fold_weights[:, :-1], task, settings, **options)
        fits = list((first_round(self.search, task) if in_rounds else self.search).run(settings.Cs))
        self.found = [FoldScores(fit.C, fit.scores, fit.seconds) for fit in fits]
        self.fits = [drop_scores(fit) for fit in fits]

    def readers(self, place):
        """Return functions for the model of all rows at one of the Cs, and for the scores of a further fold there."""
        fit = self.fits[place]
        return partial(refit, self.search, fit, self.row_weights, self.offset), partial(fit_fold, self.search, fit)


class SplitSearch:
    """Search over C with separate features, and optionally a separate prior, for each fold.

    Parameters
    ----------
    features : array, CSR matrix or data frame of shape (n_samples, n_features)
        Features of all rows, for the final model.
    of_folds : iterable of FoldFeatures
        Features of each fold.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.
    priors : list of ndarray, default=None
        Means of the Gaussian prior over the weights in each fold.
    """

    def __init__(self, features, of_folds, task, settings, priors=None):
        self.X, self.task, self.settings = check_features(features), task, settings
        shape = (len(settings.Cs), len(task.targets), len(task.folds), task.n_scores)
        scores, seconds = np.zeros(shape, np.float32), np.zeros(len(settings.Cs))
        for fold, (of_fold, (train, test)) in enumerate(zip(of_folds, task.folds, strict=True)):
            X = check_features(of_fold.both)
            weights = np.concatenate([task.weigh(train), np.zeros((len(test), task.n_weights))])[:, None]
            targets = task.targets[np.concatenate([train, test])]
            search = make_search(X, targets, weights, task, settings, prior=None if priors is None else priors[fold])
            for place, fit in enumerate(search.run(settings.Cs)):
                scores[place, test, fold] = fit.scores[len(train) :, 0]
                seconds[place] += fit.seconds
        self.found = [FoldScores(*values) for values in zip(settings.Cs, scores, seconds, strict=True)]

    def readers(self, place):
        """Return a function for the model of all rows at one of the Cs."""
        return (partial(self._read_model, place),)

    def _read_model(self, place):
        task, weights = self.task, self.task.row_weights.astype(self.X.dtype)
        search = make_search(self.X, task.targets, weights[:, None], task, self.settings)
        return refit(search, search.fit(self.settings.Cs[place]), weights)


def make_search(X, targets, fold_weights, task, settings, **options):
    """Return a search over C on features X; options are `prior`, `block_scales` and `offsets`."""
    if fold_weights.shape[2:] == (1,):
        fold_weights = fold_weights[:, :, 0]
    shared = {name: getattr(settings, name) for name in ("fit_intercept", "tol", "max_iter")}
    shared["n_outputs"] = task.n_outputs
    if options.get("prior") is None and settings.device in ("auto", "cpu"):
        kept = {name: value for name, value in options.items() if name != "prior"}
        search = KernelSearch.if_suitable(X, targets, fold_weights, max(settings.Cs), **shared, **kept)
        if search is not None:
            return search
    from transferkit._training.linear.search import LogisticSearch  # here: predictions do not need torch

    if options.get("prior") is not None:
        options["prior"] = options["prior"].astype(X.dtype)
    weights = fold_weights.astype(X.dtype)
    return LogisticSearch(X, targets, weights, device=settings.device, **shared, **options)


def first_round(search, task):
    """Return the search on the folds of the first round of the task."""
    return search.on_fold(0) if len(task.rounds) > 1 else search


def fit_fold(search, fit, fold):
    """Return the decision values (n_samples, 1, n_scores) of the model of a fold that the fit of a search lacks."""
    return search.on_fold(fold).fit(fit.C, scale_index=fit.scale_index).scores


def drop_scores(fit):
    """Return a fit without its scores, which take as much memory as its solution."""
    return replace(fit, scores=np.empty((0, *fit.scores.shape[1:]), fit.scores.dtype))


def refit(search, fit, row_weights, offset=None):
    """Return the model of all rows for one of the fits of a LogisticSearch."""
    return search.refit([fit], row_weights, offset)[0]
