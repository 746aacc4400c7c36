"""The consensus of adaptations: each labels the target, and the head is trained on the weighted mean of the labels."""

import time
import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import cohen_kappa_score

from transferkit._algorithms.domains.discriminant import label_by_discriminant
from transferkit._estimator import UNWATCHED
from transferkit.adaptation import JointDistributionAdaptation, LinearTransport, MarginalizedDenoising
from transferkit.adaptation.domains import stack_rows
from transferkit.exceptions import count_inner_frames
from transferkit.transfer.domains._features import make_folds

__all__ = ["CONSENSUS", "Consensus", "SourceCheck", "compare_on_source", "find_consensus", "fit_consensus"]

CONSENSUS = "consensus"  # name of the mean in tables
MOST_ROWS = 10_000  # of each domain, a random sample of more
LEAST_AGREEMENT = 0.5  # of two adaptations on the target, as Cohen's kappa
FEWEST_COMPARED = 20  # target samples for this
MOST_LOST = 0.1  # of the head's right labels of the source beyond the most frequent class, by the adaptations alone


@dataclass
class Consensus:
    """Class probabilities of target samples by each candidate; the first one is without adaptation."""

    names: list
    probabilities: np.ndarray  # (n_candidates, n_target, n_classes)
    classes: np.ndarray  # (n_classes,), labels
    weights: np.ndarray  # (n_candidates,), sum 1
    seconds: list
    is_reflected: bool  # whether the target is a reflection of the source

    @property
    def mean(self):
        """Weighted mean of the candidates (n_target, n_classes)."""
        return np.tensordot(self.weights, self.probabilities, 1)

    @property
    def codes(self):
        """Class numbers by each candidate and by the mean of all, (n_candidates + 1, n_target)."""
        return np.append(self.probabilities.argmax(2), [self.mean.argmax(1)], axis=0)

    def tabulate(self, held_out, is_used):
        """Return one row of the table for each candidate and one for their mean, given accuracies on the source."""
        codes = self.codes
        agreement, seconds = (codes == codes[-1]).mean(1), [*self.seconds, sum(self.seconds)]
        columns = {"adaptation": [*self.names, CONSENSUS], "held_out": held_out, "agreement": agreement}
        columns["weight"] = [*self.weights, np.nan]
        columns |= {"chosen": np.arange(len(codes)) == (len(self.names) if is_used else 0), "seconds": seconds}
        return {name: np.asarray(values) for name, values in columns.items()}

    def warn_disagreement(self):
        """Warn if the last two candidates, the adaptations of dense features, disagree on many samples."""
        first, second = self.probabilities[-2:].argmax(2)
        if len(first) < FEWEST_COMPARED or (first == second).all():
            return
        agreement = cohen_kappa_score(first, second)
        if agreement < LEAST_AGREEMENT:
            warnings.warn(
                f"The adaptations that adaptation='auto' averages agree on few target samples: Cohen's kappa of "
                f"{self.names[-2]} and {self.names[-1]} is {agreement:.2f}. The domains are so different that about "
                "half of the predictions may be wrong. Check them on some labelled target samples, or give such "
                "samples to 'fit' with sample_domain=-1.",
                UserWarning,
                stacklevel=count_inner_frames(),
            )


class SourceCheck(NamedTuple):
    """Whether held-out source samples are labelled right."""

    by_candidate: np.ndarray  # (n_candidates, n_source), bool; the first one is without adaptation
    by_adaptations: np.ndarray  # (n_source,), by the weighted mean of all but the first
    by_mean: np.ndarray  # (n_source,), by the weighted mean of all
    weights: np.ndarray  # (n_candidates,), sum 1
    n_of_largest: int  # samples of the most frequent class

    @property
    def accuracies(self):
        """Accuracies of the candidates and of their mean."""
        return np.append(self.by_candidate, [self.by_mean], axis=0).mean(1)

    @property
    def is_passed(self):
        """Whether the adaptations keep most of what the head knows beyond the most frequent class.

        One standard error is added to their loss, so that a check that chance decides is not passed.
        """
        plain = self.by_candidate[0]
        change = self.by_adaptations.astype(np.float64) - plain
        lost = np.sqrt(np.square(change).sum()) - change.sum()
        return bool(lost <= MOST_LOST * (plain.sum() - self.n_of_largest))


