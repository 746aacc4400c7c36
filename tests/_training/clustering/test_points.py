"""Points are assigned in blocks that stay in cache, on any number of threads, to the centres nearest to them."""

import threading

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import cdist

from transferkit._training import device
from transferkit._training.clustering import points as module
from transferkit._training.clustering.kmeans import find_clusters
from transferkit._training.clustering.points import make_points

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def n_threads(request, monkeypatch):
    monkeypatch.setattr(device, "LARGE_STEP", 1)
    monkeypatch.setattr(device, "count_threads", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(700, 6)).astype(np.float32)


@pytest.mark.parametrize("to_matrix", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("chosen", [None, torch.arange(0, 700, 3)])
def test_points_are_assigned_to_the_nearest_centres(rows, to_matrix, chosen, n_threads, monkeypatch):
    monkeypatch.setattr(module, "_CACHED", 500)  # several blocks
    centres = rows[:9]
    found = make_points(to_matrix(rows), None, CPU, 16384).assign(torch.from_numpy(centres), chosen)
    squares = cdist(rows if chosen is None else rows[chosen], centres, "sqeuclidean")
    np.testing.assert_array_equal(found.labels, squares.argmin(axis=1))
    np.testing.assert_allclose(found.squares, squares.min(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.next_squares, np.sort(squares, axis=1)[:, 1], atol=1e-5)


@pytest.mark.parametrize(("cached", "batch_size", "largest"), [(500, 16384, 55), (500, 20, 20), (4, 16384, 1)])
def test_blocks_hold_at_most_as_many_products_as_fit_the_cache(rows, cached, batch_size, largest, monkeypatch):
    monkeypatch.setattr(module, "_CACHED", cached)
    points, sizes = make_points(rows, None, CPU, batch_size), []
    monkeypatch.setattr(
        points, "_products", lambda block, centres: sizes.append(block.stop - block.start) or torch.zeros(sizes[-1], 9)
    )
    points.assign(torch.from_numpy(rows[:9]))
    assert max(sizes) == largest
    assert sum(sizes) == len(rows)


def test_threads_are_for_large_steps(rows, n_threads, monkeypatch):
    monkeypatch.setattr(module, "_CACHED", 500)
    pools, original = [], module.ThreadPoolExecutor
    monkeypatch.setattr(module, "ThreadPoolExecutor", lambda n, **given: pools.append(n) or original(n, **given))
    points, centres = make_points(rows, None, CPU, 16384), torch.from_numpy(rows[:9])
    points.assign(centres)
    monkeypatch.setattr(device, "LARGE_STEP", 700 * 6 * 9 + 1)
    points.assign(centres)
    assert pools == ([] if n_threads == 1 else [n_threads])


def test_number_of_threads_changes_neither_clusters_nor_settings(rows, n_threads, monkeypatch):
    expected = find_clusters(rows, 9, device="cpu")
    monkeypatch.setattr(module, "_CACHED", 500)
    found = find_clusters(rows, 9, device="cpu")
    np.testing.assert_allclose(found.centres, expected.centres, atol=1e-6)
    in_thread = []
    thread = threading.Thread(target=lambda: in_thread.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *in_thread] == [n_threads, n_threads]
