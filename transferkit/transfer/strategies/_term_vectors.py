"""Pretraining as a prior over term weights, and candidates averaged by their likelihood on held-out labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear.grid_descent import descend_grid
from transferkit._algorithms.linear.term_prior import (
    TermBlocks,
    block_factors,
    block_kernels,
    fold_weights,
    make_blocks,
    weigh_candidates,
    weights_of_dual,
)
from transferkit._algorithms.text.tfidf import inverse_document_frequency
from transferkit.heads.linear._linear_classifier import warn_not_converged
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import LEAST_WEIGHT, SHARPNESS
from transferkit.transfer.strategies._logistic import common

ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
FEW_LABELS_ALPHAS = (0.5, 1.0, 2.0)
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

    def give_up(self):
        """Take the candidate out of the average."""
        self.weight = self.row["weight"] = 0.0
        self.forget()


def fit_prior(terms, texts, task, settings, pair_terms=None):
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
    pair_terms : callable, default=None
        Returns the same terms and pairs of words, which are tried where rows are many.

    Returns
    -------
    outcome : Outcome
        TF-IDF and a linear head of one weight a term.
    """
    found = _search(terms, ("unlabelled", "labelled"), texts, task, settings)
    table = found.candidates
    if pair_terms is not None and task.has_folds and len(texts) > MOST_JOINT_ROWS:
        with_pairs = _search(pair_terms(), ("labelled",), texts, task, settings, near=found.best)
        table = found.candidates + with_pairs.candidates
        better = with_pairs.best.loss < found.best.loss - _margin(task.held_weight)
        found, given_up = (with_pairs, found) if better else (found, with_pairs)
        for candidate in given_up.candidates:
            candidate.give_up()
    kept = [candidate for candidate in found.candidates if candidate.weight > 0]
    parts = [_fold(found.blocks[idf], [c for c in kept if c.idf == idf]) for idf in {c.idf: None for c in kept}]
    labels = sum(part.labels for part in parts).tocsr()
    coef = np.ascontiguousarray((sum(part.pretraining for part in parts) + labels.toarray()).T).T
    intercept = sum(part.intercept for part in parts).astype(np.float32)
    head = task.make_head(coef, intercept, **settings.parameters(found.best.C))
    if not all(candidate.model.converged for candidate in kept):
        warn_not_converged(head)
    average = sum(candidate.weight * candidate.scores for candidate in kept)
    rows, scores = [candidate.row for candidate in table], task.score_folds(average)
    attributes = {"label_coef_": labels}
    return Outcome("prior", found.terms.encoder, head, scores, rows, task.loss(average), attributes, average)


def idf_ratios(encoder, rows):
    """Return, by the texts that the idf is of, what it makes of the weights of terms in the encoder's rows."""
    frequency = np.bincount(rows.indices, minlength=rows.shape[1])
    of_labelled = inverse_document_frequency(frequency, rows.shape[0], True, np.float32)
    return {"unlabelled": np.ones_like(of_labelled), "labelled": of_labelled / encoder.idf_}


@dataclass
class _Found:
    """The candidates on some terms."""

    terms: Any
    blocks: dict  # of each idf
    candidates: list

    @property
    def best(self):
        """The candidate of the least loss."""
        return min(self.candidates, key=lambda candidate: candidate.loss)


def _search(terms, idfs, texts, task, settings, near=None):
    """Fit the candidates on some terms, beginning near another one's alpha and C, and weigh them."""
    rows = terms.encoder.transform(texts)
    ratios = idf_ratios(terms.encoder, rows)
    found = _Found(terms, {idf: make_blocks(rows, ratios[idf], terms.vectors) for idf in idfs}, [])
    Cs, alphas = settings.Cs, ALPHAS
    if not task.has_folds:
        Cs, alphas = (settings.middle_C(),), FEW_LABELS_ALPHAS
    kind = "words" if tuple(terms.encoder.ngram_range) == (1, 1) else "n-grams"
    kind = kind if terms.encoder.analyzer == "word" else "characters"
    for idf, blocks in found.blocks.items():

        def keep(alpha, fit, model, idf=idf):
            loss = task.loss(fit.scores)
            values = {"alpha": alpha, "C": fit.C, "idf": idf, "terms": kind, "seconds": fit.seconds}
            row = make_row("prior", task.score_folds(fit.scores), log_loss=loss, **values)
            loss = 0.0 if np.isnan(loss) else loss
            found.candidates.append(Candidate(idf, loss, row, fit.C, fit.scores, model))
            _weigh(found.candidates, task.held_weight)
            return loss

        if len(texts) <= MOST_JOINT_ROWS:
            _search_together(blocks, alphas, Cs, task, settings, keep)
        else:
            _search_around_best(blocks, alphas, Cs, task, settings, keep, found.best if found.candidates else near)
    return found


