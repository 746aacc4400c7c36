"""Density ratios between domains: odds of a logistic regression, kernel mean matching and KLIEP."""

from collections.abc import Callable

import numpy as np
from scipy import linalg, optimize, special

from transferkit._algorithms.linalg.threads import MOST_ROWS, run_both, run_pairs

__all__ = ["effective_sample_size", "entry_variance", "fit_kliep", "fit_kmm", "fit_odds", "mean_kernel", "rbf_kernel"]

_BLOCK_ROWS = 512  # whose part of the kernel matrix fits in the cache
_LEAST_DENSITY = 1e-300
_ROUNDING = 1e-4  # added to the relative diagonal of float32 products, so that they are positive definite
_SCALE = 1e6  # L-BFGS-B tests absolute changes of objectives below one
_LEAST_RATE = 1e-6  # step size at which a line search ends
_ROWS_PER_FEATURE = 4  # to estimate a Hessian that serves as preconditioner


def effective_sample_size(weights: np.ndarray) -> float:
    """Return (sum w)^2 / sum w^2, the number of equally weighted rows with the same variance of the mean [1]_.

    References
    ----------
    .. [1] L. Kish, "Survey Sampling", Wiley (1965).
    """
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def rbf_kernel(rows: np.ndarray, centres: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(-gamma ||x - c||^2) for all pairs, (n_rows, n_centres)."""
    kernel = np.empty((len(rows), len(centres)), rows.dtype)

    def fill(part: slice, block: np.ndarray) -> None:
        kernel[part] = block

    _make_kernel(rows, centres, gamma, fill)
    return kernel


def mean_kernel(rows: np.ndarray, centres: np.ndarray, gamma: float) -> np.ndarray:
    """Return the mean over all centres c of exp(-gamma ||x - c||^2), (n_rows,)."""
    means = np.empty(len(rows))

    def fill(part: slice, block: np.ndarray) -> None:
        means[part] = block.mean(1, dtype=np.float64)

    _make_kernel(rows, centres, gamma, fill)
    return means


def entry_variance(parts: tuple[np.ndarray, ...]) -> float:
    """Return the variance of all entries of arrays."""
    size = sum(part.size for part in parts)
    mean = sum(float(part.sum(dtype=np.float64)) for part in parts) / size
    total = 0.0
    for part in parts:
        for begin in range(0, len(part), _BLOCK_ROWS):
            block = part[begin : begin + _BLOCK_ROWS] - part.dtype.type(mean)
            total += float(np.einsum("ij,ij->i", block, block).sum(dtype=np.float64))
    return total / size


def fit_odds(
    source: np.ndarray, target: np.ndarray, C: float, *, tol: float, max_iter: int
) -> tuple[np.ndarray, float, bool]:
    """Return weights (n_features,), intercept and convergence of a logistic regression that distinguishes two domains.

    The objective is sum_i log(1 + exp(-s_i (x_i' w + b))) + ||w||^2 / (2 C), with s = 1 for rows of the target and -1
    for those of the source; the intercept b is not penalised. It is minimised by L-BFGS, until a step reduces it by
    less than the relative amount `tol`, on centred float32 rows, preconditioned by the Cholesky factor of the Hessian
    at the start, which is estimated from a part of the rows.
    """
    n_rows = len(source) + len(target)
    mean = (source.sum(axis=0, dtype=np.float64) + target.sum(axis=0, dtype=np.float64)) / n_rows
    share = len(target) / n_rows
    curvature = share * (1 - share)
    with run_pairs(len(mean)) as run:
        rows = run(_centre, (source, mean), (target, mean))
        step = max(1, n_rows // (_ROWS_PER_FEATURE * len(mean)))
        grams = run(lambda X: X[::step].T @ X[::step], (rows[0],), (rows[1],))
        hessian = (grams[0] + grams[1]).astype(np.float64) * (curvature * step)
        hessian.flat[:: len(mean) + 1] = hessian.diagonal() * (1 + _ROUNDING) + 1 / C
        factor, unit = np.linalg.cholesky(hessian), 1 / np.sqrt(curvature * n_rows)

        def to_weights(point: np.ndarray) -> np.ndarray:
            return np.asarray(linalg.solve_triangular(factor, point[:-1], lower=True, trans="T", check_finite=False))

        def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
            weights = to_weights(point)
            given = weights, point[-1] * unit
            losses, slopes, totals = zip(
                *run(_measure_odds, (rows[0], -1.0, *given), (rows[1], 1.0, *given)), strict=True
            )
            slope = linalg.solve_triangular(factor, sum(slopes, weights / C), lower=True, check_finite=False)
            loss = sum(losses) + float(weights @ weights) / (2 * C)
            return _SCALE * loss, _SCALE * np.append(slope, unit * sum(totals))

        start = np.append(np.zeros(len(mean)), np.log(share / (1 - share)) / unit)
        options = {"maxiter": max_iter, "ftol": tol, "gtol": 0.0}
        found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        weights = to_weights(found.x)
    return weights, float(found.x[-1] * unit - mean @ weights), bool(found.success)


def _centre(X: np.ndarray, mean: np.ndarray) -> np.ndarray:
    centred = np.empty(X.shape, np.float32)
    np.subtract(X, mean.astype(X.dtype), out=centred, casting="same_kind")
    return centred


def _measure_odds(
    rows: np.ndarray, sign: float, weights: np.ndarray, intercept: float
) -> tuple[float, np.ndarray, float]:
    """Return the loss of rows of one domain, and its gradient over weights and intercept."""
    loss, slope, total, rounded = 0.0, np.zeros(len(weights)), 0.0, weights.astype(np.float32)
    for begin in range(0, len(rows), _BLOCK_ROWS):  # the block is read twice, the second time from the cache
        block = rows[begin : begin + _BLOCK_ROWS]
        margins = sign * ((block @ rounded).astype(np.float64) + intercept)
        residuals = -sign * special.expit(-margins)
        loss += float(np.logaddexp(0, -margins).sum())
        slope += residuals.astype(np.float32) @ block
        total += float(residuals.sum())
    return loss, slope, total


def fit_kmm(
    kernel: np.ndarray, kappa: np.ndarray, *, bound: float, slack: float, tol: float, max_iter: int
) -> tuple[np.ndarray, bool]:
    """Return the weights of kernel mean matching [1]_ (n_source,), and whether they converged.

    They minimise w' K w / 2 - kappa' w subject to 0 <= w <= bound and |mean(w) - 1| <= slack, so that the weighted mean
    of the source rows in feature space is close to the mean of the target rows.

    K (n_source, n_source) is the kernel matrix of the source rows, kappa (n_source,) is n_source times the mean of the
    kernel between each source row and all target rows. The method is projected gradient descent with Nesterov's
    momentum and adaptive restarts [2]_, until a step changes the weights by less than `tol`, relative to their length.

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
    """Return the coefficients of KLIEP [1]_ (n_centres,), and whether they converged.

    The weight of a row is w(x) = sum_k a_k k(x, c_k). The coefficients maximise the mean of log w(x) over target rows,
    subject to a >= 0 and a mean weight of 1 over source rows.

    `target_kernel` (n_target, n_centres) holds k(x_j, c_k) of the target rows, `source_means` (n_centres,) the means of
    k(x_i, c_k) over the source rows. Steps end when the duality gap of the mean log weight is below `tol`.

    With p_k = a_k source_means_k, this is the maximum-likelihood problem of a mixture of known densities
    k(x, c_k) / source_means_k. The optimum of mean(log w) - sum(p) satisfies the constraint sum(p) = 1, so that only
    p >= 0 remains. Each step minimises the quadratic model of this objective by non-negative least squares (sequential
    quadratic programming [2]_). The problem is concave, and the gap to its optimum is at most max_k g_k - 1, with g the
    gradient with respect to p on the simplex.

    References
    ----------
    .. [1] M. Sugiyama, S. Nakajima, H. Kashima, P. von Bünau, M. Kawanabe, "Direct importance estimation with model
       selection and its application to covariate shift adaptation", NIPS (2007).
    .. [2] Y. Kim, P. Carbonetto, M. Stephens, M. Anitescu, "A fast algorithm for maximum likelihood estimation of
       mixture proportions using sequential quadratic programming", Journal of Computational and Graphical Statistics
       29 (2020), 261-273.
    """
    reached = source_means > np.finfo(source_means.dtype).tiny
    densities = target_kernel[:, reached].astype(np.float64) / source_means[reached]
    shares = np.full(densities.shape[1], 1 / max(densities.shape[1], 1))
    mixture = np.maximum(densities @ shares, _LEAST_DENSITY)
    for _ in range(max_iter):
        gradient = _mixture_gradient(densities, mixture)
        if gradient.max() - 1 <= tol:
            break
        wanted = _minimise_model(densities / mixture[:, None], gradient)
        shares = _search_between(densities, shares, wanted)
        mixture = np.maximum(densities @ shares, _LEAST_DENSITY)
    converged = bool(_mixture_gradient(densities, mixture).max() - 1 <= 10 * tol)
    coefficients = np.zeros(len(source_means))
    coefficients[reached] = shares / source_means[reached]
    return coefficients, converged


def _make_kernel(rows: np.ndarray, centres: np.ndarray, gamma: float, use: Callable[[slice, np.ndarray], None]) -> None:
    """Compute the kernel matrix in blocks of rows, and call `use` with each while it is in the cache.

    The mean of the centres is subtracted first, because distances between rows near the origin have the smallest
    rounding errors.
    """
    middle = centres.mean(axis=0, dtype=np.float64).astype(centres.dtype)
    centres = centres - middle
    lengths = gamma * np.einsum("ij,ij->i", centres, centres)

    def make(begin: int, end: int) -> None:
        for first in range(begin, end, _BLOCK_ROWS):
            part = slice(first, min(first + _BLOCK_ROWS, end))
            moved = rows[part] - middle
            block = moved @ centres.T
            block *= 2 * gamma
            block -= (gamma * np.einsum("ij,ij->i", moved, moved))[:, None]
            block -= lengths
            np.minimum(block, 0, out=block)
            use(part, np.exp(block, out=block))

    half = len(rows) // 2
    run_both(min(half, MOST_ROWS), make, (0, half), (half, len(rows)))


def _mixture_gradient(densities: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean log density of a mixture with respect to its proportions."""
    return np.asarray((1 / mixture) @ densities / len(densities))


def _minimise_model(ratios: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the x >= 0 that minimises x' H x / 2 - (2 g - 1)' x, with the Hessian H of the mean log density."""
    hessian = ratios.T @ ratios / len(ratios)
    hessian.flat[:: len(hessian) + 1] += 1e-10 * np.trace(hessian)  # for nearly identical densities
    factor = np.linalg.cholesky(hessian).T
    right = linalg.solve_triangular(factor, 2 * gradient - 1, trans="T", check_finite=False)
    return np.asarray(optimize.nnls(factor, right, maxiter=30 * len(right))[0])


def _search_between(densities: np.ndarray, shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the first point of a backtracking line search that increases the mean log density, with sum 1."""

    def measure(point: np.ndarray) -> float:
        return float(np.log(np.maximum(densities @ point, _LEAST_DENSITY)).mean() - point.sum())

    rate, before = 1.0, measure(shares)
    while rate > _LEAST_RATE:
        point = shares + rate * (wanted - shares)
        if measure(point) > before:
            return point / point.sum()
        rate /= 2
    return shares


def _largest_eigenvalue(kernel: np.ndarray, n_steps: int = 20) -> float:
    """Return an upper bound close to the largest eigenvalue of a matrix with non-negative entries."""
    vector = np.ones(len(kernel), kernel.dtype)
    value = 1.0
    for _ in range(n_steps):
        image = kernel @ vector
        value = float((image / vector).max())  # the bound of Collatz and Wielandt
        vector = np.maximum(image / np.linalg.norm(image), np.finfo(kernel.dtype).tiny)
    return value


def _project(weights: np.ndarray, bound: float, least: float, most: float) -> np.ndarray:
    """Return the Euclidean projection onto weights in [0, bound] whose sum is in [least, most]."""
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
