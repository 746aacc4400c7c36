"""Classification in a target domain without labels, from labels of a source domain."""

import os
import time
import warnings
from numbers import Integral
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state

from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._types import Adaptation, FilePath, Predictor, Seed, Transformer
from transferkit._validation import (
    FLOATS,
    HasMethods,
    Interval,
    StrOptions,
    check_has_classes,
    check_labels,
    check_same_length,
    check_texts,
    fit_context,
    holds_texts,
    unchanged_on_error,
    validate_data,
    validate_rows,
    with_plain_outputs,
)
from transferkit.adaptation.domains import as_rows, read_domains
from transferkit.encoders import TfidfEncoder
from transferkit.encoders.protocols import ModelParts
from transferkit.exceptions import count_inner_frames
from transferkit.heads import LogisticHead
from transferkit.transfer._estimator import EncoderHeadMixin, HeadScoresMixin, read_renamed
from transferkit.transfer._summary import summarise_adaptation
from transferkit.transfer.domains._candidates import (
    BLENDS,
    TERM_VECTORS,
    FittedCandidate,
    HeadFitter,
    check_search,
    fit_candidate,
    is_logistic,
)
from transferkit.transfer.domains._consensus import CONSENSUS, fit_consensus
from transferkit.transfer.domains._features import Domains, make_features, make_folds, transform
from transferkit.transfer.pretrained import make_encoder, read_input_tags

__all__ = ["DomainTransferClassifier"]

RENAMED = {"prior": TERM_VECTORS, "prior+denoising": "term_vectors+denoising"}  # names until version 0.1


