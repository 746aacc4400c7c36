"""Weights of rows, classes and labels, and rows that folds repeat: the same in folds, averages and refits."""

from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from transferkit import (
    LogisticHead,
    LogisticHeadCV,
    RidgeHead,
    TorchEncoder,
    TransferClassifier,
    TransferRegressor,
    WordVectorEncoder,
)

pytestmark = pytest.mark.filterwarnings("ignore:Transfer did not help:UserWarning")

R = np.random.RandomState(0)
X = R.randn(90, 5)
Y = np.stack([X[:, 0] > 1, X[:, 1] > 0.8], axis=1).astype(int)  # labels that few rows have
BINARY = (X[:, 0] + 0.7 * R.randn(90) > 0).astype(int)
WORDS = ["red", "green", "blue", "fast", "slow", "car"]
TEXTS = [" ".join(R.choice(WORDS, 4)) for _ in range(90)]
TEXT_LABELS = np.array([[("red" in t) * (R.rand() < 0.3), ("car" in t) * (R.rand() < 0.3)] for t in TEXTS]).astype(int)


@cache
def fit_pca():
    return PCA().fit(X)  # a rotation: as good as X


@pytest.mark.parametrize("Cs", [[1.0], [1.0, 1.0001]])
def test_balanced_labels_weigh_the_same_however_many_candidates_are_kept(Cs):
    model = TransferClassifier(fit_pca(), LogisticHeadCV(Cs, class_weight="balanced", tol=1e-7), cv=3)
    frozen = model.set_params(strategy="auto").fit(X, Y)
    assert frozen.strategy_ == "frozen"
    expected = LogisticHead(class_weight="balanced", tol=1e-7).fit(fit_pca().transform(X), Y)
    np.testing.assert_allclose(frozen.predict_proba(X), expected.predict_proba(fit_pca().transform(X)), atol=1e-3)


def test_candidates_of_labels_are_judged_with_balanced_weights():
    folds = list(KFold(3).split(X))
    head = LogisticHead(class_weight="balanced", tol=1e-7)
    table = TransferClassifier(fit_pca(), head, cv=folds).fit(X, Y).strategy_scores_
    scores = [clone(head).fit(X[train], Y[train]).score(X[test], Y[test]) for train, test in folds]
    assert table["mean"][table["strategy"] == "scratch"] == pytest.approx(np.mean(scores))


