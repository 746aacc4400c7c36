"""Weights of rows, classes and labels, and rows that folds repeat: the same in folds, averages and refits."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold

from transferkit import LogisticHead, LogisticHeadCV, TorchEncoder, TransferClassifier, WordVectorEncoder

pytestmark = pytest.mark.filterwarnings("ignore:Transfer did not help:UserWarning")

R = np.random.RandomState(0)
X = R.randn(90, 5)
Y = np.stack([X[:, 0] > 1, X[:, 1] > 0.8], axis=1).astype(int)  # labels that few rows have
BINARY = (X[:, 0] + 0.7 * R.randn(90) > 0).astype(int)
PCA_OF_X = PCA().fit(X)  # a rotation: as good as X
WORDS = ["red", "green", "blue", "fast", "slow", "car"]
TEXTS = [" ".join(R.choice(WORDS, 4)) for _ in range(90)]
TEXT_LABELS = np.array([[("red" in t) * (R.rand() < 0.3), ("car" in t) * (R.rand() < 0.3)] for t in TEXTS]).astype(int)


@pytest.mark.parametrize("Cs", [[1.0], [1.0, 1.0001]])
def test_balanced_labels_weigh_the_same_however_many_candidates_are_kept(Cs):
    model = TransferClassifier(PCA_OF_X, LogisticHeadCV(Cs, class_weight="balanced", tol=1e-7), cv=3)
    frozen = model.set_params(strategy="auto").fit(X, Y)
    assert frozen.strategy_ == "frozen"
    expected = LogisticHead(class_weight="balanced", tol=1e-7).fit(PCA_OF_X.transform(X), Y)
    np.testing.assert_allclose(frozen.predict_proba(X), expected.predict_proba(PCA_OF_X.transform(X)), atol=1e-3)


def test_candidates_of_labels_are_judged_with_balanced_weights():
    folds = list(KFold(3).split(X))
    head = LogisticHead(class_weight="balanced", tol=1e-7)
    table = TransferClassifier(PCA_OF_X, head, cv=folds).fit(X, Y).strategy_scores_
    scores = [clone(head).fit(X[train], Y[train]).score(X[test], Y[test]) for train, test in folds]
    assert table["mean"][table["strategy"] == "scratch"] == pytest.approx(np.mean(scores))


@pytest.mark.parametrize("joint_rows", [600, 10], ids=["kernels", "kernel by kernel"])
@pytest.mark.parametrize("kernel_rows", [1500, 10], ids=["kernel", "features"])
def test_prior_balances_labels(joint_rows, kernel_rows, monkeypatch):
    monkeypatch.setattr("transferkit.transfer._prior.MOST_JOINT_ROWS", joint_rows)
    monkeypatch.setattr("transferkit.transfer._prior.MOST_KERNEL_ROWS", kernel_rows)
    encoder = WordVectorEncoder(3, min_count=1).fit(TEXTS)
    shares = [
        TransferClassifier(encoder, LogisticHead(10.0, class_weight=weight), strategy="prior", cv=2)
        .fit(TEXTS, TEXT_LABELS)
        .predict(TEXTS)
        .mean(0)
        for weight in (None, "balanced")
    ]
    assert (shares[1] > shares[0] + 0.15).all()


def test_fine_tuning_cannot_balance_labels_and_says_so():
    import torch

    encoder, head = TorchEncoder(torch.nn.Linear(5, 3)), LogisticHead(class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight of the head must be None when y is an indicator matrix"):
        TransferClassifier(encoder, head, strategy="finetune").fit(X, Y)
    table = TransferClassifier(encoder, head, cv=2).fit(X, Y).strategy_scores_
    assert set(table["strategy"]) == {"frozen", "scratch"}
    with pytest.raises(ValueError, match="'balanced' or None when y is an indicator matrix"):
        TransferClassifier(encoder, LogisticHead(class_weight={0: 2.0})).fit(X, Y)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_rows_that_a_fold_repeats_count_as_often(class_weight):
    train = np.random.RandomState(0).randint(0, 90, 90)
    folds = [(train, np.setdiff1d(np.arange(90), train))]
    head = LogisticHead(tol=1e-8, class_weight=class_weight)
    model = TransferClassifier(PCA_OF_X, head, cv=folds, scoring="neg_log_loss").fit(X, BINARY)
    reference = LogisticRegression(tol=1e-8, class_weight=class_weight)
    search = GridSearchCV(reference, {"C": [1.0]}, cv=folds, scoring="neg_log_loss").fit(X, BINARY)
    table = model.strategy_scores_
    assert table["mean"][table["strategy"] == "scratch"] == pytest.approx(search.best_score_, abs=1e-5)


def test_folds_may_be_masks():
    masks = [(np.arange(90) % 3 != k, np.arange(90) % 3 == k) for k in range(3)]
    positions = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in masks]
    by_mask, by_position = (
        TransferClassifier(PCA_OF_X, cv=folds).fit(X, BINARY).strategy_scores_ for folds in (masks, positions)
    )
    np.testing.assert_array_equal(by_mask["log_loss"], by_position["log_loss"])


def test_groups_are_held_out_together_with_an_int_cv():
    groups = np.arange(90) // 9
    values = np.random.RandomState(1).permutation(10)[groups] % 2  # each group has one label
    rows = np.eye(10)[groups]  # that tell the group
    model = TransferClassifier(PCA(9).fit(rows), LogisticHead(), cv=3)
    assert model.fit(rows, values).strategy_scores_["mean"].max() == 1
    assert model.fit(rows, values, groups=groups).strategy_scores_["mean"].max() < 0.8
    with pytest.raises(ValueError, match="at least 2 groups"):
        model.fit(rows, values, groups=np.zeros(90))
    few = model.fit(rows[::30], [0, 1, 0], groups=[0, 1, 2])  # with few labels there are no folds
    assert np.isnan(few.strategy_scores_["mean"]).all()
