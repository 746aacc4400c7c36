"""L2-SP: the penalty pulls to a source model, matched by name and label."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import log_expit, log_softmax
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transferkit import LogisticHead, LogisticHeadCV
from transferkit.heads.linear._prior import match_prior


def find_optimum(X, y, C, prior, fit_intercept=True):
    """Return the optimum of C * sum(losses) + ||W - prior||^2 / 2 by SciPy in float64: objective and weights."""
    n_rows, n_features = prior.shape

    def objective(flat):
        weights = flat.reshape(n_rows, n_features + 1)
        scores = X @ weights[:, :-1].T + (weights[:, -1] if fit_intercept else 0)
        if n_rows == 1:
            losses = -log_expit(np.where(y == 1, 1, -1) * scores[:, 0])
        else:
            losses = -log_softmax(scores, axis=1)[np.arange(len(y)), y]
        return C * losses.sum() + ((weights[:, :-1] - prior) ** 2).sum() / 2

    start = np.zeros(n_rows * (n_features + 1))
    found = minimize(objective, start, method="BFGS", options={"gtol": 1e-4, "maxiter": 2000})
    weights = found.x.reshape(n_rows, n_features + 1)
    return objective, found.fun, weights


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", [(60, 5), (12, 15)], ids=["tall", "wide"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_reaches_the_optimum_of_the_shifted_penalty(n_classes, shape, sparse, fit_intercept):
    X, y = make_classification(
        *shape, n_informative=4, n_redundant=0, n_classes=n_classes, n_clusters_per_class=1, random_state=0
    )
    source = LogisticRegression().fit(X[:, ::-1], y)
    head = LogisticHead(C=0.3, prior=source, tol=1e-10, fit_intercept=fit_intercept)
    head.fit(sp.csr_matrix(X) if sparse else X, y)
    objective, lowest, weights = find_optimum(X, y, 0.3, source.coef_, fit_intercept)
    ours = objective(np.hstack([head.coef_, head.intercept_[:, None]]).ravel())
    assert ours <= lowest * (1 + 1e-6)
    np.testing.assert_allclose(head.coef_, weights[:, :-1], atol=2e-3)


def test_strong_penalty_keeps_the_source_and_a_weak_one_forgets_it():
    X, y = load_iris(return_X_y=True)
    source = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    kept = LogisticHead(C=1e-7, prior=source).fit(X, y)
    np.testing.assert_allclose(kept.coef_, source.coef_, atol=1e-4)
    free, plain = (LogisticHead(C=1e4, prior=prior, tol=1e-9).fit(X, y) for prior in (source, None))
    np.testing.assert_allclose(free.predict_proba(X), plain.predict_proba(X), atol=0.01)
    assert plain.prior_coverage_ is None


def test_features_are_matched_by_name():
    X, y = load_iris(return_X_y=True, as_frame=True)
    source = LogisticRegression(max_iter=1000).fit(X, y)
    changed = X[X.columns[::-1]].drop(columns="petal width (cm)").assign(new=1.0)
    head = LogisticHead(C=1e-7, prior=source).fit(changed, y)
    by_name = pd.DataFrame(source.coef_, columns=X.columns).reindex(columns=changed.columns, fill_value=0.0)
    np.testing.assert_allclose(head.coef_, by_name, atol=1e-4)
    assert head.prior_coverage_ == {
        "features_matched": 3,
        "features_new": 1,
        "features_dropped": 1,
        "classes_matched": [0, 1, 2],
        "classes_new": [],
        "classes_dropped": [],
    }


def test_classes_are_matched_by_label():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    source = LogisticRegression(max_iter=1000).fit(X, names[y])
    others = np.array(["aster", "setosa", "virginica"])
    head = LogisticHead(C=1e-7, prior=source).fit(X, others[y])
    np.testing.assert_allclose(head.coef_, [np.zeros(4), source.coef_[0], source.coef_[2]], atol=1e-4)
    assert head.prior_coverage_["classes_new"] == ["aster"]
    assert head.prior_coverage_["classes_dropped"] == ["versicolor"]


def test_binary_and_multiclass_sources_serve_each_other():
    X, y = load_iris(return_X_y=True)
    three = LogisticRegression(max_iter=1000).fit(X, y)
    two = LogisticHead(C=1e-7, prior=three).fit(X[y > 0], y[y > 0])
    np.testing.assert_allclose(two.coef_[0], three.coef_[2] - three.coef_[1], atol=1e-4)
    back = LogisticHead(C=1e-7, prior=two).fit(X, y)
    np.testing.assert_allclose(back.coef_, [np.zeros(4), -two.coef_[0] / 2, two.coef_[0] / 2], atol=1e-4)


def test_any_linear_classifier_may_be_the_source():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    head = LogisticHead(C=1e-6, prior=SGDClassifier(random_state=0).fit(X, y)).fit(X, y)
    np.testing.assert_allclose(head.coef_, head.prior.coef_, atol=1e-3)


def test_clone_and_search_keep_the_source_fitted():
    X, y = load_iris(return_X_y=True)
    source = LogisticRegression(max_iter=1000).fit(X, y)
    head = clone(LogisticHead(prior=source))
    assert head.prior is source
    search = GridSearchCV(make_pipeline(StandardScaler(), head), {"logistichead__C": [0.1, 1.0]}).fit(X, y)
    assert search.best_score_ > 0.9


def test_warm_start_with_a_prior_begins_at_the_last_solution():
    X, y = load_iris(return_X_y=True)
    source = LogisticRegression(max_iter=1000).fit(X, y)
    head = LogisticHead(prior=source, warm_start=True).fit(X, y)
    steps = head.n_iter_[0]
    assert head.fit(X, y).n_iter_[0] <= steps // 2


def test_saved_model_serves_as_a_source(tmp_path):
    persistence = pytest.importorskip("transferkit.persistence")
    X, y = load_iris(return_X_y=True)
    source = LogisticHead().fit(X, y)
    path = tmp_path / "source.tk"
    persistence.save(source, path)
    by_path, by_model = (LogisticHead(prior=prior).fit(X, y) for prior in (path, source))
    np.testing.assert_allclose(by_path.coef_, by_model.coef_, atol=1e-6)


def test_unfit_sources_are_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="prior must be a fitted linear model with weights in coef_"):
        LogisticHead(prior=LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"weights of 2 features and X has 4.*matched by name"):
        LogisticHead(prior=LogisticRegression().fit(X[:, :2], y)).fit(X, y)
    with pytest.raises(ValueError, match="The 'prior' parameter of LogisticHead must be"):
        LogisticHead(prior=3).fit(X, y)


def test_a_regression_has_no_classes_to_match():
    class Source:
        coef_ = np.array([1.0, 2.0])

    weights, coverage = match_prior(Source(), None, 2)
    np.testing.assert_array_equal(weights, [[1.0, 2.0]])
    assert "classes_matched" not in coverage


def test_a_prior_that_matches_nothing_is_named():
    X, y = load_iris(return_X_y=True)
    source = LogisticRegression(max_iter=1000).fit(X, y)
    with pytest.warns(UserWarning, match=r"prior has no effect: its classes, such as 0, .* such as '0'"):
        head = LogisticHead(prior=source).fit(X, y.astype(str))
    np.testing.assert_array_equal(head.coef_, LogisticHead().fit(X, y).coef_)
    named = LogisticHead().fit(pd.DataFrame(X, columns=list("abcd")), y)
    with pytest.warns(UserWarning, match="prior has no effect: its names of features, such as 'a', .* such as 'w'"):
        LogisticHead(prior=named).fit(pd.DataFrame(X, columns=list("wxyz")), y)


def test_a_regression_is_no_prior_of_a_classifier():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"prior must be a classifier with classes_.*Got Ridge"):
        LogisticHead(prior=Ridge().fit(X, y)).fit(X, y)


@pytest.mark.parametrize("head", [LogisticHead(tol=1e-9), LogisticHeadCV([1.0], tol=1e-9)], ids=["head", "search"])
def test_prior_acts_far_from_the_origin_as_near_it(head):
    y = np.arange(90) % 3
    near = 3 * np.eye(3, 5)[y] + np.random.RandomState(0).randn(90, 5)
    expected, found = (
        clone(head).set_params(prior=LogisticHead(0.1, tol=1e-9).fit(X, y)).fit(X, y) for X in (near, near + 1e7)
    )
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-4)
    np.testing.assert_allclose(found.predict_proba(near + 1e7), expected.predict_proba(near), atol=1e-4)
