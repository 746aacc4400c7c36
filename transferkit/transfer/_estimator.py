"""Base classes of estimators that consist of an encoder and a head."""

import os
import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Self

import numpy as np
from sklearn.base import ClassifierMixin

from transferkit._estimator import FrozenParametersMixin
from transferkit._validation import (
    available_if,
    check_feature_names,
    check_is_fitted,
    is_fitted,
    take_rows,
    with_plain_outputs,
)
from transferkit.encoders import PretrainedEncoder
from transferkit.encoders.protocols import ModelParts
from transferkit.encoders.term_union import encode_terms
from transferkit.exceptions import count_inner_frames
from transferkit.transfer.pretrained import check_encoder, is_frozen, read_input_tags

__all__ = [
    "RENAMED_STRATEGIES",
    "EncoderHeadMixin",
    "HeadScoresMixin",
    "TransferMixin",
    "drop_weightless",
    "read_renamed",
    "set_fitted",
]

_SHOWN = {  # boxes of the diagram, and the attributes that hold them
    "encoder": "encoder",
    "head": "head",
    "source": "source",
    "strategy": "strategy_",
    "adaptation": "adaptation_name_",
}
RENAMED_STRATEGIES = {"prior": "term_vectors"}  # name until version 0.1


def _head_has(method):
    """Return a check, for ``available_if``, whether the head of a transfer estimator has a method."""

    def check(estimator):
        head = getattr(estimator, "head_", estimator.head)
        return hasattr(estimator.default_head if head is None else head, method)

    return check


class EncoderHeadMixin(FrozenParametersMixin):
    """An encoder and a head as one estimator: `encoder_` and `head_` after `fit`.

    A subclass sets `default_head`, the class of head that is used if `head` is None.
    """

    @with_plain_outputs
    def predict(self, X) -> np.ndarray:
        """Return the prediction for each sample.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        predictions : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted labels or targets.
        """
        check_is_fitted(self)
        return self.head_.predict(self._encode(X).features)

    @with_plain_outputs
    def encode_for_head(self, X):
        """Return the head, and the features of samples from which it predicts.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        parts : ModelParts
            `head`, `features`, `encoder`, and `encoded`: the features before they were adapted, if they were.
        """
        check_is_fitted(self)
        return self._encode(X)

    def set_params(self, **params) -> Self:
        """Set parameters; with ``head__name=value``, a `head` of None is replaced by the default head.

        Parameters
        ----------
        **params : dict
            Parameter names and values, such as ``head__C=10.0``.

        Returns
        -------
        self : estimator
            The estimator.

        Raises
        ------
        ValueError
            If a parameter inside a fitted encoder or a source is set: these are frozen.
        """
        if self.head is None and "head" not in params and any(name.startswith("head__") for name in params):
            params = {"head": self.default_head(), **params}
        return super().set_params(**params)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

    def __sklearn_clone__(self):
        copy = super().__sklearn_clone__()
        if is_frozen(self.encoder):
            copy.encoder = self.encoder  # pretrained models are shared; scikit-learn's clone of one is unfitted
        for name in ("source", "teacher"):
            if getattr(self, name, None) is not None:
                setattr(copy, name, getattr(self, name))
        return copy

    def _sk_visual_block_(self):
        """Return the boxes of scikit-learn's diagram: the parts, also a path, and after `fit` the choice it made."""
        from sklearn.utils._repr_html.estimator import _VisualBlock  # without it the diagram has a single box

        parts = {name: getattr(self, attribute, None) for name, attribute in _SHOWN.items()}
        parts = {name: part for name, part in parts.items() if part is not None}
        if not parts:
            return _VisualBlock("single", self, names=type(self).__name__, name_details=str(self))
        boxes = [part if hasattr(part, "get_params") else str(part) for part in parts.values()]
        kinds = ["" if isinstance(box, str) else f": {type(box).__name__}" for box in boxes]
        labels = [name + kind for name, kind in zip(parts, kinds, strict=True)]
        return _VisualBlock("parallel", boxes, names=labels, name_details=[str(box) for box in boxes])

    def _validate_params(self):
        check_encoder(self)
        super()._validate_params()

    def _find_frozen(self, params):
        """Return which of the parameters `encoder`, `source` and `teacher` hold a pretrained model."""
        frozen = {name: params.get(name) is not None for name in ("source", "teacher")}
        frozen["encoder"] = is_frozen(params["encoder"])
        return {name for name, is_kept in frozen.items() if is_kept}

    def _encode(self, X):
        """Return the head, and the features of raw input, after checking the order of its columns."""
        if "feature_names_in_" in vars(self) and not hasattr(self.encoder_, "feature_names_in_"):
            check_feature_names(self, X, reset=False)  # an encoder with feature names checks them itself
        features = encode_terms(self.encoder_, X)
        return ModelParts(self.head_, features, self.encoder_, features)


