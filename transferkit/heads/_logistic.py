"""Logistic regression as a head: scikit-learn's optimum in a fraction of its time."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from transferkit._algorithms.linear_predictions import compute_scores, to_log_probabilities, to_probabilities
from transferkit._validation import (
    Interval,
    StrOptions,
    check_has_classes,
    check_is_fitted,
    check_sample_weight,
    fit_context,
    unchanged_on_error,
    validate_data,
)


class LogisticHead(ClassifierMixin, BaseEstimator):
    """Logistic regression trained with torch and stored in NumPy.

    The objective is that of :class:`~sklearn.linear_model.LogisticRegression` with its L2 penalty,

        C * sum_i sample_weight_i * loss(y_i, coef_ @ x_i + intercept_)  +  ||coef_||^2 / 2,

    where the loss is the cross-entropy of the softmax of the scores (of the sigmoid of one score when there are
    two classes) and the intercept is free. The optimum is the same; the way there is shorter.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, larger than 0.
    class_weight : dict or "balanced", default=None
        Weights of the classes, {label: weight}; "balanced" gives every class the same total weight.
    fit_intercept : bool, default=True
        Whether the scores have an intercept.
    tol : float, default=1e-4
        Training ends when the objective is estimated to lie within this fraction of its optimum.
    max_iter : int, default=1000
        Largest number of steps; few problems need a hundred.
    warm_start : bool, default=False
        Whether `fit` begins at the last solution if that has the same classes and features.
    device : str, default="auto"
        Where to train: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1". Predictions are made
        with NumPy on the CPU.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features) or (1, n_features)
        Weights; with two classes the one row speaks for `classes_[1]`.
    intercept_ : ndarray of shape (n_classes,) or (1,)
        Intercepts, zeros with `fit_intercept=False`.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_iter_ : ndarray of shape (1,)
        Number of steps taken.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same optimum, more penalties, no torch.

    Notes
    -----
    Böhning's bound [1]_ puts the Hessian of the softmax loss below half the Gram matrix of the features, whatever
    the weights. One eigendecomposition of the Gram matrix of the centred features therefore gives coordinates in which
    the problem is nearly round, and L-BFGS [2]_ needs a few dozen steps, however badly the features are scaled.
    With more features than rows the weights are combinations of the rows and are kept as such. Sparse features
    are never made dense, and centring them is done in the products.

    float32 features are trained in float32, everything else in float64.

    References
    ----------
    .. [1] D. Böhning, "Multinomial logistic regression algorithm", Annals of the Institute of Statistical
       Mathematics 44 (1992), 197-200.
    .. [2] J. Nocedal and S. J. Wright, "Numerical Optimization", 2nd edition, Springer (2006), chapter 7.

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

    _parameter_constraints = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
    }

    def __init__(
        self,
        C=1.0,
        *,
        class_weight=None,
        fit_intercept=True,
        tol=1e-4,
        max_iter=1000,
        warm_start=False,
        device="auto",
    ):
        self.C = C
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on features and labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.

        Returns
        -------
        self : LogisticHead
            The fitted head.
        """
        from transferkit._training.linear_classifier import train_linear_classifier

        with unchanged_on_error(self):
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
            check_classification_targets(y)
            classes, labels = np.unique(y, return_inverse=True)
            check_has_classes(classes, self)
            weights = weigh_rows(X, classes, labels, self.class_weight, sample_weight)
            n_outputs = len(classes) if len(classes) > 2 else 1
            model = train_linear_classifier(
                X,
                labels,
                weights,
                self.C,
                n_outputs=n_outputs,
                fit_intercept=self.fit_intercept,
                tol=self.tol,
                max_iter=self.max_iter,
                device=self.device,
                start=self._last_solution(classes, (n_outputs, X.shape[1])),
            )
        if not model.converged:
            warn_not_converged(self)
        self.classes_ = classes
        self.coef_ = model.coef
        self.intercept_ = model.intercept
        self.n_iter_ = model.n_iter
        return self

    def decision_function(self, X):
        """Return the scores of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores; with two classes those of `classes_[1]`, positive where it is predicted.
        """
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        scores = compute_scores(X, self.coef_, self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """Return the most probable label of each row, (n_samples,)."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(1)
        return self.classes_[best]

    def predict_proba(self, X):
        """Return the probabilities of the classes, (n_samples, n_classes), in the order of `classes_`."""
        return to_probabilities(self.decision_function(X))

    def predict_log_proba(self, X):
        """Return the logarithms of the probabilities, (n_samples, n_classes)."""
        return to_log_probabilities(self.decision_function(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _last_solution(self, classes, shape):
        last = getattr(self, "coef_", None) if self.warm_start else None
        if last is None or last.shape != shape or not np.array_equal(self.classes_, classes):
            return None
        return last, self.intercept_


def weigh_rows(X, classes, labels, class_weight, sample_weight):
    """Return the weight of each row: its sample weight times the weight of its class."""
    weights = check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
    if class_weight is None:
        return weights
    of_class = compute_class_weight(
        class_weight,
        classes=classes,
        y=classes[labels],
        sample_weight=None if sample_weight is None else weights,
    )
    return weights * of_class[labels].astype(weights.dtype)


def warn_not_converged(head):
    """Warn that training ended before the tolerance was reached."""
    warnings.warn(
        f"{type(head).__name__} did not converge in max_iter={head.max_iter} steps: its weights are not yet the "
        "optimum. Increase max_iter or tol.",
        ConvergenceWarning,
        stacklevel=3,
    )
