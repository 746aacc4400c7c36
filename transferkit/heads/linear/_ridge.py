"""Ridge regression as a head: any number of penalties from one decomposition."""

import os
import warnings
from numbers import Real

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import check_cv

from transferkit._algorithms.linalg.centred_rows import centre_rows
from transferkit._algorithms.linear.predictions import compute_scores
from transferkit._algorithms.linear.ridge import decompose, solve_by_conjugate_gradients
from transferkit._validation import (
    HasMethods,
    Interval,
    check_is_fitted,
    check_sample_weight,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_features,
    validate_rows,
)
from transferkit._versioning import VersionedEstimator
from transferkit.heads.linear._prior import KeepsSourceMixin, match_prior

MAX_DECOMPOSED = 4000  # rows or features: what is decomposed is the smaller side, squared
MAX_STEPS = 2000  # of conjugate gradients
MOST_OFFSET = 1e3  # of scores, in standard deviations of the targets, for weights in float32: 1e-4 of these are left


class RidgeHead(KeepsSourceMixin, MultiOutputMixin, RegressorMixin, VersionedEstimator):
    """Linear regression with an L2 penalty, from zero or from a source model.

    The objective is that of :class:`~sklearn.linear_model.Ridge`,

        sum_i sample_weight_i * ||y_i - coef_ @ x_i - intercept_||^2  +  alpha * ||coef_ - prior||^2,

    with the weights of a source model in the place of zero if there is a `prior` (L2-SP): linear fine-tuning, from
    pretrained weights, under mean squared error. The intercept is free.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, larger than 0. Not used when `alphas` is given.
    alphas : array-like of float, default=None
        Candidates for alpha, larger than 0. The one with the smallest mean squared error on held-out rows is taken.
    cv : int, splitter or iterable of (train, test) indices or masks, default=None
        Which rows `alphas` are held out together: None leaves out one by one, an int asks for so many folds. Exact,
        and from the same decomposition, either way.
    prior : fitted linear model, str or path-like, default=None
        Source model whose `coef_` the penalty pulls to: any with `coef_`, or a saved one. Features are matched by name
        where both models saw names, else by position; outputs by position. Never refitted; `clone` keeps it as it is.
    fit_intercept : bool, default=True
        Whether the prediction has an intercept.
    tol : float, default=1e-6
        Relative residual at which conjugate gradients end; used only beyond 4000 rows and 4000 features.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        Weights, of the type of X; float64 also for float32 features that lie so far from zero that predictions would
        lose their digits otherwise.
    intercept_ : float or ndarray of shape (n_outputs,)
        Intercepts, zero with `fit_intercept=False`.
    alpha_ : float
        The penalty that was used.
    loo_errors_ : ndarray of shape (n_alphas,) or None
        Mean squared leave-one-out error of each of `alphas`; None without them or with `cv`.
    cv_errors_ : ndarray of shape (n_alphas,) or None
        Mean squared error of each of `alphas` on the rows held out by `cv`; None without it.
    prior_coverage_ : dict or None
        Counts "features_matched", "features_new" and "features_dropped"; None without a prior.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LogisticHead : The same for classes.
    sklearn.linear_model.RidgeCV : The same choice of alpha, without a prior.

    Notes
    -----
    One eigendecomposition of the smaller of X.T X and X X.T gives the solution and the leverages for every alpha, and
    the error of row i in a model trained without it is its residual over one minus its leverage [1]_. Columns may lie
    far from zero and differ in scale, as timestamps beside ages do: they are centred first, and where eigenvalues lie
    too far apart for products, X itself is decomposed (QR) for each alpha. The penalty is on the weights as they are,
    so a column of large numbers is hardly penalised: scale the features if that is not meant.

    Sparse features are centred in the products, and made dense for that QR alone. Where X has more than 3e7 entries,
    zeros included, a LinAlgWarning says instead that scales differ too much. Where both sides are longer than 4000, a
    single alpha is solved by conjugate gradients and `alphas` is refused. Computed in float64; no torch involved.

    References
    ----------
    .. [1] D. M. Allen, "The relationship between variable selection and data augmentation and a method for prediction",
       Technometrics 16 (1974), 125-127.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from transferkit import RidgeHead
    >>> X, y = load_diabetes(return_X_y=True)
    >>> head = RidgeHead(alphas=[0.01, 0.1, 1.0]).fit(X, y)
    >>> head.alpha_
    0.01
    >>> round(head.score(X, y), 2)
    0.52
    """

    fitted_attributes = ("alpha_", "coef_", "cv_errors_", "intercept_", "loo_errors_", "prior_coverage_")

    _parameter_constraints = {
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "alphas": ["array-like", None],
        "cv": ["cv_object"],
        "prior": [HasMethods(["predict"]), str, os.PathLike, None],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, alpha=1.0, *, alphas=None, cv=None, prior=None, fit_intercept=True, tol=1e-6):
        self.alpha = alpha
        self.alphas = alphas
        self.cv = cv
        self.prior = prior
        self.fit_intercept = fit_intercept
        self.tol = tol

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Train on features and targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.
        groups : array-like of shape (n_samples,), default=None
            Groups for splitters that ask for them.

        Returns
        -------
        self : RidgeHead
            The fitted head.
        """
        with unchanged_on_error(self):
            X, y = validate_features(self, X, y, multi_output=True, y_numeric=True)
            weights = check_sample_weight(to_numpy(sample_weight), X, dtype=np.float64, ensure_non_negative=True)
            alphas = read_alphas(self)
            targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
            prior, coverage = read_prior(self, X, targets)
            folds = read_folds(self, X, y, groups)
            if not weights.all():
                X, targets, weights, folds = drop_unweighted(X, targets, weights, folds)
            rows, means = centre_rows(X, weights, self.fit_intercept)
            check_squares(rows)
            centre = weights @ targets / weights.sum() if self.fit_intercept else np.zeros(targets.shape[1])
            goal = rows.roots[:, None] * (targets - centre) - rows.times(prior.T)
            coef, alpha, errors = choose_weights(self, rows, goal, alphas, folds)
            coef = np.ascontiguousarray(coef + prior.T).T
            coef = coef.astype(choose_dtype(X, coef, means, targets), copy=False)
            intercept = centre - coef @ means
        self.coef_ = coef[0] if np.ndim(y) == 1 else coef
        self.intercept_ = float(intercept[0]) if np.ndim(y) == 1 else intercept.astype(coef.dtype)
        self.alpha_, self.prior_coverage_ = float(alpha), coverage
        self.loo_errors_, self.cv_errors_ = (errors, None) if folds is None else (None, errors)
        return self

    def predict(self, X):
        """Return the predicted targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, FeatureBlocks} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        """
        check_is_fitted(self, "coef_")
        X = validate_rows(self, X)
        return compute_scores(X, self.coef_, self.intercept_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def read_alphas(head):
    """Return the candidates (n_alphas,), or None where alpha is given."""
    if head.alphas is None:
        return None
    alphas = np.asarray(head.alphas, dtype=np.float64)
    if alphas.ndim != 1 or len(alphas) == 0 or not (np.isfinite(alphas) & (alphas > 0)).all():
        raise ValueError(f"alphas must be a list of finite numbers larger than 0. Got {head.alphas!r} instead.")
    return alphas


def read_folds(head, X, y, groups):
    """Return the rows that each fold holds out, or None where rows are left out one by one."""
    if head.alphas is None or head.cv is None:
        return None
    pairs = [tuple(map(to_indices, pair)) for pair in check_cv(head.cv).split(X, y, groups)]
    folds, rows = [test for _, test in pairs], np.arange(X.shape[0])
    is_partition = len(np.unique(np.concatenate(folds))) == sum(map(len, folds))
    if not is_partition or any(not np.array_equal(np.sort(np.concatenate(pair)), rows) for pair in pairs):
        raise ValueError(
            "cv of RidgeHead must hold out each row at most once and train on all others, as KFold does. Use "
            "GridSearchCV for other splitters."
        )
    return folds


def to_indices(rows):
    """Return the numbers of rows that are given by numbers or by a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def drop_unweighted(X, targets, weights, folds):
    """Return all but the rows of weight zero, and the folds in their numbers."""
    used = weights > 0
    numbers = np.cumsum(used) - 1
    folds = None if folds is None else [numbers[fold[used[fold]]] for fold in folds]
    return X[used], targets[used], weights[used], folds


