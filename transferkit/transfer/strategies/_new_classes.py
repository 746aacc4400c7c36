"""New classes for a linear model, from rows of these alone: the scores of the classes that it knows stay as they are.

The mean row of each known class stands for its rows, which are not at hand. One logistic regression separates the new
classes from these means and from one another. All known classes are one class of it, whose score is given: the log of
the summed exponentials of their scores. The source computes it for the rows of new classes, which it has not seen. For
the means it is the average over rows that were held out when the source was trained, because a model is surer of rows
that it has seen, and would leave too little room for new classes.

Models of folds, which hold out means as well, show by how much the scores of new classes are too high or too low for
rows that they have not seen. Rows of known classes scatter around their mean: as much as held-out rows of new classes.
"""

import warnings
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import norm

from transferkit._algorithms.linear.class_means import compute_class_means, compute_log_sums
from transferkit._algorithms.linear.predictions import to_log_probabilities
from transferkit._algorithms.linear.term_prior import TermBlocks, make_blocks, merge_blocks
from transferkit._validation import check_features, read_feature_names
from transferkit.adaptation.domains import stack_rows
from transferkit.encoders.term_projection import find_projection
from transferkit.encoders.term_union import describe_terms, encode_terms, name_terms
from transferkit.exceptions import count_inner_frames
from transferkit.heads.linear import warn_not_converged
from transferkit.heads.linear.evaluation import LOWEST_LOG_PROBABILITY
from transferkit.transfer._evaluation import ClassificationTask, Outcome, make_head, make_row
from transferkit.transfer._summary import summarise_new_classes
from transferkit.transfer.pretrained import make_encoder
from transferkit.transfer.strategies._candidates import make_search
from transferkit.transfer.strategies._class_statistics import trim_means
from transferkit.transfer.strategies._source import add_terms, read_source

__all__ = ["adds_classes", "fit_new_classes"]

STRATEGY = "new_classes"
SHARE_SEEN = 0.5  # of models that were trained on the mean of a class, in its score for the shift
ALPHA = 1.0  # scale of the projections on term vectors
N_QUANTILES = 5  # of the scores of the rows of a known class, around that of its mean
LARGEST_SHIFT = 10.0  # of the scores of new classes


def adds_classes(source, y):
    """Return whether all labels are of classes that a source model does not have, and that it can be given.

    A source that does not keep the means of its classes cannot: then the classes are those of the labels alone, as with
    any source, and only a single label is an error.

    Parameters
    ----------
    source : fitted classifier, str or path
        Source model.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Labels.
    """
    source, _, head = read_source(source)
    if y.ndim > 1 or set(y.tolist()) & set(np.asarray(head.classes_).tolist()):
        return False
    return _keeps_means(source) or len(set(y.tolist())) == 1


def _keeps_means(source):
    return getattr(source, "class_statistics_", None) is not None


