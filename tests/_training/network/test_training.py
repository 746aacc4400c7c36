"""Training with groups of parameters: frozen, with a small learning rate, or anchored to their initial values."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import accuracy_score, r2_score

from transferkit._algorithms.networks.layers import Activation, BatchNorm, L2Normalisation, Linear
from transferkit._training.network.data import Augmentation, Examples
from transferkit._training.network.parameters import ParameterGroup
from transferkit._training.network.training import TrainingOptions, make_objective, train_network
from transferkit.exceptions import DivergenceError

X = np.random.RandomState(0).normal(size=(200, 12))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


def make_layers():
    rng = np.random.RandomState(1)
    hidden, output = Linear(rng.normal(size=(12, 6))), Linear(0.1 * rng.normal(size=(6, 3)), np.zeros(3))
    return [hidden, L2Normalisation(), Activation("tanh"), output]


def distance(encoder, kind=np.asarray, **options):
    """Return the distance of the encoder's weights from their initial values."""
    layers, groups = make_layers(), [encoder] * 3 + [ParameterGroup("head", alpha=1e-4)]
    options = TrainingOptions(max_epochs=10, batch_size=20, learning_rate_init=0.01, tol=None, **options)
    trained = train_network(layers, Examples(kind(X), LABELS), options, groups=groups)
    assert not np.allclose(trained.layers[3].weights, layers[3].weights)
    return np.linalg.norm(trained.layers[0].weights - layers[0].weights)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_groups_have_their_own_learning_rates(kind, solver):
    free = distance(ParameterGroup("encoder"), kind, solver=solver)
    assert distance(ParameterGroup("encoder", unfreeze_at=10), kind, solver=solver) == 0
    assert 0 < distance(ParameterGroup("encoder", unfreeze_at=8), kind, solver=solver) < 0.6 * free
    assert 0 < distance(ParameterGroup("encoder", learning_rate_scale=0.1), kind, solver=solver) < 0.4 * free
    assert 0 < distance(ParameterGroup("encoder", anchor_strength=10.0), kind, solver=solver) < 0.6 * free


def test_line_search_stays_near_the_anchor():
    free, held = (
        distance(ParameterGroup("encoder", anchor_strength=strength), solver="lbfgs") for strength in (0.0, 10.0)
    )
    assert 0 < held < 0.2 * free


def test_given_arrays_stay_as_they_are():
    layers = make_layers()
    before = [layers[0].weights.copy(), layers[3].weights.copy()]
    train_network(layers, Examples(X, LABELS), TrainingOptions(max_epochs=2))
    for layer, array in zip((layers[0], layers[3]), before, strict=True):
        np.testing.assert_array_equal(layer.weights, array)


def test_epochs_can_be_watched_and_ended():
    losses = []

    def watch(read, history):
        losses.append(history.loss[-1])
        assert read()[0].weights.shape == (12, 6)
        return len(losses) == 3

    trained = train_network(make_layers(), Examples(X, LABELS), TrainingOptions(max_epochs=9), on_epoch=watch)
    assert trained.history.loss == losses
    assert len(losses) == 3


def test_sparse_rows_need_a_linear_layer_first():
    with pytest.raises(ValueError, match="Sparse input needs a linear layer first"):
        train_network([L2Normalisation(), Linear(X[:12], None)], Examples(sp.csr_matrix(X), LABELS), TrainingOptions())


