"""A source model's weights in a new task."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import transferkit
from tests.transfer.strategies.test_strategies import TEST_LABELS, TEST_TEXTS, make_texts
from transferkit import LogisticHead, LogisticHeadCV, TransferClassifier

X, y = load_digits(return_X_y=True)
FEW = np.arange(900, 940)


@pytest.fixture(scope="module")
def source():
    texts, labels = make_texts(200, 9)
    return TransferClassifier(strategy="scratch").fit(texts, labels)


def test_transfer_begins_where_the_source_is(source):
    texts, labels = make_texts(24, 5)
    model = TransferClassifier(source=source).fit(texts, labels)
    table = model.strategy_scores_
    assert table["strategy"].tolist() == ["source only", "transfer", "target only"]
    assert table["mean"][1] >= table["mean"][2]
    assert model.strategy_ == "transfer"
    assert model.score(TEST_TEXTS, TEST_LABELS) > 0.98


def test_new_words_and_other_classes_are_learned(source):
    texts, labels = make_texts(18, 5)
    texts, labels = [*texts, *["zebra zebu gnu"] * 6], [*labels, *["wild"] * 6]
    model = TransferClassifier(source=source).fit(texts, labels)
    assert model.predict(["a gnu and a zebra", *TEST_TEXTS[:3]]).tolist() == ["wild", *TEST_LABELS[:3]]
    assert model.head_.prior_coverage_["classes_new"] == ["wild"]
    assert model.head_.prior_coverage_["classes_matched"] == ["money", "pet", "sky"]


@pytest.mark.parametrize("kind", ["linear", "pipeline", "file"])
def test_sources_of_numbers(kind, tmp_path):
    make = {"linear": LogisticRegression(max_iter=2000), "pipeline": make_pipeline(StandardScaler(), LogisticHead())}
    fitted = make.get(kind, LogisticHead(C=0.01)).fit(X[:900], y[:900])
    source = fitted
    if kind == "file":
        source = tmp_path / "source.tk"
        transferkit.save(fitted, source)
    few = np.r_[900:940]
    model = TransferClassifier(source=source).fit(X[few], y[few])
    assert model.score(X[1000:], y[1000:]) > TransferClassifier(strategy="scratch").fit(X[few], y[few]).score(
        X[1000:], y[1000:]
    )


def test_features_of_data_frames_are_matched_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    source = LogisticHead(C=0.01).fit(frame[:900], y[:900])
    shuffled = frame[list(frame.columns[::-1])]
    model = TransferClassifier(source=source).fit(shuffled[900:940], y[900:940])
    assert model.score(shuffled[1000:], y[1000:]) > 0.85


def test_clone_keeps_the_source_and_a_file_does_not_need_it(source, tmp_path):
    model = TransferClassifier(source=source)
    assert clone(model).source is source
    texts, labels = make_texts(24, 5)
    transferkit.save(model.fit(texts, labels), tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_allclose(loaded.predict_proba(TEST_TEXTS), model.predict_proba(TEST_TEXTS), rtol=1e-6)


def test_a_given_head_keeps_its_settings():
    known, few = np.flatnonzero(y < 2)[:200], np.flatnonzero(y < 2)[200:230]
    source = LogisticHead(C=0.01).fit(X[known] / 16, y[known])
    Cs = [0.1, 1, 10, 100, 1000]  # those of the default head
    model = TransferClassifier(source=source, head=LogisticHeadCV(Cs, tol=1e-6, max_iter=5000))
    model.fit(X[few] / 16, y[few])
    assert set(model.strategy_scores_["C"][1:]) <= set(Cs)
    assert (model.head_.tol, model.head_.max_iter) == (1e-6, 5000)
    expected = LogisticHead(model.head_.C, prior=source, tol=1e-6).fit(X[few] / 16, y[few])
    np.testing.assert_allclose(model.head_.coef_, expected.coef_, atol=1e-5)
    assert model.head_.prior is None  # a saved model does not need the source


def test_training_that_does_not_converge_warns():
    source = LogisticHead(C=0.01).fit(X[:900], y[:900])
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        model = TransferClassifier(source=source, head=LogisticHead(100.0, max_iter=3)).fit(X[FEW], y[FEW])
    assert model.head_.n_iter_ == [3]


def test_the_default_head_is_tried_at_a_C_that_hardly_leaves_the_source():
    """Labels that are mostly wrong: only a strong pull to the source is of use."""
    source = LogisticHead(C=0.01).fit(X[:900], y[:900])
    rng = np.random.RandomState(0)
    wrong = np.where(rng.rand(len(FEW)) < 0.5, rng.randint(0, 10, len(FEW)), y[FEW])
    model = TransferClassifier(source=source).fit(X[FEW], wrong)
    assert model.head_.C < 0.1


@pytest.mark.parametrize(("Cs", "C"), [([0.5, 20.0, 1000.0], 20.0), ([0.1], 0.1), (None, 10.0)])
def test_few_labels_mean_the_middle_of_the_candidates(Cs, C):
    source = LogisticHead(C=0.01).fit(X[:900], y[:900])
    head = None if Cs is None else LogisticHeadCV(Cs)
    for parameters in ({"source": source}, {"encoder": PCA(4).fit(X), "strategy": "auto"}):
        assert TransferClassifier(head=head, **parameters).fit(X[:10], y[:10]).head_.C == C


def test_a_source_uses_the_weights_of_rows_and_classes():
    source = LogisticHead(C=0.01).fit(X[:900], y[:900])
    weights = np.r_[np.ones(30), np.full(10, 3.0)]
    model = TransferClassifier(source=source, head=LogisticHead(class_weight="balanced", tol=1e-8))
    found = model.fit(X[FEW], y[FEW], sample_weight=weights).head_.coef_
    expected = LogisticHead(class_weight="balanced", prior=source, tol=1e-8)
    np.testing.assert_allclose(found, expected.fit(X[FEW], y[FEW], sample_weight=weights).coef_, atol=1e-5)


def make_frames():
    pandas = pytest.importorskip("pandas")
    rows = np.random.RandomState(0).randn(300, 6)
    labels = (rows[:, 0] > rows[:, 1]).astype(int)
    return pandas.DataFrame(rows, columns=list("abcdef")), labels


def test_fewer_columns_are_matched_by_name():
    frame, labels = make_frames()
    source = LogisticHead(100.0).fit(frame, labels)
    few = frame[list("bac")]
    model = TransferClassifier(source=source).fit(few[:6], labels[:6])
    assert model.score(few[100:], labels[100:]) > 0.9
    assert model.head_.prior_coverage_["features_matched"] == 3
    assert np.isnan(model.strategy_scores_["mean"][0])  # the source itself cannot predict these


@pytest.mark.parametrize("width", [5, 7])
def test_other_numbers_of_features_without_names_are_refused(width):
    frame, labels = make_frames()
    rows = np.hstack([np.zeros((300, 1)), frame.to_numpy()])[:, 7 - width :] if width == 5 else np.zeros((300, 7))
    source = LogisticHead().fit(frame.to_numpy(), labels)
    with pytest.raises(ValueError, match=f"prior has weights of 6 features and X has {width}. Different features are"):
        TransferClassifier(source=source).fit(rows, labels)


def test_a_plain_linear_source_is_matched_with_the_features_of_an_encoder():
    frame, labels = make_frames()
    scaler = StandardScaler(with_mean=False).fit(frame)
    model = TransferClassifier(scaler, source=LogisticHead(100.0).fit(frame, labels)).fit(frame[:8], labels[:8])
    assert model.head_.prior_coverage_["features_matched"] == 6
    assert model.score(frame[100:], labels[100:]) > 0.9
    nameless = LogisticHead().fit(frame.to_numpy(), labels)
    with pytest.raises(ValueError, match="The features of the source, a LogisticHead, have no names"):
        TransferClassifier(scaler, source=nameless).fit(frame, labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"source": RandomForestClassifier(2)}, "whose head is linear .* Got RandomForestClassifier"),
        ({"source": LogisticHead(), "strategy": "frozen"}, "source is used with strategy='auto' only"),
        ({"source": LogisticHead(), "head": RandomForestClassifier()}, "head must be None"),
        ({"source": 3}, "The 'source' parameter of TransferClassifier"),
    ],
)
def test_bad_sources_are_named(parameters, message):
    model = TransferClassifier(**parameters)
    if model.source != 3:
        model.source = clone(model.source).fit(X[:50], y[:50])
    with pytest.raises(ValueError, match=message):
        model.fit(X[:50], y[:50])
    assert not hasattr(model, "head_")
