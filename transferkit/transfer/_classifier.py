"""An encoder and a head as one classifier on raw input, and how much of the encoder to use."""

import os
from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, is_regressor
from sklearn.metrics import get_scorer_names
from sklearn.utils.metaestimators import available_if

from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_has_classes,
    check_is_fitted,
    check_labels,
    check_same_length,
    check_texts,
    fit_context,
    holds_texts,
    read_feature_names,
    with_plain_outputs,
)
from transferkit._versioning import VersionedEstimator
from transferkit.heads import LogisticHead
from transferkit.transfer._estimator import TransferMixin, head_has
from transferkit.transfer._row_weights import drop_weightless
from transferkit.transfer._settings import check_head_of_candidates


class TransferClassifier(TransferMixin, ClassifierMixin, VersionedEstimator):
    """Classify raw input with what was pretrained and few labels, and find out how much to transfer.

    Parameters
    ----------
    encoder : str, path or transformer, default=None
        What was pretrained: a model file or a fitted transformer, which stay as they are (also through
        ``clone``), encode each row once and are shared by folds and tasks. An unfitted transformer is cloned
        and fitted on the rows given to ``fit``, and anew on the training rows of each fold. scikit-learn's
        transformers (PCA, NMF, a Pipeline of them) need no wrapper. May be None only with ``strategy="scratch"``.
    head : classifier, default=None
        None is logistic regression, its C chosen on held-out labels. A :class:`LogisticHead` stands for its own C, a
        :class:`LogisticHeadCV` for its `Cs`, which are compared by `cv` and `scoring` of this classifier. Any other
        scikit-learn classifier is cloned and fitted on features, so "prior" is not among its strategies.
    source : fitted classifier, str or path-like, default=None
        A model of another task (a TransferClassifier, a Pipeline with a linear head, a linear classifier, or a model
        file), whose weights the new ones are pulled to (L2-SP [4]_). Features are those of its encoder, new words
        added, or those of `encoder` where one is given. They are matched by name; where there are no names X must have
        as many as the source, and they are matched by position. Classes are matched by label. "source only", "target
        only" and "transfer" are compared in `strategy_scores_`; "transfer" is taken unless "target only" is
        clearly better. Only with ``strategy="auto"``. Never refitted; `clone` keeps it as it is.
    strategy : {"auto", "prior", "frozen", "finetune", "scratch"}, default="auto"
        "scratch" is the head without transfer: on TF-IDF of the labelled texts alone (normalised and split as the
        encoder's parameters say), or on the features as they are when X is rows of numbers. "frozen" trains the head on
        the encoder's features. "prior" trains it on the words themselves, such that words with similar pretrained
        vectors get similar weights: for texts and encoders that project term weights linearly
        (:class:`WordVectorEncoder`, :class:`LSAEncoder`). "finetune" starts as "frozen" and trains the encoder's own
        arrays with the head, in a copy. "auto" tries what applies and takes what does best on held-out labels; see
        Notes.
    cv : int, splitter or iterable of (train, test) indices, default=5
        Folds that strategies and C are judged on; an int asks for so many stratified, shuffled ones.
    scoring : str or callable, default=None
        What strategies are compared by; accuracy if None.
    device : str, default="auto"
        Where to train: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1". A head that is given
        brings its own.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds and of the batches. The default gives the same model each time.
    encoder_learning_rate : float, default=0.3
        With "finetune": factor of the learning rate for the encoder's arrays [3]_.
    unfreeze_at : int, default=2
        With "finetune": epoch at which the encoder's arrays begin to learn [3]_; of a :class:`TorchEncoder` the last
        layers, those before them an epoch later.
    anchor_strength : float, default=1e-2
        With "finetune": strength of the pull to what was pretrained (L2-SP [4]_). Each step takes the share
        ``r * s / (1 + r * s)`` of the way back, with learning rate r and strength s.

    Attributes
    ----------
    encoder_ : transformer
        The encoder in use; with "prior" the TF-IDF that the weights are for.
    head_ : classifier
        The fitted head. Where candidates were averaged, its weights are those of the average, and its `C` is that of
        the candidate with the largest weight: a head that is trained with this `C` alone is another one.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    strategy_ : str
        The strategy in use.
    strategy_scores_ : dict of str to ndarray
        A row for each candidate: "strategy", "alpha", "C", "idf", "terms" ("words", "n-grams" or "characters"),
        "weight" (in the average, or 1 for the one taken), "log_loss" and "mean" on held-out labels, "standard_error" of
        the mean, "seconds". NaN (for texts "") where there is none. ``pandas.DataFrame(model.strategy_scores_)`` shows
        it.
    label_coef_ : CSR matrix of shape (n_outputs, n_terms) or None
        With "prior": the part of ``head_.coef_`` that the labels alone account for. The rest came through pretrained
        vectors.
    n_features_in_ : int
        Number of input features; only when X is rows of numbers.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the input features, if `fit` saw names that are all strings.

    See Also
    --------
    PretrainedEncoder : The frozen encoder alone, for Pipelines.
    LogisticHead : The default head.
    transferkit.save : Write the model, its encoder included, to one file.

    Notes
    -----
    With "prior" the features are TF-IDF rows S beside ``alpha * (S E - mean)``, E being the pretrained vectors less the
    direction that all rows share, and both blocks scaled to rows of mean squared norm one. A linear model on them is
    one on S alone, of weights W1 + alpha E W2 [1]_. alpha is one of 0 (no transfer), 1/4, 1/2, 1, 2, 4 and infinity
    (vectors alone), C one of 0.1 to 1000, and terms are weighed by the idf of the unlabelled or of the labelled texts.
    Rather than picking one of these candidates, which few labels cannot do reliably, their decision values are averaged
    with weights in proportion to ``exp(-n_samples / 4 * log loss)`` on held-out labels, a tempered posterior [2]_. The
    average is one linear model again, one weight a term: small, served in microseconds, exact to explain. "frozen" and
    "scratch" average over C in the same way.

    "auto" compares that average with "frozen" and "scratch" and gives it up only for a mean score higher by more than
    one standard error of the difference and a log loss that is not higher. It tries "finetune" only for encoders
    without such a projection, since on word vectors it took ten times as long and did no better, and for a
    :class:`TorchEncoder` only up to a million parameters; among these the best mean wins. Where "scratch" cannot learn
    from X as it is (images, tables with texts, missing values, texts without a word), it is left out and has a row of
    NaN. With fewer than 4 labels per class there are no folds: then alpha is 1/2, 1 and 2 in equal parts with C = 10,
    or the encoder is used frozen. Of more than 5,000 rows an int `cv` means at most 3 folds. Of more than 600 rows the
    losses of candidates differ so clearly that only those around the best one are fitted, found by descent from a
    middle one; one without transfer is always among them. Then pairs of adjacent words that are in two labelled texts
    or more are tried beside the words, and taken where they lower the loss. When no transfer won, a warning says so.

    An unfitted `encoder` is fitted anew in every fold, so that held-out labels stay unseen even where it uses labels.
    What is learned without labels is learned once, on all labelled rows, those held out included: the vocabulary and
    the idf of TF-IDF ("scratch", "prior", the new words of a `source`), the mean and the scale of the blocks of
    "prior", and an unfitted encoder in the strategies "prior" and "finetune". A head that chooses its own parameters
    (a LogisticHeadCV with ``strategy="frozen"``, a GridSearchCV) does so on features of an encoder that has seen all
    the labels it is given: with an unfitted encoder that uses labels, search over the TransferClassifier instead.

    In a parameter grid for `encoder` give paths or ``PretrainedEncoder(fitted)``: scikit-learn clones the values of
    a grid, and any other transformer comes out of that unfitted.

    `joblib.dump` and `pickle` keep an encoder that was given as a path as that path; :func:`transferkit.save`
    writes the encoder in use into the model's file. With "prior" that is TF-IDF and one weight a term, which does not
    need the pretrained vectors any more.

    References
    ----------
    .. [1] R. Raina, A. Y. Ng, D. Koller, "Constructing informative priors using transfer learning", ICML (2006).
    .. [2] P. Grünwald, T. van Ommen, "Inconsistency of Bayesian inference for misspecified linear models, and a
       proposal for repairing it", Bayesian Analysis 12 (2017), 1069-1103.
    .. [3] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL (2018).
    .. [4] X. Li, Y. Grandvalet and F. Davoine, "Explicit inductive bias for transfer learning with convolutional
       networks", ICML (2018).

    Examples
    --------
    >>> from transferkit import TransferClassifier, WordVectorEncoder
    >>> unlabelled = ["the cat sat", "the dog sat", "the cat and the dog", "a stock rose", "a stock and a bond rose"]
    >>> encoder = WordVectorEncoder(n_components=3, min_count=1).fit(unlabelled)
    >>> model = TransferClassifier(encoder).fit(["the cat", "a stock"], ["pet", "money"])
    >>> model.strategy_
    'prior'
    >>> model.predict(["dog", "rose"])
    array(['pet', 'money'], dtype='<U5')
    """

    _default_head = LogisticHead
    fitted_attributes = ("classes_",)

    _parameter_constraints: dict = {
        "encoder": [str, os.PathLike, HasMethods(["fit", "transform"]), None],
        "head": [HasMethods(["fit", "predict"]), None],
        "source": [str, os.PathLike, HasMethods(["predict"]), None],
        "strategy": [StrOptions({"auto", "prior", "frozen", "finetune", "scratch"})],
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
        encoder=None,
        head=None,
        *,
        source=None,
        strategy="auto",
        cv=5,
        scoring=None,
        device="auto",
        random_state=0,
        encoder_learning_rate=0.3,
        unfreeze_at=2,
        anchor_strength=1e-2,
    ):
        self.encoder = encoder
        self.head = head
        self.source = source
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
    def fit(self, X, y, sample_weight=None, groups=None):
        """Find out how much to transfer, and train on all labels.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input: what the encoder takes.
        y : array-like of shape (n_samples,) or indicator matrix of shape (n_samples, n_labels)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. A row of weight 2 counts as two in training and in what candidates are compared by, but
            once where words are counted and where folds are made; one of weight zero is left out.
        groups : array-like of shape (n_samples,), default=None
            Groups, for splitters that ask for them, such as :class:`~sklearn.model_selection.GroupKFold`. With an int
            `cv` rows of one group are held out together.

        Returns
        -------
        self : TransferClassifier
            The fitted classifier.
        """
        return self._fit(X, y, sample_weight, groups)

    def _fit(self, X, y, sample_weight=None, groups=None, terms=None):
        """Fit, with "prior" on terms that several tasks share if they are given."""
        from transferkit.transfer.strategies._strategies import (  # here: predictions need none of it
            fit_judged,
            fit_plainly,
        )

        if self.head is not None and is_regressor(self.head):
            raise ValueError(
                "The 'head' parameter of TransferClassifier must be a classifier. Got the regressor "
                f"{type(self.head).__name__}: use TransferRegressor with it."
            )
        is_text = holds_texts(X)
        names = read_feature_names(X)
        X = check_texts(X) if is_text else X
        y = check_labels(y)
        check_same_length(X, y)
        y = y.toarray() if issparse(y) else y
        X, y, sample_weight, groups, cv = drop_weightless(self.head, X, y, sample_weight, groups, self.cv)
        check_has_classes(np.unique(y), self)
        if self.strategy in ("frozen", "scratch") and self.head is not None and self.source is None:
            taken = fit_plainly(self, X, y, is_text, sample_weight)
            outcomes = [taken]
        else:
            check_head_of_candidates(self.head, self)
            taken, outcomes = fit_judged(self, X, y, is_text, sample_weight, groups, terms, cv)
        self._store(taken, outcomes, names)
        self.classes_ = self.head_.classes_
        return self

    @available_if(head_has("predict_proba"))
    @with_plain_outputs
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
        return self.head_.predict_proba(self._encode(X))

    @available_if(head_has("decision_function"))
    @with_plain_outputs
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
        return self.head_.decision_function(self._encode(X))
