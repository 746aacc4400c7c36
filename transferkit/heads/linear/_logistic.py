"""Logistic regression with scikit-learn's optimum, trained by preconditioned L-BFGS."""

import os
from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.callback import CallbackSupportMixin

from transferkit._estimator import FitProgress, KeepsSourceMixin, VersionedEstimator
from transferkit._types import ClassWeight, FilePath, FittedPredictor, Numbers
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_labels,
    check_probabilities,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_features,
)
from transferkit.heads.linear._linear_classifier import (
    LinearClassifierMixin,
    check_block_scales,
    check_weighted_classes,
    compute_sample_weights,
    encode_labels,
    warn_not_converged,
    weight_probabilities,
)
from transferkit.heads.linear._prior import match_prior

__all__ = ["LogisticHead", "resolve_prior", "to_fitted_attributes"]


class LogisticHead(KeepsSourceMixin, CallbackSupportMixin, LinearClassifierMixin, VersionedEstimator):
    """Logistic regression trained with torch and stored in NumPy.

    The objective is that of :class:`~sklearn.linear_model.LogisticRegression` with its L2 penalty,

        C * sum_i sample_weight_i * loss(y_i, coef_ @ x_i + intercept_)  +  ||coef_||^2 / 2,

    where the loss is the cross-entropy of the softmax of the scores (of the sigmoid of one score if there are two
    classes), and the intercept is not penalised. The optimum is the same, and is reached in less time.
    With a `prior`, the weights of a source model, the penalty is ||coef_ - prior||^2 / 2: weights leave those of the
    source only where the labels require it (L2-SP [3]_).

    Parameters
    ----------
    C : float, default=1.0
        Inverse regularisation strength, positive and finite: without a penalty there is no optimum for separable
        classes. ``C=1e10`` is practically no penalty.
    class_weight : dict or "balanced", default=None
        Weights of the classes, {label: weight}, not negative; "balanced" gives every class the same total weight. With
        an indicator matrix only "balanced" is allowed: ones and zeros of each label get the same total weight.
    prior : fitted linear classifier, str or path-like, default=None
        Source model whose `coef_` the penalty pulls to: any model with `coef_` and `classes_`, or the path of a
        saved one. Features are matched by name if both models saw names, else by position; classes by label.
        Weights of features and classes that the source does not have are pulled to zero, and those that the task does
        not have are ignored. The source is never refitted, and is shared with clones.
    block_scales : sequence of float, default=None
        With X as :class:`FeatureBlocks`, one scale per block, not negative: the penalty of a block's weights is
        divided by its scale squared, as if the block were multiplied by it. `coef_` is for the unscaled blocks. Zero
        leaves a block out.
    fit_intercept : bool, default=True
        Whether the scores have an intercept.
    tol : float, default=1e-4
        Tolerance: training stops when the estimated optimality gap is less than this fraction of the objective, and of
        its decrease from weights of zero.
    max_iter : int, default=1000
        Maximum number of L-BFGS steps.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution if that has the same classes and features.
    device : str, default="auto"
        Where to train: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1". Predictions are made
        with NumPy on the CPU.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features) or (1, n_features)
        Weights; with two classes those of the positive class, `classes_[1]`.
    intercept_ : ndarray of shape (n_classes,) or (1,)
        Intercepts, zeros with `fit_intercept=False`.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; after a multilabel fit the column numbers of y.
    multilabel_ : bool
        Whether y was an indicator matrix, for which each label has an independent logistic regression.
    prior_coverage_ : dict or None
        Overlap of prior and task: counts "features_matched", "features_new" and "features_dropped", and lists
        "classes_matched", "classes_new" and "classes_dropped". None without a prior.
    n_iter_ : ndarray of shape (1,)
        Number of L-BFGS steps.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same optimum, with more penalties and without torch.

    Notes
    -----
    Böhning's bound [1]_ says that the Hessian of the softmax loss is at most half the Gram matrix of the features,
    whatever the weights. One eigendecomposition of the Gram matrix of the centred features therefore gives a
    preconditioner, in the variables of which the Hessian is near the identity, and L-BFGS [2]_ needs a few dozen steps
    on most problems, however badly the features are scaled; large C (100 and more) may take hundreds of steps. With
    more features than samples the weights are linear combinations of the samples, and the coefficients of these are
    trained. Sparse features are never made dense: they are centred within matrix products. A problem whose steps take
    less time than the calls of torch is solved in the same way in NumPy, with one thread.

    Training stops when the slopes along the last steps predict little further decrease. Up to 600 features (or samples,
    if there are fewer of these) this is then checked with the Hessian at that point, since slopes do not show how much
    is left to gain along a direction that an outlier makes look flat; with more, an outlier thousands of times larger
    than the other samples may stop training early.

    float32 features are trained in float32, or in float64 if they are few or too large for float32; all others in
    float64.

    There is no `l1_ratio`: an L1 penalty is not smooth where weights are zero, and the preconditioner mixes all
    weights. scikit-learn's LogisticRegression has this penalty, with ``solver="saga"``, and its weights can be the
    `prior` here.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each step is a task, and a callback that
    requests to stop ends the training at that step, without a warning.

    References
    ----------
    .. [1] D. Böhning, "Multinomial logistic regression algorithm", Annals of the Institute of Statistical
       Mathematics 44 (1992), 197-200.
    .. [2] J. Nocedal and S. J. Wright, "Numerical Optimization", 2nd edition, Springer (2006), chapter 7.
    .. [3] X. Li, Y. Grandvalet and F. Davoine, "Explicit inductive bias for transfer learning with convolutional
       networks", ICML (2018).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from transferkit import LogisticHead
    >>> X, y = load_iris(return_X_y=True)
    >>> head = LogisticHead(C=10.0).fit(X, y)
    >>> head.predict(X[:2])
    array([0, 0])
    >>> round(head.score(X, y), 2)
    0.98
    """

    fitted_attributes = ("classes_", "coef_", "intercept_", "multilabel_", "n_iter_", "prior_coverage_")

    _parameter_constraints = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "prior": [HasMethods(["predict"]), str, os.PathLike, None],
        "block_scales": ["array-like", None],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        class_weight: ClassWeight = None,
        prior: FittedPredictor | FilePath | None = None,
        block_scales: Numbers | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
        warm_start: bool = False,
        device: str = "auto",
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.prior = prior
        self.block_scales = block_scales
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the head to features and labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels of at least two classes, or an indicator matrix of zeros and ones for any number of labels per
            sample.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.

        Returns
        -------
        self : LogisticHead
            The fitted head.
        """

        def encode(X, y):
            classes, targets, multilabel = encode_labels(self, y)
            weights = compute_sample_weights(self, X, classes, targets, multilabel, sample_weight)
            check_weighted_classes(classes, targets, weights, self)
            return classes, targets, weights, multilabel

        return self._fit(X, check_labels(to_numpy(y)), sample_weight, encode)

    @fit_context(prefer_skip_nested_validation=True)
    def fit_soft(self, X, probabilities, *, classes=None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the head to features and probabilities of the classes, such as the predictions of another model.

        The loss of a sample is the cross-entropy of its probabilities, -sum_k q_k log p_k, as in knowledge distillation
        (Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network"). The optimum is that of `fit`
        on one copy of the sample per class, weighted by the probabilities; probabilities of zero and one give that of
        `fit`. All parameters apply as in `fit`: with `class_weight`, each probability counts as a label of that weight.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.
        probabilities : array-like of shape (n_samples, n_classes)
            Probabilities of the classes, one column per class, also with two classes. They are not negative, and sum to
            one per sample up to 1e-3; they are normalised to sum to one exactly.
        classes : array-like of shape (n_classes,), default=None
            Distinct labels of the columns, in any order, such as the `classes_` of the model that predicted them;
            0, ..., n_classes - 1 if None.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.

        Returns
        -------
        self : LogisticHead
            The fitted head.

        Raises
        ------
        ValueError
            If probabilities are negative, missing or do not sum to one, if there is not one distinct label per column,
            or if fewer than two classes have a positive probability. Probabilities of independent labels (multilabel)
            are not supported.

        Examples
        --------
        >>> import numpy as np
        >>> from transferkit import LogisticHead
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> head = LogisticHead(C=1e6).fit_soft(X, [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]], classes=["no", "yes"])
        >>> head.predict_proba([[0.0]]).round(2)
        array([[0.9, 0.1]])
        """
        classes, probabilities = check_probabilities(probabilities, classes, self)

        def encode(X, probabilities):
            targets, weights = weight_probabilities(self, X, classes, probabilities, sample_weight)
            return classes, targets if len(classes) > 2 else targets[:, 1:], weights[:, None], False

        return self._fit(X, probabilities, sample_weight, encode, lambda y: classes[y.argmax(1)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _fit(self, X, y, sample_weight, encode, to_labels=None):
        """Fit to checked labels or probabilities y.

        `encode(X, y)` returns classes, targets and row weights for training, and whether y is an indicator matrix.
        `to_labels(y)` returns labels for callbacks, which may score with them; y itself if None.
        """
        from transferkit._training.linear.logistic import train_linear_classifier

        progress = FitProgress(self, self.max_iter, "step")
        with unchanged_on_error(self):
            X, y = validate_features(self, X, y, multi_output=True)
            progress.begin(X, y if to_labels is None else to_labels(y), sample_weight)
            scales = check_block_scales(self, X, self.block_scales)
            classes, targets, weights, multilabel = encode(X, y)
            n_outputs = len(classes) if len(classes) > 2 and not multilabel else 1
            shape = (len(classes) if multilabel else n_outputs, X.shape[1])
            prior, coverage = resolve_prior(self, X, classes, shape[0])

            def report(read_model):
                return progress.step(read_model and (lambda: to_fitted_attributes(read_model(), classes, multilabel)))

            model = train_linear_classifier(
                X,
                targets,
                weights,
                self.C,
                n_outputs=n_outputs,
                fit_intercept=self.fit_intercept,
                tol=self.tol,
                max_iter=self.max_iter,
                device=self.device,
                prior=prior,
                block_scales=scales,
                start=self._last_solution(classes, shape),
                on_step=report,
            )
        if not model.converged:
            warn_not_converged(self, model.n_iter)
        fitted = to_fitted_attributes(model, classes, multilabel)
        vars(self).update(fitted, prior_coverage_=coverage)
        progress.end(fitted)
        return self

    def _last_solution(self, classes, shape):
        last = getattr(self, "coef_", None) if self.warm_start else None
        if last is None or last.shape != shape or not np.array_equal(self.classes_, classes):
            return None
        return last, self.intercept_


def to_fitted_attributes(model, classes, multilabel):
    """Return the fitted attributes of a trained model."""
    return {
        "classes_": classes,
        "multilabel_": multilabel,
        "coef_": model.coef,
        "intercept_": model.intercept,
        "n_iter_": np.array([model.n_iter], dtype=np.int32),
    }


def resolve_prior(head, X, classes, n_rows):
    """Return the prior's weights (n_rows, n_features) in the dtype of X, or None, and its coverage."""
    if head.prior is None:
        return None, None
    weights, coverage = match_prior(head.prior, classes, X.shape[1], getattr(head, "feature_names_in_", None))
    if n_rows == 1:
        weights = weights[1:] - weights[:1]  # the score of the positive class
    return weights.astype(X.dtype), coverage
