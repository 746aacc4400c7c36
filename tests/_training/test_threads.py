"""Several threads compute large steps only, and no more than this process may use."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit._algorithms.linalg.threads import LARGE_STEP
from transferkit._training import device
from transferkit._training.clustering import points
from transferkit._training.clustering.kmeans import find_clusters, sum_clusters
from transferkit._training.device import multiply, threads_for, to_tensor, with_own_modes
from transferkit._training.linear.logistic import train_linear_classifier
from transferkit._training.linear.search import LogisticSearch

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    """Let the caller have three threads, on a machine that has four."""
    monkeypatch.setattr(device, "count_threads", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.fixture
def threads(monkeypatch):
    """The numbers of threads that products have."""
    found = []

    def matmul(self, other):
        found.append(torch.get_num_threads())
        return torch.matmul(self, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", matmul)
    return found


def test_only_large_steps_have_several_threads_also_within_small_ones():
    with threads_for(LARGE_STEP):
        assert torch.get_num_threads() == 3
    with threads_for(LARGE_STEP - 1):
        assert torch.get_num_threads() == 1
        with threads_for(LARGE_STEP):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("n_allowed", [1, 2])
def test_no_step_has_more_threads_than_the_process_may_use(n_allowed, monkeypatch):
    monkeypatch.setattr(device, "count_threads", lambda: n_allowed)
    with threads_for(math.inf):
        assert torch.get_num_threads() == n_allowed
    with with_own_modes():
        assert torch.get_num_threads() == n_allowed


def test_threads_are_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), threads_for():
        1 / 0  # noqa: B018


def test_products_have_threads_by_their_size(monkeypatch, threads):
    left, right = torch.ones(4, 5), torch.ones(5, 3)
    diagonal = np.eye(4, 5, dtype=np.float32)
    sparse = to_tensor(sp.csr_matrix(diagonal), torch.device("cpu"))  # 4 entries, each as slow as ten dense ones
    for limit, expected in ((60, [3, 3]), (61, [1, 3]), (120, [1, 3]), (121, [1, 1])):
        monkeypatch.setattr(device, "LARGE_STEP", limit)
        with threads_for():
            np.testing.assert_array_equal(multiply(left, right), np.full((4, 3), 5.0))
            np.testing.assert_array_equal(multiply(sparse, right), np.ones((4, 3)))
        assert threads == expected
        threads.clear()


@pytest.mark.parametrize(("limit", "expected"), [(LARGE_STEP, {1}), (0, {3})])
@pytest.mark.parametrize("X", [RNG.normal(size=(60, 5)), sp.csr_matrix(np.eye(60, 90))], ids=["dense", "sparse"])
def test_linear_models_are_trained_by_one_thread_unless_they_are_large(X, limit, expected, monkeypatch, threads):
    monkeypatch.setattr(device, "LARGE_STEP", limit)
    labels, of_steps = np.arange(60) % 3, set()

    def on_step(read):
        of_steps.add(torch.get_num_threads())
        return False

    train_linear_classifier(X, labels, np.ones((60, 1)), 1.0, n_outputs=3, on_step=on_step)
    options = {"fit_intercept": True, "tol": 1e-4, "max_iter": 100, "device": "cpu"}
    search = LogisticSearch(X, labels, np.ones((60, 2)), n_outputs=3, **options)
    search.refit(list(search.run([1.0])), np.ones((60, 1)))
    assert of_steps == set(threads) == expected


@pytest.mark.parametrize("X", [RNG.normal(size=(60, 5)), sp.csr_array(np.eye(60, 30))], ids=["dense", "sparse"])
@pytest.mark.parametrize("limit", [1, np.inf])
def test_products_of_points_and_centres_have_one_thread_each(X, limit, monkeypatch, threads):
    monkeypatch.setattr(device, "LARGE_STEP", limit)
    monkeypatch.setattr(points, "_CACHED", 60)
    found = find_clusters(X, 4)
    sum_clusters(X, found.centres, 30, "cpu")
    assert set(threads) == {1}