def _search_together(blocks, alphas, Cs, task, settings, keep):
    """Fit every alpha at every C, in one batch."""
    search = _make_kernel_search(blocks, alphas, task, settings)
    for fit in search.run(Cs):
        alpha = alphas[fit.kernel]
        keep(alpha, fit, _DualModel(blocks, alpha, fit))


def _search_around_best(blocks, alphas, Cs, task, settings, keep, near):
    """Fit what is near the best, with rows so many that they tell good candidates from bad ones clearly.

    One without transfer is always among them. The search begins where another one ended.
    """
    fit_one = _fit_on_kernel if len(task.targets) <= MOST_KERNEL_ROWS else _fit_on_blocks
    searches = {}

    def evaluate(point):
        alpha, C = alphas[point[0]], Cs[point[1]]
        return keep(alpha, *fit_one(searches, blocks, alpha, C, task, settings))

    start = len(alphas) // 2, len(Cs) // 2
    if near is not None:
        start = alphas.index(near.row["alpha"]), Cs.index(near.C)
    grid = (len(alphas), len(Cs))
    if task.has_folds:
        descend_grid(grid, [start, (0, start[1])], evaluate, _margin(task.held_weight))
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
    from transferkit._training.linear.kernel_search import KernelSearch

    kernels = block_kernels(blocks, alphas)
    return KernelSearch(kernels, task.targets, task.fold_weights, n_outputs=task.n_outputs, **common(settings))


def _fit_on_blocks(searches, blocks, alpha, C, task, settings):
    """Return the fit of one candidate by the features themselves, starting near the fits at other C, and its model."""
    from transferkit._training.linear.search import LogisticSearch

    if alpha not in searches:
        X, scales = FeatureBlocks(blocks.rows, blocks.dense), [block_factors(alpha)]
        folds, shape = task.fold_weights[:, :-1], {"n_outputs": task.n_outputs, "block_scales": scales}
        searches[alpha] = LogisticSearch(X, task.targets, folds, **shape, **common(settings)), []
    search, before = searches[alpha]
    fit = search.fit(C, before)
    before.append(fit)
    return fit, _RefittedModel(search, fit, task.row_weights)


@dataclass
class _DualModel:
    """Weights and intercept of a fit by inner products."""

    blocks: TermBlocks
    alpha: float
    fit: Any

    @property
    def converged(self):
        return self.fit.converged

    def read(self):
        return weights_of_dual(self.blocks, self.alpha, self.fit.dual), self.fit.intercept


@dataclass
class _RefittedModel:
    """Weights and intercept of a fit by features, trained on all rows when they are asked for."""

    search: Any
    fit: Any
    row_weights: np.ndarray
    converged: bool = True  # in the last read

    def read(self):
        model = self.search.refit([self.fit], self.row_weights)[0]
        self.converged = model.converged
        return model.coef, model.intercept


def _margin(held_weight):
    """Return how much worse than the least a loss is that weighs nothing in the average."""
    return -np.log(LEAST_WEIGHT) / (SHARPNESS * held_weight)


def _weigh(candidates, held_weight):
    """Set the weights of all candidates so far, and forget those that hardly count."""
    losses = np.array([candidate.loss for candidate in candidates])
    weights = weigh_candidates(losses, held_weight, SHARPNESS, LEAST_WEIGHT)
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
