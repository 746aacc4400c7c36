"""Pretraining as a prior over term weights, and candidates averaged by their likelihood on held-out labels."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from transferkit._algorithms.term_prior import (
    block_factors,
    block_kernels,
    fold_weights,
    join_blocks,
    make_blocks,
    root_of_kernel,
    split_weights,
    weigh_candidates,
    weights_of_dual,
)
from transferkit.transfer._logistic import common
from transferkit.transfer._outcome import Outcome, make_row
from transferkit.transfer._settings import FEW_LABELS_C

ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
FEW_LABELS_ALPHAS = (0.5, 1.0, 2.0)
SHARPNESS = 0.25
LEAST_WEIGHT = 1e-3
MOST_KERNEL_ROWS = 2000  # beyond, a matrix of all pairs of rows costs more than the rows themselves


@dataclass
class Candidate:
    """One way to weigh pretraining against labels, fitted on all folds and on all rows."""

    idf: str
    alpha: float
    loss: float
    row: dict
    fit: Any  # SearchFit on `features`
    features: Any
    weight: float = 0.0

    def forget(self):
        """Free the memory of a candidate that is out."""
        self.fit = self.features = None


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
    ratio = terms.labelled_idf / terms.encoder.idf_
    blocks = {
        "unlabelled": make_blocks(rows, np.ones_like(ratio), terms.vectors),
        "labelled": make_blocks(rows, ratio, terms.vectors),
    }
    candidates = []
    for idf, of_idf in blocks.items():
        for candidate in _search(idf, of_idf, task, settings):
            candidates.append(candidate)
            _weigh(candidates, len(texts))
    kept = [candidate for candidate in candidates if candidate.weight > 0]
    parts = [_fold(blocks[idf], [c for c in kept if c.idf == idf]) for idf in {c.idf: None for c in kept}]
    labels = sum(part.labels for part in parts)
    coef = np.ascontiguousarray((sum(part.pretraining for part in parts) + labels.toarray()).T).T
    best = max(kept, key=lambda candidate: candidate.weight)
    head = task.make_head(
        coef, sum(part.intercept for part in parts).astype(np.float32), **settings.parameters(best.fit.C)
    )
    average = sum(candidate.weight * candidate.fit.scores for candidate in kept)
    return Outcome(
        "prior",
        terms.encoder,
        head,
        task.score_folds(average),
        [candidate.row for candidate in candidates],
        {"label_coef_": labels},
    )


def _search(idf, blocks, task, settings):
    """Yield the fitted candidates of one idf."""
    from transferkit._training.linear_search import search_linear_classifiers

    kernels = block_kernels(blocks) if len(task.targets) <= MOST_KERNEL_ROWS else None
    Cs, alphas = settings.Cs, ALPHAS
    if not task.has_folds:
        Cs, alphas = Cs if len(Cs) == 1 else (FEW_LABELS_C,), FEW_LABELS_ALPHAS
    for alpha in alphas:
        began = time.perf_counter()
        features = join_blocks(blocks, alpha) if kernels is None else root_of_kernel(*kernels, alpha)
        for fit in search_linear_classifiers(
            features, task.targets, task.fold_weights, Cs, n_outputs=task.n_outputs, **common(settings)
        ):
            loss = task.loss(fit.scores) if task.has_folds else 0.0
            scores = task.score_folds(fit.scores)
            seconds, began = time.perf_counter() - began, time.perf_counter()
            values = {"alpha": alpha, "C": fit.C, "idf": idf, "seconds": seconds}
            row = make_row("prior", scores, log_loss=loss if task.has_folds else np.nan, **values)
            yield Candidate(idf, alpha, loss, row, fit, features)


def _weigh(candidates, n_rows):
    """Set the weights of all candidates so far, and forget those that hardly count."""
    weights = weigh_candidates(np.array([candidate.loss for candidate in candidates]), n_rows, SHARPNESS)
    weights[weights < LEAST_WEIGHT * weights.max()] = 0
    for candidate, weight in zip(candidates, weights / weights.sum(), strict=True):
        candidate.weight = candidate.row["weight"] = float(weight)
        if weight == 0:
            candidate.forget()


def _fold(blocks, candidates):
    """Return the weighted sum of candidates of one idf as one model on the terms."""
    of_terms = of_vectors = intercept = 0.0
    in_dual = blocks.rows.shape[0] <= MOST_KERNEL_ROWS
    for candidate in candidates:
        coef, shift = candidate.fit.last_model()
        intercept = intercept + candidate.weight * shift
        if in_dual:
            terms_factor, vectors_factor = block_factors(candidate.alpha)
            dual = solve_triangular(candidate.features, coef.T, lower=True, trans="T")
            terms, vectors = terms_factor**2 * dual, vectors_factor**2 * dual
        else:
            terms, vectors = split_weights(blocks, candidate.alpha, coef)
        of_terms, of_vectors = of_terms + candidate.weight * terms, of_vectors + candidate.weight * vectors
    if in_dual:
        of_terms, of_vectors = weights_of_dual(blocks, of_terms, of_vectors)
    return fold_weights(blocks, of_terms, of_vectors, intercept)
