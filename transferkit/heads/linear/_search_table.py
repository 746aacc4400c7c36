"""Candidates of a search: their scores on held-out rows, as a table like GridSearchCV's."""

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from transferkit._algorithms.linear.predictions import UNTRAINED, to_log_probabilities
from transferkit.heads.linear._fold_scores import (
    DecidedRows,
    average_folds,
    count_scores,
    read_scorer,
    report_undefined,
    score_fold,
    takes_weights,
)
from transferkit.heads.linear._logistic import LogisticHead

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
        self.scorer = read_scorer(scoring, classes, multilabel)
        self.sample_weight = sample_weight if takes_weights(self.scorer) else None

    def score(self, fit):
        """Return the score of each fold, (n_folds,)."""
        if self.is_accuracy:  # what the scorer would say, without its checks, which take longer than a small fit
            return np.array([self._measure_accuracy(fit.scores, fold) for fold in range(len(self.folds))])
        if self.needs_models:
            pairs = [(self._make_head(*pair), self.X) for pair in zip(fit.models(), fit.trained, strict=True)]
        else:
            head = DecidedRows(self.classes, self.multilabel)
            pairs = [(head, fit.scores[:, fold]) for fold in range(len(self.folds))]
        return np.array([self._score_fold(*pair, fold) for fold, pair in enumerate(pairs)], dtype=np.float64)

    def report_undefined(self, scores):
        """Warn, or raise ValueError, where folds have no score."""
        report_undefined(scores, self.y, self.folds, self.classes)

    def _measure_accuracy(self, scores, fold):
        test = self.folds[fold][1]
        scores, truth = scores[test, fold], self.targets[test]
        if self.multilabel:
            right = ((scores > 0) == (truth > 0)).all(1)
        else:
            right = (scores.argmax(1) if scores.shape[1] > 1 else scores[:, 0] > 0) == truth
        return np.average(right, weights=None if self.sample_weight is None else self.sample_weight[test])

    def _score_fold(self, head, X, fold):
        test = self.folds[fold][1]
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[test]}
        return score_fold(self.scorer, head, X[test], self.y[test], fold, **weights)

    def _make_head(self, model, trained):
        """Return a fold's model as a head of the classes (mask) that it was trained on."""
        head = LogisticHead()
        head.classes_, head.multilabel_ = self.classes, self.multilabel
        head.coef_, head.intercept_ = model.coef, model.intercept
        if not trained.all():
            head.classes_, head.coef_ = self.classes[trained], model.coef[trained]
            head.intercept_ = model.intercept[trained]
            if trained.sum() == 2:
                head.coef_, head.intercept_ = np.diff(head.coef_, axis=0), np.diff(head.intercept_)
        head.n_features_in_ = model.coef.shape[1]
        return head


@dataclass
class HeldOut:
    """Decision values of held-out rows: the mean over the folds that hold a row out, NaN where none does.

    For a class the mean is over those folds that were trained on it; without any the value is `UNTRAINED`.
    """

    folds: list
    targets: np.ndarray
    weights: np.ndarray  # (n_rows,)
    multilabel: bool

    def decide(self, fit):
        """Return the decision values of a candidate, (n_rows, n_scores)."""
        sums, counts = np.zeros(fit.scores[:, 0].shape), np.zeros(fit.scores[:, 0].shape)
        for fold, (_, test) in enumerate(self.folds):
            sums[test] += np.where(fit.trained[fold], fit.scores[test, fold], 0)
            counts[test] += fit.trained[fold]
        decision = np.where(counts > 0, sums / np.maximum(counts, 1), UNTRAINED)
        decision[~counts.any(1)] = np.nan
        return decision.astype(fit.scores.dtype)

    def log_likelihood(self, decision):
        """Return the weighted sum of the log likelihoods of held-out rows whose class some training part has."""
        held = ~np.isnan(decision[:, 0])
        if decision.shape[1] > 1 and not self.multilabel:
            held &= decision[np.arange(len(decision)), self.targets] > UNTRAINED / 2
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

    A candidate that has no score (NaN) in a fold where another has one is not chosen.
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
        n_scores = count_scores(scores[row])
        key = (n_scores, np.nanmean(scores[row]) if n_scores else 0.0, -fit.C, -fit.scale_index)
        if best is None or key > best_key:
            best_key, best, best_row = key, fit, int(row)
        if progress.step():
            break
    scorer.report_undefined(scores)
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
    (means, deviations), params = average_folds(scores), candidates.params
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
        "std_test_score": deviations,
        "rank_test_score": rankdata(-np.nan_to_num(means, nan=-np.inf), method="min").astype(np.int32),
    }
