"""SelectiveClassifier rejects what is likely to be wrong or far away, keeps what it promises, and names bad input."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from transferkit import (
    LogisticHead,
    RidgeHead,
    SelectiveClassifier,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
    describe,
    load,
    save,
)

METHODS = ("probability", "distance", "both")


def draw(n_samples, seed, spread=1.0):
    """Return two overlapping classes of normal samples in the plane."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n_samples)
    return random.normal(size=(n_samples, 2)) * spread + 2.5 * y[:, None] * [1, 0], y


X, Y = draw(400, 0)
TEST, TRUTH = draw(4000, 1)
NOUNS = {"pet": "cat dog mouse horse", "money": "stock bond share fund", "sky": "rain snow wind storm"}
OTHERS = "the a was seen today again here with one and another"


def write(label, random):
    words = [*random.choice(NOUNS[label].split(), 2), *random.choice(OTHERS.split(), 4)]
    return " ".join(random.permutation(words))


RANDOM = np.random.default_rng(0)
LABELS = np.array([*NOUNS] * 10)
TEXTS = [write(label, RANDOM) for label in LABELS]
FAR = ["quantum electron spin", "guitar violin trumpet", "electron guitar"]
CORPUS = [*TEXTS, *FAR, *FAR]


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(5, min_count=1).fit(CORPUS)


def text_model(encoder):
    return TransferClassifier(encoder, strategy="term_vectors", cv=2)


@pytest.fixture(scope="module")
def frozen(encoder):
    """A fitted classifier, which no fold fits again."""
    return FrozenEstimator(text_model(encoder).fit(TEXTS, LABELS))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_share_that_was_asked_for_is_accepted(method, coverage):
    shares = []
    for seed in range(10):
        model = SelectiveClassifier(LogisticHead(), coverage=coverage, method=method).fit(*draw(300, seed + 10))
        shares.append(model.is_accepted(TEST).mean())
        assert abs(model.coverage_ - coverage) < 0.02
    assert abs(np.mean(shares) - coverage) < 0.02


def test_no_more_is_wrong_than_was_allowed():
    errors, shares = [], []
    for seed in range(10):
        model = SelectiveClassifier(LogisticHead(), max_error=0.05).fit(*draw(400, seed + 10))
        accepted = model.is_accepted(TEST)
        errors.append(np.mean(model.estimator_.predict(TEST[accepted]) != TRUTH[accepted]))
        shares.append(accepted.mean())
        assert model.error_ <= 0.05
    assert np.mean(errors) < 0.06  # an estimate from 400 samples; without rejection 10 % are wrong
    assert np.mean(shares) > 0.7


