"""KMeansEncoder and SOMEncoder on rows far from zero, and on clusters much smaller than their distances."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from transferkit import KMeansEncoder, SOMEncoder
from transferkit._algorithms.linalg.moments import PartialMoments
from transferkit._algorithms.rows.clusters import squared_distances
from transferkit._training.clustering.points import make_points
from transferkit.distributed import fit_sharded

LABELS = np.arange(400) % 4


@pytest.fixture(scope="module")
def rows():
    """Four clusters in five dimensions."""
    rng = np.random.default_rng(0)
    return 5 * rng.normal(size=(4, 5))[LABELS] + 0.3 * rng.normal(size=(400, 5))


def fit(X, **parameters):
    return KMeansEncoder(4, n_init=3, activation="distance", **parameters).fit(X)


def distances_by_hand(X, centres):
    return cdist(np.asarray(X, np.float64), np.asarray(centres, np.float64))


@pytest.mark.parametrize(("dtype", "offset"), [("f8", 1e2), ("f8", 1e4), ("f8", 1e8), ("f4", 1e2), ("f4", 1e4)])
def test_k_means_does_not_depend_on_where_rows_lie(rows, dtype, offset):
    near, X = fit(rows), (rows + offset).astype(dtype)
    far = fit(X)
    by_hand = distances_by_hand(X, far.cluster_centers_)
    np.testing.assert_allclose(far.cluster_centers_ - offset, near.cluster_centers_, atol=1e-3)
    np.testing.assert_allclose(far.transform(X), by_hand, rtol=3e-4)
    assert far.inertia_ == pytest.approx(np.square(by_hand.min(axis=1)).sum(), rel=1e-5)
    assert far.inertia_ == pytest.approx(KMeans(4, n_init=3, random_state=0).fit(rows).inertia_, rel=1e-4)
    assert far.n_iter_ == near.n_iter_


@pytest.mark.parametrize("kind", [float, np.int64])
def test_column_of_seconds_beside_others(rows, kind):
    seconds = (1.7e9 + 10 * np.random.default_rng(1).random(400)).astype(kind)
    X = np.column_stack([rows, seconds])
    encoder = fit(X)
    assert adjusted_rand_score(LABELS, encoder.transform(X).argmin(axis=1)) == 1
    assert encoder.inertia_ == pytest.approx(KMeans(4, n_init=3, random_state=0).fit(X).inertia_, rel=1e-5)


def test_iterations_end_where_rows_lie_far_from_zero():
    X = np.random.default_rng(0).normal(size=(500, 5))
    near = KMeansEncoder(7).fit(X)
    assert KMeansEncoder(7).fit(X + 1e6).n_iter_ == near.n_iter_ < 100


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_inertia_of_clusters_much_smaller_than_their_distance(dtype):
    X = np.array([[-1.0001], [-0.9999], [0.9999], [1.0001]], dtype)
    encoder = KMeansEncoder(2).fit(X)
    exact = np.square(distances_by_hand(X, encoder.cluster_centers_).min(axis=1)).sum()
    assert encoder.inertia_ == pytest.approx(exact, rel=1e-6)
    assert encoder.inertia_ == pytest.approx(4e-8, rel=1e-2)
    far = np.array([[0], [1e-3], [1e4], [1e4]], dtype)  # less their mean, float32 cannot represent them
    assert KMeansEncoder(2).fit(far).inertia_ == pytest.approx(5e-7, rel=1e-6)


@pytest.mark.parametrize("gap", [1e4, 1e8])
def test_clusters_within_groups_far_from_each_other(rows, gap):
    X = rows + np.where(LABELS < 2, gap, 0)[:, None]
    encoder = fit(X)
    found = encoder.transform(X)
    assert adjusted_rand_score(LABELS, found.argmin(axis=1)) == 1
    np.testing.assert_allclose(found, distances_by_hand(X, encoder.cluster_centers_), rtol=1e-3)
    halves = KMeansEncoder(4, n_init=3).fit(X[:200]).partial_fit(X[200:])
    assert adjusted_rand_score(LABELS, distances_by_hand(X, halves.cluster_centers_).argmin(axis=1)) == 1
    assert halves.inertia_ == pytest.approx(encoder.inertia_, rel=0.02)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_scale_of_all_features_scales_distances(rows, scale):
    near, far = fit(rows), fit(rows * scale)
    np.testing.assert_allclose(far.cluster_centers_ / scale, near.cluster_centers_, rtol=1e-5)
    np.testing.assert_allclose(far.transform(rows * scale) / scale, near.transform(rows), rtol=1e-3)
    assert far.inertia_ / scale**2 == pytest.approx(near.inertia_, rel=1e-5)
    map_near, map_far = (SOMEncoder((2, 2), n_epochs=5).fit(X) for X in (rows, rows * scale))
    assert map_far.quantisation_error_ / scale == pytest.approx(map_near.quantisation_error_, rel=1e-4)


@pytest.mark.parametrize("encoder", [KMeansEncoder(4), SOMEncoder((2, 2))])
def test_rows_whose_squares_overflow_are_refused(rows, encoder):
    with pytest.raises(ValueError, match=f"{type(encoder).__name__} cannot square distances of samples"):
        encoder.fit(rows * 1e155)
    assert not hasattr(encoder, "n_iter_")


def test_row_far_from_all_others_costs_them_nothing(rows):
    X = np.vstack([rows, np.full((1, 5), 1e7)])
    encoder = KMeansEncoder(5, n_init=3, activation="distance").fit(X)
    assert adjusted_rand_score(LABELS, encoder.transform(X)[:400].argmin(axis=1)) == 1
    assert encoder.inertia_ == pytest.approx(fit(rows).inertia_, rel=1e-6)
    np.testing.assert_allclose(encoder.transform(X[:400]), distances_by_hand(rows, encoder.cluster_centers_), rtol=1e-6)


@pytest.mark.parametrize("offset", [1e4, 1e7])
def test_partial_fit_and_merge_do_not_depend_on_where_rows_lie(rows, offset):
    def learn(X):
        streamed = KMeansEncoder(4).fit(X[:200]).partial_fit(X[200:])
        merged = KMeansEncoder(4, random_state=1).fit(X[:200]).merge(KMeansEncoder(4, random_state=2).fit(X[200:]))
        return streamed, merged

    for near, far in zip(learn(rows), learn(rows + offset), strict=True):
        np.testing.assert_allclose(far.cluster_centers_ - offset, near.cluster_centers_, atol=1e-5)
        np.testing.assert_array_equal(far.counts_, near.counts_)
        assert far.inertia_ == pytest.approx(near.inertia_, rel=1e-5)


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_whitened_rows_and_patches_do_not_depend_on_where_they_lie(rows, offset):
    images = np.random.default_rng(0).random((50, 16))
    settings = {"patches": (2, 1), "image_shape": (4, 4), "whiten": True}
    for X, parameters in ((rows, {"whiten": True}), (images, settings)):
        near, far = fit(X, **parameters), fit(X + offset, **parameters)
        np.testing.assert_allclose(far.transform(X + offset), near.transform(X), atol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
def test_shards_far_from_zero(rows, whiten):
    shards = np.array_split(rows[np.argsort(LABELS)] + 1e8, 3)
    found = fit_sharded(KMeansEncoder(4, whiten=whiten), shards)
    whole = KMeansEncoder(4, whiten=whiten).fit(np.concatenate(shards))
    np.testing.assert_allclose(found.transform(shards[0]), whole.transform(shards[0]), atol=1e-4)
    assert found.inertia_ == pytest.approx(whole.inertia_, rel=1e-5)
    assert found.n_iter_ == whole.n_iter_


def test_moments_of_shards_are_those_of_all_rows(rows):
    rows = rows[np.argsort(LABELS)] + 1e6
    merged = PartialMoments.of(rows[:150], with_products=True).merge(PartialMoments.of(rows[150:], with_products=True))
    centred = rows - rows.mean(axis=0)
    assert merged.n_rows == 400
    assert merged.squares == pytest.approx(np.square(centred).sum())
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0))
    np.testing.assert_allclose(merged.products, centred.T @ centred, rtol=1e-6)


def test_centres_of_float32_in_files_of_earlier_versions_serve_on(rows):
    encoder = fit(rows + 100)
    expected = encoder.transform(rows + 100)
    encoder.cluster_centers_ = encoder.cluster_centers_.astype(np.float32)
    np.testing.assert_allclose(encoder.transform(rows + 100), expected, atol=1e-4)
    assert encoder.partial_fit(rows + 100).cluster_centers_.dtype == np.float64


def test_blocks_of_sparse_rows_share_the_memory_of_the_matrix():
    csr = sp.random(50, 20, 0.3, format="csr", random_state=0, dtype=np.float32)
    made = make_points(csr, None, torch.device("cpu"), 16)
    block = made._block(slice(16, 32))
    assert block.values().data_ptr() == csr.data[csr.indptr[16] :].__array_interface__["data"][0]
    np.testing.assert_array_equal(block.to_dense().numpy(), csr[16:32].toarray())


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5, 1e-9])
def test_distances_are_right_however_close_rows_are(spread):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 8)) + 1e3
    X = np.repeat(centres, 5, axis=0) + spread * rng.normal(size=(30, 8))
    found = squared_distances(X, centres)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cdist(X, centres, "sqeuclidean"), rtol=1e-3)


def test_features_of_rows_far_from_all_centres(rows):
    far = rows[:20] + 1e7
    for encoder in (KMeansEncoder(4).fit(rows), SOMEncoder((2, 2)).fit(rows)):
        centres = encoder.cluster_centers_ if isinstance(encoder, KMeansEncoder) else encoder.weights_
        by_hand = distances_by_hand(far, centres)
        expected = np.maximum(by_hand.mean(axis=1, keepdims=True) - by_hand, 0)
        found = encoder.transform(far)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["batch", "online"])
@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
@pytest.mark.parametrize("offset", [1e2, 1e4, 1e8])
def test_map_does_not_depend_on_where_rows_lie(rows, offset, topology, mode):
    settings = {"grid_shape": (3, 4), "topology": topology, "mode": mode, "n_epochs": 5, "output": "distance"}
    near, far = SOMEncoder(**settings).fit(rows), SOMEncoder(**settings).fit(rows + offset)
    np.testing.assert_allclose(far.weights_ - offset, near.weights_, atol=1e-4)
    np.testing.assert_allclose(far.transform(rows + offset), near.transform(rows), rtol=1e-3)
    np.testing.assert_allclose(far.u_matrix(), near.u_matrix(), rtol=1e-4)
    by_hand = distances_by_hand(rows + offset, far.weights_)
    assert far.quantisation_error_ == pytest.approx(by_hand.min(axis=1).mean(), rel=1e-4)
    assert far.topographic_error_ == pytest.approx(near.topographic_error_, abs=0.01)


def test_map_of_float32_rows_far_from_zero(rows):
    X = (rows + 1e4).astype(np.float32)
    encoder = SOMEncoder((3, 4), output="distance").fit(X)
    by_hand = distances_by_hand(X, encoder.weights_)
    assert encoder.quantisation_error_ == pytest.approx(by_hand.min(axis=1).mean(), rel=1e-4)
    assert encoder.quantisation_error_ == pytest.approx(SOMEncoder((3, 4)).fit(rows).quantisation_error_, rel=0.01)
    assert encoder.transform(X).dtype == np.float32


def test_map_with_a_column_of_seconds(rows):
    seconds = 1.7e9 + 10 * np.random.default_rng(1).random(400)
    encoder = SOMEncoder((2, 4), output="onehot").fit(np.column_stack([rows, seconds]))
    units = encoder.transform(np.column_stack([rows, seconds])).indices
    assert all(len(set(LABELS[units == unit])) == 1 for unit in set(units))


def test_weights_of_sparse_rows_stay_float32(rows):
    X = sp.csr_array(np.where(rows > 0, rows, 0))
    assert SOMEncoder((2, 2)).fit(X).weights_.dtype == np.float32
    assert KMeansEncoder(4).fit(X).partial_fit(X).cluster_centers_.dtype == np.float32
