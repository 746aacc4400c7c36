"""Folds whose training part or held-out rows lack a class."""

import warnings
from functools import cache

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

from transferkit import LogisticHead, LSAEncoder, TransferClassifier
from transferkit.transfer._evaluation import Outcome, is_better, is_clearly_better

pytestmark = pytest.mark.filterwarnings("ignore:Transfer did not help:UserWarning")

X = np.random.RandomState(0).randn(60, 4)
Y = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]
RARE = Y.astype(object)
RARE[:2] = "rare"
TEXTS = [{"a": "red cat", "b": "blue dog", "rare": "red dog"}[label] for label in RARE]
FOLDS = [(np.arange(60)[part::2], np.arange(60)[1 - part :: 2]) for part in (0, 1)]  # "rare" is in both parts
LACKING = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]  # ... in one part alone


@cache
def fit_rotation():
    return PCA(random_state=0).fit(X)


@pytest.mark.parametrize(
    "scoring", ["neg_log_loss", "neg_brier_score", "top_k_accuracy", "d2_log_loss_score", "roc_auc_ovo"]
)
@pytest.mark.parametrize("head", [None, GaussianNB()])
def test_scorers_of_probabilities_are_told_all_classes(scoring, head):
    ignored = "The score is undefined" if scoring.startswith("roc") else "nothing"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=ignored)
        table = TransferClassifier(fit_rotation(), head, scoring=scoring, cv=5).fit(X, RARE).strategy_scores_
    assert not np.isnan(table["mean"]).any()


# a softmax of two classes has the penalty of a logistic regression with twice the C
@pytest.mark.parametrize(("head", "C"), [(LogisticHead(tol=1e-8), 2.0), (LogisticRegression(tol=1e-8), 1.0)])
def test_a_class_that_training_lacks_has_no_probability(head, C):
    model = TransferClassifier(fit_rotation(), head, scoring="neg_log_loss", cv=LACKING).fit(X, RARE)
    expected = []
    for train, test in LACKING:
        lacks = len(np.unique(RARE[train])) == 2
        reference = LogisticRegression(C=C if lacks else 1.0, tol=1e-8).fit(X[train], RARE[train].astype(str))
        probabilities = np.zeros((30, 3))
        probabilities[:, np.isin(["a", "b", "rare"], reference.classes_)] = reference.predict_proba(X[test])
        expected.append(-log_loss(RARE[test].astype(str), probabilities, labels=["a", "b", "rare"]))
    assert model.strategy_scores_["mean"][-1] == pytest.approx(np.mean(expected), rel=1e-3)


@pytest.mark.parametrize("strategy", ["auto", "term_vectors", "frozen", "finetune"])
def test_classes_that_a_fold_lacks_do_not_stop_any_strategy(strategy):
    encoder = LSAEncoder(2, min_df=1).fit(TEXTS)
    model = TransferClassifier(encoder, strategy=strategy, scoring="neg_log_loss", cv=LACKING).fit(TEXTS, RARE)
    assert model.classes_.tolist() == ["a", "b", "rare"]
    assert np.isfinite(model.strategy_scores_["log_loss"][model.strategy_scores_["weight"] > 0]).all()


def test_rows_of_a_class_that_training_lacks_do_not_count_in_the_loss():
    encoder = PCA(random_state=0).fit(X)
    folds = [LACKING[1]]  # "rare" is held out
    model = TransferClassifier(encoder, LogisticHead(tol=1e-8), strategy="auto", cv=folds).fit(X, RARE)
    train, test = folds[0]
    known = test[RARE[test] != "rare"]
    reference = LogisticRegression(C=2.0, tol=1e-8).fit(X[train], RARE[train].astype(str))
    expected = log_loss(RARE[known].astype(str), reference.predict_proba(X[known]))
    np.testing.assert_allclose(model.strategy_scores_["log_loss"], expected, rtol=1e-3)


def test_folds_without_a_score_are_left_out_with_a_warning():
    folds = [*FOLDS, (np.arange(60), np.flatnonzero(Y == "a"))]
    with pytest.warns(
        UserWarning, match=r"undefined \(NaN\) in folds \[2\] of cv, whose held-out rows have no label 'b'"
    ):
        table = TransferClassifier(fit_rotation(), scoring="roc_auc", cv=folds).fit(X, Y).strategy_scores_
    assert not np.isnan(table["mean"]).any()
    with pytest.raises(ValueError, match=r"undefined \(NaN\) in every fold of cv"):
        TransferClassifier(fit_rotation(), scoring="roc_auc", cv=folds[2:]).fit(X, Y)


def test_scorers_that_fail_name_fold_and_class():
    def fails(estimator, X, y):
        if "rare" not in y:
            raise ValueError("it fails.")
        return 1.0

    with pytest.raises(ValueError, match=r"fold 0 of cv, whose held-out rows have no label 'rare': it fails."):
        TransferClassifier(fit_rotation(), scoring=fails, cv=LACKING[:1]).fit(X, RARE)


def make_outcome(scores, loss=np.nan):
    return Outcome("frozen", None, None, np.array(scores), [], loss)


def test_outcomes_are_compared_on_folds_that_have_scores():
    nan = float("nan")
    low, high = make_outcome([0.5, 0.6, nan, 0.1]), make_outcome([0.7, 0.81, 0.0, nan])
    assert high.mean == pytest.approx(0.5033333)
    assert is_better(high, low)
    assert not is_better(low, high)
    assert is_clearly_better(high, low)
    assert not is_better(make_outcome([nan] * 4), low)
    assert not is_better(make_outcome([0.1 + 0.2]), make_outcome([0.3]))  # rounding


@pytest.mark.parametrize(
    ("challenger", "loss", "is_better"),
    [
        ([0.7, 0.7, 0.71], np.nan, True),
        ([0.7, 0.7, 0.71], 0.4, True),
        ([0.7, 0.7, 0.71], 0.6, False),  # the loss is higher
        ([0.9, 0.3, 0.7], 0.4, False),  # by less than one standard error
        ([0.6, 0.6, 0.6], 0.4, False),  # not at all
        ([0.5, 0.5, 0.5], 0.4, False),
    ],
)
def test_clearly_better_is_by_more_than_one_standard_error_and_at_no_higher_loss(challenger, loss, is_better):
    assert is_clearly_better(make_outcome(challenger, loss), make_outcome([0.6, 0.6, 0.6], 0.5)) == is_better
    assert not is_clearly_better(make_outcome([0.9], 0.4), make_outcome([0.1], 0.5))  # of one fold nothing is clear