def test_one_class_may_be_rejected_more_than_another():
    random = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 500)
    X = random.normal(size=(1500, 2)) + np.array([[0, 0], [1.5, 0], [30, 0]])[y]
    thresholds = SelectiveClassifier(LogisticHead(), coverage=0.9).fit(X, y).thresholds_
    assert len(set(thresholds)) == 3
    assert thresholds[2] > thresholds[0]  # probabilities of the class that lies apart are higher
    few = SelectiveClassifier(LogisticHead(), coverage=0.9).fit(X[::5], y[::5]).thresholds_
    assert len(set(few)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_samples_far_away_are_rejected_by_their_distance(method):
    model = SelectiveClassifier(LogisticRegression(), coverage=0.95, method=method, reject_label=-1).fit(X, Y)
    far = [[100.0, 0], [-100, 0], [1e300, 0], [0, 50]]
    assert model.predict_proba(far)[:3].max(axis=1).min() > 0.999
    assert (model.predict(far[:3]) == -1).all() == (method != "probability")
    assert model.predict(far)[3] == (model.estimator_.predict(far)[3] if method == "probability" else -1)
    assert model.is_accepted([[0, 0], [2.5, 0]]).all()


@pytest.mark.parametrize("method", METHODS)
def test_texts_unlike_those_of_training_are_rejected(frozen, method):
    model = SelectiveClassifier(frozen, coverage=0.9, method=method, cv=2).fit(TEXTS, LABELS)
    assert model.is_accepted(TEXTS).mean() > 0.8
    if method != "probability":
        assert not model.is_accepted(FAR).any()
        assert type(model.space_.source) is WordVectorEncoder


def test_distances_of_a_pipeline_are_those_before_its_last_step():
    inside = SelectiveClassifier(make_pipeline(StandardScaler(), LogisticHead()), coverage=0.9, method="distance")
    inside.fit(X * [1, 100], Y)
    scaler = StandardScaler().fit(X * [1, 100])
    outside = SelectiveClassifier(LogisticHead(), coverage=0.9, method="distance").fit(
        scaler.transform(X * [1, 100]), Y
    )
    expected = outside.score_samples(scaler.transform(TEST * [1, 100]))
    np.testing.assert_allclose(inside.score_samples(TEST * [1, 100]), expected)


def test_distances_of_a_classifier_without_an_encoder_are_those_of_its_terms():
    scratch = TransferClassifier(head=LogisticHead(), strategy="scratch")
    model = SelectiveClassifier(scratch, coverage=0.9, method="distance").fit(TEXTS, LABELS)
    np.testing.assert_allclose(model.score_samples([TEXTS[0], "quark"]), [1, 0], atol=1e-6)


def test_both_is_a_weighted_sum_of_standardised_scores():
    model = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both", cv=4).fit(X, Y)
    single = [
        SelectiveClassifier(LogisticHead(), coverage=0.9, method=method, cv=4).fit(X, Y) for method in METHODS[:2]
    ]
    measured = np.stack([np.log(single[0].score_samples(TEST)), single[1].score_samples(TEST)], axis=1)
    expected = ((measured - model.scaling_[0]) / model.scaling_[1]) @ [2, 1]
    np.testing.assert_allclose(model.score_samples(TEST), expected)


def test_predictions_and_probabilities_are_those_of_the_estimator():
    model = SelectiveClassifier(LogisticHead(), coverage=0.8, reject_label=7).fit(X, Y)
    plain, accepted = LogisticHead().fit(X, Y), model.is_accepted(TEST)
    np.testing.assert_array_equal(model.predict(TEST), np.where(accepted, plain.predict(TEST), 7))
    np.testing.assert_array_equal(model.predict_proba(TEST), plain.predict_proba(TEST))
    np.testing.assert_array_equal(model.decision_function(TEST), plain.decision_function(TEST))
    np.testing.assert_array_equal(accepted, model.score_samples(TEST) >= model.thresholds_[plain.predict(TEST)])
    np.testing.assert_array_equal(model.classes_, [0, 1])


@pytest.mark.parametrize(
    ("labels", "reject_label", "dtype"),
    [
        (["a", "b"], "rejected", "<U8"),
        (np.array(["a", "b"], object), "rejected", object),
        ([1, 2], -1, np.int64),
        (np.array([1, 2], np.uint8), -1, np.int64),
        ([1.0, 2.0], -1, np.float64),
        ([1, 2], None, object),
        (["a", "b"], None, object),
        ([True, False], None, object),
    ],
)
def test_reject_label_is_in_the_predictions(labels, reject_label, dtype):
    model = SelectiveClassifier(LogisticHead(), coverage=0.5, reject_label=reject_label).fit(X, np.array(labels)[Y])
    predicted, accepted = model.predict(TEST), model.is_accepted(TEST)
    assert predicted.dtype == dtype
    np.testing.assert_array_equal(predicted[accepted], model.estimator_.predict(TEST)[accepted])
    assert all(label is None if reject_label is None else label == reject_label for label in predicted[~accepted])


def test_everything_is_accepted_at_full_coverage():
    model = SelectiveClassifier(LogisticHead(), coverage=1.0).fit(X, Y)
    assert model.predict([[1e3, 1e3], [1.25, 0]]).dtype == Y.dtype
    assert model.is_accepted(TEST).all()
    assert (model.coverage_, model.n_held_out_) == (1.0, 400)


def test_score_counts_a_rejected_sample_as_right_if_its_label_says_so():
    model = SelectiveClassifier(LogisticHead(), coverage=0.8, reject_label=-1).fit(X, Y)
    truth = np.where(np.arange(len(TRUTH)) % 3 == 0, -1, TRUTH)
    assert model.score(TEST, truth) == pytest.approx(np.mean(model.predict(TEST) == truth))
    weights = np.arange(len(TRUTH))
    expected = np.average(model.predict(TEST) == truth, weights=weights)
    assert model.score(TEST, truth, sample_weight=weights) == pytest.approx(expected)
    masked = SelectiveClassifier(LogisticHead(), coverage=0.8).fit(X, Y)
    assert masked.score(TEST, TRUTH) == pytest.approx(
        np.mean(masked.is_accepted(TEST) & (LogisticHead().fit(X, Y).predict(TEST) == TRUTH))
    )
    with pytest.raises(ValueError, match="Mix of label input types"):
        model.score(TEST, TRUTH.astype(str))


def test_a_frozen_classifier_is_judged_on_the_samples_given():
    fitted = LogisticHead().fit(X, Y)
    model = SelectiveClassifier(FrozenEstimator(fitted), max_error=0.05).fit(TEST, TRUTH)
    np.testing.assert_array_equal(model.predict_proba(TEST), fitted.predict_proba(TEST))
    accepted = fitted.predict_proba(TEST).max(axis=1) >= model.thresholds_[fitted.predict(TEST)]
    assert model.n_held_out_ == 4000
    assert model.coverage_ == pytest.approx(accepted.mean())
    assert model.error_ == pytest.approx(np.mean(fitted.predict(TEST) != TRUTH, where=accepted))


@pytest.mark.parametrize("kind", ["frozen", "scratch", "pipeline", "fitted"])
@pytest.mark.filterwarnings("ignore:No text:UserWarning", "ignore:coverage:UserWarning", "ignore:Transfer did not help")
def test_texts_without_a_known_word_are_rejected(kind, encoder):
    made = {
        "frozen": TransferClassifier(encoder, strategy="frozen", cv=2),
        "scratch": TransferClassifier(strategy="scratch", cv=2),
        "pipeline": make_pipeline(TfidfEncoder(), LogisticHead()),
        "fitted": FrozenEstimator(TransferClassifier(encoder, strategy="frozen", cv=2).fit(TEXTS, LABELS)),
    }
    found = ["qqqxx", TEXTS[0], "qqqxx zzzvv"]
    some = SelectiveClassifier(made[kind], coverage=0.95).fit(TEXTS, LABELS)
    some.thresholds_[:] = 0.0  # that of a model with few labels may be low
    assert some.is_accepted(found).tolist() == [False, True, False]
    assert some.predict(found)[0] is None
    everything = SelectiveClassifier(made[kind], coverage=1.0).fit(TEXTS, LABELS)
    assert everything.is_accepted(found).all()


def test_classes_without_labels_are_named():
    frozen = FrozenEstimator(LogisticRegression().fit(X, np.where(X[:, 1] > 1, 2, Y)))
    with pytest.warns(UserWarning, match="predicts 1 classes of which y has no label, such as 2"):
        SelectiveClassifier(frozen, coverage=0.8).fit(X, Y)


def test_second_fit_forgets_the_first():
    model = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both")
    fresh = clone(model).fit(X, Y)
    again = model.fit(TEST[:, :1], TRUTH).fit(X, Y)
    np.testing.assert_array_equal(again.score_samples(TEST), fresh.score_samples(TEST))
    np.testing.assert_array_equal(again.thresholds_, fresh.thresholds_)
    assert vars(clone(again)) == vars(clone(fresh)) or repr(clone(again)) == repr(clone(fresh))
    single = again.set_params(method="probability").fit(X, Y)
    assert (single.references_, single.scaling_, single.space_) == (None, None, None)


def test_a_failed_fit_changes_nothing():
    model = SelectiveClassifier(LogisticHead(), coverage=0.9).fit(X, Y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="same length"):
        model.fit(X, Y[:-1])
    assert vars(model) == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["pickle", "joblib", "tk"])