def fit_new_classes(classifier, X, y, settings, *, is_text, sample_weight=None, groups=None):
    """Return the outcome of adding classes to the source of a classifier.

    Parameters
    ----------
    classifier : TransferClassifier
        Its `source`, `encoder`, `cv` and `random_state` are used.
    X : list of str, array, sparse matrix or data frame
        Rows of the new classes.
    y : ndarray of shape (n_samples,)
        Labels, none of them known to the source.
    settings : LogisticSettings
        Candidates for C.
    is_text : bool
        Whether X holds texts.
    sample_weight, groups : array-like of shape (n_samples,), default=None
        As given to `fit`.

    Returns
    -------
    outcome : Outcome
        The encoder of the source, with columns for new terms, and a head of all classes.
    """
    source, encoder, head = read_source(classifier.source)
    _check_can_add(classifier, source, head, X, y)
    encoder, places = add_terms(encoder, X) if is_text else (encoder, None)
    rows = check_features(encode_terms(encoder, X))
    if places is None and rows.shape[1] != head.coef_.shape[1]:
        raise ValueError(
            f"Classes are added with the features of the source. It has {head.coef_.shape[1]} of them, and X has "
            f"{rows.shape[1]}."
        )
    known = _Known.of(source, head, places, rows.shape[1])
    new, targets = np.unique(y, return_inverse=True)
    weights = np.ones(len(y), np.float32) if sample_weight is None else np.asarray(sample_weight, np.float32)
    task = _make_task(classifier, len(known.classes), targets, weights, groups)
    space = _Space.of(stack_rows(known.means, rows), _find_vectors(classifier, source, encoder))
    model, scores, row = _fit(space, known.offsets(rows, task), task, settings)
    coef, intercept = space.pull_back(_subtract_first(model.coef), _subtract_first(model.intercept))
    held_out = _HeldOut.of(task, known, rows, scores) if task.has_folds else _HeldOut()
    means = trim_means(compute_class_means(rows, targets, weights, len(new)))
    both = known.add(new, coef, intercept + held_out.shift, means, np.bincount(targets, weights), held_out.log_sum)
    fitted = make_head(both.classes, both.coef, both.intercept, **settings.parameters(row["C"]))
    names = read_feature_names(X)
    if names is not None:
        fitted.feature_names_in_ = names
    if not model.converged:
        warn_not_converged(fitted, model.n_iter)
    attributes = {
        "class_statistics_": {"means": both.means, "counts": both.counts, "log_sum": both.log_sum},
        "summary_": summarise_new_classes(STRATEGY, both.counts, len(new), held_out.recall),
    }
    return Outcome(STRATEGY, encoder, fitted, np.zeros(0), [row], attributes=attributes)


def _check_can_add(classifier, source, head, X, y):
    """Raise ValueError if classes cannot be added to the source of a classifier."""
    if not isinstance(classifier.cv, Integral):
        raise ValueError(
            "cv must be a number of folds if classes are added to a source, because the folds also hold out the means "
            f"of its classes. Got {classifier.cv!r}."
        )
    if not _keeps_means(source):
        raise ValueError(
            f"The one class in y cannot be added to the source, a {type(source).__name__}: it does not have the mean "
            "rows of its classes (class_statistics_), which a TransferClassifier keeps for logistic regression of one "
            "label per row. Add rows of the source's classes to X and y, or fit the source again."
        )
    is_text = [np.asarray(labels).dtype.kind in "OUS" for labels in (head.classes_, y)]
    if is_text[0] != is_text[1]:
        raise ValueError(
            f"Labels of type {y.dtype} cannot be added to a source with labels of type {head.classes_.dtype}, such as "
            f"{head.classes_[:1].tolist()[0]!r}. Convert y to this type."
        )
    names, known = read_feature_names(X), getattr(head, "feature_names_in_", None)
    if names is not None and known is not None and list(names) != list(known):
        raise ValueError(
            f"Classes are added with the columns of the source in their order, {list(known)[:5]} and so on. Got "
            f"{list(names)[:5]}."
        )


