"""RidgeHead: scikit-learn's Ridge and RidgeCV, and linear fine-tuning from a source."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_regression
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, ShuffleSplit, TimeSeriesSplit, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from transferkit import RidgeHead
from transferkit.heads.linear import _ridge

ALPHAS = [1e-2, 1.0, 100.0]


@parametrize_with_checks([RidgeHead()])
def test_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def make_problem(shape, n_outputs=1, sparse=False):
    X, y = make_regression(*shape, n_targets=n_outputs, noise=10.0, random_state=0)
    X[np.random.default_rng(0).random(X.shape) < 0.5] = 0
    X += 3 * (X != 0)  # far from centred
    return (sp.csr_matrix(X) if sparse else X), y + 100


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", [(80, 12), (20, 40)], ids=["tall", "wide"])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-2, 10.0])
def test_agrees_with_ridge(shape, sparse, n_outputs, fit_intercept, alpha):
    X, y = make_problem(shape, n_outputs, sparse)
    weights = np.random.default_rng(0).integers(0, 3, shape[0]).astype(float)
    for sample_weight in (None, weights):
        head = RidgeHead(alpha, fit_intercept=fit_intercept).fit(X, y, sample_weight)
        dense = X.toarray() if sparse else X
        reference = Ridge(alpha, fit_intercept=fit_intercept).fit(dense, y, sample_weight)
        np.testing.assert_allclose(head.coef_, reference.coef_, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(head.intercept_, reference.intercept_, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(head.predict(X), reference.predict(dense), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", [(80, 12), (20, 40)], ids=["tall", "wide"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leave_one_out_errors_are_exact(shape, sparse, fit_intercept):
    X, y = make_problem(shape, 1, sparse)
    head = RidgeHead(alphas=ALPHAS, fit_intercept=fit_intercept).fit(X, y)
    for alpha, error in zip(ALPHAS, head.loo_errors_, strict=True):
        single = RidgeHead(alpha, fit_intercept=fit_intercept)
        left_out = cross_val_predict(single, X, y, cv=LeaveOneOut())
        np.testing.assert_allclose(error, ((y - left_out) ** 2).mean(), rtol=1e-6)
    assert head.alpha_ == ALPHAS[head.loo_errors_.argmin()]


def test_chooses_like_ridge_cv():
    X, y = load_diabetes(return_X_y=True)
    alphas = np.logspace(-4, 2, 13)
    head, reference = RidgeHead(alphas=alphas).fit(X, y), RidgeCV(alphas=alphas).fit(X, y)
    assert head.alpha_ == reference.alpha_
    np.testing.assert_allclose(-head.loo_errors_.min(), reference.best_score_, rtol=1e-8)


@pytest.mark.parametrize("shape", [(80, 12), (20, 40)], ids=["tall", "wide"])
def test_prior_moves_the_point_that_the_penalty_pulls_to(shape):
    X, y = make_problem(shape)
    source = LinearRegression().fit(X[:, ::-1], y)
    head = RidgeHead(5.0, prior=source).fit(X, y)
    shifted = Ridge(5.0).fit(X, y - X @ source.coef_)  # the same objective in coef - prior
    np.testing.assert_allclose(head.coef_, shifted.coef_ + source.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(head.intercept_, shifted.intercept_, rtol=1e-6)
    kept = RidgeHead(1e12, prior=source).fit(X, y)
    np.testing.assert_allclose(kept.coef_, source.coef_, atol=1e-4)
    assert clone(head).prior is source


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_large_problems_by_conjugate_gradients_have_the_same_answer(monkeypatch, sparse):
    X, y = make_problem((60, 30), 2, sparse)
    direct = RidgeHead(3.0).fit(X, y)
    monkeypatch.setattr(_ridge, "MAX_DECOMPOSED", 10)
    np.testing.assert_allclose(RidgeHead(3.0, tol=1e-10).fit(X, y).coef_, direct.coef_, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="alphas needs a decomposition"):
        RidgeHead(alphas=ALPHAS).fit(X, y)


def test_float32_is_kept_and_computed_in_float64():
    X, y = make_problem((80, 12))
    head = RidgeHead(1e-3).fit(X.astype(np.float32), y)
    assert head.coef_.dtype == np.float32
    np.testing.assert_allclose(head.coef_, Ridge(1e-3).fit(X, y).coef_, rtol=1e-3, atol=1e-3)


def test_works_in_a_search():
    X, y = load_diabetes(return_X_y=True)
    search = GridSearchCV(RidgeHead(), {"alpha": [1e-3, 1e3]}).fit(X, y)
    assert search.best_params_ == {"alpha": 1e-3}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, "The 'alpha' parameter of RidgeHead must be a float"),
        ({"alphas": [1.0, 0.0]}, "alphas must be a list of finite numbers larger than 0"),
        ({"prior": Ridge()}, "prior must be a fitted linear model"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        RidgeHead(**parameters).fit(*make_problem((20, 3)))


def test_prior_of_another_number_of_outputs_is_refused():
    X, y = make_problem((30, 4), 2)
    with pytest.raises(ValueError, match="prior has weights for 1 outputs and y has 2"):
        RidgeHead(prior=Ridge().fit(X, y[:, 0])).fit(X, y)


@pytest.mark.parametrize("shape", [(60, 8), (30, 50), (200, 12)], ids=["folds of more rows", "wide", "tall"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_fold_errors_are_those_of_models_fitted_without_the_fold(shape, fit_intercept, sparse):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=shape) + 1, rng.integers(0, 3, shape[0]).astype(float)
    y = X @ rng.normal(size=(shape[1], 2)) + rng.normal(size=(shape[0], 2))
    alphas, cv = [0.1, 1.0, 30.0], KFold(4, shuffle=True, random_state=0)
    features = sp.csr_array(X) if sparse else X
    head = RidgeHead(alphas=alphas, cv=cv, fit_intercept=fit_intercept).fit(features, y, sample_weight=weights)
    expected = np.zeros(3)
    for train, test in cv.split(X):
        for i, alpha in enumerate(alphas):
            single = RidgeHead(alpha=alpha, fit_intercept=fit_intercept).fit(X[train], y[train], weights[train])
            expected[i] += (weights[test, None] * (y[test] - single.predict(X[test])) ** 2).sum()
    np.testing.assert_allclose(head.cv_errors_, expected / (2 * weights.sum()))
    assert head.alpha_ == alphas[expected.argmin()]
    assert head.loo_errors_ is None


def test_folds_of_one_row_are_leave_one_out():
    X, y = make_regression(40, 5, noise=3, random_state=0)
    alphas = [0.1, 1.0, 10.0]
    np.testing.assert_allclose(
        RidgeHead(alphas=alphas, cv=40).fit(X, y).cv_errors_, RidgeHead(alphas=alphas).fit(X, y).loo_errors_
    )


def test_folds_are_given_as_numbers_or_masks():
    X, y = make_regression(40, 5, noise=3, random_state=0)
    masks = [np.arange(40) % 4 == fold for fold in range(4)]
    numbers = [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]
    alphas = [0.1, 1.0, 10.0]
    by_masks = RidgeHead(alphas=alphas, cv=[(~mask, mask) for mask in masks]).fit(X, y)
    by_numbers = RidgeHead(alphas=alphas, cv=numbers).fit(X, y)
    np.testing.assert_array_equal(by_masks.cv_errors_, by_numbers.cv_errors_)


REPEATED = (np.repeat(np.arange(15), 2), np.arange(30, 40))  # 30 training rows, as many as are not held out


@pytest.mark.parametrize("cv", [ShuffleSplit(3, test_size=0.5, random_state=0), TimeSeriesSplit(3), [REPEATED]])
def test_splitters_that_do_not_hold_out_each_row_once_are_refused(cv):
    X, y = make_regression(40, 5, random_state=0)
    with pytest.raises(ValueError, match="hold out each row at most once and train on all others"):
        RidgeHead(alphas=[1.0], cv=cv).fit(X, y)
