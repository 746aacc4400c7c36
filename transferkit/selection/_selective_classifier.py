"""Classifier that answers only where it is likely to be right."""

import warnings
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, is_classifier
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import has_fit_parameter

from transferkit._algorithms.rows.rejection import find_thresholds, share_thresholds
from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._types import Folds, Predictor
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    available_if,
    check_has_classes,
    check_is_fitted,
    check_labels,
    check_same_length,
    check_sample_weight,
    check_texts,
    fit_context,
    holds_texts,
    with_plain_outputs,
)
from transferkit.exceptions import count_inner_frames
from transferkit.selection._acceptance import Acceptance, Samples, find_scaling, standardise
from transferkit.selection._held_out import LabelledRows, find_positions, make_folds, predict_held_out

__all__ = ["SelectiveClassifier"]

FEWEST_REJECTED = 20.0  # expected number of rejected, or wrong, samples from which a class has its own threshold


def _estimator_has(method):
    """Return a check, for ``available_if``, whether the estimator has a method."""
    return lambda classifier: hasattr(getattr(classifier, "estimator_", classifier.estimator), method)


class SelectiveClassifier(CallbackSupportMixin, ClassifierMixin, MetaEstimatorMixin, VersionedEstimator):
    """Reject samples whose prediction is likely to be wrong, or that are unusual.

    Samples have an acceptance score each, and those below a threshold are rejected [1]_. The thresholds are set on
    held-out folds.

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted. For a classifier that is fitted already give ``FrozenEstimator(classifier)``, and to `fit`
        samples that it was not trained on.
    coverage : float, default=None
        Share of the samples to accept, larger than 0 and at most 1. Give either this or `max_error`.
    max_error : float, default=None
        Largest share of wrong predictions among the accepted samples, between 0 and 1: as many samples are accepted as
        this allows.
    reject_label : str, int or float, default=None
        What `predict` returns for rejected samples: a label of the same type as those in y, but none of them. None
        makes it return an object array with None, which scikit-learn's metrics do not take.
    method : {"probability", "distance", "both"}, default="probability"
        Acceptance score. "probability" is the highest probability of a class [2]_, which finds wrong predictions best.
        "distance" compares the sample with those of training, because probabilities may be high far from all of them.
        "both" is the sum of twice the logarithm of the probability and of the distance, both standardised on the
        held-out samples: it rejects samples far away, too, and finds somewhat fewer wrong predictions. Whether it finds
        more texts of unknown classes differs between tasks.
    cv : int, splitter or iterable of (train, test) indices, default=5
        If int, the number of stratified folds: fewer if no class has as many labels. The estimator is fitted once more
        per fold; with thousands of labels ``StratifiedShuffleSplit(1)`` is enough.

    Attributes
    ----------
    estimator_ : classifier
        The classifier, fitted to all samples.
    classes_ : ndarray of shape (n_classes,)
        Labels, without the reject label.
    thresholds_ : ndarray of shape (n_classes,)
        Least score that is accepted, for each class that is predicted.
    coverage_ : float
        Share of the held-out samples that are accepted.
    error_ : float
        Share of wrong predictions among these.
    n_held_out_ : int
        Number of held-out samples.
    space_ : transformer or None
        With distances: encodes samples before they are compared. It is the pretrained encoder of a transfer estimator,
        or the steps of a Pipeline before the last; None for any other estimator, whose samples are compared as they
        are.
    references_ : dict of {str: array} or None
        With distances: what is known of the samples of training in that space.
    scaling_ : ndarray of shape (2, 2) or None
        With "both": means and standard deviations of the logarithms of probabilities, and of distances.
    n_features_in_ : int
        Number of input features, if the estimator has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the input features, if the estimator has them.

    See Also
    --------
    RiskCoverageDisplay : Error by coverage, for all thresholds.
    sklearn.model_selection.FixedThresholdClassifier : A threshold between the two classes of a binary problem.
    sklearn.frozen.FrozenEstimator : A fitted classifier that `fit` leaves as it is.

    Notes
    -----
    What is promised: for samples like the labelled ones, drawn at random, a share of `coverage` is accepted on average,
    or about `max_error` of the accepted ones are wrong. One sample that was not seen is counted against each threshold,
    but figures from few held-out samples stay estimates. The classifiers of the folds have fewer labels than the final
    one, so with few labels more is accepted and less is wrong than promised. Nothing is promised for samples of other
    kinds: none of them is among the labelled ones, so that how many are rejected can only be measured on examples.

    Distances are those of Mahalanobis to the nearest class mean, by the covariance within classes, which all classes
    share and which is shrunk [3]_; for sparse features they are cosine similarities to the nearest training sample.
    Features are the input of the last step of a Pipeline, and for a transfer estimator those of its pretrained encoder,
    which model files then hold.

    A class that is predicted often enough has a threshold of its own, so that `max_error` holds for it and no class is
    rejected as a whole for the sake of others: if at least 20 held-out samples of it are to be rejected, or may be
    wrong. The other classes share a threshold.

    `score` is the accuracy with the reject label as a class: a rejected sample is right if its true label is the reject
    label, otherwise wrong. So models can be compared at any coverage, with samples that belong to no class, too. The
    accuracy of the accepted ones is ``model.estimator_.score(X[accepted], y[accepted])`` with ``accepted =
    model.is_accepted(X)``.

    Texts of which the estimator's encoder knows nothing, whose features are all zeros, are rejected at any score.

    Rows of weight zero are left out. Other parameters of `fit` are passed to that of the estimator; those of one value
    per row are split with the rows, except for `X_unlabelled` and `X_target`.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: the fit to all samples and that of each
    fold are tasks, and callbacks that propagate show those of the estimator below them. If a callback requests to stop,
    the thresholds are set on the folds so far, at least the first one.

    References
    ----------
    .. [1] C. K. Chow, "On optimum recognition error and reject tradeoff", IEEE Transactions on Information Theory 16
       (1970), 41-46.
    .. [2] D. Hendrycks and K. Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in
       neural networks", ICLR (2017).
    .. [3] K. Lee, K. Lee, H. Lee and J. Shin, "A simple unified framework for detecting out-of-distribution samples and
       adversarial attacks", NeurIPS (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from transferkit import SelectiveClassifier
    >>> X = np.linspace(-3, 3, 100).reshape(-1, 1)
    >>> y = np.where(X.ravel() + np.sin(9 * X.ravel()) > 0, "high", "low")
    >>> model = SelectiveClassifier(LogisticRegression(), max_error=0.1, reject_label="unsure").fit(X, y)
    >>> model.predict([[-3], [0.1], [3]])
    array(['low', 'unsure', 'high'], dtype='<U6')
    >>> model.is_accepted([[-3], [0.1], [3]])
    array([ True, False,  True])
    """

    fitted_attributes = (
        "estimator_",
        "classes_",
        "thresholds_",
        "coverage_",
        "error_",
        "n_held_out_",
        "space_",
        "references_",
        "scaling_",
    )

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "coverage": [Interval(Real, 0, 1, closed="right"), None],
        "max_error": [Interval(Real, 0, 1, closed="neither"), None],
        "reject_label": "no_validation",
        "method": [StrOptions({"probability", "distance", "both"})],
        "cv": ["cv_object"],
    }

    def __init__(
        self,
        estimator: Predictor,
        *,
        coverage: float | None = None,
        max_error: float | None = None,
        reject_label: Any = None,
        method: Literal["probability", "distance", "both"] = "probability",
        cv: Folds = 5,
    ) -> None:
        self.estimator = estimator
        self.coverage = coverage
        self.max_error = max_error
        self.reject_label = reject_label
        self.method = method
        self.cv = cv

    @fit_context(prefer_skip_nested_validation=False)
    @with_plain_outputs
    def fit(self, X, y, sample_weight: ArrayLike | None = None, **fit_params) -> Self:
        """Fit the classifier to all samples, and set the thresholds on held-out folds.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input, as the estimator accepts it.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, for thresholds and, if it takes them, for the estimator.
        **fit_params : dict
            Other parameters for `fit` of the estimator, such as `X_unlabelled`. `groups` is also used by splitters,
            and by an int `cv`.

        Returns
        -------
        self : SelectiveClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If not exactly one of `coverage` and `max_error` is given, the reject label is a class or of another type,
            there are several labels per row, labels are too few to hold some out, or the estimator lacks what `method`
            needs.
        """
        _check_goal(self)
        _check_classifier(self.estimator)
        X = check_texts(X) if holds_texts(X) else indexable(X)[0]
        y = check_labels(y)
        if y.ndim == 2:
            raise ValueError(
                "SelectiveClassifier needs one label per row, but y is an indicator matrix of several labels per row."
            )
        check_same_length(X, y)
        rows, split_params = _read_rows(self, X, y, sample_weight, fit_params)
        used = rows.take(np.flatnonzero(rows.weights)) if not rows.weights.all() else rows
        check_has_classes(np.unique(used.y), self)
        _check_reject_label(self.reject_label, np.unique(used.y))
        folds = make_folds(self.cv, rows, split_params)
        progress = FitProgress(self, 1 + len(folds))
        progress.begin(X, y, sample_weight)
        fitted = used.fit(self.estimator, "all samples", progress)
        _check_estimator(fitted, self.method)
        classes = np.asarray(getattr(fitted, "classes_", np.unique(used.y)))
        _warn_of_missing(np.setdiff1d(classes, used.y))
        acceptance = Acceptance.of(fitted, self.method, used.X, used.y)
        held_out = predict_held_out(self.estimator, self.method, rows, folds, classes, progress)
        scaling = None if self.method != "both" else find_scaling(held_out.measured)
        scores = standardise(held_out.measured, scaling)
        self.thresholds_ = _set_thresholds(self, held_out, scores, classes)
        accepted = scores >= self.thresholds_[held_out.predicted]
        self.estimator_, self.classes_, self.scaling_ = fitted, classes, scaling
        self.space_, self.references_ = acceptance.space, acceptance.described
        self.n_held_out_ = len(scores)
        self.coverage_ = float(np.average(accepted, weights=held_out.weights))
        weights = held_out.weights[accepted]
        self.error_ = float(np.average(held_out.is_wrong[accepted], weights=weights)) if len(weights) else np.nan
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)  # of an earlier fit
            if hasattr(fitted, name):
                setattr(self, name, getattr(fitted, name))
        progress.end({})
        return self

    @with_plain_outputs
    def predict(self, X) -> np.ndarray:
        """Return the label of each sample, or the reject label.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Predicted labels. Without a `reject_label` rejected samples have None in an array of objects; with
            ``coverage=1`` none is rejected, and the type is that of the labels.
        """
        return self.reject(*self._predict_all(X))

    @with_plain_outputs
    def is_accepted(self, X):
        """Return whether each sample is accepted.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        accepted : ndarray of bool, shape (n_samples,)
            False for rejected samples.
        """
        return self._predict_all(X)[1]

    @with_plain_outputs
    def score_samples(self, X) -> np.ndarray:
        """Return the acceptance score of each sample.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The higher, the more likely is the prediction right, or the sample like those of training. A sample is
            accepted if its score is at least the threshold of the class that is predicted for it.
        """
        return self._score(self.encode(X))

    @available_if(_estimator_has("predict_proba"))
    @with_plain_outputs
    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class by the estimator, for rejected samples too.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("decision_function"))
    @with_plain_outputs
    def decision_function(self, X) -> np.ndarray:
        """Return the decision values of the estimator, for rejected samples too.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values; one-dimensional for two classes, as in scikit-learn.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    def score(self, X, y, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of the samples that are answered rightly: a rejected one only if its label says so.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.
        y : array-like of shape (n_samples,)
            Labels; the reject label for samples that belong to no class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        accuracy : float
            Between 0 and 1.
        """
        labels, accepted = self._predict_all(X)
        y = check_labels(y)
        check_same_length(X, y)
        unique_labels(y, self.classes_)  # raises an error for labels of another type
        rejected_rightly = np.zeros(len(y), bool) if self.reject_label is None else y == self.reject_label
        return float(np.average(np.where(accepted, y == labels, rejected_rightly), weights=sample_weight))

    @with_plain_outputs
    def encode(self, X):
        """Return samples with their features, for several results that encode them once.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        samples : Samples
            Argument of :meth:`accept`; ``samples.predict()`` returns the predictions of `estimator_`.
        """
        check_is_fitted(self)
        return Samples.of(self.estimator_, X)

    @with_plain_outputs
    def accept(self, samples, labels):
        """Return whether each encoded sample is accepted.

        Parameters
        ----------
        samples : Samples
            From :meth:`encode`.
        labels : ndarray of shape (n_samples,)
            Predictions of `estimator_` for them.

        Returns
        -------
        accepted : ndarray of bool, shape (n_samples,)
            False for rejected samples.
        """
        accepted = self._score(samples) >= self.thresholds_[find_positions(labels, self.classes_)]
        return accepted if self.coverage == 1 else accepted & ~samples.find_unknown()

    def reject(self, labels, accepted):
        """Return labels with the reject label in place of those that are not accepted.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
            Predictions of `estimator_`.
        accepted : ndarray of bool, shape (n_samples,)
            Which of them are accepted.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            As `predict` returns them.
        """
        if self.coverage == 1:
            return labels
        if self.reject_label is None:
            return np.where(accepted, labels.astype(object), None)
        choices = np.append(self.classes_, self.reject_label)
        return choices[np.where(accepted, find_positions(labels, self.classes_), len(self.classes_))]

    def get_metadata_routing(self):
        """Return which arguments of `fit` are passed to the estimator and to the splitter.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        to_fit, to_split = (MethodMapping().add(caller="fit", callee=name) for name in ("fit", "split"))
        router = MetadataRouter(owner=self).add_self_request(self).add(estimator=self.estimator, method_mapping=to_fit)
        return router.add(splitter=self.cv, method_mapping=to_split) if hasattr(self.cv, "split") else router

    def get_file_state(self):
        """Return the state to write, in which the fitted classifier is also the parameter.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        state = self.__getstate__()
        return state | {"estimator": self.estimator_} if "estimator_" in state else state

    def __sklearn_is_fitted__(self):
        return hasattr(self, "thresholds_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        given = get_tags(self.estimator)
        tags.input_tags, tags.classifier_tags.multi_class = given.input_tags, given.classifier_tags.multi_class
        tags.classifier_tags.multi_label = False
        return tags

    def _predict_all(self, X):
        """Return the predictions of the estimator, and which are accepted."""
        samples = self.encode(X)
        labels = samples.predict()
        return labels, self.accept(samples, labels)

    def _score(self, samples):
        acceptance = Acceptance(self.estimator_, self.method, self.space_, self.references_)
        return standardise(acceptance.measure(samples), self.scaling_)


def _check_goal(classifier):
    given = [name for name in ("coverage", "max_error") if getattr(classifier, name) is not None]
    if len(given) != 1:
        raise ValueError(
            "SelectiveClassifier needs one of coverage (the share of samples to accept) and max_error (the share of "
            f"wrong predictions among these). Got {'both' if given else 'neither'}."
        )


def _check_classifier(estimator):
    if isinstance(estimator, SelectiveClassifier) or not is_classifier(estimator):
        name = type(estimator).__name__
        kind = "a classifier that never rejects" if isinstance(estimator, SelectiveClassifier) else "a classifier"
        raise ValueError(f"The 'estimator' parameter of SelectiveClassifier must be {kind}. Got a {name} instead.")


def _check_reject_label(label, classes):
    """Raise ValueError if the reject label is a class, or cannot be in one array with the classes."""
    if label is None:
        return
    if isinstance(label, str):
        fits = all(isinstance(known, str) for known in classes.tolist())
    elif isinstance(label, Real) and not isinstance(label, (bool, np.bool_)) and np.isfinite(label):
        fits = (classes.dtype.kind in "iu" and isinstance(label, Integral)) or classes.dtype.kind == "f"
    else:
        fits = False
    if not fits:
        raise ValueError(
            "The 'reject_label' parameter of SelectiveClassifier must be of the same type as the labels in y, such as "
            f"{classes[0].item() if hasattr(classes[0], 'item') else classes[0]!r}, or None. Got {label!r} instead."
        )
    if label in classes.tolist():
        raise ValueError(
            f"reject_label={label!r} is one of the labels in y: rejected samples could not be told from that class. "
            "Choose another, or leave samples that belong to no class out of y."
        )


def _check_estimator(fitted, method):
    if method != "distance" and not hasattr(fitted, "predict_proba"):
        raise ValueError(
            f"method={method!r} needs probabilities, but {type(fitted).__name__} has no predict_proba. Use "
            "method='distance', or wrap it in scikit-learn's CalibratedClassifierCV."
        )


def _read_rows(classifier, X, y, sample_weight, fit_params):
    """Return the rows with the arguments for `fit` of the estimator, and the arguments for the splitter."""
    sample_weight = None if sample_weight is None else np.asarray(sample_weight)
    weights = np.ones(len(y)) if sample_weight is None else _check_weights(sample_weight, y)
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(classifier, "fit", sample_weight=sample_weight, **fit_params)
        for_fit, for_split = routed.estimator.fit, routed.get("splitter", {}).get("split", {})
    else:
        takes_weights = has_fit_parameter(classifier.estimator, "sample_weight")
        for_fit = fit_params | ({"sample_weight": sample_weight} if sample_weight is not None and takes_weights else {})
        for_split = {"groups": fit_params["groups"]} if fit_params.get("groups") is not None else {}
        if not has_fit_parameter(classifier.estimator, "groups"):
            for_fit.pop("groups", None)
    return LabelledRows(X, y, weights, for_fit), for_split


def _check_weights(sample_weight, y):
    """Return weights that are one on average of those larger than zero."""
    weights = check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
    return weights / weights[weights > 0].mean()


def _warn_of_missing(missing):
    """Warn of classes of the estimator that y has no label of, such as those of a source model."""
    if len(missing):
        warnings.warn(
            f"The estimator predicts {len(missing)} classes of which y has no label, such as {missing.tolist()[0]!r}. "
            "Their threshold is that of other classes, and nothing shows what it accepts of them. Add labels of all "
            "classes.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def _set_thresholds(classifier, held_out, scores, classes):
    """Return the threshold of each class that is predicted; warn if what was asked for cannot be kept."""
    coverage, max_error = classifier.coverage, classifier.max_error
    rate = 1 - coverage if coverage is not None else max_error
    counts = np.bincount(held_out.predicted, weights=held_out.weights, minlength=len(classes))
    groups = share_thresholds(counts, FEWEST_REJECTED / rate if rate else np.inf)
    found, is_kept = find_thresholds(
        groups[held_out.predicted],
        scores,
        held_out.is_wrong,
        held_out.weights,
        coverage=coverage,
        max_error=max_error,
    )
    if not is_kept.all():
        _warn_not_kept(classifier, held_out, scores >= found[groups][held_out.predicted], classes, is_kept[groups])
    return found[groups]


def _warn_not_kept(
    classifier,
    held_out,
    accepted,
    classes,
    is_kept,
):
    """Warn that there are too few samples to set a coverage, or that no coverage has an error as small as asked for."""
    names = classes[~is_kept].tolist()
    concerned = ~is_kept[held_out.predicted]
    of_classes = "" if len(names) == len(classes) else f" predicted as {_write(names)}"
    if classifier.coverage is not None:
        message = (
            f"coverage={classifier.coverage:g} cannot be set from {concerned.sum()} held-out samples{of_classes}: all "
            "of these are accepted. Give more labels, or a smaller coverage."
        )
    else:
        inside, right = concerned & accepted, f"max_error={classifier.max_error:g}"
        share = np.average(held_out.is_wrong[inside], weights=held_out.weights[inside])
        message = (
            f"{right} is not reached at any coverage for the {concerned.sum()} held-out samples{of_classes}: the "
            f"thresholds accept {inside.sum()} of them, {share:.1%} of these wrong, and a sample that was not seen "
            "counts as one more error. Give more labels, or a larger max_error."
        )
    warnings.warn(message, UserWarning, stacklevel=count_inner_frames())


def _write(names):
    return f"[{', '.join(map(repr, names[:10]))}{', and others' if len(names) > 10 else ''}]"
