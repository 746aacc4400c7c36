"""KMeansEncoder finds the clusters scikit-learn finds, and turns distances into features."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score

from transferkit import KMeansEncoder, TfidfEncoder, load, save
from transferkit._algorithms.rows.clusters import squared_distances


@pytest.fixture(scope="module")
def blobs():
    X, labels = make_blobs(600, 8, centers=12, random_state=0)
    return X.astype(np.float32), labels


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)


def measure_inertia(X, centres):
    return squared_distances(X.astype(np.float64), centres.astype(np.float64)).min(axis=1).sum()


def test_separated_clusters_are_found(blobs):
    X, labels = blobs
    encoder = KMeansEncoder(12, activation="onehot").fit(X)
    assert adjusted_rand_score(labels, encoder.transform(X).toarray().argmax(axis=1)) == 1
    assert sorted(encoder.counts_) == sorted(np.bincount(labels))
    assert encoder.inertia_ == pytest.approx(measure_inertia(X, encoder.cluster_centers_), rel=1e-4)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_centres_rest_where_lloyd_of_scikit_learn_rests(noise, init):
    encoder = KMeansEncoder(7, init=init, tol=0, max_iter=300).fit(noise)
    again = KMeans(7, init=encoder.cluster_centers_, n_init=1, tol=0).fit(noise)
    assert again.n_iter_ <= 2
    np.testing.assert_allclose(again.cluster_centers_, encoder.cluster_centers_, atol=1e-5)
    assert encoder.inertia_ == pytest.approx(again.inertia_, rel=1e-5)


def test_inertia_is_as_good_as_scikit_learns(noise):
    theirs = [KMeans(20, n_init=1, random_state=seed).fit(noise).inertia_ for seed in range(5)]
    ours = [KMeansEncoder(20, random_state=seed).fit(noise).inertia_ for seed in range(5)]
    assert np.mean(ours) <= 1.01 * np.mean(theirs)


def test_sparse_and_dense_rows_give_the_same(noise):
    X = np.where(noise > 0.5, noise, 0)
    dense, sparse = KMeansEncoder(6).fit(X), KMeansEncoder(6).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(dense.cluster_centers_, sparse.cluster_centers_, atol=1e-5)
    np.testing.assert_allclose(dense.transform(X), sparse.transform(sp.csr_array(X)), atol=1e-3)


@pytest.mark.parametrize("activation", ["triangle", "distance", "soft", "onehot"])
def test_activations_are_their_formulas(blobs, activation):
    X, _ = blobs
    encoder = KMeansEncoder(5, activation=activation).fit(X)
    rows = encoder.transform(X[:50])
    distances = np.linalg.norm(X[:50, None].astype(float) - encoder.cluster_centers_, axis=2)
    if activation == "triangle":
        expected = np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0)
    elif activation == "distance":
        expected = distances
    elif activation == "soft":
        shares = np.exp((distances.min(axis=1, keepdims=True) ** 2 - distances**2) / (2 * encoder.inertia_ / len(X)))
        expected = shares / shares.sum(axis=1, keepdims=True)
    else:
        assert sp.issparse(rows)
        rows, expected = rows.toarray(), np.eye(5)[distances.argmin(axis=1)]
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, atol=2e-3)


def test_blocks_of_transform_make_no_difference(noise, monkeypatch):
    encoder = KMeansEncoder(6).fit(noise)
    expected = encoder.transform(noise)
    monkeypatch.setattr("transferkit.encoders.rows._kmeans._BLOCK_ENTRIES", 100)
    np.testing.assert_allclose(encoder.transform(noise), expected, atol=1e-6)


def test_partial_fit_comes_close_to_fit(blobs):
    X, labels = blobs
    encoder = KMeansEncoder(12, activation="onehot")
    for batch in np.array_split(X, 4):
        encoder.partial_fit(batch)
    assert encoder.counts_.sum() == len(X)
    assert measure_inertia(X, encoder.cluster_centers_) <= 1.1 * KMeansEncoder(12).fit(X).inertia_
    assert adjusted_rand_score(labels, encoder.transform(X).toarray().argmax(axis=1)) == 1


def test_merge_joins_the_clusters_of_both(blobs):
    X, labels = blobs
    order = np.argsort(labels)  # each half contains half of the clusters
    first, second = (KMeansEncoder(12, random_state=1).fit(X[half]) for half in np.array_split(order, 2))
    other = pickle.dumps(second)
    merged = first.merge(second)
    assert merged.counts_.sum() == len(X)
    assert pickle.dumps(second) == other
    assert measure_inertia(X, merged.cluster_centers_) <= 1.1 * KMeansEncoder(12).fit(X).inertia_
    assert adjusted_rand_score(labels, squared_distances(X, merged.cluster_centers_).argmin(axis=1)) > 0.9


def test_whitening_is_its_formula(noise):
    X = noise @ np.diag([1, 5, 0.2, 2, 3]).astype(np.float32) + 10
    encoder = KMeansEncoder(4, whiten=True).fit(X)
    np.testing.assert_allclose(encoder.whitening_mean_, X.mean(axis=0, dtype=np.float64), rtol=1e-6)
    covariance = np.cov(X.astype(np.float64).T, bias=True)
    covariance += 0.1 * np.trace(covariance) / 5 * np.eye(5)  # a tenth of the mean variance
    white = encoder.whitening_matrix_ @ covariance @ encoder.whitening_matrix_
    np.testing.assert_allclose(white, np.eye(5), atol=1e-5)
    np.testing.assert_array_equal(encoder.whitening_matrix_, encoder.whitening_matrix_.T)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1)])
def test_patches_of_images_distinguish_digits(shape):
    X = load_digits().data
    encoder = KMeansEncoder(16, patches=(3, 1), image_shape=shape, whiten=True).fit(X[:500])
    rows = encoder.transform(X[:200])
    assert rows.shape == (200, 64)
    assert encoder.cluster_centers_.shape == (16, 9)
    assert len(encoder.get_feature_names_out()) == 64
    upper = X[:1].copy().reshape(1, 8, 8)
    upper[:, 5:, 5:] = 0  # patches of the other quadrants reach to the fifth row or column
    changed = encoder.transform(upper.reshape(1, -1))[0]
    np.testing.assert_allclose(changed[:48], rows[0, :48], atol=1e-4)
    assert np.abs(changed[48:] - rows[0, 48:]).max() > 0.1


def test_same_seed_same_encoder_and_second_fit_forgets_the_first(noise, blobs):
    first = KMeansEncoder(5).fit(noise)
    again = KMeansEncoder(5).fit(blobs[0]).fit(noise)
    np.testing.assert_array_equal(first.cluster_centers_, again.cluster_centers_)
    assert (KMeansEncoder(5, random_state=3).fit(noise).cluster_centers_ != first.cluster_centers_).any()


def test_fewer_distinct_rows_than_clusters():
    X = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    encoder = KMeansEncoder(5).fit(X)
    assert encoder.inertia_ == pytest.approx(0, abs=1e-6)
    assert np.isfinite(encoder.transform(X)).all()


def test_saved_and_loaded_encodes_the_same(noise, tmp_path, run_without_torch):
    encoder = KMeansEncoder(4, whiten=True).fit(noise)
    save(encoder, tmp_path / "clusters.tk")
    np.testing.assert_array_equal(load(tmp_path / "clusters.tk").transform(noise), encoder.transform(noise))
    code = "import sys, transferkit; print(transferkit.load(sys.argv[1]).transform([[0.0] * 5]).shape)"
    assert run_without_torch(code, tmp_path / "clusters.tk").strip() == "(1, 4)"


def test_texts_are_clustered_by_cosine():
    texts = ["cat dog", "dog cat cat", "stock bond", "bond stock stock"] * 5
    rows = TfidfEncoder().fit_transform(texts)
    found = KMeansEncoder(2, activation="onehot").fit(rows).transform(rows).toarray()
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


def test_pooling_takes_the_root_of_sums():
    X = load_digits().data[:300] / 16
    encoder = KMeansEncoder(8, patches=(3, 1), image_shape=(8, 8)).fit(X)
    roots = encoder.transform(X)
    np.testing.assert_allclose(roots**2, encoder.set_params(pooling="sum").transform(X), rtol=1e-4)
    with pytest.raises(ValueError, match="'pooling' parameter of KMeansEncoder must be a str among"):
        KMeansEncoder(8, pooling="max").fit(X)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_clusters": 0}, "'n_clusters' parameter of KMeansEncoder must be an int"),
        ({"n_clusters": 501}, r"n_clusters=501 needs at least as many samples. Got n_samples=500"),
        ({"activation": "relu"}, "'activation' parameter of KMeansEncoder must be a str among"),
        ({"patches": (3, 1)}, "needs 'image_shape'"),
        ({"patches": 3}, "'patches' parameter of KMeansEncoder must be an instance of 'tuple'"),
        (
            {"patches": (3,), "image_shape": (5, 1)},
            "'patches' parameter of KMeansEncoder must be a tuple of 2 positive",
        ),
        ({"patches": (3, 1), "image_shape": (2, 2)}, "means 4 values per sample, but the samples have 5"),
        ({"patches": (3, 1), "image_shape": (5, 1)}, "Patches of 3 pixels do not fit"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_wrong_parameters_are_named_and_leave_the_encoder_as_it_was(parameters, words, noise):
    encoder = KMeansEncoder(3).fit(noise)
    centres = encoder.cluster_centers_
    with pytest.raises(ValueError, match=words):
        encoder.set_params(**parameters).fit(noise)
    assert encoder.cluster_centers_ is centres


def test_grid_too_small_for_quadrants_is_named():
    with pytest.raises(ValueError, match="four quadrants need at least 2 x 2"):
        KMeansEncoder(2, patches=(3, 1), image_shape=(3, 4)).fit(np.ones((5, 12)))


def test_merge_rejects_encoders_that_differ(noise):
    encoder = KMeansEncoder(3).fit(noise)
    with pytest.raises(TypeError, match="Got TfidfEncoder"):
        encoder.merge(TfidfEncoder())
    with pytest.raises(ValueError, match="n_clusters"):
        encoder.merge(KMeansEncoder(4).fit(noise))
    white = KMeansEncoder(3, whiten=True)
    with pytest.raises(ValueError, match=r"\['whitening_mean_', 'whitening_matrix_'\]"):
        white.fit(noise).merge(KMeansEncoder(3, whiten=True).fit(noise * 2))


@pytest.mark.gpu
def test_gpu_finds_what_the_cpu_finds(blobs):
    X, _ = blobs
    for rows in (X, sp.csr_matrix(np.where(X > 0, X, 0))):
        cpu, gpu = (KMeansEncoder(12, device=device).fit(rows) for device in ("cpu", "cuda"))
        assert gpu.inertia_ == pytest.approx(cpu.inertia_, rel=1e-3)
        np.testing.assert_allclose(gpu.transform(rows), cpu.transform(rows), atol=0.1)
