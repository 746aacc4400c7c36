"""rank_encoders: the right order, on every metric, and clear words for wrong input."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from transferkit import LSAEncoder, TfidfEncoder, TransferClassifier, rank_encoders, save

PETS = ["the cat sat", "a dog ran", "the cat and the dog", "a cat ran after a dog", "my dog and my cat"]
MONEY = ["a stock rose", "the bond fell", "stock and bond prices", "the price of a stock fell", "bond prices rose"]


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6)) * [3, 2, 1, 1, 0.5, 0.1]  # of white features the H-score shrinks nearly all away
    return X, (X[:, 0] + 0.2 * rng.normal(size=120) > 0).astype(int)


@pytest.fixture(scope="module")
def candidates(numbers):
    """The informative column, all columns, and those without a signal."""
    X, _ = numbers
    return {
        "noise": FunctionTransformer(lambda X: X[:, 3:]).fit(X),
        "all": FunctionTransformer().fit(X),
        "signal": FunctionTransformer(lambda X: X[:, :1]).fit(X),
    }


@pytest.mark.parametrize("metric", ["logme", "knn", "cv", "hscore"])
def test_features_with_the_signal_come_first(metric, numbers, candidates):
    ranking = rank_encoders(candidates, *numbers, metric=metric)
    assert ranking["encoder"][-1] == "noise"
    assert (np.diff(ranking["score"]) <= 0).all()
    assert dict(zip(ranking["encoder"], ranking["n_features"], strict=True)) == {"noise": 3, "all": 6, "signal": 1}
    assert (ranking["encode_seconds"] >= 0).all()
    assert (ranking["score_seconds"] > 0).all()


@pytest.mark.parametrize("metric", ["logme", "knn", "cv"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regression(metric, n_outputs, numbers, candidates):
    X, _ = numbers
    y = 100 + X[:, 0] if n_outputs == 1 else np.column_stack([100 + X[:, 0], 3 * X[:, 0]])
    ranking = rank_encoders(candidates, X, y, metric=metric)
    assert ranking["encoder"][-1] == "noise"


def test_whole_numbers_are_regression_when_asked_for(numbers, candidates):
    X, _ = numbers
    y = np.round(10 * X[:, 0])
    assert rank_encoders(candidates, X, y, metric="cv", task="regression")["score"][0] > 0.9


@pytest.mark.parametrize("metric", ["logme", "knn"])
def test_several_labels_a_row(metric, numbers, candidates):
    X, y = numbers
    ranking = rank_encoders(candidates, X, np.column_stack([y, 1 - y]), metric=metric)
    assert ranking["encoder"][-1] == "noise"


def test_leep_prefers_the_source_whose_classes_match(numbers):
    X, y = numbers
    sources = {
        "same": LogisticRegression().fit(X, y),
        "other": LogisticRegression().fit(X, X[:, 5] > 0),
    }
    assert rank_encoders(sources, X, y, metric="leep")["encoder"].tolist() == ["same", "other"]


def test_texts_paths_and_fitted_encoders(tmp_path):
    save(LSAEncoder(n_components=2, min_df=1).fit(MONEY), tmp_path / "money.tk")
    encoders = {"pets": LSAEncoder(n_components=2, min_df=1).fit(PETS), "money": tmp_path / "money.tk"}
    labels = ["share", "loan", "loan", "share", "loan"]
    assert rank_encoders(encoders, MONEY, labels)["encoder"].tolist() == ["money", "pets"]
    model = TransferClassifier(strategy="scratch").fit(MONEY, labels)
    save(model, tmp_path / "model.tk")
    assert len(rank_encoders({"model": tmp_path / "model.tk"}, MONEY, labels, metric="leep")["score"]) == 1


def test_sparse_and_dense_features_score_the_same():
    sparse = TfidfEncoder().fit(PETS + MONEY)
    dense = FunctionTransformer(lambda texts: sparse.transform(texts).toarray()).fit(PETS)
    labels = [0] * 5 + [1] * 5
    for metric in ("logme", "hscore", "knn"):
        scores = rank_encoders({"a": sparse, "b": dense}, PETS + MONEY, labels, metric=metric, n_neighbors=2)["score"]
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)


def test_only_max_samples_rows_are_encoded(numbers):
    X, y = numbers
    seen = []
    encoder = FunctionTransformer(lambda rows: (seen.append(len(rows)), rows)[1]).fit(X)
    seen.clear()
    first = rank_encoders({"a": encoder}, X, y, max_samples=50)["score"]
    assert max(seen) <= 50
    assert first != rank_encoders({"a": encoder}, X, y, max_samples=None)["score"]


def test_second_call_encodes_nothing(numbers):
    X, y = numbers
    pca = PCA(3).fit(X)
    calls = []
    pca.transform = lambda rows, transform=pca.transform: (calls.append(len(rows)), transform(rows))[1]
    rank_encoders({"pca": pca}, X, y)
    rank_encoders({"pca": pca}, X, y, metric="knn")
    assert sum(calls) == len(X)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"encoders": {}}, ValueError, "must be a dict"),
        ({"encoders": [StandardScaler()]}, ValueError, "must be a dict"),
        ({"encoders": {"new": StandardScaler()}}, NotFittedError, "'new' cannot be ranked.*must be fitted"),
        ({"encoders": {"leak": LogisticRegression}}, TypeError, "cannot be ranked"),
        ({"metric": "best"}, ValueError, "'metric' parameter of rank_encoders must be a str among"),
        ({"metric": "leep"}, ValueError, "'scaler' is a StandardScaler"),
        ({"y": [1] * 120}, ValueError, "rank_encoders needs labels of at least 2 classes"),
        ({"y": [0, 1] * 59}, ValueError, "120 rows and 118 labels"),
        ({"y": [0.5, None] * 60}, ValueError, "missing"),
        ({"y": np.linspace(0.1, 1, 120), "metric": "hscore"}, ValueError, "defined for classes only"),
        ({"metric": "knn", "n_neighbors": 120}, ValueError, "n_neighbors=120"),
        ({"max_samples": 1}, ValueError, "'max_samples'"),
    ],
)
def test_wrong_input_is_named(changes, error, words, numbers):
    X, y = numbers
    arguments = {"encoders": {"scaler": StandardScaler().fit(X)}, "X": X, "y": y} | changes
    with pytest.raises(error, match=words):
        rank_encoders(arguments.pop("encoders"), arguments.pop("X"), arguments.pop("y"), **arguments)


def test_features_that_are_not_finite_are_named(numbers):
    X, y = numbers
    broken = FunctionTransformer(lambda rows: rows * np.inf).fit(X)
    with (
        pytest.raises(ValueError, match=r"'broken' .* features are not finite"),
        np.errstate(all="ignore"),
    ):
        rank_encoders({"broken": broken}, X, y)


def test_a_candidate_that_does_not_fit_is_named():
    X = np.random.RandomState(0).rand(20, 5)
    candidates = {"right": StandardScaler().fit(X), "narrow": StandardScaler().fit(X[:, :3])}
    with pytest.raises(ValueError, match=r"The encoder 'narrow' cannot be ranked. X has 5 features"):
        rank_encoders(candidates, X, np.arange(20) % 2)
