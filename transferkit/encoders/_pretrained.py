"""A frozen encoder that survives clone and encodes each sample once per process."""

import copy
import os
import re
import warnings
from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import NotFittedError
from sklearn.utils import InputTags, get_tags

from transferkit._estimator import VersionedEstimator, share_callbacks
from transferkit._types import FilePath, FittedTransformer, Trusted
from transferkit._validation import (
    HasMethods,
    Interval,
    check_texts,
    count_rows,
    holds_texts,
    is_fitted,
    validate_parameter_constraints,
    with_plain_outputs,
)
from transferkit.encoders._embedding_cache import encode_once
from transferkit.encoders._steps import BATCHES_PER_STEP, encode_in_steps, report_fit
from transferkit.exceptions import CLONES_IN_GRIDS, ModelFileError, count_inner_frames
from transferkit.persistence import PACKAGED_MODELS, fingerprint, forget_fingerprint, load_shared

__all__ = ["PretrainedEncoder"]

_MODEL_NAME = re.compile(r"(?!.*\.(tk|joblib|pkl|pickle)$)([\w-][\w.-]*/)?[\w-][\w.-]*")  # owner/model
_READ_FROM_SOURCE = ("encoder_", "n_features_in_", "feature_names_in_")
_STEP = 4096  # samples that an encoder which does not work in batches encodes at a time, with callbacks
LEAST_KNOWN = 0.75  # share of the words of English texts that the encoder of the package knows, at least
MOST_COUNTED = 1000  # texts


