"""Linear discriminant analysis of the target, by expectation-maximisation from given class probabilities."""

import numpy as np
from scipy.special import softmax

from transferkit._algorithms.domains.alignment import joint_axes

__all__ = ["label_by_discriminant"]

MOST_AXES = 100  # leading principal axes of both domains, in which the classes are modelled
SHRINKAGE = 0.3  # of the covariance within classes towards a multiple of the identity
N_ROUNDS = 10
_FEWEST = 1e-3  # rows: a class that no row belongs to stays at the mean of its source


def label_by_discriminant(
    source: np.ndarray, codes: np.ndarray, target: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Return class probabilities of target rows (n_target, n_classes) by Gaussian classes that are fitted to them.

    All classes have one covariance: the mean of those within the classes of the source and of the target. The means and
    the proportions of the classes are those of the target, weighted by the probabilities, and these are replaced by
    those of the model, `N_ROUNDS` times. So the target decides where its classes lie, and the given probabilities only
    which is which. It fails where the classes are not the clusters of the rows, as with the sentiment of texts.

    Parameters
    ----------
    source : ndarray of shape (n_source, n_features)
        Labelled rows.
    codes : ndarray of shape (n_source,)
        Numbers of their classes.
    target : ndarray of shape (n_target, n_features)
        Unlabelled rows.
    probabilities : ndarray of shape (n_target, n_classes)
        Class probabilities to begin with.
    """
    source, target = _project(source, target)
    n_classes = probabilities.shape[1]
    members = np.eye(n_classes)[codes]
    source_means, of_source = _describe(source, members, np.zeros((n_classes, source.shape[1])))
    for _ in range(N_ROUNDS):
        means, of_target = _describe(target, probabilities, source_means)
        precision = np.linalg.inv(_shrink((of_source + of_target) / 2))
        weights = means @ precision
        shares = (probabilities.sum(0) + 1) / (len(target) + n_classes)
        scores = target @ weights.T - (weights * means).sum(1) / 2 + np.log(shares)
        probabilities = softmax(scores, axis=1)
    return probabilities


def _project(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both domains on their leading principal axes, in float64."""
    rows = np.concatenate([source, target])
    mean, axes = joint_axes(rows, min(MOST_AXES, *rows.shape))
    projected = np.asarray(rows @ axes, np.float64) - np.asarray(mean @ axes, np.float64)
    return projected[: source.shape[0]], projected[source.shape[0] :]


def _describe(rows: np.ndarray, members: np.ndarray, otherwise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the class means (n_classes, n_features) and the covariance within classes, both weighted by membership."""
    counts = members.sum(0)[:, None]
    means = (members.T @ rows + _FEWEST * otherwise) / (counts + _FEWEST)
    deviations = rows - members @ means
    return means, deviations.T @ deviations / len(rows)


def _shrink(covariance: np.ndarray) -> np.ndarray:
    level = np.trace(covariance) / len(covariance) or 1.0  # rows that are all alike have no covariance
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
