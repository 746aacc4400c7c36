"""Ridge regression, with any number of penalties from one decomposition."""

import os
import warnings
from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import check_cv

from transferkit._algorithms.linear.feature_blocks import centre_rows
from transferkit._algorithms.linear.predictions import compute_scores
from transferkit._algorithms.linear.ridge import MAX_DECOMPOSED, decompose, solve_by_conjugate_gradients
from transferkit._estimator import KeepsSourceMixin, VersionedEstimator
from transferkit._types import FilePath, FittedPredictor, Folds, Numbers
from transferkit._validation import (
    HasMethods,
    Interval,
    check_candidates,
    check_is_fitted,
    check_sample_weight,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_features,
    validate_rows,
)
from transferkit.exceptions import count_inner_frames
from transferkit.heads.linear._prior import match_prior

__all__ = ["RidgeHead"]

MAX_STEPS = 2000  # of conjugate gradients
MOST_OFFSET = 1e3  # contribution of means to scores, relative to the spread of targets, up to which float32 suffices


class RidgeHead(KeepsSourceMixin, MultiOutputMixin, RegressorMixin, VersionedEstimator):
    """Linear regression with an L2 penalty, from zero or from a source model.

    The objective is that of :class:`~sklearn.linear_model.Ridge`,

        sum_i sample_weight_i * ||y_i - coef_ @ x_i - intercept_||^2  +  alpha * ||coef_ - prior||^2,

    where `prior` is zero, or the weights of a source model (L2-SP): then this is linear fine-tuning from pretrained
    weights. The intercept is not penalised.

    Parameters
    ----------
    alpha : float, default=1.0
        Regularisation strength, larger than 0. Ignored if `alphas` is given.
    alphas : array-like of float, default=None
        Candidates for alpha, larger than 0. The one with the smallest mean squared error on held-out rows is selected.
    cv : int, splitter or iterable of (train, test) indices or masks, default=None
        Folds on which `alphas` are compared. None is leave-one-out, an int the number of folds. Held-out errors are
        exact in both cases, and computed from the same decomposition.
    prior : fitted linear model, str or path-like, default=None
        Source model whose `coef_` is the centre of the penalty: any fitted model with `coef_`, or the path of a saved
        one. Features are matched by name if both models saw names, otherwise by position; outputs by position. It is
        never refitted, and `clone` shares it.
    fit_intercept : bool, default=True
        Whether the prediction has an intercept.
    tol : float, default=1e-6
        Relative residual at which conjugate gradients stop. Used only with more than 4000 rows and 4000 features.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        Weights, of the dtype of X; float64 also for float32 features so far from zero that float32 weights would make
        predictions inaccurate.
    intercept_ : float or ndarray of shape (n_outputs,)
        Intercepts, zero with `fit_intercept=False`.
    alpha_ : float
        The regularisation strength in use.
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
    LogisticHead : Logistic regression with a prior.
    sklearn.linear_model.RidgeCV : The same selection of alpha, without a prior.

    Notes
    -----
    One eigendecomposition of the smaller of X.T X and X X.T yields the solution and the leverages for every alpha. The
    leave-one-out error of a row is its residual divided by one minus its leverage [1]_. Columns may lie far from zero
    and differ in scale, such as timestamps and ages: they are centred first, and if the eigenvalues spread too widely,
    X itself is decomposed (QR) for each alpha. The penalty depends on the scale of the features: the weight of a column
    of large numbers is hardly penalised, so scale the features if that is not intended.

    Sparse features are centred implicitly, in products, and made dense only for that QR decomposition. If X has more
    than 3e7 entries, zeros included, a LinAlgWarning about the scales is raised instead. With more than 4000 rows and
    4000 features, a single alpha is solved by conjugate gradients, and `alphas` raises an error. All computations are
    in float64, without torch.

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

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        alphas: Numbers | None = None,
        cv: Folds = None,
        prior: FittedPredictor | FilePath | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-6,
    ) -> None:
        self.alpha = alpha
        self.alphas = alphas
        self.cv = cv
        self.prior = prior
        self.fit_intercept = fit_intercept
        self.tol = tol

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None) -> Self:
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
            Groups of the samples, for splitters that use them.

        Returns
        -------
        self : RidgeHead
            The fitted head.
        """
        with unchanged_on_error(self):
            X, y = validate_features(self, X, y, multi_output=True, y_numeric=True)
            weights = check_sample_weight(to_numpy(sample_weight), X, dtype=np.float64, ensure_non_negative=True)
            alphas = None if self.alphas is None else check_candidates("alphas", self.alphas)
            targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
            prior, coverage = resolve_prior(self, X, targets)
            folds = make_folds(self, X, y, groups)
            if not weights.all():
                X, targets, weights, folds = drop_unweighted(X, targets, weights, folds)
            rows, means = centre_rows(X, weights, self.fit_intercept)
            check_squares(rows)
            centre = weights @ targets / weights.sum() if self.fit_intercept else np.zeros(targets.shape[1])
            goal = rows.roots[:, None] * (targets - centre) - rows.matmul(prior.T)
            coef, alpha, errors = choose_weights(self, rows, goal, alphas, folds)
            coef = np.ascontiguousarray(coef + prior.T).T
            coef = coef.astype(choose_dtype(X, coef, means, targets), copy=False)
            intercept = centre - coef @ means
        self.coef_ = coef[0] if np.ndim(y) == 1 else coef
        self.intercept_ = float(intercept[0]) if np.ndim(y) == 1 else intercept.astype(coef.dtype)
        self.alpha_, self.prior_coverage_ = float(alpha), coverage
        self.loo_errors_, self.cv_errors_ = (errors, None) if folds is None else (None, errors)
        return self

    def predict(self, X) -> np.ndarray:
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


