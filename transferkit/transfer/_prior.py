"""Pretraining as a prior over term weights, and candidates averaged by their likelihood on held-out labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transferkit._algorithms.feature_blocks import FeatureBlocks
from transferkit._algorithms.term_prior import (
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
MOST_KERNEL_ROWS = 1500  # beyond, a matrix of all pairs of rows costs more than the rows themselves


@dataclass
class Candidate:
    """One way to weigh pretraining against labels, fitted on the folds."""

    idf: str
    loss: float
    row: dict
    C: float
    scores: np.ndarray | None  # (n_samples, n_folds or more, n_outputs)
    read_model: Callable | None  # returns weights and intercept of the fit on all rows
    weight: float = 0.0

    def forget(self):
        """Free the memory of a candidate that is out."""
        self.scores = self.read_model = None


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
        for candidate in _search(idf, of_idf, task, settings):
            candidates.append(candidate)
            _weigh(candidates, len(texts))
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


def _search(idf, blocks, task, settings):
    """Yield the fitted candidates of one idf."""
    Cs, alphas = settings.Cs, ALPHAS
    if not task.has_folds:
        Cs, alphas = Cs if len(Cs) == 1 else (FEW_LABELS_C,), FEW_LABELS_ALPHAS
    search = _search_kernels if len(task.targets) <= MOST_KERNEL_ROWS else _search_blocks
    for alpha, fit, loss, read_model in search(blocks, alphas, Cs, task, settings):
        values = {"alpha": alpha, "C": fit.C, "idf": idf, "seconds": fit.seconds}
        row = make_row("prior", task.score_folds(fit.scores), log_loss=loss, **values)
        yield Candidate(idf, 0.0 if np.isnan(loss) else loss, row, fit.C, fit.scores, read_model)


def _search_kernels(blocks, alphas, Cs, task, settings):
    """Yield alpha, fit, loss and a function that returns weights and intercept; all alphas train together."""
    from transferkit._training.kernel_search import KernelSearch

    kernels = block_kernels(blocks, alphas)
    search = KernelSearch(kernels, task.targets, task.fold_weights, n_outputs=task.n_outputs, **_ease(settings))
    for fit in search.run(Cs):
        alpha = alphas[fit.kernel]

        def read_model(alpha=alpha, fit=fit):
            return weights_of_dual(blocks, alpha, fit.dual), fit.intercept

        yield alpha, fit, task.loss(fit.scores), read_model


def _search_blocks(blocks, alphas, Cs, task, settings):
    """Yield the same for many rows, which tell good candidates from bad ones so well that few need to be tried.

    For each alpha C rises until the loss does so clearly, and alpha rises from no transfer until the least loss does.
    """
    from transferkit._training.logistic_search import LogisticSearch

    X, folds, row_weights = (
        FeatureBlocks(blocks.rows, blocks.dense),
        task.fold_weights[:, :-1],
        task.fold_weights[:, -1:],
    )
    margin = -np.log(LEAST_WEIGHT) / (SHARPNESS * len(task.targets))  # what is worse by it weighs nothing
    least = np.inf
    for alpha in alphas:
        scales, of_alpha = [block_factors(alpha)], np.inf
        search = LogisticSearch(
            X, task.targets, folds, n_outputs=task.n_outputs, block_scales=scales, **_ease(settings)
        )
        for fit in search.run(Cs):

            def read_model(search=search, fit=fit):
                model = search.refit([fit], row_weights)[0]
                return model.coef, model.intercept

            loss = task.loss(fit.scores)
            yield alpha, fit, loss, read_model
            if loss > of_alpha + margin:
                break
            of_alpha = min(of_alpha, loss)
        if of_alpha > least + margin:
            break
        least = min(least, of_alpha)


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
        weights, shift = candidate.read_model()
        coef, intercept = coef + candidate.weight * weights, intercept + candidate.weight * shift
    n_seen = len(blocks.seen)
    return fold_weights(blocks, coef[:, :n_seen], coef[:, n_seen:], intercept)