class _Known(NamedTuple):
    """The classes of a model, and what it keeps of their rows."""

    classes: np.ndarray  # (n_classes,)
    coef: np.ndarray  # (n_classes, n_features)
    intercept: np.ndarray  # (n_classes,)
    means: Any  # array or CSR matrix (n_classes, n_features)
    counts: np.ndarray  # (n_classes,)
    log_sum: float | None  # mean over held-out rows of the log of the summed exponentials of centred scores

    @classmethod
    def of(cls, source, head, places, n_features):
        """Return those of a source, in columns among which `places` are its own."""
        coef, intercept, means = head.coef_, head.intercept_, source.class_statistics_["means"]
        if len(coef) == 1:
            coef, intercept = np.vstack([-coef / 2, coef / 2]), np.concatenate([-intercept / 2, intercept / 2])
        if places is not None:
            wide = np.zeros((len(coef), n_features), coef.dtype)
            wide[:, places] = coef
            coef = wide
            means = sparse.csr_matrix((means.data, places[means.indices], means.indptr), (len(coef), n_features))
        counts, log_sum = source.class_statistics_["counts"], source.class_statistics_["log_sum"]
        return cls(head.classes_, coef, intercept, means, counts, log_sum)

    def score(self, rows):
        """Return the centred scores of rows, (n_rows, n_classes)."""
        scores = np.asarray(rows @ self.coef.T) + self.intercept
        return scores - scores.mean(1, keepdims=True)

    def sum_scores(self, rows):
        """Return the score of all classes together, for their means and for rows, (n_classes + n_rows,).

        If it is not known for held-out rows, the means have the least value possible, that of equal scores.
        """
        of_means = np.log(len(self.classes)) if self.log_sum is None else self.log_sum
        return np.concatenate([np.full(len(self.classes), of_means), compute_log_sums(self.score(rows))])

    def offsets(self, rows, task):
        """Return this as offsets of the scores of the task, (n_classes + n_rows, n_folds + 1, n_scores)."""
        offsets = np.zeros((len(task.targets), len(task.folds) + 1, task.n_scores), np.float32)
        offsets[:, :, 0] = self.sum_scores(rows)[:, None] * (1 if task.n_scores > 1 else -1)
        return offsets

    def add(self, classes, coef, intercept, means, counts, log_sum):
        """Return these and further classes, sorted; the scores of the latter are relative to the mean of these."""
        joined = np.concatenate([self.classes, classes])
        order = np.argsort(joined, kind="stable")
        coef = np.vstack([self.coef, coef + self.coef.mean(0)]).astype(self.coef.dtype)
        intercept = np.concatenate([self.intercept, intercept + self.intercept.mean()]).astype(self.intercept.dtype)
        means, counts = stack_rows(self.means, means)[order], np.concatenate([self.counts, counts])[order]
        return _Known(joined[order], np.ascontiguousarray(coef[order].T).T, intercept[order], means, counts, log_sum)


def _make_task(classifier, n_known, targets, weights, groups):
    """Return the means of known classes as rows of class 0, and the rows of new classes, with folds of both.

    How many labels there are of a new class so far says nothing of how frequent it is: the mean of a known class
    has the weight of all rows of a new one, on average.
    """
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
        groups = np.concatenate([-1 - np.arange(n_known), groups])
    of_means = np.full(n_known, weights.sum() / (1 + targets.max()))
    return ClassificationTask(
        classifier,
        np.concatenate([np.zeros(n_known, np.int64), targets + 1]),
        cv=classifier.cv,
        scoring=None,
        class_weight=None,
        sample_weight=np.concatenate([of_means, weights]),
        groups=groups,
        random_state=classifier.random_state,
    )


def _find_vectors(classifier, source, encoder):
    """Return the vectors of the first columns of the encoder, those of the words that the classifier's encoder has."""
    if classifier.encoder is None:
        if source.strategy_ == "term_vectors":
            warnings.warn(
                "The source was trained with pretrained term vectors, which it does not keep. New classes are learned "
                "from their own words alone. Pass the encoder as well: TransferClassifier(encoder, source=source).",
                UserWarning,
                stacklevel=count_inner_frames(),
            )
        return None
    projection = find_projection(make_encoder(classifier.encoder))
    if projection is None or not describe_terms(encoder):  # features of another kind, as they are
        return None
    place = {name: row for row, name in enumerate(projection.words.get_feature_names_out().tolist())}
    rows = np.array([place.get(name, -1) for name in name_terms(encoder).tolist()])
    return np.where(rows[:, None] >= 0, projection.vectors[rows], np.float32(0))


class _Space(NamedTuple):
    """Features in which new classes are learned: those of the encoder, and perhaps projections on term vectors."""

    features: Any
    blocks: TermBlocks | None

    @classmethod
    def of(cls, rows, vectors):
        """Return them for rows of the encoder."""
        if vectors is None:
            return cls(rows, None)
        blocks = make_blocks(rows, np.ones(rows.shape[1], np.float32), vectors)
        return cls(blocks.features, blocks)

    def pull_back(self, coef, intercept):
        """Return weights of the encoder's features and intercepts, from those of these features."""
        if self.blocks is None:
            return coef, intercept
        of_terms, of_vectors = (coef[:, columns] for columns in self.blocks.features.slices)
        merged = merge_blocks(self.blocks, of_terms, of_vectors, intercept)
        return merged.pretraining + merged.labels.toarray(), merged.intercept


