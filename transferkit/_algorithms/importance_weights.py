"""Weights with which the rows of one domain stand for another: kernel mean matching and KLIEP."""

import numpy as np
from scipy import optimize

__all__ = ["effective_sample_size", "fit_kliep", "fit_kmm", "rbf_kernel"]

_N_WARM_STEPS = 20


def effective_sample_size(weights: np.ndarray) -> float:
    """Return (sum w)^2 / sum w^2, the number of equally weighed rows whose mean varies as much [1]_.

    References
    ----------
    .. [1] L. Kish, "Survey Sampling", Wiley (1965).
    """
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def rbf_kernel(rows: np.ndarray, centres: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(-gamma ||x - c||^2) for all pairs, (n_rows, n_centres)."""
    kernel = rows @ centres.T
    kernel *= 2
    kernel -= np.einsum("ij,ij->i", rows, rows)[:, None]
    kernel -= np.einsum("ij,ij->i", centres, centres)
    np.minimum(kernel, 0, out=kernel)
    kernel *= gamma
    return np.exp(kernel, out=kernel)


def fit_kmm(
    kernel: np.ndarray, kappa: np.ndarray, *, bound: float, slack: float, tol: float, max_iter: int
) -> tuple[np.ndarray, bool]:
    """Return the weights of kernel mean matching [1]_ (n_source,), and whether they reached the tolerance.

    They minimise w' K w / 2 - kappa' w with 0 <= w <= bound and |mean(w) - 1| <= slack: the mean of the weighted source
    rows in feature space comes close to that of the target rows.

    Parameters
    ----------
    kernel : array of shape (n_source, n_source)
        K, of the source rows.
    kappa : array of shape (n_source,)
        n_source times the mean kernel between each source row and all target rows.
    bound : float
        Largest weight.
    slack : float
        How far the mean weight may be from 1.
    tol : float
        Ends when a step changes the weights by less than this, relative to their length.
    max_iter : int
        Largest number of steps.

    Notes
    -----
    Projected gradient steps with Nesterov's momentum, which restarts where it leads uphill [2]_.

    References
    ----------
    .. [1] J. Huang, A. Gretton, K. Borgwardt, B. Schölkopf, A. J. Smola, "Correcting sample selection bias by unlabeled
       data", NIPS (2006).
    .. [2] B. O'Donoghue and E. Candès, "Adaptive restart for accelerated gradient schemes", Foundations of
       Computational Mathematics 15 (2015), 715-732.
    """
    n_rows = len(kernel)
    step = 1 / _largest_eigenvalue(kernel)
    sums = n_rows * max(1 - slack, 0.0), n_rows * (1 + slack)
    weights = _project(np.ones(n_rows), bound, *sums)
    point, momentum = weights, 1.0
    kappa = kappa.astype(np.float64)
    for _ in range(max_iter):
        gradient = (kernel @ point.astype(kernel.dtype)).astype(np.float64) - kappa
        after = _project(point - step * gradient, bound, *sums)
        change = after - weights
        if (point - after) @ change > 0:
            momentum = 1.0
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        point = after + (momentum - 1) / faster * change
        weights, momentum = after, faster
        if np.linalg.norm(change) <= tol * np.linalg.norm(weights):
            return weights, True
    return weights, False


def fit_kliep(
    target_kernel: np.ndarray, source_means: np.ndarray, *, tol: float, max_iter: int
) -> tuple[np.ndarray, bool]:
    """Return the coefficients of KLIEP [1]_ (n_centres,), and whether they reached the tolerance.

    The weight of a row is w(x) = sum_k a_k k(x, c_k). The coefficients maximise the mean over target rows of log w(x),
    with a >= 0 and a mean weight of the source rows of 1.

    Parameters
    ----------
    target_kernel : array of shape (n_target, n_centres)
        k(x_j, c_k) of the target rows.
    source_means : array of shape (n_centres,)
        Mean of k(x_i, c_k) over the source rows.
    tol : float
        Ends when the optimum is nearer than this in mean log weight, by the duality gap.
    max_iter : int
        Largest number of steps.

    Notes
    -----
    With p_k = a_k source_means_k this is the likelihood of a mixture of known densities k(x, c_k) / source_means_k.
    Its constraint sum(p) = 1 is met at the optimum of mean(log w) - sum(p), so that only p >= 0 is left for L-BFGS-B,
    which begins where some steps of expectation maximisation end. For this concave problem max_k g_k - 1, with g the
    gradient over p on the simplex, bounds what is still to gain.

    References
    ----------
    .. [1] M. Sugiyama, S. Nakajima, H. Kashima, P. von Bünau, M. Kawanabe, "Direct importance estimation with model
       selection and its application to covariate shift adaptation", NIPS (2007).
    """
    reached = source_means > np.finfo(source_means.dtype).tiny
    densities = target_kernel[:, reached].astype(np.float64) / source_means[reached]
    shares = np.full(densities.shape[1], 1 / max(densities.shape[1], 1))
    for _ in range(_N_WARM_STEPS):
        gradient = _mixture_gradient(densities, shares)
        shares = shares * gradient / (shares @ gradient)

    def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
        mixture = np.maximum(densities @ point, np.finfo(float).tiny)
        return float(point.sum() - np.log(mixture).mean()), 1 - densities.T @ (1 / mixture) / len(densities)

    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": 1e-16, "gtol": tol}
    bounds = [(0, None)] * len(shares)
    shares = optimize.minimize(negative, shares, jac=True, bounds=bounds, method="L-BFGS-B", options=options).x
    shares = shares / shares.sum()
    converged = bool(_mixture_gradient(densities, shares).max() - 1 <= 10 * tol)
    coefficients = np.zeros(len(source_means))
    coefficients[reached] = shares / source_means[reached]
    return coefficients, converged


def _mixture_gradient(densities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean log density of a mixture over its shares."""
    return densities.T @ (1 / np.maximum(densities @ shares, np.finfo(float).tiny)) / len(densities)


def _largest_eigenvalue(kernel: np.ndarray, n_steps: int = 20) -> float:
    """Return a little more than the largest eigenvalue of a matrix without negative entries."""
    vector = np.ones(len(kernel), kernel.dtype)
    value = 1.0
    for _ in range(n_steps):
        image = kernel @ vector
        value = float((image / vector).max())  # Collatz and Wielandt: never too small
        vector = np.maximum(image / np.linalg.norm(image), np.finfo(kernel.dtype).tiny)
    return value


def _project(weights: np.ndarray, bound: float, least: float, most: float) -> np.ndarray:
    """Return the nearest weights from 0 to `bound` whose sum is from `least` to `most`."""
    inside = np.clip(weights, 0, bound)
    total = inside.sum()
    if least <= total <= most:
        return inside
    wanted = least if total < least else most
    low, high = float(weights.min()) - bound, float(weights.max())
    for _ in range(60):
        middle = (low + high) / 2
        if np.clip(weights - middle, 0, bound).sum() > wanted:
            low = middle
        else:
            high = middle
    return np.clip(weights - (low + high) / 2, 0, bound)
