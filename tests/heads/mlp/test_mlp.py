"""Network heads agree with reference implementations, and each parameter does what its docstring says."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_circles
from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from transferkit import FeatureBlocks, LogisticHead, MLPHeadClassifier, MLPHeadRegressor, load, save

EXACT = {"solver": "lbfgs", "hidden_layer_sizes": (), "max_iter": 500, "tol": None, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    return X[:1000], y[:1000], X[1000:], y[1000:]


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


def make_multilabel():
    X = np.random.RandomState(0).normal(size=(300, 8))
    return X, (X @ np.random.RandomState(1).normal(size=(8, 4)) > 0.5).astype(int)


# Agreement with reference implementations


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0}])
def test_linear_layer_reaches_the_optimum_of_logistic_regression(n_classes, class_weight):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < n_classes][20:], y[y < n_classes][20:]
    weights = np.linspace(0.5, 2, len(y))
    head = MLPHeadClassifier(**EXACT, alpha=0.01, class_weight=class_weight).fit(X, y, weights)
    of_rows = weights.copy()
    if class_weight == "balanced":
        totals = np.bincount(y, weights)
        of_rows *= weights.sum() / (n_classes * totals)[y]
    elif class_weight:
        of_rows *= np.where(y == 0, 3.0, 1.0)
    reference = LogisticRegression(C=1 / (0.01 * of_rows.sum()), tol=1e-10, max_iter=10000).fit(X, y, of_rows)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=1e-3)


def test_multilabel_is_one_logistic_regression_a_label():
    X, y = make_multilabel()
    head = MLPHeadClassifier(**EXACT, alpha=0.01).fit(X, y)
    reference = OneVsRestClassifier(LogisticRegression(C=1 / (0.01 * len(X)), tol=1e-10, max_iter=1000)).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=1e-3)
    assert (head.predict(X) == reference.predict(X)).mean() > 0.99
    assert head.multilabel_


def test_squared_error_reaches_the_optimum_of_ridge(diabetes):
    X, y = diabetes
    targets = np.stack([y, np.sin(y)], axis=1)
    head = MLPHeadRegressor(**EXACT, alpha=0.1).fit(X, targets)
    reference = Ridge(alpha=0.1 * len(X)).fit(X, targets)
    np.testing.assert_allclose(head.predict(X), reference.predict(X), atol=1e-3)


def test_absolute_and_huber_loss_withstand_outliers(diabetes):
    X, y = diabetes
    spoiled = y.copy()
    spoiled[::10] += 50
    squared = MLPHeadRegressor(**EXACT).fit(X, spoiled)
    huber = MLPHeadRegressor(**EXACT, loss="huber", huber_delta=0.3).fit(X, spoiled)
    absolute = MLPHeadRegressor((), loss="absolute_error", learning_rate_init=0.02, learning_rate="cosine",
                                random_state=0).fit(X, spoiled)  # fmt: skip
    reference = HuberRegressor(alpha=0).fit(X, spoiled)
    for head in (huber, absolute):
        assert np.corrcoef(head.predict(X), reference.predict(X))[0, 1] > 0.97
        assert head.score(X, y) > 0.35 > squared.score(X, y)
    assert abs(np.mean(absolute.predict(X) > spoiled) - 0.5) < 0.03  # the least absolute error is at the median


def test_hinge_reaches_the_optimum_of_a_linear_svm(digits):
    X, y, T, truth = digits
    head = MLPHeadClassifier((), loss="hinge", alpha=1e-3, learning_rate_init=0.1, max_iter=300,
                             learning_rate="cosine", tol=None, random_state=0).fit(X, y)  # fmt: skip
    signs = 2 * np.eye(10)[y] - 1

    def objective(coef, intercept):
        losses = np.maximum(0, 1 - signs * (X @ coef + intercept)).sum(1)
        return losses.mean() + 1e-3 / 2 * (coef**2).sum()

    from sklearn.svm import SVC

    singles = [SVC(kernel="linear", C=1 / (1e-3 * len(X))).fit(X, column) for column in signs.T]
    optimum = objective(
        np.concatenate([one.coef_ for one in singles]).T, np.concatenate([one.intercept_ for one in singles])
    )
    assert objective(head.coefs_[0], head.intercepts_[0]) < 1.02 * optimum
    assert head.score(T, truth) > 0.9
    assert not hasattr(head, "predict_proba")


def test_network_learns_what_no_linear_layer_can():
    X, y = make_circles(400, noise=0.05, factor=0.5, random_state=0)
    linear = MLPHeadClassifier((), learning_rate_init=0.01, random_state=0).fit(X, y)
    network = MLPHeadClassifier((16, 8), learning_rate_init=0.01, random_state=0).fit(X, y)
    assert linear.score(X, y) < 0.7
    assert network.score(X, y) > 0.97
    assert [coef.shape for coef in network.coefs_] == [(2, 16), (16, 8), (8, 1)]


# Structure


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_numpy_predicts_what_the_network_scored(digits, activation, kind):
    import torch

    X, y, T, _ = digits
    X, T = kind(X.astype(np.float32)), kind(T.astype(np.float32))
    head = MLPHeadClassifier((16, 12), activation=activation, max_iter=2, random_state=0).fit(X, y)
    functional = {"identity": lambda x: x, "gelu": torch.nn.functional.gelu, "elu": torch.nn.functional.elu,
                  "leaky_relu": torch.nn.functional.leaky_relu}  # fmt: skip
    x = torch.from_numpy(T.toarray() if sp.issparse(T) else T)
    for position, (coef, intercept) in enumerate(zip(head.coefs_, head.intercepts_, strict=True)):
        x = x @ torch.from_numpy(coef) + torch.from_numpy(intercept)
        if position < 2:
            x = functional.get(activation, getattr(torch, activation, None))(x)
    np.testing.assert_allclose(head.decision_function(T), x, atol=1e-5)
    np.testing.assert_allclose(head.predict_proba(T), torch.softmax(x, 1), atol=1e-5)


def test_activations_train_differently(digits):
    X, y, _, _ = digits
    losses = {
        activation: MLPHeadClassifier((16,), activation=activation, max_iter=3, random_state=0).fit(X, y).loss_
        for activation in ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity")
    }
    assert len(set(losses.values())) == 7


@pytest.mark.parametrize("hidden", [(), (16,)])
@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_sparse_input_learns_what_dense_input_learns(digits, hidden, solver):
    X, y, T, _ = digits
    head = MLPHeadClassifier(hidden, solver=solver, max_iter=20, learning_rate_init=0.1, random_state=0)
    dense = clone(head).fit(X, y)
    sparse = clone(head).fit(sp.csr_matrix(X), y)
    np.testing.assert_allclose(sparse.predict_proba(sp.csr_matrix(T)), dense.predict_proba(T), atol=1e-6)


def test_features_that_no_batch_touches_keep_their_first_weights(digits):
    X, y, _, _ = digits
    wide = sp.hstack([sp.csr_matrix(X), sp.csr_matrix((len(X), 3))]).tocsr()
    head = MLPHeadClassifier((8,), max_iter=3, weight_init="normal", init_mean=7.0, init_scale=1e-6, alpha=0.1).fit(
        wide, y
    )
    np.testing.assert_allclose(head.coefs_[0][-3:], 7.0, atol=1e-4)


def test_dropout_leaves_units_out_while_training_only(digits):
    X, y, _, _ = digits
    plain, dropped = (
        MLPHeadClassifier((64,), dropout=dropout, max_iter=30, random_state=0).fit(X, y) for dropout in (0.0, 0.7)
    )
    assert dropped.loss_ > 1.5 * plain.loss_  # measured with units left out
    assert dropped.score(X, y) > 0.9
    hidden = np.maximum(X @ dropped.coefs_[0] + dropped.intercepts_[0], 0)
    scores = hidden @ dropped.coefs_[1] + dropped.intercepts_[1]  # by all units
    np.testing.assert_allclose(dropped.decision_function(X), scores, atol=1e-9)


def test_batch_norm_makes_the_scale_of_the_features_irrelevant(digits):
    X, y, T, _ = digits
    head = MLPHeadClassifier((16,), batch_norm=True, max_iter=3, alpha=0, random_state=0)
    small, large = (clone(head).fit(X * factor, y).predict_proba(T * factor) for factor in (10, 1000))
    np.testing.assert_allclose(small, large, atol=0.02)
    head.set_params(batch_norm=False)
    small, large = (clone(head).fit(X * factor, y).predict_proba(T * factor) for factor in (10, 1000))
    assert np.abs(small - large).max() > 0.5


def test_folded_batch_norm_scores_what_the_network_scored(digits):
    X, y, T, truth = digits
    head = MLPHeadClassifier((16, 8), batch_norm=True, max_iter=6, random_state=0)
    head.fit(X, y, X_val=T, y_val=truth)
    assert head.score(T, truth) == head.validation_scores_[-1]
    assert [None if norm is None else norm.shape for norm in head.batch_norms_] == [(4, 16), (4, 8), None]


# Losses and weights


def test_focal_loss_without_focus_is_cross_entropy(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((), max_iter=5, random_state=0)
    cross = clone(head).fit(X, y)
    np.testing.assert_allclose(
        clone(head).set_params(loss="focal", focal_gamma=0).fit(X, y).coefs_[0], cross.coefs_[0], atol=1e-8
    )
    assert not np.allclose(clone(head).set_params(loss="focal").fit(X, y).coefs_[0], cross.coefs_[0], atol=1e-3)


def test_label_smoothing_tempers_probabilities(digits):
    X, y, _, _ = digits
    sure, smooth = (
        MLPHeadClassifier((), label_smoothing=smoothing, learning_rate_init=0.05, random_state=0).fit(X, y)
        for smoothing in (0.0, 0.3)
    )
    assert smooth.predict_proba(X).max(1).mean() < 0.75 < 0.95 < sure.predict_proba(X).max(1).mean()
    binary = MLPHeadClassifier((), label_smoothing=0.4, learning_rate_init=0.05, random_state=0).fit(X, y == 0)
    assert 0.7 < binary.predict_proba(X).max() < 0.95


def test_rows_of_weight_zero_do_not_count(digits):
    X, y, _, _ = digits
    weights = (np.arange(len(y)) % 3 > 0).astype(float)
    head = MLPHeadClassifier((8,), max_iter=3, random_state=0)
    weighted, without = clone(head).fit(X, y, weights), clone(head).fit(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(weighted.coefs_[0], without.coefs_[0], atol=1e-12)


def test_sample_weights_pull(diabetes):
    X, y = diabetes
    side = X[:, 0] > 0
    targets = np.where(side, y, -y)
    for heavy in (side, ~side):
        head = MLPHeadRegressor((), random_state=0, learning_rate_init=0.01).fit(
            X, targets, np.where(heavy, 100.0, 0.1)
        )
        assert head.score(X[heavy], targets[heavy]) > 0.3 > head.score(X[~heavy], targets[~heavy])


# Optimisers


@pytest.mark.parametrize(
    ("solver", "rate"),
    [("gd", 0.5), ("sgd", 0.3), ("momentum", 0.03), ("nesterov", 0.03), ("rmsprop", 3e-3), ("adagrad", 0.05),
     ("adam", 3e-3), ("adamw", 3e-3), ("lbfgs", 1e-3)],
)  # fmt: skip
def test_every_solver_learns(digits, solver, rate):
    X, y, T, truth = digits
    head = MLPHeadClassifier((32,), solver=solver, learning_rate_init=rate, batch_size=50, max_iter=100, random_state=0)
    assert head.fit(X, y).score(T, truth) > 0.85
    assert head.loss_curve_[-1] < head.loss_curve_[0] / 3


def test_momentum_and_penalty_change_the_weights(digits):
    X, y, _, _ = digits

    def weights(**parameters):
        return MLPHeadClassifier((8,), max_iter=20, random_state=0, **parameters).fit(X, y).coefs_[0]

    for solver in ("momentum", "nesterov"):
        slow, fast = (weights(solver=solver, momentum=momentum) for momentum in (0.0, 0.95))
        assert np.abs(fast - slow).max() > 0.01
    for solver in ("sgd", "adam", "adamw"):
        free, held = (weights(solver=solver, learning_rate_init=0.05, alpha=alpha) for alpha in (0, 0.3))
        assert np.linalg.norm(held) < 0.8 * np.linalg.norm(free)


@pytest.mark.parametrize("clipping", [{"clip_norm": 1e-3}, {"clip_value": 1e-4}])
def test_clipped_gradients_take_small_steps(digits, clipping):
    X, y, _, _ = digits
    common = {"hidden_layer_sizes": (), "solver": "sgd", "learning_rate_init": 0.1, "weight_init": "zeros", "alpha": 0}
    free, clipped = (
        MLPHeadClassifier(**common, **extra, max_iter=2, random_state=0).fit(X, y) for extra in ({}, clipping)
    )
    assert np.linalg.norm(clipped.coefs_[0]) < 0.1 * np.linalg.norm(free.coefs_[0])


# Learning rate and batches


def test_history_tells_rates_sizes_and_losses(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((), max_iter=6, tol=None, learning_rate="step", learning_rate_epochs=2, batch_size=100,
                             learning_rate_decay=0.1, batch_schedule="grow", batch_epochs=[3]).fit(X, y)  # fmt: skip
    assert head.history_["batch_size"] == [100, 100, 100, 200, 200, 200]
    np.testing.assert_allclose(head.history_["learning_rate"], [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert head.history_["loss"] == head.loss_curve_
    assert head.n_iter_ == 6
    assert head.loss_ == head.loss_curve_[-1]


@pytest.mark.parametrize(
    "parameters",
    [{"learning_rate": name} for name in ("step", "exponential", "inverse", "cosine", "one_cycle")]
    + [{"warmup": 3}, {"learning_rate": lambda step: 0.9**step}, {"batch_schedule": lambda epoch: 20 + epoch}]
    + [{"batch_schedule": "decay", "batch_epochs": 1}],
)  # fmt: skip
def test_schedules_reach_the_training(digits, parameters):
    X, y, _, _ = digits
    plain = MLPHeadClassifier((), max_iter=8, learning_rate_epochs=2, learning_rate_init=0.3, random_state=0)
    scheduled = clone(plain).set_params(**parameters).fit(X, y)
    assert np.abs(scheduled.coefs_[0] - plain.fit(X, y).coefs_[0]).max() > 1e-3


def test_plateau_lowers_the_rate_when_nothing_is_gained(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((), learning_rate="plateau", learning_rate_epochs=2, learning_rate_decay=0.1, tol=None,
                             learning_rate_init=3.0, max_iter=40, random_state=0).fit(X, y)  # fmt: skip
    rates = np.array(head.history_["learning_rate"])
    assert rates[0] == 3.0
    assert rates[-1] < 0.5
    assert set(np.round(rates[1:] / rates[:-1], 6)) == {1.0, 0.1}


@pytest.mark.parametrize("solver", ["momentum", "adam"])
def test_range_test_finds_a_rate_that_learns(digits, solver):
    X, y, T, truth = digits
    for factor in (1.0, 100.0):
        head = MLPHeadClassifier((), solver=solver, learning_rate_init="auto", max_iter=20, random_state=0)
        head.fit(X * factor, y)
        assert head.score(T * factor, truth) > 0.85
        curve = head.learning_rate_curve_
        assert curve["learning_rate"].shape == curve["loss"].shape
        assert curve["learning_rate"].min() < head.learning_rate_init_ < curve["learning_rate"].max()
        assert head.history_["learning_rate"][0] == head.learning_rate_init_
    iris, kinds = load_iris(return_X_y=True)  # the loss goes on decreasing slowly far beyond the best rate
    regressor = MLPHeadRegressor(16, solver=solver, learning_rate_init="auto", max_iter=40, tol=None, random_state=0)
    assert regressor.fit(iris, kinds.astype(float)).score(iris, kinds) > 0.7
    fixed = MLPHeadClassifier((), max_iter=2, learning_rate_init=0.1).fit(X, y)
    assert fixed.learning_rate_init_ == 0.1
    assert fixed.learning_rate_curve_ is None


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("parameters", [{}, {"batch_norm": True}, {"mixup": 0.5}, {"dropout": 0.5}])
def test_range_test_leaves_no_trace(digits, kind, parameters):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,), learning_rate_init="auto", max_iter=2, random_state=0, **parameters)
    found = head.fit(kind(X[:300]), y[:300])
    given = clone(found).set_params(learning_rate_init=found.learning_rate_init_).fit(kind(X[:300]), y[:300])
    np.testing.assert_array_equal(found.coefs_[0], given.coefs_[0])


# Initial weights


@pytest.mark.parametrize(
    ("parameters", "mean", "deviation"),
    [
        ({"weight_init": "random"}, 0, 0.01),
        ({"weight_init": "random", "init_scale": 0.5}, 0, 0.5),
        ({"weight_init": "normal", "init_mean": 1.0, "init_scale": 0.2}, 1, 0.2),
        ({"weight_init": "uniform", "init_mean": -1.0, "init_scale": 0.3}, -1, 0.3 / np.sqrt(3)),
        ({"weight_init": "xavier"}, 0, np.sqrt(2 / (64 + 200))),
        ({"weight_init": "kaiming"}, 0, np.sqrt(2 / 64)),
        ({"weight_init": "orthogonal"}, 0, np.sqrt(2 / 200)),
        ({"weight_init": "zeros"}, 0, 0),
    ],
)
def test_initial_weights_are_as_drawn(digits, parameters, mean, deviation):
    X, y, _, _ = digits
    gain = np.sqrt(2) if parameters["weight_init"] == "xavier" else 1
    still = MLPHeadClassifier((200,), solver="sgd", learning_rate_init=1e-12, max_iter=1, alpha=0, random_state=0)
    coef = still.set_params(**parameters).fit(X, y).coefs_[0]
    assert abs(coef.mean() - mean) < 0.05 * max(deviation, 0.01)
    assert abs(coef.std() - gain * deviation) < 0.03 * max(deviation, 0.01)
    if parameters["weight_init"] == "orthogonal":
        np.testing.assert_allclose(coef @ coef.T, 2 * np.eye(64), atol=1e-6)


STILL = {"solver": "sgd", "learning_rate_init": 1e-12, "max_iter": 1, "alpha": 0, "random_state": 0}


def test_training_starts_from_given_arrays(digits):
    X, y, _, _ = digits
    rng = np.random.RandomState(0)
    start = [rng.normal(size=(64, 8)), rng.normal(size=(8, 10))], [rng.normal(size=8), rng.normal(size=10)]
    head = MLPHeadClassifier((8,), weight_init=start, **STILL).fit(X, y)
    for found, given in zip([*head.coefs_, *head.intercepts_], [*start[0], *start[1]], strict=True):
        np.testing.assert_allclose(found, given, atol=1e-9)


def test_training_starts_from_a_fitted_head_with_classes_matched_by_label(digits):
    X, y, _, _ = digits
    names = np.array(list("abcdefghij"))[y]
    source = MLPHeadClassifier((8,), max_iter=5, random_state=1).fit(X, names)
    task = np.isin(y, [1, 3, 5])
    labels = np.where(names[task] == "f", "new", names[task])
    head = clone(MLPHeadClassifier((8,), weight_init=source, **STILL)).fit(X[task], labels)
    assert head.classes_.tolist() == ["b", "d", "new"]
    np.testing.assert_allclose(head.coefs_[0], source.coefs_[0], atol=1e-9)
    np.testing.assert_allclose(head.coefs_[1][:, :2], source.coefs_[1][:, [1, 3]], atol=1e-9)
    np.testing.assert_allclose(head.intercepts_[1][:2], source.intercepts_[1][[1, 3]], atol=1e-9)
    assert head.init_coverage_["classes_matched"] == ["b", "d"]
    assert head.init_coverage_["classes_new"] == ["new"]
    assert len(head.init_coverage_["classes_dropped"]) == 8
    np.testing.assert_array_equal(source.coefs_[0], head.weight_init.coefs_[0])


def test_two_classes_start_from_many_and_many_from_two(digits):
    X, y, _, _ = digits
    source = MLPHeadClassifier((), max_iter=5, random_state=1).fit(X, y)
    two = np.isin(y, [3, 8])
    head = MLPHeadClassifier((), weight_init=source, **STILL).fit(X[two], y[two])
    scores = source.decision_function(X)
    np.testing.assert_allclose(head.decision_function(X), scores[:, 8] - scores[:, 3], atol=1e-9)
    back = MLPHeadClassifier((), weight_init=head, **STILL).fit(X, y).decision_function(X)
    np.testing.assert_allclose(back[:, 8] - back[:, 3], scores[:, 8] - scores[:, 3], atol=1e-9)


def test_linear_layer_starts_from_logistic_head_and_from_a_file(digits, tmp_path):
    X, y, T, _ = digits
    source = LogisticHead().fit(X, y)
    save(source, tmp_path / "source.tk")
    for start in (source, tmp_path / "source.tk"):
        head = MLPHeadClassifier((), weight_init=start, **STILL).fit(X, y)
        np.testing.assert_allclose(head.predict_proba(T), source.predict_proba(T), atol=1e-6)


def test_regressor_starts_from_a_fitted_head(diabetes):
    X, y = diabetes
    source = MLPHeadRegressor((8,), max_iter=5, random_state=1).fit(X, y)
    head = MLPHeadRegressor((8,), weight_init=source, **STILL).fit(X, y)
    np.testing.assert_allclose(head.predict(X), source.predict(X), atol=1e-8)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (([np.zeros((64, 8))], [np.zeros(8)]), "lists with 2 arrays each"),
        (([np.zeros((64, 8)), np.zeros((9, 10))], [np.zeros(8), np.zeros(10)]), r"shape \(8, 10\).*Got \(9, 10\)"),
        (([np.zeros((64, 8)), np.full((8, 10), np.nan)], [np.zeros(8), np.zeros(10)]), "NaN or infinity in layer 1"),
    ],
)
def test_bad_initial_weights_are_named(digits, start, message):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match=message):
        MLPHeadClassifier((8,), weight_init=start).fit(X, y)


def test_source_of_other_layers_is_refused(digits, diabetes):
    X, y, _, _ = digits
    source = MLPHeadClassifier((8,), max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match=r"hidden layers of \[8\] units, this head 64 and \[9\]"):
        MLPHeadClassifier((9,), weight_init=source).fit(X, y)
    wide = MLPHeadRegressor((), max_iter=1).fit(*diabetes)
    with pytest.raises(ValueError, match="has 1 outputs and y has 2"):
        MLPHeadRegressor((), weight_init=wide).fit(diabetes[0], np.stack([diabetes[1]] * 2, 1))


# Saving, and the rest of scikit-learn


@pytest.mark.parametrize("batch_norm", [False, True])
def test_saved_and_loaded_heads_predict_the_same(digits, diabetes, tmp_path, batch_norm):
    X, y, T, _ = digits
    classifier = MLPHeadClassifier((8,), batch_norm=batch_norm, max_iter=2).fit(X, y.astype(str))
    regressor = MLPHeadRegressor((8,), batch_norm=batch_norm, max_iter=2).fit(*diabetes)
    for head, rows in ((classifier, T), (regressor, diabetes[0])):
        expected = head.predict(rows)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(head)).predict(rows), expected)
        joblib.dump(head, tmp_path / "head.joblib")
        np.testing.assert_array_equal(joblib.load(tmp_path / "head.joblib").predict(rows), expected)
        save(head, tmp_path / "head.tk")
        np.testing.assert_array_equal(load(tmp_path / "head.tk").predict(rows), expected)


def test_predictions_need_no_torch(digits, tmp_path, run_without_torch):
    X, y, T, _ = digits
    head = MLPHeadClassifier((8,), activation="gelu", max_iter=2, random_state=0).fit(X, y)
    joblib.dump((head, T, head.predict_proba(T)), tmp_path / "head.joblib")
    run_without_torch(
        "import joblib; head, T, expected = joblib.load(sys.argv[1]);"
        "assert abs(head.predict_proba(T) - expected).max() < 1e-12; head.predict(T); head.predict_log_proba(T)",
        tmp_path / "head.joblib",
    )


def test_weights_are_laid_out_so_that_one_row_copies_nothing(digits, tmp_path):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,), max_iter=1).fit(X, y)
    save(head, tmp_path / "head.tk")
    for one in (head, pickle.loads(pickle.dumps(head)), load(tmp_path / "head.tk")):
        assert all(coef.flags.c_contiguous for coef in one.coefs_)


def test_works_in_pipeline_and_search(digits):
    X, y, _, _ = digits
    pipeline = make_pipeline(StandardScaler(), MLPHeadClassifier(max_iter=15, random_state=0))
    grid = {"mlpheadclassifier__hidden_layer_sizes": [(), (32,)], "mlpheadclassifier__learning_rate_init": [1e-6, 1e-2]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_["mlpheadclassifier__learning_rate_init"] == 1e-2


def test_second_fit_forgets_the_first(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,), max_iter=3, random_state=0)
    fresh = clone(head).fit(X, y).coefs_[0]
    again = head.fit(X[:, :10], y % 2).partial_fit(X[:, :10], y % 2).fit(X, y)
    np.testing.assert_array_equal(again.coefs_[0], fresh)
    assert again.optimiser_state_ is None


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_same_seed_same_weights(digits, kind):
    X, y, _, _ = digits
    options = {"dropout": 0.2, "mixup": 0.3, "feature_noise": 0.1, "feature_dropout": 0.1, "max_iter": 3}
    first, second, other = (
        MLPHeadClassifier((8,), random_state=seed, **options).fit(kind(X), y).coefs_[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_users_random_numbers_and_threads_are_left_alone(digits):
    import torch

    X, y, _, _ = digits
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    n_threads = torch.get_num_threads()
    MLPHeadClassifier((8,), dropout=0.5, max_iter=2, random_state=0).fit(X, y)
    assert torch.rand(1) == expected
    assert torch.get_num_threads() == n_threads


def test_float32_stays_float32(digits):
    X, y, T, _ = digits
    head = MLPHeadClassifier((8,), max_iter=1).fit(X.astype(np.float32), y)
    assert {array.dtype for array in (*head.coefs_, *head.intercepts_)} == {np.dtype(np.float32)}
    assert head.predict_proba(T.astype(np.float32)).dtype == np.float32


def test_blocks_of_features_are_stacked_as_sparse_rows(digits):
    X, y, T, _ = digits
    head = MLPHeadClassifier((8,), max_iter=3, random_state=0)
    stacked = clone(head).fit(sp.csr_matrix(np.hstack([X, X])), y)
    blocks = head.fit(FeatureBlocks(sp.csr_matrix(X), X), y)
    np.testing.assert_allclose(
        blocks.predict_proba(FeatureBlocks(sp.csr_matrix(T), T)), stacked.predict_proba(np.hstack([T, T])), atol=1e-9
    )


def test_ranking_of_binary_problems_is_good(digits):
    X, y, T, truth = digits
    for loss in ("cross_entropy", "hinge", "focal"):
        head = MLPHeadClassifier((16,), loss=loss, learning_rate_init=0.01, max_iter=30, random_state=0).fit(X, y > 4)
        assert head.decision_function(T).shape == (len(T),)
        assert roc_auc_score(truth > 4, head.decision_function(T)) > 0.94


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_arrays_of_the_user_and_of_a_source_are_never_changed(digits, kind):
    X, y, _, _ = digits
    X = kind(X)
    start = [np.ones((64, 4)), np.ones((4, 10))], [np.ones(4), np.ones(10)]
    head = MLPHeadClassifier((4,), weight_init=start, max_iter=2).fit(X, y)
    assert all((array == 1).all() for part in start for array in part)
    before = [coef.copy() for coef in head.coefs_]
    MLPHeadClassifier((4,), weight_init=head, max_iter=2).fit(X, y)
    first, copied = head.coefs_[0], pickle.loads(pickle.dumps(head))
    head.partial_fit(X, y)
    copied.set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(first, before[0])
    for changed in (head, copied):
        assert not np.array_equal(changed.coefs_[0], before[0])
