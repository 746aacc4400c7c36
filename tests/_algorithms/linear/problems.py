"""Targets of all kinds for tests of losses."""

import numpy as np
from scipy.special import log_expit, log_softmax

CASES = ["two classes", "two classes, soft", "three classes", "three classes, soft", "two classes, weighted"]


def make_case(case):
    """Return targets, weights (60,) and the number of outputs."""
    rng = np.random.default_rng(0)
    weights = rng.random(60) + 0.1 if "weighted" in case else np.ones(60)
    if case.startswith("three"):
        return (rng.dirichlet(np.ones(3), 60) if "soft" in case else rng.integers(0, 3, 60)), weights, 3
    return (rng.random((60, 1)) if "soft" in case else rng.integers(0, 2, 60)), weights, 1


def measure(scores, targets, weights):
    """Return the weighted loss of scores (n_rows, n_outputs)."""
    if scores.shape[1] > 1:
        shares = targets if targets.ndim == 2 else np.eye(scores.shape[1])[targets]
        return -(weights[:, None] * shares * log_softmax(scores, axis=1)).sum()
    shares, flat = targets.reshape(-1), scores[:, 0]
    return -(weights * (shares * log_expit(flat) + (1 - shares) * log_expit(-flat))).sum()
