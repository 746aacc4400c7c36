"""Evidence of the classes beside labels: descriptions of the classes, unlabelled rows of the task, and a teacher.

Each source becomes a linear model of the encoder's features. Its scores, times a factor, are the offset of logistic
regressions, so that the labels correct what the source says; which source counts, and how much, is decided by the
likelihood of held-out labels like everything else (see `_candidates`), and candidates without any are always among
them.

- Descriptions: the cosine similarity of a row with the encoded description of each class ("dataless" classification;
  Chang, Ratinov, Roth and Srikumar 2008).
- Teacher: a linear discriminant of the unlabelled rows with the teacher's probabilities as soft labels (distillation;
  Hinton, Vinyals and Dean 2015).
- Unlabelled rows: a model of the labels and of the other sources labels them; the linear discriminant of these soft
  labels is the evidence (self-training with aligned class proportions; Berthelot and others 2022).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from transferkit._algorithms.linalg.decompositions import unit_rows
from transferkit._algorithms.linear.predictions import to_probabilities
from transferkit._algorithms.linear.soft_labels import SoftDiscriminant, align_proportions, self_train
from transferkit._algorithms.linear.term_prior import Centring
from transferkit._validation import check_features
from transferkit.transfer.strategies._candidates import make_search

__all__ = [
    "EVIDENCE_FACTORS",
    "Evidence",
    "LinearEvidence",
    "make_evidence",
    "make_unsupervised_model",
    "sum_evidence",
    "to_scores",
]

EVIDENCE_FACTORS = (0.5, 1.0)  # of the scores of a source; 2 was no better on the development tasks
SHARPNESS_OF_COSINES = 20.0  # of the probabilities that similarities to descriptions give
C_OF_LABELLER = 10.0  # of the model that labels the unlabelled rows
STRENGTH, STRENGTH_OF_FEW = 1.0, 16.0  # of the shares of the labels against those estimated, see `_strength`
MOST_FEATURES = 1000  # beyond, and for sparse features, principal components are used
N_COMPONENTS = 300


@dataclass(frozen=True)
class Evidence:
    """What was given to `fit` beside labels, checked."""

    classes: np.ndarray  # (n_classes,), sorted
    descriptions: list | None  # texts of each class, in this order
    unlabelled: Any  # rows, or None
    teacher: np.ndarray | None  # (n_unlabelled, n_classes), probabilities
    class_prior: np.ndarray | None  # (n_classes,), proportions of the classes
    is_text: bool
    sums_vectors: bool = False  # whether features are sums of term vectors, which share the direction of their mean

    @property
    def has_sources(self):
        """Whether there is evidence of single rows, and not of the proportions alone."""
        return self.descriptions is not None or self.unlabelled is not None

    @property
    def name(self):
        """The sources, for the table."""
        given = {
            "descriptions": self.descriptions,
            "teacher": self.teacher,
            "unlabelled": self.unlabelled,
        }
        return " + ".join(name for name, value in given.items() if value is not None)


@dataclass(frozen=True)
class LinearEvidence:
    """A linear model of features for each fold, made without the labels that the fold holds out, and for all rows."""

    name: str
    models: list  # (weights (n_classes, n_features), intercepts (n_classes,)) of each fold; the last is of all rows

    def offsets(self, features, factor):
        """Return the scores of rows times a factor, (n_rows, n_folds + 1, n_scores)."""
        parts = [features @ to_scores(weights).T + to_scores(intercepts) for weights, intercepts in self.models]
        return (factor * np.stack(parts, axis=1)).astype(np.float32)

    @property
    def final(self):
        """Weights (n_scores, n_features) and intercepts (n_scores,) of the model of all rows."""
        weights, intercepts = self.models[-1]
        return to_scores(weights), to_scores(intercepts)


def to_scores(of_classes):
    """Return the rows of all classes, or for two classes their difference, as logistic regression has them."""
    return of_classes[1:] - of_classes[:1] if len(of_classes) == 2 else of_classes


def make_evidence(evidence, encode, labelled, task, settings):
    """Return the linear models that each source of evidence gives.

    Parameters
    ----------
    evidence : Evidence
        As given to `fit`.
    encode : callable
        Returns the features (n_rows, n_features) of raw input.
    labelled : array or CSR matrix of shape (n_samples, n_features)
        Features of the labelled rows.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Settings of the logistic regression that labels the unlabelled rows.

    Returns
    -------
    found : list of LinearEvidence
        The last one combines all sources.
    """
    space, rows, known = _learn_without_labels(evidence, encode, labelled)
    found = {name: [model] * task.fold_weights.shape[1] for name, model in known.items()}
    if evidence.unlabelled is not None:
        start = _add(known.values(), len(task.classes), rows.shape[1])
        found[evidence.name] = _self_train_folds(evidence, rows, space.map(labelled), start, task, settings)
    return [LinearEvidence(name, [space.pull_back(*model) for model in models]) for name, models in found.items()]


def sum_evidence(kept, evidence):
    """Return the weights and intercepts that evidence adds to an average of candidates, zero without evidence.

    Parameters
    ----------
    kept : list of (weight, Candidate)
        The candidates in the average.
    evidence : list of LinearEvidence
        The sources that they name.
    """
    models = {source.name: source.final for source in evidence}
    coef = shift = np.float32(0.0)
    for weight, candidate in kept:
        if candidate.row["evidence"]:
            factor = np.float32(weight * candidate.row["evidence_factor"])
            of_source = models[candidate.row["evidence"]]
            coef, shift = coef + factor * of_source[0], shift + factor * of_source[1]
    return coef, shift


def make_unsupervised_model(evidence, encode):
    """Return the linear model that evidence gives without any label."""
    space, rows, known = _learn_without_labels(evidence, encode)
    n_classes = len(evidence.classes)
    model = _add(known.values(), n_classes, rows.shape[1])
    if evidence.descriptions is not None:  # a first guess; the probabilities of a teacher alone are taken as they are
        proportions = np.full(n_classes, 1 / n_classes) if evidence.class_prior is None else evidence.class_prior
        first = to_probabilities((rows @ model[0].T + model[1]).astype(np.float64))
        model = self_train(SoftDiscriminant(rows), first, proportions, np.inf)
    return LinearEvidence(evidence.name, [space.pull_back(*model)])


def _learn_without_labels(evidence, encode, labelled=None):
    """Return the space, the rows in it that are unlabelled (if none are, labelled), and the models of other sources."""
    features = labelled if evidence.unlabelled is None else encode(evidence.unlabelled)
    space = _Space(features, evidence.sums_vectors)
    rows, models = space.map(features), {}
    if evidence.descriptions is not None:
        models["descriptions"] = _score_descriptions(evidence, encode, space, rows)
    if evidence.teacher is not None:
        soft_labels = evidence.teacher
        if evidence.class_prior is not None:
            soft_labels = align_proportions(soft_labels, evidence.class_prior)
        models["teacher"] = SoftDiscriminant(rows).fit(soft_labels, soft_labels.mean(0))
    return space, rows, models


def _score_descriptions(evidence, encode, space, rows):
    """Return the model whose scores are scaled cosine similarities to the descriptions, equal on average over rows."""
    means = []
    for label, texts in zip(evidence.classes.tolist(), evidence.descriptions, strict=True):
        features = check_features(encode(texts))
        is_known = np.asarray(abs(features).sum(1)).ravel() > 0
        if not is_known.any():
            raise ValueError(
                f"class_descriptions: the encoder knows no word of the description of the class {label!r}, which is "
                f"{'; '.join(texts)!r}. Describe it by words of the texts that the encoder was pretrained on."
            )
        means.append(unit_rows(space.map(features[is_known])).mean(0))
    weights = unit_rows(np.stack(means)) * (SHARPNESS_OF_COSINES / max(np.linalg.norm(rows, axis=1).mean(), 1e-12))
    shares = to_probabilities((rows @ weights.T).astype(np.float64)).mean(0)
    return weights, -np.log(np.maximum(shares * len(shares), 1e-12))


def _self_train_folds(evidence, rows, labelled, start, task, settings):
    """Return the discriminant of the unlabelled rows in each fold, labelled by a model of its training labels."""
    n_models = task.fold_weights.shape[1]
    given = to_scores(start[0]), to_scores(start[1])
    offsets = np.repeat((labelled @ given[0].T + given[1])[:, None], n_models, axis=1).astype(np.float32)
    search = make_search(labelled, task.targets, task.fold_weights, task, settings, offsets=offsets)
    discriminant, models = SoftDiscriminant(rows), []
    for fold, model in enumerate(search.fit(settings.nearest_C(C_OF_LABELLER)).models()):
        of_labels = rows @ model.coef.T + model.intercept
        if len(task.classes) == 2:
            of_labels = np.hstack([np.zeros_like(of_labels), of_labels])
        first = to_probabilities((of_labels + rows @ start[0].T + start[1]).astype(np.float64))
        weights = task.fold_weights[:, fold]
        counts = np.bincount(task.targets, weights > 0, len(task.classes))
        shares = np.bincount(task.targets, weights, len(task.classes)) + weights.max()
        base, strength = shares / shares.sum(), _strength(counts)
        if evidence.class_prior is not None:
            base, strength = evidence.class_prior, np.inf
        models.append(self_train(discriminant, first, base, strength))
    return models


def _strength(counts):
    """Return how much the shares of the labels count against those that unlabelled rows seem to have.

    With few labels per class the probabilities from which shares are estimated are too rough.
    """
    return STRENGTH + STRENGTH_OF_FEW / max(counts.mean(), 1)


def _add(models, n_classes, n_features):
    """Return the sum of linear models, zero if there is none."""
    weights, intercepts = np.zeros((n_classes, n_features), np.float32), np.zeros(n_classes)
    for more_weights, more_intercepts in models:
        weights, intercepts = weights + more_weights, intercepts + more_intercepts
    return weights, intercepts


class _Space:
    """A linear map of features to dense rows of few columns, centred and of mean squared norm one."""

    def __init__(self, features, removes_common):
        features, self.components = check_features(features), None
        n_rows, n_features = features.shape
        if sparse.issparse(features) or n_features > MOST_FEATURES:
            n_components = min(N_COMPONENTS, n_rows, n_features)
            self.components = TruncatedSVD(n_components, random_state=0).fit(features).components_
        self.centring = Centring.of(self._project(features), removes_common=removes_common)

    def map(self, features):
        """Return the rows of features."""
        return self.centring.apply(self._project(check_features(features)))

    def pull_back(self, weights, intercepts):
        """Return the weights and intercepts for features of a model of rows."""
        weights, intercepts = self.centring.pull_back(weights, intercepts)
        return (weights if self.components is None else weights @ self.components), intercepts

    def _project(self, features):
        return np.asarray(features if self.components is None else features @ self.components.T)
