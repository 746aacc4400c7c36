"""Pruned and quantised heads: removed weights, sizes in bytes, and scores."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from transferkit import LogisticHead, LogisticHeadCV, MLPHeadClassifier, MLPHeadRegressor, RidgeHead, load, save
from transferkit.compression import prune, quantise


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return X[:1000], y[:1000], X[1000:], y[1000:]


@pytest.fixture(scope="module")
def head(digits):
    return MLPHeadClassifier((32,), learning_rate_init=0.01, max_iter=60, random_state=0).fit(*digits[:2])


def dense(head):
    scales = head.scales_ or [1] * len(head.coefs_)
    return [
        (coef.toarray() if sp.issparse(coef) else coef).astype(float) * factor
        for coef, factor in zip(head.coefs_, scales, strict=True)
    ]


def flat(head):
    return np.concatenate([coef.ravel() for coef in dense(head)])


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_smallest_weights_go_first(head, scope):
    pruned = prune(head, 0.7, scope=scope)
    gone, before = flat(pruned) == 0, np.abs(flat(head))
    assert abs(gone.mean() - 0.7) < 0.01
    shares = [(coef == 0).mean() for coef in dense(pruned)]
    if scope == "global":
        assert before[gone].max() <= before[~gone].min()
        assert abs(shares[0] - shares[1]) > 0.02
    else:
        np.testing.assert_allclose(shares, 0.7, atol=0.01)
    np.testing.assert_array_equal(flat(pruned)[~gone], flat(head)[~gone])


def test_methods_choose_as_they_say(head):
    weights = flat(head)
    for method, ranks in (("min", weights), ("max", -weights)):
        gone = flat(prune(head, 0.3, method=method)) == 0
        assert ranks[gone].max() <= ranks[~gone].min()
    random = [flat(prune(head, 0.3, method="random", random_state=seed)) == 0 for seed in (0, 0, 1)]
    np.testing.assert_array_equal(random[0], random[1])
    assert (random[0] != random[2]).any()
    of_head = [flat(prune(head, 0.3, method="random")) for _ in range(2)]  # by the head's random_state
    np.testing.assert_array_equal(*of_head)
    assert abs(random[0].mean() - 0.3) < 0.01
    np.testing.assert_array_equal(flat(prune(head, 0.1, method="threshold")) == 0, np.abs(weights) < 0.1)


def test_report_tells_size_sparsity_and_loss(head, digits):
    _, _, T, truth = digits
    before = [coef.copy() for coef in head.coefs_]
    pruned = prune(head, 0.9, X=T, y=truth)
    report = pruned.compression_
    assert report["n_bytes_before"] == 4 * (64 * 32 + 32 * 10 + 42)
    assert (
        report["n_bytes"]
        == sum(part.nbytes for coef in pruned.coefs_ for part in (coef.data, coef.indices, coef.indptr)) + 4 * 42
    )
    assert abs(report["sparsity"] - 0.9) < 0.01
    assert report["score_before"] == head.score(T, truth)
    assert report["score"] == pruned.score(T, truth)
    assert all(sp.issparse(coef) for coef in pruned.coefs_)
    assert all(isinstance(coef, np.ndarray) for coef in prune(head, 0.1).coefs_)
    for coef, old in zip(head.coefs_, before, strict=True):
        np.testing.assert_array_equal(coef, old)
    assert head.compression_ is None


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("amount", [0.0, 0.9])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_quantised_heads_predict_nearly_the_same(head, digits, dtype, amount, kind):
    _, _, T, truth = digits
    pruned = prune(head, amount)
    small = quantise(pruned, dtype, X=kind(T), y=truth)
    tolerance = {"float16": 5e-3, "int8": 0.15}[dtype]
    np.testing.assert_allclose(small.predict_proba(kind(T)), pruned.predict_proba(T), atol=tolerance)
    np.testing.assert_allclose(small.predict_proba(kind(T[:1])), pruned.predict_proba(T[:1]), atol=tolerance)
    assert small.predict_proba(kind(T)).dtype == np.float32
    expected = 1.0 if amount and dtype == "float16" else 0.8  # SciPy has no sparse float16
    assert small.compression_["n_bytes"] <= pruned.compression_["n_bytes"] * expected
    assert small.compression_["dtype"] == dtype
    assert small.compression_["score"] > small.compression_["score_before"] - 0.01
    largest = [np.abs(coef).max(0) / 254 for coef in dense(pruned)]
    if dtype == "int8":
        for coef, old, step in zip(dense(small), dense(pruned), largest, strict=True):
            assert (np.abs(coef - old) <= step + 1e-6).all()


def test_compressed_heads_survive_saving(head, digits, tmp_path):
    T = digits[2]
    for small in (prune(head, 0.9), quantise(head), quantise(prune(head, 0.8), "int8")):
        expected = small.predict_proba(T)
        save(small, tmp_path / "small.tk")
        loaded = load(tmp_path / "small.tk")
        np.testing.assert_array_equal(loaded.predict_proba(T), expected)
        assert loaded.compression_ == small.compression_
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(small)).predict_proba(T), expected)


def test_linear_heads_come_back_as_networks_of_one_layer(digits):
    X, y, T, _ = digits
    for labels in (y, y == 3, np.eye(10, dtype=int)[y]):
        source = LogisticHead().fit(X, labels)
        same = prune(source, 0.0)
        np.testing.assert_allclose(same.predict_proba(T), source.predict_proba(T), atol=1e-6)
        assert (quantise(source, "int8").predict(T) == source.predict(T)).mean() > 0.97
    rows, target = load_diabetes(return_X_y=True)
    source = RidgeHead().fit(scale(rows), target)
    np.testing.assert_allclose(prune(source, 0.0).predict(scale(rows)), source.predict(scale(rows)))
    assert quantise(source).score(scale(rows), target) > source.score(scale(rows), target) - 0.01


@pytest.mark.parametrize("budget", [1500, "2 KB", "3KiB", "0.005 MB"])
def test_budget_is_kept_and_spent_well(head, digits, budget):
    X, y, T, truth = digits
    small = prune(head, budget=budget, X=X, y=y)
    n_bytes = {1500: 1500, "2 KB": 2000, "3KiB": 3072, "0.005 MB": 5000}[budget]
    assert small.compression_["n_bytes"] <= n_bytes
    assert small.compression_["score_before"] == head.score(X, y)
    simple = (prune(head, amount) for amount in np.linspace(0, 0.99, 100))
    naive = next(candidate for candidate in simple if candidate.compression_["n_bytes"] <= n_bytes)
    assert small.score(X, y) >= naive.score(X, y)
    if n_bytes >= 3000:
        assert small.score(T, truth) > head.score(T, truth) - 0.03


def test_budget_of_random_pruning_heeds_the_seed(head, digits):
    X, y = digits[2:]
    copies = [prune(head, budget=1500, X=X, y=y, method="random", random_state=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(flat(copies[0]), flat(copies[1]))
    assert (flat(copies[0]) != flat(copies[2])).any()


def test_budget_that_holds_all_changes_nothing_that_matters(digits):
    rows, target = load_diabetes(return_X_y=True)
    regressor = MLPHeadRegressor((8,), max_iter=20, random_state=0).fit(scale(rows), scale(target))
    same = prune(regressor, budget="1 MB", X=scale(rows), y=scale(target))
    assert same.compression_["score"] >= same.compression_["score_before"]


def test_compressed_heads_are_starting_points_and_not_fitted_further(head, digits):
    X, y, _, _ = digits
    small = quantise(prune(head, 0.5), "int8")
    still = {"solver": "sgd", "learning_rate_init": 1e-12, "max_iter": 1, "alpha": 0, "random_state": 0}
    started = MLPHeadClassifier((32,), weight_init=small, **still).fit(X, y)
    np.testing.assert_allclose(started.predict_proba(X), small.predict_proba(X), atol=1e-4)
    with pytest.raises(ValueError, match="pruned or quantised head cannot be fitted further"):
        small.partial_fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either amount.*or budget"),
        ({"amount": 0.5, "budget": 100}, "either amount.*or budget"),
        ({"amount": 1.0}, r"amount must be a number in \[0, 1\)"),
        ({"amount": -1, "method": "threshold"}, r"amount must be a number in \[0, inf\)"),
        ({"amount": 0.5, "method": "smallest"}, "method must be one of 'magnitude', 'random'"),
        ({"amount": 0.5, "scope": "unit"}, "scope must be one of 'global', 'layer'. Got 'unit'"),
        ({"budget": "20 apples", "X": [[0]], "y": [0]}, "budget must be a number of bytes.*Got '20 apples'"),
        ({"budget": 100}, "a budget needs them"),
        ({"amount": 0.5, "X": [[0]]}, "X and y go together"),
    ],
)
def test_bad_arguments_are_named(head, arguments, message):
    with pytest.raises(ValueError, match=message):
        prune(head, **arguments)


def test_impossible_budgets_and_foreign_heads_are_refused(head, digits):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match=r"Nothing fits into 50 bytes: even without any weight the head takes \d+"):
        prune(head, budget=50, X=X, y=y)
    with pytest.raises(ValueError, match="fitted head of transferkit"):
        prune(LogisticRegression(), 0.5)
    with pytest.raises(ValueError, match="dtype must be one of 'float16', 'int8'"):
        quantise(head, "int4")
    big = MLPHeadRegressor((), max_iter=1, weight_init="normal", init_mean=1e6).fit(X[:20] / 1e8, y[:20])
    with pytest.raises(ValueError, match="above 65504"):
        quantise(big)


@pytest.mark.parametrize("factor", [1e-6, 1e12])
def test_weights_out_of_the_range_of_float16_are_refused(factor):
    X = np.random.RandomState(0).normal(size=(200, 4))
    y = (X[:, 0] > 0).astype(int)
    linear = LogisticHead(1e16).fit(X * factor, y) if factor < 1 else LogisticHead().fit(X * factor, y)
    with pytest.raises(ValueError, match=r"Weights (above 65504|below 6.1e-05) .*Choose 'int8', which has a scale"):
        quantise(linear)
    assert quantise(linear, "int8").score(X * factor, y) > linear.score(X * factor, y) - 0.01
    small = prune(linear, budget="2 KB", X=X * factor, y=y)  # finds a way without float16
    assert small.compression_["dtype"] in (None, "int8")


def test_one_output_of_tiny_weights_is_refused_and_a_hidden_unit_that_is_off_is_not(digits, head):
    X, y, _, _ = digits
    targets = np.stack([y, y * 1e-7], 1).astype(np.float64)
    regressor = RidgeHead().fit(X.astype(np.float64), targets)
    with pytest.raises(ValueError, match=r"below 6.1e-05"):
        quantise(regressor)
    off = copy.copy(head)
    off.coefs_ = [coef.copy() for coef in head.coefs_]
    off.coefs_[0][:, 0] = 1e-9
    assert quantise(off).coefs_[0].dtype == np.float16
    off.coefs_[0][:, 1] = 0
    off.coefs_[1][:, 1] = 0  # as pruned away
    quantise(off)
    off.coefs_[0] *= np.float32(1e-9)
    with pytest.raises(ValueError, match=r"below 6.1e-05"):
        quantise(off)


# Training of the remaining weights


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (np.asarray, {}),
        (sp.csr_matrix, {}),
        (np.asarray, {"batch_norm": True, "dropout": 0.1}),
        (np.asarray, {"solver": "gd", "learning_rate_init": 1.0, "dropout": 0.1, "clip_norm": 9.0}),
        (np.asarray, {"learning_rate_init": "auto", "learning_rate": "one_cycle", "warmup": 1, "swa": 0.5}),
        (np.asarray, {"prune_schedule": {"amount": 0.5, "end": 9}, "early_stopping": True, "batch_schedule": "grow"}),
    ],
)
def test_weights_that_are_left_are_refitted_on_data(digits, kind, parameters):
    (X, y), (T, truth) = (part[:500] for part in digits[:2]), digits[2:]
    defaults = {"learning_rate_init": 0.01, "max_iter": 30, "tol": None, "random_state": 0}
    network = MLPHeadClassifier((16,), **defaults | parameters).fit(kind(X), y)
    before = [coef.copy() for coef in network.coefs_]
    bare, refitted = prune(network, 0.8), prune(network, 0.8, X=kind(X), y=y)
    np.testing.assert_array_equal(flat(refitted) == 0, flat(bare) == 0)
    assert refitted.score(T, truth) > network.score(T, truth) - 0.08
    assert refitted.score(T, truth) > bare.score(T, truth) + 0.1
    assert refitted.score(X, y) == refitted.compression_["score"]
    assert [coef.dtype for coef in refitted.coefs_] == [coef.dtype for coef in network.coefs_]
    assert refitted.get_params() == network.get_params()
    for coef, old in zip(network.coefs_, before, strict=True):
        np.testing.assert_array_equal(coef, old)
    np.testing.assert_array_equal(flat(prune(network, 0.8, X=kind(X), y=y)), flat(refitted))


def test_linear_heads_are_refitted_to_the_optimum_of_the_features_that_are_left(digits):
    X, y = digits[0].astype(np.float64), digits[1]
    logistic = LogisticHead(0.1, tol=1e-8).fit(X, y > 4)
    ridge = RidgeHead(3.0).fit(X, y.astype(float))
    searched = LogisticHeadCV([0.1], tol=1e-8).fit(X, y > 4)
    for head, again in ((logistic, logistic), (ridge, ridge), (searched, logistic)):
        refitted = prune(head, 0.6, X=X, y=y > 4 if hasattr(head, "classes_") else y)
        kept = flat(refitted) != 0
        assert abs(kept.mean() - 0.4) < 0.02
        best = clone(again).fit(X[:, kept], y > 4 if hasattr(head, "classes_") else y.astype(float))
        np.testing.assert_allclose(
            flat(refitted)[kept], best.coef_.ravel(), rtol=0.02, atol=0.01 * np.abs(best.coef_).max()
        )


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_linear_heads_are_refitted_far_from_the_origin_as_near_it(offset):
    X = np.random.RandomState(0).normal(size=(300, 20))
    y = X @ np.random.RandomState(1).normal(size=20)
    for kind, targets in ((RidgeHead, y), (LogisticHead, y > 0)):
        near, far = (prune(kind().fit(rows, targets), 0.5, X=rows, y=targets) for rows in (X, X + offset))
        np.testing.assert_allclose(flat(far), flat(near), atol=1e-3)
        assert abs(far.score(X + offset, targets) - near.score(X, targets)) < 0.01


def test_heads_with_a_prior_stay_near_what_is_left_of_it(digits):
    X, y, T, truth = digits
    source = LogisticHead().fit(X[:500], y[:500])
    head = LogisticHead(prior=source).fit(X[500:520], y[500:520])
    bare, refitted = prune(head, 0.5), prune(head, 0.5, X=X[500:520], y=y[500:520])
    assert (flat(bare) != flat(refitted)).any()
    assert refitted.score(T, truth) > bare.score(T, truth) - 0.05  # pulled to zero it would lose 25 points


def test_refit_that_scores_worse_is_not_taken(digits):
    X, y, _, _ = digits
    head = MLPHeadRegressor((8,), max_iter=30, learning_rate_init=0.01, random_state=0).fit(X, y)
    bare = prune(head, 0.1)
    head.set_params(solver="sgd", alpha=10)  # shrinks the weights to nothing
    np.testing.assert_array_equal(flat(prune(head, 0.1, X=X, y=y)), flat(bare))


def test_data_of_another_kind_are_refused_by_a_refit(head, digits):
    X, y, _, _ = digits
    for wrong_X, wrong_y, message in ((X[:, :9], y, "64 features"), (X, y + 5, r"not among the classes.*\[10")):
        with pytest.raises(ValueError, match=message):
            prune(head, 0.5, X=wrong_X, y=wrong_y)
