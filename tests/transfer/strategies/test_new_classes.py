"""Classes that are added to a source model from rows of these classes alone."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import transferkit
from tests.transfer.strategies.test_strategies import TEST_LABELS, TEST_TEXTS, make_texts
from transferkit import (
    LogisticHead,
    LSAEncoder,
    SelectiveClassifier,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
)
from transferkit._algorithms.linear.class_means import compute_class_means, compute_log_sums, keep_largest
from transferkit.transfer.strategies import _new_classes
from transferkit.transfer.strategies._class_statistics import MOST_TERMS
from transferkit.transfer.strategies._new_classes import _scatter

X, y = load_digits(return_X_y=True)
X = X / 16
OLD, NEW, TEST = np.flatnonzero(y[:800] < 7), np.flatnonzero(y[:800] >= 7)[:24], np.arange(900, len(y))
WILD = ["zebra zebu gnu", "a gnu and a zebra", "zebu and gnu", "the zebra saw a gnu", "gnu gnu zebu", "zebra zebu"]


@pytest.fixture(scope="module")
def digits():
    return TransferClassifier(strategy="scratch").fit(X[OLD], y[OLD])


@pytest.fixture(scope="module")
def topics():
    return TransferClassifier(strategy="scratch").fit(*make_texts(60, 9))


def test_old_and_new_classes_are_predicted(digits):
    model = TransferClassifier(source=digits).fit(X[NEW], y[NEW])
    assert model.classes_.tolist() == list(range(10))
    assert model.strategy_ == "new_classes"
    is_new = y[TEST] >= 7
    assert model.score(X[TEST][is_new], y[TEST][is_new]) > 0.75
    assert model.score(X[TEST][~is_new], y[TEST][~is_new]) > 0.85
    everything = TransferClassifier(strategy="scratch").fit(X[np.r_[OLD, NEW]], y[np.r_[OLD, NEW]])
    assert model.score(X[TEST], y[TEST]) > everything.score(X[TEST], y[TEST]) - 0.05


def test_scores_of_old_classes_do_not_change(digits, topics):
    model = TransferClassifier(source=digits).fit(X[NEW], y[NEW])
    before, after = digits.decision_function(X[TEST]), model.decision_function(X[TEST])[:, :7]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-4)
    model = TransferClassifier(source=topics).fit(WILD, ["wild"] * 6)
    assert model.classes_.tolist() == ["money", "pet", "sky", "wild"]
    before, after = topics.decision_function(TEST_TEXTS), model.decision_function(TEST_TEXTS)[:, :3]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-4)


def test_texts_with_new_words_get_the_new_class(topics):
    model = TransferClassifier(source=topics).fit(WILD, ["wild"] * 6)
    assert model.predict(["the zebu and the gnu", *TEST_TEXTS[:5]]).tolist() == ["wild", *TEST_LABELS[:5]]
    assert "Added 1 to 3 classes" in model.summary_["text"]
    assert model.summary_["class_counts"][3] == 6


def test_two_old_classes():
    old = np.flatnonzero(y[:800] < 2)
    source = TransferClassifier(strategy="scratch").fit(X[old], y[old])
    model = TransferClassifier(source=source).fit(X[NEW], y[NEW])
    before, after = source.decision_function(X[TEST]), model.decision_function(X[TEST])
    np.testing.assert_allclose(after[:, 1] - after[:, 0], before, rtol=1e-4, atol=1e-4)


def test_classes_are_added_one_after_the_other(digits):
    model = digits
    for label in (7, 8, 9):
        rows = NEW[y[NEW] == label]
        model = TransferClassifier(source=model).fit(X[rows], y[rows])
    assert model.classes_.tolist() == list(range(10))
    assert model.score(X[TEST], y[TEST]) > 0.8
    assert model.class_statistics_["means"].shape == (10, 64)
    np.testing.assert_allclose(model.class_statistics_["counts"], np.bincount(y[np.r_[OLD, NEW]]))


def test_order_and_names_of_labels_do_not_matter(digits):
    model = TransferClassifier(source=digits).fit(X[NEW], y[NEW])
    reverse = TransferClassifier(strategy="scratch").fit(X[OLD], -y[OLD])
    renamed = TransferClassifier(source=reverse).fit(X[NEW], -y[NEW])
    assert np.mean(-renamed.predict(X[TEST]) == model.predict(X[TEST])) > 0.98


def test_pretrained_vectors_help_words_that_the_new_texts_lack():
    unlabelled = [
        "the cat sat by the dog",
        "a stock and a bond rose",
        "zebra gnu zebu lion",
        "lion zebu gnu okapi",
    ] * 30
    encoder = WordVectorEncoder(8, min_count=1).fit(unlabelled)
    source = TransferClassifier(encoder, strategy="term_vectors").fit(
        ["the cat", "a dog sat", "cat by dog", "the dog sat", "a stock", "a bond rose", "stock and bond", "a bond"],
        ["pet"] * 4 + ["money"] * 4,
    )
    texts, labels = ["zebra gnu", "gnu zebu", "zebra zebu", "gnu"], ["wild"] * 4
    model = TransferClassifier(encoder, source=source).fit(texts, labels)
    assert model.predict(["lion okapi", "the dog", "stock"]).tolist() == ["wild", "pet", "money"]
    with pytest.warns(UserWarning, match="learned from their own words alone"):
        alone = TransferClassifier(source=source).fit(texts, labels)
    known = list(model.classes_).index("wild")
    assert model.predict_proba(["lion okapi"])[0, known] > alone.predict_proba(["lion okapi"])[0, known]


def test_words_unknown_to_the_encoder_are_learned():
    texts, labels = make_texts(18, 3)
    encoder = WordVectorEncoder(8, min_count=1).fit(make_texts(200, 5)[0])
    source = TransferClassifier(encoder, strategy="term_vectors").fit(texts, labels)
    model = TransferClassifier(encoder, source=source).fit(WILD, ["wild"] * 6)
    assert model.predict(["the zebu and the gnu", "zebra", *TEST_TEXTS[:3]]).tolist() == [
        *["wild"] * 2,
        *TEST_LABELS[:3],
    ]


def test_file_holds_what_is_needed(digits, topics, tmp_path):
    for source, rows, labels, test in ((digits, X[NEW], y[NEW], X[TEST]), (topics, WILD, ["wild"] * 6, TEST_TEXTS)):
        transferkit.save(source, tmp_path / "source.tk")
        model = TransferClassifier(source=source).fit(rows, labels)
        of_file = TransferClassifier(source=tmp_path / "source.tk").fit(rows, labels)
        np.testing.assert_allclose(of_file.predict_proba(test), model.predict_proba(test), atol=1e-6)
        transferkit.save(model, tmp_path / "model.tk")
        loaded = transferkit.load(tmp_path / "model.tk")
        np.testing.assert_allclose(loaded.predict_proba(test), model.predict_proba(test), rtol=1e-5, atol=1e-7)
        clone(of_file).fit(rows, labels)


def test_source_may_be_wrapped(digits):
    expected = TransferClassifier(source=digits).fit(X[NEW], y[NEW]).predict_proba(X[TEST])
    searched = GridSearchCV(TransferClassifier(strategy="scratch"), {"random_state": [0]}, cv=2).fit(X[OLD], y[OLD])
    selective = SelectiveClassifier(TransferClassifier(strategy="scratch"), coverage=0.9, method="probability", cv=2)
    for source in (searched, selective.fit(X[OLD], y[OLD])):
        model = TransferClassifier(source=source).fit(X[NEW], y[NEW])
        np.testing.assert_allclose(model.predict_proba(X[TEST]), expected, atol=1e-5)


def test_repeated_rows_count_as_weights(digits):
    weights = np.where(np.arange(len(NEW)) < 12, 2, 1)
    repeated = np.repeat(NEW, weights)
    groups = np.repeat(np.arange(len(NEW)), weights)  # copies are held out together, as a weighted row is
    expected = TransferClassifier(source=digits).fit(X[repeated], y[repeated], groups=groups)
    model = TransferClassifier(source=digits).fit(X[NEW], y[NEW], sample_weight=weights)
    difference = model.decision_function(X[TEST])[:, 7:] - expected.decision_function(X[TEST])[:, 7:]
    assert np.abs(difference).max() < 3  # the folds differ
    np.testing.assert_allclose(difference - difference.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(model.class_statistics_["counts"], expected.class_statistics_["counts"])


def test_a_mean_weighs_as_much_as_all_rows_of_a_new_class(digits):
    task = _new_classes._make_task(digits, 4, np.array([0, 0, 0, 1]), np.array([1.0, 2, 3, 4]), None)
    np.testing.assert_allclose(task.sample_weight, [5, 5, 5, 5, 1, 2, 3, 4])
    np.testing.assert_array_equal(task.targets, [0, 0, 0, 0, 1, 1, 1, 2])


def test_one_row_of_a_new_class_keeps_the_old_ones(digits):
    model = TransferClassifier(source=digits).fit(X[NEW[:1]], y[NEW[:1]])
    assert len(model.classes_) == 8
    is_old = y[TEST] < 7
    assert model.score(X[TEST][is_old], y[TEST][is_old]) > 0.8
    assert model.predict(X[NEW[:1]]).tolist() == y[NEW[:1]].tolist()


def test_a_source_without_held_out_rows_is_taken_to_be_unsure():
    few = np.concatenate([np.flatnonzero(y[:800] == label)[:2] for label in range(7)])
    source = TransferClassifier(strategy="scratch").fit(X[few], y[few])
    assert source.class_statistics_["log_sum"] is None
    model = TransferClassifier(source=source).fit(X[NEW], y[NEW])
    is_old = y[TEST] < 7
    lost = source.score(X[TEST][is_old], y[TEST][is_old]) - model.score(X[TEST][is_old], y[TEST][is_old])
    assert lost < 0.1


def test_held_out_rows_set_the_scores_of_new_classes(digits):
    """On rows that the model has not seen, about as many are taken for a new class as there are."""
    model = TransferClassifier(source=digits).fit(X[NEW], y[NEW])
    balanced = np.concatenate([TEST[y[TEST] == label][:80] for label in range(10)])
    assert 0.25 < np.mean(model.predict(X[balanced]) >= 7) < 0.37


def test_the_shift_is_added_to_scores_of_new_classes(digits, monkeypatch):
    model = TransferClassifier(source=digits).fit(X[NEW], y[NEW])
    monkeypatch.setattr(_new_classes, "_find_shift", lambda *_: 25.0)
    shifted = TransferClassifier(source=digits).fit(X[NEW], y[NEW])
    difference = shifted.decision_function(X[TEST]) - model.decision_function(X[TEST])
    assert difference[:, 7:].min() > 14
    np.testing.assert_allclose(difference[:, :7], 0, atol=1e-4)


def test_means_scatter_as_rows_of_new_classes_do():
    relative = np.array([[0.0], [-1.0], [1.0], [3.0]])
    rows, targets, weights = _scatter(relative, np.array([0, 1, 1, 1]), np.array([2.0, 1, 1, 1]))
    np.testing.assert_array_equal(targets, [1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(weights, [1, 1, 1, *[0.4] * 5])
    assert abs(rows[3:].mean()) < 1e-12
    assert rows[-1, 0] == pytest.approx(2 * 1.2815515655446004)


def test_class_statistics(topics):
    statistics = topics.class_statistics_
    texts, labels = make_texts(60, 9)
    rows = topics.encoder_.transform(texts).toarray()
    for place, label in enumerate(topics.classes_):
        mean = rows[np.array(labels) == label].mean(0)
        np.testing.assert_allclose(statistics["means"][place].toarray()[0], mean, atol=1e-6)
    assert statistics["counts"].tolist() == [20, 20, 20]
    assert np.log(3) < statistics["log_sum"] < 0.95 * compute_log_sums(topics.decision_function(texts)).mean()


def test_algorithms_of_statistics():
    rows, targets, weights = np.arange(8.0).reshape(4, 2), np.array([0, 2, 2, 0]), np.array([1.0, 1, 3, 0])
    means = compute_class_means(rows, targets, weights, 3)
    np.testing.assert_allclose(means, [[0, 1], [0, 0], [3.5, 4.5]])
    scores = np.array([[1.0, 2, 6]])
    np.testing.assert_allclose(compute_log_sums(scores), logsumexp(scores - 3))
    np.testing.assert_allclose(compute_log_sums(np.array([[4.0]])), np.logaddexp(-2, 2))


def test_only_the_largest_means_of_terms_are_kept():
    from scipy import sparse

    rows = sparse.random(3, 2 * MOST_TERMS, density=0.9, format="csr", random_state=0)
    kept = keep_largest(rows, MOST_TERMS)
    assert np.diff(kept.indptr).tolist() == [MOST_TERMS] * 3
    for place in range(3):
        assert kept[place].data.min() >= np.sort(rows[place].data)[-MOST_TERMS]
    texts = [" ".join(f"w{i}x{j}" for i in range(400)) for j in range(8)]
    model = TransferClassifier(strategy="scratch").fit(texts, ["a", "b"] * 4)
    assert np.diff(model.class_statistics_["means"].indptr).max() == MOST_TERMS


def test_several_labels_per_row_have_no_statistics():
    model = TransferClassifier(strategy="scratch").fit(X[:60], np.stack([y[:60] > 4, y[:60] % 2], 1).astype(int))
    assert model.class_statistics_ is None


def test_second_fit_forgets_the_statistics():
    model = TransferClassifier(strategy="scratch").fit(X[:100], y[:100])
    assert model.class_statistics_ is not None
    assert model.set_params(head=LogisticHead()).fit(X[:100], y[:100]).class_statistics_ is None


def test_some_classes_of_the_source_beside_new_ones_warn(digits):
    rows = np.r_[NEW, OLD[:20]]
    rows = rows[y[rows] != 3]
    with pytest.warns(UserWarning, match="does not know .* classes of the source, such as 3"):
        model = TransferClassifier(source=digits).fit(X[rows], y[rows])
    assert 3 not in model.classes_


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("pipeline", "does not have the mean rows of its classes"),
        ("numbers as text", "Convert y to this type"),
        ("splitter", "cv must be a number of folds"),
        ("width", "has 64 of them, and X has 5"),
        ("class prior", "cannot be combined with a source"),
    ],
)
def test_bad_input_is_named(case, message, digits):
    model, labels, rows = TransferClassifier(source=digits), y[NEW], X[NEW]
    if case == "pipeline":
        model = TransferClassifier(source=make_pipeline(LogisticHead()).fit(X[OLD], y[OLD]))
        rows, labels = X[NEW][y[NEW] == 8], y[NEW][y[NEW] == 8]
    elif case == "numbers as text":
        labels = y[NEW].astype(str)
    elif case == "splitter":
        from sklearn.model_selection import KFold

        model.set_params(cv=KFold(3))
    elif case == "width":
        rows = rows[:, :5]
    else:
        model.set_params(class_prior=dict.fromkeys([7, 8, 9], 1 / 3))
    with pytest.raises(ValueError, match=message):
        model.fit(rows, labels)
    assert not hasattr(model, "classes_")


def test_a_source_without_means_gives_its_classes_up_and_says_so():
    source = LogisticHead().fit(X[OLD], y[OLD])
    with pytest.warns(UserWarning, match="prior has no effect: its classes"):
        model = TransferClassifier(source=source).fit(X[NEW], y[NEW])
    assert model.classes_.tolist() == [7, 8, 9]


def test_columns_of_data_frames_must_be_those_of_the_source():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    source = TransferClassifier(strategy="scratch").fit(frame.iloc[OLD], y[OLD])
    model = TransferClassifier(source=source).fit(frame.iloc[NEW], y[NEW])
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert model.score(frame.iloc[TEST], y[TEST]) > 0.8
    with pytest.raises(ValueError, match="columns of the source in their order"):
        TransferClassifier(source=source).fit(frame.iloc[NEW, ::-1], y[NEW])


@pytest.mark.parametrize("passes_encoder", [False, True])
@pytest.mark.parametrize("encoder", [TfidfEncoder(), WordVectorEncoder(20, min_count=1), LSAEncoder(4, min_df=1)])
def test_features_of_frozen_encoders(encoder, passes_encoder):
    encoder.fit([*make_texts(200, 9)[0], *WILD * 20])
    source = TransferClassifier(encoder, strategy="frozen").fit(*make_texts(60, 9))
    model = TransferClassifier(encoder if passes_encoder else None, source=source).fit(WILD, ["wild"] * 6)
    assert model.predict(["the zebu and the gnu", *TEST_TEXTS[:3]]).tolist() == ["wild", *TEST_LABELS[:3]]