class HeadScoresMixin(ClassifierMixin):
    """Probabilities and decision values of the head, as methods of an estimator with an encoder."""

    @available_if(_head_has("predict_proba"))
    @with_plain_outputs
    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class for each sample; available if the head has this method.

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
        return self.head_.predict_proba(self._encode(X).features)

    @available_if(_head_has("decision_function"))
    @with_plain_outputs
    def decision_function(self, X) -> np.ndarray:
        """Return the decision values of the head; available if the head has this method.

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
        return self.head_.decision_function(self._encode(X).features)


class TransferMixin(EncoderHeadMixin):
    """An encoder and a head combined by a strategy, which the parameter `strategy` names."""

    fitted_attributes = (
        "default_encoder_",
        "encoder_",
        "evidence_coef_",
        "head_",
        "label_coef_",
        "strategy_",
        "strategy_scores_",
    )

    @property
    def n_features_in_(self):
        """Number of input features, if X is a table."""
        return self.encoder_.n_features_in_

    def get_file_state(self):
        """Return the state to write, with the encoder in use in place of its path or original.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        state = self.__getstate__()
        if not is_fitted(self):  # the parameter of a MultiTaskTransfer, which stores the fitted models itself
            state = state | {"teacher": None} if "teacher" in state else state  # not needed after fitting
            is_path = isinstance(self.encoder, (str, os.PathLike))
            return state | {"encoder": PretrainedEncoder(self.encoder)} if is_path else state
        keeps = not isinstance(self.encoder, (str, os.PathLike)) and self.strategy_ == "frozen"
        state = state if keeps or self.encoder is None else state | {"encoder": self.encoder_}
        for name in ("source", "teacher"):  # not needed after fitting
            if state.get(name) is not None:
                state[name] = None
        return state

    def describe_parameters(self):
        """Return the text that `describe` shows for an encoder that was not given."""
        default = getattr(self, "default_encoder_", None)
        return {} if default is None else {"encoder": f"{default!r} (none was given)"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encoder, source = getattr(self, "encoder_", None), getattr(self, "source", None)
        if encoder is None and source is not None:
            # imported here because a fitted model does not need it
            from transferkit.transfer.strategies._source import read_source

            encoder = source if isinstance(source, (str, os.PathLike)) else read_source(source)[1]
        if encoder is None and (self.encoder is not None and self.strategy != "scratch"):
            encoder = self.encoder
        tags.input_tags = read_input_tags(encoder)
        return tags


def read_renamed(estimator, parameter, renamed):
    """Return the value of a parameter under its current name, after a FutureWarning if it is an old one.

    Parameters
    ----------
    estimator : estimator
        Estimator with the parameter.
    parameter : str
        Name of the parameter.
    renamed : dict of str to str
        Current names of values by their old names.
    """
    value = getattr(estimator, parameter)
    if not (isinstance(value, str) and value in renamed):
        return value
    warnings.warn(
        f"{parameter}={value!r} of {type(estimator).__name__} is now called {parameter}={renamed[value]!r}. The old "
        "name will be removed.",
        FutureWarning,
        stacklevel=count_inner_frames(),
    )
    return renamed[value]


def set_fitted(estimator, outcome, outcomes, feature_names, encoder):
    """Set the fitted attributes of a transfer estimator.

    Parameters
    ----------
    estimator : TransferClassifier or TransferRegressor
        Estimator to be fitted.
    outcome : Outcome
        The selected one.
    outcomes : list of Outcome
        One per strategy, for the table.
    feature_names : ndarray of str or None
        Names of the input features.
    encoder : str, path, transformer or None
        Encoder that was used: that of the estimator, or the default.
    """
    from transferkit.transfer._evaluation import tabulate  # here: predictions do not need it

    for row in (row for other in outcomes if other is not outcome for row in other.rows):
        row["weight"] = 0.0
    estimator.encoder_, estimator.head_, estimator.strategy_ = outcome.encoder, outcome.head, outcome.strategy
    estimator.strategy_scores_ = tabulate([row for other in outcomes for row in other.rows])
    estimator.label_coef_ = outcome.attributes.get("label_coef_")
    estimator.evidence_coef_ = outcome.attributes.get("evidence_coef_")
    estimator.default_encoder_ = encoder if estimator.encoder is None else None
    if "summary_" in outcome.attributes:
        estimator.summary_ = outcome.attributes["summary_"]
        if estimator.default_encoder_ is not None:
            estimator.summary_["text"] += f" No encoder was given, so it is {encoder!r}, that of the package."
    vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
    if feature_names is not None:
        estimator.feature_names_in_ = feature_names


def drop_weightless(head, X, y, sample_weight, groups=None, cv=None):
    """Return the arguments of `fit` without the rows of weight zero.

    Otherwise these would influence everything that is learned without weights: folds, vocabularies, unfitted encoders.

    Parameters
    ----------
    head : estimator or None
        If its own `cv` holds positions of rows, no row is removed.
    X, y, sample_weight, groups : as given to `fit`
        Texts are a list.
    cv : int, splitter or iterable of (train, test) indices
        Folds; positions are changed to those among the remaining rows.

    Returns
    -------
    X, y, sample_weight, groups, cv
        The same without these rows.

    Raises
    ------
    ValueError
        If no weight is larger than zero.
    """
    weights = np.asarray(sample_weight if sample_weight is not None else 1.0)
    if weights.shape != (len(y),) or weights.all() or _has_positions(getattr(head, "cv", None)):
        return X, y, sample_weight, groups, cv
    kept = np.flatnonzero(weights)
    if len(kept) == 0:
        raise ValueError("sample_weight is zero for all rows: at least one must have a weight larger than 0.")
    if _has_positions(cv):
        place = np.full(len(y), -1)
        place[kept] = np.arange(len(kept))
        parts = [[place[part][place[part] >= 0] for part in fold] for fold in cv]
        cv = [(train, test) for train, test in parts if len(train) and len(test)]
    groups = None if groups is None else take_rows(groups, kept)
    return take_rows(X, kept), y[kept], weights[kept], groups, cv


def _has_positions(cv):
    return isinstance(cv, Iterable) and not isinstance(cv, Integral) and not hasattr(cv, "split")
