"""Compression of fitted heads by pruning and quantisation, optionally within a budget of bytes, with a report."""

from copy import copy
from itertools import product
from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from transferkit._algorithms.networks.compression import (
    METHODS,
    choose_zeros,
    count_bytes,
    dequantise,
    dequantise_layers,
    quantise_array,
    store_small,
)
from transferkit._validation import check_is_fitted
from transferkit.heads import LogisticHead, LogisticHeadCV, MLPHeadClassifier, MLPHeadRegressor, RidgeHead

__all__ = ["prune", "quantise"]

SCOPES = ("global", "layer")
DTYPES = ("float16", "int8")
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
N_BISECTIONS = 11
NEARLY_ALL = 1 - 1e-9  # share of the weights


def prune(
    head: BaseEstimator,
    amount: float | None = None,
    *,
    method: Literal["magnitude", "random", "min", "max", "threshold"] = "magnitude",
    scope: Literal["global", "layer"] = "global",
    budget: int | str | None = None,
    X=None,
    y=None,
    random_state: int | np.random.RandomState | None = None,
) -> MLPHeadClassifier | MLPHeadRegressor:
    """Return a copy of a head with part of its weights set to zero.

    Without data the other weights do not change. A network that loses 80 % of its weights then usually loses several
    percentage points of accuracy, sometimes more than ten, and far more if features are far from zero. With the
    training data the remaining weights are trained again, which recovers most of the loss.

    Parameters
    ----------
    head : fitted head
        A network head, or a linear one (LogisticHead, LogisticHeadCV, RidgeHead), which is converted to the network
        head of one layer with the same predictions. It is not changed.
    amount : float, default=None
        Share of the weights to prune, in [0, 1); with ``method="threshold"`` the magnitude below which weights are
        pruned. Give either this or `budget`.
    method : {"magnitude", "random", "min", "max", "threshold"}, default="magnitude"
        Weights to prune first: smallest magnitude, random, most negative, largest, or all below a magnitude.
    scope : {"global", "layer"}, default="global"
        Whether `amount` is the share of all weights together or of each layer. Intercepts are kept.
    budget : int or str, default=None
        Largest size of the copy's weights in bytes, such as 200_000, "200 KB" or "1 MiB". Among the shares, scopes and
        types of numbers (unchanged, float16 if in range, int8) that fit, the one with the best score on X and y is
        taken.
    X, y : array-like, default=None
        With `amount`, data to train the remaining weights on, preferably the training data of the head: a network is
        trained with its own solver and regularisation, for 20 epochs and at least 500 steps, a linear head to its
        optimum over these weights. Of the trained and the untrained copy, the one with the better score on these data
        is returned. With `budget`, data to select by, preferably not the training data; weights are not trained. Head
        and copy are scored on them.
    random_state : int, RandomState instance or None, default=None
        Seed of ``method="random"`` and of training; that of the head if None.

    Returns
    -------
    pruned : MLPHeadClassifier or MLPHeadRegressor
        The copy; weights are stored as sparse arrays if that takes fewer bytes. Its `compression_` is a dict with
        "n_bytes" and "n_bytes_before" (of weights and intercepts), "sparsity" (the share of zeros), "dtype" (None if
        unchanged), "scope", "amount", and, if X and y are given, "score" and "score_before".

    Raises
    ------
    ValueError
        If the head is not a fitted head of transferkit, or nothing fits into the budget.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from transferkit import MLPHeadClassifier
    >>> from transferkit.compression import prune
    >>> X, y = load_digits(return_X_y=True)
    >>> head = MLPHeadClassifier(random_state=0).fit(X / 16, y)
    >>> report = prune(head, budget="9 KB", X=X / 16, y=y).compression_
    >>> report["n_bytes_before"], report["n_bytes"] <= 9000
    (60080, True)
    >>> report["score"] > report["score_before"] - 0.05
    True
    >>> pruned, refitted = prune(head, 0.9), prune(head, 0.9, X=X / 16, y=y)
    >>> refitted.compression_["score"] > pruned.score(X / 16, y) + 0.1
    True
    """
    _check_choice("method", method, METHODS)
    _check_choice("scope", scope, SCOPES)
    network = _to_mlp_head(head)
    if random_state is None:
        random_state = network.random_state
    if (amount is None) == (budget is None):
        raise ValueError("Give either amount, the share of weights to prune, or budget, the largest size in bytes.")
    if (X is None) != (y is None) or (budget is not None and X is None):
        raise ValueError("X and y go together, and a budget needs them, to select by score.")
    if budget is not None:
        return _fit_into(head, network, parse_bytes(budget), method, X, y, random_state)
    highest = np.inf if method == "threshold" else 1
    if not isinstance(amount, Real) or isinstance(amount, bool) or not 0 <= amount < highest:
        raise ValueError(f"amount must be a number in [0, {highest}) with method={method!r}. Got {amount!r} instead.")
    pruned = _remove(network, amount, method, scope, random_state)
    if X is not None:
        pruned = _refit(head, pruned, X, y, random_state)
    return _report(pruned, _describe_before(head, network, X, y), None, amount, scope, X, y)


