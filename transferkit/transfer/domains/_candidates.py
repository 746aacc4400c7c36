"""Models for a target domain without labels, each with one adaptation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from transferkit._estimator import UNWATCHED
from transferkit.adaptation import MarginalizedDenoising
from transferkit.encoders import WordVectorEncoder
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.transfer._classifier import TransferClassifier
from transferkit.transfer.domains._features import make_features

__all__ = [
    "BLENDS",
    "TERM_VECTORS",
    "FittedCandidate",
    "HeadFitter",
    "check_search",
    "fit_candidate",
    "is_logistic",
]

CS = (0.1, 1.0, 10.0, 100.0)
SETTINGS = ("class_weight", "fit_intercept", "tol", "max_iter", "device")  # parameters that LogisticHead shares
N_COMPONENTS, MIN_COUNT = 100, 3  # of word vectors trained on a few thousand texts
N_FOLDS = 3  # of term vectors if the labels are too few for folds
UNUSED_OF_SEARCH = ("cv", "scoring", "refit", "block_scales", "store_oof")
TERM_VECTORS = "term_vectors"
DENOISED_SHARE = 0.67  # of the decision of an average
BLENDS = ("none+denoising", "term_vectors+denoising")


@dataclass
class FittedCandidate:
    """An encoder, an adaptation of its features and a head, fitted to all samples."""

    name: str
    encoder: Any
    adaptation: Any
    head: Any
    attributes: dict = field(default_factory=dict)


def fit_candidate(name, encoder, adaptation, head, domains, *, device, progress=UNWATCHED):
    """Fit a candidate: an encoder, an adaptation of its features or None, and a head.

    "term_vectors" uses word vectors pretrained on both domains, "term_vectors+denoising" an average of that model and
    one on denoised features, and "none+denoising" that of the model without adaptation and one on such features.

    A pretrained encoder is fitted already. Any other one is fitted to samples of both domains, or if nothing is adapted
    to the labelled samples; if it may use labels, to the labelled samples, separately in each fold. A head of None is
    logistic regression with C selected by cross-validation. `progress` reports the models of an average.
    """
    fit_head = HeadFitter(head, domains, device)
    if name == "none+denoising":
        features = make_features(encoder, None, domains, needs_both=True)
        with progress.stage("none"):
            first = fit_adapted(name, encoder, features, fit_head)
        return _fit_blend(name, first, fit_head, progress)
    if name in ("term_vectors+denoising", TERM_VECTORS):
        with progress.stage(TERM_VECTORS):
            first = _fit_term_vectors(fit_head, progress)
        return first if name == TERM_VECTORS else _fit_blend(name, first, fit_head, progress)
    with progress.stage(name):
        return fit_adapted(name, encoder, make_features(encoder, adaptation, domains), fit_head)


def fit_adapted(name, encoder, features, fit_head):
    """Return the candidate of a head on given features."""
    return FittedCandidate(name, encoder, features.adaptation, fit_head.fit(features))


@dataclass
class HeadFitter:
    """Fits a head to features of the labelled samples."""

    head: Any  # classifier, or None for logistic regression with C selected by cross-validation
    domains: Any
    device: str

    def fit(self, features):
        """Return the head fitted to all labelled samples."""
        head, folds = self.head, self.domains.folds
        if not is_logistic(head):
            return self._train(head, features)
        if not folds:
            return self._train(LogisticHead(10.0, device=self.device) if head is None else head, features)
        search = self._make_search()
        if features.in_fold is not None:
            return self._search_fold_by_fold(search, features)
        search.set_params(cv=folds).fit(features.labelled, self.domains.y, sample_weight=features.weights)
        trained = _make_head(search, search.C_)
        names = ("classes_", "multilabel_", "coef_", "intercept_", "n_iter_", "prior_coverage_", "n_features_in_")
        vars(trained).update({name: getattr(search, name) for name in names})
        return trained

    def _train(self, head, features):
        given = {} if features.weights is None else {"sample_weight": features.weights}
        if given and not has_fit_parameter(head, "sample_weight"):
            raise ValueError(
                f"{type(features.adaptation).__name__} gives weights, but the head {type(head).__name__} takes no "
                "'sample_weight'. Use another head or another adaptation."
            )
        return clone(head).fit(features.labelled, self.domains.y, **given)

    def _make_search(self):
        """Return the search over C that a logistic head specifies."""
        settings = {"scoring": "neg_log_loss"}
        if self.head is None:
            return LogisticHeadCV(CS, device=self.device, **settings)
        if isinstance(self.head, LogisticHeadCV):
            return clone(self.head).set_params(**settings)
        return LogisticHeadCV([self.head.C], **{name: getattr(self.head, name) for name in SETTINGS}, **settings)

    def _search_fold_by_fold(self, search, features):
        """Return the head of the best C, if each fold has its own features."""
        scores = 0.0
        for train, test in self.domains.folds:
            of_fold = features.in_fold(train)
            search.set_params(cv=[(train, test)], refit=False)
            search.fit(of_fold.labelled, self.domains.y, sample_weight=of_fold.weights)
            scores = scores + search.cv_results_["mean_test_score"]
        return self._train(_make_head(search, search.cv_results_["param_C"][int(scores.argmax())]), features)


def is_logistic(head):
    """Return whether a head is logistic regression without a prior, whose C can be searched on shared folds."""
    return head is None or (type(head) in (LogisticHead, LogisticHeadCV) and head.prior is None)


def check_search(head):
    """Raise ValueError if a LogisticHeadCV has settings that the shared search over C ignores."""
    if type(head) is not LogisticHeadCV or not is_logistic(head):
        return
    plain = LogisticHeadCV()
    unused = [name for name in UNUSED_OF_SEARCH if getattr(head, name) is not getattr(plain, name)]
    if head.scoring == "neg_log_loss":
        unused.remove("scoring")
    if unused:
        raise ValueError(
            "DomainTransferClassifier selects C by log loss on its own folds (parameter 'cv'). Of a LogisticHeadCV it "
            f"uses Cs, {', '.join(SETTINGS)}. Leave {', '.join(unused)} at the default. Got {head!r}."
        )


def _fit_term_vectors(fit_head, progress):
    """Fit the model averages of TransferClassifier with word vectors pretrained on both domains."""
    from transferkit.transfer.strategies._auto import fit_strategies  # here: predictions need none of it

    domains = fit_head.domains
    vectors = WordVectorEncoder(N_COMPONENTS, min_count=MIN_COUNT, random_state=0).fit(domains.rows)
    folds = domains.folds or N_FOLDS
    model = TransferClassifier(vectors, fit_head.head, strategy=TERM_VECTORS, cv=folds, device=fit_head.device)
    progress.step(name="word vectors")
    found = fit_strategies(model, TERM_VECTORS, domains.labelled, domains.y, is_text=True, progress=progress)[0]
    return FittedCandidate(TERM_VECTORS, found.encoder, None, found.head, attributes=found.attributes)


def _fit_blend(name, first, fit_head, progress):
    """Return the average of a model and one on its denoised features, as a single linear head on both."""
    with progress.stage("denoising"):
        features = make_features(first.encoder, MarginalizedDenoising(), fit_head.domains, is_encoder_fitted=True)
        denoised = fit_head.fit(features)
    adaptation = features.adaptation.set_params(keep_input=True)
    return FittedCandidate(name, first.encoder, adaptation, _average_heads(first.head, denoised))


def _average_heads(plain, denoised):
    """Return the head on concatenated features whose decision is the weighted mean of those of heads on each part."""
    merged, parts = clone(plain), ((1 - DENOISED_SHARE, plain), (DENOISED_SHARE, denoised))
    vars(merged).update({name: getattr(plain, name) for name in ("classes_", "multilabel_", "n_iter_")})
    merged.coef_ = np.concatenate([share * head.coef_.T for share, head in parts]).T  # its transpose is C-contiguous
    merged.intercept_ = sum(share * head.intercept_ for share, head in parts)
    merged.n_features_in_, merged.prior_coverage_ = merged.coef_.shape[1], plain.prior_coverage_
    return merged


def _make_head(search, C):
    return LogisticHead(float(C), **{name: getattr(search, name) for name in SETTINGS})