def test_weights_of_unused_features_must_be_finite():
    X = sp.csr_matrix(np.eye(4, 5))
    weights = np.ones((5, 1))
    weights[4] = np.inf
    examples = Examples(X, np.ones((4, 1)))
    options = TrainingOptions(loss="squared_error", max_epochs=1)
    with pytest.raises(DivergenceError, match="the mean loss is nan"):
        train_network([Linear(weights, np.zeros(1))], examples, options)
    weights[4] = 1
    assert len(train_network([Linear(weights, np.zeros(1))], examples, options).history.loss) == 1


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("n_rows", [7, 40])
def test_mixup_mixes_rows_targets_and_weights_alike(kind, n_rows):
    rng = np.random.RandomState(0)
    rows = rng.uniform(1, 2, size=(n_rows, 3))
    weights = rows[:, 0] / rows[:, 0].mean()
    layers = [Linear(np.zeros((3, 3)), np.zeros(3))]
    options = TrainingOptions(loss="squared_error", augmentation=Augmentation(mixup=1.0))
    objective = make_objective(layers, Examples(kind(rows), rows, weights), options, torch.device("cpu"))
    batches = list(objective.data.batches(n_rows))
    [batch] = batches
    x = batch.x.matmul(torch.eye(3, dtype=torch.float64)) if kind is sp.csr_matrix else batch.x
    torch.testing.assert_close(x, batch.targets)
    torch.testing.assert_close(batch.scale[:, 0] * n_rows, x[:, 0] / rows[:, 0].mean())
    distances = np.abs(x.numpy()[:, None] - rows[None]).max(2).min(1)
    assert np.median(distances) > 0.01  # of no row as it was


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 3, 50)])
def test_held_out_rows_count_by_their_weights(weights):
    held_out = Examples(X[:50], LABELS[:50], weights)
    options = TrainingOptions(max_epochs=4, learning_rate_init=0.01)
    trained = train_network(make_layers(), Examples(X, LABELS), options, validation=held_out)
    hidden, _, _, output = trained.layers
    rows = X[:50] @ hidden.weights
    scores = np.tanh(rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ output.weights + output.intercept
    expected = accuracy_score(LABELS[:50], scores.argmax(1), sample_weight=weights)
    np.testing.assert_allclose(trained.history.validation_score[-1], expected)

    targets = X[:, :2] + 1
    options = TrainingOptions(loss="squared_error", max_epochs=4, learning_rate_init=0.01)
    layers = [Linear(np.zeros((12, 2)), np.zeros(2))]
    held_out = Examples(X[:50], targets[:50], weights)
    trained = train_network(layers, Examples(X, targets), options, validation=held_out)
    predicted = X[:50] @ trained.layers[0].weights + trained.layers[0].intercept
    expected = r2_score(targets[:50], predicted, sample_weight=weights)
    np.testing.assert_allclose(trained.history.validation_score[-1], expected)


@pytest.mark.parametrize("size", [50, 199])
def test_refreshed_batch_statistics_are_the_means_over_the_batches(size):
    weights = np.random.RandomState(0).normal(size=(12, 4))
    norm = BatchNorm(np.ones(4), np.zeros(4), np.full(4, 9.0), np.full(4, 9.0))
    layers = [Linear(weights, np.arange(4.0)), norm, Linear(np.zeros((4, 3)), np.zeros(3))]
    objective = make_objective(layers, Examples(X, LABELS), TrainingOptions(solver="gd"), torch.device("cpu"))
    objective.refresh_statistics(size)
    [layer] = objective.network.batch_norms
    parts = np.split(X @ weights + np.arange(4.0), [50, 100, 150] if size == 50 else [])  # a single row is not left
    np.testing.assert_allclose(layer.mean, np.mean([part.mean(0) for part in parts], axis=0))
    np.testing.assert_allclose(layer.variance, np.mean([part.var(0, ddof=1) for part in parts], axis=0))


def test_plateau_watches_the_held_out_rows_if_there_are_any():
    targets = X[:, :1]
    layers = [Linear(np.zeros((12, 1)), np.zeros(1))]
    options = TrainingOptions(loss="squared_error", max_epochs=8, learning_rate="plateau", learning_rate_epochs=2)
    held_out = Examples(X[:5], np.zeros((5, 1)))  # whose score is always zero
    stalled = train_network(layers, Examples(X, targets), options, validation=held_out).history
    falling = train_network(layers, Examples(X, targets), options).history
    assert stalled.loss[-1] < stalled.loss[0]
    np.testing.assert_allclose(stalled.learning_rate, 1e-3 * np.array([1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]))
    assert falling.learning_rate == [1e-3] * 8


def test_averages_have_batch_statistics_of_their_own():
    rng = np.random.RandomState(0)
    norm = BatchNorm(np.ones(4), np.zeros(4), np.zeros(4), np.ones(4))
    layers = [Linear(rng.normal(size=(12, 4)), np.zeros(4)), norm, Linear(rng.normal(size=(4, 3)), np.zeros(3))]
    options = TrainingOptions(max_epochs=6, average_from=0, learning_rate_init=0.1, solver="gd", batch_size=200)
    first, norm, _ = train_network(layers, Examples(X, LABELS), options).layers
    rows = X @ first.weights + first.intercept
    np.testing.assert_allclose(norm.mean, rows.mean(0))
    np.testing.assert_allclose(norm.variance, rows.var(0, ddof=1))