def test_saved_and_loaded_it_predicts_the_same(frozen, method, way, tmp_path):
    model = SelectiveClassifier(frozen, coverage=0.8, reject_label="none", method=method, cv=2).fit(TEXTS, LABELS)
    if way == "pickle":
        copy = pickle.loads(pickle.dumps(model))
    elif way == "joblib":
        joblib.dump(model, tmp_path / "model.joblib")
        copy = joblib.load(tmp_path / "model.joblib")
    else:
        save(model, tmp_path / "model.tk")
        copy = load(tmp_path / "model.tk")
        assert type(copy.estimator) is FrozenEstimator
    np.testing.assert_array_equal(copy.predict(TEXTS + FAR), model.predict(TEXTS + FAR))
    np.testing.assert_allclose(copy.score_samples(TEXTS + FAR), model.score_samples(TEXTS + FAR))


def test_a_file_needs_no_other_and_holds_the_encoder_only_for_distances(encoder, tmp_path):
    save(encoder, tmp_path / "encoder.tk")
    model = SelectiveClassifier(text_model(str(tmp_path / "encoder.tk")), coverage=0.8, method="both", cv=2)
    save(model.fit(TEXTS, LABELS), tmp_path / "both.tk")
    frozen = FrozenEstimator(model.estimator_)
    single = SelectiveClassifier(frozen, coverage=0.8, cv=2).fit(TEXTS, LABELS)
    save(single, tmp_path / "probability.tk")
    assert "WordVectorEncoder" not in str(describe(tmp_path / "probability.tk"))
    assert "WordVectorEncoder" in str(describe(tmp_path / "both.tk"))
    expected = model.score_samples(TEXTS)
    (tmp_path / "encoder.tk").unlink()
    np.testing.assert_allclose(load(tmp_path / "both.tk").score_samples(TEXTS), expected)


