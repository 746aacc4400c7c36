"""Values and residuals of losses equal plain formulas and finite differences."""

import numpy as np
import pytest
import torch
from scipy.special import log_expit, log_softmax

from transferkit._training.linear.losses import LogisticLoss, SoftmaxLoss, average_curvature, make_loss

SOFT = ["soft softmax", "soft logistic", "soft shared"]
NAMES = ["softmax", "logistic", "shared targets", *SOFT]


def make_losses():
    """Return losses by name, with scores of two problems."""
    generator = np.random.default_rng(0)
    weights = torch.from_numpy(generator.random((7, 2)))
    labels = torch.from_numpy(generator.integers(0, 3, 7))
    targets = torch.from_numpy(generator.integers(0, 2, (7, 2)).astype(float))
    soft, halves = generator.dirichlet(np.ones(3), 7), generator.random((7, 2))
    return {
        "soft softmax": (make(soft, weights, 3), torch.from_numpy(generator.normal(size=(7, 2, 3)))),
        "soft logistic": (make(halves, weights, 1), torch.from_numpy(generator.normal(size=(7, 2, 1)))),
        "soft shared": (make(halves[:, :1], weights, 1), torch.from_numpy(generator.normal(size=(7, 2, 1)))),
        "softmax": (SoftmaxLoss(labels, weights, 3), torch.from_numpy(generator.normal(size=(7, 2, 3)))),
        "logistic": (LogisticLoss(targets, weights), torch.from_numpy(generator.normal(size=(7, 2, 1)))),
        "shared targets": (LogisticLoss(targets[:, :1], weights), torch.from_numpy(generator.normal(size=(7, 2, 1)))),
    }


def make(targets, weights, n_outputs):
    return make_loss(targets, weights.numpy(), n_outputs, np.float64, torch.device("cpu"))


def repeat(loss):
    """Return the loss of one row per class, of which the weight is its probability."""
    if loss.n_outputs > 1:
        labels = torch.arange(3).repeat_interleave(7)
        return SoftmaxLoss(labels, torch.cat([loss.weights * share[:, None] for share in loss.targets.T]), 3)
    weights = torch.cat([loss.weights * (1 - loss.targets), loss.weights * loss.targets])
    return LogisticLoss(torch.cat([torch.zeros(7, 2), torch.ones(7, 2)]).double(), weights)


def test_values_are_the_weighted_cross_entropies():
    loss, scores = make_losses()["softmax"]
    expected = -np.take_along_axis(log_softmax(scores.numpy(), axis=2), loss.targets.numpy()[:, None, None], 2)[..., 0]
    np.testing.assert_allclose(loss.evaluate(scores)[0], (expected * loss.weights.numpy()).sum(0))
    loss, scores = make_losses()["logistic"]
    signs = 2 * loss.targets.numpy() - 1
    expected = -log_expit(signs * scores.numpy()[..., 0])
    np.testing.assert_allclose(loss.evaluate(scores)[0], (expected * loss.weights.numpy()).sum(0))


@pytest.mark.parametrize("name", SOFT)
def test_loss_of_probabilities_is_that_of_one_weighted_row_per_class(name):
    loss, scores = make_losses()[name]
    rows = repeat(loss)
    copies = len(rows.weights) // 7
    scores_of_rows = scores.repeat(copies, 1, 1)
    values, residuals = loss.evaluate(scores)
    values_of_rows, residuals_of_rows = rows.evaluate(scores_of_rows)
    np.testing.assert_allclose(values, values_of_rows)
    np.testing.assert_allclose(residuals, residuals_of_rows.view(copies, 7, 2, -1).sum(0))
    curvatures = rows.curvatures(scores_of_rows).view(copies, 7, 2, -1).sum(0)
    np.testing.assert_allclose(loss.curvatures(scores), curvatures)
    along = rows.curvatures_along(scores_of_rows, scores_of_rows.sin()).view(copies, 7, 2).sum(0)
    np.testing.assert_allclose(loss.curvatures_along(scores, scores.sin()), along)
    np.testing.assert_allclose(average_curvature(loss, residuals), average_curvature(rows, residuals_of_rows))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_of_confident_scores_keeps_its_digits(dtype):
    tiny = 1e-8
    targets = torch.tensor([[tiny], [1.0]], dtype=dtype)
    loss = LogisticLoss(targets, torch.ones(2, 1, dtype=dtype), torch.zeros(1, dtype=dtype))
    for score in (-20.0, -3e4):
        value, _ = loss.evaluate(torch.tensor([[[score]], [[-score]]], dtype=dtype))
        assert float(value) == pytest.approx(2 * np.log1p(np.exp(score)) - tiny * score, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_log_odds_are_the_best_equal_scores(name):
    loss, scores = make_losses()[name]
    _, residuals = loss.evaluate(loss.log_odds().expand_as(scores))
    np.testing.assert_allclose(residuals.sum(0), 0, atol=1e-10 if name in SOFT else 0.1)  # labels may be absent


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_rows", [1, 5])
def test_log_odds_of_absent_labels_are_finite(n_rows, n_outputs):
    loss = make(np.zeros(n_rows, int), torch.ones(n_rows, 1), n_outputs)
    assert bool(loss.log_odds().isfinite().all())


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
def test_part_of_the_problems_keeps_its_values(name):
    loss, scores = make_losses()[name]
    part = torch.tensor([1])
    values, residuals = loss.evaluate(scores)
    values_of_part, residuals_of_part = loss.select(part).evaluate(scores[:, part])
    np.testing.assert_allclose(values_of_part, values[part])
    curvature = average_curvature(loss.select(part), residuals_of_part)
    np.testing.assert_allclose(curvature, average_curvature(loss, residuals)[part])


def test_curvature_ignores_rows_without_weight():
    loss, scores = make_losses()["softmax"]
    weights = loss.weights.clone()
    weights[3:] = 0
    short = SoftmaxLoss(loss.targets[:3], weights[:3], 3)
    full = SoftmaxLoss(loss.targets, weights, 3)
    np.testing.assert_allclose(
        average_curvature(full, full.evaluate(scores)[1]),
        average_curvature(short, short.evaluate(scores[:3])[1]),
    )
