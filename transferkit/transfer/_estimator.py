"""What a transfer classifier and a transfer regressor share: the encoder as a parameter, and files."""

import os

from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from transferkit._validation import check_is_fitted, is_fitted, with_plain_outputs
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.encoders._text_settings import find_text_settings


class TransferMixin:
    """An encoder and a head as one estimator. Subclasses say in `_default_head` what `head=None` stands for."""

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
        return self.head_.predict(self.encoder_.transform(X))

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
            If a parameter inside a fitted encoder is to be set: it is frozen.
        """
        inner = [name for name in params if name.startswith("encoder__")]
        if inner and is_frozen(params.get("encoder", self.encoder)):
            raise ValueError(
                f"{inner[0]!r} cannot be set: the encoder is pretrained, and changing its parameters would not change "
                "what it has learned. Search over `encoder` itself (paths, PretrainedEncoder), or give an unfitted one."
            )
        if self.head is None and "head" not in params and any(name.startswith("head__") for name in params):
            params = {"head": self._default_head(), **params}
        return super().set_params(**params)

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

    def _get_state_for_file(self):
        """Return the state to write: the encoder in use in place of its path, or of the one it was made from."""
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
        encoder = getattr(self, "encoder_", None)
        if encoder is None and getattr(self, "source", None) is not None:
            from transferkit.transfer._source import read_source  # here: a model that only predicts needs none of it

            encoder = read_source(self.source)[1]
        if encoder is None and (self.encoder is not None and self.strategy != "scratch"):
            encoder = self._make_encoder(is_text=True)
        if encoder is None:  # TF-IDF for texts, the features as they are for rows of numbers
            tags.input_tags.string = tags.input_tags.sparse = True
        else:
            tags.input_tags = get_tags(encoder).input_tags
        return tags


def head_has(method):
    """Return a check, for ``available_if``, whether the head of a transfer estimator has a method."""

    def check(estimator):
        head = getattr(estimator, "head_", estimator.head)
        return hasattr(estimator._default_head if head is None else head, method)

    return check


def is_frozen(encoder):
    """Return whether an encoder is pretrained: a file, or fitted."""
    return isinstance(encoder, (str, os.PathLike)) or (encoder is not None and is_fitted(encoder))
