"""Parts shared by linear classifiers: encoded labels, sample weights, checks of parameters, and predictions."""

import warnings
from numbers import Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear.predictions import compute_scores, to_log_probabilities, to_probabilities
from transferkit._algorithms.linear.targets import sum_class_weights
from transferkit._validation import check_has_classes, check_is_fitted, check_sample_weight, to_numpy, validate_rows
from transferkit.exceptions import count_inner_frames

__all__ = [
    "LinearClassifierMixin",
    "ScoringClassifierMixin",
    "apply_class_weight",
    "check_block_scales",
    "check_scale_candidates",
    "check_weighted_classes",
    "compute_sample_weights",
    "encode_labels",
    "warn_not_converged",
    "weight_probabilities",
]


class ScoringClassifierMixin(ClassifierMixin):
    """Predictions from `decision_function` and `classes_`.

    After a fit on a two-dimensional y `multilabel_` is true, and the outputs are independent binary classifiers.
    """

    def predict(self, X) -> np.ndarray:
        """Return the most probable label of each sample, or the indicators of its labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        labels : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Elements of `classes_`; after a multilabel fit zeros and ones.
        """
        scores = self.decision_function(X)
        if self.multilabel_:
            return (scores > 0).astype(np.int64)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(1)
        return self.classes_[best]

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. They sum to one per sample, except after a multilabel fit.
        """
        scores = self.decision_function(X)
        if self.multilabel_:
            return to_probabilities(scores.ravel())[:, 1].reshape(scores.shape)
        return to_probabilities(scores)

    def predict_log_proba(self, X) -> np.ndarray:
        """Return the logarithm of each class's probability.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        scores = self.decision_function(X)
        if self.multilabel_:
            return to_log_probabilities(scores.ravel())[:, 1].reshape(scores.shape)
        return to_log_probabilities(scores)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class LinearClassifierMixin(ScoringClassifierMixin):
    """Predictions from `coef_`, `intercept_` and `classes_`, in NumPy."""

    def decision_function(self, X) -> np.ndarray:
        """Return the score of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores; with two classes those of the positive class, `classes_[1]`, which is predicted for scores above 0.
        """
        check_is_fitted(self, "coef_")
        X = validate_rows(self, X)
        scores = compute_scores(X, self.coef_, self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 and not self.multilabel_ else scores


def encode_labels(head, y):
    """Return classes, class numbers (n_samples,) or indicators (n_samples, n_labels), and whether they are indicators.

    The labels must have passed `check_labels`.
    """
    if y.ndim == 2:
        return np.arange(y.shape[1]), (y.toarray() if issparse(y) else y).astype(np.int64), True
    classes, labels = np.unique(y, return_inverse=True)
    check_has_classes(classes, head)
    return classes, labels, False


def compute_sample_weights(head, X, classes, targets, multilabel, sample_weight):
    """Return weights of the samples, (n_samples, 1), or (n_samples, n_labels) if they differ between labels."""
    if not multilabel:
        return apply_class_weight(X, classes, targets, head.class_weight, sample_weight)[:, None]
    weights = apply_class_weight(X, classes, targets, None, sample_weight)
    if head.class_weight is None:
        return weights[:, None]
    if head.class_weight != "balanced":
        raise ValueError("class_weight must be 'balanced' or None when y is an indicator matrix. Got a dict instead.")
    of_labels = [apply_class_weight(X, np.arange(2), column, "balanced", weights) for column in targets.T]
    return np.stack(of_labels, axis=1)


def apply_class_weight(X, classes, labels, class_weight, sample_weight):
    """Return the weight of each sample (n_samples,): its sample weight times the weight of its class."""
    # a copy, since torch does not take read-only arrays
    weights = check_sample_weight(to_numpy(sample_weight), X, dtype=X.dtype, ensure_non_negative=True, copy=True)
    if class_weight is None:
        return weights
    factors = compute_class_weights(class_weight, classes, sum_class_weights(labels, weights, len(classes)))
    weights = weights * factors[labels].astype(weights.dtype)
    check_any_weight(weights)
    return weights


def weight_probabilities(head, X, classes, probabilities, sample_weight):
    """Return probabilities (n_samples, n_classes) and weights of the samples (n_samples,), both with class weights.

    A sample counts as one sample per class, weighted by the class's probability, its class weight and the sample's
    weight. That is a sample with other probabilities and another weight.
    """
    weights = apply_class_weight(X, classes, None, None, sample_weight)
    if head.class_weight is not None:
        totals = sum_class_weights(probabilities, weights, len(classes))
        probabilities = probabilities * compute_class_weights(head.class_weight, classes, totals)
        sums = probabilities.sum(1)
        probabilities = probabilities / np.where(sums > 0, sums, 1)[:, None]
        weights = (weights * sums).astype(weights.dtype)
        check_any_weight(weights)
    check_total_weights(classes, sum_class_weights(probabilities, weights, len(classes)), head)
    return probabilities, weights


def compute_class_weights(class_weight, classes, totals):
    """Return the weight of each class, of which the samples have these total weights; "balanced" makes these equal."""
    if class_weight != "balanced":
        for label, weight in class_weight.items():
            if not isinstance(weight, Real) or not 0 <= weight < np.inf:
                raise ValueError(
                    "The weights of class_weight must be finite and not negative. "
                    f"Got {weight!r} for the class {label!r}."
                )
        return compute_class_weight(class_weight, classes=classes, y=classes)
    present = totals > 0
    return np.where(present, totals.sum() / (present.sum() * np.where(present, totals, 1)), 0)


def check_any_weight(weights):
    """Raise ValueError if class weights left no sample a positive weight."""
    if not (weights > 0).any():
        raise ValueError("At least one row must have a positive weight, but class_weight makes the weights all zero.")


def check_weighted_classes(classes, labels, weights, head):
    """Raise ValueError unless samples of two classes have positive weights; an indicator matrix always passes."""
    if labels.ndim < 2:
        check_total_weights(classes, sum_class_weights(labels, weights[:, 0], len(classes)), head)


def check_total_weights(classes, totals, head):
    """Raise ValueError unless two classes have positive total weights."""
    left = classes[totals > 0]
    if len(left) < 2:
        raise ValueError(
            f"{type(head).__name__} needs rows of at least 2 classes with positive weights. The weights leave "
            f"{len(left)} class: {left.tolist()!r}."
        )


def warn_not_converged(head, n_iter=None):
    """Warn that training stopped before it reached the tolerance, after `n_iter` steps if that is given."""
    if n_iter is None:
        reason = f"in max_iter={head.max_iter} steps, or before rounding hid all progress"
        advice = "Increase max_iter or tol, or scale the features."
    elif n_iter < head.max_iter:
        reason = f"after {n_iter} steps, since rounding hides all progress"
        advice = "Scale the features, for instance with sklearn.preprocessing.StandardScaler, or increase tol."
    else:
        reason, advice = f"in max_iter={head.max_iter} steps", "Increase max_iter or tol."
    warnings.warn(
        f"{type(head).__name__} did not converge {reason}: its weights are not yet the optimum. {advice}",
        ConvergenceWarning,
        stacklevel=count_inner_frames(),
    )


def check_block_scales(head, X, scales):
    """Return one scale per block of X as a tuple of floats, or None if there are none."""
    if scales is None:
        return None
    if not isinstance(X, FeatureBlocks):
        raise ValueError(
            f"block_scales of {type(head).__name__} needs features in blocks: FeatureBlocks(first, second). "
            f"Got {type(X).__name__} for X."
        )
    values = np.asarray(scales, dtype=np.float64)
    valid = values.shape == (len(X.blocks),) and np.isfinite(values).all() and (values >= 0).all() and values.any()
    if not valid:
        raise ValueError(
            f"Each block of X needs one finite scale, not negative and not all zero. Got {scales!r} for "
            f"{len(X.blocks)} blocks."
        )
    return tuple(values.tolist())


def check_scale_candidates(head, X, candidates):
    """Return candidates for the scales of the blocks of X as a list of tuples, or None if there are none."""
    if candidates is None:
        return None
    if len(candidates) == 0:
        raise ValueError("block_scales must hold at least one candidate. Got an empty list.")
    return [check_block_scales(head, X, scales) for scales in candidates]