@pytest.mark.parametrize("joint_rows", [600, 10], ids=["together", "around the best"])
def test_term_vectors_balance_labels(joint_rows, monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", joint_rows)
    encoder = WordVectorEncoder(3, min_count=1).fit(TEXTS)
    shares = [
        TransferClassifier(encoder, LogisticHead(10.0, class_weight=weight), strategy="term_vectors", cv=2)
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
    model = TransferClassifier(fit_pca(), head, cv=folds, scoring="neg_log_loss").fit(X, BINARY)
    reference = LogisticRegression(tol=1e-8, class_weight=class_weight)
    search = GridSearchCV(reference, {"C": [1.0]}, cv=folds, scoring="neg_log_loss").fit(X, BINARY)
    table = model.strategy_scores_
    assert table["mean"][table["strategy"] == "scratch"] == pytest.approx(search.best_score_, abs=1e-5)


def test_folds_may_be_masks():
    masks = [(np.arange(90) % 3 != k, np.arange(90) % 3 == k) for k in range(3)]
    positions = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in masks]
    by_mask, by_position = (
        TransferClassifier(fit_pca(), cv=folds).fit(X, BINARY).strategy_scores_ for folds in (masks, positions)
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


GROUPS = np.arange(90) % 3


def copies(weights):
    """Return positions of rows, each as often as its weight, and folds that hold copies out together."""
    rows = np.repeat(np.arange(90), weights)
    return rows, [(np.flatnonzero(GROUPS[rows] != k), np.flatnonzero(GROUPS[rows] == k)) for k in range(3)]


@pytest.mark.parametrize("strategy", ["frozen", "scratch", "unfitted"])
def test_a_weight_is_worth_as_many_copies(strategy):
    weights = np.random.RandomState(3).randint(0, 4, 90)
    (rows, of_copies), (_, folds) = copies(weights), copies(np.ones(90, int))
    encoder = StandardScaler(with_std=False, with_mean=False) if strategy == "unfitted" else fit_pca()
    model = TransferClassifier(encoder, strategy="scratch" if strategy == "scratch" else "frozen")
    weighted = clone(model).set_params(cv=folds).fit(X, BINARY, sample_weight=weights)
    copied = clone(model).set_params(cv=of_copies).fit(X[rows], BINARY[rows])
    for name in ("log_loss", "weight", "mean"):
        found, expected = (each.strategy_scores_[name] for each in (weighted, copied))
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(weighted.predict_proba(X), copied.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_contract_of_scikit_learn_on_weights_holds_with_the_default_head(kind):
    check = getattr(estimator_checks, f"check_sample_weight_equivalence_on_{kind}_data")
    check("TransferClassifier", TransferClassifier(strategy="scratch"))


@pytest.mark.parametrize("joint_rows", [600, 10], ids=["together", "around the best"])
def test_weights_weigh_the_evidence_of_prior(joint_rows, monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", joint_rows)
    encoder = WordVectorEncoder(3, min_count=1).fit(TEXTS)
    model = TransferClassifier(encoder, LogisticHead(), strategy="term_vectors", cv=2)
    tables = [
        model.fit(TEXTS, TEXT_LABELS[:, 0], sample_weight=np.full(90, w)).strategy_scores_ for w in (1e-3, 1.0, 1e3)
    ]
    spreads = [np.ptp(table["weight"]) for table in tables]
    assert spreads[0] < spreads[1] < spreads[2]


def test_weights_weigh_the_evidence_of_a_regression():
    encoder = WordVectorEncoder(3, min_count=1).fit(TEXTS)
    target = TEXT_LABELS[:, 0] + 0.1 * R.randn(90)
    weak, strong = (
        TransferRegressor(encoder, RidgeHead(alphas=[w]), strategy="term_vectors").fit(
            TEXTS, target, sample_weight=np.full(90, w)
        )
        for w in (1e-3, 1e3)
    )
    np.testing.assert_allclose(weak.strategy_scores_["mean"], strong.strategy_scores_["mean"])
    assert np.ptp(weak.strategy_scores_["weight"]) < np.ptp(strong.strategy_scores_["weight"])


WEIGHTS = np.ones(90)
WEIGHTS[np.random.RandomState(5).permutation(90)[:30]] = 0
KEPT = np.flatnonzero(WEIGHTS)
UNSEEN = [text if weight else "zebra gnu" for text, weight in zip(TEXTS, WEIGHTS, strict=True)]


@pytest.mark.parametrize("strategy", ["auto", "term_vectors", "frozen", "finetune", "scratch"])
def test_rows_of_weight_zero_are_as_if_they_were_not_there(strategy):
    encoder = WordVectorEncoder(3, min_count=1).fit(TEXTS)
    labels = np.where(WEIGHTS, TEXT_LABELS[:, 0], 7)
    for cv in (2, KFold(2), list(KFold(3).split(TEXTS))):
        model = TransferClassifier(encoder, strategy=strategy, cv=cv)
        weighted = model.fit(UNSEEN, labels, sample_weight=WEIGHTS).predict_proba(TEXTS)
        if isinstance(cv, list):
            place = np.cumsum(WEIGHTS > 0) - 1
            model.cv = [tuple(place[part[WEIGHTS[part] > 0]] for part in fold) for fold in cv]
        absent = model.fit([TEXTS[row] for row in KEPT], labels[KEPT]).predict_proba(TEXTS)
        np.testing.assert_array_equal(weighted, absent)


@pytest.mark.parametrize("strategy", ["auto", "term_vectors", "frozen", "scratch"])
@pytest.mark.parametrize("head", [None, RidgeHead(1.0)])
def test_a_regression_leaves_rows_of_weight_zero_out(strategy, head):
    encoder = WordVectorEncoder(3, min_count=1).fit(TEXTS)
    model = TransferRegressor(encoder, head, strategy=strategy)
    targets = np.where(WEIGHTS, TEXT_LABELS[:, 0], 1e9)
    weighted = model.fit(UNSEEN, targets, sample_weight=WEIGHTS).predict(TEXTS)
    absent = model.fit([TEXTS[row] for row in KEPT], targets[KEPT]).predict(TEXTS)
    np.testing.assert_allclose(weighted, absent, rtol=1e-6)


@pytest.mark.parametrize("kind", [TransferClassifier, TransferRegressor])
def test_weights_that_are_all_zero_are_refused(kind):
    with pytest.raises(ValueError, match="sample_weight is zero for all rows"):
        kind(strategy="scratch").fit(X, BINARY, sample_weight=np.zeros(90))


def test_a_head_with_positions_in_its_folds_keeps_all_rows_in_their_places():
    folds = list(KFold(3).split(X))
    head = LogisticHeadCV([0.1, 1.0], cv=folds)
    model = TransferClassifier(fit_pca(), head, strategy="frozen").fit(X, BINARY, sample_weight=WEIGHTS)
    expected = clone(head).fit(fit_pca().transform(X), BINARY, sample_weight=WEIGHTS)
    np.testing.assert_allclose(model.head_.coef_, expected.coef_, rtol=1e-5)
