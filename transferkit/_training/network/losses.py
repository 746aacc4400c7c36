"""Losses, with their gradients with respect to the scores, and validation metrics.

Targets have the shape of the scores: probabilities in classification, so that labels can be smoothed and mixed, numbers
in regression. The loss of a sample is the sum over its outputs.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["REGRESSION_LOSSES", "Loss", "Metric", "accuracy", "make_loss", "r2"]

# scores (n, n_outputs), which may be overwritten, and targets -> losses (n,) and their gradient (n, n_outputs)
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Metric = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # of scores, targets and weights; larger is better

REGRESSION_LOSSES = ("squared_error", "absolute_error", "huber")


def make_loss(name: str, *, exclusive: bool, focal_gamma: float = 2.0, huber_delta: float = 1.0) -> Loss:
    """Return a loss by its name; `exclusive` if each sample has exactly one class.

    "cross_entropy" is that of the softmax of the scores if classes are exclusive, else of the sigmoid of each; "hinge"
    is max(0, 1 -+ score) of each output, as in a linear support vector machine; "focal" is cross-entropy times (1 -
    probability of the label) ** focal_gamma (Lin et al., "Focal loss for dense object detection", ICCV 2017);
    "squared_error" is half the square; "absolute_error"; "huber" is half the square up to `huber_delta`, linear beyond.
    """
    if name == "cross_entropy":
        return softmax_cross_entropy if exclusive else binary_cross_entropy
    if name == "focal":
        return partial(softmax_focal if exclusive else binary_focal, focal_gamma)
    if name == "huber":
        return partial(huber, huber_delta)
    return {"hinge": hinge, "squared_error": squared_error, "absolute_error": absolute_error}[name]


def softmax_cross_entropy(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return -sum(targets * log softmax), and softmax - targets."""
    logs = torch.log_softmax(scores, 1)
    losses = (targets * logs).sum(1).neg_()
    return losses, logs.exp_().sub_(targets)


def binary_cross_entropy(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of each output's sigmoid, and sigmoid - targets."""
    losses = (softplus(scores) - targets * scores).sum(1)
    return losses, torch.sigmoid(scores).sub_(targets)


def hinge(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return max(0, 1 - score) for a target of 1, max(0, 1 + score) for 0, and a weighted mean of both in between."""
    above, below = 1 - scores, 1 + scores
    losses = (targets * above.clamp_min(0) + (1 - targets) * below.clamp_min(0)).sum(1)
    return losses, (1 - targets) * (below > 0) - targets * (above > 0)


def softmax_focal(gamma: float, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the focal loss of the softmax."""
    logs = torch.log_softmax(scores, 1)
    probabilities = logs.exp()
    losses, pull = _focal_terms(gamma, logs, probabilities, 1 - probabilities)
    pull = pull * targets  # gradient in the logarithm of each probability
    return (losses * targets).sum(1), pull - probabilities * pull.sum(1, keepdim=True)


def binary_focal(gamma: float, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the focal loss of each output's sigmoid."""
    yes, no = torch.sigmoid(scores), torch.sigmoid(-scores)
    losses_yes, pull_yes = _focal_terms(gamma, -softplus(-scores), yes, no)
    losses_no, pull_no = _focal_terms(gamma, -softplus(scores), no, yes)
    losses = targets * losses_yes + (1 - targets) * losses_no
    return losses.sum(1), targets * pull_yes * no - (1 - targets) * pull_no * yes


def _focal_terms(gamma: float, logs: Tensor, probabilities: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    rest = rest.clamp_min(0)
    damping = rest.pow(gamma)
    tiny = torch.finfo(rest.dtype).tiny  # gamma < 1: the slope is infinite where the rest is zero
    slope = gamma * probabilities * rest.clamp_min(tiny).pow(gamma - 1) * logs
    return -damping * logs, slope - damping


def squared_error(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return half the squared error."""
    errors = scores.sub_(targets)
    return errors.square().sum(1).mul_(0.5), errors


def absolute_error(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the absolute error."""
    errors = scores.sub_(targets)
    return errors.abs().sum(1), errors.sign()


def huber(delta: float, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return half the squared error, linear beyond delta."""
    errors = scores.sub_(targets)
    clipped = errors.clamp(-delta, delta)
    return (clipped * (errors - clipped / 2)).sum(1), clipped


def accuracy(scores: Tensor, targets: Tensor, weights: Tensor | None, *, exclusive: bool) -> Tensor:
    """Return the share of samples with all labels predicted correctly: the largest score, or all above zero.

    If targets are probabilities, this is the expected share.
    """
    if not exclusive:
        right = torch.where(scores > 0, targets, 1 - targets).prod(1)
    elif targets.ndim == 1:
        right = scores.argmax(1) == targets
    else:
        right = targets.gather(1, scores.argmax(1, keepdim=True))[:, 0]
    return right.double().mean() if weights is None else (right * weights).sum() / weights.sum()


def r2(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the coefficient of determination, averaged over the outputs.

    For a constant output it is one if all predictions are correct, else zero, as in scikit-learn.
    """
    weight = torch.ones_like(targets[:, :1]) if weights is None else weights[:, None]
    mean = (targets * weight).sum(0) / weight.sum()
    unexplained = ((targets - scores).square() * weight).sum(0)
    total = ((targets - mean).square() * weight).sum(0)
    constant = (targets == targets[:1]).all(0)
    scores_of_constant = (unexplained == 0).to(total.dtype)
    return torch.where(constant, scores_of_constant, 1 - unexplained / total).mean()
