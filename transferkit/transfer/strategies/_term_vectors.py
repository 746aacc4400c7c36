"""Strategy "term_vectors": pretrained term vectors as a prior over the weights of terms."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from transferkit._algorithms.linear.grid_descent import descend_grid
from transferkit._algorithms.linear.term_prior import make_blocks, merge_blocks
from transferkit._algorithms.text.term_counts import inverse_document_frequency
from transferkit.encoders.protocols import ProjectsTerms
from transferkit.encoders.term_projection import find_projection, join_terms, may_pair
from transferkit.encoders.term_union import describe_terms, fit_characters, join_characters
from transferkit.heads.linear import warn_not_converged
from transferkit.transfer._evaluation import Outcome
from transferkit.transfer.strategies._average import Average
from transferkit.transfer.strategies._candidates import (
    LOOSE_TOL,
    drop_scores,
    first_round,
    fit_fold,
    make_search,
    refit,
)
from transferkit.transfer.strategies._evidence import EVIDENCE_FACTORS, make_evidence, sum_evidence

__all__ = ["ALPHAS", "check_term_vectors", "fit_term_vectors", "idf_ratios"]

ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
FEW_LABELS_ALPHAS = (0.5, 1.0, 2.0)
EVIDENCE_ALPHAS = (0.5, 1.0, 2.0, np.inf)  # beside evidence, which comes from the vectors itself
MOST_FITS = 5  # that stay in memory, so that further ones start near them
MOST_JOINT_ROWS = 600  # beyond, few candidates are near the best, and the others need not be fitted


def check_term_vectors(encoder, head, settings, is_text):
    """Raise ValueError if the strategy does not apply.

    Parameters
    ----------
    encoder : transformer
        Encoder, perhaps unfitted.
    head : classifier or None
        Head as given.
    settings : LogisticSettings or None
        Settings that the head specifies.
    is_text : bool
        Whether the input holds texts.
    """
    if settings is None:
        raise ValueError(
            "strategy='term_vectors' trains logistic regression: head must be None, or a LogisticHead or "
            f"LogisticHeadCV without a prior. Got {head!r}. Use strategy='frozen' with this head."
        )
    if not is_text:
        raise ValueError("strategy='term_vectors' needs texts, but X holds numbers. Use strategy='frozen'.")
    if not isinstance(encoder, ProjectsTerms) and find_projection(encoder) is None:
        name = type(getattr(encoder, "encoder_", encoder)).__name__
        raise ValueError(
            "strategy='term_vectors' needs an encoder that projects the weights of terms linearly: a WordVectorEncoder "
            f"or an LSAEncoder. Got {name}. Use strategy='frozen'."
        )


def fit_term_vectors(encoder, texts, task, settings, *, is_default_head, terms=None, evidence=None):
    """Return the outcome of the strategy.

    Parameters
    ----------
    encoder : transformer
        Fitted, with a projection of terms.
    texts : list of str
        Labelled texts.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.
    is_default_head : bool
        Whether the head is the default one: then a looser tolerance is used.
    terms : Terms, default=None
        Columns, vectors and weights of terms that several tasks share; by default those of the encoder and the texts;
        with many texts, pairs of adjacent words are tried as well.
    evidence : Evidence, default=None
        What is known beside labels.

    Returns
    -------
    outcome : Outcome
        TF-IDF and a linear head with one weight per term.
    """
    if is_default_head:
        settings = replace(settings, tol=LOOSE_TOL)
    tries_pairs, projection = False, None
    if terms is None:
        projection = find_projection(encoder)
        terms = join_terms(projection, texts)
        tries_pairs = task.has_folds and len(texts) > MOST_JOINT_ROWS and may_pair(projection)
    found = _search(terms, ("unlabelled", "labelled"), texts, task, settings, evidence=evidence)
    tried = [found.average]
    if tries_pairs:
        wider = _search(join_terms(projection, texts, pairs=True), ("labelled",), texts, task, settings, found)
        tried.append(wider.average)
        found = _choose(found, wider)
    characters = terms.characters if projection is None else fit_characters(found.terms.encoder, texts)
    if characters is not None and task.has_folds:
        wider = _search_characters(found, characters, texts, task, settings)
        tried.append(wider.average)
        found = _choose(found, wider)
        del wider
    if projection is None:
        found.characters = characters  # several tasks share the columns of all terms
    baselines = [average.baseline for average in tried if average.baseline is not None]
    baseline = min(baselines, key=lambda candidate: task.rounds[0].loss(candidate.scores), default=None)
    found.average.finish(baseline)
    kept = found.average.weigh()
    coef, labels, intercept, is_converged = _merge_candidates(found, kept)
    attributes = {"label_coef_": labels}
    if any(candidate.row["evidence"] for _, candidate in kept):
        of_vectors, shift = sum_evidence(kept, found.evidence)
        attributes["evidence_coef_"] = found.terms.project(of_vectors, coef.shape[1])
        coef, intercept = coef + attributes["evidence_coef_"], intercept + shift.astype(np.float32)
    head = task.make_head(coef, intercept, **settings.parameters(found.average.best.row["C"]))
    if not is_converged:
        warn_not_converged(head)
    scores = sum(weight * candidate.scores for weight, candidate in kept)
    fold_scores, loss = task.held_out.score(scores), task.loss(scores)
    table = [row for average in tried for row in average.rows]
    found.average.set_to_beat(scores, baseline)
    without = None if baseline is None else (baseline.loss, baseline.fold_scores)
    about = attributes, scores, without, found.rows
    return Outcome("term_vectors", found.encoder, head, fold_scores, table, loss, *about)


def _choose(found, wider):
    """Return the candidates on more terms if their least loss is clearly lower, else those found before.

    Where the first round leaves that in doubt, all folds decide.
    """
    gain = found.average.first_loss - wider.average.first_loss
    if abs(gain - found.average.margin) < found.average.doubt:
        found.average.finish()
        wider.average.finish()
        gain = found.average.best.loss - wider.average.best.loss
    taken, other = (wider, found) if gain > found.average.margin else (found, wider)
    other.average.kept = []  # their models take much memory
    return taken


def idf_ratios(encoder, rows):
    """Return the factors of the weights of terms in the encoder's rows, by the texts that the idf is computed from."""
    frequency = np.bincount(rows.indices, minlength=rows.shape[1])
    of_labelled = inverse_document_frequency(frequency, rows.shape[0], True, np.float32)
    return {"unlabelled": np.ones_like(of_labelled), "labelled": of_labelled / encoder.idf_}