def fit_consensus(features, domains, head, cv, random_state, progress=UNWATCHED):
    """Return a clone of the head trained on the labels of the consensus, and the rows of the table.

    The head is None if the consensus is not used, because the adaptations do not pass the check on held-out source
    samples: see :class:`SourceCheck`. The classes are then not the clusters of the samples, which the adaptations
    assume, so that these lose even without a shift; or the head is too weak for the check to tell.

    Parameters
    ----------
    features : DomainFeatures
        Features without adaptation.
    domains : Domains
        Labels.
    head : classifier
        Unfitted, with `predict_proba`.
    cv : int
        Number of folds of source samples.
    random_state : RandomState
        Draws the folds, and a sample of very many rows.
    progress : FitProgress, default=UNWATCHED
        Reports the candidates, on the target and on each fold of the source.
    """
    positions = np.flatnonzero(domains.is_source)
    source = positions[_draw_labelled(domains.y[positions], random_state)]
    target = _draw(domains.n_unlabelled, random_state)
    rows, y, unlabelled = features.labelled[source], domains.y[source], features.unlabelled[target]
    with progress.stage("target"):
        consensus = find_consensus(rows, y, unlabelled, head, progress)
    check = compare_on_source(rows, y, head, make_folds(y, cv, random_state), progress)
    consensus = replace(consensus, weights=check.weights)
    table = consensus.tabulate(check.accuracies, check.is_passed)
    if not check.is_passed:
        return None, table
    consensus.warn_disagreement()
    return _train_on_both(head, features.labelled, domains, unlabelled, consensus), table


def find_consensus(source, y, target, head, progress=UNWATCHED):
    """Return the class probabilities of target samples by each candidate, with equal weights.

    For dense features these are the head without adaptation; Gaussian classes fitted to the target, which begin with
    the predictions of the head after :class:`LinearTransport`; and the nearest neighbours after
    :class:`JointDistributionAdaptation`. For sparse features they are the head without and with
    :class:`MarginalizedDenoising`. If the target is a reflection of the source, the source is reflected first.

    Parameters
    ----------
    source : ndarray or CSR matrix of shape (n_source, n_features)
        Labelled samples.
    y : ndarray of shape (n_source,)
        Labels.
    target : ndarray or CSR matrix of shape (n_target, n_features)
        Unlabelled samples.
    head : classifier
        Cloned for each candidate.
    progress : FitProgress, default=UNWATCHED
        Reports the candidates.
    """
    labeller = _Labeller(source, y, target, head, progress)
    labeller.add("none", labeller.predict_plainly)
    if sparse.issparse(source):
        labeller.add("MarginalizedDenoising", labeller.predict_denoised)
    else:
        labeller.add("LinearTransport", labeller.predict_transported)
        labeller.add("JointDistributionAdaptation", labeller.predict_jointly)
    found = np.stack(labeller.found)
    weights = np.full(len(found), 1 / len(found))
    return Consensus(labeller.names, found, labeller.classes, weights, labeller.seconds, labeller.is_reflected)


