"""Ways to bring labels of one domain to another, each fitted, and judged without target labels."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from transferkit._algorithms.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear_predictions import to_probabilities
from transferkit._algorithms.term_prior import make_blocks
from transferkit._validation import take_rows
from transferkit.adaptation import FeatureAugmentation, ImportanceWeighting
from transferkit.encoders import WordVectorEncoder
from transferkit.encoders._term_projection import find_projection, join_terms
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.transfer._classifier import TransferClassifier

CS = (0.1, 1.0, 10.0, 100.0)
PRIOR_SCALES = [(1.0, 0.5), (1.0, 1.0), (1.0, 2.0)]  # of TF-IDF and of word vectors
SETTINGS = ("class_weight", "fit_intercept", "tol", "max_iter", "device")  # that a search hands to its head
N_COMPONENTS, MIN_COUNT = 100, 3  # of word vectors from a few thousand texts


@dataclass
class Domains:
    """Rows of both domains: the labelled ones first, then the unlabelled ones of the target."""

    labelled: Any
    y: np.ndarray  # (n_labelled,)
    unlabelled: Any
    is_source: np.ndarray  # (n_labelled,)
    is_text: bool
    folds: list  # of labelled rows; empty where there are too few to hold some out

    @property
    def sample_domain(self):
        """1 for rows of the source, -1 for those of the target, (n_rows,)."""
        return np.concatenate([np.where(self.is_source, 1, -1), np.full(self.n_unlabelled, -1)])

    @property
    def n_unlabelled(self):
        """Number of unlabelled rows."""
        return len(self.unlabelled) if self.is_text else self.unlabelled.shape[0]


@dataclass
class Fitted:
    """A candidate, fitted on all rows."""

    name: str
    encoder: Any
    adaptation: Any
    head: Any
    held_out: np.ndarray | None = None  # (n_labelled, n_classes), probabilities by models that did not see the row
    target: np.ndarray | None = None  # (n_unlabelled, n_classes)
    reverse: np.ndarray | None = None  # (n_source,), labels of source rows as target predictions have them
    seconds: float = 0.0
    attributes: dict = field(default_factory=dict)


def make_folds(y, cv, random_state):
    """Return (train, test) positions of stratified folds; none where a class has fewer than two rows."""
    n_splits = min(cv, int(np.unique(y, return_counts=True)[1].min()))
    if n_splits < 2:
        return []
    return list(StratifiedKFold(n_splits, shuffle=True, random_state=random_state).split(np.zeros(len(y)), y))


def fit_candidate(name, encoder, adaptation, head, domains, *, device, judge):
    """Return a fitted candidate: an encoder, an adaptation of its features or None, and a head.

    Parameters
    ----------
    name : str
        Name of the candidate; "prior" stands for word vectors pretrained on both domains.
    encoder : transformer
        Fitted where it is pretrained. Another one learns from rows of both domains, or without adaptation from
        labelled rows alone.
    adaptation : transformer or None
        Unfitted.
    head : classifier or None
        None is logistic regression with C chosen on held-out labels.
    domains : Domains
        Rows.
    device : str
        Where to train the default head.
    judge : bool
        Whether to make the predictions that it is judged by.
    """
    began = time.perf_counter()
    if name == "prior":
        fitted = _fit_prior(head, domains, device, judge)
    else:
        fitted = _fit_adapted(name, encoder, adaptation, head, domains, device, judge)
    fitted.seconds = time.perf_counter() - began
    return fitted


def _fit_adapted(name, encoder, adaptation, head, domains, device, judge):
    n_labelled = len(domains.y)
    if adaptation is None:
        labelled = encoder.fit_transform(domains.labelled, domains.y)
        unlabelled = encoder.transform(domains.unlabelled)
        weights = None
    else:
        rows = encoder.fit_transform(stack(domains.labelled, domains.unlabelled))
        adaptation = clone(adaptation)
        labels = np.concatenate([domains.y, np.full(domains.n_unlabelled, domains.y[0])])  # those are not looked at
        mapped = adaptation.fit_transform(rows, labels, sample_domain=domains.sample_domain)
        labelled, unlabelled = mapped[:n_labelled], mapped[n_labelled:]
        weights = None
        if isinstance(adaptation, ImportanceWeighting):
            weights = np.where(domains.is_source, adaptation.sample_weight_[:n_labelled], 1.0)
    trained, held_out = _fit_head(head, labelled, domains, weights, device, judge)
    fitted = Fitted(name, encoder, adaptation, trained, held_out)
    if judge:
        fitted.target = predict_probabilities(trained, unlabelled)
        pseudo = trained.classes_[fitted.target.argmax(1)]
        if adaptation is None or isinstance(adaptation, (ImportanceWeighting, FeatureAugmentation)):
            source, target = labelled[domains.is_source], unlabelled
        else:
            if not getattr(adaptation, "_is_symmetric", False):
                labels = np.concatenate([domains.y, pseudo])
                mapped = clone(adaptation).fit_transform(rows, labels, sample_domain=-domains.sample_domain)
            source, target = mapped[:n_labelled][domains.is_source], mapped[n_labelled:]
        fitted.reverse = _learn_back(trained, target, pseudo, source)
    return fitted


def _fit_prior(head, domains, device, judge):
    """Return word vectors of both domains as a prior, the average that TransferClassifier makes of it."""
    texts = stack(domains.labelled, domains.unlabelled)
    vectors = WordVectorEncoder(N_COMPONENTS, min_count=MIN_COUNT, random_state=0).fit(texts)
    model = TransferClassifier(vectors, head, strategy="prior", cv=domains.folds or 3, device=device)
    model.fit(domains.labelled, domains.y)
    fitted = Fitted("prior", model.encoder_, None, model.head_, attributes={"label_coef_": model.label_coef_})
    if judge:
        terms = join_terms(find_projection(vectors), domains.labelled)
        rows = terms.encoder.transform(texts)
        blocks = make_blocks(rows, np.ones(rows.shape[1], np.float32), terms.vectors)
        features = FeatureBlocks(blocks.rows, blocks.dense)
        labelled, unlabelled = features[: len(domains.y)], features[len(domains.y) :]
        search = _search(head, labelled, domains, None, device, PRIOR_SCALES)
        fitted.held_out = _held_out_probabilities(search)
        fitted.target = predict_probabilities(search, unlabelled)  # of the same model as the held-out ones
        pseudo = model.classes_[fitted.target.argmax(1)]
        scales = search.best_params_["block_scales"]
        settings = {name: getattr(search, name) for name in SETTINGS}
        backward = LogisticHead(search.C_, block_scales=scales, **settings)
        fitted.reverse = _learn_back(backward, unlabelled, pseudo, labelled[domains.is_source])
    return fitted


def _fit_head(head, features, domains, weights, device, judge):
    """Return the head trained on all labelled rows, and the probabilities of rows it was not trained on."""
    given = {} if weights is None else {"sample_weight": weights}
    if not is_logistic(head):
        trained = clone(head).fit(features, domains.y, **given)
        held_out = None
        if judge and domains.folds:
            method = {"method": "predict_proba", "cv": domains.folds, "params": given}
            held_out = cross_val_predict(clone(head), features, domains.y, **method)
        return trained, held_out
    if not domains.folds:
        trained = LogisticHead(10.0, device=device) if head is None else clone(head)
        return trained.fit(features, domains.y, **given), None
    search = _search(head, features, domains, weights, device, None)
    trained = LogisticHead(search.C_, **{name: getattr(search, name) for name in SETTINGS})
    names = ("classes_", "multilabel_", "coef_", "intercept_", "n_iter_", "prior_coverage_", "n_features_in_")
    vars(trained).update({name: getattr(search, name) for name in names})
    return trained, _held_out_probabilities(search) if judge else None


def _search(head, features, domains, weights, device, scales):
    """Return the fitted search over C (and scales) that the default head stands for."""
    settings = {"cv": domains.folds, "scoring": "neg_log_loss", "store_oof": True, "block_scales": scales}
    if head is None:
        search = LogisticHeadCV(CS, device=device, **settings)
    elif isinstance(head, LogisticHeadCV):
        search = clone(head).set_params(**settings)
    else:
        search = LogisticHeadCV([head.C], **{name: getattr(head, name) for name in SETTINGS}, **settings)
    return search.fit(features, domains.y, sample_weight=weights)


def is_logistic(head):
    """Return whether a head is logistic regression whose C can be searched in one batch."""
    return head is None or (type(head) in (LogisticHead, LogisticHeadCV) and head.prior is None)


def _held_out_probabilities(search):
    return to_probabilities(np.asarray(search.oof_decision_[search.best_index_], np.float64))


def _learn_back(head, target, pseudo, source):
    """Return what a head that learned the predictions for the target says of the source."""
    if len(np.unique(pseudo)) < 2:
        return np.full(source.shape[0], pseudo[0])
    return clone(head).fit(target, pseudo).predict(source)


def predict_probabilities(head, features):
    """Return probabilities (n_rows, n_classes) of a fitted head."""
    return np.asarray(head.predict_proba(features), np.float64)


def stack(first, second):
    """Return rows of both one below the other: lists of texts, arrays or sparse matrices."""
    if isinstance(first, list):
        return first + second
    if sparse.issparse(first):
        return sparse.vstack([first, second], format="csr")
    return np.concatenate([first, second])


def select_rows(X, mask):
    """Return the rows of a mask."""
    return take_rows(X, np.flatnonzero(mask))