def check_squares(rows):
    """Raise ValueError unless float64 holds the squares of the centred features."""
    with np.errstate(over="ignore", invalid="ignore"):
        largest = rows.column_squares().max(initial=0)
    if not np.isfinite(largest):
        raise ValueError("Features of X are too large for their squares in float64 (beyond 1e150). Scale them first.")


def choose_dtype(X, coef, means, targets):
    """Return the type of the weights: that of X, or float64 where float32 would lose the digits that predictions need.

    Scores are sums of what means and deviations contribute. In float32 they are good to 1e-7 of the former.
    """
    is_far = (np.abs(coef) @ np.abs(means) > MOST_OFFSET * targets.std(axis=0)).any()
    return np.float64 if is_far else X.dtype


def read_prior(head, X, targets):
    """Return the prior's weights (n_outputs, n_features), zeros without one, and its coverage."""
    shape = (targets.shape[1], X.shape[1])
    if head.prior is None:
        return np.zeros(shape), None
    weights, coverage = match_prior(head.prior, None, X.shape[1], getattr(head, "feature_names_in_", None))
    if weights.shape != shape:
        raise ValueError(f"prior has weights for {len(weights)} outputs and y has {shape[0]}.")
    return weights, coverage


def choose_weights(head, rows, targets, alphas, folds):
    """Return weights (n_features, n_outputs), the alpha they belong to, and the errors of the candidates."""
    if min(rows.X.shape) > MAX_DECOMPOSED:
        if alphas is not None:
            raise ValueError(
                f"alphas needs a decomposition, and X of shape {rows.X.shape} is too large for one: at most "
                f"{MAX_DECOMPOSED} rows or features. Choose alpha with GridSearchCV."
            )
        weights, converged = solve_by_conjugate_gradients(rows, targets, head.alpha, head.tol, MAX_STEPS)
        if not converged:
            warnings.warn(
                f"RidgeHead did not converge in {MAX_STEPS} steps of conjugate gradients. Increase tol or alpha.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return weights, head.alpha, None
    least_alpha = head.alpha if alphas is None else alphas.min()
    ridge = decompose(rows, targets, least_alpha, head.fit_intercept)
    if alphas is None:
        return ridge.weights(head.alpha), head.alpha, None
    errors = ridge.leave_one_out_errors(alphas) if folds is None else ridge.held_out_errors(alphas, folds)
    best = alphas[errors.argmin()]
    return ridge.weights(best), best, errors
