"""Equal rows, such as texts of unknown words: models learn the frequencies of the classes alone."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from transferkit import FeatureBlocks, LogisticHead, LogisticHeadCV

EMPTY, SAME = np.zeros(400), np.r_[0.0, 3.0, 0.0, 0.1, np.zeros(396)]


def make_rows(row, n_rows, kind):
    X = np.tile(row, (n_rows, 1))
    if kind == "dense":
        return X
    return sp.csr_matrix(X) if kind == "sparse" else FeatureBlocks(sp.csr_matrix(X), X[:, :3])


@pytest.mark.parametrize("kind", ["dense", "sparse", "blocks"])
@pytest.mark.parametrize("row", [EMPTY, SAME], ids=["empty", "same"])
@pytest.mark.parametrize("n_rows", [30, 300, 900])  # few; fewer than features; more than features
@pytest.mark.parametrize("n_classes", [2, 3])
def test_only_the_frequencies_of_the_classes_are_learned(n_classes, n_rows, row, kind):
    X = make_rows(row, n_rows, kind)
    y = np.arange(n_rows) % (n_classes + 1) % n_classes  # class 0 twice as often
    expected = np.bincount(y) / n_rows
    for head in (
        LogisticHead(),
        LogisticHeadCV([0.1, 1.0], cv=2),
        LogisticHeadCV([0.1, 1.0], cv=2, refit="average"),
        LogisticHead(warm_start=True).fit(X, y),
    ):
        head.fit(X, y)
        assert np.abs(head.coef_).max() < 1e-3
        np.testing.assert_allclose(head.predict_proba(X[:1])[0], expected, atol=2e-3)


@pytest.mark.parametrize("n_rows", [30, 300])
def test_without_an_intercept_all_classes_are_as_likely_on_empty_rows(n_rows):
    X, y = make_rows(EMPTY, n_rows, "sparse"), np.arange(n_rows) % 3
    np.testing.assert_allclose(LogisticHead(fit_intercept=False).fit(X, y).predict_proba(X[:1]), 1 / 3, atol=1e-6)


@pytest.mark.parametrize("n_rows", [40, 300])
def test_one_row_that_differs_is_learned(n_rows):
    X = make_rows(EMPTY, n_rows, "dense")
    X[0, 5] = 1
    y = np.arange(n_rows) % 3
    head, reference = LogisticHead(tol=1e-8).fit(sp.csr_matrix(X), y), LogisticRegression(tol=1e-8).fit(X, y)
    np.testing.assert_allclose(head.coef_, reference.coef_, atol=1e-3)
