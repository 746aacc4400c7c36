"""An encoder and a head as one classifier on raw input."""

import os

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from transferkit._validation import (
    HasMethods,
    StrOptions,
    check_has_classes,
    check_is_fitted,
    check_labels,
    check_same_length,
    check_texts,
    fit_context,
    holds_texts,
    is_fitted,
)
from transferkit._versioning import VersionedEstimator
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.heads import LogisticHead


def _head_has(method):
    def check(self):
        head = getattr(self, "head_", self.head)
        return hasattr(LogisticHead if head is None else head, method)

    return check


class TransferClassifier(ClassifierMixin, VersionedEstimator):
    """Classify raw input with a pretrained encoder and a head trained on few labels.

    Parameters
    ----------
    encoder : str, path or transformer, default=None
        What was pretrained: a model file or a fitted transformer, which stay as they are (also through
        ``clone``), encode each row once and are shared by folds and tasks. An unfitted transformer is cloned
        and fitted on the rows given to ``fit``. May be None only with ``strategy="scratch"``.
    head : classifier, default=None
        Any scikit-learn classifier; cloned before it is fitted. None is ``LogisticHead()``.
    strategy : {"frozen", "scratch"}, default="frozen"
        "frozen" trains the head on the encoder's features. "scratch" is the same head without transfer: on
        TF-IDF of the labelled texts alone, or on the features as they are when X is rows of numbers.

    Attributes
    ----------
    encoder_ : transformer
        The encoder in use.
    head_ : classifier
        The fitted head.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of input features; only when X is rows of numbers.

    See Also
    --------
    PretrainedEncoder : The frozen encoder alone, for Pipelines.
    LogisticHead : The default head.
    transferkit.save : Write the model, its encoder included, to one file.

    Notes
    -----
    In a parameter grid for `encoder` give paths or ``PretrainedEncoder(fitted)``: scikit-learn clones the values of
    a grid, and any other transformer comes out of that unfitted.

    `joblib.dump` and `pickle` keep an encoder that was given as a path as that path; :func:`transferkit.save`
    writes the encoder into the model's file.

    Examples
    --------
    >>> from transferkit import LSAEncoder, TransferClassifier
    >>> unlabelled = ["the cat sat", "the dog sat", "the cat and the dog", "a stock rose", "a stock and a bond rose"]
    >>> encoder = LSAEncoder(n_components=2).fit(unlabelled)
    >>> model = TransferClassifier(encoder).fit(["the cat", "a stock"], ["pet", "money"])
    >>> model.predict(["dog", "rose"])
    array(['pet', 'money'], dtype='<U5')
    """

    _parameter_constraints: dict = {
        "encoder": [str, os.PathLike, HasMethods(["fit", "transform"]), None],
        "head": [HasMethods(["fit", "predict"]), None],
        "strategy": [StrOptions({"frozen", "scratch"})],
    }

    def __init__(self, encoder=None, head=None, *, strategy="frozen"):
        self.encoder = encoder
        self.head = head
        self.strategy = strategy

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Encode the labelled rows and train the head on them.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input: what the encoder takes.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, handed to the head.

        Returns
        -------
        self : TransferClassifier
            The fitted classifier.
        """
        X = check_texts(X) if holds_texts(X) else X
        y = check_labels(y)
        check_same_length(X, y)
        check_has_classes(np.unique(y), self)
        encoder = self._make_encoder(is_text=holds_texts(X))
        features = encoder.fit_transform(X, y)
        head = LogisticHead() if self.head is None else clone(self.head)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        head.fit(features, y, **weights)
        self.encoder_, self.head_, self.classes_ = encoder, head, head.classes_
        return self

    def _make_encoder(self, is_text):
        if self.strategy == "scratch":
            return TfidfEncoder(sublinear_tf=True) if is_text else FunctionTransformer(accept_sparse=True)
        if self.encoder is None:
            raise ValueError(
                "TransferClassifier with strategy='frozen' needs an encoder: a model file, or a transformer such as "
                "LSAEncoder().fit(unlabelled_texts). For a model without transfer choose strategy='scratch'."
            )
        if isinstance(self.encoder, PretrainedEncoder):
            return clone(self.encoder)
        return PretrainedEncoder(self.encoder) if _is_frozen(self.encoder) else clone(self.encoder)

    def predict(self, X):
        """Return the most likely label of each row.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Predicted labels.
        """
        check_is_fitted(self)
        return self.head_.predict(self.encoder_.transform(X))

    @available_if(_head_has("predict_proba"))
    def predict_proba(self, X):
        """Return the probability of each class for each row; there when the head has it.

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
        return self.head_.predict_proba(self.encoder_.transform(X))

    @available_if(_head_has("decision_function"))
    def decision_function(self, X):
        """Return the head's decision values; there when the head has them.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values; one column less for two classes, as in scikit-learn.
        """
        check_is_fitted(self)
        return self.head_.decision_function(self.encoder_.transform(X))

    @property
    def n_features_in_(self):
        """Number of input features, when X is rows of numbers."""
        return self.encoder_.n_features_in_

    def set_params(self, **params):
        """Set parameters; ``head__C=10.0`` also works while `head` is None and stands for the default head.

        Parameters
        ----------
        **params : dict
            Parameter names and values, such as ``head__C=10.0``.

        Returns
        -------
        self : TransferClassifier
            The classifier.

        Raises
        ------
        ValueError
            If a parameter inside a fitted encoder is to be set: it is frozen.
        """
        inner = [name for name in params if name.startswith("encoder__")]
        if inner and _is_frozen(params.get("encoder", self.encoder)):
            raise ValueError(
                f"{inner[0]!r} cannot be set: the encoder is pretrained, and changing its parameters would not change "
                "what it has learned. Search over `encoder` itself (paths, PretrainedEncoder), or give an unfitted one."
            )
        if self.head is None and "head" not in params and any(name.startswith("head__") for name in params):
            params = {"head": LogisticHead(), **params}
        return super().set_params(**params)

    def __sklearn_clone__(self):
        twin = super().__sklearn_clone__()
        if _is_frozen(self.encoder):
            twin.encoder = self.encoder  # what was pretrained is the parameter; scikit-learn's clone would drop it
        return twin

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

    def _get_state_for_file(self):
        """Return the state to write: the encoder itself in place of its path."""
        state = self.__getstate__()
        return state | {"encoder": self.encoder_} if isinstance(self.encoder, (str, os.PathLike)) else state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encoder = getattr(self, "encoder_", None)
        if encoder is None and (self.encoder is not None and self.strategy != "scratch"):
            encoder = self._make_encoder(is_text=True)
        if encoder is None:  # TF-IDF for texts, the features as they are for rows of numbers
            tags.input_tags.string = tags.input_tags.sparse = True
        else:
            tags.input_tags = get_tags(encoder).input_tags
        return tags


def _is_frozen(encoder):
    return isinstance(encoder, (str, os.PathLike)) or (encoder is not None and is_fitted(encoder))
