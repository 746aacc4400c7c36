"""Tied weights, convolutions and modules: gradients are those of automatic differentiation."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit._algorithms.networks.layers import Activation, Convolution, Linear, TiedLinear, Upsampling
from transferkit._training.modules.features import ModuleLayer
from transferkit._training.network.data import DeviceSparseBatch, make_samples
from transferkit._training.network.network import Network, count_outputs
from transferkit._training.network.parameters import ParameterGroup

CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape)


def make_network(layers, groups, sparse=False):
    return Network(layers, groups, sparse=sparse, device=CPU, dtype=torch.float64, generator=torch.Generator())


def run_torch(layers, x, leaves):
    """Return the output by plain torch; `leaves` has (weights, intercept) of each layer."""
    for layer, (weights, intercept) in zip(layers, leaves, strict=True):
        if isinstance(layer, Linear):
            x = x @ weights + intercept
        elif isinstance(layer, TiedLinear):
            x = x @ leaves[layers.index(layer.source)][0].T + intercept
        elif isinstance(layer, Activation):
            x = torch.tanh(x)
        elif isinstance(layer, Convolution):
            images = x.reshape(len(x), *layer.image_shape).permute(0, 3, 1, 2)
            kernel = weights.T.reshape(weights.shape[1], layer.image_shape[2], 3, 3)
            x = torch.conv2d(images, kernel, intercept, layer.stride, 1).permute(0, 2, 3, 1).reshape(len(x), -1)
        else:
            images = x.reshape(len(x), *layer.image_shape).permute(0, 3, 1, 2)
            images = torch.nn.functional.interpolate(images, scale_factor=2, mode="nearest")
            images = images[:, :, : layer.large_shape[0], : layer.large_shape[1]]
            x = images.permute(0, 2, 3, 1).reshape(len(x), -1)
    return x


def leaf(array):
    return None if array is None else torch.tensor(array, requires_grad=True)


WIDE, NARROW = Linear(draw(20, 6), draw(6)), Linear(draw(6, 3), draw(3))
STACKS = {
    "tied": [
        WIDE, Activation("tanh"), NARROW,
        TiedLinear(NARROW, draw(6, seed=1)), Activation("tanh"), TiedLinear(WIDE, draw(20, seed=2)),
    ],
    "convolutions": [
        Convolution(draw(9 * 2, 4), draw(4), (5, 2, 2), 2), Activation("tanh"),
        Convolution(draw(9 * 4, 3), draw(3), (3, 1, 4), 2), Activation("tanh"), Linear(draw(6, 6), draw(6)),
        Upsampling((2, 1, 3), (3, 1, 3)),
        Convolution(draw(9 * 3, 4), draw(4), (3, 1, 3), 1), Upsampling((3, 1, 4), (5, 2, 4)),
        Convolution(draw(9 * 4, 2), draw(2), (5, 2, 4), 1),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [("tied", "dense"), ("tied", "sparse"), ("tied", "as on a GPU"), ("convolutions", "dense")]
)
def test_gradients_are_those_of_automatic_differentiation(name, kind):
    layers = STACKS[name]
    X = draw(7, 20, seed=3) * (np.random.RandomState(4).random((7, 20)) < 0.5)
    network = make_network(layers, [ParameterGroup()] * len(layers), sparse=kind != "dense")
    leaves = [(leaf(getattr(s, "weights", None)), leaf(getattr(s, "intercept", None))) for s in layers]
    expected = run_torch(layers, torch.tensor(X), leaves)
    weights = torch.tensor(draw(*expected.shape, seed=5))
    (expected * weights).sum().backward()
    with torch.no_grad():
        for _ in range(2):  # no gradient is left over from the batch before
            batch = make_samples(X if kind == "dense" else sp.csr_matrix(X), CPU).part(0, 7)
            if kind == "as on a GPU":
                batch = DeviceSparseBatch(batch.indices.long(), batch.values, batch.indptr, batch.n_columns)
            output = network.forward(batch, training=True)
            torch.testing.assert_close(output, expected.detach())
            network.backward(weights.clone())
    assert count_outputs(layers) == expected.shape[1] == 20
    for layer, (of_weights, of_intercept) in zip(network.layers, leaves, strict=True):
        if of_weights is not None:
            torch.testing.assert_close(layer.weights.gradient, of_weights.grad)
        if of_intercept is not None:
            torch.testing.assert_close(layer.intercept.gradient, of_intercept.grad)
    for layer, before in zip(network.read(), layers, strict=True):
        for part in ("weights", "intercept"):
            if getattr(before, part, None) is not None:
                np.testing.assert_array_equal(getattr(layer, part), getattr(before, part))


def test_convolutions_in_numpy_are_those_of_torch():
    for layer in STACKS["convolutions"]:
        if isinstance(layer, Convolution):
            rows = draw(5, int(np.prod(layer.image_shape)))
            expected = run_torch(
                [layer], torch.tensor(rows), [(torch.tensor(layer.weights), torch.tensor(layer.intercept))]
            )
            np.testing.assert_allclose(layer.predict(rows), expected.numpy(), atol=1e-12)
        if isinstance(layer, Upsampling):
            rows = draw(5, int(np.prod(layer.image_shape)))
            expected = run_torch([layer], torch.tensor(rows), [(None, None)])
            np.testing.assert_array_equal(layer.predict(rows), expected.numpy())


def test_gradients_of_a_module_are_its_own_and_its_blocks_begin_one_after_another():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 4, 5)), torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten(),
        torch.nn.Linear(18, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2),
    ).double()  # fmt: skip
    layer, head = ModuleLayer(module, "5", (20,), 3), Linear(draw(4, 2), draw(2))
    network = make_network([layer, head], [ParameterGroup("encoder", unfreeze_at=2), ParameterGroup("head")])
    assert {buffer.group.name: buffer.group.unfreeze_at for buffer in network.buffers} == {
        "encoder 0": 4, "encoder 1": 3, "encoder 2": 2, "head": 0,
    }  # fmt: skip
    X, weights = torch.tensor(draw(7, 20)), torch.tensor(draw(7, 2, seed=1))
    twin = layer.module.eval()
    expected = twin[:6](X) @ torch.tensor(head.weights) + torch.tensor(head.intercept)
    (expected * weights).sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert len(gradients) == 6
    for epoch in (5, 2, 0):
        for buffer in network.buffers:
            buffer.gradient.zero_()
            buffer.freeze(epoch)
        with torch.no_grad():
            torch.testing.assert_close(network.forward(X, training=True), expected.detach())
            network.backward(weights.clone())
        parameters = network.layers[0].parameter_of
        assert set(parameters) == set(gradients)
        for name, parameter in parameters.items():
            learns = {5: True, 2: name.startswith("5."), 0: False}[epoch]
            found = parameter.gradient.view(gradients[name].shape)
            torch.testing.assert_close(found, gradients[name] if learns else torch.zeros_like(found))
