"""Scores of folds that lack a class, repeat rows or have no score, and weights of candidates."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, make_scorer, precision_score
from sklearn.model_selection import GridSearchCV, KFold

from transferkit import LogisticHead, LogisticHeadCV
from transferkit._algorithms.linear.predictions import UNTRAINED
from transferkit.heads.linear.evaluation import average_folds, compute_candidate_weights, compute_fold_weights

RARE = pytest.mark.filterwarnings("ignore:The least populated class in y has only")


def make_problem(n_classes=4, n_rows=120):
    rng = np.random.default_rng(0)
    y = np.arange(n_rows) % n_classes
    return rng.normal(size=(n_rows, 3)) + 2 * np.eye(max(3, n_classes))[y, :3], y


def make_rare_problem():
    X = np.random.default_rng(0).normal(size=(100, 4))
    y = np.where(X[:, 0] + 0.3 * X[:, 1] > 0, "b", "a").astype(object)
    y[:3] = "rare"
    return X, y


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_that_a_fold_repeats_counts_as_often(class_weight, weighted):
    X, y = make_problem(3)
    train = np.random.default_rng(0).integers(0, len(y), len(y))
    folds = [(train, np.setdiff1d(np.arange(len(y)), train))]
    weights = {"sample_weight": np.random.default_rng(1).uniform(0.5, 2, len(y))} if weighted else {}
    options = {"scoring": "neg_log_loss", "cv": folds}
    search = LogisticHeadCV([1.0], tol=1e-9, class_weight=class_weight, **options).fit(X, y, **weights)
    head = LogisticHead(tol=1e-9, class_weight=class_weight)
    reference = GridSearchCV(head, {"C": [1.0]}, **options).fit(X, y, **weights)
    assert search.best_score_ == pytest.approx(reference.best_score_, rel=1e-5)


def test_folds_may_be_masks():
    X, y = make_problem()
    masks = [(np.arange(len(y)) % 3 != fold, np.arange(len(y)) % 3 == fold) for fold in range(3)]
    by_mask = LogisticHeadCV([1.0], cv=masks, scoring="neg_log_loss").fit(X, y)
    by_index = LogisticHeadCV([1.0], cv=[tuple(map(np.flatnonzero, fold)) for fold in masks], scoring="neg_log_loss")
    assert by_mask.best_score_ == by_index.fit(X, y).best_score_


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [3, 4])
def test_a_class_without_training_rows_is_never_predicted(fit_intercept, n_classes):
    X, y = make_problem(n_classes)
    fold = np.flatnonzero(y != 2), np.flatnonzero(y == 2)
    head = LogisticHeadCV([0.01, 1.0, 100.0], cv=[fold], store_oof=True, fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_array_equal(head.cv_results_["mean_test_score"], 0)
    assert (head.oof_decision_[:, fold[1], 2] == UNTRAINED).all()
    assert (head.oof_decision_[:, fold[1]].argmax(2) != 2).all()


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_class_without_training_rows_has_no_part_in_training(fit_intercept):
    X, y = make_problem()
    folds = [(np.flatnonzero((y != label) & (np.arange(len(y)) % 3 > 0)), np.arange(0, len(y), 3)) for label in (1, 2)]

    def measure_confidence(head, X, y):
        assert len(head.classes_) == 3
        return head.predict_proba(X).max(1).mean() + accuracy_score(y, head.predict(X))

    Cs, options = [0.1, 10.0], {"cv": folds, "scoring": measure_confidence}
    search = LogisticHeadCV(Cs, tol=1e-9, fit_intercept=fit_intercept, **options).fit(X, y)
    head = LogisticHead(tol=1e-9, fit_intercept=fit_intercept)
    reference = GridSearchCV(head, {"C": Cs}, **options).fit(X, y)
    for fold in (0, 1):
        key = f"split{fold}_test_score"
        np.testing.assert_allclose(search.cv_results_[key], reference.cv_results_[key], rtol=1e-4)


def test_callable_scorers_get_heads_of_two_classes_where_a_third_is_missing():
    X, y = make_problem(3)
    fold = np.flatnonzero(y != 1), np.arange(len(y))
    seen = []

    def keep(head, X, y):
        seen.append((head.classes_.tolist(), head.coef_.shape, head.predict_proba(X)[:, 1]))
        return head.score(X, y)

    named = LogisticHeadCV([1.0], cv=[fold], store_oof=True).fit(X, y)
    LogisticHeadCV([1.0], cv=[fold], scoring=keep).fit(X, y)
    classes, shape, probabilities = seen[0]
    assert (classes, shape) == ([0, 2], (1, 3))
    decision = named.oof_decision_[0]
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(decision[:, 0] - decision[:, 2])), rtol=1e-6)


def test_rows_of_a_class_without_training_rows_do_not_count_in_an_average():
    X, y = make_problem(4)
    held_out = (y == 2) | (np.arange(len(y)) % 5 == 0)
    folds = [(np.flatnonzero(~held_out), np.flatnonzero(held_out))]
    both = LogisticHeadCV([0.1, 10.0], cv=folds, refit="average").fit(X, y)
    known = [(train, test[y[test] != 2]) for train, test in folds]
    expected = LogisticHeadCV([0.1, 10.0], cv=known, refit="average").fit(X, y)
    np.testing.assert_allclose(both.candidate_weights_, expected.candidate_weights_)
    assert np.isfinite(both.coef_).all()


def test_decisions_for_a_class_are_those_of_the_folds_that_know_it():
    X, y = make_problem()
    test = np.flatnonzero(y == 2)
    knows, lacks = (np.arange(90), test), (np.flatnonzero(y != 2), test)
    both = LogisticHeadCV([1.0], cv=[knows, lacks], store_oof=True, tol=1e-8).fit(X, y)
    one = LogisticHeadCV([1.0], cv=[knows], store_oof=True, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(both.oof_decision_[0, test, 2], one.oof_decision_[0, test, 2], rtol=1e-3)


@RARE
@pytest.mark.parametrize(
    "scoring",
    ["neg_log_loss", "neg_brier_score", "d2_log_loss_score", "d2_brier_score", "top_k_accuracy", "roc_auc_ovo"],
)
def test_scorers_of_probabilities_know_all_classes(scoring):
    X, y = make_rare_problem()
    search = LogisticHeadCV([0.01, 1.0, 100.0], scoring=scoring, tol=1e-7).fit(X, y)
    options = {"use_legacy_attributes": False, "scoring": scoring, "tol": 1e-8, "max_iter": 5000, "l1_ratios": (0.0,)}
    reference = LogisticRegressionCV(Cs=[0.01, 1.0, 100.0], cv=5, **options).fit(X, y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], reference.scores_.mean(0).ravel(), atol=1e-3)
    assert search.C_ == reference.C_


@RARE
def test_folds_without_a_score_are_left_out_and_named():
    X, y = make_rare_problem()
    with pytest.warns(UserWarning, match=r"undefined \(NaN\) in folds \[3, 4\] of cv.*no label 'rare'"):
        search = LogisticHeadCV([0.01, 1.0], scoring="roc_auc_ovr").fit(X, y)
    splits = np.stack([search.cv_results_[f"split{fold}_test_score"] for fold in range(5)], axis=1)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], splits[:, :3].mean(1))
    np.testing.assert_allclose(search.cv_results_["std_test_score"], splits[:, :3].std(1))
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


def test_scores_that_no_fold_has_are_refused():
    X, y = np.arange(40.0)[:, None], np.repeat(["no", "yes"], 20)
    folds = [(np.arange(10, 40), np.arange(10)), (np.arange(5, 40), np.arange(5))]
    with pytest.raises(ValueError, match=r"undefined \(NaN\) in every fold of cv.*no label 'yes'.*Use fewer folds"):
        LogisticHeadCV(scoring="roc_auc", cv=folds).fit(X, y)


def test_scorers_that_fail_name_the_fold_and_the_class():
    X, y = make_problem(3)

    def refuse(truth, predictions):
        if len(np.unique(truth)) < 3:
            raise ValueError("Three are needed.")
        return accuracy_score(truth, predictions)

    folds = [(np.arange(60), np.arange(60, 120)), (np.arange(60), np.flatnonzero(y != 1))]
    for scoring in (make_scorer(refuse), lambda head, X, y: refuse(y, head.predict(X))):
        with pytest.raises(ValueError, match="failed in fold 1 of cv, whose held-out rows have no label 1: Three are"):
            LogisticHeadCV([1.0], scoring=scoring, cv=folds).fit(X, y)


def test_a_score_of_nan_never_wins():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    y = (X[:, 0] + rng.normal(size=200) > 1.5).astype(int)
    scorer, Cs = make_scorer(precision_score, zero_division=np.nan), [1e-6, 1e-2, 1.0]
    search = LogisticHeadCV(Cs, scoring=scorer).fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"][0])
    assert search.C_ == Cs[search.cv_results_["rank_test_score"].argmin()] == 1.0
    assert search.best_score_ == np.nanmax(search.cv_results_["mean_test_score"])


def test_a_loss_of_nan_does_not_win_against_one_that_is_known():
    X, y, seen = np.arange(20.0)[:, None] - 9.5, np.arange(20) % 4 > 1, []

    def score(head, X, y):
        seen.append(head)
        return np.nan if len(seen) <= 2 else -1.0  # both folds of the smallest C come first

    search = LogisticHeadCV([0.1, 1.0, 10.0], scoring=score, cv=2).fit(X, y)
    assert (search.C_, search.best_score_) == (1.0, -1.0)


def test_a_candidate_with_fewer_scores_than_others_has_no_mean():
    scores = np.array([[0.9, np.nan, np.nan], [0.5, 0.7, np.nan], [0.1, 0.3, np.nan]])
    means, deviations = average_folds(scores)
    np.testing.assert_allclose(means, [np.nan, 0.6, 0.2])
    np.testing.assert_allclose(deviations, [np.nan, 0.1, 0.1])


@pytest.mark.parametrize("scoring", ["f1", "precision", "average_precision", "neg_brier_score", "jaccard"])
def test_the_second_of_two_classes_is_the_positive_one_where_1_is_no_label(scoring):
    X, y = make_problem(2)
    named = LogisticHeadCV([0.1, 1.0], scoring=scoring, cv=KFold(3)).fit(X, np.array(["no", "yes"])[y])
    numbered = LogisticHeadCV([0.1, 1.0], scoring=scoring, cv=KFold(3)).fit(X, y)
    np.testing.assert_array_equal(named.cv_results_["mean_test_score"], numbered.cv_results_["mean_test_score"])
    last = LogisticHeadCV([0.1, 1.0], scoring="f1", cv=KFold(3)).fit(X, y + 1)  # 1 is a label: the positive one
    reference = GridSearchCV(LogisticHead(), {"C": [0.1, 1.0]}, scoring="f1", cv=KFold(3)).fit(X, y + 1)
    np.testing.assert_allclose(last.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=0.02)


def test_labels_are_balanced_within_the_training_part_of_each_fold():
    targets = (np.random.default_rng(0).random((60, 3)) < [0.2, 0.5, 0.7]).astype(int)
    folds, ones = list(KFold(3).split(targets)), np.ones(60, np.float32)
    weights = compute_fold_weights(LogisticHead(class_weight="balanced"), np.arange(3), targets, folds, ones)
    assert weights.shape == (60, 3, 3)
    for fold, (train, test) in enumerate(folds):
        assert not weights[test, fold].any()
        of_ones = (weights[train, fold] * targets[train]).sum(axis=0)
        np.testing.assert_allclose(of_ones, weights[train, fold].sum(axis=0) / 2, rtol=1e-5)
    alike = compute_fold_weights(LogisticHead(), np.arange(3), targets, folds, ones)
    np.testing.assert_array_equal(alike, weights.any(axis=2))


@pytest.mark.parametrize("sharpness", [0.25, 1.0])
def test_candidates_are_weighted_by_their_likelihood(sharpness):
    log_likelihoods = np.array([-10.0, -12.0, -11.0, -60.0])
    expected = softmax(sharpness * log_likelihoods)
    expected[-1] = 0  # less than a thousandth of the largest
    np.testing.assert_allclose(compute_candidate_weights(log_likelihoods, sharpness), expected, rtol=1e-4)
