"""Ways to bring labels of one domain to another, each fitted, and judged without target labels."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import get_tags

from transferkit._algorithms.linear.predictions import to_probabilities
from transferkit._validation import check_features, count_rows, take_rows
from transferkit.adaptation import FeatureAugmentation, ImportanceWeighting, MarginalizedDenoising
from transferkit.adaptation.domains import stack_rows
from transferkit.adaptation.protocols import Adaptation
from transferkit.encoders import PretrainedEncoder, WordVectorEncoder
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.transfer._classifier import TransferClassifier

CS = (0.1, 1.0, 10.0, 100.0)
SETTINGS = ("class_weight", "fit_intercept", "tol", "max_iter", "device")  # that a search hands to its head
N_COMPONENTS, MIN_COUNT = 100, 3  # of word vectors from a few thousand texts
N_FOLDS = 3  # of predictions for the target that a second model learns
UNUSED_OF_SEARCH = ("cv", "scoring", "refit", "block_scales", "store_oof")
TAGS_LEAVE_OPEN = ("sklearn.feature_selection", "sklearn.cross_decomposition")  # whether labels are needed
PRIOR = "prior"  # names of what is more than an adaptation of features
BLENDS = {"none+denoising": "none", "prior+denoising": PRIOR}  # and of the candidates whose encoder and head they share


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
    def rows(self):
        """All rows."""
        return stack_rows(self.labelled, self.unlabelled)

    @property
    def sample_domain(self):
        """1 for rows of the source, -1 for those of the target, (n_rows,)."""
        return np.concatenate([np.where(self.is_source, 1, -1), np.full(self.n_unlabelled, -1)])

    @property
    def n_unlabelled(self):
        """Number of unlabelled rows."""
        return count_rows(self.unlabelled)


@dataclass
class Fitted:
    """A candidate, fitted on all rows."""

    name: str
    encoder: Any
    adaptation: Any
    head: Any
    held_out: np.ndarray | None = None  # (n_labelled, n_classes), probabilities by models that did not see the row
    target: np.ndarray | None = None  # (n_unlabelled, n_classes)
    learn_back: Callable | None = None  # pseudo-labels of the target -> log-probabilities of source rows
    seconds: float = 0.0
    attributes: dict = field(default_factory=dict)


def make_folds(y, cv, random_state):
    """Return (train, test) positions of stratified folds; none where a class has fewer than two rows."""
    n_splits = min(cv, int(np.unique(y, return_counts=True)[1].min()))
    if n_splits < 2:
        return []
    return list(StratifiedKFold(n_splits, shuffle=True, random_state=random_state).split(np.zeros(len(y)), y))


def fit_candidate(name, encoder, adaptation, head, domains, *, device, judge, known=()):
    """Return a fitted candidate: an encoder, an adaptation of its features or None, and a head.

    Parameters
    ----------
    name : str
        Name of the candidate; "prior" stands for word vectors pretrained on both domains, "prior+denoising" for the
        mean of that model and of one on denoised features, "none+denoising" for that without the prior.
    encoder : transformer
        Fitted where it is pretrained. Another one learns from rows of both domains, or without adaptation from
        labelled rows alone. One that may learn from labels learns from labelled rows, in each fold anew.
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
    known : list of Fitted
        Candidates that are fitted already.
    """
    began = time.perf_counter()
    if name in BLENDS:
        settings = {"device": device, "judge": judge}
        shared = [other for other in known if other.name == BLENDS[name]]
        first = shared[0] if shared else fit_candidate(BLENDS[name], encoder, None, head, domains, **settings)
        fitted = _fit_blend(name, first, head, domains, device, judge)
    elif name == PRIOR:
        fitted = _fit_prior(head, domains, device, judge)
    else:
        fitted = _fit_adapted(name, encoder, adaptation, head, domains, device, judge)
    fitted.seconds = time.perf_counter() - began
    return fitted


def _fit_adapted(name, encoder, adaptation, head, domains, device, judge, is_encoder_fitted=False):
    features = _make_features(encoder, adaptation, domains, is_encoder_fitted)
    trained, held_out = _fit_head(head, features, domains, device, judge)
    fitted = Fitted(name, encoder, features.adaptation, trained, held_out)
    if judge:
        fitted.target = predict_probabilities(trained, features.unlabelled)

        def learn_back(pseudo):
            unlabelled, source = features.unlabelled, features.labelled[domains.is_source]
            if adaptation is not None and not isinstance(adaptation, (ImportanceWeighting, FeatureAugmentation)):
                labels = np.concatenate([domains.y, pseudo])
                unlabelled, source = features.swap_domains(domains, labels)
            return _learn_back(trained, unlabelled, pseudo, source)

        fitted.learn_back = learn_back
    return fitted


@dataclass
class _Features:
    """What a head is trained on, and how it came about."""

    labelled: Any  # (n_labelled, n_features)
    unlabelled: Any
    weights: np.ndarray | None  # (n_labelled,)
    adaptation: Any  # fitted
    encoded: Any  # rows of both domains before the adaptation
    in_fold: Callable | None  # training rows -> features of an encoder that knows the labels of these alone

    def swap_domains(self, domains, labels):
        """Return the unlabelled rows and the source rows as adapted from the target to the source."""
        n_labelled, both = len(domains.y), None
        if isinstance(self.adaptation, Adaptation) and self.adaptation.is_symmetric:
            return self.unlabelled, self.labelled[domains.is_source]
        both = clone(self.adaptation).fit_transform(self.encoded, labels, sample_domain=-domains.sample_domain)
        return both[n_labelled:], both[:n_labelled][domains.is_source]


def _make_features(encoder, adaptation, domains, is_encoder_fitted):
    """Return features of all rows; `encoder` is fitted unless it is already, the adaptation is cloned."""
    if is_encoder_fitted:
        encoded = transform(encoder, domains.rows)
    else:
        encoded = encode(encoder, domains, needs_both=adaptation is not None)
    features = _adapt(encoded, adaptation, domains)
    if uses_labels(encoder):
        features.in_fold = lambda train: _adapt(_encode_with(clone(encoder), domains, train), adaptation, domains)
    return features


def encode(encoder, domains, *, needs_both):
    """Return features of all rows by an encoder that learns from labels, or else from both domains if it has to."""
    if uses_labels(encoder):
        return _encode_with(encoder, domains, np.arange(len(domains.y)))
    if needs_both:
        return _as_features(encoder.fit_transform(domains.rows))
    labelled = _as_features(encoder.fit_transform(domains.labelled))
    return stack_rows(labelled, transform(encoder, domains.unlabelled))


def transform(encoder, rows):
    """Return features of rows as an array or a CSR matrix, also of an encoder that gives data frames."""
    return _as_features(encoder.transform(rows))


def _as_features(rows):
    return rows if type(rows) in (np.ndarray, csr_matrix, csr_array) else check_features(rows)


def _encode_with(encoder, domains, train):
    """Return features of all rows by an encoder that learns from the labels of some."""
    others = np.setdiff1d(np.arange(len(domains.y) + domains.n_unlabelled), train)
    learned_from = _as_features(encoder.fit_transform(take_rows(domains.rows, train), domains.y[train]))
    encoded = stack_rows(learned_from, transform(encoder, take_rows(domains.rows, others)))
    return encoded[np.argsort(np.concatenate([train, others]))]


def _adapt(encoded, adaptation, domains):
    n_labelled = len(domains.y)
    if adaptation is None:
        return _Features(encoded[:n_labelled], encoded[n_labelled:], None, None, encoded, None)
    adaptation = clone(adaptation)
    labels = np.concatenate([domains.y, np.full(domains.n_unlabelled, domains.y[0])])  # those are not looked at
    mapped = adaptation.fit_transform(encoded, labels, sample_domain=domains.sample_domain)
    weights = None
    if isinstance(adaptation, ImportanceWeighting):
        weights = np.where(domains.is_source, adaptation.sample_weight_[:n_labelled], 1.0)
    return _Features(mapped[:n_labelled], mapped[n_labelled:], weights, adaptation, encoded, None)


def uses_labels(encoder):
    """Return whether an unfitted encoder, or an estimator inside it, may learn from labels.

    Transformers of scikit-learn and transferkit say so in their tags, all but a few. Those of others rarely do, so
    every one may whose `fit` takes y.
    """
    if isinstance(encoder, PretrainedEncoder):
        return False
    inside = encoder.get_params().values() if hasattr(encoder, "get_params") else ()
    return any(_may_learn_from_labels(part) for part in (encoder, *inside) if hasattr(part, "fit"))


def _may_learn_from_labels(part):
    module = type(part).__module__
    if module.startswith(("sklearn.", "transferkit.")):
        return get_tags(part).target_tags.required or module.startswith(TAGS_LEAVE_OPEN)
    return "y" in signature(part.fit).parameters


def _fit_prior(head, domains, device, judge):
    """Return word vectors of both domains as a prior, the average that TransferClassifier makes of it."""
    from transferkit.transfer.strategies._strategies import fit_judged  # here: predictions need none of it

    vectors = WordVectorEncoder(N_COMPONENTS, min_count=MIN_COUNT, random_state=0).fit(domains.rows)

    def learn(texts, labels, folds):
        model = TransferClassifier(vectors, head, strategy="prior", cv=folds, device=device)
        return fit_judged(model, texts, labels, is_text=True, sample_weight=None, groups=None)[0]

    found = learn(domains.labelled, domains.y, domains.folds or N_FOLDS)
    fitted = Fitted(PRIOR, found.encoder, None, found.head, attributes=found.attributes)
    if judge:
        fitted.held_out = np.zeros((len(domains.y), len(found.head.classes_)))
        for fold, (_, test) in enumerate(domains.folds):
            fitted.held_out[test] = _to_probabilities(found.scores[test, fold])
        fitted.target = predict_probabilities(found.head, transform(found.encoder, domains.unlabelled))
        source = [text for text, is_source in zip(domains.labelled, domains.is_source, strict=True) if is_source]

        def learn_back(pseudo):
            if len(np.unique(pseudo)) < 2:
                return np.zeros((len(source), 1))
            backward = learn(domains.unlabelled, pseudo, N_FOLDS)
            return _to_log(predict_probabilities(backward.head, transform(backward.encoder, source)))

        fitted.learn_back = learn_back
    return fitted


def _fit_blend(name, first, head, domains, device, judge):
    """Return the mean of a model and of one on its features denoised, as a single linear head on both."""
    arguments = MarginalizedDenoising(), head, domains, device, judge
    parts = first, _fit_adapted(name, first.encoder, *arguments, is_encoder_fitted=True)
    adaptation = parts[1].adaptation.set_params(keep_input=True)
    fitted = Fitted(name, first.encoder, adaptation, _merge([part.head for part in parts]))
    if judge:
        fitted.held_out = _mean([part.held_out for part in parts])
        fitted.target = _mean([part.target for part in parts])
        fitted.learn_back = lambda pseudo: sum(part.learn_back(pseudo) for part in parts)
    return fitted


def _merge(heads):
    """Return the head whose decision on features side by side is the mean of those of heads on each."""
    merged = clone(heads[0])
    vars(merged).update({name: getattr(heads[0], name) for name in ("classes_", "multilabel_", "n_iter_")})
    merged.coef_ = np.concatenate([head.coef_.T for head in heads]).T / len(heads)  # its transpose is C-contiguous
    merged.intercept_ = sum(head.intercept_ for head in heads) / len(heads)
    merged.n_features_in_, merged.prior_coverage_ = merged.coef_.shape[1], heads[0].prior_coverage_
    return merged


def _mean(probabilities):
    """Return the probabilities of the mean decision."""
    scores = sum(_to_log(p) for p in probabilities) / len(probabilities)
    return np.exp(scores - logsumexp(scores, axis=1, keepdims=True))


def _fit_head(head, features, domains, device, judge):
    """Return the head trained on all labelled rows, and the probabilities of rows it was not trained on."""
    if not is_logistic(head):
        trained = _train(head, features, domains, slice(None))
        return trained, _predict_held_out(head, features, domains) if judge and domains.folds else None
    if not domains.folds:
        trained = LogisticHead(10.0, device=device) if head is None else head
        return _train(trained, features, domains, slice(None)), None
    search = _make_search(head, device)
    if features.in_fold is not None:
        return _search_fold_by_fold(search, features, domains)
    search.set_params(cv=domains.folds).fit(features.labelled, domains.y, sample_weight=features.weights)
    trained = _make_head(search, search.C_)
    names = ("classes_", "multilabel_", "coef_", "intercept_", "n_iter_", "prior_coverage_", "n_features_in_")
    vars(trained).update({name: getattr(search, name) for name in names})
    return trained, _to_probabilities(search.oof_decision_[search.best_index_])


def _train(head, features, domains, rows):
    given = {} if features.weights is None else {"sample_weight": features.weights[rows]}
    return clone(head).fit(features.labelled[rows], domains.y[rows], **given)


def _predict_held_out(head, features, domains):
    """Return the probabilities of each labelled row by a head that did not see it."""
    held_out = np.zeros((len(domains.y), len(np.unique(domains.y))))
    for train, test in domains.folds:
        of_fold = features if features.in_fold is None else features.in_fold(train)
        held_out[test] = predict_probabilities(_train(head, of_fold, domains, train), of_fold.labelled[test])
    return held_out


def _search_fold_by_fold(search, features, domains):
    """Return the head of the best C, and held-out probabilities, where each fold has features of its own."""
    scores, decisions = 0.0, None
    for train, test in domains.folds:
        of_fold = features.in_fold(train)
        search.set_params(cv=[(train, test)], refit=False)
        search.fit(of_fold.labelled, domains.y, sample_weight=of_fold.weights)
        decisions = np.zeros_like(search.oof_decision_) if decisions is None else decisions
        decisions[:, test] = search.oof_decision_[:, test]
        scores = scores + search.cv_results_["mean_test_score"]
    best = int(scores.argmax())
    trained = _make_head(search, search.cv_results_["param_C"][best])
    return _train(trained, features, domains, slice(None)), _to_probabilities(decisions[best])


def _make_search(head, device):
    """Return the search over C that a logistic head stands for."""
    settings = {"scoring": "neg_log_loss", "store_oof": True}
    if head is None:
        return LogisticHeadCV(CS, device=device, **settings)
    if isinstance(head, LogisticHeadCV):
        return clone(head).set_params(**settings)
    return LogisticHeadCV([head.C], **{name: getattr(head, name) for name in SETTINGS}, **settings)


def _make_head(search, C):
    return LogisticHead(float(C), **{name: getattr(search, name) for name in SETTINGS})


def is_logistic(head):
    """Return whether a head is logistic regression whose C can be searched in one batch."""
    return head is None or (type(head) in (LogisticHead, LogisticHeadCV) and head.prior is None)


def check_search(head):
    """Raise ValueError where a LogisticHeadCV asks for what the search over C of all candidates does not do."""
    if type(head) is not LogisticHeadCV or not is_logistic(head):
        return
    plain = LogisticHeadCV()
    unused = [name for name in UNUSED_OF_SEARCH if getattr(head, name) is not getattr(plain, name)]
    if head.scoring == "neg_log_loss":
        unused.remove("scoring")
    if unused:
        raise ValueError(
            "DomainTransferClassifier chooses C by log loss on folds of its own (its 'cv' parameter), and of a "
            f"LogisticHeadCV uses Cs, {', '.join(SETTINGS)}. Leave out {', '.join(unused)} of the head. Got {head!r}."
        )


def _to_probabilities(decisions):
    decisions = np.asarray(decisions, np.float64)
    return to_probabilities(decisions[:, 0] if decisions.shape[1:] == (1,) else decisions)


def _learn_back(head, target, pseudo, source):
    """Return log-probabilities (n_source, n_classes_seen) of a head that learned predictions for the target."""
    if len(np.unique(pseudo)) < 2:
        return np.zeros((source.shape[0], 1))
    return _to_log(predict_probabilities(clone(head).fit(target, pseudo), source))


def _to_log(probabilities):
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


def predict_probabilities(head, features):
    """Return probabilities (n_rows, n_classes) of a fitted head."""
    return np.asarray(head.predict_proba(features), np.float64)


def select_rows(X, mask):
    """Return the rows of a mask."""
    return take_rows(X, np.flatnonzero(mask))
