"""What a network head is to learn, once the user's targets have been read."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """Rows, targets and all that hangs on them.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
        Features of the rows that weigh anything.
    targets : ndarray
        Class numbers (n_rows,) for a softmax, else (n_rows, n_outputs).
    weights : ndarray of shape (n_rows,) or None
        None where all rows weigh the same.
    n_outputs : int
        Width of the output layer; 1 for two classes.
    labels : ndarray or None
        Labels of the outputs, for a source model to be matched by.
    stratify : bool
        Whether rows are held out class by class.
    attributes : dict
        Fitted attributes that are known before training.
    loss_options : dict
        Options of the training engine that belong to the loss.
    """

    X: Any
    targets: np.ndarray
    weights: np.ndarray | None
    n_outputs: int
    labels: np.ndarray | None = None
    stratify: bool = False
    attributes: dict = field(default_factory=dict)
    loss_options: dict = field(default_factory=dict)

    @property
    def rows(self):
        """Return X, targets and weights."""
        return self.X, self.targets, self.weights