@dataclass
class _Found:
    """The candidates on some terms."""

    terms: Any
    words: Any  # rows of these terms
    blocks: dict  # of each idf
    average: Average
    evidence: list  # of LinearEvidence
    offsets: dict  # of its scores, by the values that name it in the table
    characters: Any = None  # encoder of further terms, n-grams of characters
    fits: list = field(default_factory=list)  # near which others start

    @property
    def encoder(self):
        """The encoder of all terms."""
        words = self.terms.encoder
        return words if self.characters is None else join_characters(words, self.characters)

    @property
    def rows(self):
        """The labelled texts as the encoder of all terms encodes them."""
        further = next(iter(self.blocks.values())).further
        if self.characters is None:
            return self.words
        n_rows, n_terms = self.words.shape[0], len(self.characters.idf_)
        further = sparse.csr_matrix((n_rows, n_terms), dtype=self.words.dtype) if further is None else further
        return sparse.hstack([self.words, further], format="csr")


def _search(terms, idfs, texts, task, settings, before=None, evidence=None):
    """Return the candidates on some terms; the search begins near the best of those that were found before."""
    rows = terms.encoder.transform(texts)
    ratios = idf_ratios(terms.encoder, rows)
    blocks_of_idf = {idf: make_blocks(rows, ratios[idf], terms.vectors) for idf in idfs}
    found = _Found(terms, rows, blocks_of_idf, Average("term_vectors", task), [], {})
    tried = [({"idf": idf}, None) for idf in idfs]
    if evidence is not None:
        features = terms.sum_vectors(rows)
        evidence = replace(evidence, sums_vectors=True)
        found.evidence = make_evidence(evidence, terms.encode, features, task, settings)
        factors = EVIDENCE_FACTORS if task.has_folds and len(texts) <= MOST_JOINT_ROWS else (1.0,)
        with_evidence = _list_evidence(found.evidence, features, task, factors)
        found.offsets = {(row["evidence"], row["evidence_factor"]): offsets for row, offsets in with_evidence}
        tried = [*tried, *with_evidence] if task.has_folds else with_evidence
    for values, offsets in tried:
        blocks, values = found.blocks[values["idf"]], values | {"terms": describe_terms(terms.encoder)}
        if len(texts) <= MOST_JOINT_ROWS or not task.has_folds:
            _search_grid(found.average, blocks, task, settings, values, offsets)
        else:
            start = found if found.average.rows else before
            alphas = ALPHAS if offsets is None else (start.average.best.row["alpha"],)
            _search_around_best(found, blocks, task, settings, values, start, offsets, alphas)
    return found


def _list_evidence(found, features, task, factors):
    """Return the columns of the table and the offsets (n_rows, n_folds + 1, n_scores) of candidates with evidence."""
    if not task.has_folds:  # nothing would show which source helps
        found = found[-1:]
    return [
        ({"idf": "unlabelled", "evidence": source.name, "evidence_factor": factor}, source.offsets(features, factor))
        for source in found
        for factor in factors
    ]