class _Labeller:
    """Labels target samples by one candidate after another."""

    def __init__(self, source, y, target, head, progress):
        self.source, self.y, self.target, self.head, self.progress = source, y, target, head, progress
        self.classes, self.codes = np.unique(y, return_inverse=True)
        self.labels = np.concatenate([y, np.full(target.shape[0], y[0])])  # those of the target are not used
        self.domain = np.repeat([1, -1], [source.shape[0], target.shape[0]])
        self.names, self.found, self.seconds = [], [], []
        self.is_reflected = False
        if not sparse.issparse(source):
            self._transport()

    def add(self, name, predict):
        began = time.perf_counter()
        self.found.append(predict())
        self.names.append(name)
        self.seconds.append(time.perf_counter() - began)
        self.progress.step(name=name)

    def predict_plainly(self):
        return self._predict(self.source, self.target)

    def predict_denoised(self):
        mapped = MarginalizedDenoising().fit_transform(self._rows, sample_domain=self.domain)
        return self._predict(*self._split(mapped))

    def predict_transported(self):
        begin = self._predict(self.transported, self.target)
        return label_by_discriminant(self.source, self.codes, self.target, begin)

    def predict_jointly(self):
        adaptation = JointDistributionAdaptation().fit(self._rows, self.labels, sample_domain=self.domain)
        return (adaptation.pseudo_labels_[:, None] == self.classes).astype(np.float64)

    @property
    def _rows(self):
        return stack_rows(self.source, self.target)

    def _transport(self):
        """Map the source to the target, and reflect it if the map does."""
        transport = LinearTransport(reflection="auto")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of few rows: the mean is what counts
            self.transported = self._split(transport.fit_transform(self._rows, sample_domain=self.domain))[0]
        self.is_reflected = transport.reflected_
        if self.is_reflected:
            self.source = _reflect(self.source)

    def _split(self, rows):
        return rows[: len(self.y)], rows[len(self.y) :]

    def _predict(self, source, target):
        return np.asarray(clone(self.head).fit(source, self.y).predict_proba(target), np.float64)


def compare_on_source(source, y, head, folds, progress=UNWATCHED):
    """Return whether held-out source samples are labelled right, by each candidate and by means of them.

    Each fold in turn is the target, of the same domain as the rest. What loses here loses without any shift: the
    classes are not the clusters of the samples, which the adaptations assume. The weights are proportional to the
    numbers of right labels, with one more each.
    """
    codes, counts = np.unique(y, return_inverse=True, return_counts=True)[1:]
    found = None
    for number, (train, test) in enumerate(folds):
        with progress.stage(f"source, fold {number + 1}"):
            probabilities = find_consensus(source[train], y[train], source[test], head, progress).probabilities
        found = np.empty((len(probabilities), len(y), probabilities.shape[2])) if found is None else found
        found[:, test] = probabilities
    is_right = found.argmax(2) == codes
    n_right = is_right.sum(1) + 1
    weights = n_right / n_right.sum()
    by_adaptations, by_mean = (np.tensordot(weights[first:], found[first:], 1).argmax(1) == codes for first in (1, 0))
    return SourceCheck(is_right, by_adaptations, by_mean, weights, int(counts.max()))


def _train_on_both(head, labelled, domains, target, consensus):
    """Return a clone of the head, trained on labelled samples and on target samples labelled by the consensus.

    A head without `fit_soft` is trained on the most probable classes.
    """
    y, classes, probabilities = domains.y, consensus.classes, consensus.mean
    if consensus.is_reflected:
        labelled = np.where(domains.is_source[:, None], _reflect(labelled, domains.is_source), labelled)
    rows, known = stack_rows(labelled, target), np.unique(y)
    if not hasattr(head, "fit_soft"):
        return clone(head).fit(rows, np.concatenate([y, classes[probabilities.argmax(1)]]))
    soft_labels = np.zeros((rows.shape[0], len(known)))
    soft_labels[: len(y)] = y[:, None] == known
    soft_labels[len(y) :, np.searchsorted(known, classes)] = probabilities
    return clone(head).fit_soft(rows, soft_labels, classes=known)


def _draw(n_rows, random_state):
    """Return the positions of at most `MOST_ROWS` rows, in order."""
    if n_rows <= MOST_ROWS:
        return np.arange(n_rows)
    return np.sort(random_state.choice(n_rows, MOST_ROWS, replace=False))


def _draw_labelled(labels, random_state):
    """Return the positions of at most `MOST_ROWS` rows, and two more of each label if there are as many."""
    drawn = _draw(len(labels), random_state)
    others = np.setdiff1d(np.arange(len(labels)), drawn)
    more = [others[labels[others] == label][:2] for label in np.unique(labels)]
    return np.sort(np.concatenate([drawn, *more]))


def _reflect(rows, is_source=slice(None)):
    """Return rows reflected at the mean of the source."""
    return 2 * rows[is_source].mean(0) - rows
