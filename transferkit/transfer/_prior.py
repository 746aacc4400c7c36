"""Pretraining as a prior over term weights, and candidates averaged by their likelihood on held-out labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transferkit._algorithms.feature_blocks import FeatureBlocks
from transferkit._algorithms.grid_descent import descend_grid
from transferkit._algorithms.term_prior import (
    TermBlocks,
    block_factors,
    block_kernels,
    fold_weights,
    make_blocks,
    weigh_candidates,
    weights_of_dual,
)
from transferkit._algorithms.tfidf import inverse_document_frequency
from transferkit.transfer._logistic import common
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import FEW_LABELS_C, LEAST_WEIGHT, SHARPNESS

ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
FEW_LABELS_ALPHAS = (0.5, 1.0, 2.0)
LOOSEST_TOL, MOST_STEPS = 1e-3, 60  # of candidates: their average does not depend on the last digits of each
MOST_JOINT_ROWS = 600  # beyond, few candidates are near the best, and the others need not be fitted
MOST_KERNEL_ROWS = 1500  # beyond, a matrix of all pairs of rows costs more than the rows themselves


@dataclass
class Candidate:
    """One way to weigh pretraining against labels, fitted on the folds."""

    idf: str
    loss: float
    row: dict
    C: float
    scores: np.ndarray | None  # (n_samples, n_folds or more, n_outputs)
    model: Any  # reads weights and intercept of the fit on all rows
    weight: float = 0.0

    def forget(self):
        """Free the memory of a candidate that is out."""
        self.scores = self.model = None


def fit_prior(terms, texts, task, settings):
    """Return the outcome of the strategy "prior".

    Parameters
    ----------
    terms : Terms
        Columns, vectors and weights of the terms.
    texts : list of str
        Labelled texts.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.

    Returns
    -------
    outcome : Outcome
        TF-IDF and a linear head of one weight a term.
    """
    rows = terms.encoder.transform(texts)
    blocks = {idf: make_blocks(rows, ratio, terms.vectors) for idf, ratio in idf_ratios(terms.encoder, rows).items()}
    candidates = []
    for idf, of_idf in blocks.items():
        _search(idf, of_idf, task, settings, candidates)
    kept = [candidate for candidate in candidates if candidate.weight > 0]
    parts = [_fold(blocks[idf], [c for c in kept if c.idf == idf]) for idf in {c.idf: None for c in kept}]
    labels = sum(part.labels for part in parts).tocsr()
    coef = np.ascontiguousarray((sum(part.pretraining for part in parts) + labels.toarray()).T).T
    intercept = sum(part.intercept for part in parts).astype(np.float32)
    best = max(kept, key=lambda candidate: candidate.weight)
    head = task.make_head(coef, intercept, **settings.parameters(best.C))
    average = sum(candidate.weight * candidate.scores for candidate in kept)
    table = [candidate.row for candidate in candidates]
    attributes = {"label_coef_": labels}
    return Outcome("prior", terms.encoder, head, task.score_folds(average), table, task.loss(average), attributes)


def idf_ratios(encoder, rows):
    """Return, by the texts that the idf is of, what it makes of the weights of terms in the encoder's rows."""
    frequency = np.bincount(rows.indices, minlength=rows.shape[1])
    of_labelled = inverse_document_frequency(frequency, rows.shape[0], True, np.float32)
    return {"unlabelled": np.ones_like(of_labelled), "labelled": of_labelled / encoder.idf_}


def _search(idf, blocks, task, settings, candidates):
    """Fit the candidates of one idf and add them to the others."""
    Cs, alphas = settings.Cs, ALPHAS
    if not task.has_folds:
        Cs, alphas = Cs if len(Cs) == 1 else (FEW_LABELS_C,), FEW_LABELS_ALPHAS

    def keep(alpha, fit, read_model):
        loss = task.loss(fit.scores)
        values = {"alpha": alpha, "C": fit.C, "idf": idf, "seconds": fit.seconds}
        row = make_row("prior", task.score_folds(fit.scores), log_loss=loss, **values)
        loss = 0.0 if np.isnan(loss) else loss
        candidates.append(Candidate(idf, loss, row, fit.C, fit.scores, read_model))
        _weigh(candidates, len(task.targets))
        return loss

    if len(task.targets) <= MOST_JOINT_ROWS:
        _search_together(blocks, alphas, Cs, task, settings, keep)
    else:
        _search_around_best(blocks, alphas, Cs, task, settings, keep, candidates)


