"""A classifier for a domain without labels, from the labels of another."""

import os
from numbers import Integral

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from transferkit._validation import (
    FLOATS,
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
    unchanged_on_error,
    validate_data,
    validate_rows,
    with_plain_outputs,
)
from transferkit._versioning import VersionedEstimator
from transferkit.adaptation import (
    CORAL,
    ImportanceWeighting,
    LinearTransport,
    MarginalizedDenoising,
    SubspaceAlignment,
)
from transferkit.adaptation.domains import as_rows, read_domains
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.heads import LogisticHead
from transferkit.heads.linear._prior import FrozenParametersMixin
from transferkit.transfer._estimator import find_frozen, head_has, is_frozen
from transferkit.transfer.domains._candidates import (
    BLENDS,
    PRIOR,
    Domains,
    check_search,
    encode,
    fit_candidate,
    is_logistic,
    make_folds,
    select_rows,
    transform,
)
from transferkit.transfer.domains._selection import (
    choose,
    density_ratio,
    judge,
    make_row_of_one,
    tabulate,
    warn_too_few_labels,
)


class DomainTransferClassifier(FrozenParametersMixin, ClassifierMixin, VersionedEstimator):
    """Classify rows of a domain without labels with the labels of another, and know when not to adapt.

    Parameters
    ----------
    encoder : str, path or transformer, default=None
        What makes features of raw input: a model file or a fitted transformer, which stay as they are, or an unfitted
        one. An unfitted one learns from the rows of both domains, with ``adaptation=None`` from the labelled rows; one
        that uses labels (``SelectKBest``, and any whose `fit` takes y and that is neither scikit-learn's nor
        transferkit's) learns from the labelled rows, and is fitted anew on the training part of each fold. None is
        TF-IDF for texts, and the features as they are for rows of numbers.
    head : classifier, default=None
        None is logistic regression, its C chosen by the log loss of held-out labels. A :class:`LogisticHead` stands
        for its own C, a :class:`LogisticHeadCV` for its `Cs`; its folds and its scoring must be left as they are. Any
        other scikit-learn classifier is cloned; "auto" needs its `predict_proba`.
    adaptation : {"auto", "prior"}, transformer or None, default="auto"
        "auto" tries what applies and takes what the evidence is for; see Notes. "prior" is for texts: word vectors are
        pretrained on the texts of both domains and are the prior of :class:`TransferClassifier`. "prior+denoising" is
        the mean of that model's decisions and of those on :class:`MarginalizedDenoising` features,
        "none+denoising" that of the model without adaptation and these. A transformer of ``transferkit.adaptation``,
        or one with the same `fit_transform`, is cloned and used. None adapts nothing.
    cv : int, default=3
        Number of folds of labelled rows that C and candidates are judged on, at least 2.
    device : str, default="auto"
        Where the default head trains: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1".
    random_state : int, RandomState instance or None, default=0
        Seed of the folds. The default gives the same model each time.

    Attributes
    ----------
    encoder_ : transformer
        The encoder in use.
    adaptation_ : transformer or None
        The adaptation in use; None without one, and with "prior". With the means it puts the denoised features behind
        the encoder's, and `head_` has weights for both.
    head_ : classifier
        The fitted head.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    adaptation_name_ : str
        Name of the candidate in use, "none" without adaptation.
    adaptation_scores_ : dict of str to ndarray
        A row for each candidate: "adaptation"; estimates of its error rate in the target by "iwv", "dev", "circular"
        and "entropy", NaN where one cannot say; their "median"; the "gain", the median of how much they are below
        those without adaptation, with its "standard_error"; "n_in_favour", how many criteria see a gain; "chosen";
        "seconds".
        ``pandas.DataFrame(model.adaptation_scores_)`` shows it.
    label_coef_ : CSR matrix of shape (n_outputs, n_terms) or None
        With "prior": the part of ``head_.coef_`` that the labels alone account for.
    n_features_in_ : int
        Number of input features; only when X is a table.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    domain_gap : Whether there is a shift at all, and where.
    TransferClassifier : Labels and predictions in the same domain.

    Notes
    -----
    "auto" tries, for texts: "prior" and "prior+denoising"; for sparse rows: "none+denoising"; for dense rows:
    :class:`CORAL`, :class:`LinearTransport` (with ``reflection="auto"``), :class:`SubspaceAlignment` and
    :class:`ImportanceWeighting`; and always no adaptation. No target label is looked at: each candidate's error rate in
    the target is estimated by

    - "iwv": errors on held-out source rows, weighted by how likely each is in the target [1]_, which is told from the
      features by a classifier of the domains that did not see the row;
    - "dev": the same with weights told from the candidate's own scores, and a control variate [2]_;
    - "circular": errors of a second model on the source that was trained on the predictions for the target [3]_;
    - "entropy": the share of target predictions that are less sure than so many held-out source predictions as are
      wrong [4]_.

    Weighted criteria do not vote where the effective sample size of their weights is below 20 % of the source rows. A
    candidate is taken if the error rate falls by more than 0.75 points and by more than one standard error, by the
    median of the criteria, so that at least half of them see it fall; of several the one with the largest gain. For the
    two means the burden of proof is the other way round: features that are made alike in both domains move neither
    towards the other, and half of the model is as it was, so they take the place of what was chosen without them,
    unless the error rate rises by so much.
    All four criteria can be wrong together, and all can miss a gain: that is the price of having no labels. With some
    target labels, compare on those.

    An adaptation that is given and uses labels, such as :class:`StructuralCorrespondence`, learns from all labelled
    rows before C is chosen on held-out ones.

    Models with denoised features are not linear in the words, so :func:`~transferkit.inspection.explain` refuses them;
    "prior" it takes apart.

    CORAL, LinearTransport and ImportanceWeighting leave target rows as they are, so that predictions need no step more
    than without adaptation.

    References
    ----------
    .. [1] M. Sugiyama, M. Krauledat, K.-R. Müller, "Covariate shift adaptation by importance weighted cross
       validation", Journal of Machine Learning Research 8 (2007), 985-1005.
    .. [2] K. You, X. Wang, M. Long, M. Jordan, "Towards accurate model selection in deep unsupervised domain
       adaptation", ICML (2019).
    .. [3] L. Bruzzone and M. Marconcini, "Domain adaptation problems: a DASVM classification technique and a circular
       validation strategy", IEEE Transactions on Pattern Analysis and Machine Intelligence 32 (2010), 770-787.
    .. [4] S. Garg, S. Balakrishnan, Z. Lipton, B. Neyshabur, H. Sedghi, "Leveraging unlabeled data to predict
       out-of-distribution performance", ICLR (2022).

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
    ('LinearTransport', True)
    """

    _default_head = LogisticHead
    fitted_attributes = (
        "adaptation_",
        "adaptation_name_",
        "adaptation_scores_",
        "classes_",
        "encoder_",
        "head_",
        "label_coef_",
    )

    _parameter_constraints: dict = {
        "encoder": [str, os.PathLike, HasMethods(["fit", "transform"]), None],
        "head": [HasMethods(["fit", "predict"]), None],
        "adaptation": [StrOptions({"auto", PRIOR, *BLENDS}), HasMethods(["fit_transform", "transform"]), None],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(self, encoder=None, head=None, *, adaptation="auto", cv=3, device="auto", random_state=0):
        self.encoder = encoder
        self.head = head
        self.adaptation = adaptation
        self.cv = cv
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    @with_plain_outputs
    def fit(self, X, y, *, X_target=None, sample_domain=None):
        """Learn from labelled rows of the source and unlabelled rows of the target.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Labelled rows.
        y : array-like of shape (n_samples,)
            Their labels.
        X_target : iterable of str, array-like or sparse matrix of shape (n_target_samples, n_features)
            Unlabelled rows of the target. Those of data frames have the columns of X, in the same order.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each labelled row, where some are of the target: larger than 0 for the source, less than 0 for the
            target. All are of the source if None.

        Returns
        -------
        self : DomainTransferClassifier
            The fitted classifier.
        """
        with unchanged_on_error(self):
            domains = self._read(X, y, X_target, sample_domain)
            fitted, rows = self._fit_candidates(domains)
        self.encoder_, self.adaptation_, self.head_ = fitted.encoder, fitted.adaptation, fitted.head
        self.classes_, self.adaptation_name_ = fitted.head.classes_, fitted.name
        self.adaptation_scores_ = tabulate(rows)
        self.label_coef_ = fitted.attributes.get("label_coef_")
        return self

    @with_plain_outputs
    def predict(self, X):
        """Return the predicted label of each row of the target.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Rows of the target.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Entries of `classes_`.
        """
        return self.head_.predict(self._encode(X))

    @available_if(head_has("predict_proba"))
    @with_plain_outputs
    def predict_proba(self, X):
        """Return the probability of each class for rows of the target; there when the head has it.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Rows of the target.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return self.head_.predict_proba(self._encode(X))

    @available_if(head_has("decision_function"))
    @with_plain_outputs
    def decision_function(self, X):
        """Return the head's decision values for rows of the target; there when the head has them.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Rows of the target.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values; one column less for two classes, as in scikit-learn.
        """
        return self.head_.decision_function(self._encode(X))

    def _encode(self, X):
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):
            X = self._check_columns(X, reset=False)
        rows = transform(self.encoder_, X)
        return rows if self.adaptation_ is None else self.adaptation_.transform(rows)

    def _read(self, X, y, X_target, sample_domain):
        """Return the rows of both domains, after refusing what cannot be learned from."""
        if X_target is None:
            raise ValueError(
                "DomainTransferClassifier needs 'X_target': unlabelled rows of the domain that it is for. Without any, "
                "use TransferClassifier or a head."
            )
        shape = getattr(X_target, "shape", None) or (len(X_target) if hasattr(X_target, "__len__") else None,)
        if shape[0] == 0:
            raise ValueError("'X_target' has no rows, and unlabelled rows of the target domain are what is adapted to.")
        is_text = holds_texts(X)
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
        if is_text:
            X, X_target = check_texts(X), check_texts(X_target)
        else:
            X, X_target = self._read_rows(X, X_target)
        y = check_labels(y)
        if y.ndim != 1:
            raise ValueError(f"DomainTransferClassifier takes one label a row. Got y of shape {y.shape}.")
        check_same_length(X, y)
        check_has_classes(np.unique(y), self)
        check_search(self.head)
        is_source = np.ones(len(y), bool)
        if sample_domain is not None:
            is_source = read_domains(self, X, sample_domain, needs_both=False)
            if not is_source.any():
                raise ValueError("'sample_domain' has no row of the source (larger than 0) among the labelled ones.")
        return Domains(X, y, X_target, is_source, is_text, make_folds(y, self.cv, self.random_state))

    def _read_rows(self, X, X_target):
        """Return rows that are no texts, after refusing those of the target if their columns are not those of X."""
        X, X_target = as_rows(X), as_rows(X_target)
        if self.encoder is not None and len(getattr(X, "shape", ())) != 2:  # such as dicts and images
            return X, X_target
        X = self._check_columns(X, reset=True)
        try:
            return X, self._check_columns(X_target, reset=False)
        except ValueError as error:
            raise ValueError(f"X_target must have the columns of X: {error}") from None

    def _check_columns(self, X, *, reset):
        """Return rows of columns, in an array if no encoder is there to take them as they are."""
        if self.encoder is not None:
            return validate_data(self, X, skip_check_array=True, reset=reset)
        return validate_data(self, X, accept_sparse="csr", dtype=FLOATS) if reset else validate_rows(self, X)

    def _fit_candidates(self, domains):
        """Return the candidate in use, and the rows of the table."""

        def fit(name, adaptation=None, known=(), judge=False):
            given = name, self._make_encoder(domains), adaptation, self.head, domains
            return fit_candidate(*given, device=self.device, judge=judge, known=known)

        if not (isinstance(self.adaptation, str) and self.adaptation == "auto"):
            name, adaptation = _name(self.adaptation), self.adaptation
            if isinstance(adaptation, str):
                self._check_named(name, domains)
                adaptation = None
            fitted = fit(name, adaptation)
            return fitted, [make_row_of_one(name, fitted.seconds)]
        if not (is_logistic(self.head) or hasattr(self.head, "predict_proba")):
            raise ValueError(
                f"adaptation='auto' compares probabilities, which {type(self.head).__name__} has not. Name an "
                "adaptation, or use another head."
            )
        if not domains.folds:
            warn_too_few_labels(np.unique(domains.y, return_counts=True)[1])
            fitted = fit("none")
            return fitted, [make_row_of_one("none", fitted.seconds)]
        shared = encode(self._make_encoder(domains), domains, needs_both=True)
        n_labelled = len(domains.y)
        weights = density_ratio(select_rows(shared[:n_labelled], domains.is_source), shared[n_labelled:])
        candidates = []
        for name, adaptation in self._list_candidates(domains, shared):
            candidates.append(fit(name, adaptation, candidates, judge=True))
        best, rows = choose(candidates, [judge(fitted, domains, weights) for fitted in candidates])
        return candidates[best], rows

    def _list_candidates(self, domains, features):
        """Return names and adaptations to try, the first of which is none."""
        if isinstance(features, np.ndarray):
            found = [CORAL(), LinearTransport(reflection="auto"), SubspaceAlignment(), ImportanceWeighting()]
        elif not is_logistic(self.head):
            found = [MarginalizedDenoising()]
        else:
            names = [PRIOR, "prior+denoising"] if domains.is_text and self.encoder is None else ["none+denoising"]
            return [(name, None) for name in ("none", *names)]
        return [("none", None), *((_name(adaptation), adaptation) for adaptation in found)]

    def _check_named(self, name, domains):
        if name != "none+denoising" and not domains.is_text:
            raise ValueError(f"adaptation={name!r} works on the words of texts, and X holds rows of numbers.")
        if not is_logistic(self.head):
            raise ValueError(
                f"adaptation={name!r} trains logistic regression: head must be None, a LogisticHead or a "
                f"LogisticHeadCV without a prior of its own. Got {self.head!r}."
            )

    def _make_encoder(self, domains):
        """Return the encoder, not yet fitted unless it is pretrained."""
        if self.encoder is None:
            return TfidfEncoder(sublinear_tf=True) if domains.is_text else FunctionTransformer(accept_sparse=True)
        if isinstance(self.encoder, PretrainedEncoder):
            return clone(self.encoder)
        return PretrainedEncoder(self.encoder) if is_frozen(self.encoder) else clone(self.encoder)

    def _find_frozen(self, params):
        return find_frozen(params)

    def __sklearn_clone__(self):
        twin = super().__sklearn_clone__()
        if is_frozen(self.encoder):
            twin.encoder = self.encoder  # what was pretrained is the parameter; scikit-learn's clone would drop it
        return twin

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

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
        encoder = getattr(self, "encoder_", self.encoder)
        if encoder is None or isinstance(encoder, (str, os.PathLike)):
            tags.input_tags.string = tags.input_tags.sparse = True
        else:
            tags.input_tags = get_tags(encoder).input_tags
        return tags


def _name(adaptation):
    if isinstance(adaptation, str):
        return adaptation
    return "none" if adaptation is None else type(adaptation).__name__