class PretrainedEncoder(CallbackSupportMixin, TransformerMixin, VersionedEstimator):
    """Use a pretrained encoder, frozen, in Pipelines, searches and many tasks.

    The embedding of a sample by a frozen encoder never changes. Each distinct sample is therefore encoded once per
    process and looked up afterwards, for every clone, fold, candidate and task. ``fit`` learns nothing, and ``clone``
    keeps the pretrained encoder, because it is the parameter `source`.

    Parameters
    ----------
    source : str, path or fitted transformer
        A model file (``.tk``, or ``.joblib`` / ``.pkl``, which run code when loaded: only from people you trust), or a
        fitted transformer of this package, of scikit-learn or of any other package. "english" is the encoder of English
        words that is part of the package.
    cache_size : float, default=512
        Bound on the memory of embeddings, in MB. All encoders of a process share it; the least recently used
        embeddings are dropped first. 0 switches the cache off.
    trusted : list of str, class or function, default=None
        Other classes and functions that a model file of `source` may hold, and sentence models that it may name, as in
        :func:`transferkit.load`: ``trusted=["sentence-transformers/all-MiniLM-L6-v2"]``, for example.

    Attributes
    ----------
    encoder_ : transformer
        The fitted transformer behind `source`.

    See Also
    --------
    transferkit.save : Write a fitted encoder to a model file.
    transferkit.TransferClassifier : Encoder and head as one estimator.

    Notes
    -----
    Each embedding must depend on its own sample alone, as with nearly all fitted transformers. Then the embeddings are
    those of the transformer itself, whatever was encoded before, up to rounding: a sample encoded alone and in a batch
    may differ in the last digits, where a matrix product sums in another order. A transformer whose result depends on
    the whole batch (which centres each batch, for example) behaves differently here: equal samples get the embedding of
    the first batch that contained them. Set ``cache_size=0`` for such a transformer, so that each call is passed on
    unchanged. A transformer whose arrays or dicts are changed in place, by other means than `fit` or `partial_fit`, is
    noticed only after :meth:`refresh`.

    The cache identifies encoders by a digest of their state and samples by a digest of their content: an encoder that
    is fitted again, or a file that is replaced, is another encoder, and texts are not stored. Of 4096 or more numeric
    samples in one call, a few are encoded twice to measure the time: embeddings are not kept if encoding is faster than
    looking them up. While one thread encodes, other threads that need new embeddings of the same encoder wait.
    `joblib.dump` and `pickle` keep a path as a path; :func:`transferkit.save` writes the encoder itself into the file.

    ``set_callbacks(ProgressBar())`` shows the progress of ``fit_transform``: four batches of an encoder with a
    `batch_size` are a task, 4,096 samples of any other. A request to stop has no effect.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder
    >>> encoder = LSAEncoder(n_components=2).fit(["the cat sat", "the cat ran", "a stock rose", "a stock fell"])
    >>> model = make_pipeline(PretrainedEncoder(encoder), LogisticHead())
    >>> search = GridSearchCV(model, {"logistichead__C": [1.0, 10.0]}, cv=2)
    >>> texts, labels = ["cat", "the cat", "stock", "a stock rose"], ["pet", "pet", "money", "money"]
    >>> search.fit(texts, labels).predict(["stock fell"])
    array(['money'], dtype='<U5')
    """

    _parameter_constraints: dict = {
        "source": [str, os.PathLike, HasMethods("transform")],
        "cache_size": [Interval(Real, 0, None, closed="left")],
        "trusted": [list, tuple, set, frozenset, None],
    }

    def __init__(
        self, source: FilePath | FittedTransformer, *, cache_size: float = 512, trusted: Trusted | None = None
    ) -> None:
        self.source = source
        self.cache_size = cache_size
        self.trusted = trusted

    @with_callbacks
    def fit(self, X=None, y=None) -> Self:
        """Check that the source can be used; nothing is learned.

        Parameters
        ----------
        X : iterable of str, default=None
            With ``source="english"``, texts whose words are looked up; otherwise ignored.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : PretrainedEncoder
            The encoder, unchanged.

        Raises
        ------
        ModelFileError
            If the file is missing or damaged, or names a class, function or model that `trusted` does not list.
        NotFittedError
            If the source is not fitted.

        Warns
        -----
        UserWarning
            If the encoder "english" knows fewer than three quarters of the words of the texts: these are probably in
            another language.
        """
        with report_fit(self, X, y):
            self._check(X)
        return self

    @with_callbacks
    def fit_transform(self, X, y=None) -> Any:
        """Encode samples as `transform` does, and report the progress to callbacks.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Input of the pretrained encoder.
        y : ignored
            Present for API consistency.

        Returns
        -------
        embeddings : ndarray or CSR matrix of shape (n_samples, n_features_out)
            One row per sample.
        """
        X = check_texts(X, accept=(str, bytes)) if holds_texts(X) else X
        self._check(X)
        batch_size = getattr(self.encoder_, "batch_size", None)
        step = _STEP if batch_size is None else BATCHES_PER_STEP * batch_size
        return encode_in_steps(self, X, y, self._encode, step)

    def transform(self, X) -> Any:
        """Encode samples, each distinct one once per process.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Input of the pretrained encoder.

        Returns
        -------
        embeddings : ndarray or CSR matrix of shape (n_samples, n_features_out)
            One row per sample.

        Raises
        ------
        ValueError
            If the pretrained encoder does not return one row per sample.
        """
        return self._encode(check_texts(X, accept=(str, bytes)) if holds_texts(X) else X)

    def refresh(self) -> Self:
        """Compute the digest of the source's state again: call this after changing a part of it in place.

        Returns
        -------
        self : PretrainedEncoder
            The encoder, which encodes all samples again if the state of the source has changed.
        """
        forget_fingerprint(self.encoder_)
        return self

    def get_params(self, deep=True):
        """Return the parameters, without those of the source, which is frozen.

        Parameters
        ----------
        deep : bool, default=True
            Ignored; present for API consistency.

        Returns
        -------
        params : dict
            Parameter names and values.
        """
        return super().get_params(deep=False)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the feature names of the pretrained encoder.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Passed to the pretrained encoder.

        Returns
        -------
        names : ndarray of str objects
            Feature names.
        """
        return self.encoder_.get_feature_names_out(input_features)

    def get_file_state(self):
        """Return the state to write: the encoder itself in place of its path, and so nothing to trust.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        return {"source": self.encoder_, "cache_size": self.cache_size}

    def finish_loading(self, trusted):
        """Raise an error if a file lists names to trust: only the caller of `load` may do so.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        if self.trusted is not None:
            raise ModelFileError(
                "The model file itself lists names to trust (PretrainedEncoder.trusted), which only the caller may do."
            )

    @property
    def encoder_(self):
        """The fitted transformer behind `source`; a file is loaded once per process."""
        encoder = self.source
        is_plain = type(self.cache_size) in (int, float) and self.cache_size >= 0 and hasattr(encoder, "transform")
        if not is_plain:  # the full check is slow for a server that encodes single texts
            validate_parameter_constraints(self._parameter_constraints, self.get_params(), type(self).__name__)
        if isinstance(encoder, (str, os.PathLike)):
            encoder = _load(encoder, self.trusted)
            if not hasattr(encoder, "transform"):
                raise TypeError(
                    f"The file {os.fspath(self.source)!r} holds a {type(encoder).__name__}, which cannot encode: "
                    "PretrainedEncoder needs a transformer."
                )
        if not is_fitted(encoder):
            raise NotFittedError(
                f"The source of PretrainedEncoder must be fitted. Got an unfitted {type(encoder).__name__}: "
                "call its fit on the unlabelled data first. In a grid give PretrainedEncoder(encoder) or a path: "
                f"{CLONES_IN_GRIDS}."
            )
        return encoder

    @property
    def n_features_in_(self):
        """Number of input features of the pretrained encoder, if it takes numeric samples."""
        return self.encoder_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the input features of the pretrained encoder, if it was fitted to named columns."""
        return self.encoder_.feature_names_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags = _read_input_tags(self.source)
        return tags

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        clone = copy.copy(self)  # with the same source, not a copy or an unfitted clone of it
        vars(clone).update(copy.deepcopy({k: v for k, v in vars(self).items() if k not in self.get_params()}))
        return share_callbacks(self, clone)

    def _sk_visual_block_(self):
        """Return the box of scikit-learn's diagram, with the path, or the boxes of the encoder that it holds."""
        from sklearn.utils._repr_html.estimator import _VisualBlock

        name = type(self).__name__
        if isinstance(self.source, (str, os.PathLike)):
            return _VisualBlock("single", self, names=name, name_caption=os.fspath(self.source), name_details=str(self))
        label = f"source: {type(self.source).__name__}"
        return _VisualBlock("parallel", [self.source], names=[label], name_details=[str(self.source)])

    def __dir__(self):
        """Return the names of attributes, so that diagrams and completion open no file."""
        if not isinstance(self.source, (str, os.PathLike)):
            return super().__dir__()
        return [name for name in object.__dir__(self) if name not in _READ_FROM_SOURCE]

    def _check(self, X):
        encoder = self.encoder_  # raises an error if the source cannot be used
        if isinstance(self.source, str) and self.source in PACKAGED_MODELS and X is not None and holds_texts(X):
            _warn_of_unknown_words(self.source, encoder, X)

    def _encode(self, X):
        encoder = self.encoder_
        encode = partial(_encode_rows, encoder)
        if self.cache_size == 0:
            return encode(X)
        return encode_once(encode, fingerprint(encoder), X, 1e6 * self.cache_size)