def make_folds(head, X, y, groups):
    """Return the held-out rows of each fold, or None for leave-one-out."""
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
    """Return indices of rows from indices or a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def drop_unweighted(X, targets, weights, folds):
    """Remove rows of weight zero, and renumber the folds accordingly."""
    used = weights > 0
    numbers = np.cumsum(used) - 1
    folds = None if folds is None else [numbers[fold[used[fold]]] for fold in folds]
    return X[used], targets[used], weights[used], folds


def check_squares(rows):
    """Raise ValueError if squares of the centred features overflow float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        largest = rows.column_squares().max(initial=0)
    if not np.isfinite(largest):
        raise ValueError(
            "Features of X are too large: their squares overflow float64 (beyond 1e150). Scale them first."
        )


def choose_dtype(X, coef, means, targets):
    """Return the dtype of the weights: that of X, or float64 if predictions in float32 would be inaccurate.

    Scores are sums of contributions of the means of X and of deviations from these. Relative rounding errors of 1e-7 in
    float32 apply to the former.
    """
    is_far = (np.abs(coef) @ np.abs(means) > MOST_OFFSET * targets.std(axis=0)).any()
    return np.float64 if is_far else X.dtype


def resolve_prior(head, X, targets):
    """Return the weights of the prior (n_outputs, n_features), zeros without one, and its coverage."""
    shape = (targets.shape[1], X.shape[1])
    if head.prior is None:
        return np.zeros(shape), None
    weights, coverage = match_prior(head.prior, None, X.shape[1], getattr(head, "feature_names_in_", None))
    if weights.shape != shape:
        raise ValueError(f"prior has weights for {len(weights)} outputs and y has {shape[0]}.")
    return weights, coverage


def choose_weights(head, rows, targets, alphas, folds):
    """Return the weights (n_features, n_outputs), the selected alpha, and the errors of all candidates."""
    if min(rows.X.shape) > MAX_DECOMPOSED:
        if alphas is not None:
            raise ValueError(
                f"alphas needs a decomposition, and X of shape {rows.X.shape} is too large for one: at most "
                f"{MAX_DECOMPOSED} rows or features. Select alpha with GridSearchCV."
            )
        weights, converged = solve_by_conjugate_gradients(rows, targets, head.alpha, head.tol, MAX_STEPS)
        if not converged:
            warnings.warn(
                f"RidgeHead did not converge in {MAX_STEPS} steps of conjugate gradients. Increase tol or alpha.",
                ConvergenceWarning,
                stacklevel=count_inner_frames(),
            )
        return weights, head.alpha, None
    least_alpha = head.alpha if alphas is None else alphas.min()
    ridge = decompose(rows, targets, least_alpha, head.fit_intercept)
    if alphas is None:
        return ridge.weights(head.alpha), head.alpha, None
    errors = ridge.leave_one_out_errors(alphas) if folds is None else ridge.held_out_errors(alphas, folds)
    best = alphas[errors.argmin()]
    return ridge.weights(best), best, errors