def _search_together(blocks, alphas, Cs, task, settings, keep):
    """Fit every alpha at every C, in one batch."""
    search = _make_kernel_search(blocks, alphas, task, settings)
    for fit in search.run(Cs):
        alpha = alphas[fit.kernel]
        keep(alpha, fit, _DualModel(blocks, alpha, fit))


def _search_around_best(blocks, alphas, Cs, task, settings, keep, candidates):
    """Fit what is near the best, with rows so many that they tell good candidates from bad ones clearly.

    One without transfer is always among them. The search begins where the other idf was best.
    """
    fit_one = _fit_on_kernel if len(task.targets) <= MOST_KERNEL_ROWS else _fit_on_blocks
    searches = {}

    def evaluate(point):
        alpha, C = alphas[point[0]], Cs[point[1]]
        return keep(alpha, *fit_one(searches, blocks, alpha, C, task, settings))

    best = max(candidates, key=lambda candidate: candidate.weight, default=None)
    start = (len(alphas) // 2, len(Cs) // 2) if best is None else (alphas.index(best.row["alpha"]), Cs.index(best.C))
    grid = (len(alphas), len(Cs))
    if task.has_folds:
        margin = -np.log(LEAST_WEIGHT) / (SHARPNESS * len(task.targets))  # what is worse by it weighs nothing
        descend_grid(grid, [start, (0, start[1])], evaluate, margin)
    else:
        for point in np.ndindex(grid):
            evaluate(point)


def _fit_on_kernel(searches, blocks, alpha, C, task, settings):
    """Return the fit of one candidate by the inner products of the rows, and its model."""
    if alpha not in searches:
        searches[alpha] = _make_kernel_search(blocks, [alpha], task, settings), []
    search, before = searches[alpha]
    fit = search.fit(C, before)
    before.append(fit)
    return fit, _DualModel(blocks, alpha, fit)


def _make_kernel_search(blocks, alphas, task, settings):
    from transferkit._training.kernel_search import KernelSearch

    kernels = block_kernels(blocks, alphas)
    return KernelSearch(kernels, task.targets, task.fold_weights, n_outputs=task.n_outputs, **_ease(settings))


def _fit_on_blocks(searches, blocks, alpha, C, task, settings):
    """Return the fit of one candidate by the features themselves, starting near the fits at other C, and its model."""
    from transferkit._training.logistic_search import LogisticSearch

    if alpha not in searches:
        X, scales = FeatureBlocks(blocks.rows, blocks.dense), [block_factors(alpha)]
        folds, shape = task.fold_weights[:, :-1], {"n_outputs": task.n_outputs, "block_scales": scales}
        searches[alpha] = LogisticSearch(X, task.targets, folds, **shape, **_ease(settings)), []
    search, before = searches[alpha]
    fit = search.fit(C, before)
    before.append(fit)
    return fit, _RefittedModel(search, fit, task.fold_weights[:, -1:])


@dataclass
class _DualModel:
    """Weights and intercept of a fit by inner products."""

    blocks: TermBlocks
    alpha: float
    fit: Any

    def read(self):
        return weights_of_dual(self.blocks, self.alpha, self.fit.dual), self.fit.intercept


@dataclass
class _RefittedModel:
    """Weights and intercept of a fit by features, trained on all rows when they are asked for."""

    search: Any
    fit: Any
    row_weights: np.ndarray

    def read(self):
        model = self.search.refit([self.fit], self.row_weights)[0]
        return model.coef, model.intercept


def _ease(settings):
    """Return what training is told, with an end that suits candidates."""
    told = common(settings)
    return told | {"tol": max(LOOSEST_TOL, settings.tol), "max_iter": min(MOST_STEPS, settings.max_iter)}


def _weigh(candidates, n_rows):
    """Set the weights of all candidates so far, and forget those that hardly count."""
    losses = np.array([candidate.loss for candidate in candidates])
    weights = weigh_candidates(losses, n_rows, SHARPNESS, LEAST_WEIGHT)
    for candidate, weight in zip(candidates, weights, strict=True):
        candidate.weight = candidate.row["weight"] = float(weight)
        if weight == 0:
            candidate.forget()


def _fold(blocks, candidates):
    """Return the weighted sum of candidates of one idf, trained on all rows, as one model on the terms."""
    coef = intercept = 0.0
    for candidate in candidates:
        weights, shift = candidate.model.read()
        coef, intercept = coef + candidate.weight * weights, intercept + candidate.weight * shift
    n_seen = len(blocks.seen)
    return fold_weights(blocks, coef[:, :n_seen], coef[:, n_seen:], intercept)
