"""Candidates of a search: their scores on held-out rows, as a table like GridSearchCV's."""

import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from transferkit.heads.linear._logistic import LogisticHead
from transferkit.heads.linear.evaluation import (
    NEGLIGIBLE_WEIGHT,
    average_folds,
    compute_candidate_weights,
    count_scores,
)

__all__ = ["Candidates", "score_candidates"]


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


@dataclass
class Scored:
    """The results of a search: the table, the fit of the best candidate, and likelihoods of held-out rows."""

    results: dict
    best: object  # CandidateFit
    best_index: int
    fits: dict  # rows of the table to the fits that an average may need
    likelihoods: np.ndarray | None  # (n_candidates,)
    decisions: list | None  # of (n_rows, n_scores)

    def weights(self):
        """Return the weight of each candidate in an average, proportional to its likelihood, (n_candidates,)."""
        return compute_candidate_weights(self.likelihoods)


def score_candidates(search, candidates, held_out, X, progress, *, likelihoods, decisions):
    """Run a search and return its results; equally good candidates are ranked by the smallest C, then the first scales.

    Candidates without a score (NaN) in a fold in which others have one are not selected. Candidates that are left out
    because a callback requested a stop have scores of NaN and the last rank. X is read by scorers that are given
    models; `likelihoods` and `decisions` are whether to keep log likelihoods and decision values of held-out rows.
    """
    params, n_folds = candidates.params, len(held_out.folds)
    scores = np.full((len(params), n_folds), np.nan)
    fit_times, score_times = np.zeros(len(params)), np.zeros(len(params))
    found, decided, fits = np.full(len(params), -np.inf), [None] * len(params), {}
    best_key, best, best_row = None, None, None
    for row, fit in zip(candidates.order(), search.run(np.sort(candidates.Cs).tolist()), strict=False):
        began = time.perf_counter()
        scores[row] = _score_models(fit, held_out, X) if held_out.needs_models else held_out.score(fit.scores)
        if likelihoods:
            decision = held_out.decide(fit.scores)
            found[row] = held_out.log_likelihood(decision)
            decided[row] = decision if decisions else None
            fits[row] = fit
            hopeless = found.max() + np.log(NEGLIGIBLE_WEIGHT)
            fits = {key: kept for key, kept in fits.items() if found[key] >= hopeless}
        score_times[row], fit_times[row] = time.perf_counter() - began, fit.seconds
        n_scores = count_scores(scores[row])
        key = (n_scores, np.nanmean(scores[row]) if n_scores else 0.0, -fit.C, -fit.scale_index)
        if best is None or key > best_key:
            best_key, best, best_row = key, fit, int(row)
        if progress.step():
            break
    held_out.report_undefined(scores)
    return Scored(
        tabulate(candidates, scores, fit_times / n_folds, score_times / n_folds),
        best,
        best_row,
        fits,
        found if likelihoods else None,
        decided if decisions else None,
    )


def _score_models(fit, held_out, X):
    """Return the score of each fold, (n_folds,), by a scorer that needs the models themselves."""
    heads = [_make_head(*pair, held_out) for pair in zip(fit.models(), held_out.trained, strict=True)]
    tests = [test for _, test in held_out.folds]
    pairs = zip(heads, tests, strict=True)
    return np.array([held_out.score_head(head, X[test], fold) for fold, (head, test) in enumerate(pairs)], float)


def _make_head(model, trained, held_out):
    """Return a fold's model as a head of the classes (mask) that it was trained on."""
    head = LogisticHead()
    head.classes_, head.multilabel_ = held_out.classes, held_out.multilabel
    head.coef_, head.intercept_ = model.coef, model.intercept
    if not trained.all():
        head.classes_, head.coef_ = head.classes_[trained], model.coef[trained]
        head.intercept_ = model.intercept[trained]
        if trained.sum() == 2:
            head.coef_, head.intercept_ = np.diff(head.coef_, axis=0), np.diff(head.intercept_)
    head.n_features_in_ = model.coef.shape[1]
    return head


def tabulate(candidates, scores, fit_times, score_times):
    """Return GridSearchCV's cv_results_ of scores (n_candidates, n_folds) and seconds per fold (n_candidates,)."""
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