def quantise(
    head: BaseEstimator, dtype: Literal["float16", "int8"] = "float16", *, X=None, y=None
) -> MLPHeadClassifier | MLPHeadRegressor:
    """Return a copy of a head with weights of lower precision.

    Parameters
    ----------
    head : fitted head
        As for :func:`prune`; may be pruned. It is not changed.
    dtype : {"float16", "int8"}, default="float16"
        Half precision (sparse weights are rounded to it but stored as float32, because SciPy has no float16), or 255
        levels between minus and plus the largest magnitude of each unit, with one scale per unit. Predictions are
        computed in the type of the features.
    X, y : array-like, default=None
        Data to score head and copy on.

    Returns
    -------
    quantised : MLPHeadClassifier or MLPHeadRegressor
        The copy, with `compression_` as after :func:`prune`.

    Raises
    ------
    ValueError
        If the head is not a fitted head of transferkit, or its weights are too large or too small for float16.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from transferkit import MLPHeadClassifier
    >>> from transferkit.compression import quantise
    >>> X, y = load_digits(return_X_y=True)
    >>> head = MLPHeadClassifier(random_state=0).fit(X / 16, y)
    >>> small = quantise(head, "int8", X=X / 16, y=y)
    >>> small.coefs_[0].dtype, small.compression_["n_bytes"]
    (dtype('int8'), 8280)
    """
    _check_choice("dtype", dtype, DTYPES)
    if (X is None) != (y is None):
        raise ValueError("X and y go together: give both or neither.")
    network = _to_mlp_head(head)
    return _report(_quantise(network, dtype), _describe_before(head, network, X, y), dtype, None, None, X, y)


def parse_bytes(budget):
    """Return a number of bytes given as an int or as a string such as "200 KB"."""
    if isinstance(budget, Integral) and not isinstance(budget, bool) and budget > 0:
        return int(budget)
    if isinstance(budget, str):
        number = budget.rstrip("BbGgIiKkMm ").strip()
        unit = budget.strip()[len(number) :].strip().upper()
        if unit in UNITS and number.replace(".", "", 1).isdigit():
            return int(float(number) * UNITS[unit])
    raise ValueError(f"budget must be a number of bytes such as 200_000, '200 KB' or '1 MiB'. Got {budget!r} instead.")


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Got {value!r} instead.")


def _to_mlp_head(head):
    """Return a network head with dense weights and the same predictions; the head itself is not changed."""
    if isinstance(head, (MLPHeadClassifier, MLPHeadRegressor)):
        check_is_fitted(head, "coefs_")
        network = copy(head)
        network.coefs_ = dequantise_layers(head.coefs_, head.scales_)
    elif isinstance(head, (LogisticHead, LogisticHeadCV, RidgeHead)):
        check_is_fitted(head, "coef_")
        classifies = hasattr(head, "classes_")
        network = (MLPHeadClassifier if classifies else MLPHeadRegressor)(())
        kept = ("classes_", "multilabel_", "n_features_in_", "feature_names_in_")
        vars(network).update({name: value for name, value in vars(head).items() if name in kept})
        coef = np.atleast_2d(head.coef_)
        network.coefs_ = [np.ascontiguousarray(coef.T)]
        network.intercepts_ = [np.array(np.broadcast_to(head.intercept_, len(coef)), dtype=coef.dtype)]
        network.n_iter_, network.history_, network.validation_scores_ = 0, {"loss": []}, None
    else:
        raise ValueError(f"prune and quantise need a fitted head of transferkit. Got {head!r} instead.")
    network.scales_, network.batch_norms_, network.optimiser_state_ = None, None, None
    return network


def _describe_before(head, network, X, y):
    """Return the entries of a report on the head that is compressed, given as a network head with dense weights."""
    before = {"n_bytes_before": int(_measure(head if hasattr(head, "coefs_") else network))}
    return before if X is None else before | {"score_before": float(network.score(X, y))}


def _remove(network, amount, method, scope, random_state):
    zeros = choose_zeros(network.coefs_, amount, method, scope, check_random_state(random_state))
    pruned = copy(network)
    pruned.coefs_ = [
        store_small(np.where(gone, 0, coef).astype(coef.dtype))
        for gone, coef in zip(zeros, network.coefs_, strict=True)
    ]
    return pruned


