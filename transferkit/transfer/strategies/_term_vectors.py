"""Pretraining as a prior over term weights, and candidates averaged by their likelihood on held-out labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear.grid_descent import descend_grid
from transferkit._algorithms.linear.term_prior import (
    block_factors,
    fold_weights,
    make_blocks,
    weigh_candidates,
)
from transferkit._algorithms.text.tfidf import inverse_document_frequency
from transferkit.heads.linear._linear_classifier import warn_not_converged
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import LEAST_WEIGHT, SHARPNESS
from transferkit.transfer.strategies._logistic import common

ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
FEW_LABELS_ALPHAS = (0.5, 1.0, 2.0)
MOST_JOINT_ROWS = 600  # beyond, few candidates are near the best, and the others need not be fitted


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

        if len(texts) <= MOST_JOINT_ROWS or not task.has_folds:
            _search_together(blocks, alphas, Cs, task, settings, keep)
        else:
            _search_around_best(blocks, alphas, Cs, task, settings, keep, found.best if found.candidates else near)
    return found


def _search_together(blocks, alphas, Cs, task, settings, keep):
    """Fit every alpha at every C; all rows are one more problem beside the folds."""
    for fit in _make_search(blocks, alphas, task.fold_weights, task, settings).run(Cs):
        keep(alphas[fit.scale_index], fit, _JointModel(fit))


def _search_around_best(blocks, alphas, Cs, task, settings, keep, near):
    """Fit what is near the best, with rows so many that they tell good candidates from bad ones clearly.

    One without transfer is always among them. The search begins where another one ended.
    """
    searches = {}

    def evaluate(point):
        alpha, C = alphas[point[0]], Cs[point[1]]
        if alpha not in searches:
            searches[alpha] = _make_search(blocks, [alpha], task.fold_weights[:, :-1], task, settings), []
        search, before = searches[alpha]
        before.append(search.fit(C, before))
        return keep(alpha, before[-1], _RefittedModel(search, before[-1], task.row_weights))

    start = len(alphas) // 2, len(Cs) // 2
    if near is not None:
        start = alphas.index(near.row["alpha"]), Cs.index(near.C)
    descend_grid((len(alphas), len(Cs)), [start, (0, start[1])], evaluate, _margin(task.held_weight))


def _make_search(blocks, alphas, fold_weights, task, settings):
    from transferkit._training.linear.search import LogisticSearch

    X, scales = FeatureBlocks(blocks.rows, blocks.dense), [block_factors(alpha) for alpha in alphas]
    shape = {"n_outputs": task.n_outputs, "block_scales": scales}
    return LogisticSearch(X, task.targets, fold_weights, **shape, **common(settings))


@dataclass
class _JointModel:
    """Weights and intercept of all rows, which were trained together with the folds."""

    fit: Any

    @property
    def converged(self):
        return self.fit.converged

    def read(self):
        model = self.fit.models()[-1]
        return model.coef, model.intercept


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