def _fit(space, offsets, task, settings):
    """Return the model of all rows, the decision values of the models of all folds, and the row of the table."""
    scales = None if space.blocks is None else [space.blocks.scales(ALPHA)]
    options = {"block_scales": scales, "offsets": offsets}
    search = make_search(space.features, task.targets, task.fold_weights, task, settings, **options)
    fit = search.fit(settings.few_labels_C())
    alpha = np.nan if scales is None else ALPHA
    row = make_row(STRATEGY, [], C=fit.C, alpha=alpha, weight=1.0, seconds=fit.seconds)
    return fit.last_model(), fit.scores, row


def _subtract_first(of_classes):
    """Return the rows of new classes minus the first row, or for two classes the one row as it is."""
    return of_classes[1:] - of_classes[:1] if len(of_classes) > 1 else of_classes


class _HeldOut(NamedTuple):
    """What rows say that were held out."""

    shift: float = 0.0  # to add to the scores of new classes
    recall: float | None = None  # share of the rows of new classes that get their label
    log_sum: float | None = None  # as in `_Known`, of all classes

    @classmethod
    def of(cls, task, known, rows, scores):
        """Return it for the decision values of the models of all folds."""
        counted, n_known = task.held_out.is_scored, len(known.classes)
        decision = task.held_out.decide(scores).astype(np.float64)
        decision[:n_known] = _mix(scores[:n_known, :-1], decision[:n_known])
        decision = decision[counted]
        relative = np.maximum(_subtract_first(decision.T).T, LOWEST_LOG_PROBABILITY)
        targets, weights = task.targets[counted], task.sample_weight[counted]
        shift = _find_shift(*_scatter(relative, targets, weights))
        relative += shift
        of_known = known.sum_scores(rows)[counted]
        of_new = relative + of_known[:, None]
        total = of_known + np.logaddexp(0, logsumexp(relative, axis=1)) - of_new.sum(1) / (n_known + of_new.shape[1])
        is_new = targets > 0
        best = known.score(rows).max(1)[counted[n_known:]]
        is_found = (of_new[is_new].argmax(1) + 1 == targets[is_new]) & (of_new[is_new].max(1) > best)
        recall = np.average(is_found, weights=weights[is_new])
        return cls(shift, float(recall), float(np.average(total, weights=weights)))


def _mix(scores, held_out):
    """Return decision values between those of models that were trained on a mean and those that were not.

    Without its mean, a class is unknown to the model, and further from the others than rows of known classes are.
    """
    seen = (scores.sum(1) - held_out) / (scores.shape[1] - 1)
    return SHARE_SEEN * seen + (1 - SHARE_SEEN) * held_out


def _scatter(relative, targets, weights):
    """Return each mean as several rows, whose scores scatter around its own as those of rows of new classes do."""
    own = [relative[targets == target, target - 1] for target in range(1, relative.shape[1] + 1)]
    squares = sum(((scores - scores.mean()) ** 2).sum() for scores in own if len(scores))
    deviation = np.sqrt(squares / max(sum(len(scores) - 1 for scores in own if len(scores)), 1))
    steps = deviation * norm.ppf((np.arange(N_QUANTILES) + 0.5) / N_QUANTILES)
    is_mean = targets == 0
    rows = [relative[~is_mean], *(relative[is_mean] + step for step in steps)]
    copies = np.concatenate([np.flatnonzero(~is_mean), np.tile(np.flatnonzero(is_mean), N_QUANTILES)])
    shares = np.where(is_mean, 1 / N_QUANTILES, 1.0)
    return np.concatenate(rows), targets[copies], (weights * shares)[copies]


def _find_shift(relative, targets, weights):
    """Return what to add to the scores of new classes, so that the labels of the rows are most likely."""

    def loss(shift):
        logs = to_log_probabilities(np.hstack([np.zeros((len(relative), 1)), relative + shift]))
        return -float(weights @ logs[np.arange(len(logs)), targets])

    return float(minimize_scalar(loss, bounds=(-LARGEST_SHIFT, LARGEST_SHIFT), method="bounded").x)
