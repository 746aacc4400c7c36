"""Importance weighting of source rows by density ratios."""

import warnings
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from transferkit._algorithms.domains.importance_weights import (
    entry_variance,
    fit_kliep,
    fit_kmm,
    fit_odds,
    mean_kernel,
    rbf_kernel,
)
from transferkit._algorithms.linalg.threads import one_blas_thread
from transferkit._algorithms.linear.predictions import compute_scores
from transferkit._types import Seed
from transferkit._validation import Interval, StrOptions, check_is_fitted
from transferkit.adaptation._source_weighting import SourceWeighting
from transferkit.adaptation.domains import stack_rows
from transferkit.exceptions import count_inner_frames

__all__ = ["ImportanceWeighting"]

ODDS_TOL = 1e-5  # of the objective
MOST_SQUARED = 2_500  # features; with more, no matrix of all pairs is formed
_MOST_LOG_RATIO = 30.0
_ATTRIBUTES = {  # of each method
    "logistic": ("coef_", "intercept_"),
    "kliep": ("centres_", "coefficients_", "gamma_"),
    "kmm": ("gamma_",),
}
_OF_SOME_METHODS = sorted(set().union(*_ATTRIBUTES.values()))


class ImportanceWeighting(SourceWeighting):
    """Weight source rows by the ratio of the target density to the source density.

    Rows are passed through unchanged. `fit` estimates weights w(x) = p_target(x) / p_source(x), to be used as the
    `sample_weight` of any head. Under covariate shift, where the labels given the features have the same distribution
    in both domains, a head trained with these weights minimises its expected loss in the target [1]_.

    Parameters
    ----------
    method : {"logistic", "kliep", "kmm"}, default="logistic"
        "logistic" trains a logistic regression that distinguishes the domains, and uses its odds. "kliep" fits a sum of
        Gaussian kernels centred at target rows, by maximum likelihood of the target [2]_. "kmm" (kernel mean matching)
        finds one weight per source row such that the domain means agree in the feature space of a Gaussian kernel [3]_.
    C : float, default=1.0
        "logistic": inverse regularisation strength.
    gamma : float or None, default=None
        "kliep" and "kmm": coefficient of the kernel exp(-gamma ||x - z||^2). None is
        1 / (n_features * variance of all entries).
    n_centres : int, default=100
        "kliep": number of target rows used as centres of the kernels, drawn at random if there are more.
    bound : float, default=1000.0
        "kmm": largest weight, before weights are scaled to mean 1.
    slack : float or None, default=None
        "kmm": maximum deviation of the mean weight from 1. None is (sqrt(n) - 1) / sqrt(n) for n source rows.
    tol : float, default=1e-6
        Tolerance at which iteration stops. "kliep": distance of the mean log weight from its optimum. "kmm": relative
        change of the weights in a step. "logistic" ignores it: it stops when a step reduces the loss by less than
        1e-5 of its value, and for sparse rows, and if that fails, by the criterion of :class:`LogisticHead`.
    max_iter : int, default=1000
        Maximum number of steps; a ConvergenceWarning is raised if they do not suffice.
    random_state : int, RandomState instance or None, default=0
        "kliep": draws the centres.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
        Weight of each row of `fit`, in its order: mean 1 over source rows, 0 for target rows.
    effective_sample_size_ : float
        Kish's effective sample size (sum w)^2 / sum w^2 of the source rows.
    coef_ : ndarray of shape (1, n_features)
        "logistic": coefficients of the classifier; positive ones indicate the target.
    intercept_ : ndarray of shape (1,)
        "logistic": its intercept, corrected for the numbers of rows, so that exp(decision) is the weight.
    centres_ : ndarray of shape (n_centres, n_features)
        "kliep": centres of the Gaussian kernels.
    coefficients_ : ndarray of shape (n_centres,)
        "kliep": coefficients of the kernels.
    gamma_ : float
        "kliep" and "kmm": coefficient of the kernel in use.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    domain_gap : Test whether there is a shift.
    DomainTransferClassifier : Trains a head with these weights.

    Notes
    -----
    `fit` warns if the effective sample size is below 5 % of the source rows: the weights are then dominated by a few
    rows.

    "logistic" accepts sparse rows; the Gaussian kernels of the other two need dense ones. For dense rows, the
    classifier of "logistic" and the kernels of "kmm" are computed in float32.

    "kmm" with ``gamma=1 / n_features`` agrees with skada's KMMReweightAdapter at its defaults, to the tolerance of its
    solver; skada does not scale the weights to mean 1. KLIEPReweightAdapter of skada 0.6 takes steps of the size of the
    rounding error, so that its coefficients stay within a few percent of their equal initial values; "kliep" reaches
    the optimum. The weights of skada's DiscriminatorReweightAdapter are the reciprocals of those of "logistic".

    References
    ----------
    .. [1] H. Shimodaira, "Improving predictive inference under covariate shift by weighting the log-likelihood
       function", Journal of Statistical Planning and Inference 90 (2000), 227-244.
    .. [2] M. Sugiyama, S. Nakajima, H. Kashima, P. von Bünau, M. Kawanabe, "Direct importance estimation with model
       selection and its application to covariate shift adaptation", NIPS (2007).
    .. [3] J. Huang, A. Gretton, K. Borgwardt, B. Schölkopf, A. J. Smola, "Correcting sample selection bias by unlabeled
       data", NIPS (2006).

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import ImportanceWeighting
    >>> X, sample_domain = np.array([[0.0], [1.0], [2.0], [2.0], [3.0]]), [1, 1, 1, -1, -1]
    >>> weights = ImportanceWeighting().fit(X, sample_domain=sample_domain).sample_weight_
    >>> bool(weights[0] < weights[1] < weights[2])
    True
    """

    fitted_attributes = tuple(_OF_SOME_METHODS)
    _advice = (
        "The domains hardly overlap, so weighting is unreliable. Use stronger regularisation (a smaller C), fewer "
        "features, or another adaptation."
    )

    _parameter_constraints: dict = {
        "method": [StrOptions({"logistic", "kliep", "kmm"})],
        "C": [Interval(Real, 0, None, closed="neither")],
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "n_centres": [Interval(Integral, 1, None, closed="left")],
        "bound": [Interval(Real, 1, None, closed="left")],
        "slack": [Interval(Real, 0, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        method: Literal["logistic", "kliep", "kmm"] = "logistic",
        *,
        C: float = 1.0,
        gamma: float | None = None,
        n_centres: int = 100,
        bound: float = 1000.0,
        slack: float | None = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        random_state: Seed = 0,
    ) -> None:
        self.method = method
        self.C = C
        self.gamma = gamma
        self.n_centres = n_centres
        self.bound = bound
        self.slack = slack
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y=None, *, sample_domain: ArrayLike | None = None) -> Self:
        """Estimate the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the source and of the target domain, in any order.
        y : ignored
            Here for scikit-learn's API.
        sample_domain : array-like of shape (n_samples,)
            Domain of each row: larger than 0 for the source, less than 0 for the target.

        Returns
        -------
        self : ImportanceWeighting
            The fitted estimator.
        """
        super().fit(X, sample_domain=sample_domain)
        for name in _OF_SOME_METHODS:  # of an earlier fit
            if name in vars(self) and name not in _ATTRIBUTES[self.method]:
                delattr(self, name)
        return self

    def compute_weights(self, X):
        """Return the weights of any source rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Source rows.

        Returns
        -------
        weights : ndarray of shape (n_samples,)
            Weights with mean 1 over the source rows of `fit`.

        Raises
        ------
        ValueError
            If ``method="kmm"``, which only defines weights for the rows of `fit`.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if self.method == "kmm":
            raise ValueError(
                "method='kmm' defines weights for the source rows of fit only (sample_weight_). For other rows use "
                "method='logistic' or 'kliep'."
            )
        return self._compute_weights(X, {name: getattr(self, name) for name in _ATTRIBUTES[self.method]})

    def _learn(self, source, target, y):
        if self.method != "logistic" and sparse.issparse(source):
            raise TypeError(
                f"ImportanceWeighting with method={self.method!r} needs dense rows, because Gaussian kernels of "
                "sparse rows are dense. Use method='logistic', or compute dense features first (LSAEncoder, "
                "TruncatedSVD)."
            )
        learn = {"logistic": _learn_logistic, "kliep": _learn_kliep, "kmm": _learn_kmm}[self.method]
        attributes, weights = learn(self, source, target)
        if weights is None:
            weights = self._compute_weights(source, attributes)
        return attributes | {"sample_weight_": weights}

    def _compute_weights(self, X, attributes):
        if self.method == "logistic":
            scores = compute_scores(X, attributes["coef_"], attributes["intercept_"])[:, 0].astype(np.float64)
            return np.exp(np.clip(scores, -_MOST_LOG_RATIO, _MOST_LOG_RATIO))
        kernel = rbf_kernel(X, attributes["centres_"].astype(X.dtype), attributes["gamma_"])
        return np.asarray(kernel @ attributes["coefficients_"], np.float64)


def _learn_logistic(estimator, source, target):
    coef, intercept, converged = _fit_odds(estimator, source, target)
    if not converged:
        _warn_not_converged(estimator)
    intercept = intercept + source.dtype.type(np.log(source.shape[0] / target.shape[0]))
    scores = compute_scores(source, coef, intercept)[:, 0].astype(np.float64)
    largest = scores.max()
    mean = largest + np.log(np.exp(scores - largest).mean())  # logarithm of the mean weight
    return {"coef_": coef, "intercept_": intercept - source.dtype.type(mean)}, None


def _fit_odds(estimator, source, target):
    """Return the weights (1, n_features) and intercept (1,) of the classifier of domains, and whether it converged."""
    if not sparse.issparse(source) and source.shape[1] <= MOST_SQUARED:
        coef, intercept, converged = fit_odds(source, target, estimator.C, tol=ODDS_TOL, max_iter=estimator.max_iter)
        if converged:
            return coef[None].astype(source.dtype), np.array([intercept], source.dtype), True
    from transferkit._training.linear.logistic import train_linear_classifier

    rows = stack_rows(source, target)
    is_target = np.repeat([0, 1], [source.shape[0], target.shape[0]])
    weights = np.ones((len(is_target), 1), rows.dtype)
    settings = {"n_outputs": 1, "max_iter": estimator.max_iter}
    model = train_linear_classifier(rows, is_target, weights, estimator.C, **settings)
    return model.coef, model.intercept, model.converged


def _learn_kliep(estimator, source, target):
    gamma = _resolve_gamma(estimator, source, target)
    centres = target
    if len(target) > estimator.n_centres:
        random = check_random_state(estimator.random_state)
        centres = target[np.sort(random.choice(len(target), estimator.n_centres, replace=False))]
    source_means = rbf_kernel(source, centres, gamma).mean(0, dtype=np.float64)
    if not (source_means > np.finfo(np.float32).tiny).any():
        raise ValueError(
            f"No source row is near a centre for gamma={gamma}: all weights would be infinite. Use a smaller gamma."
        )
    kernel = rbf_kernel(target, centres, gamma)
    with one_blas_thread():
        coefficients, converged = fit_kliep(kernel, source_means, tol=estimator.tol, max_iter=estimator.max_iter)
    if not converged:
        _warn_not_converged(estimator)
    return {"centres_": np.array(centres), "coefficients_": coefficients, "gamma_": gamma}, None


def _learn_kmm(estimator, source, target):
    gamma, n_rows = _resolve_gamma(estimator, source, target), len(source)
    middle = source.mean(axis=0)  # distances between rows near the origin have the smallest rounding errors
    source, target = ((X - middle).astype(np.float32) for X in (source, target))
    kappa = mean_kernel(source, target, gamma) * n_rows
    slack = (np.sqrt(n_rows) - 1) / np.sqrt(n_rows) if estimator.slack is None else estimator.slack
    settings = {"bound": estimator.bound, "slack": slack, "tol": estimator.tol, "max_iter": estimator.max_iter}
    weights, converged = fit_kmm(rbf_kernel(source, source, gamma), kappa, **settings)
    if not converged:
        _warn_not_converged(estimator)
    if not weights.sum() > 0:
        raise ValueError(f"All weights are zero for gamma={gamma}: the domains are too far apart. Use a smaller gamma.")
    return {"gamma_": gamma}, weights / weights.mean()


def _resolve_gamma(estimator, source, target):
    if estimator.gamma is not None:
        return float(estimator.gamma)
    variance = entry_variance((source, target))
    return 1 / (source.shape[1] * variance) if variance > 0 else 1.0


def _warn_not_converged(estimator):
    warnings.warn(
        f"ImportanceWeighting with method={estimator.method!r} did not converge in max_iter={estimator.max_iter} "
        "steps. Increase max_iter or tol.",
        ConvergenceWarning,
        stacklevel=count_inner_frames(),
    )
