"""Small single problems are solved in NumPy, with the same results as in torch."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit import LogisticHead
from transferkit._training.linear import logistic
from transferkit._training.linear.logistic import is_for_numpy

CPU = torch.device("cpu")


def make_data(kind, n_classes, n_rows=260):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 6))
    y = (X[:, :n_classes] + rng.gumbel(size=(n_rows, n_classes))).argmax(1)
    if kind == "sparse":
        words = sp.random_array((n_rows, 400), density=0.05, rng=rng)
        return sp.csr_matrix(sp.hstack([sp.csr_matrix(X), words])), y
    return X + 2, y


def fit_with_torch(monkeypatch, head, *args, **options):
    with monkeypatch.context() as patch:
        patch.setattr(logistic, "is_for_numpy", lambda *args: False)
        return head.fit(*args, **options)


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"class_weight": "balanced"}, {"C": 100.0}])
@pytest.mark.parametrize(("kind", "n_classes"), [("dense", 2), ("dense", 3), ("sparse", 2), ("sparse", 3)])
def test_weights_are_those_of_torch(kind, n_classes, options, monkeypatch):
    X, y = make_data(kind, n_classes)
    weights = np.random.default_rng(1).random(len(y)) + 0.5
    head, other = (LogisticHead(tol=1e-9, **options) for _ in range(2))
    head.fit(X, y, sample_weight=weights)
    fit_with_torch(monkeypatch, other, X, y, sample_weight=weights)
    np.testing.assert_allclose(head.coef_, other.coef_, atol=1e-4)
    np.testing.assert_allclose(head.intercept_, other.intercept_, atol=1e-4)


@pytest.mark.parametrize(("kind", "n_classes"), [("dense", 2), ("dense", 3), ("sparse", 2), ("sparse", 3)])
def test_a_prior_pulls_as_in_torch(kind, n_classes, monkeypatch):
    X, y = make_data(kind, n_classes)
    source = LogisticHead().fit(X[::2], y[::2])
    head, other = (LogisticHead(0.1, prior=source, tol=1e-9) for _ in range(2))
    head.fit(X, y)
    fit_with_torch(monkeypatch, other, X, y)
    np.testing.assert_allclose(head.coef_, other.coef_, atol=1e-4)
    np.testing.assert_allclose(head.intercept_, other.intercept_, atol=1e-4)


def test_steps_that_numpy_leaves_are_taken_in_torch(monkeypatch):
    X, y = make_data("dense", 3)
    expected = LogisticHead(tol=1e-9).fit(X, y)
    monkeypatch.setattr(logistic, "STEPS_BEFORE_HESSIAN", 2)
    head = LogisticHead(tol=1e-9).fit(X, y)
    assert head.n_iter_ > 2
    np.testing.assert_allclose(head.coef_, expected.coef_, atol=1e-4)


def test_the_last_step_allowed_is_not_followed_by_others():
    X, y = make_data("dense", 3)
    with pytest.warns(match=r"did not converge in max_iter=2 steps"):
        head = LogisticHead(tol=1e-9, max_iter=2).fit(X, y)
    assert head.n_iter_ == 2


def test_size_and_shape_decide():
    def decide(X, targets=None, n_outputs=1, n_problems=1, device=CPU):
        targets = np.zeros(X.shape[0], dtype=int) if targets is None else targets
        return is_for_numpy(X, targets, np.ones((X.shape[0], n_problems)), n_outputs, device)

    tall, text = np.zeros((300, 4)), sp.csr_matrix((300, 400))
    assert decide(tall)
    assert decide(tall, n_outputs=5)
    assert decide(text)
    assert decide(text, n_outputs=3)
    assert not decide(sp.csr_matrix((300, 200)))
    assert not decide(np.zeros((4, 300)))
    assert not decide(tall, np.zeros((300, 2), dtype=int))
    assert not decide(tall, n_problems=2)
    assert not decide(tall, device=torch.device("meta"))
    full = sp.csr_matrix(np.ones((300, 400)))
    assert decide(full, n_outputs=100)
    assert not decide(full, n_outputs=200)
    assert not decide(np.broadcast_to(np.zeros(1), (100_000, 500)), n_outputs=10)
    assert not decide(np.broadcast_to(np.zeros(1), (1_000_000, 2)), n_outputs=10)
