"""RidgeHead on columns far from zero, of very different scales, and at very small penalties."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import LinAlgWarning
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, LeaveOneOut, cross_val_predict

from transferkit import FeatureBlocks, RidgeHead, TransferRegressor
from transferkit._algorithms.linear import feature_blocks
from transferkit.heads.linear import _ridge

COLUMNS = {
    "milliseconds": lambda rng, n: 1.7e12 + 3e10 * rng.random(n),
    "nanoseconds": lambda rng, n: 1.7e18 + 3e16 * rng.random(n),
    "money": lambda rng, n: np.exp(14 + 2 * rng.normal(size=n)),
    "numbers of customers": lambda rng, n: rng.integers(10**9, 2 * 10**9, n),
    "all alike": lambda rng, n: np.full(n, 1.7e12),
    "tiny": lambda rng, n: 1e-9 * rng.random(n),
}
FORMS = {
    "dense": np.asarray,
    "sparse": sp.csr_array,
    "blocks": lambda X: FeatureBlocks(sp.csr_array(X[:, :3]), X[:, 3:]),
}
SHAPES = {"tall": (80, 4), "square": (12, 12), "wide": (12, 30)}


def make_problem(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=SHAPES[shape])
    return X, X[:, 0] + 2 * X[:, 1] + 0.1 * rng.normal(size=len(X))


def with_column(X, name):
    """Return X with a column of other numbers in front of the last."""
    column = COLUMNS[name](np.random.default_rng(1), len(X))
    return np.column_stack([X[:, :-1], column, X[:, -1]])


def solve(X, y, alpha, fit_intercept=True):
    """Return ridge weights and intercept by least squares over rows of the penalty, all columns of one length."""
    X = np.asarray(X, np.longdouble)
    mean, centre = (X.mean(axis=0), y.mean()) if fit_intercept else (np.zeros(X.shape[1]), 0.0)
    stacked = np.vstack([X - mean, np.sqrt(alpha) * np.eye(X.shape[1])]).astype(float)
    lengths = np.linalg.norm(stacked, axis=0)
    coef = np.linalg.lstsq(stacked / lengths, np.append(y - centre, np.zeros(X.shape[1])), rcond=0)[0] / lengths
    return coef, float(centre - mean @ coef)


def leave_one_out(X, y, alpha, fit_intercept=True):
    """Return the mean squared error of each row in the model of the others, trained without it."""
    errors = []
    for row in range(len(y)):
        coef, intercept = solve(np.delete(X, row, 0), np.delete(y, row), alpha, fit_intercept)
        errors.append(y[row] - X[row] @ coef - intercept)
    return np.mean(np.square(errors))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_one_column_of_large_or_small_numbers_costs_the_others_nothing(column, shape, form, fit_intercept):
    X, y = make_problem(shape)
    X = with_column(X, column)
    head = RidgeHead(alphas=[0.3], fit_intercept=fit_intercept).fit(FORMS[form](X), y)
    coef, intercept = solve(X, y, 0.3, fit_intercept)
    np.testing.assert_allclose(head.predict(FORMS[form](X)), X @ coef + intercept, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(head.coef_[[0, 1, 2, -1]], coef[[0, 1, 2, -1]], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(head.loo_errors_[0], leave_one_out(X, y, 0.3, fit_intercept), rtol=1e-5)


def test_predictions_equal_those_of_scikit_learn():
    X, y = make_problem("tall")
    X = with_column(X, "numbers of customers")
    head, reference = RidgeHead().fit(X, y), Ridge(solver="svd").fit(X, y)
    np.testing.assert_allclose(head.coef_, reference.coef_, rtol=1e-4)
    assert head.score(X, y) == pytest.approx(reference.score(X, y), abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_offset_changes_the_intercept_alone(shape, offset, form):
    X, y = make_problem(shape)
    alphas = [1e-3, 0.1, 10.0]
    near, far = (RidgeHead(alphas=alphas).fit(FORMS[form](rows), y) for rows in (X, X + offset))
    assert far.alpha_ == near.alpha_
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(far.loo_errors_, near.loo_errors_, rtol=1e-5)
    np.testing.assert_allclose(far.predict(FORMS[form](X + offset)), near.predict(FORMS[form](X)), atol=3e-6)


def test_sparse_column_with_zeros_and_rows_of_weight_zero():
    X, y = make_problem("tall")
    X = with_column(X, "milliseconds")
    X[:5, -2], X[5:20, 0] = 0, 0
    weights = np.r_[np.zeros(5), np.ones(75)]
    for form in FORMS.values():
        head = RidgeHead(alphas=[1.0]).fit(form(X), y, sample_weight=weights)
        alone = RidgeHead(alphas=[1.0]).fit(form(X[5:]), y[5:])
        np.testing.assert_array_equal(head.coef_, alone.coef_)
        np.testing.assert_allclose(head.coef_, solve(X[5:], y[5:], 1.0)[0], rtol=1e-6)
        np.testing.assert_array_equal(head.loo_errors_, alone.loo_errors_)


def test_entries_of_a_sparse_matrix_that_stand_twice_are_added():
    X, y = make_problem("tall")
    indices, indptr = np.tile(np.arange(4), len(X)), np.arange(0, 4 * len(X) + 1, 4)
    indices[4 * 5] = 1  # row 5 has no entry in the first column, and two in the second
    indices[4 * 6 + 1] = 0
    twice = sp.csr_array((X.ravel(), indices, indptr), shape=X.shape)
    np.testing.assert_allclose(RidgeHead().fit(twice, y).coef_, RidgeHead().fit(twice.toarray(), y).coef_)


def test_folds_of_rows_of_weight_zero_are_those_of_the_others():
    X, y = make_problem("tall")
    weights = np.tile([1.0, 1.0, 0.0, 2.0], 20)
    head = RidgeHead(alphas=[0.1, 1.0], cv=KFold(4)).fit(X, y, sample_weight=weights)
    numbers = np.cumsum(weights > 0) - 1
    folds = [(None, numbers[test][weights[test] > 0]) for _, test in KFold(4).split(X)]
    folds = [(np.setdiff1d(np.arange(60), test), test) for _, test in folds]
    used = weights > 0
    alone = RidgeHead(alphas=[0.1, 1.0], cv=folds).fit(X[used], y[used], sample_weight=weights[used])
    np.testing.assert_array_equal(head.cv_errors_, alone.cv_errors_)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [1e-4, 1e-8, 1e-13])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leave_one_out_errors_at_small_penalties(shape, alpha, fit_intercept):
    X, y = make_problem(shape)
    X[:3] *= 3
    head = RidgeHead(alphas=[alpha], fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(head.loo_errors_[0], leave_one_out(X, y, alpha, fit_intercept), rtol=1e-5)
    folds = RidgeHead(alphas=[alpha], cv=len(y), fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(folds.cv_errors_, head.loo_errors_, rtol=1e-6)


@pytest.mark.parametrize("column", ["milliseconds", "money"])
@pytest.mark.parametrize("shape", SHAPES)
def test_held_out_folds_beside_large_numbers(column, shape):
    X, y = make_problem(shape)
    X = with_column(X, column)
    head = RidgeHead(alphas=[0.3], cv=KFold(3)).fit(X, y)
    expected = np.zeros(len(y))
    for train, test in KFold(3).split(X):
        coef, intercept = solve(X[train], y[train], 0.3)
        expected[test] = y[test] - X[test] @ coef - intercept
    np.testing.assert_allclose(head.cv_errors_[0], np.mean(expected**2), rtol=1e-5)


@pytest.mark.parametrize("n_far", [1, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_row_that_alone_decides_its_direction_is_left_out_like_the_others(n_far, fit_intercept):
    X, y = make_problem("tall")
    X[:n_far] *= [[3e6], [-1e7]][:n_far]
    head = RidgeHead(alphas=[0.01, 1.0], fit_intercept=fit_intercept).fit(X, y)
    for alpha, error in zip([0.01, 1.0], head.loo_errors_, strict=True):
        single = RidgeHead(alpha, fit_intercept=fit_intercept)
        left_out = cross_val_predict(single, X, y, cv=LeaveOneOut())
        np.testing.assert_allclose(error, np.mean((y - left_out) ** 2), rtol=1e-4)


@pytest.mark.parametrize("alpha", [1e-6, 1e-12, 1e-20, 1e-40])
def test_columns_that_are_equal_share_their_weight_at_any_penalty(alpha):
    X, y = make_problem("tall")
    single = RidgeHead(alphas=[alpha, 1e3]).fit(X, y)
    double = RidgeHead(alphas=[alpha, 1e3]).fit(np.column_stack([X, X[:, 0], np.full(len(y), 7.0)]), y)
    np.testing.assert_allclose(
        double.coef_,
        np.append(single.coef_, [0, 0]) * [0.5, 1, 1, 1, 1, 1] + [0, 0, 0, 0, single.coef_[0] / 2, 0],
        atol=1e-5,
    )
    np.testing.assert_allclose(double.loo_errors_[0], single.loo_errors_[0], rtol=1e-4)


def test_blocks_of_rows_make_no_difference(monkeypatch):
    X, y = make_problem("tall")
    X = with_column(X, "money")
    X[3] *= 1e6
    expected = RidgeHead(alphas=[0.1, 1.0]).fit(X, y)
    monkeypatch.setattr(feature_blocks, "CHUNK_ENTRIES", 1)  # blocks of as many rows as columns
    found = RidgeHead(alphas=[0.1, 1.0]).fit(X, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-8)
    np.testing.assert_allclose(found.loo_errors_, expected.loo_errors_, rtol=1e-6)


def test_sparse_rows_too_large_for_that_are_warned_of(monkeypatch):
    X, y = make_problem("tall")
    monkeypatch.setattr(feature_blocks, "MOST_SPARSE", 100)
    RidgeHead().fit(sp.csr_array(X), y)
    with pytest.warns(LinAlgWarning, match="columns of X differ so much in scale"):
        RidgeHead().fit(sp.csr_array(with_column(X, "money")), y)
    dependent = np.column_stack([X * 1e4, X[:, 0] * 1e4])
    RidgeHead(1e-3).fit(sp.csr_array(dependent), y)  # one scale: predictions are right


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_float32_rows_are_predicted_as_those_of_float64(offset):
    X, y = make_problem("tall")
    X = (X + offset).astype(np.float32)
    small, large = RidgeHead().fit(X, y), RidgeHead().fit(X.astype(np.float64), y)
    assert small.coef_.dtype == (np.float32 if offset == 0 else np.float64)
    np.testing.assert_allclose(small.predict(X), large.predict(X.astype(np.float64)), atol=1e-5)
    several = RidgeHead().fit(X, np.column_stack([y, -y]))
    np.testing.assert_allclose(several.predict(X)[:, 0], large.predict(X.astype(np.float64)), atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_conjugate_gradients_get_small_columns_beside_large_ones_right(monkeypatch, sparse):
    X, y = make_problem("tall")
    X = with_column(X, "money")
    rows = sp.csr_array(X) if sparse else X
    direct = RidgeHead(0.3).fit(rows, y)
    monkeypatch.setattr(_ridge, "MAX_DECOMPOSED", 1)
    np.testing.assert_allclose(RidgeHead(0.3).fit(rows, y).coef_, direct.coef_, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_features_whose_squares_overflow_are_refused(form):
    X, y = make_problem("tall")
    with pytest.raises(ValueError, match="Features of X are too large: their squares overflow float64"):
        RidgeHead().fit(FORMS[form](X * 1e160), y)


def test_features_are_left_as_they_were():
    X, y = make_problem("tall")
    sparse = sp.csr_array(X + 1e6)
    sparse.data.flags.writeable = X.flags.writeable = False
    before = sparse.toarray()
    RidgeHead(alphas=[1.0]).fit(sparse, y)
    RidgeHead(alphas=[1.0]).fit(X, y)
    np.testing.assert_array_equal(sparse.toarray(), before)


@pytest.mark.parametrize("column", ["milliseconds", "money", "numbers of customers"])
def test_transfer_regressor_beside_large_numbers(column):
    X, y = make_problem("tall")
    X = with_column(X, column)
    assert TransferRegressor(strategy="scratch").fit(X, y).score(X, y) > 0.99
    model = TransferRegressor(PCA(2).fit(X)).fit(X, y)
    assert model.strategy_ == "scratch"
    assert model.score(X, y) > 0.99
