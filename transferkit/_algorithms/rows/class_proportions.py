"""Class proportions of unlabelled rows, from the predictions of a model that was trained on other proportions.

Under *label shift* the proportions of the classes differ between two samples, and the rows of a class have the same
distribution in both. The ratio of a class's proportions is then the importance weight of its rows.
"""

import numpy as np
from scipy.optimize import nnls

__all__ = ["adjust_probabilities", "estimate_proportions", "match_predictions"]

MAX_STEPS = 1000
TOL = 1e-7  # change of the proportions in a step at which expectation-maximisation stops


def estimate_proportions(probabilities: np.ndarray, base: np.ndarray, strength: float = 0.0) -> np.ndarray:
    """Return the class proportions of rows, from probabilities of a model that assumes others.

    Expectation-maximisation (Saerens, Latinne and Decaestecker 2002), shrunk towards the base as by a Dirichlet prior.
    Without the prior it is the maximum-likelihood estimate if the probabilities are calibrated; small errors of theirs
    add up, and the largest classes may swallow the others.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Probabilities of the classes under the proportions `base`.
    base : ndarray of shape (n_classes,)
        Proportions assumed, none of them zero.
    strength : float
        Weight of the base in units of all rows: with 1 it counts as much as the rows.
    """
    densities = np.asarray(probabilities, np.float64) / base  # of a row in each class, relative to all rows
    tiny, proportions = np.finfo(np.float64).tiny, np.asarray(base, np.float64)
    for _ in range(MAX_STEPS):
        shares = proportions * (densities.T @ (1 / np.maximum(densities @ proportions, tiny))) / len(densities)
        previous, proportions = proportions, (shares + strength * base) / (1 + strength)
        if np.abs(proportions - previous).max() < TOL:
            break
    return proportions


def match_predictions(confusion: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the class proportions that best explain how often a model predicts each class.

    Black-box shift estimation (Lipton, Wang and Smola 2018): under label shift the shares of the predictions are
    ``confusion @ proportions``. The proportions minimise the squared error under the constraint that none is negative
    and that they sum to one; the inverse of the confusion matrix need not give such.

    Parameters
    ----------
    confusion : ndarray of shape (n_classes, n_classes)
        Probability that a row of class j is predicted to be of class i, in row i and column j.
    predicted : ndarray of shape (n_classes,)
        Shares of the predictions.
    """
    # On the simplex the error is (confusion - predicted 1') q, which is homogeneous in q, so that the sum of q can be
    # left free and pulled to one: this changes the length of the solution, not its direction
    system = np.vstack([confusion - predicted[:, None], np.ones(len(predicted))])
    proportions = nnls(system, np.append(np.zeros(len(predicted)), 1.0))[0]
    return proportions / proportions.sum()


def adjust_probabilities(probabilities: np.ndarray, base: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes under other proportions than the base that they assume (Bayes' rule).

    A row all of whose classes have a proportion of zero gets the proportions.
    """
    adjusted = probabilities * (proportions / base)
    total = adjusted.sum(axis=1, keepdims=True)
    return np.where(total > 0, adjusted / np.where(total > 0, total, 1), proportions)
