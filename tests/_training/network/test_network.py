"""Networks: gradients in closed form are those of automatic differentiation, for all layers, losses and inputs."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit._algorithms.networks.layers import Activation, BatchNorm, L2Normalisation, Linear, predict
from transferkit._training.network.data import make_samples
from transferkit._training.network.losses import make_loss
from transferkit._training.network.network import Network
from transferkit._training.network.parameters import ParameterGroup

CPU = torch.device("cpu")
ACTIVATIONS = {
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "elu": torch.nn.functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
    "identity": lambda x: x,
}


def make_network(layers, sparse=False, groups=None):
    groups = groups or [ParameterGroup()] * len(layers)
    generator = torch.Generator().manual_seed(0)
    return Network(layers, groups, sparse=sparse, device=CPU, dtype=torch.float64, generator=generator)


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape)


def norm(size):
    return BatchNorm(draw(size, seed=5) + 2, draw(size, seed=6), np.zeros(size), np.ones(size))


STACKS = {
    **{
        name: ([Linear(draw(7, 5), draw(5)), Activation(name), Linear(draw(5, 3, seed=1), draw(3, seed=2))], name)
        for name in ACTIVATIONS
    },
    "batch_norm": ([Linear(draw(7, 5), draw(5)), norm(5), Activation("tanh"), Linear(draw(5, 3), draw(3))], "tanh"),
    "rows": ([Linear(draw(7, 5), None), L2Normalisation(), Linear(draw(5, 3), draw(3))], "identity"),
    "one layer": ([Linear(draw(7, 3), draw(3))], "identity"),
}


def run_by_autograd(layers, activation, x):
    leaves = []
    for layer in layers:
        if isinstance(layer, Linear):
            weights = torch.tensor(layer.weights, requires_grad=True)
            leaves.append(weights)
            x = x @ weights
            if layer.intercept is not None:
                leaves.append(torch.tensor(layer.intercept, requires_grad=True))
                x = x + leaves[-1]
        elif isinstance(layer, BatchNorm):
            leaves += [torch.tensor(layer.scale, requires_grad=True), torch.tensor(layer.shift, requires_grad=True)]
            x = torch.nn.functional.batch_norm(x, None, None, leaves[-2], leaves[-1], training=True)
        elif isinstance(layer, L2Normalisation):
            x = x / x.norm(dim=1, keepdim=True)
        else:
            x = ACTIVATIONS[activation](x)
    return x, leaves


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", STACKS)
def test_gradients_are_those_of_automatic_differentiation(name, kind):
    layers, activation = STACKS[name]
    X = draw(11, 7, seed=9) * (np.random.RandomState(3).random((11, 7)) < 0.6)
    network = make_network(layers, kind == "sparse")
    batch = make_samples(sp.csr_matrix(X) if kind == "sparse" else X, CPU).part(0, 11)
    scores = network.forward(batch, training=True)
    expected, leaves = run_by_autograd(layers, activation, torch.from_numpy(X))
    np.testing.assert_allclose(scores, expected.detach(), atol=1e-12)
    pull = torch.from_numpy(draw(11, 3, seed=8))
    (expected * pull).sum().backward()
    network.backward(pull.clone())
    parameters = [parameter for layer in network.layers for parameter in layer.parameters]
    for parameter, leaf in zip(parameters, leaves, strict=True):
        gradient = parameter.gradient
        if hasattr(parameter, "rows"):  # only the used rows have one
            gradient = torch.zeros_like(parameter.values).index_copy_(0, parameter.rows, parameter.gradient)
        np.testing.assert_allclose(gradient, leaf.grad, atol=1e-10)


@pytest.mark.parametrize("name", ["cross_entropy", "hinge", "focal", "squared_error", "absolute_error", "huber"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_gradients_of_losses_are_differences_of_their_values(name, exclusive):
    scores = torch.from_numpy(2 * draw(20, 4))
    targets = torch.from_numpy(np.random.RandomState(1).dirichlet(np.ones(4), 20))
    loss = make_loss(name, exclusive=exclusive, focal_gamma=1.7, huber_delta=0.4)
    losses, gradient = loss(scores.clone(), targets)
    for output, step in enumerate(1e-6 * torch.eye(4, dtype=torch.float64)):
        above, below = loss(scores + step, targets)[0], loss(scores - step, targets)[0]
        np.testing.assert_allclose(gradient[:, output], (above - below) / 2e-6, atol=1e-7)
    assert losses.shape == (20,)


def test_losses_have_the_values_of_torch():
    scores, functional = torch.from_numpy(draw(20, 4)), torch.nn.functional
    labels = torch.from_numpy(np.random.RandomState(1).randint(4, size=20))
    hot = functional.one_hot(labels, 4).double()
    cases = {
        ("cross_entropy", True): functional.cross_entropy(scores, labels, reduction="none"),
        ("cross_entropy", False): functional.binary_cross_entropy_with_logits(scores, hot, reduction="none").sum(1),
        ("squared_error", False): functional.mse_loss(scores, hot, reduction="none").sum(1) / 2,
        ("absolute_error", False): functional.l1_loss(scores, hot, reduction="none").sum(1),
        ("huber", False): functional.huber_loss(scores, hot, reduction="none", delta=0.4).sum(1),
    }
    for (name, exclusive), expected in cases.items():
        losses, _ = make_loss(name, exclusive=exclusive, huber_delta=0.4)(scores.clone(), hot)
        np.testing.assert_allclose(losses, expected, atol=1e-12)
    focal, _ = make_loss("focal", exclusive=True, focal_gamma=0)(scores.clone(), hot)
    np.testing.assert_allclose(focal, cases["cross_entropy", True], atol=1e-12)
    probability = torch.softmax(scores, 1).gather(1, labels[:, None])[:, 0]
    focal, _ = make_loss("focal", exclusive=True, focal_gamma=2)(scores.clone(), hot)
    np.testing.assert_allclose(focal, (1 - probability) ** 2 * cases["cross_entropy", True], atol=1e-12)
    hinge, _ = make_loss("hinge", exclusive=True)(scores.clone(), hot)
    np.testing.assert_allclose(hinge, (1 - (2 * hot - 1) * scores).clamp_min(0).sum(1), atol=1e-12)


def test_focal_loss_of_perfect_predictions_is_finite():
    scores = torch.tensor([[200.0, -200.0]])
    for exclusive in (True, False):
        losses, gradient = make_loss("focal", exclusive=exclusive, focal_gamma=0.5)(scores, torch.tensor([[1.0, 0.0]]))
        assert torch.isfinite(losses).all()
        assert torch.isfinite(gradient).all()


def test_backward_stops_at_the_first_group_that_is_trained():
    frozen = ParameterGroup("frozen", unfreeze_at=3)
    layers = [Linear(draw(7, 5), draw(5)), Activation("tanh"), Linear(draw(5, 3), draw(3))]
    network = make_network(layers, groups=[frozen, ParameterGroup(), ParameterGroup()])
    for buffer in network.buffers:
        buffer.freeze(2)
    network.forward(torch.from_numpy(draw(4, 7)), training=True)
    network.backward(torch.ones(4, 3, dtype=torch.float64))
    first, _, last = network.layers
    assert not first.weights.gradient.any()
    assert last.weights.gradient.any()


def test_mixed_sparse_rows_are_those_of_mixed_dense_rows():
    X = draw(9, 6) * (np.random.RandomState(3).random((9, 6)) < 0.5)
    order, share = torch.randperm(9, generator=torch.Generator().manual_seed(0)), np.linspace(0.1, 1, 9)
    mixing = (torch.roll(order, 1), share)
    dense = make_samples(X, CPU).take(order, mixing).part(2, 7)
    mixed = make_samples(sp.csr_matrix(X), CPU).take(order, mixing).part(2, 7)
    np.testing.assert_allclose(mixed.matmul(torch.eye(6, dtype=torch.float64)), dense, atol=1e-12)


def test_sparse_rows_on_a_device_do_what_those_on_the_host_do():
    from transferkit._training.network.data import DeviceSparseBatch

    X = sp.csr_matrix(draw(9, 6) * (np.random.RandomState(3).random((9, 6)) < 0.5))
    host = make_samples(X, CPU).part(2, 7)
    device = DeviceSparseBatch(host.indices.long(), host.values, host.indptr.astype(np.int64), 6)
    weights, pull = torch.from_numpy(draw(6, 4)), torch.from_numpy(draw(5, 4))
    padded = torch.cat([weights, torch.zeros(1, 4, dtype=torch.float64)])
    np.testing.assert_allclose(device.matmul(weights), host.matmul(weights), atol=1e-12)
    rows = device.find_used(6)
    np.testing.assert_allclose(device.matmul_used(padded[rows]), host.matmul(weights), atol=1e-12)
    gradient = torch.zeros(7, 4, dtype=torch.float64).index_copy_(0, rows, device.rmatmul_used(pull))
    np.testing.assert_allclose(gradient[:6], X[2:7].T @ pull.numpy(), atol=1e-12)


def test_arrays_are_trained_in_place_only_on_request():
    from transferkit._training.network.data import Examples
    from transferkit._training.network.training import TrainingOptions, train_network

    X, targets = sp.csr_matrix(draw(20, 7)), np.arange(20) % 3
    for in_place in (False, True):
        layers = [Linear(draw(7, 5), draw(5)), Activation("tanh"), Linear(draw(5, 3), draw(3))]
        trained = train_network(
            layers, Examples(X, targets), TrainingOptions(max_epochs=2, batch_size=5), in_place=in_place
        )
        assert np.array_equal(layers[0].weights, draw(7, 5)) != in_place
        assert not np.array_equal(trained.layers[0].weights, draw(7, 5))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("name", STACKS)
def test_layers_predict_in_numpy_what_the_network_predicts(name, kind):
    layers, _ = STACKS[name]
    X = draw(11, 7, seed=9)
    network = make_network(layers, sp.issparse(kind(X)))
    expected = network.predict([make_samples(kind(X), CPU).part(0, 11)])
    np.testing.assert_allclose(predict(layers, kind(X)), expected, atol=1e-12)


def test_batch_normalisation_is_folded_and_unfolded():
    linear, norm = Linear(draw(7, 5), draw(5)), BatchNorm(draw(5) + 2, draw(5), draw(5), draw(5) ** 2)
    X = draw(11, 7, seed=9)
    folded = norm.fold_into(linear)
    np.testing.assert_allclose(folded.predict(X), predict([linear, norm], X), atol=1e-12)
    unfolded = norm.unfold_from(folded)
    np.testing.assert_allclose(unfolded.predict(X), linear.predict(X), atol=1e-12)
