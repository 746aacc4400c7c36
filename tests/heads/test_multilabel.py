"""LogisticHead on indicator matrices: one logistic regression per label, trained together."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from transferkit import LogisticHead


@pytest.fixture(scope="module")
def problem():
    return make_multilabel_classification(300, 30, n_classes=6, n_labels=2, random_state=0)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_agrees_with_one_versus_rest(problem, sparse, class_weight):
    X, y = problem
    X = sp.csr_matrix(X) if sparse else X
    head = LogisticHead(class_weight=class_weight, tol=1e-7).fit(X, sp.csr_matrix(y) if sparse else y)
    single = LogisticRegression(class_weight=class_weight, tol=1e-8, max_iter=10_000)
    reference = OneVsRestClassifier(single).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=2e-3)
    np.testing.assert_allclose(np.exp(head.predict_log_proba(X)), head.predict_proba(X))
    assert (head.predict(X) != reference.predict(X)).mean() < 0.002
    assert head.coef_.shape == (6, 30)
    assert head.multilabel_


def test_wide_sparse_features_give_the_same_predictions():
    X, y = make_multilabel_classification(1300, 1400, n_classes=3, random_state=0, sparse=True)
    X = sp.csr_matrix(X).astype(np.float64)
    head = LogisticHead(C=0.01, tol=1e-6).fit(X, y)
    reference = OneVsRestClassifier(LogisticRegression(C=0.01, tol=1e-7, max_iter=5000)).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=5e-3)


def test_label_that_is_never_or_always_there(problem):
    X, y = problem
    y = np.hstack([y, np.zeros((len(y), 1), int), np.ones((len(y), 1), int)])
    head = LogisticHead().fit(X, y)
    probabilities = head.predict_proba(X)[:, -2:]
    assert probabilities[:, 0].max() < 0.01
    assert probabilities[:, 1].min() > 0.99


def test_sample_weights_and_a_prior(problem):
    X, y = problem
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = LogisticHead(tol=1e-9).fit(X, y, sample_weight=weights)
    repeated = LogisticHead(tol=1e-9).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights, axis=0))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-3)
    kept = LogisticHead(C=1e-8, prior=weighted).fit(X, y)
    np.testing.assert_allclose(kept.coef_, weighted.coef_, atol=1e-3)


def test_dict_of_class_weights_is_refused(problem):
    with pytest.raises(ValueError, match="class_weight must be 'balanced' or None when y is an indicator matrix"):
        LogisticHead(class_weight={0: 1.0}).fit(*problem)


def test_several_outputs_of_several_classes_are_refused():
    with pytest.raises(ValueError, match=r"zeros and ones, one column per label\. Got 0 and 2 and 1"):
        LogisticHead().fit(np.eye(4), [[0, 2], [1, 1], [2, 0], [0, 0]])