def _search_characters(before, characters, texts, task, settings):
    """Return the candidates with n-grams of characters, near the best candidate before.

    Idf, evidence and alpha are those of this candidate; without evidence alpha may also be zero.
    """
    best = before.average.best.row
    near = sorted(before.fits, key=lambda fit: abs(np.log(best["C"] / fit.C)), reverse=True)
    before.fits = near[-1:]  # the one to start from; the others take much memory
    blocks = before.blocks[best["idf"]]._replace(further=characters.transform(texts))
    average = Average("term_vectors", task)
    found = replace(before, blocks={best["idf"]: blocks}, average=average, characters=characters, fits=[])
    values = {name: best[name] for name in ("idf", "evidence", "evidence_factor")}
    values["terms"] = describe_terms(found.encoder)
    offsets = found.offsets.get((best["evidence"], best["evidence_factor"]))
    alpha = min(best["alpha"], max(alpha for alpha in ALPHAS if np.isfinite(alpha)))
    alphas = sorted({0.0, alpha}) if offsets is None else [alpha]
    _search_around_best(found, blocks, task, settings, values, before, offsets, alphas)
    return found


def _search_grid(average, blocks, task, settings, values, offsets):
    """Fit every alpha at every C; the model of all rows is trained together with those of the folds."""
    Cs, alphas = settings.Cs, ALPHAS if offsets is None else EVIDENCE_ALPHAS
    if not task.has_folds:
        Cs, alphas = (settings.few_labels_C(),), FEW_LABELS_ALPHAS
    for fit in _make_search(blocks, alphas, task.fold_weights, task, settings, offsets).run(Cs):
        values = values | {"alpha": alphas[fit.scale_index], "C": fit.C, "seconds": fit.seconds}
        average.add(fit.scores, fit.last_model, **values)


def _search_around_best(found, blocks, task, settings, values, before, offsets, alphas):
    """Fit the candidates near the best one, for many rows: these distinguish good candidates from bad ones clearly.

    A candidate without transfer is always among them. Beside evidence, alpha is that of the best candidate so far.
    """
    Cs = settings.Cs
    of_folds, of_rows = (None, None) if offsets is None else (offsets[:, :-1], offsets[:, -1])
    search = _make_search(blocks, alphas, task.fold_weights[:, :-1], task, settings, of_folds)
    of_round = first_round(search, task)
    fits = [] if before is None else list(before.fits)

    def evaluate(point):
        fit = of_round.fit(Cs[point[1]], fits, point[0])
        scores, fit = fit.scores, drop_scores(fit)  # the average keeps those that it needs
        fits.append(fit)
        found.fits = fits[-MOST_FITS:]
        del fits[:-MOST_FITS]
        readers = partial(refit, search, fit, task.row_weights, of_rows), partial(fit_fold, search, fit)
        values_of_fit = {"alpha": alphas[point[0]], "C": fit.C, "seconds": fit.seconds}
        return found.average.add(scores, *readers, **values, **values_of_fit)

    start, known = (len(alphas) // 2, len(Cs) // 2), np.inf
    if before is not None:
        best = before.average.best.row
        known = before.average.first_loss
        start = alphas.index(min(best["alpha"], alphas[-1])), Cs.index(best["C"])
    descend_grid((len(alphas), len(Cs)), [start, (0, start[1])], evaluate, found.average.margin, known)


def _make_search(blocks, alphas, weights, task, settings, offsets):
    scales = [blocks.scales(alpha) for alpha in alphas]
    return make_search(blocks.features, task.targets, weights, task, settings, block_scales=scales, offsets=offsets)


def _merge_candidates(found, kept):
    """Return the average of candidates as one weight per term: weights, those from labels, intercept, convergence."""
    pretraining = labels = of_characters = intercept = 0.0
    is_converged = True
    for idf in dict.fromkeys(candidate.row["idf"] for _, candidate in kept):
        coef = shift = 0.0
        for weight, candidate in kept:
            if candidate.row["idf"] == idf:
                model = candidate.read_model()
                coef, shift = coef + weight * model.coef, shift + weight * model.intercept
                is_converged &= model.converged
        of_terms, *others, of_vectors = (coef[:, columns] for columns in found.blocks[idf].features.slices)
        part = merge_blocks(found.blocks[idf], of_terms, of_vectors, shift)
        pretraining, labels = pretraining + part.pretraining, labels + part.labels
        of_characters, intercept = sum(others, of_characters), intercept + part.intercept
    if found.characters is not None:
        of_characters = np.zeros((len(pretraining), len(found.characters.idf_)), np.float32) + of_characters
        labels = sparse.hstack([labels, sparse.csr_matrix(of_characters)])
        pretraining = np.hstack([pretraining, np.zeros_like(of_characters)])
    labels = labels.tocsr()
    coef = np.ascontiguousarray((pretraining + labels.toarray()).T).T
    return coef, labels, intercept.astype(np.float32), is_converged
