"""Fits to probabilities of the classes are those to one weighted row per class."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from transferkit import FeatureBlocks, LogisticHead, LogisticHeadCV, MLPHeadClassifier, load, save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
SPARSE = sparse.random(60, 300, 0.05, format="csr", random_state=0)  # fewer rows than features
SAMPLE_WEIGHT = RNG.random(len(X))
NAMES = np.array(["a", "b", "c"])


def draw_probabilities(X, n_classes, scale=1.5):
    weights = np.random.default_rng(1).normal(size=(X.shape[1], n_classes))
    return softmax(scale * (X @ weights), axis=1)


SOFT = draw_probabilities(X, 3)
ONE_HOT = np.eye(3)[SOFT.argmax(1)]
HEADS = {
    "linear": lambda **options: LogisticHead(**options),
    "network": lambda **options: MLPHeadClassifier(8, learning_rate_init=0.05, max_iter=20, random_state=0, **options),
}
every_head = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)


def repeat(X, probabilities, sample_weight=1.0):
    """Return each row once per class, the labels, and the probabilities as weights."""
    n_rows, n_classes = probabilities.shape
    weights = (probabilities * np.reshape(sample_weight, (-1, 1))).T.ravel()
    rows = sparse.vstack([X] * n_classes).tocsr() if sparse.issparse(X) else np.concatenate([X] * n_classes)
    return rows, np.repeat(np.arange(n_classes), n_rows), weights


# Linear heads: the optimum


@pytest.mark.parametrize("n_classes", [2, 3, 12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", ["dense", "sparse", "wide sparse", "many rows"])
@pytest.mark.parametrize("options", [{}, {"class_weight": {0: 2.5}}, {"class_weight": "balanced", "C": 100.0}])
def test_optimum_is_that_of_one_weighted_row_per_class(n_classes, dtype, features, options):
    rows = {
        "dense": X,
        "sparse": sparse.csr_matrix(X),
        "wide sparse": SPARSE,
        "many rows": np.random.default_rng(2).normal(size=(4000, 10)),  # which stay in float32
    }[features].astype(dtype)
    probabilities = draw_probabilities(rows.astype(np.float64), n_classes)
    weights = np.random.default_rng(3).random(rows.shape[0])
    options = {"tol": 1e-7, **options}
    head = LogisticHead(**options).fit_soft(rows, probabilities, sample_weight=weights)
    expected = LogisticHead(**options).fit(*repeat(rows, probabilities, weights))
    assert head.coef_.dtype == dtype
    np.testing.assert_array_equal(head.classes_, np.arange(n_classes))
    np.testing.assert_allclose(head.predict_proba(rows), expected.predict_proba(rows), atol=2e-3)
    np.testing.assert_allclose(head.coef_, expected.coef_, atol=2e-3 * np.abs(expected.coef_).max())


def test_optimum_is_that_of_scipy():
    def evaluate(flat):
        coef, intercept = flat[:18].reshape(3, 6), flat[18:]
        return -(SOFT * log_softmax(X @ coef.T + intercept, axis=1)).sum() + (coef**2).sum() / 2

    found = minimize(evaluate, np.zeros(21), method="BFGS", options={"gtol": 1e-4})
    head = LogisticHead(tol=1e-8).fit_soft(X, SOFT)
    np.testing.assert_allclose(head.coef_, found.x[:18].reshape(3, 6), atol=1e-3)
    assert evaluate(np.append(head.coef_, head.intercept_)) <= found.fun * (1 + 1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_prior_pulls_as_in_a_fit_to_labels(n_classes):
    probabilities = draw_probabilities(X, n_classes)
    source = LogisticHead().fit(X[::-1] + 1, np.arange(len(X)) % n_classes)
    head = LogisticHead(0.01, prior=source, tol=1e-8).fit_soft(X, probabilities)
    expected = LogisticHead(0.01, prior=source, tol=1e-8).fit(*repeat(X, probabilities))
    np.testing.assert_allclose(head.coef_, expected.coef_, atol=1e-4)
    assert head.prior_coverage_ == expected.prior_coverage_


def test_blocks_of_features_and_their_scales_are_those_of_a_fit_to_labels():
    blocks = FeatureBlocks(X[:, :3], sparse.csr_matrix(X[:, 3:]))
    head = LogisticHead(block_scales=[1.0, 0.1], tol=1e-8).fit_soft(blocks, SOFT)
    expected = LogisticHead(tol=1e-8).fit_soft(X * np.repeat([1.0, 0.1], 3), SOFT)
    np.testing.assert_allclose(head.coef_, expected.coef_ * np.repeat([1.0, 0.1], 3), atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_fit_takes_no_more_steps_than_that_of_one_row_per_class(n_classes):
    """The spread of the probabilities is part of the curvature that residuals show."""
    rows = RNG.normal(size=(2000, 20))
    probabilities = draw_probabilities(rows, n_classes, 0.1)
    head = LogisticHead().fit_soft(rows, probabilities)
    assert head.n_iter_ <= LogisticHead().fit(*repeat(rows, probabilities)).n_iter_


def test_confident_scores_keep_their_digits():
    rows = np.array([[-1.0], [1.0]])
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    doubtful = np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]])
    for probabilities in (certain, doubtful):
        head = LogisticHead(1e6, fit_intercept=False, tol=1e-10).fit_soft(rows, probabilities)
        expected = LogisticHead(1e6, fit_intercept=False, tol=1e-10).fit(rows, [0, 1])
        np.testing.assert_allclose(head.coef_, expected.coef_, rtol=5e-3)


def test_a_class_without_probability_is_not_predicted():
    head = LogisticHead().fit_soft(X, np.column_stack([draw_probabilities(X, 2), np.zeros(len(X))]))
    assert head.predict_proba(X)[:, 2].max() < 1e-3
    assert 2 not in head.predict(X)


@pytest.mark.parametrize("shares", [[0.3, 0.7], [0.2, 0.3, 0.5]])
def test_constant_probabilities_are_learned_as_they_are(shares):
    head = LogisticHead(tol=1e-8).fit_soft(X, np.tile(shares, (len(X), 1)))
    np.testing.assert_allclose(head.predict_proba(X), np.tile(shares, (len(X), 1)), atol=1e-3)


def test_warm_start_begins_at_the_last_solution():
    head = LogisticHead(warm_start=True).fit_soft(X, SOFT)
    n_iter = head.n_iter_[0]
    assert head.fit_soft(X, SOFT).n_iter_[0] < n_iter / 2


# Networks


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "hinge"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_network_reaches_the_optimum_of_one_weighted_row_per_class(loss, n_classes):
    probabilities = draw_probabilities(X, n_classes)
    options = {"loss": loss, "solver": "lbfgs", "alpha": 0.1, "tol": 1e-9, "max_iter": 500, "random_state": 0}
    head = MLPHeadClassifier((), **options).fit_soft(X, probabilities, sample_weight=SAMPLE_WEIGHT)
    rows, labels, weights = repeat(X, probabilities, SAMPLE_WEIGHT)
    expected = MLPHeadClassifier((), **options).fit(rows, labels, weights)
    np.testing.assert_allclose(head.loss_, expected.loss_, rtol=1e-3)
    np.testing.assert_allclose(head.coefs_[0], expected.coefs_[0], atol=0.03 if loss == "hinge" else 5e-3)


@pytest.mark.parametrize("labels", [np.arange(120) % 3, np.arange(120) % 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.2}, {"mixup": 0.3}, {"class_weight": "balanced"}, {"early_stopping": True}],
    ids=str,
)
def test_zeros_and_ones_train_a_network_as_labels_do(labels, options):
    options = {"hidden_layer_sizes": 8, "max_iter": 10, "random_state": 0, **options}
    head = MLPHeadClassifier(**options).fit_soft(X, np.eye(labels.max() + 1)[labels])
    expected = MLPHeadClassifier(**options).fit(X, labels)
    assert head.validation_scores_ == expected.validation_scores_
    np.testing.assert_allclose(head.predict_proba(X), expected.predict_proba(X), rtol=1e-9)


def test_network_smooths_probabilities_over_all_classes():
    options = {"solver": "lbfgs", "alpha": 1e-8, "tol": 1e-9, "max_iter": 300}
    shares = np.array([0.1, 0.2, 0.7])
    head = MLPHeadClassifier((), label_smoothing=0.3, **options).fit_soft(0 * X, np.tile(shares, (len(X), 1)))
    np.testing.assert_allclose(head.predict_proba(0 * X[:1])[0], 0.7 * shares + 0.1, atol=1e-4)


def test_early_stopping_watches_the_mean_probability_of_the_predicted_classes():
    for shares in ([0.3, 0.7], [0.1, 0.2, 0.7]):
        head = MLPHeadClassifier((), early_stopping=True, learning_rate_init=0.1, max_iter=20, random_state=0)
        head.fit_soft(X, np.tile(shares, (len(X), 1)))
        assert head.validation_scores_[-1] == pytest.approx(0.7)


def test_held_out_rows_have_the_most_probable_classes_in_proportion():
    shares = np.where(np.arange(len(X))[:, None] < 12, [0.1, 0.2, 0.7], [0.6, 0.2, 0.2])  # a tenth are of the last
    head = MLPHeadClassifier((), early_stopping=True, validation_fraction=1 / 6, max_iter=1, random_state=0)
    head.fit_soft(0 * X, shares)  # each row gets the same prediction
    assert head.validation_scores_[0] == pytest.approx((2 * 0.1 + 18 * 0.6) / 20)


# Both


@every_head
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_of_the_columns_may_be_in_any_order(make, n_classes):
    probabilities = draw_probabilities(X, n_classes)
    expected = make().fit_soft(X, probabilities, classes=NAMES[:n_classes])
    head = make().fit_soft(X, probabilities[:, ::-1], classes=NAMES[:n_classes][::-1].tolist())
    np.testing.assert_array_equal(head.classes_, NAMES[:n_classes])
    np.testing.assert_allclose(head.predict_proba(X), expected.predict_proba(X), rtol=1e-9)
    assert head.predict(X).dtype == NAMES.dtype
    assert np.mean(head.predict(X) == NAMES[probabilities.argmax(1)]) > 0.8


@every_head
@pytest.mark.parametrize("classes", [None, np.arange(30) - 3, [f"class {i}" for i in range(30)]])
def test_there_may_be_many_classes(make, classes):
    head = make().fit_soft(X, draw_probabilities(X, 30), classes=classes)
    assert head.predict_proba(X).shape == (len(X), 30)


@every_head
def test_a_second_fit_to_labels_forgets_the_probabilities(make):
    head = make().fit_soft(X, SOFT, classes=NAMES).fit(X, np.arange(len(X)) % 2)
    expected = make().fit(X, np.arange(len(X)) % 2)
    np.testing.assert_array_equal(head.predict_proba(X), expected.predict_proba(X))
    assert vars(head).keys() == vars(expected).keys()
    assert vars(make().fit_soft(X, SOFT)).keys() == vars(expected).keys()


@every_head
def test_saved_and_loaded_it_predicts_the_same(make, tmp_path):
    head = make().fit_soft(X, SOFT, classes=NAMES)
    save(head, tmp_path / "head.tk")
    np.testing.assert_array_equal(load(tmp_path / "head.tk").predict_proba(X), head.predict_proba(X))


@every_head
def test_rows_of_any_kind_give_the_same_fit(make):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = make().fit_soft(X, SOFT).predict_proba(X)
    for kind in (np.ndarray.tolist, pandas.DataFrame, polars.DataFrame, np.asfortranarray):
        np.testing.assert_allclose(make().fit_soft(X, kind(SOFT)).predict_proba(X), expected, rtol=1e-9)
    frozen = SOFT.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(make().fit_soft(X, frozen).predict_proba(X), expected)
    np.testing.assert_array_equal(frozen, SOFT)


@every_head
def test_sums_near_one_are_normalised(make):
    expected = make().fit_soft(X, SOFT).predict_proba(X)
    np.testing.assert_allclose(make().fit_soft(X, SOFT * 1.0009).predict_proba(X), expected, rtol=1e-9)
    rounded = make().fit_soft(X, SOFT.astype(np.float16)).predict_proba(X)
    np.testing.assert_allclose(rounded, expected, atol=5e-3)


@every_head
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [{0: 3, 1: 0.5}, "balanced"])
def test_rows_whose_classes_have_no_weight_are_left_out(make, class_weight, n_classes):
    probabilities = np.column_stack([draw_probabilities(X, n_classes), np.zeros(len(X))])
    probabilities[:10] = np.eye(n_classes + 1)[-1]
    weights = {n_classes: 0, **({} if class_weight == "balanced" else class_weight)}
    head = make(class_weight=weights).fit_soft(X, probabilities)
    expected = make(class_weight=weights).fit_soft(X[10:], probabilities[10:])
    np.testing.assert_allclose(head.predict_proba(X), expected.predict_proba(X), rtol=1e-9)


@every_head
def test_rows_of_weight_zero_are_absent(make):
    weights = (np.arange(len(X)) % 3 > 0).astype(float)
    head = make().fit_soft(X, SOFT, sample_weight=weights)
    expected = make().fit_soft(X[weights > 0], SOFT[weights > 0], sample_weight=weights[weights > 0])
    np.testing.assert_allclose(head.predict_proba(X), expected.predict_proba(X), rtol=1e-9)


@every_head
def test_callbacks_get_labels_with_which_they_can_score(make):
    class Recorder:
        scores = ()

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            self.scores = (*self.scores, fitted_estimator.score(X, y))

    recorder = Recorder()
    head = make().set_callbacks(recorder).fit_soft(X, SOFT, classes=NAMES)
    assert recorder.scores[-1] == head.score(X, NAMES[SOFT.argmax(1)])


INVALID = {
    "one column per class, also with two classes. Got the shape (120,)": SOFT[:, 0],
    "Got the shape (120, 3, 1)": SOFT[:, :, None],
    "Input probabilities contains NaN": np.where(np.arange(120)[:, None] == 7, np.nan, SOFT),
    "Input probabilities contains infinity": np.where(np.arange(120)[:, None] == 7, np.inf, SOFT),
    "Sparse data was passed": sparse.csr_matrix(SOFT),
    "must not be negative. Got -0.5 in row 7": np.where(np.arange(120)[:, None] == 7, [-0.5, 1.0, 0.5], SOFT),
    "those of row 7 sum to 1.002": np.where(np.arange(120)[:, None] == 7, [0.502, 0.3, 0.2], SOFT),
    "those of row 7 sum to 0": np.where(np.arange(120)[:, None] == 7, 0.0, SOFT),
    "independent labels (multilabel) are not supported": np.ones((120, 3)),
    "needs labels of at least 2 classes. Got 1 class: [0]": np.ones((120, 1)),
    "needs rows of at least 2 classes with positive weights. The weights leave 1 class: [1]": np.tile([0, 1], (120, 1)),
    "inconsistent numbers of samples: [120, 119]": SOFT[1:],
}


@every_head
@pytest.mark.parametrize("message", INVALID)
def test_invalid_probabilities_are_refused_and_change_nothing(make, message):
    head = make()
    with pytest.raises((ValueError, TypeError)) as error:
        head.fit_soft(X, INVALID[message])
    assert message.lower() in str(error.value).lower()
    assert vars(head) == vars(make())


@every_head
def test_invalid_labels_of_columns_are_refused(make):
    for classes, message in [
        (["a", "b"], r"Got labels of the shape \(2,\) for 3 columns"),
        ("abc", r"Got labels of the shape \(\) for 3 columns"),
        ([0.5, 1.5, 2.0], "continuous"),
        (["a", "b", "a"], "classes must be distinct"),
        ([[0, 1, 0], [1, 0, 0], [1, 1, 1]], "one label per column"),
        (["a", None, "b"], "position 1 is missing"),
    ]:
        with pytest.raises(ValueError, match=message):
            make().fit_soft(X, SOFT, classes=classes)


@every_head
def test_classes_that_all_have_no_weight_are_refused(make):
    with pytest.raises(ValueError, match="At least one row must have a positive weight"):
        make(class_weight=dict.fromkeys(range(3), 0)).fit_soft(X, SOFT)
    with pytest.raises(ValueError, match="class_weight must be finite and not negative"):
        make(class_weight={0: -1}).fit_soft(X, SOFT)


@every_head
def test_rows_of_blocks_and_probabilities_must_be_as_many(make):
    with pytest.raises(ValueError, match=r"same length|inconsistent numbers"):
        make().fit_soft(FeatureBlocks(X, X), SOFT[1:])


def test_search_without_soft_labels_says_what_to_do():
    search = LogisticHeadCV([0.1, 1.0])
    assert not hasattr(search, "fit_soft")
    with pytest.raises(AttributeError, match=r"Select C by fit on labels, .* LogisticHead\(C=search.C_\).fit_soft"):
        search.fit_soft(X, SOFT)