def _load(path, trusted):
    """Return the encoder in a file; for the name of a sentence model raise an error that tells how to use it."""
    name = os.fspath(path)
    is_file = name in PACKAGED_MODELS or os.path.exists(name)
    if isinstance(name, str) and _MODEL_NAME.fullmatch(name) and not is_file:
        raise ModelFileError(
            f"There is no model file {name!r}. If this is the name of a sentence model, use SentenceEncoder({name!r}) "
            f"in Python, or make a model file of it, transferkit pretrain TEXTS --teacher {name}, on the command line."
        )
    return load_shared(path, trusted)


def _warn_of_unknown_words(name, encoder, X):
    texts = check_texts(X)
    share = encoder.term_projection().words.known_share(texts[:: -(-len(texts) // MOST_COUNTED)] if texts else texts)
    if share < LEAST_KNOWN:
        warnings.warn(
            f"The encoder {name!r} knows only {100 * share:.0f} % of the words of these texts, so it can hardly help. "
            "If they are not in English, pretrain an encoder on unlabelled texts of their language, or train without "
            "one: in Python by WordVectorEncoder().fit(unlabelled_texts) or strategy='scratch', on the command line by "
            "transferkit pretrain or --strategy scratch.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def _read_input_tags(source):
    """Return the input tags of an encoder; for a file all kinds of input, since no file is opened for tags."""
    if isinstance(source, (str, os.PathLike)):
        return InputTags(string=True, sparse=True)
    return get_tags(source).input_tags


@with_plain_outputs
def _encode_rows(encoder, X):
    rows = encoder.transform(X)
    try:
        found = f"{count_rows(rows)} rows"
    except TypeError:  # None or a number, for example
        found = f"a {type(rows).__name__}"
    if found != f"{count_rows(X)} rows":
        raise ValueError(
            f"The transform of {type(encoder).__name__} returned {found} for {count_rows(X)} rows. PretrainedEncoder "
            "needs a transformer that returns one row per sample."
        )
    return rows
