"""SOMEncoder: maps that are in order, by either mode, and pictures of them."""

import matplotlib as mpl
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist, pdist
from sklearn.datasets import load_digits, make_blobs

from transferkit import SOMEncoder, load, save
from transferkit._algorithms.rows.clusters import grid_coordinates, move_towards, update_batch

mpl.use("Agg")


@pytest.fixture(scope="module")
def square():
    return np.random.default_rng(0).uniform(size=(500, 2)).astype(np.float32)


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
@pytest.mark.parametrize("mode", ["batch", "online"])
@pytest.mark.parametrize("neighbourhood", ["gaussian", "bubble"])
def test_map_of_a_square_unfolds(square, topology, mode, neighbourhood):
    encoder = SOMEncoder((6, 6), topology=topology, mode=mode, neighbourhood=neighbourhood, final_radius=1.0).fit(
        square
    )
    assert encoder.topographic_error_ < 0.2
    assert encoder.quantisation_error_ < 0.13  # the middle of 36 equal fields is 0.064 away on average
    assert np.corrcoef(pdist(encoder.coordinates_), pdist(encoder.weights_))[0, 1] > 0.9


def test_batch_step_is_its_formula(square):
    rng = np.random.default_rng(1)
    weights, closeness = rng.normal(size=(5, 2)), rng.uniform(size=(5, 5))
    best = [np.argmin([np.sum((row - unit) ** 2) for unit in weights]) for row in square]
    expected = [
        sum(closeness[unit, b] * row for b, row in zip(best, square, strict=True))
        / sum(closeness[unit, b] for b in best)
        for unit in range(5)
    ]
    np.testing.assert_allclose(update_batch(square, weights, closeness), expected, rtol=1e-4)
    np.testing.assert_allclose(update_batch(sp.csr_array(square), weights, closeness), expected, rtol=1e-4)


def test_online_step_is_its_formula(square):
    rng = np.random.default_rng(1)
    weights, closeness = rng.normal(size=(5, 2)), rng.uniform(size=(5, 5))
    expected = weights.copy()
    for row in square[:20]:
        best = np.argmin(((row - expected) ** 2).sum(axis=1))
        expected += 0.3 * closeness[best][:, None] * (row - expected)
    np.testing.assert_allclose(move_towards(square[:20], weights, closeness, 0.3), expected, rtol=1e-6)
    np.testing.assert_allclose(move_towards(sp.csr_array(square[:20]), weights, closeness, 0.3), expected, rtol=1e-6)


def test_neighbours_of_hexagons_are_one_apart():
    coordinates = grid_coordinates(5, 5, "hexagonal")
    apart = np.linalg.norm(coordinates[12] - coordinates, axis=1)
    assert np.sum(np.abs(apart - 1) < 1e-9) == 6


@pytest.mark.parametrize("output", ["triangle", "distance", "soft", "onehot", "coordinates"])
def test_outputs(square, output):
    encoder = SOMEncoder((4, 5), output=output).fit(square)
    rows = encoder.transform(square)
    assert rows.shape == (500, 2 if output == "coordinates" else 20)
    assert rows.dtype == np.float32
    assert len(encoder.get_feature_names_out()) == rows.shape[1]
    if output == "coordinates":
        assert {tuple(row) for row in rows.tolist()} <= {tuple(place) for place in encoder.coordinates_.tolist()}


def test_u_matrix_has_a_ridge_between_clusters():
    X, _ = make_blobs(300, 3, centers=[[0, 0, 0], [20, 20, 20]], random_state=0)
    heights = SOMEncoder((1, 12)).fit(X).u_matrix()
    assert heights.shape == (1, 12)
    assert heights.max() > 5 * np.median(heights)


def test_sparse_rows(square):
    X = np.where(square > 0.5, square, 0)
    dense, sparse = SOMEncoder((3, 3), n_epochs=30).fit(X), SOMEncoder((3, 3), n_epochs=30).fit(sp.csr_matrix(X))
    squares = cdist(X, sparse.weights_, "sqeuclidean")
    assert sparse.quantisation_error_ == pytest.approx(np.sqrt(squares.min(axis=1)).mean(), rel=1e-3)
    units = squares.argsort(axis=1)[:, :2]
    apart = np.linalg.norm(sparse.coordinates_[units[:, 0]] - sparse.coordinates_[units[:, 1]], axis=1)
    assert sparse.topographic_error_ == pytest.approx((apart > 1.1).mean(), abs=0.005)
    assert sparse.quantisation_error_ < 1.1 * dense.quantisation_error_  # they start on different planes
    np.testing.assert_allclose(sparse.transform(sp.csr_matrix(X)), sparse.transform(X), atol=1e-3)


def test_same_data_same_map_and_file(square, tmp_path):
    first, second = SOMEncoder((3, 3)).fit(square), SOMEncoder((3, 3)).fit(square[::2]).fit(square)
    np.testing.assert_array_equal(first.weights_, second.weights_)
    save(first, tmp_path / "map.tk")
    np.testing.assert_array_equal(load(tmp_path / "map.tk").transform(square), first.transform(square))


def test_map_is_drawn_with_labels():
    X, y = load_digits(return_X_y=True)
    encoder = SOMEncoder((6, 6), n_epochs=5).fit(X[:300])
    ax = encoder.plot_map(X[:300], y[:300])
    assert {text.get_text() for text in ax.texts} <= {str(digit) for digit in range(10)}
    assert len(ax.texts) > 10
    assert len(ax.collections[0].get_paths()) == 36
    mpl.pyplot.close("all")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"grid_shape": (1, 1)}, "at least 2 units"),
        ({"grid_shape": (3,)}, "'grid_shape' parameter of SOMEncoder must be"),
        ({"grid_shape": 9}, "'grid_shape' parameter of SOMEncoder must be an instance of 'tuple'"),
        ({"topology": "round"}, "'topology' parameter of SOMEncoder must be a str among"),
        ({"radius": 0}, "'radius' parameter of SOMEncoder"),
        ({"output": "best"}, "'output' parameter of SOMEncoder"),
    ],
)
def test_wrong_parameters_are_named(parameters, words, square):
    with pytest.raises(ValueError, match=words):
        SOMEncoder(**parameters).fit(square)
