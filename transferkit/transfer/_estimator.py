"""What a transfer classifier and a transfer regressor share: the encoder as a parameter, and files."""

import os

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer

from transferkit._validation import (
    check_feature_names,
    check_features,
    check_is_fitted,
    is_fitted,
    with_plain_outputs,
)
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.encoders._pretrained import read_input_tags
from transferkit.encoders.text import find_text_settings
from transferkit.heads.linear._prior import FrozenParametersMixin
from transferkit.transfer._outcome import Outcome, make_row, tabulate


class TransferMixin(FrozenParametersMixin):
    """An encoder and a head as one estimator. Subclasses say in `_default_head` what `head=None` stands for."""

    fitted_attributes = ("encoder_", "head_", "label_coef_", "strategy_", "strategy_scores_")

    @with_plain_outputs
    def predict(self, X):
        """Return the prediction for each row.

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
        return self.head_.predict(self._encode(X))

    @property
    def n_features_in_(self):
        """Number of input features, when X is rows of numbers."""
        return self.encoder_.n_features_in_

    def set_params(self, **params):
        """Set parameters; ``head__name=value`` also works while `head` is None and stands for the default head.

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
            If a parameter inside a fitted encoder or a source is to be set: it is frozen.
        """
        if self.head is None and "head" not in params and any(name.startswith("head__") for name in params):
            params = {"head": self._default_head(), **params}
        return super().set_params(**params)

    def _find_frozen(self, params):
        return find_frozen(params)

    def _encode(self, X):
        """Return the features of raw input, after a look at the order of its columns."""
        if "feature_names_in_" in vars(self) and not hasattr(self.encoder_, "feature_names_in_"):
            check_feature_names(self, X, reset=False)  # an encoder that knows names looks itself
        return self.encoder_.transform(X)

    def _store(self, outcome, outcomes, feature_names):
        """Set the fitted attributes: of the outcome that is taken, and a table of all."""
        for row in (row for other in outcomes if other is not outcome for row in other.rows):
            row["weight"] = 0.0
        self.encoder_, self.head_, self.strategy_ = outcome.encoder, outcome.head, outcome.strategy
        self.strategy_scores_ = tabulate([row for other in outcomes for row in other.rows])
        self.label_coef_ = outcome.attributes.get("label_coef_")
        vars(self).pop("feature_names_in_", None)  # of an earlier fit
        if feature_names is not None:
            self.feature_names_in_ = feature_names

    def _fit_if_possible(self, fit, strategy, X, is_text):
        """Return the outcome of a strategy, without a head for "scratch" where the raw input cannot be learned from."""
        try:
            return fit(strategy)
        except (TypeError, ValueError):
            if strategy != "scratch" or self.strategy != "auto" or self._takes_raw_input(X, is_text):
                raise
            return Outcome(strategy, None, None, np.zeros(0), [make_row(strategy, [])])

    def _takes_raw_input(self, X, is_text):
        """Return whether X is texts in which TF-IDF finds words, or rows of finite numbers."""
        try:
            self._make_baseline().fit(X) if is_text else check_features(X)
        except (TypeError, ValueError):
            return False
        return True

    def _make_encoder(self, is_text, strategy=None):
        """Return the encoder of a strategy, not yet fitted unless it is pretrained."""
        strategy = self.strategy if strategy is None else strategy
        if strategy == "scratch":
            return self._make_baseline() if is_text else FunctionTransformer(accept_sparse=True)
        if self.encoder is None:
            raise ValueError(
                f"{type(self).__name__} with strategy={strategy!r} needs an encoder: a model file, or a transformer "
                "such as WordVectorEncoder().fit(unlabelled_texts). For a model without transfer choose "
                "strategy='scratch'."
            )
        if isinstance(self.encoder, PretrainedEncoder):
            return clone(self.encoder)
        return PretrainedEncoder(self.encoder) if is_frozen(self.encoder) else clone(self.encoder)

    def _make_baseline(self):
        """Return TF-IDF of texts that are split as the encoder splits them."""
        is_path = isinstance(self.encoder, (str, os.PathLike))
        settings = find_text_settings(PretrainedEncoder(self.encoder) if is_path else self.encoder)
        return TfidfEncoder(sublinear_tf=True, **settings)

    def _has_frozen_encoder(self):
        return isinstance(self.encoder, PretrainedEncoder) or is_frozen(self.encoder)

    def __sklearn_clone__(self):
        twin = super().__sklearn_clone__()
        if is_frozen(self.encoder):
            twin.encoder = self.encoder  # what was pretrained is the parameter; scikit-learn's clone would drop it
        if getattr(self, "source", None) is not None:
            twin.source = self.source
        return twin

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

    def get_file_state(self):
        """Return the state to write, with the encoder in use in place of its path or original.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        state = self.__getstate__()
        if not is_fitted(self):  # as the parameter of a MultiTaskTransfer, whose tasks hold what was fitted
            is_path = isinstance(self.encoder, (str, os.PathLike))
            return state | {"encoder": PretrainedEncoder(self.encoder)} if is_path else state
        keeps = not isinstance(self.encoder, (str, os.PathLike)) and self.strategy_ == "frozen"
        state = state if keeps or self.encoder is None else state | {"encoder": self.encoder_}
        if state.get("source") is not None:  # its weights have done their part
            state["source"] = None
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encoder, source = getattr(self, "encoder_", None), getattr(self, "source", None)
        if encoder is None and source is not None:
            from transferkit.transfer.strategies._source import (
                read_source,  # here: a model that only predicts needs none of it
            )

            encoder = source if isinstance(source, (str, os.PathLike)) else read_source(source)[1]
        if encoder is None and (self.encoder is not None and self.strategy != "scratch"):
            encoder = self.encoder
        if encoder is None:  # TF-IDF for texts, the features as they are for rows of numbers
            tags.input_tags.string = tags.input_tags.sparse = True
        else:
            tags.input_tags = read_input_tags(encoder)
        return tags


def head_has(method):
    """Return a check, for ``available_if``, whether the head of a transfer estimator has a method."""

    def check(estimator):
        head = getattr(estimator, "head_", estimator.head)
        return hasattr(estimator._default_head if head is None else head, method)

    return check


def find_frozen(params):
    """Return which of the parameters `encoder` and `source` hold what was pretrained."""
    frozen = {"encoder": is_frozen(params["encoder"]), "source": params.get("source") is not None}
    return {name for name, is_kept in frozen.items() if is_kept}


def is_frozen(encoder):
    """Return whether an encoder is pretrained: a file, or fitted."""
    return isinstance(encoder, (str, os.PathLike)) or (hasattr(encoder, "fit") and is_fitted(encoder))
