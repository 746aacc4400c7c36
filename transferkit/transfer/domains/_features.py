"""Samples of both domains, and the features of both: encoded, then adapted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from transferkit._validation import check_features, count_rows, take_rows
from transferkit.adaptation.domains import stack_rows
from transferkit.adaptation.protocols import GivesWeights
from transferkit.transfer.pretrained import uses_labels

__all__ = [
    "DomainFeatures",
    "Domains",
    "make_features",
    "make_folds",
    "transform",
]


@dataclass
class Domains:
    """Samples of both domains: labelled ones, then unlabelled ones of the target."""

    labelled: Any
    y: np.ndarray  # (n_labelled,)
    unlabelled: Any
    labelled_domain: np.ndarray  # (n_labelled,), larger than 0 for each source domain, less than 0 for the target
    is_text: bool
    folds: list  # of the labelled samples; empty if a class has too few of them

    @property
    def rows(self):
        """All samples."""
        return stack_rows(self.labelled, self.unlabelled)

    @property
    def is_source(self):
        """Whether a labelled sample belongs to a source domain, (n_labelled,)."""
        return self.labelled_domain > 0

    @property
    def sample_domain(self):
        """Domains of all samples, -1 for the unlabelled ones, (n_samples,)."""
        return np.concatenate([self.labelled_domain, np.full(self.n_unlabelled, -1)])

    @property
    def n_unlabelled(self):
        """Number of unlabelled samples."""
        return count_rows(self.unlabelled)


@dataclass
class DomainFeatures:
    """Adapted features of both domains, on which a head is trained."""

    labelled: Any  # (n_labelled, n_features)
    unlabelled: Any
    weights: np.ndarray | None  # (n_labelled,), sample weights for training
    adaptation: Any  # fitted, or None
    in_fold: Callable | None = None  # indices of training samples -> features by an encoder that used their labels only


def make_folds(y, cv, random_state):
    """Return (train, test) indices of stratified folds; none if a class has fewer than two samples."""
    n_splits = min(cv, int(np.unique(y, return_counts=True)[1].min()))
    if n_splits < 2:
        return []
    return list(StratifiedKFold(n_splits, shuffle=True, random_state=random_state).split(np.zeros(len(y)), y))


def make_features(encoder, adaptation, domains, *, is_encoder_fitted=False, needs_both=False):
    """Return the features of both domains; fits the encoder unless it is fitted already, and clones the adaptation.

    With an adaptation, or if it `needs_both`, the encoder is fitted to samples of both domains.
    """
    if is_encoder_fitted:
        encoded = transform(encoder, domains.rows)
    else:
        encoded = _encode(encoder, domains, needs_both=needs_both or adaptation is not None)
    features = _adapt(encoded, adaptation, domains)
    if uses_labels(encoder):
        features.in_fold = lambda train: _adapt(_encode_with(clone(encoder), domains, train), adaptation, domains)
    return features


def _encode(encoder, domains, *, needs_both):
    """Fit an encoder and return the features of all samples.

    An encoder that uses labels is fitted to the labelled samples. Any other one is fitted to the samples of both
    domains if `needs_both`, otherwise to the labelled samples.
    """
    if uses_labels(encoder):
        return _encode_with(encoder, domains, np.arange(len(domains.y)))
    if needs_both:
        return _as_features(encoder.fit_transform(domains.rows))
    labelled = _as_features(encoder.fit_transform(domains.labelled))
    return stack_rows(labelled, transform(encoder, domains.unlabelled))


def transform(encoder, rows):
    """Return the features of samples as an array or a CSR matrix, also for an encoder that returns data frames."""
    return _as_features(encoder.transform(rows))


def _encode_with(encoder, domains, train):
    """Return the features of all samples by an encoder fitted to some labelled samples and their labels."""
    others = np.setdiff1d(np.arange(len(domains.y) + domains.n_unlabelled), train)
    training = _as_features(encoder.fit_transform(take_rows(domains.rows, train), domains.y[train]))
    encoded = stack_rows(training, transform(encoder, take_rows(domains.rows, others)))
    return encoded[np.argsort(np.concatenate([train, others]))]


def _adapt(encoded, adaptation, domains):
    n_labelled = len(domains.y)
    if adaptation is None:
        return DomainFeatures(encoded[:n_labelled], encoded[n_labelled:], None, None)
    adaptation = clone(adaptation)
    labels = np.concatenate([domains.y, np.full(domains.n_unlabelled, domains.y[0])])  # the latter are not used
    mapped = adaptation.fit_transform(encoded, labels, sample_domain=domains.sample_domain)
    weights = None
    if isinstance(adaptation, GivesWeights):
        weights = np.where(domains.is_source, adaptation.sample_weight_[:n_labelled], 1.0)
    return DomainFeatures(mapped[:n_labelled], mapped[n_labelled:], weights, adaptation)


def _as_features(rows):
    return rows if type(rows) in (np.ndarray, csr_matrix, csr_array) else check_features(rows)