def test_it_is_a_step_and_is_searched():
    model = make_pipeline(TfidfEncoder(), SelectiveClassifier(LogisticHead(), coverage=0.8, reject_label="none", cv=2))
    assert set(model.fit(TEXTS, LABELS).predict(TEXTS)) <= {*NOUNS, "none"}
    search = GridSearchCV(
        SelectiveClassifier(LogisticHead(), coverage=0.8, cv=2), {"estimator__C": [1e-6, 1.0]}, cv=2
    ).fit(TEST, TRUTH)
    assert search.best_params_ == {"estimator__C": 1.0}
    held_out = cross_val_predict(SelectiveClassifier(LogisticHead(), coverage=0.8, cv=2), X, Y, cv=3)
    assert 0.7 < np.mean([label is not None for label in held_out]) < 0.9


def test_rows_of_weight_zero_are_left_out():
    weights = np.where(np.arange(400) % 4 == 0, 0.0, 1.0)
    model = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both").fit(X, Y, sample_weight=weights)
    kept = weights > 0
    expected = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both").fit(X[kept], Y[kept])
    assert model.n_held_out_ == 300
    np.testing.assert_allclose(model.thresholds_, expected.thresholds_, rtol=1e-4)
    folds = list(StratifiedKFold(3).split(X, Y))
    positions = SelectiveClassifier(LogisticHead(), coverage=0.9, cv=folds).fit(X, Y, sample_weight=weights)
    assert positions.n_held_out_ == 300


