"""Weighting of source rows by the class proportions of the target."""

import warnings
from numbers import Integral
from typing import Literal

import numpy as np
from sklearn.utils import check_array

from transferkit._algorithms.rows.class_proportions import (
    adjust_probabilities,
    estimate_proportions,
    match_predictions,
)
from transferkit._types import Predictor
from transferkit._validation import HasMethods, Interval, StrOptions, check_is_fitted, check_labels
from transferkit.adaptation._held_out import fit_and_predict, predict_held_out
from transferkit.adaptation._source_weighting import SourceWeighting
from transferkit.adaptation.domains import check_source_labels
from transferkit.exceptions import count_inner_frames

__all__ = ["LabelShiftWeighting"]

LEAST_PROBABILITY = 1e-12  # of a class, on average
ROUNDING = 1e-3  # of the sum of probabilities, which may be given with few digits


class LabelShiftWeighting(SourceWeighting):
    """Weight source rows by the ratio of the class proportions in the target to those in the source.

    For label shift: the classes have other proportions in the target, and the rows of a class have the same
    distribution in both domains. Rows are passed through unchanged. `fit` estimates the proportions in the target from
    the predictions of a classifier of the source; a head trained with the weights, which it takes as `sample_weight`,
    then minimises its expected loss in the target. A classifier that is already trained need not be trained again:
    `correct_probabilities` adjusts what it predicts.

    Parameters
    ----------
    estimator : classifier, default=None
        Classifier whose predictions the proportions are estimated from; it is cloned. "em" needs its `predict_proba`,
        "bbse" uses `predict` if it has none. None is logistic regression.
    method : {"em", "bbse"}, default="em"
        "em" finds the proportions of maximum likelihood by expectation-maximisation [1]_. It is the more accurate one
        if probabilities are calibrated. "bbse" (black-box shift estimation) finds those that best explain the mean
        predictions in the target, given the confusion matrix of held-out source rows [2]_, and corrects for errors of
        the classifier of any kind.
    cv : int, default=5
        Number of stratified folds for predictions of held-out source rows; at most the rows of the smallest class.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the source, sorted.
    class_proportions_ : ndarray of shape (n_classes,)
        Estimated proportions of the classes in the target.
    source_proportions_ : ndarray of shape (n_classes,)
        Proportions of the classes in the source.
    sample_weight_ : ndarray of shape (n_samples,)
        Weight of each row of `fit`, in its order: mean 1 over source rows, 0 for target rows.
    effective_sample_size_ : float
        Kish's effective sample size (sum w)^2 / sum w^2 of the source rows.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    ImportanceWeighting : For covariate shift: weights by the features of a row instead of its class.
    DomainTransferClassifier : Trains a head with these weights.

    Notes
    -----
    `fit` warns if the classifier hardly distinguishes some classes on held-out rows: the smallest singular value of
    its confusion matrix is then below 1 / sqrt(n), with n rows of the smaller domain, so that sampling error alone may
    move the proportions anywhere.

    "em" takes the means of the predictions for held-out source rows as the proportions that the classifier assumes,
    and attributes the change from these to the target. With an estimator trained with weights of classes use "bbse",
    because such a classifier assumes other proportions.

    Classes that only the target has cannot be found.

    References
    ----------
    .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
       probabilities: a simple procedure", Neural Computation 14 (2002), 21-41.
    .. [2] Z. C. Lipton, Y.-X. Wang, A. J. Smola, "Detecting and correcting for label shift with black box predictors",
       ICML (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import LabelShiftWeighting
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 0, 1], [200, 200, 180, 20])  # 10 % of the target are of class 1
    >>> X, sample_domain = y[:, None] + 0.5 * rng.normal(size=(600, 1)), np.repeat([1, -1], [400, 200])
    >>> weighting = LabelShiftWeighting().fit(X, y, sample_domain=sample_domain)  # labels of the target are not used
    >>> weighting.class_proportions_.round(1)
    array([0.9, 0.1])
    >>> weighting.correct_probabilities([[0.5, 0.5]]).round(1)
    array([[0.9, 0.1]])
    """

    fitted_attributes = ("class_proportions_", "classes_", "source_proportions_")
    _advice = "Classes that are frequent in the target are rare in the source: more rows of these would help."

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "method": [StrOptions({"em", "bbse"})],
        "cv": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self, estimator: Predictor | None = None, method: Literal["em", "bbse"] = "em", *, cv: int = 5
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.cv = cv

    def compute_weights(self, y):
        """Return the weights of source rows with given labels.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Labels, all of them among `classes_`.

        Returns
        -------
        weights : ndarray of shape (n_samples,)
            Weights with mean 1 over the source rows of `fit`.
        """
        check_is_fitted(self)
        labels = check_labels(y)
        unknown = np.flatnonzero(~np.isin(labels, self.classes_))
        if labels.ndim != 1 or len(unknown):
            given = f"an array of shape {labels.shape}" if labels.ndim != 1 else repr(labels[unknown[0]].item())
            raise ValueError(f"Labels must be among those that fit saw: {self.classes_.tolist()!r}. Got {given}.")
        return (self.class_proportions_ / self.source_proportions_)[np.searchsorted(self.classes_, labels)]

    def correct_probabilities(self, probabilities):
        """Return probabilities of a classifier trained on the source, corrected for the proportions of the target.

        The log-odds of the classes change by the logarithm of the ratio of their weights (Bayes' rule). This is
        for a classifier trained without the weights: they would be applied twice.

        Parameters
        ----------
        probabilities : array-like of shape (n_samples, n_classes)
            Probabilities of the classes, in the order of `classes_`.

        Returns
        -------
        corrected : ndarray of shape (n_samples, n_classes)
            Probabilities in the target.
        """
        check_is_fitted(self)
        probabilities = check_array(probabilities, dtype=np.float64, input_name="probabilities")
        if probabilities.shape[1] != len(self.classes_):
            raise ValueError(
                f"'probabilities' must have one column per class, (n_samples, {len(self.classes_)}). Got an array of "
                f"shape {probabilities.shape}."
            )
        wrong = np.flatnonzero((probabilities < 0).any(1) | (np.abs(probabilities.sum(1) - 1) > ROUNDING))
        if len(wrong):
            raise ValueError(
                "Each row of 'probabilities' must hold numbers that are not negative and sum to one. Got "
                f"{probabilities[wrong[0]].tolist()} in row {wrong[0]}."
            )
        return adjust_probabilities(probabilities, self.source_proportions_, self.class_proportions_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _learn(self, source, target, y):
        y = check_source_labels(self, y)
        classes, numbers = self._read_labels(y)
        held_out = predict_held_out(self.estimator, source, y, self.cv)
        predicted = fit_and_predict(self.estimator, source, y, target)
        one_hot = np.eye(len(classes))[numbers]
        confusion = held_out.T @ one_hot / one_hot.sum(0)
        if np.linalg.svd(confusion, compute_uv=False)[-1] < min(len(held_out), len(predicted)) ** -0.5:
            _warn_not_distinguished(self)
        source_proportions = one_hot.mean(0)
        if self.method == "em":
            assumed = np.maximum(held_out.mean(0), LEAST_PROBABILITY)
            proportions = source_proportions * estimate_proportions(predicted, assumed) / assumed
            proportions /= proportions.sum()
        else:
            proportions = match_predictions(confusion, predicted.mean(0))
        return {
            "classes_": classes,
            "class_proportions_": proportions,
            "source_proportions_": source_proportions,
            "sample_weight_": (proportions / source_proportions)[numbers],
        }

    def _read_labels(self, y):
        """Return the classes, and the number of the class of each source row."""
        if self.method == "em" and self.estimator is not None and not hasattr(self.estimator, "predict_proba"):
            raise ValueError(
                f"method='em' needs probabilities, but {type(self.estimator).__name__} has no predict_proba. Use "
                "method='bbse', or another estimator."
            )
        classes, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
        if len(classes) < 2 or counts.min() < 2:
            raise ValueError(
                "LabelShiftWeighting predicts the labels of held-out source rows, and so needs at least 2 classes with "
                f"2 source rows each. Got {dict(zip(classes.tolist(), counts.tolist(), strict=True))}."
            )
        return classes, numbers


def _warn_not_distinguished(weighting):
    warnings.warn(
        "The classifier hardly distinguishes some classes on held-out source rows, so the class proportions of the "
        "target are unreliable. Use features or an estimator that separates the classes better, more rows, or no "
        f"weights. Got estimator={weighting.estimator!r}.",
        UserWarning,
        stacklevel=count_inner_frames(),
    )
