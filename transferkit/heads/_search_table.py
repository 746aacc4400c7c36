"""Candidates of a search: their scores on held-out rows, as a table like GridSearchCV's."""

import time
from dataclasses import dataclass, replace
from inspect import signature

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import check_scoring

from transferkit._algorithms.linear_predictions import to_log_probabilities
from transferkit.heads._logistic import LogisticHead

NEGLIGIBLE_WEIGHT = 1e-3  # of a candidate in an average


@dataclass
class Candidates:
    """Every C with every choice of block scales, in GridSearchCV's order: the scales vary fastest."""

    Cs: np.ndarray
    scales: list | None  # of tuples

    @property
    def params(self):
        """Parameters of each candidate."""
        if self.scales is None:
            return [{"C": float(C)} for C in self.Cs]
        return [{"C": float(C), "block_scales": scales} for C in self.Cs for scales in self.scales]

    def order(self):
        """Return the rows of the candidates in the order in which a search runs: scale by scale, C ascending."""
        table = np.arange(len(self.params)).reshape(len(self.Cs), -1)
        return table[np.argsort(self.Cs, kind="stable")].T.ravel()


class FoldScorer:
    """Scores held-out rows; for named scorers from the scores that training left behind."""

    def __init__(self, scoring, X, y, targets, sample_weight, classes, multilabel, folds):
        self.X, self.y, self.targets = X, y, targets
        self.classes, self.multilabel, self.folds = classes, multilabel, folds
        self.is_accuracy = scoring in (None, "accuracy")
        self.needs_models = callable(scoring) and not hasattr(scoring, "_score_func")
        self.scorer = check_scoring(LogisticHead(), scoring=scoring)
        self.sample_weight = sample_weight if takes_weights(self.scorer) else None

    def score(self, fit):
        """Return the score of each fold, (n_folds,)."""
        if self.is_accuracy:  # what the scorer would say, without its checks, which take longer than a small fit
            return np.array([self._measure_accuracy(fit.scores, fold) for fold in range(len(self.folds))])
        if self.needs_models:
            pairs = [(self._make_head(model.coef, model.intercept), self.X) for model in fit.models()]
        else:
            # to a head with the identity for weights, a row of scores is a row of features
            identity = np.eye(fit.scores.shape[2], dtype=fit.scores.dtype)
            head = self._make_head(identity, np.zeros(len(identity), identity.dtype))
            pairs = [(head, fit.scores[:, fold]) for fold in range(len(self.folds))]
        return np.array([self._score_fold(*pair, test) for pair, (_, test) in zip(pairs, self.folds, strict=True)])

    def _measure_accuracy(self, scores, fold):
        test = self.folds[fold][1]
        scores, truth = scores[test, fold], self.targets[test]
        if self.multilabel:
            right = ((scores > 0) == (truth > 0)).all(1)
        else:
            right = (scores.argmax(1) if scores.shape[1] > 1 else scores[:, 0] > 0) == truth
        return np.average(right, weights=None if self.sample_weight is None else self.sample_weight[test])

    def _score_fold(self, head, X, test):
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[test]}
        return self.scorer(head, X[test], self.y[test], **weights)

    def _make_head(self, coef, intercept):
        head = LogisticHead()
        head.coef_, head.intercept_, head.classes_, head.multilabel_ = coef, intercept, self.classes, self.multilabel
        head.n_features_in_ = coef.shape[1]
        return head


def takes_weights(scorer):
    """Return whether a scorer takes sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


@dataclass
class HeldOut:
    """Decision values of held-out rows: the mean over the folds that hold a row out, NaN where none does."""

    folds: list
    targets: np.ndarray
    weights: np.ndarray  # (n_rows,)
    multilabel: bool

    def decide(self, fit):
        """Return the decision values of a candidate, (n_rows, n_scores)."""
        sums, counts = np.zeros(fit.scores[:, 0].shape), np.zeros(len(fit.scores))
        for fold, (_, test) in enumerate(self.folds):
            sums[test] += fit.scores[test, fold]
            counts[test] += 1
        with np.errstate(invalid="ignore"):
            return (sums / counts[:, None]).astype(fit.scores.dtype)

    def log_likelihood(self, decision):
        """Return the weighted sum of the held-out rows' log likelihoods."""
        held = ~np.isnan(decision[:, 0])
        decision, targets = decision[held].astype(np.float64), self.targets[held]
        if self.multilabel:
            signed = np.where(targets > 0, decision, -decision)
            return float(-np.logaddexp(0, -signed).sum(1) @ self.weights[held])
        logs = to_log_probabilities(decision[:, 0] if decision.shape[1] == 1 else decision)
        return float(logs[np.arange(len(logs)), targets] @ self.weights[held])


