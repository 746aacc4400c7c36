"""Network heads while they train: stopping, regularisation, continued training, callbacks, bad input."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from transferkit import LogisticHead, MLPHeadClassifier, MLPHeadRegressor
from transferkit.compression import prune
from transferkit.exceptions import DivergenceError
from transferkit.heads.mlp._base import hold_out


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    return X[:1000], y[:1000], X[1000:], y[1000:]


@pytest.fixture(scope="module")
def noisy():
    """Few rows, some with wrong labels: training to the end overfits."""
    X, y = make_classification(1200, 30, n_informative=8, flip_y=0.3, random_state=0)
    return X[:200], y[:200], X[200:], y[200:]


# Stopping


def test_training_stops_when_the_loss_stands_still(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((), learning_rate_init=0.1, tol=0.01, n_iter_no_change=3, random_state=0).fit(X, y)
    assert head.n_iter_ < 200
    losses = np.array(head.loss_curve_)
    assert (np.minimum.accumulate(losses)[-4:-1] - losses[-3:] < 0.01).all()
    endless = clone(head).set_params(tol=None, max_iter=head.n_iter_ + 20).fit(X, y)
    assert endless.n_iter_ == head.n_iter_ + 20
    patient = clone(head).set_params(n_iter_no_change=20).fit(X, y)
    assert patient.n_iter_ > head.n_iter_


def test_early_stopping_restores_the_best_weights(noisy):
    X, y, T, truth = noisy
    head = MLPHeadClassifier((64,), learning_rate_init=0.01, early_stopping=True, random_state=0)
    head.fit(X, y, X_val=T, y_val=truth)
    scores = head.validation_scores_
    assert len(scores) == head.n_iter_ < 200
    assert head.score(T, truth) == max(scores) > scores[-1]
    by_heart = clone(head).set_params(early_stopping=False).fit(X, y)
    assert by_heart.score(X, y) > head.score(X, y)
    assert by_heart.score(T, truth) < head.score(T, truth)


def test_early_stopping_holds_out_the_fraction(digits):
    X, y, _, _ = digits
    sizes = []
    head = MLPHeadClassifier((), early_stopping=True, batch_schedule=lambda epoch: sizes.append(1) or 10**6, max_iter=3)
    for fraction, kept in ((0.1, 900), (0.4, 600)):
        head.set_params(validation_fraction=fraction).fit(X, y)
        assert head.history_["batch_size"] == [kept] * 3
    assert len(head.validation_scores_) == 3


@pytest.mark.parametrize("labels", [("a", "b", "zz"), (False, True)])
def test_class_of_one_row_is_trained_on_and_not_held_out(digits, labels):
    X, y, _, _ = digits
    y = np.array(labels)[np.minimum(y % 2, len(labels) - 2)]
    y[7] = labels[-1]
    head = MLPHeadClassifier((), early_stopping=True, max_iter=3, random_state=0).fit(X, y)
    assert head.classes_.tolist() == list(labels)
    kept, held = hold_out(y, 1000, 0.1, np.random.RandomState(0))
    assert sorted([*kept, *held]) == list(range(1000))
    assert 7 in kept
    assert len(held) == 100


def test_rows_are_held_out_class_by_class_as_far_as_that_goes(digits):
    y = digits[1]
    held = hold_out(y, 1000, 0.1, np.random.RandomState(0))[1]
    assert np.abs(np.bincount(y[held]) - np.bincount(y) / 10).max() < 1
    np.testing.assert_array_equal(
        held, train_test_split(np.arange(1000), test_size=0.1, random_state=np.random.RandomState(0), stratify=y)[1]
    )
    for classes, fraction, n_held in ((y[:40], 0.1, 4), (y[:40], 0.9, 36), (np.arange(5), 0.3, 2), (None, 0.5, 20)):
        n_rows = 40 if classes is None else len(classes)
        kept, held = hold_out(classes, n_rows, fraction, np.random.RandomState(0))
        assert sorted([*kept, *held]) == list(range(n_rows))
        assert len(held) == n_held


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
def test_regressor_is_stopped_by_r2(loss):
    X = np.random.RandomState(0).normal(size=(400, 5))
    y = np.stack([X[:, 0], X[:, 1] * 2], 1)
    weights = np.linspace(0.1, 1, 400)
    head = MLPHeadRegressor((), loss=loss, early_stopping=True, learning_rate_init=0.05, random_state=0)
    head.fit(X[:200], y[:200], weights[:200], X_val=X[200:], y_val=y[200:])
    np.testing.assert_allclose(head.score(X[200:], y[200:]), max(head.validation_scores_), atol=1e-6)
    assert clone(head).fit(X, y, weights).validation_scores_[-1] > 0.9


@pytest.mark.parametrize("constant", [0.0, 0.5, 1e6])
def test_constant_validation_targets_score_zero_as_in_scikit_learn(constant):
    X = np.random.RandomState(0).normal(size=(60, 3))
    y, expected = np.stack([X[:, 0], X[:, 1]], 1), np.full((60, 2), constant)
    head = MLPHeadRegressor((), max_iter=3, random_state=0).fit(X, y, X_val=X, y_val=expected)
    assert head.validation_scores_ == [0.0] * 3 == [r2_score(expected, head.predict(X))] * 3
    expected[:, 0] = y[:, 0]
    head.fit(X, y, X_val=X, y_val=expected)
    np.testing.assert_allclose(head.validation_scores_[-1], r2_score(expected, head.predict(X)))
    nothing = MLPHeadRegressor((), weight_init="zeros", max_iter=1).fit(X, y * 0, X_val=X, y_val=y * 0)
    assert nothing.validation_scores_ == [1.0]


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_validation_scores_are_those_of_score(digits, kind):
    X, y, T, truth = digits
    indicators = np.eye(10, dtype=int)[y]
    for labels, expected in ((y, truth), (indicators, np.eye(10, dtype=int)[truth]), (y > 4, truth > 4)):
        head = MLPHeadClassifier((8,), max_iter=3, random_state=0)
        head.fit(kind(X), labels, X_val=kind(T), y_val=expected)
        np.testing.assert_allclose(head.validation_scores_[-1], head.score(kind(T), expected))


@pytest.mark.parametrize(("kind", "other"), [(np.asarray, sp.csr_matrix), (sp.csr_matrix, np.asarray)])
def test_validation_set_may_be_sparse_where_the_rows_are_not(digits, kind, other):
    X, y, T, truth = digits
    head = MLPHeadClassifier((8,), max_iter=2, random_state=0).fit(kind(X), y, X_val=other(T), y_val=truth)
    np.testing.assert_allclose(head.validation_scores_[-1], head.score(T, truth))


def test_validation_set_passes_through_the_encoder(noisy):
    X, y, T, truth = noisy
    far = 1000.0
    with sklearn.config_context(enable_metadata_routing=True):
        head = MLPHeadClassifier((8,), early_stopping=True, max_iter=20, learning_rate_init=0.01, random_state=0)
        head = head.set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("head", head)], transform_input=["X_val"])
        pipeline.fit(X + far, y, X_val=T + far, y_val=truth)
    assert max(pipeline["head"].validation_scores_) == pipeline.score(T + far, truth) > 0.6


# Regularisation


def test_mixup_keeps_training_from_certainty(digits):
    X, y, T, truth = digits
    plain, mixed = (
        MLPHeadClassifier((64,), mixup=mixup, learning_rate_init=0.01, max_iter=60, random_state=0).fit(X, y)
        for mixup in (0.0, 1.0)
    )
    assert mixed.predict_proba(X).max(1).mean() < 0.97 < plain.predict_proba(X).max(1).mean()
    assert mixed.score(T, truth) > 0.9


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("augmentation", [{"mixup": 0.5}, {"feature_noise": 0.5}, {"feature_dropout": 0.5}])
def test_augmentation_makes_training_harder_and_learns_all_the_same(digits, kind, augmentation):
    X, y, T, truth = digits
    head = MLPHeadClassifier((32,), learning_rate_init=0.01, max_iter=40, random_state=0)
    plain, augmented = clone(head).fit(kind(X), y), head.set_params(**augmentation).fit(kind(X), y)
    assert augmented.loss_ > 2 * plain.loss_
    assert augmented.score(kind(T), truth) > 0.87


def test_augmentation_leaves_the_users_rows_alone(digits):
    X, y, _, _ = digits
    for kind in (np.array, sp.csr_matrix):
        rows = kind(X)
        before = rows.copy()
        MLPHeadClassifier((), mixup=1.0, feature_noise=1.0, feature_dropout=0.5, max_iter=2).fit(rows, y)
        assert abs(rows - before).max() == 0


def test_mixup_and_weights_go_together(digits):
    X, y, _, _ = digits
    weights = np.where(y < 5, 1.0, 1e-6)
    head = MLPHeadClassifier((), mixup=0.2, max_iter=20, random_state=0).fit(X, y, weights)
    assert set(head.predict(X)) == {0, 1, 2, 3, 4}


def test_averaged_weights_are_the_mean_over_the_epochs(digits):
    X, y, _, _ = digits
    common = {"hidden_layer_sizes": (8,), "solver": "sgd", "learning_rate_init": 0.3, "random_state": 0, "tol": None}
    ends = [MLPHeadClassifier(**common, max_iter=n).fit(X, y).coefs_[0] for n in (3, 4)]
    averaged = MLPHeadClassifier(**common, max_iter=4, swa=0.5).fit(X, y)
    np.testing.assert_allclose(averaged.coefs_[0], np.mean(ends, axis=0), atol=1e-10)


def test_average_is_taken_only_if_it_is_as_good_on_the_held_out_rows(noisy):
    X, y, T, truth = noisy
    for seed in range(4):
        head = MLPHeadClassifier((32,), swa=0.0, early_stopping=True, learning_rate_init=0.03, max_iter=30,
                                 random_state=seed).fit(X, y, X_val=T, y_val=truth)  # fmt: skip
        assert head.score(T, truth) >= max(head.validation_scores_)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("swa", [0.0, 0.25, 0.9])
def test_average_keeps_pruned_weights_at_zero(digits, kind, swa):
    X, y, _, _ = digits
    common = {"prune_schedule": {"amount": 0.8, "begin": 0, "end": 5}, "tol": None, "solver": "sgd",
              "learning_rate_init": 0.3, "random_state": 0}  # fmt: skip
    head = MLPHeadClassifier((16,), max_iter=10, swa=swa, **common).fit(kind(X), y)
    gone = np.concatenate([coef.ravel() for coef in head.coefs_]) == 0
    assert abs(gone.mean() - 0.8) < 0.01
    if swa == 0.0:  # all epochs with the final zeros are averaged: from the fifth on
        ends = [MLPHeadClassifier((16,), max_iter=n, **common).fit(kind(X), y).coefs_[0] for n in range(5, 11)]
        np.testing.assert_allclose(head.coefs_[0], np.mean(ends, axis=0), atol=1e-10)


def test_average_that_never_begins_warns(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,), swa=0.75, tol=10.0, n_iter_no_change=2, random_state=0)
    with pytest.warns(UserWarning, match="ended after 3 epochs, and the average begins after epoch 151 of 200.*tol"):
        head.fit(X, y)
    late = {"amount": 0.5, "end": 5}
    with pytest.warns(UserWarning, match="ended after 2 epochs, and the average begins after epoch 5 of 2"):
        head.set_params(swa=0.0, prune_schedule=late, max_iter=2).fit(X, y)
    head.set_params(max_iter=5).fit(X, y)


def test_average_has_batch_statistics_of_its_own(digits):
    X, y, T, truth = digits
    head = MLPHeadClassifier((32,), batch_norm=True, swa=0.5, max_iter=10, solver="sgd", learning_rate_init=0.5,
                             random_state=0).fit(X, y)  # fmt: skip
    assert head.score(T, truth) > 0.88


def test_gradual_pruning_zeroes_the_share_and_trains_on(digits):
    X, y, T, truth = digits
    for kind in (np.asarray, sp.csr_matrix):
        head = MLPHeadClassifier((64,), prune_schedule={"amount": 0.8, "begin": 5, "end": 15}, max_iter=40, tol=None,
                                 learning_rate_init=0.01, random_state=0).fit(kind(X), y)  # fmt: skip
        weights = np.concatenate([coef.ravel() for coef in head.coefs_])
        assert abs((weights == 0).mean() - 0.8) < 0.01
        assert head.score(kind(T), truth) > 0.88
    stopped = clone(head).set_params(early_stopping=True, tol=1e-4, n_iter_no_change=2, max_iter=100).fit(X, y)
    assert 15 < stopped.n_iter_ < 100
    assert abs(np.mean(np.concatenate([coef.ravel() for coef in stopped.coefs_]) == 0) - 0.8) < 0.01
    early = clone(head).set_params(max_iter=8).fit(X, y)
    share = np.mean(np.concatenate([coef.ravel() for coef in early.coefs_]) == 0)
    assert abs(share - 0.8 * (1 - (1 - 3 / 10) ** 3)) < 0.01


# Batch normalisation and single rows


def is_finite(head):
    return all(np.isfinite(part).all() for part in (*head.coefs_, *head.intercepts_, *head.batch_norms_[:-1]))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"batch_size": 50},
        {"batch_size": 3, "batch_schedule": "decay", "batch_epochs": 1},
        {"batch_size": 4, "batch_schedule": lambda epoch: 1 + epoch % 4},
        {"swa": 0.5, "batch_size": 50},
        {"mixup": 0.3, "batch_size": 50},
        {"learning_rate_init": "auto", "batch_size": 50},
    ],
)
def test_single_row_that_is_left_over_spoils_no_batch_statistics(digits, kind, parameters):
    X, y, T, truth = digits
    some = y < 3
    n_rows = 201
    parameters = {"learning_rate_init": 0.01} | parameters
    head = MLPHeadClassifier((16,), batch_norm=True, max_iter=9, random_state=0, **parameters)
    head.fit(kind(X[some][:n_rows]), y[some][:n_rows])
    assert is_finite(head)
    assert min(head.history_["batch_size"]) >= 2
    assert head.score(T[truth < 3], truth[truth < 3]) > 0.8


def test_left_over_row_is_trained_on_with_the_batch_before_it(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,), batch_norm=True, batch_size=50, max_iter=1, random_state=0)
    alone = clone(head).set_params(batch_size=51).fit(X[:51], y[:51])
    np.testing.assert_array_equal(head.fit(X[:51], y[:51]).coefs_[0], alone.coefs_[0])
    assert head.n_steps_ == 1
    assert (
        head.set_params(batch_norm=False).fit(X[:51], y[:51]).n_steps_ == 2
    )  # without batch normalisation one row is no problem


def test_regressor_and_held_out_rows_leave_a_single_row_over(digits):
    X, y, _, _ = digits
    common = {"batch_norm": True, "batch_size": 40, "max_iter": 3, "random_state": 0}
    assert is_finite(MLPHeadRegressor((8,), **common).fit(X[:41], y[:41]))
    head = MLPHeadClassifier((8,), early_stopping=True, **common).fit(X[:90], y[:90] % 2)  # 81 rows are trained on
    assert is_finite(head)
    assert np.isfinite(head.validation_scores_).all()


def test_single_row_of_partial_fit_is_normalised_by_the_running_statistics(digits):
    X, y, T, truth = digits
    head = MLPHeadClassifier((16,), batch_norm=True, learning_rate_init=0.01, random_state=0)
    for _ in range(20):
        head.partial_fit(X[:300], y[:300], classes=range(10))
    norms, coef, before = head.batch_norms_[0].copy(), head.coefs_[0].copy(), head.score(T, truth)
    head.partial_fit(X[:1], y[:1])
    np.testing.assert_array_equal(head.batch_norms_[0][2:], norms[2:])
    assert (head.coefs_[0] != coef).any()
    assert head.score(T, truth) > before - 0.05
    assert is_finite(MLPHeadClassifier((16,), batch_norm=True).partial_fit(X[:1], y[:1], classes=range(10)))


def test_batches_of_one_row_are_refused_with_batch_normalisation(digits):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="batch_norm=True needs batch_size >= 2"):
        MLPHeadClassifier(batch_norm=True, batch_size=1).fit(X, y)


def test_running_statistics_catch_up_on_features_far_from_zero():
    X = np.random.RandomState(0).normal(size=(300, 3)) + 1e5
    y = X[:, 0] - 1e5
    head = MLPHeadRegressor((16,), batch_norm=True, max_iter=60, learning_rate_init=0.01, random_state=0).fit(X, y)
    assert head.score(X, y) > 0.9
    assert clone(head).partial_fit(X, y).score(X, y) < -1000  # one step of the statistics is no explosion


# Continued training


@pytest.mark.parametrize(
    "parameters", [{}, {"solver": "momentum", "learning_rate_init": 0.3}, {"batch_norm": True}, {"dropout": 0.2}]
)
def test_partial_fit_goes_on_where_it_was(digits, parameters):
    X, y, T, truth = digits
    parameters = {"learning_rate_init": 0.01} | parameters
    head = MLPHeadClassifier((16,), batch_size=1000, random_state=0, **parameters)
    for _ in range(3):
        head.partial_fit(X, y, classes=np.arange(10))
    assert head.n_iter_ == 3
    assert len(head.loss_curve_) == 3
    copied = pickle.loads(pickle.dumps(head))
    for _ in range(40):
        head.partial_fit(X, y)
        copied.partial_fit(X, y)
    np.testing.assert_array_equal(head.coefs_[0], copied.coefs_[0])
    assert head.score(T, truth) > 0.85
    if len(parameters) == 1:  # one batch holds all rows, so the order does not matter
        whole = MLPHeadClassifier(
            (16,), batch_size=1000, random_state=0, learning_rate_init=0.01, max_iter=43, tol=None
        )
        np.testing.assert_allclose(whole.fit(X, y).coefs_[0], head.coefs_[0], atol=1e-4)


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": "step", "learning_rate_epochs": 3},
        {"learning_rate": "exponential"},
        {"learning_rate": "inverse"},
        {"learning_rate": "cosine"},
        {"learning_rate": "one_cycle"},
        {"learning_rate": "plateau", "learning_rate_epochs": 2},
        {"learning_rate": lambda step: 0.9**step},
        {"learning_rate": "cosine", "warmup": 2.5},
        {"batch_schedule": "grow", "batch_epochs": 2},
        {"batch_schedule": "decay", "batch_epochs": 3},
        {"batch_schedule": "decay", "batch_epochs": [1, 5]},
        {"batch_schedule": "grow", "batch_epochs": "stall"},
        {"batch_schedule": lambda epoch: 10 * epoch + 7},
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_schedules_go_on_from_one_partial_fit_to_the_next_as_in_fit(digits, kind, parameters):
    X, y, _, _ = digits
    X, y = kind(X[:300]), y[:300]
    common = {"batch_size": 40, "solver": "sgd", "learning_rate_init": 1e-9, "random_state": 0, "max_iter": 9}
    whole = MLPHeadClassifier((), tol=None, **common, **parameters).fit(X, y)
    parts = MLPHeadClassifier((), **common, **parameters)
    for _ in range(9):
        parts.partial_fit(X, y, classes=range(10))
    np.testing.assert_allclose(parts.history_["learning_rate"], whole.history_["learning_rate"])
    assert parts.history_["batch_size"] == whole.history_["batch_size"]
    assert parts.n_steps_ == whole.n_steps_ == sum(-(-300 // size) for size in whole.history_["batch_size"])
    assert len({*whole.history_["batch_size"], *whole.history_["learning_rate"]}) > 2


def test_heads_of_earlier_versions_and_linear_ones_go_on(digits):
    X, y, _, _ = digits
    earlier = MLPHeadClassifier((), batch_size=100, random_state=0).partial_fit(X, y, classes=range(10))
    del earlier.n_steps_  # which they did not count
    linear = prune(LogisticHead().fit(X, y), 0.0).set_params(batch_size=100)
    for head in (earlier, linear):
        assert head.partial_fit(X, y).n_steps_ == 10


def test_partial_fit_after_the_end_of_a_cosine_warns(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((), learning_rate="cosine", max_iter=2, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="zero after max_iter=2 epochs, and this is epoch 3.*Raise max_iter"):
        head.partial_fit(X, y)
    head.set_params(max_iter=9).partial_fit(X, y)
    assert head.history_["learning_rate"][2] == 0 < head.history_["learning_rate"][3]


def test_partial_fit_learns_classes_that_come_late(digits):
    X, y, T, truth = digits
    head = MLPHeadClassifier((16,), random_state=0, learning_rate_init=0.01)
    for some in (y < 3, y < 6, y > 2) * 15:
        head.partial_fit(X[some], y[some], classes=np.arange(10))
    assert head.score(T, truth) > 0.7


def test_partial_fit_of_regressor_and_indicators(digits):
    X, y, T, truth = digits
    regressor = MLPHeadRegressor((16,), random_state=0, learning_rate_init=0.01)
    indicators = MLPHeadClassifier((16,), random_state=0, learning_rate_init=0.01)
    for _ in range(60):
        regressor.partial_fit(X, y / 10)
        indicators.partial_fit(X, np.eye(10, dtype=int)[y])
    assert regressor.score(T, truth / 10) > 0.5
    assert indicators.score(T, np.eye(10, dtype=int)[truth]) > 0.7
    with pytest.raises(ValueError, match="y has 2 outputs, and 1 were expected"):
        regressor.partial_fit(X, np.stack([y, y], 1))


def test_kind_of_the_labels_stays_that_of_the_first_partial_fit(digits):
    X, y, _, _ = digits
    indicators = np.eye(10, dtype=int)[y]
    for first, second, message in (
        (indicators, y, r"y must be an indicator matrix, as in the first call. Got one label per row"),
        (y, indicators, r"y must be one label per row, as in the first call. Got an indicator matrix of"),
    ):
        head = MLPHeadClassifier((), random_state=0).partial_fit(X, first, classes=range(10))
        before = dict(vars(head))
        with pytest.raises(ValueError, match=message):
            head.partial_fit(X, second)
        assert vars(head) == before
        with pytest.raises(ValueError, match=message):
            MLPHeadClassifier((), max_iter=1).fit(X, first, X_val=X, y_val=second)
    assert head.partial_fit(X, y[:, None].ravel()).multilabel_ is False


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_indicators_of_partial_fit_are_zeros_and_ones(digits, kind):
    X, y, _, _ = digits
    indicators = np.eye(10)[y]
    head = MLPHeadClassifier((), random_state=0)
    for _ in range(2):  # the first call and those after it
        for wrong in (2 * indicators, 2 * indicators - 1, indicators * 0.3 + 0.1):
            with pytest.raises(ValueError, match="indicator matrix of zeros and ones"):
                head.partial_fit(X, kind(wrong))
        head.partial_fit(X, kind(indicators)).partial_fit(X, kind(indicators > 0))
    assert head.n_iter_ == 4


def test_labels_unseen_in_partial_fit_are_named(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,))
    with pytest.raises(ValueError, match="first partial_fit needs classes"):
        head.partial_fit(X, y)
    assert not hasattr(head, "n_features_in_")
    with pytest.raises(ValueError, match=r"not among the classes \[0, 1, 2\]: \[3, 4, 5, 6, 7, 8, 9\]"):
        head.partial_fit(X, y, classes=[0, 1, 2])
    head.partial_fit(X, y, classes=range(10))
    with pytest.raises(ValueError, match=r"not among the classes.*\[77\]"):
        head.partial_fit(X[:2], [1, 77])
    with pytest.raises(ValueError, match="differs from those of the first partial_fit"):
        head.partial_fit(X[:2], [1, 2], classes=[1, 2])


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True},
        {"solver": "lbfgs"},
        {"learning_rate_init": "auto"},
        {"swa": 0.5},
        {"prune_schedule": {"amount": 0.5}},
    ],
)
def test_partial_fit_raises_for_parameters_that_need_all_data(digits, parameters):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="partial_fit sees one part of the data at a time"):
        MLPHeadClassifier(**parameters).partial_fit(X, y, classes=range(10))


def test_partial_fit_takes_another_solver_but_no_other_layers(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((8,), random_state=0).partial_fit(X, y, classes=range(10))
    head.set_params(solver="sgd", learning_rate_init=0.1).partial_fit(X, y).set_params(solver="adam").partial_fit(X, y)
    assert head.n_iter_ == 3
    with pytest.raises(ValueError, match="cannot change the layers"):
        head.set_params(hidden_layer_sizes=(9,)).partial_fit(X, y)


def test_warm_start_without_batch_normalisation_begins_at_the_folded_weights(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((32,), batch_norm=True, max_iter=10, random_state=0, warm_start=True).fit(X, y)
    before = head.loss_
    head.set_params(batch_norm=False, max_iter=1, learning_rate_init=1e-5).fit(X, y)
    assert head.loss_ < 1.2 * before


@pytest.mark.parametrize("batch_norm", [False, True])
def test_warm_start_begins_at_the_last_solution(digits, batch_norm):
    X, y, _, _ = digits
    cold = MLPHeadClassifier((16,), batch_norm=batch_norm, max_iter=20, random_state=0).fit(X, y)
    warm = clone(cold).set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(warm.coefs_[0], cold.coefs_[0])
    warm.fit(X, y)
    assert warm.loss_curve_[0] < 1.2 * cold.loss_curve_[-1] < cold.loss_curve_[0]
    assert warm.n_iter_ == 20
    warm.fit(X, y % 3)  # other classes: from the beginning
    np.testing.assert_array_equal(warm.coefs_[0], clone(cold).fit(X, y % 3).coefs_[0])


# Callbacks and pictures


class Recorder:
    def __init__(self, stop_after=None):
        self.stop_after, self.scores, self.events = stop_after, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X, y))
        return self.stop_after is not None and self.events.count("end epoch") >= self.stop_after


def test_every_epoch_is_a_task_with_a_usable_snapshot(digits):
    X, y, _, _ = digits
    recorder = Recorder()
    head = MLPHeadClassifier((16,), max_iter=6, random_state=0).set_callbacks(recorder).fit(X, y)
    assert recorder.events[:2] == ["setup", "begin fit"]
    assert recorder.events[-2:] == ["end fit", "teardown"]
    assert recorder.events.count("end epoch") == 6
    assert recorder.scores[0] < recorder.scores[-1] == head.score(X, y)


def test_request_to_stop_is_honoured(digits):
    X, y, _, _ = digits
    head = MLPHeadClassifier((16,), random_state=0).set_callbacks(Recorder(stop_after=3)).fit(X, y)
    assert head.n_iter_ == 3


def test_history_is_drawn(digits):
    import matplotlib as mpl

    mpl.use("Agg")
    X, y, T, truth = digits
    head = MLPHeadClassifier((), max_iter=4).fit(X, y, X_val=T, y_val=truth)
    ax = head.plot_history()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), head.loss_curve_)
    assert len(ax.figure.axes) == 2
    assert len(clone(head).fit(X, y).plot_history(ax=ax.figure.add_subplot()).lines) == 1
    with pytest.raises(NotFittedError):
        MLPHeadClassifier().plot_history()


# Bad input


def test_explosion_names_epoch_rate_and_what_to_try(digits):
    X, y, _, _ = digits
    head = MLPHeadRegressor((16,), solver="sgd", learning_rate_init=1000.0, random_state=0)
    with pytest.raises(DivergenceError, match=r"in epoch \d+: .* rate 1e\+03.*such as 1e\+02.*clip_norm") as caught:
        head.fit(X, y)
    assert not hasattr(head, "coefs_")
    assert caught.value.epoch < 50  # and not after all 200
    copied = pickle.loads(pickle.dumps(caught.value))
    assert str(copied) == str(caught.value)
    assert copied.learning_rate == 1000.0


def test_training_ends_in_the_epoch_without_a_finite_loss(digits):
    X, y, _, _ = digits
    with pytest.raises(DivergenceError, match=r"in epoch [1-5]:"):
        MLPHeadRegressor((16,), solver="sgd", learning_rate_init=1e30, random_state=0).fit(X, y)


@pytest.mark.parametrize(("rate", "what"), [(1e200, "inf|nan"), (1e30, r"\d.*e\+\d+")])
def test_explosion_of_the_last_step_is_named(digits, rate, what):
    X, y, _, _ = digits
    head = MLPHeadRegressor((16,), solver="sgd", learning_rate_init=rate, max_iter=1, batch_size=1000, random_state=0)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match=f"in epoch 1: the mean loss is ({what}) at"):
        head.fit(X, y)
    assert not hasattr(head, "coefs_")
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        head.set_params(solver="gd").partial_fit(X, y)
    assert not hasattr(head, "coefs_")


def test_regression_that_learned_nothing_of_unscaled_features_warns():
    X = np.random.RandomState(0).normal(size=(300, 5)) * 1e6
    y = X[:, 0] / 1e6
    head = MLPHeadRegressor((16,), max_iter=5, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"After 5 epochs the mean loss is .*StandardScaler"):
        head.fit(X, y)
    assert head.score(X, y) < -10
    head.fit(X / 1e6, y)  # and no warning, neither here nor where a later part of the data is to come
    head.partial_fit(X, y)
    head.fit(X, np.zeros(300))  # zeros are no worse than zeros


def test_out_of_memory_error_gives_sizes_and_advice(digits, monkeypatch):
    import torch

    from transferkit._training.network.loop import Objective

    def fail(self, batch):
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Objective, "differentiate", fail)
    X, y, _, _ = digits
    head = MLPHeadClassifier((16,), batch_size=64)
    with pytest.raises(MemoryError, match=r"features alone take 0.5 MiB.*20.00 GiB.*Try batch_size=16 \(it was 64\)"):
        head.fit(X, y)
    assert not hasattr(head, "coefs_")


def test_batch_larger_than_the_data_warns(digits):
    X, y, _, _ = digits
    with pytest.warns(UserWarning, match="batch_size=5000 is larger than the number of training rows, 1000"):
        head = MLPHeadClassifier((), batch_size=5000, max_iter=1).fit(X, y)
    assert head.history_["batch_size"] == [1000]


@pytest.mark.parametrize(
    ("name", "value"),
    [("hidden_layer_sizes", (3, 0)), ("hidden_layer_sizes", (2.5,)), ("activation", "step"), ("dropout", 1.0),
     ("batch_norm", "yes"), ("loss", "l2"), ("focal_gamma", -1), ("class_weight", "even"), ("label_smoothing", 1.0),
     ("solver", "newton"), ("alpha", -1), ("momentum", 1.0), ("clip_norm", 0), ("clip_value", -1),
     ("learning_rate_init", 0), ("learning_rate_init", "fast"), ("learning_rate", "linear"),
     ("learning_rate_decay", 1.0), ("learning_rate_epochs", 0), ("warmup", -1), ("batch_size", 0),
     ("batch_schedule", "shrink"), ("batch_epochs", 0), ("batch_epochs", [1, -2]), ("weight_init", "glorot"),
     ("init_mean", "zero"), ("init_scale", 0), ("max_iter", 0), ("tol", -1), ("n_iter_no_change", 0),
     ("early_stopping", 1.5), ("validation_fraction", 1.0), ("mixup", -1), ("feature_noise", -1),
     ("feature_dropout", 1.0), ("swa", 1.0), ("prune_schedule", 0.5), ("warm_start", "no"), ("random_state", "seed")],
)  # fmt: skip
def test_every_bad_parameter_is_named_with_what_it_may_be(digits, name, value):
    X, y, _, _ = digits
    head = MLPHeadClassifier(**{name: value})
    with pytest.raises(ValueError, match=f"The '{name}' parameter of MLPHeadClassifier must"):
        head.fit(X, y)
    assert not hasattr(head, "n_features_in_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"device": "abacus"}, "device must be 'auto', 'cpu', 'cuda'"),
        (
            {"solver": "lbfgs", "dropout": 0.5},
            "solver='lbfgs' needs a deterministic loss, and cannot be combined with dropout",
        ),
        ({"solver": "lbfgs", "batch_norm": True}, "cannot be combined with batch_norm"),
        (
            {"batch_schedule": lambda epoch: 3 - epoch},
            r"batch_schedule must return a number in the range \[1, inf\). Got 0 for epoch 3",
        ),
        (
            {"learning_rate": lambda step: float("nan")},
            r"learning_rate must return a number in the range \[0, inf\). Got nan for step 0",
        ),
        ({"solver": "lbfgs", "clip_norm": 1.0}, "cannot be combined with clip_norm"),
        ({"prune_schedule": {"amount": 2}}, "prune_schedule must be {'amount'"),
        ({"prune_schedule": {"amount": 0.5, "begin": 9, "end": 3}}, "with begin=9 and end=3"),
        ({"prune_schedule": {"share": 0.5}}, "prune_schedule must be"),
    ],
)
def test_parameters_that_do_not_fit_together_are_named(digits, parameters, message):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match=message):
        MLPHeadClassifier(**parameters).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_val": np.ones((2, 64))}, "X_val and y_val go together"),
        ({"X_val": np.ones((2, 3)), "y_val": [0, 1]}, "3 features"),
        ({"X_val": np.ones((2, 64)), "y_val": [0, 11]}, r"not among the classes.*\[11\]"),
        ({"sample_weight": np.zeros(1000)}, "at least one non-zero number"),
        ({"sample_weight": -np.ones(1000)}, "Negative values"),
    ],
)
def test_bad_input_is_named_and_leaves_the_head_as_it_was(digits, arguments, message):
    X, y, _, _ = digits
    head = MLPHeadClassifier((4,), max_iter=1).fit(X[:, :9], y % 2)
    before = dict(vars(head))
    with pytest.raises(ValueError, match=message):
        head.fit(X, y, **arguments)
    assert vars(head).keys() == before.keys()
    assert head.n_features_in_ == 9


def test_class_weights_of_indicators_are_refused(digits):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="class_weight must be None when y is an indicator matrix"):
        MLPHeadClassifier((), class_weight="balanced").fit(X, np.eye(10, dtype=int)[y])
    with pytest.raises(ValueError, match="cannot balance classes of data it has not seen"):
        MLPHeadClassifier((), class_weight="balanced").partial_fit(X, y, classes=range(10))
