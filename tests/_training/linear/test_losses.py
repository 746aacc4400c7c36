"""Values and residuals of losses equal plain formulas and finite differences."""

import numpy as np
import pytest
import torch
from scipy.special import log_expit, log_softmax

from transferkit._training.linear.losses import LogisticLoss, SoftmaxLoss, average_curvature


def make_losses():
    generator = np.random.default_rng(0)
    weights = torch.from_numpy(generator.random((7, 2)))
    labels = torch.from_numpy(generator.integers(0, 3, 7))
    targets = torch.from_numpy(generator.integers(0, 2, (7, 2)).astype(float))
    return {
        "softmax": (SoftmaxLoss(labels, weights, 3), torch.from_numpy(generator.normal(size=(7, 2, 3)))),
        "logistic": (LogisticLoss(targets, weights), torch.from_numpy(generator.normal(size=(7, 2, 1)))),
        "shared targets": (LogisticLoss(targets[:, :1], weights), torch.from_numpy(generator.normal(size=(7, 2, 1)))),
    }


def test_values_are_the_weighted_cross_entropies():
    loss, scores = make_losses()["softmax"]
    expected = -np.take_along_axis(log_softmax(scores.numpy(), axis=2), loss.labels.numpy()[:, None, None], 2)[..., 0]
    np.testing.assert_allclose(loss.evaluate(scores)[0], (expected * loss.weights.numpy()).sum(0))
    loss, scores = make_losses()["logistic"]
    signs = 2 * loss.targets.numpy() - 1
    expected = -log_expit(signs * scores.numpy()[..., 0])
    np.testing.assert_allclose(loss.evaluate(scores)[0], (expected * loss.weights.numpy()).sum(0))


@pytest.mark.parametrize("name", ["softmax", "logistic", "shared targets"])
def test_residuals_are_the_gradient(name):
    loss, scores = make_losses()[name]
    _, residuals = loss.evaluate(scores)
    step = 1e-6
    for index in [(0, 0, 0), (3, 1, 0), (6, 0, scores.shape[2] - 1)]:
        up, down = scores.clone(), scores.clone()
        up[index] += step
        down[index] -= step
        slope = (loss.evaluate(up)[0] - loss.evaluate(down)[0])[index[1]] / (2 * step)
        assert slope == pytest.approx(float(residuals[index]), abs=1e-7)


@pytest.mark.parametrize("name", ["softmax", "logistic", "shared targets"])
def test_part_of_the_problems_keeps_its_values(name):
    loss, scores = make_losses()[name]
    part = torch.tensor([1])
    np.testing.assert_allclose(loss.select(part).evaluate(scores[:, part])[0], loss.evaluate(scores)[0][part])


def test_curvature_ignores_rows_without_weight():
    loss, scores = make_losses()["softmax"]
    weights = loss.weights.clone()
    weights[3:] = 0
    short = SoftmaxLoss(loss.labels[:3], weights[:3], 3)
    full = SoftmaxLoss(loss.labels, weights, 3)
    np.testing.assert_allclose(
        average_curvature(full.evaluate(scores)[1], full.weights),
        average_curvature(short.evaluate(scores[:3])[1], short.weights),
    )