def test_weights_are_repetitions():
    weights = np.random.default_rng(0).integers(1, 4, len(Y))
    folds = [
        (np.flatnonzero(np.arange(400) % 3 != part), np.flatnonzero(np.arange(400) % 3 == part)) for part in range(3)
    ]
    repeated = [tuple(np.flatnonzero(np.isin(np.arange(400).repeat(weights), part)) for part in fold) for fold in folds]
    goal = {"max_error": 0.05, "method": "probability"}
    weighted = SelectiveClassifier(LogisticHead(C=0.01), **goal, cv=folds).fit(X, Y, sample_weight=weights)
    expected = SelectiveClassifier(LogisticHead(C=0.01), **goal, cv=repeated).fit(
        X.repeat(weights, 0), Y.repeat(weights)
    )
    assert weighted.coverage_ == pytest.approx(expected.coverage_, abs=0.01)
    assert weighted.error_ == pytest.approx(expected.error_, abs=0.01)


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that records what it was fitted with."""

    seen = []

    def fit(self, X, y, groups=None, X_unlabelled=None, note=None):
        self.seen.append((len(X), groups, X_unlabelled, note))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_other_arguments_of_fit_reach_the_estimator(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    groups = np.arange(400) // 10
    model = SelectiveClassifier(Recorder(), coverage=0.9, cv=GroupKFold(4))
    model.fit(X, Y, groups=groups, X_unlabelled=X, note="a note")
    assert [n_rows for n_rows, *_ in Recorder.seen] == [400, 300, 300, 300, 300]
    for n_rows, seen, unlabelled, note in Recorder.seen:
        assert len(np.unique(seen)) == n_rows // 10  # whole groups
        assert unlabelled is X
        assert note == "a note"


def test_groups_are_held_out_together_by_a_number_of_folds(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    groups = np.arange(400) // 40
    SelectiveClassifier(Recorder(), coverage=0.9).fit(X, Y, groups=groups)
    assert all(len(np.unique(seen)) == n_rows // 40 for n_rows, seen, *_ in Recorder.seen)
    with pytest.raises(ValueError, match="groups must name at least 2 groups"):
        SelectiveClassifier(Recorder(), coverage=0.9).fit(X, Y, groups=np.zeros(400))


def test_metadata_is_routed():
    weights = np.where(np.arange(400) % 2, 1.0, 3.0)
    with config_context(enable_metadata_routing=True):
        head = LogisticHead(C=0.01).set_fit_request(sample_weight=True)
        model = SelectiveClassifier(head, coverage=0.9, cv=GroupKFold(4)).set_fit_request(sample_weight=True)
        model.fit(X, Y, sample_weight=weights, groups=np.arange(400) // 10)
        assert model.n_held_out_ == 400
    np.testing.assert_allclose(model.estimator_.coef_, LogisticHead(C=0.01).fit(X, Y, weights).coef_, rtol=1e-5)


def test_unlabelled_texts_are_passed_on(encoder):
    model = SelectiveClassifier(text_model(encoder), coverage=0.8, cv=2).fit(TEXTS, LABELS, X_unlabelled=CORPUS)
    assert "unlabelled" in set(model.estimator_.strategy_scores_["evidence"].tolist())


@pytest.mark.parametrize("kind", ["list", "numpy", "pandas", "polars"])
def test_collections_of_texts_are_all_the_same(kind):
    make = {
        "list": list,
        "numpy": np.array,
        "pandas": lambda texts: pytest.importorskip("pandas").Series(texts, index=np.arange(len(texts))[::-1]),
        "polars": lambda texts: pytest.importorskip("polars").Series(texts),
    }[kind]
    model = SelectiveClassifier(make_pipeline(TfidfEncoder(), LogisticHead()), coverage=0.8, method="both", cv=2)
    expected = clone(model).fit(TEXTS, LABELS).score_samples(TEXTS)
    np.testing.assert_allclose(model.fit(make(TEXTS), LABELS).score_samples(make(TEXTS)), expected)


def test_sparse_rows_and_data_frames_are_taken():
    pandas = pytest.importorskip("pandas")
    for rows in (sparse.csr_array(X), sparse.coo_array(X), pandas.DataFrame(X, columns=["a", "b"])):
        model = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both").fit(rows, Y)
        assert 0.85 < model.is_accepted(rows).mean() < 0.97
        assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        model.is_accepted(rows[["b", "a"]])


def test_classes_that_a_fold_does_not_know_are_wrong_there():
    y = np.where(np.arange(400) == 7, 2, Y)
    model = SelectiveClassifier(LogisticHead(), coverage=1.0).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.error_ >= 1 / 400


def test_a_goal_that_is_not_reached_warns_and_names_what_is():
    with pytest.warns(
        UserWarning, match=r"max_error=0.001 is not reached at any coverage for the 400 held-out"
    ) as seen:
        model = SelectiveClassifier(LogisticHead(), max_error=0.001).fit(X, Y)
    assert f"{model.error_:.1%} of these wrong" in str(seen[0].message)
    assert model.coverage_ > 0
    with pytest.warns(UserWarning, match=r"coverage=0.95 cannot be set from 12 held-out samples: all"):
        model = SelectiveClassifier(LogisticHead(), coverage=0.95).fit(X[:12], Y[:12])
    assert model.is_accepted(TEST).all()


def test_a_class_that_does_not_reach_the_goal_is_named():
    random = np.random.default_rng(0)
    y = np.repeat(["easy", "hard", "harder"], 600)
    X = random.normal(size=(1800, 2)) + np.repeat([[20, 0], [0, 0], [0, 0.1]], 600, axis=0)
    with pytest.warns(UserWarning, match=r"predicted as \['hard', 'harder'\]"):
        model = SelectiveClassifier(LogisticHead(), max_error=0.1).fit(X, y)
    assert model.is_accepted(X)[:600].mean() > 0.95


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"coverage": 0}, Y, r"'coverage' parameter .* range \(0.0, 1.0\]"),
        ({"coverage": 1.1}, Y, r"'coverage' parameter .* range \(0.0, 1.0\]"),
        ({"max_error": 0.0}, Y, r"'max_error' parameter .* range \(0.0, 1.0\)"),
        ({}, Y, "needs one of coverage .* Got neither"),
        ({"coverage": 0.9, "max_error": 0.1}, Y, "needs one of coverage .* Got both"),
        ({"coverage": 0.9, "reject_label": 1}, Y, "reject_label=1 is one of the labels"),
        ({"coverage": 0.9, "reject_label": "none"}, Y, "of the same type as the labels in y, such as 0, or None"),
        ({"coverage": 0.9, "reject_label": 0.5}, Y, "must be of the same type as the labels"),
        ({"coverage": 0.9, "reject_label": np.nan}, Y.astype(float), "must be of the same type as the labels"),
        ({"coverage": 0.9, "reject_label": True}, Y, "must be of the same type as the labels"),
        ({"coverage": 0.9, "reject_label": -1}, np.array(["a", "b"])[Y], "such as 'a', or None. Got -1"),
        ({"coverage": 0.9, "reject_label": -1}, Y == 1, "such as False, or None. Got -1"),
        ({"coverage": 0.9, "method": "margin"}, Y, "'method' parameter"),
        ({"coverage": 0.9}, np.eye(2, dtype=int)[Y], "one label per row, but y is an indicator matrix"),
        ({"coverage": 0.9}, np.zeros(400, int), "at least 2 classes"),
        ({"coverage": 0.9}, np.arange(400) == 3, "at least 2 labels of at least 2 classes. Got 399 .* and 1 of each"),
        ({"coverage": 0.9}, Y[:-1], "same length"),
        ({"coverage": 0.9, "cv": []}, Y, r"cv=\[\] gives no fold"),
        ({"coverage": 0.9, "estimator": RidgeHead()}, Y, "must be a classifier. Got a RidgeHead"),
        (
            {"coverage": 0.9, "estimator": SelectiveClassifier(LogisticHead(), coverage=0.9)},
            Y,
            "must be a classifier that never rejects. Got a SelectiveClassifier",
        ),
    ],
)  # fmt: skip
def test_bad_input_of_fit_is_named(parameters, y, message):
    with pytest.raises(ValueError, match=message):
        SelectiveClassifier(**{"estimator": LogisticHead(), **parameters}).fit(X, y)


def test_weights_must_leave_two_classes():
    with pytest.raises(ValueError, match="at least one non-zero"):
        SelectiveClassifier(LogisticHead(), coverage=0.9).fit(X, Y, sample_weight=np.zeros(400))
    with pytest.raises(ValueError, match="Negative values"):
        SelectiveClassifier(LogisticHead(), coverage=0.9).fit(X, Y, sample_weight=np.full(400, -1.0))
    with pytest.raises(ValueError, match="at least 2 classes"):
        SelectiveClassifier(LogisticHead(), coverage=0.9).fit(X, Y, sample_weight=Y)


@pytest.mark.parametrize("method", ["probability", "both"])
def test_probabilities_are_needed_unless_distances_decide(method):
    with pytest.raises(ValueError, match=f"method='{method}' needs probabilities, but LinearSVC has no predict_proba"):
        SelectiveClassifier(LinearSVC(), coverage=0.9, method=method).fit(X, Y)
    model = SelectiveClassifier(LinearSVC(), coverage=0.9, method="distance").fit(X, Y)
    assert not hasattr(model, "predict_proba")
    assert 0.85 < model.is_accepted(TEST).mean() < 0.95


class Broken(LogisticRegression):
    def predict_proba(self, X):
        return np.where(np.arange(len(X))[:, None] == 2, np.nan, super().predict_proba(X))


def test_missing_probabilities_are_an_error():
    with pytest.raises(ValueError, match="The probabilities of Broken are NaN for 1 of 80 samples, first for sample 2"):
        SelectiveClassifier(Broken(), coverage=0.9).fit(X, Y)


@pytest.mark.parametrize("name", ["predict", "is_accepted", "score_samples", "predict_proba"])
def test_an_unfitted_one_says_so(name):
    with pytest.raises(NotFittedError):
        getattr(SelectiveClassifier(LogisticHead(), coverage=0.9), name)(X)


def test_texts_for_a_model_of_numbers_are_named():
    model = SelectiveClassifier(LogisticHead(), coverage=0.9, method="both").fit(X, Y)
    with pytest.raises(ValueError, match=r"could not convert|1D array|2D array"):
        model.predict(["a text"])
    with pytest.raises(ValueError, match="one bare str"):
        SelectiveClassifier(make_pipeline(TfidfEncoder(), LogisticHead()), coverage=0.9).fit("a text", Y)
    with pytest.raises(ValueError, match="3 features"):
        model.is_accepted(np.ones((2, 3)))


def test_no_warning_is_raised_for_usual_data():
    with warnings.catch_warnings(action="error"):
        SelectiveClassifier(LogisticHead(), coverage=0.9, method="both").fit(X, Y).predict(TEST)