class DomainTransferClassifier(EncoderHeadMixin, CallbackSupportMixin, HeadScoresMixin, VersionedEstimator):
    """Classify samples of a domain without labels, using labels of another domain.

    By default several domain adaptations label the target samples, and the head is trained on these labels beside those
    of the source.

    Parameters
    ----------
    encoder : str, path or transformer, default=None
        Transformer from raw input to features. A model file or a fitted transformer is used as it is. An unfitted one
        is cloned and fitted to the samples of both domains, or to the labelled samples if ``adaptation=None``. One that
        uses labels (``SelectKBest``, and any of other packages whose `fit` accepts y) is fitted to the labelled
        samples, and in each fold to its training samples. None is TF-IDF for texts, and no transformation for tables.
    head : classifier, default=None
        None is logistic regression, with C selected by the log loss on held-out labels. A :class:`LogisticHead` fixes
        C, a :class:`LogisticHeadCV` gives its `Cs`; its folds and scoring must be left at their defaults. Any other
        scikit-learn classifier is cloned; "auto" needs its `predict_proba`.
    adaptation : str, transformer or None, default="auto"
        "auto" averages several adaptations; see Notes. "term_vectors" is for texts: word vectors are pretrained on the
        texts of both domains and used by the strategy of that name of :class:`TransferClassifier`.
        "term_vectors+denoising" averages the decisions of that model, with a weight of a third, and of one on
        :class:`MarginalizedDenoising` features; "none+denoising" averages those of the model without adaptation and of
        one on such features in the same way. A transformer of ``transferkit.adaptation``, or one with the same
        `fit_transform`, is cloned and used. None uses no adaptation.
    cv : int, default=3
        Number of folds of labelled samples for the selection of C and of the adaptation, at least 2.
    device : str, default="auto"
        Device on which the default head is trained: "auto" (CUDA if available, else the CPU), "cpu", "cuda" or
        "cuda:1".
    random_state : int, RandomState instance or None, default=0
        Seed of the folds. The default gives the same model each time.

    Attributes
    ----------
    encoder_ : transformer
        The encoder in use.
    adaptation_ : transformer or None
        The adaptation in use; None without one and for "term_vectors". For the averages, it appends the denoised
        features to those of the encoder, and `head_` has weights for both.
    head_ : classifier
        The fitted head.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    adaptation_name_ : str
        Name of the adaptation in use: "consensus" for that of "auto", "none" without adaptation.
    adaptation_scores_ : dict of str to ndarray
        Table with one row per candidate of the consensus and one for itself: "adaptation" (name); "held_out", the
        accuracy on held-out samples of the source; "agreement", the share of target samples that it labels as the
        consensus does; "weight" in it; "chosen"; "seconds". If an adaptation is named, and for sparse features, it has
        one row, without the first three figures. ``pandas.DataFrame(model.adaptation_scores_)`` shows it.
    summary_ : dict
        Whether adaptation helped is not known without labels of the target; the sentence "text" says what is used, and
        what held-out labels of the source say of it. Its keys are those of `summary_` of :class:`TransferClassifier`;
        "shares" are the weights of the candidates.
    label_coef_ : CSR matrix of shape (n_outputs, n_terms) or None
        For "term_vectors": the part of ``head_.coef_`` that was learned from labels alone.
    n_features_in_ : int
        Number of input features; only if X is a table.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    domain_gap : Test whether there is a shift, and in which features.
    TransferClassifier : For labels and predictions in the same domain.

    Notes
    -----
    For dense features, "auto" averages the class probabilities of target samples by three candidates: the head without
    adaptation; a linear discriminant that is fitted to the target by expectation-maximisation, beginning with the
    predictions after :class:`LinearTransport`; and the nearest neighbours after :class:`JointDistributionAdaptation`.
    Their weights are proportional to their accuracies on the source, of which each fold in turn is the target. The head
    is then trained on the labelled samples and on the target samples with these probabilities, or with the most
    probable classes if it has no `fit_soft` (a :class:`LogisticHeadCV` with a `prior`, for example). The last two
    candidates assume that the classes are clusters of samples: if they lose on the folds more than a tenth of what the
    head gets right beyond the most frequent class, with one standard error added, no adaptation is used. A warning is
    given if the adaptations disagree on many target samples.

    For texts and sparse features with logistic regression, "auto" is "term_vectors+denoising" or "none+denoising", and
    for sparse features with another head the average of the head without and with :class:`MarginalizedDenoising`,
    checked in the same way. No criterion can be certain without target labels: if some are available, compare models
    on those, or give them to `fit`.

    An adaptation given by the user that uses labels, such as :class:`StructuralCorrespondence`, is fitted to all
    labelled samples before C is selected on held-out ones.

    Models with denoised features are not linear in terms, so :func:`~transferkit.inspection.explain` raises an error
    for them; it explains "term_vectors".

    The consensus changes the weights of the head alone, so that predictions are as fast as without adaptation.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each model that is averaged is a task,
    for the consensus also each fold of its check on the source. A request to stop has no effect, because the result
    needs all of them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from transferkit import DomainTransferClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> source, target = X[:900], 16 - X[900:]  # other pictures, with inverted contrast
    >>> model = DomainTransferClassifier(adaptation=None).fit(source, y[:900], X_target=target)
    >>> model.score(target, y[900:]) < 0.1
    True
    >>> model = DomainTransferClassifier().fit(source, y[:900], X_target=target)
    >>> model.adaptation_name_, model.score(target, y[900:]) > 0.85
    ('consensus', True)
    """

    default_head = LogisticHead
    fitted_attributes = (
        "adaptation_",
        "adaptation_name_",
        "adaptation_scores_",
        "classes_",
        "encoder_",
        "head_",
        "label_coef_",
        "summary_",
    )

    _parameter_constraints: dict = {
        "encoder": [str, os.PathLike, HasMethods(["fit", "transform"]), None],
        "head": [HasMethods(["fit", "predict"]), None],
        "adaptation": [
            StrOptions({"auto", TERM_VECTORS, *BLENDS, *RENAMED}, deprecated=set(RENAMED)),
            HasMethods(["fit_transform", "transform"]),
            None,
        ],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        encoder: FilePath | Transformer | None = None,
        head: Predictor | None = None,
        *,
        adaptation: Literal["auto", "none+denoising", "term_vectors", "term_vectors+denoising"]
        | Adaptation
        | None = "auto",
        cv: int = 3,
        device: str = "auto",
        random_state: Seed = 0,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.adaptation = adaptation
        self.cv = cv
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    @with_plain_outputs
    def fit(self, X, y, *, X_target=None, sample_domain: ArrayLike | None = None) -> Self:
        """Fit to labelled samples of the source and unlabelled samples of the target.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Labelled samples.
        y : array-like of shape (n_samples,)
            Labels.
        X_target : iterable of str, array-like or sparse matrix of shape (n_target_samples, n_features)
            Unlabelled samples of the target. A data frame must have the columns of X, in the same order.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each labelled sample: larger than 0 for the source, less than 0 for the target. Different numbers
            larger than 0 are different source domains, which :class:`DomainWeighting` weights. None means that all
            belong to one source.

        Returns
        -------
        self : DomainTransferClassifier
            The fitted classifier.
        """
        progress = FitProgress(self)
        with unchanged_on_error(self):
            domains = self._read(X, y, X_target, sample_domain)
            adaptation = read_renamed(self, "adaptation", RENAMED)
            is_auto = isinstance(adaptation, str) and adaptation == "auto"
            progress.begin(domains.labelled, domains.y)
            fitted, table = (
                self._fit_auto(domains, progress) if is_auto else self._fit_named(adaptation, domains, progress)
            )
        self.encoder_, self.adaptation_, self.head_ = fitted.encoder, fitted.adaptation, fitted.head
        self.classes_, self.adaptation_name_ = fitted.head.classes_, fitted.name
        self.adaptation_scores_ = table
        self.summary_ = summarise_adaptation(table, np.unique(domains.y, return_counts=True)[1])
        self.label_coef_ = fitted.attributes.get("label_coef_")
        progress.end({})
        return self

    def get_file_state(self):
        """Return the state to write, with the encoder in use in place of its path.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        state = self.__getstate__()
        was_path = isinstance(self.encoder, (str, os.PathLike)) and hasattr(self, "encoder_")
        return state | {"encoder": self.encoder_} if was_path else state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = read_input_tags(getattr(self, "encoder_", self.encoder))
        return tags

    def _encode(self, X):
        """Return the head, the adapted features of target samples, the encoder, and what it returned."""
        if hasattr(self, "n_features_in_"):
            X = self._check_columns(X, reset=False)
        rows = transform(self.encoder_, X)
        adapted = rows if self.adaptation_ is None else self.adaptation_.transform(rows)
        return ModelParts(self.head_, adapted, self.encoder_, rows)

    def _read(self, X, y, X_target, sample_domain):
        """Return the samples of both domains after validation."""
        if X_target is None:
            raise ValueError(
                "DomainTransferClassifier needs 'X_target': unlabelled samples of the target domain. Without any, use "
                "TransferClassifier or a head."
            )
        shape = getattr(X_target, "shape", None) or (len(X_target) if hasattr(X_target, "__len__") else None,)
        if shape[0] == 0:
            raise ValueError("'X_target' has no rows. Give unlabelled samples of the target domain.")
        is_text = holds_texts(X)
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
        if is_text:
            X, X_target = check_texts(X), check_texts(X_target)
        else:
            X, X_target = self._read_rows(X, X_target)
        y = check_labels(y)
        if y.ndim != 1:
            raise ValueError(f"DomainTransferClassifier takes one label per row. Got y of shape {y.shape}.")
        check_same_length(X, y)
        check_has_classes(np.unique(y), self)
        check_search(self.head)
        sample_domain = np.ones(len(y)) if sample_domain is None else np.asarray(sample_domain)
        if not read_domains(self, X, sample_domain, needs_both=False).any():
            raise ValueError("'sample_domain' has no source sample (larger than 0) among the labelled ones.")
        return Domains(X, y, X_target, sample_domain, is_text, make_folds(y, self.cv, self.random_state))

    def _read_rows(self, X, X_target):
        """Return samples that are not texts, after checking that both domains have the same columns."""
        X, X_target = as_rows(X), as_rows(X_target)
        if self.encoder is not None and len(getattr(X, "shape", ())) != 2:  # such as dicts and images
            return X, X_target
        X = self._check_columns(X, reset=True)
        try:
            return X, self._check_columns(X_target, reset=False)
        except ValueError as error:
            raise ValueError(f"X_target must have the columns of X: {error}") from None

    def _check_columns(self, X, *, reset):
        """Return a table after checking its columns; as an array if there is no encoder that accepts it as it is."""
        if self.encoder is not None:
            return validate_data(self, X, skip_check_array=True, reset=reset)
        return validate_data(self, X, accept_sparse="csr", dtype=FLOATS) if reset else validate_rows(self, X)

    def _fit_auto(self, domains, progress):
        """Return what is fitted by "auto", and its table."""
        if not (is_logistic(self.head) or hasattr(self.head, "predict_proba")):
            raise ValueError(
                f"adaptation='auto' averages probabilities, but {type(self.head).__name__} has no predict_proba. "
                "Name an adaptation, or use another head."
            )
        if domains.is_text and self.encoder is None and is_logistic(self.head):
            return self._fit_named("term_vectors+denoising", domains, progress)
        encoder = self._make_encoder(domains)
        features = make_features(encoder, None, domains, needs_both=True)
        if sparse.issparse(features.labelled) and is_logistic(self.head):
            return self._fit_named("none+denoising", domains, progress)
        if reason := _find_obstacle(domains, features.labelled):
            warnings.warn(
                "adaptation='auto' checks with held-out labels of the source that adaptations do no harm; no "
                f"adaptation is used, because {reason}. Give at least 2 different samples per class of the source, or "
                "name an adaptation.",
                UserWarning,
                stacklevel=count_inner_frames(),
            )
            return self._fit_named(None, domains, progress)
        unadapted = HeadFitter(self.head, domains, self.device).fit(features)
        random_state = check_random_state(self.random_state)
        head, table = fit_consensus(features, domains, clone(unadapted), self.cv, random_state, progress)
        if head is None:
            return self._fit_named(None, domains, progress)[0], table
        return FittedCandidate(CONSENSUS, encoder, None, head), table

    def _fit_named(self, adaptation, domains, progress):
        """Return what is fitted with a given adaptation, and a table of one row."""
        began, name = time.perf_counter(), _name(adaptation)
        if isinstance(adaptation, str):
            self._check_named(name, domains)
            adaptation = None
        encoder = self._make_encoder(domains)
        options = {"device": self.device, "progress": progress}
        fitted = fit_candidate(name, encoder, adaptation, self.head, domains, **options)
        return fitted, _make_single_row(name, time.perf_counter() - began)

    def _check_named(self, name, domains):
        if name != "none+denoising" and not domains.is_text:
            raise ValueError(f"adaptation={name!r} needs texts, but X is a table of numbers.")
        if not is_logistic(self.head):
            raise ValueError(
                f"adaptation={name!r} trains logistic regression: head must be None, or a LogisticHead or "
                f"LogisticHeadCV without a prior. Got {self.head!r}."
            )

    def _make_encoder(self, domains):
        """Return the encoder, unfitted unless it is pretrained."""
        if self.encoder is not None:
            return make_encoder(self.encoder)
        return TfidfEncoder(sublinear_tf=True) if domains.is_text else FunctionTransformer(accept_sparse=True)


def _name(adaptation):
    if isinstance(adaptation, str):
        return adaptation
    return "none" if adaptation is None else type(adaptation).__name__


def _make_single_row(name, seconds):
    """Return the table of an adaptation that was not compared with others."""
    row = {"adaptation": name, "held_out": np.nan, "agreement": np.nan, "weight": np.nan, "chosen": True}
    row["seconds"] = seconds
    return {column: np.array([value]) for column, value in row.items()}


def _find_obstacle(domains, features):
    """Return why adaptations cannot be checked on the source, or None."""
    if not sparse.issparse(features) and not np.ptp(features[domains.is_source], axis=0).any():
        return "all samples of the source have the same features"
    missing = np.setdiff1d(domains.y, domains.y[domains.is_source])
    if len(missing):
        return f"the source has no label {missing[0]}"
    classes, counts = np.unique(domains.y[domains.is_source], return_counts=True)
    return f"class {classes[counts.argmin()]} has only 1 label" if counts.min() < 2 else None
