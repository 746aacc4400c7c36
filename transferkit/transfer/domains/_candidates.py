"""Candidate models for a target domain without labels, each fitted and evaluated on held-out source labels."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from transferkit._algorithms.linear.predictions import to_probabilities
from transferkit.adaptation import FeatureAugmentation, MarginalizedDenoising
from transferkit.encoders import WordVectorEncoder
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.transfer._classifier import TransferClassifier
from transferkit.transfer.domains._features import make_features, transform

__all__ = ["BLENDS", "N_FOLDS", "TERM_VECTORS", "FittedCandidate", "check_search", "fit_candidate", "is_logistic"]

CS = (0.1, 1.0, 10.0, 100.0)
SETTINGS = ("class_weight", "fit_intercept", "tol", "max_iter", "device")  # parameters that LogisticHead shares
N_COMPONENTS, MIN_COUNT = 100, 3  # of word vectors trained on a few thousand texts
N_FOLDS = 3  # of domain classifiers, and of models trained on predicted labels
UNUSED_OF_SEARCH = ("cv", "scoring", "refit", "block_scales", "store_oof")
TERM_VECTORS = "term_vectors"
BLENDS = {"none+denoising": "none", "term_vectors+denoising": TERM_VECTORS}  # name -> candidate that is averaged


@dataclass
class FittedCandidate:
    """A candidate fitted to all samples, with the predictions that its evaluation needs."""

    name: str
    encoder: Any
    adaptation: Any
    head: Any
    held_out: np.ndarray | None = None  # (n_labelled, n_classes), held-out probabilities
    target: np.ndarray | None = None  # (n_unlabelled, n_classes), probabilities
    predict_source: Callable | None = None  # predicted target labels -> log-probabilities of the source
    seconds: float = 0.0
    attributes: dict = field(default_factory=dict)


def fit_candidate(name, encoder, adaptation, head, domains, *, device, evaluate=False, known=()):
    """Fit a candidate: an encoder, an adaptation of its features or None, and a head.

    "term_vectors" uses word vectors pretrained on both domains, "term_vectors+denoising" the mean of that model and one
    on denoised features, and "none+denoising" the mean of the model without adaptation and one on denoised features.

    A pretrained encoder is fitted already. Any other one is fitted to samples of both domains, or without adaptation to
    the labelled samples; if it may use labels, to the labelled samples, separately in each fold. A head of None is
    logistic regression with C selected by cross-validation. `evaluate` computes the predictions that the evaluation
    needs; `known` are candidates that are already fitted.
    """
    began = time.perf_counter()
    fit_head = HeadFitter(head, domains, device, evaluate)
    if name in BLENDS:
        shared = [other for other in known if other.name == BLENDS[name]]
        settings = {"device": device, "evaluate": evaluate}
        first = shared[0] if shared else fit_candidate(BLENDS[name], encoder, None, head, domains, **settings)
        fitted = _fit_blend(name, first, fit_head)
    elif name == TERM_VECTORS:
        fitted = _fit_term_vectors(fit_head)
    else:
        fitted = _fit_adapted(name, encoder, adaptation, fit_head)
    fitted.seconds = time.perf_counter() - began
    return fitted


@dataclass
class HeadFitter:
    """Fits a head to features of the labelled samples, and predicts those it was not trained on."""

    head: Any  # classifier, or None for logistic regression with C selected by cross-validation
    domains: Any
    device: str
    evaluate: bool  # whether held-out predictions are needed

    def fit(self, features):
        """Return the head fitted to all labelled samples, and held-out probabilities or None."""
        head, folds = self.head, self.domains.folds
        if not is_logistic(head):
            return self._train(head, features), self._predict_held_out(features) if self.evaluate and folds else None
        if not folds:
            return self._train(LogisticHead(10.0, device=self.device) if head is None else head, features), None
        search = self._make_search()
        if features.in_fold is not None:
            return self._search_fold_by_fold(search, features)
        search.set_params(cv=folds).fit(features.labelled, self.domains.y, sample_weight=features.weights)
        trained = _make_head(search, search.C_)
        names = ("classes_", "multilabel_", "coef_", "intercept_", "n_iter_", "prior_coverage_", "n_features_in_")
        vars(trained).update({name: getattr(search, name) for name in names})
        return trained, _to_probabilities(search.oof_decision_[search.best_index_])

    def _train(self, head, features, rows=slice(None)):
        given = {} if features.weights is None else {"sample_weight": features.weights[rows]}
        if given and not has_fit_parameter(head, "sample_weight"):
            raise ValueError(
                f"{type(features.adaptation).__name__} gives weights, but the head {type(head).__name__} takes no "
                "'sample_weight'. Use another head or another adaptation."
            )
        return clone(head).fit(features.labelled[rows], self.domains.y[rows], **given)

    def _predict_held_out(self, features):
        held_out = np.zeros((len(self.domains.y), len(np.unique(self.domains.y))))
        for train, test in self.domains.folds:
            of_fold = features if features.in_fold is None else features.in_fold(train)
            held_out[test] = _predict_probabilities(self._train(self.head, of_fold, train), of_fold.labelled[test])
        return held_out

    def _make_search(self):
        """Return the search over C that a logistic head specifies."""
        settings = {"scoring": "neg_log_loss", "store_oof": True}
        if self.head is None:
            return LogisticHeadCV(CS, device=self.device, **settings)
        if isinstance(self.head, LogisticHeadCV):
            return clone(self.head).set_params(**settings)
        return LogisticHeadCV([self.head.C], **{name: getattr(self.head, name) for name in SETTINGS}, **settings)

    def _search_fold_by_fold(self, search, features):
        """Return the head of the best C, and held-out probabilities, if each fold has its own features."""
        scores, decisions = 0.0, None
        for train, test in self.domains.folds:
            of_fold = features.in_fold(train)
            search.set_params(cv=[(train, test)], refit=False)
            search.fit(of_fold.labelled, self.domains.y, sample_weight=of_fold.weights)
            decisions = np.zeros_like(search.oof_decision_) if decisions is None else decisions
            decisions[:, test] = search.oof_decision_[:, test]
            scores = scores + search.cv_results_["mean_test_score"]
        best = int(scores.argmax())
        trained = _make_head(search, search.cv_results_["param_C"][best])
        return self._train(trained, features), _to_probabilities(decisions[best])


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


def _fit_adapted(name, encoder, adaptation, fit_head, *, is_encoder_fitted=False):
    domains = fit_head.domains
    features = make_features(encoder, adaptation, domains, is_encoder_fitted=is_encoder_fitted)
    trained, held_out = fit_head.fit(features)
    fitted = FittedCandidate(name, encoder, features.adaptation, trained, held_out)
    if fit_head.evaluate:
        fitted.target = _predict_probabilities(trained, features.unlabelled)

        def predict_source(pseudo):
            unlabelled, source = features.unlabelled, features.labelled[domains.is_source]
            if adaptation is not None and not isinstance(adaptation, FeatureAugmentation):
                unlabelled, source = features.swap_domains(domains, np.concatenate([domains.y, pseudo]))
            if len(np.unique(pseudo)) < 2:
                return np.zeros((source.shape[0], 1))
            return _to_log(_predict_probabilities(clone(trained).fit(unlabelled, pseudo), source))

        fitted.predict_source = predict_source
    return fitted


def _fit_term_vectors(fit_head):
    """Fit the model averages of TransferClassifier with word vectors pretrained on both domains."""
    from transferkit.transfer.strategies._auto import fit_strategies  # here: predictions need none of it

    domains = fit_head.domains
    vectors = WordVectorEncoder(N_COMPONENTS, min_count=MIN_COUNT, random_state=0).fit(domains.rows)

    def fit(texts, labels, folds):
        model = TransferClassifier(vectors, fit_head.head, strategy=TERM_VECTORS, cv=folds, device=fit_head.device)
        return fit_strategies(model, TERM_VECTORS, texts, labels, is_text=True)[0]

    found = fit(domains.labelled, domains.y, domains.folds or N_FOLDS)
    fitted = FittedCandidate(TERM_VECTORS, found.encoder, None, found.head, attributes=found.attributes)
    if fit_head.evaluate:
        fitted.held_out = np.zeros((len(domains.y), len(found.head.classes_)))
        for fold, (_, test) in enumerate(domains.folds):
            fitted.held_out[test] = _to_probabilities(found.scores[test, fold])
        fitted.target = _predict_probabilities(found.head, transform(found.encoder, domains.unlabelled))
        source = [text for text, is_source in zip(domains.labelled, domains.is_source, strict=True) if is_source]

        def predict_source(pseudo):
            if len(np.unique(pseudo)) < 2:
                return np.zeros((len(source), 1))
            reverse = fit(domains.unlabelled, pseudo, N_FOLDS)
            return _to_log(_predict_probabilities(reverse.head, transform(reverse.encoder, source)))

        fitted.predict_source = predict_source
    return fitted


def _fit_blend(name, first, fit_head):
    """Return the mean of a model and one on its denoised features, as a single linear head on both."""
    denoised = _fit_adapted(name, first.encoder, MarginalizedDenoising(), fit_head, is_encoder_fitted=True)
    parts = first, denoised
    adaptation = denoised.adaptation.set_params(keep_input=True)
    fitted = FittedCandidate(name, first.encoder, adaptation, _average_heads([part.head for part in parts]))
    if fit_head.evaluate:
        fitted.held_out = _average_decisions([part.held_out for part in parts])
        fitted.target = _average_decisions([part.target for part in parts])
        fitted.predict_source = lambda pseudo: sum(part.predict_source(pseudo) for part in parts)
    return fitted


def _average_heads(heads):
    """Return the head on concatenated features whose decision is the mean of the decisions of heads on each part."""
    merged = clone(heads[0])
    vars(merged).update({name: getattr(heads[0], name) for name in ("classes_", "multilabel_", "n_iter_")})
    merged.coef_ = np.concatenate([head.coef_.T for head in heads]).T / len(heads)  # its transpose is C-contiguous
    merged.intercept_ = sum(head.intercept_ for head in heads) / len(heads)
    merged.n_features_in_, merged.prior_coverage_ = merged.coef_.shape[1], heads[0].prior_coverage_
    return merged


def _average_decisions(probabilities):
    """Return the probabilities of the mean decision."""
    scores = sum(_to_log(p) for p in probabilities) / len(probabilities)
    return np.exp(scores - logsumexp(scores, axis=1, keepdims=True))


def _make_head(search, C):
    return LogisticHead(float(C), **{name: getattr(search, name) for name in SETTINGS})


def _predict_probabilities(head, features):
    return np.asarray(head.predict_proba(features), np.float64)


def _to_probabilities(decisions):
    decisions = np.asarray(decisions, np.float64)
    return to_probabilities(decisions[:, 0] if decisions.shape[1:] == (1,) else decisions)


def _to_log(probabilities):
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