@dataclass
class Scored:
    """What a search found: the table, the best candidate's fit, and what held-out rows say."""

    results: dict
    best: object  # CandidateFit
    best_index: int
    fits: dict  # rows of the table to the fits that an average may need
    likelihoods: np.ndarray | None  # (n_candidates,)
    decisions: list | None  # of (n_rows, n_scores)

    def weights(self):
        """Return the weight of each candidate in an average, proportional to its likelihood, (n_candidates,)."""
        weights = np.exp(self.likelihoods - self.likelihoods.max())
        weights[weights < NEGLIGIBLE_WEIGHT * weights.sum()] = 0
        return weights / weights.sum()


def score_candidates(search, candidates, scorer, held_out, progress, keep_decisions):
    """Run a search and return what it found; of equal candidates the smallest C is best, then the first scales.

    Candidates that a callback's wish to stop has left out have scores of NaN and the last rank.
    """
    params, n_folds = candidates.params, len(scorer.folds)
    scores = np.full((len(params), n_folds), np.nan)
    fit_times, score_times = np.zeros(len(params)), np.zeros(len(params))
    likelihoods, decisions, fits = np.full(len(params), -np.inf), [None] * len(params), {}
    best_key, best, best_row = None, None, None
    for row, fit in zip(candidates.order(), search.run(np.sort(candidates.Cs).tolist()), strict=False):
        began = time.perf_counter()
        scores[row] = scorer.score(fit)
        if held_out is not None:
            decision = held_out.decide(fit)
            likelihoods[row] = held_out.log_likelihood(decision)
            decisions[row] = decision if keep_decisions else None
            fits[row] = fit
            hopeless = likelihoods.max() + np.log(NEGLIGIBLE_WEIGHT)
            fits = {key: kept for key, kept in fits.items() if likelihoods[key] >= hopeless}
        score_times[row], fit_times[row] = time.perf_counter() - began, fit.seconds
        key = (scores[row].mean(), -fit.C, -fit.scale_index)
        if best is None or key > best_key:
            best_key, best, best_row = key, fit, int(row)
        if progress.step():
            break
    return Scored(
        tabulate(candidates, scores, fit_times / n_folds, score_times / n_folds),
        best,
        best_row,
        fits,
        None if held_out is None else likelihoods,
        decisions if keep_decisions else None,
    )


def average_models(models, weights):
    """Return the weighted mean of models of the same shape."""
    first = models[0]
    coef = np.zeros(first.coef.T.shape)
    for model, weight in zip(models, weights, strict=True):
        coef += weight * model.coef.T
    intercept = np.einsum("m,mk->k", weights, np.stack([model.intercept for model in models]).astype(np.float64))
    return replace(
        first,
        coef=coef.astype(first.coef.dtype).T,
        intercept=intercept.astype(first.intercept.dtype),
        n_iter=max(model.n_iter for model in models),
        converged=all(model.converged for model in models),
    )


def tabulate(candidates, scores, fit_times, score_times):
    """Return GridSearchCV's cv_results_ of scores (n_candidates, n_folds) and seconds a fold (n_candidates,)."""
    means, params = scores.mean(1), candidates.params
    splits = {f"split{fold}_test_score": column for fold, column in enumerate(scores.T)}
    scales = {} if candidates.scales is None else {"param_block_scales": [one["block_scales"] for one in params]}
    return {
        "mean_fit_time": fit_times,
        "std_fit_time": np.zeros(len(params)),
        "mean_score_time": score_times,
        "std_score_time": np.zeros(len(params)),
        "param_C": np.array([one["C"] for one in params]),
        **scales,
        "params": params,
        **splits,
        "mean_test_score": means,
        "std_test_score": scores.std(1),
        "rank_test_score": rankdata(-np.nan_to_num(means, nan=-np.inf), method="min").astype(np.int32),
    }