def _refit(head, pruned, X, y, random_state):
    """Return the head with its remaining weights trained on X and y, or as it is if that scores better on them."""
    penalty = None
    if not isinstance(head, (MLPHeadClassifier, MLPHeadRegressor)):
        penalty = head.alpha_ if hasattr(head, "alpha_") else 1 / (head.C_ if hasattr(head, "C_") else head.C)
    dense = copy(pruned)
    dense.coefs_ = [dequantise(coef) for coef in pruned.coefs_]
    has_prior = penalty is not None and getattr(head, "prior", None) is not None
    refitted = dense.refit_nonzero(X, y, random_state=random_state, penalty=penalty, keep_near=has_prior)
    refitted.coefs_ = [store_small(coef) for coef in refitted.coefs_]
    return refitted if refitted.score(X, y) >= pruned.score(X, y) else pruned


def _quantise(network, dtype):
    quantised = copy(network)
    coefs = [dequantise(coef) for coef in network.coefs_]
    if dtype == "float16" and (problem := _find_float16_problem(coefs)):
        raise ValueError(f"{problem} Choose 'int8', which has a scale for each unit.")
    pairs = [quantise_array(coef, dtype) for coef in coefs]
    quantised.coefs_ = [store_small(array) for array, _ in pairs]
    quantised.scales_ = [scale for _, scale in pairs] if dtype == "int8" else None
    quantised.intercepts_ = [intercept.astype(np.float32) for intercept in network.intercepts_]
    return quantised


def _find_float16_problem(coefs):
    """Return why weights cannot be stored as float16, or None.

    Tiny weights of one hidden unit among others mean that training has switched it off, so they may be lost; tiny
    weights of an output mean that features are large.
    """
    largest = [np.abs(coef).max(axis=0, initial=0) for coef in coefs]
    largest = np.concatenate([*([of_layer.max()] for of_layer in largest[:-1]), largest[-1]])
    limits = np.finfo(np.float16)
    if largest.max() > limits.max:
        return f"Weights above {limits.max:.0f} cannot be stored as float16."
    if ((largest > 0) & (largest < limits.tiny)).any():
        return f"Weights below {limits.tiny:.1e} lose digits as float16 or become zero, and a unit has no larger ones."
    return None


def _measure(network):
    return count_bytes([*network.coefs_, *network.intercepts_, *(network.scales_ or [])])


def _report(compressed, before, dtype, amount, scope, X, y):
    """Set and return the copy's report, given that on the head before."""
    n_weights = sum(np.prod(coef.shape) for coef in compressed.coefs_)
    n_left = sum(coef.nnz if hasattr(coef, "nnz") else np.count_nonzero(coef) for coef in compressed.coefs_)
    compressed.compression_ = {
        "n_bytes": int(_measure(compressed)),
        "sparsity": float(1 - n_left / n_weights),
        "dtype": dtype,
        "scope": scope,
        "amount": amount,
    } | before
    if X is not None:
        compressed.compression_["score"] = float(compressed.score(X, y))
    return compressed


def _fit_into(head, network, n_bytes, method, X, y, random_state):
    """Return the candidate with the best score: for each type and scope the one with most weights that fits."""
    if method == "threshold":
        raise ValueError("A budget needs a method that prunes a share of the weights: method='threshold' does not.")
    # one seed for all shares, so that a larger share prunes the same weights and more
    seed = check_random_state(random_state).randint(2**31 - 1)
    before, found, smallest = _describe_before(head, network, X, y), [], np.inf
    dtypes = [None, "int8"] if _find_float16_problem(network.coefs_) else [None, *DTYPES]
    for dtype, scope in product(dtypes, SCOPES):

        def compress(amount, dtype=dtype, scope=scope):
            pruned = _remove(network, amount, method, scope, seed)
            return pruned if dtype is None else _quantise(pruned, dtype)

        amount, candidate = 0.0, compress(0.0)
        if _measure(candidate) > n_bytes:
            amount, candidate = NEARLY_ALL, compress(NEARLY_ALL)
            smallest = min(smallest, _measure(candidate))
            if _measure(candidate) > n_bytes:
                continue
            amount, candidate = _remove_least(compress, candidate, n_bytes)
        found.append(_report(candidate, before, dtype, amount, scope, X, y))
    if not found:
        raise ValueError(f"Nothing fits into {n_bytes} bytes: even without any weight the head takes {smallest:.0f}.")
    return max(found, key=lambda candidate: (candidate.compression_["score"], -candidate.compression_["n_bytes"]))


def _remove_least(compress, bare, n_bytes):
    """Return the smallest share to prune with which a copy fits, by bisection, and that copy."""
    low, high, best = 0.0, NEARLY_ALL, bare
    for _ in range(N_BISECTIONS):
        amount = (low + high) / 2
        candidate = compress(amount)
        if _measure(candidate) <= n_bytes:
            high, best = amount, candidate
        else:
            low = amount
    return high, best
