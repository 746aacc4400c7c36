"""LogisticHeadCV gives the results of GridSearchCV in one batched fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit, cross_val_predict
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from transferkit import LogisticHead, LogisticHeadCV
from transferkit._training.linear import search

CS = [1e-3, 1e-2, 0.1, 1.0, 10.0]


@parametrize_with_checks([LogisticHeadCV()])
def test_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def load_problem(name):
    if name == "binary":
        X, y = load_breast_cancer(return_X_y=True)
        return scale(X), y
    X, y = load_digits(return_X_y=True)
    if name == "sparse":
        return sp.csr_matrix(X[::4] / 16), y[::4]
    if name == "wide":
        rng = np.random.default_rng(0)
        return sp.csr_matrix((X[::12] / 16) @ (rng.normal(size=(64, 200)) * (rng.random((64, 200)) < 0.1))), y[::12]
    return X[::4] / 16, y[::4]


@pytest.mark.parametrize("problem", ["binary", "dense", "sparse", "wide"])
def test_agrees_with_a_grid_search_over_logistic_regression(problem):
    X, y = load_problem(problem)
    Cs = CS[:4] if problem == "wide" else CS  # beyond, the reference stops too far from its own optimum
    search = LogisticHeadCV(Cs, scoring="neg_log_loss", tol=1e-6).fit(X, y)
    single = LogisticRegression(tol=1e-5, max_iter=10_000)
    reference = GridSearchCV(single, {"C": Cs}, cv=5, scoring="neg_log_loss").fit(X, y)
    assert reference.best_params_ == search.best_params_
    for key in (*(f"split{i}_test_score" for i in range(5)), "mean_test_score"):
        np.testing.assert_allclose(search.cv_results_[key], reference.cv_results_[key], atol=3e-3)
    accuracy = LogisticHeadCV(CS).fit(X, y).cv_results_["mean_test_score"]
    expected = GridSearchCV(LogisticHead(tol=1e-6), {"C": CS}, cv=5).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(accuracy, expected, atol=3.1 / X.shape[0])  # three rows near the border


def test_table_reads_like_that_of_grid_search():
    X, y = load_iris(return_X_y=True)
    ours = LogisticHeadCV(CS).fit(X, y).cv_results_
    theirs = GridSearchCV(LogisticHead(), {"C": CS}).fit(X, y).cv_results_
    assert ours.keys() == theirs.keys()
    assert ours["params"] == theirs["params"]
    np.testing.assert_array_equal(ours["rank_test_score"], theirs["rank_test_score"])
    assert {key: np.asarray(value).shape for key, value in ours.items()} == {
        key: np.asarray(value).shape for key, value in theirs.items()
    }


def test_final_model_is_that_of_the_chosen_C():
    for name in ("binary", "dense", "sparse", "wide"):
        X, y = load_problem(name)
        search = LogisticHeadCV(CS, tol=1e-6).fit(X, y)
        head = LogisticHead(C=search.C_, tol=1e-6).fit(X, y)
        np.testing.assert_allclose(search.coef_, head.coef_, atol=5e-3 * np.abs(head.coef_).max())
        np.testing.assert_allclose(search.predict_proba(X), head.predict_proba(X), atol=2e-3)
        assert search.coef_.T.flags.c_contiguous


@pytest.mark.parametrize("name", ["dense", "wide"])
def test_one_batch_of_all_values_of_C_gives_the_same_as_one_after_the_other(monkeypatch, name):
    X, y = load_problem(name)
    monkeypatch.setattr(search, "BATCH_SCORES", 10**9)
    together = LogisticHeadCV(CS, scoring="neg_log_loss", tol=1e-6).fit(X, y)
    monkeypatch.setattr(search, "BATCH_SCORES", 1)
    apart = LogisticHeadCV(CS, scoring="neg_log_loss", tol=1e-6).fit(X, y)
    np.testing.assert_allclose(together.cv_results_["mean_test_score"], apart.cv_results_["mean_test_score"], atol=2e-3)


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "roc_auc_ovr", "neg_log_loss", "balanced_accuracy"])
def test_any_named_scorer(scoring):
    X, y = load_iris(return_X_y=True)
    search = LogisticHeadCV(CS, scoring=scoring, tol=1e-6).fit(X, y)
    reference = GridSearchCV(LogisticHead(tol=1e-6), {"C": CS}, scoring=scoring).fit(X, y)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"],
        reference.cv_results_["mean_test_score"],
        atol=2e-3,
    )


def test_callable_scorer_gets_a_fitted_head_and_the_held_out_features():
    X, y = load_iris(return_X_y=True)
    shapes = set()

    def score(head, X, y):
        shapes.add((X.shape[1], head.coef_.shape))
        return accuracy_score(y, head.predict(X))

    by_callable = LogisticHeadCV(CS, scoring=score).fit(X, y)
    by_name = LogisticHeadCV(CS, scoring="accuracy").fit(X, y)
    by_scorer = LogisticHeadCV(CS, scoring=make_scorer(accuracy_score)).fit(X, y)
    assert shapes == {(4, (3, 4))}
    for other in (by_callable, by_scorer):
        np.testing.assert_array_equal(by_name.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])


@pytest.mark.parametrize("cv", [KFold(4, shuffle=True, random_state=0), ShuffleSplit(3, random_state=0), GroupKFold(3)])
def test_any_splitter(cv):
    X, y = load_iris(return_X_y=True)
    groups = np.arange(len(y)) % 7
    groups = {"groups": groups} if isinstance(cv, GroupKFold) else {}
    search = LogisticHeadCV(CS, cv=cv, tol=1e-6).fit(X, y, **groups)
    reference = GridSearchCV(LogisticHead(tol=1e-6), {"C": CS}, cv=cv).fit(X, y, **groups)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=0.01
    )


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0}])
def test_weights_of_samples_and_classes_act_in_training(class_weight):
    X, y = load_problem("binary")
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    options = {"scoring": "neg_log_loss"}
    search = LogisticHeadCV(CS, class_weight=class_weight, tol=1e-6, **options).fit(X, y, sample_weight=weights)
    head = LogisticHead(class_weight=class_weight, tol=1e-6)
    reference = GridSearchCV(head, {"C": CS}, **options).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=1e-3
    )


def test_prior_survives_clone_and_helps_with_few_labels():
    X, y = load_digits(return_X_y=True)
    X, y = X[::2] / 16, y[::2]
    source = LogisticRegression(max_iter=1000).fit(X[:600], y[:600])
    few, labels = X[600:660], y[600:660]
    with_prior = clone(LogisticHeadCV(CS, cv=3, prior=source)).fit(few, labels)
    without = LogisticHeadCV(CS, cv=3).fit(few, labels)
    assert with_prior.score(X[660:], y[660:]) > without.score(X[660:], y[660:]) + 0.03
    assert with_prior.prior_coverage_["features_matched"] == 64


def test_without_refit_there_are_scores_and_no_predictions():
    X, y = load_iris(return_X_y=True)
    search = LogisticHeadCV(CS).fit(X, y).set_params(refit=False).fit(X, y)
    assert search.C_ == LogisticHeadCV(CS).fit(X, y).C_
    assert search.refit_time_ == 0
    assert not hasattr(search, "coef_")


def test_number_of_candidates_spans_a_logarithmic_scale():
    X, y = load_iris(return_X_y=True)
    np.testing.assert_allclose(LogisticHeadCV(5).fit(X, y).Cs_, [1e-4, 1e-2, 1, 1e2, 1e4])


def test_order_of_the_candidates_is_kept_in_the_table():
    X, y = load_iris(return_X_y=True)
    up, down = LogisticHeadCV(CS).fit(X, y), LogisticHeadCV(CS[::-1]).fit(X, y)
    np.testing.assert_array_equal(up.cv_results_["mean_test_score"], down.cv_results_["mean_test_score"][::-1])
    assert up.C_ == down.C_ == down.Cs_[down.best_index_]


def test_of_equal_candidates_the_smallest_C_is_best():
    X, y = np.arange(20.0)[:, None] - 9.5, np.arange(20) >= 10
    search = LogisticHeadCV([10.0, 0.1, 1.0], cv=2).fit(X, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], search.best_score_)
    assert search.C_ == 0.1


def test_warns_when_it_did_not_converge():
    X, y = load_problem("dense")
    with pytest.warns(ConvergenceWarning, match="LogisticHeadCV did not converge in max_iter=2 steps"):
        LogisticHeadCV([10.0], max_iter=2).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Cs": 0}, "The 'Cs' parameter of LogisticHeadCV must be"),
        ({"Cs": [1.0, -1.0]}, r"Cs must be an int or a list of finite numbers larger than 0. Got \[1.0, -1.0\]"),
        ({"Cs": []}, "Cs must be an int or a list"),
        ({"scoring": "niceness"}, "The 'scoring' parameter of LogisticHeadCV must be"),
        ({"cv": KFold(3)}, "Fold 0 of cv has training rows of fewer than 2 classes"),
    ],
)
def test_bad_input_is_named(parameters, message):
    X, y = np.arange(12.0)[:, None], np.repeat([0, 1], [4, 8])
    with pytest.raises(ValueError, match=message):
        LogisticHeadCV(**parameters).fit(X, y)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("scoring", [None, "f1_micro", "roc_auc"])
def test_several_labels_a_row_agree_with_a_grid_search(scoring, class_weight):
    X, y = make_multilabel_classification(200, 20, n_classes=4, n_labels=2, random_state=0)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    options = {"scoring": scoring, "cv": 3}
    search = LogisticHeadCV(CS, class_weight=class_weight, tol=1e-7, **options).fit(X, y, sample_weight=weights)
    head = LogisticHead(class_weight=class_weight, tol=1e-7)
    reference = GridSearchCV(head, {"C": CS}, **options).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=2e-3
    )
    assert reference.best_params_["C"] == search.C_
    np.testing.assert_allclose(search.predict_proba(X), reference.predict_proba(X), atol=2e-3)
    assert search.multilabel_


def test_several_labels_with_a_prior_and_a_callable_scorer():
    X, y = make_multilabel_classification(200, 20, n_classes=4, n_labels=2, random_state=0)
    source = LogisticHead(C=0.1).fit(X, y)
    calls = []

    def score(head, X, y):
        calls.append(head.coef_.shape)
        return head.score(X, y)

    search = LogisticHeadCV([0.01, 1.0], prior=source, scoring=score, cv=3, tol=1e-7).fit(X, y)
    head = GridSearchCV(LogisticHead(prior=source, tol=1e-7), {"C": [0.01, 1.0]}, cv=3).fit(X, y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], head.cv_results_["mean_test_score"], atol=0.01)
    assert set(calls) == {(4, 20)}


@pytest.mark.parametrize("problem", ["binary", "dense"])
def test_held_out_decisions_are_those_of_models_that_did_not_see_the_row(problem):
    X, y = load_problem(problem)
    search = LogisticHeadCV(CS[1:3], cv=4, store_oof=True, tol=1e-7).fit(X, y)
    for C, decision, likelihood in zip(CS[1:3], search.oof_decision_, search.oof_log_likelihood_, strict=True):
        head = LogisticHead(C=C, tol=1e-7)
        expected = cross_val_predict(head, X, y, cv=4, method="decision_function")
        np.testing.assert_allclose(decision, expected, atol=2e-3 * np.abs(expected).max())
        probabilities = cross_val_predict(head, X, y, cv=4, method="predict_proba")
        total = np.log(probabilities[np.arange(len(y)), np.searchsorted(search.classes_, y)]).sum()
        assert likelihood == pytest.approx(total, rel=2e-3)


def test_rows_that_no_fold_or_several_hold_out():
    X, y = load_iris(return_X_y=True)
    search = LogisticHeadCV([1.0], cv=ShuffleSplit(2, test_size=0.3, random_state=0), store_oof=True).fit(X, y)
    assert 0 < np.isnan(search.oof_decision_[0, :, 0]).sum() < 150
    assert np.isfinite(search.oof_log_likelihood_).all()


def test_average_weights_candidates_by_their_likelihood():
    X, y = load_iris(return_X_y=True)
    Cs = [0.1, 1.0, 10.0, 100.0]
    search = LogisticHeadCV(Cs, refit="average", tol=1e-8).fit(X, y)
    log_losses = -LogisticHeadCV(Cs, scoring="neg_log_loss", tol=1e-8, cv=5).fit(X, y).cv_results_["mean_test_score"]
    expected = np.exp(-len(y) * (log_losses - log_losses.min()))
    expected[expected < 1e-3 * expected.max()] = 0
    np.testing.assert_allclose(search.candidate_weights_, expected / expected.sum(), atol=1e-3)
    np.testing.assert_array_equal(search.candidate_weights_ == 0, [True, True, False, False])
    heads = [LogisticHead(C=C, tol=1e-8).fit(X, y) for C in Cs]
    mean = sum(weight * head.coef_ for weight, head in zip(search.candidate_weights_, heads, strict=True))
    np.testing.assert_allclose(search.coef_, mean, atol=1e-2 * np.abs(mean).max())
    assert search.coef_.T.flags.c_contiguous
    again = search.set_params(refit=True).fit(X, y)
    assert not hasattr(again, "candidate_weights_")
