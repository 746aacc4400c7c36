"""Classifier on raw input: a pretrained encoder and a head, combined by a strategy of transfer."""

import os
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import is_regressor
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state

from transferkit._estimator import UNWATCHED, FitProgress, VersionedEstimator
from transferkit._types import (
    FilePath,
    FittedClassifier,
    FittedPredictor,
    Folds,
    Function,
    Numbers,
    Predictor,
    Scoring,
    Seed,
    Transformer,
)
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_has_classes,
    check_labels,
    check_same_length,
    check_texts,
    count_rows,
    fit_context,
    holds_texts,
    read_feature_names,
    with_plain_outputs,
)
from transferkit.heads import LogisticHead
from transferkit.transfer._estimator import (
    RENAMED_STRATEGIES,
    HeadScoresMixin,
    TransferMixin,
    drop_weightless,
    read_renamed,
    set_fitted,
)
from transferkit.transfer.pretrained import with_default_encoder, with_fitted_encoder

__all__ = ["TransferClassifier", "fit_classifier"]


class TransferClassifier(TransferMixin, CallbackSupportMixin, HeadScoresMixin, VersionedEstimator):
    """Classify raw input with a pretrained encoder and few labels.

    The page "How it works" describes strategies and their selection.

    Parameters
    ----------
    encoder : str, path or transformer, default=None
        Pretrained encoder: a model file or a fitted transformer, which is never changed, not even by `clone`. An
        unfitted transformer is cloned and fitted to the `X_unlabelled` of `fit`, or else to the training rows.
        "english" is the encoder of English words that is part of the package, and None takes it for texts (not with a
        `source`). Rows of numbers need an encoder unless ``strategy="scratch"``.
    head : classifier, default=None
        None is logistic regression averaged over values of C; a :class:`LogisticHeadCV` gives these values by its
        `Cs`, a :class:`LogisticHead` a single one. Any other classifier is cloned and trained on features.
    source : fitted classifier, str or path-like, default=None
        Linear model of another task, or its file, towards whose weights the new ones are regularised (L2-SP [3]_),
        unless this is clearly worse on held-out labels. Features are matched by name if they have names, else by
        position; classes by label. If all labels are of classes that the source, a TransferClassifier, does not have,
        they are added to its own, whose scores stay as they are; `encoder` then gives vectors for words that the
        labelled texts lack. Only with ``strategy="auto"``.
    class_descriptions : "labels", dict of {label: str or list of str} or None, default=None
        Words or sentences that describe each class; "labels" takes the labels themselves, if these are words that the
        encoder knows. Rows similar to a description are likely to have its label.
    teacher : fitted classifier, str, path-like or callable, default=None
        Classifier with `predict_proba`, or its file, or a function that returns probabilities (n_samples, n_classes) in
        the order of the sorted labels. Its soft labels of `X_unlabelled` are evidence; the fitted model does not need
        it.
    class_prior : dict of {label: float} or array-like of shape (n_classes,), default=None
        Proportions of the classes where the model is used, in the order of the sorted labels. By default those of the
        labels, of unlabelled rows an estimate shrunk to these [4]_.
    strategy : {"auto", "term_vectors", "frozen", "finetune", "scratch"}, default="auto"
        "term_vectors" is a linear model of terms with pretrained vectors as prior [1]_. "frozen" trains the head on the
        encoder's features, "finetune" also a copy of the encoder. "scratch" is the head without transfer. On texts,
        "term_vectors" and "scratch" also try n-grams of characters. "auto" selects one by cross-validation.
    cv : int, splitter or iterable of (train, test) indices, default=5
        If int, the number of stratified, shuffled folds, at most three with more than 2,500 samples.
    scoring : str or callable, default=None
        Score that compares strategies; accuracy if None.
    device : str, default="auto"
        Device on which to train: "auto", "cpu" or "cuda". A given `head` has its own.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds and batches.
    encoder_learning_rate : float, default=0.3
        With "finetune": factor of the encoder's learning rate [2]_.
    unfreeze_at : int, default=2
        With "finetune": first epoch in which the encoder is trained [2]_, layers before the last of a
        :class:`TorchEncoder` one epoch later.
    anchor_strength : float, default=1e-2
        With "finetune": strength of the regularisation towards the pretrained arrays (L2-SP [3]_).

    Attributes
    ----------
    encoder_ : transformer
        Encoder in use; with "term_vectors" and "scratch" on texts TF-IDF: a FeatureUnion of "words" and "characters" if
        both have weights.
    head_ : classifier
        Fitted head. An average of candidates has the `C` of the one with the largest weight.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    strategy_ : str
        Selected strategy.
    default_encoder_ : str or None
        "english" if no encoder was given and that one was taken.
    strategy_scores_ : dict of str to ndarray
        Table with one row per candidate: "strategy", "evidence", "evidence_factor", "alpha", "C", "idf", "terms",
        "weight", "log_loss", "mean" score, "standard_error", "seconds"; NaN or "" if missing. With more than 2,500
        labels and an int `cv`, candidates and strategies that are clearly worse in the first folds are not trained on
        the others; "log_loss" and "mean" are then those of the first folds.
    summary_ : dict
        Whether transfer helped, from held-out labels: "text" says it; "with_transfer", "without_transfer" and
        "majority" are means of "score" (accuracy, or `scoring`) over the folds; "standard_error"; "gain" and
        "gain_standard_error", paired by fold; "helped"; "n_folds", "n_labels", "class_counts"; "strategy", and
        "shares", the weight of candidates that use each source. None without folds. Models of files that earlier
        versions wrote do not have it.
    class_statistics_ : dict or None
        What a model keeps so that it can be the source of one with more classes: "means", the mean encoded row of each
        class (n_classes, n_encoded), of terms the 300 largest values; "counts", the number of labels of each class; and
        "log_sum", how sure the model was of held-out rows. None for other heads than logistic regression and for
        several labels per row. Models of files that earlier versions wrote do not have it.
    label_coef_ : CSR matrix of shape (n_outputs, n_terms) or None
        With "term_vectors": the part of ``head_.coef_`` due to the labels alone.
    evidence_coef_ : ndarray of shape (n_outputs, n_terms) or None
        With "term_vectors": the part of ``head_.coef_`` due to descriptions, unlabelled texts and a teacher.
    n_features_in_ : int
        Number of input features, unless X holds texts.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the input features, if they are strings.

    See Also
    --------
    PretrainedEncoder : The frozen encoder alone, for Pipelines.
    transferkit.save : Write the model to one file.

    Notes
    -----
    In a parameter grid for `encoder` give paths or ``PretrainedEncoder(fitted)``: scikit-learn clones the values, which
    unfits any other transformer. Pickles hold the path of an encoder that was given as a path; :func:`transferkit.save`
    writes the encoder in use.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each strategy is a task, and each of its
    candidates a task of that, whose name says what has been tried. A callback that requests to stop ends the comparison
    after the strategy that is being tried.

    References
    ----------
    .. [1] R. Raina, A. Y. Ng, D. Koller, "Constructing informative priors using transfer learning", ICML (2006).
    .. [2] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL (2018).
    .. [3] X. Li, Y. Grandvalet and F. Davoine, "Explicit inductive bias for transfer learning with convolutional
       networks", ICML (2018).
    .. [4] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
       probabilities", Neural Computation 14 (2002), 21-41.

    Examples
    --------
    >>> from transferkit import TransferClassifier, WordVectorEncoder
    >>> unlabelled = ["the cat sat", "the dog sat", "the cat and the dog", "a stock rose", "a stock and a bond rose"]
    >>> encoder = WordVectorEncoder(n_components=3, min_count=1).fit(unlabelled)
    >>> model = TransferClassifier(encoder).fit(["the cat", "a stock"], ["pet", "money"])
    >>> model.strategy_
    'term_vectors'
    >>> model.predict(["dog", "rose"])
    array(['pet', 'money'], dtype='<U5')
    """

    default_head = LogisticHead
    fitted_attributes = ("classes_", "class_statistics_", "summary_")

    _parameter_constraints: dict = {
        "encoder": [str, os.PathLike, HasMethods(["fit", "transform"]), None],
        "head": [HasMethods(["fit", "predict"]), None],
        "source": [str, os.PathLike, HasMethods(["predict"]), None],
        "class_descriptions": [StrOptions({"labels"}), dict, None],
        "teacher": [str, os.PathLike, HasMethods(["predict_proba"]), callable, None],
        "class_prior": [dict, "array-like", None],
        "strategy": [
            StrOptions({"auto", "term_vectors", "frozen", "finetune", "scratch", "prior"}, deprecated={"prior"})
        ],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "device": [str],
        "random_state": ["random_state"],
        "encoder_learning_rate": [Interval(Real, 0, None, closed="left")],
        "unfreeze_at": [Interval(Integral, 0, None, closed="left")],
        "anchor_strength": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        encoder: FilePath | Transformer | None = None,
        head: Predictor | None = None,
        *,
        source: FilePath | FittedPredictor | None = None,
        class_descriptions: Literal["labels"] | dict[Any, Any] | None = None,
        teacher: FilePath | FittedClassifier | Function | None = None,
        class_prior: dict[Any, float] | Numbers | None = None,
        strategy: Literal["auto", "term_vectors", "frozen", "finetune", "scratch"] = "auto",
        cv: Folds = 5,
        scoring: Scoring = None,
        device: str = "auto",
        random_state: Seed = 0,
        encoder_learning_rate: float = 0.3,
        unfreeze_at: int = 2,
        anchor_strength: float = 1e-2,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.source = source
        self.class_descriptions = class_descriptions
        self.teacher = teacher
        self.class_prior = class_prior
        self.strategy = strategy
        self.cv = cv
        self.scoring = scoring
        self.device = device
        self.random_state = random_state
        self.encoder_learning_rate = encoder_learning_rate
        self.unfreeze_at = unfreeze_at
        self.anchor_strength = anchor_strength

    @fit_context(prefer_skip_nested_validation=False)
    @with_plain_outputs
    def fit(
        self, X, y, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None, *, X_unlabelled=None
    ) -> Self:
        """Select the strategy by cross-validation, and train it on all labels.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input, as the encoder accepts it.
        y : array-like of shape (n_samples,) or indicator matrix of shape (n_samples, n_labels)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in training and in scores. Words are counted and folds are made without them; rows of
            weight zero are left out.
        groups : array-like of shape (n_samples,), default=None
            Groups, for splitters that use them, such as :class:`~sklearn.model_selection.GroupKFold`. With an int
            `cv` rows of one group are held out together.
        X_unlabelled : iterable of str, array-like or sparse matrix of shape (n_unlabelled, n_features), default=None
            Unlabelled rows of the task, of the same kind as X; an encoder that is not fitted is fitted to them. With
            `class_descriptions` or a `teacher` X and y may be empty. scikit-learn's searches split these rows together
            with X if there are as many of them.

        Returns
        -------
        self : TransferClassifier
            The fitted classifier.
        """
        progress = FitProgress(self)
        return fit_classifier(self, X, y, sample_weight, groups, X_unlabelled=X_unlabelled, progress=progress)


def fit_classifier(
    classifier, X, y, sample_weight=None, groups=None, *, X_unlabelled=None, terms=None, progress=UNWATCHED
):
    """Fit a TransferClassifier whose parameters have been checked.

    Parameters
    ----------
    classifier : TransferClassifier
        Classifier to be fitted.
    X, y, sample_weight, groups, X_unlabelled
        As for its `fit`.
    terms : Terms, default=None
        Terms that several tasks share, for "term_vectors".
    progress : FitProgress, default=UNWATCHED
        Reports strategies and candidates.

    Returns
    -------
    classifier : TransferClassifier
        The fitted classifier.
    """
    # here: predictions do not need them
    from transferkit.transfer._given_evidence import read_evidence
    from transferkit.transfer.strategies._auto import fit_given_head, fit_strategies
    from transferkit.transfer.strategies._candidates import check_head_of_candidates
    from transferkit.transfer.strategies._new_classes import adds_classes

    given, head = classifier, classifier.head
    if head is not None and is_regressor(head):
        raise ValueError(
            "The 'head' parameter of TransferClassifier must be a classifier. Got the regressor "
            f"{type(head).__name__}: use TransferRegressor with it."
        )
    if X_unlabelled is not None and holds_texts(X_unlabelled):
        X_unlabelled = check_texts(X_unlabelled)
    knows_classes = classifier.class_descriptions is not None or classifier.teacher is not None
    if (X_unlabelled is not None or knows_classes) and count_rows(X) == count_rows(y) == 0:
        return _fit_without_labels(classifier, X_unlabelled, terms, progress)
    is_text = holds_texts(X)
    names = read_feature_names(X)
    X = check_texts(X) if is_text else X
    y = check_labels(y)
    check_same_length(X, y)
    y = y.toarray() if issparse(y) else y
    X, y, sample_weight, groups, cv = drop_weightless(head, X, y, sample_weight, groups, classifier.cv)
    progress.begin(X, y, sample_weight)
    classes = np.unique(y)
    if classifier.source is None or not adds_classes(classifier.source, y):
        check_has_classes(classes, classifier)
    _check_has_one_kind(classifier, X_unlabelled)
    strategy = read_renamed(classifier, "strategy", RENAMED_STRATEGIES)
    random_state = check_random_state(classifier.random_state)
    classifier = with_default_encoder(classifier, is_text)
    classifier = with_fitted_encoder(classifier, X_unlabelled, is_text)
    evidence = read_evidence(classifier, classes, X_unlabelled, is_text=is_text, random_state=random_state)
    if evidence is not None:
        _check_takes_evidence(classifier, strategy, evidence, y)
    if strategy in ("frozen", "scratch") and head is not None and classifier.source is None:
        taken = fit_given_head(classifier, strategy, X, y, is_text, sample_weight)
        outcomes = [taken]
    else:
        check_head_of_candidates(head, classifier)
        options = {"sample_weight": sample_weight, "groups": groups, "terms": terms, "cv": cv, "evidence": evidence}
        taken, outcomes = fit_strategies(classifier, strategy, X, y, is_text=is_text, progress=progress, **options)
    return _set_fitted(given, taken, outcomes, names, taken.head.classes_, progress, classifier.encoder)


def _fit_without_labels(classifier, X_unlabelled, terms, progress):
    """Fit a classifier to unlabelled rows, by what is known of the classes beside labels."""
    from transferkit.transfer._given_evidence import find_classes, read_evidence  # here: predictions do not need them
    from transferkit.transfer.strategies._auto import fit_evidence

    if X_unlabelled is None:
        raise ValueError("Without labelled rows fit needs unlabelled ones: fit([], [], X_unlabelled=...). Got None.")
    _check_has_one_kind(classifier, X_unlabelled)
    given, is_text, classes = classifier, holds_texts(X_unlabelled), find_classes(classifier)
    names = read_feature_names(X_unlabelled)
    strategy = read_renamed(classifier, "strategy", RENAMED_STRATEGIES)
    random_state = check_random_state(classifier.random_state)
    classifier = with_default_encoder(classifier, is_text)
    classifier = with_fitted_encoder(classifier, X_unlabelled, is_text)
    evidence = read_evidence(classifier, classes, X_unlabelled, is_text=is_text, random_state=random_state)
    _check_takes_evidence(classifier, strategy, evidence, classes)
    check_has_classes(classes, classifier)
    progress.begin([], classes[:0], None)
    taken = fit_evidence(classifier, strategy, classes, evidence, terms=terms)
    return _set_fitted(given, taken, [taken], names, classes, progress, classifier.encoder)


def _set_fitted(classifier, taken, outcomes, names, classes, progress, encoder):
    set_fitted(classifier, taken, outcomes, names, encoder)
    classifier.classes_ = classes
    classifier.class_statistics_ = taken.attributes.get("class_statistics_")
    progress.end({})  # the classifier has them
    return classifier


def _name_evidence(classifier, X_unlabelled):
    """Return the names of what was given beside labels."""
    given = [name for name in ("class_descriptions", "teacher", "class_prior") if getattr(classifier, name) is not None]
    return " and ".join([*given, *["X_unlabelled"] * (X_unlabelled is not None)])


def _check_has_one_kind(classifier, X_unlabelled):
    """Raise ValueError if there is a source beside other evidence, before that is compared with the labels."""
    names = _name_evidence(classifier, X_unlabelled)
    if names and classifier.source is not None:
        raise ValueError(f"{names} cannot be combined with a source. Leave one of them out.")


def _check_takes_evidence(classifier, strategy, evidence, y):
    """Raise ValueError if the parameters or labels exclude what was given beside labels."""
    from transferkit.transfer.strategies._candidates import read_settings  # here: predictions do not need it

    names = _name_evidence(classifier, evidence.unlabelled)
    if y.ndim == 2:
        raise ValueError(f"{names}: only for one label per row, but y is an indicator matrix.")
    uses_head = classifier.head is not None and strategy in ("frozen", "scratch")
    if uses_head or read_settings(classifier.head, classifier.device) is None:
        raise ValueError(
            f"{names}: only for logistic regression that the strategy trains itself, but head={classifier.head!r}. "
            "Leave the head out."
        )
    if evidence.has_sources and strategy in ("scratch", "finetune"):
        raise ValueError(
            f"{names}: strategy={strategy!r} does not use this. Choose strategy='auto', 'term_vectors' or 'frozen'."
        )
