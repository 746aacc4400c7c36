"""Acceptance scores of a fitted classifier: its probabilities, and the similarity of samples to those of training."""

import os
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from transferkit._algorithms.rows.class_distances import describe_rows, measure_similarity
from transferkit._validation import check_features, is_fitted
from transferkit.encoders import PretrainedEncoder
from transferkit.encoders.term_union import encode_terms

__all__ = ["Acceptance", "find_blank", "find_scaling", "standardise"]

WEIGHT_OF_PROBABILITY = 2.0  # in the sum with the distance, both standardised
_LEAST_PROBABILITY = 1e-300  # its logarithm is finite


class Acceptance(NamedTuple):
    """What scores are made of: a fitted classifier and, for distances, the samples of training in some space."""

    classifier: BaseEstimator
    method: str  # of SelectiveClassifier
    space: BaseEstimator | None  # encodes samples before they are compared; None for the samples as they are
    described: dict[str, Any] | None  # the training samples there

    @classmethod
    def of(cls, classifier: BaseEstimator, method: str, X: Any, y: np.ndarray) -> "Acceptance":
        """Return the scores of a classifier that was fitted to X and y."""
        if method == "probability":
            return cls(classifier, method, None, None)
        space = _find_space(classifier)
        classes = np.unique(y, return_inverse=True)[1]
        return cls(classifier, method, space, describe_rows(_encode(space, X), classes))

    def measure(self, X: Any) -> np.ndarray:
        """Return the scores of samples before standardisation, (n_samples, n_scores), the higher the better.

        With "both" the first column has logarithms of probabilities, otherwise there is one column.
        """
        columns = []
        if self.method != "distance":
            highest = self._find_probabilities(X).max(axis=1).astype(np.float64)
            is_one = self.method == "probability"
            columns.append(highest if is_one else np.log(np.maximum(highest, _LEAST_PROBABILITY)))
        if self.described is not None:
            columns.append(measure_similarity(self.described, _encode(self.space, X)))
        return np.stack(columns, axis=1)

    def _find_probabilities(self, X: Any) -> np.ndarray:
        probabilities = np.asarray(self.classifier.predict_proba(X))
        missing = np.isnan(probabilities).any(axis=1)
        if missing.any():
            raise ValueError(
                f"The probabilities of {type(self.classifier).__name__} are NaN for {missing.sum()} of {len(missing)} "
                f"samples, first for sample {missing.argmax()}: nothing can be said of these. Check its input and its "
                "weights."
            )
        return probabilities


def find_blank(classifier: Any, texts: list[str]) -> np.ndarray:
    """Return whether a classifier knows nothing of a text, whose encoding is all zeros, (n_texts,).

    Neither a probability nor a distance shows that: zeros often lie in the middle of the texts.
    """
    if isinstance(classifier, FrozenEstimator):
        return find_blank(classifier.estimator, texts)
    is_pipeline = isinstance(classifier, Pipeline) and len(classifier) > 1
    encoder = classifier[:-1] if is_pipeline else getattr(classifier, "encoder_", None)
    if encoder is None:
        return np.zeros(len(texts), np.bool_)
    return np.asarray(abs(_encode(encoder, texts)).sum(axis=1)).ravel() == 0


def find_scaling(measured: np.ndarray) -> np.ndarray:
    """Return the means and standard deviations of scores (2, n_scores); ones for those that are constant."""
    scales = measured.std(axis=0)
    return np.stack([measured.mean(axis=0), np.where(scales > 0, scales, 1.0)])


def standardise(measured: np.ndarray, scaling: np.ndarray | None) -> np.ndarray:
    """Return one score per sample: the column, or the weighted sum of probabilities and distances, both standardised.

    Parameters
    ----------
    measured : ndarray of shape (n_samples, n_scores)
        From `Acceptance.measure`.
    scaling : ndarray of shape (2, n_scores) or None
        Means, and standard deviations.
    """
    if scaling is None:
        return measured[:, 0]
    return ((measured - scaling[0]) / scaling[1]) @ np.array([WEIGHT_OF_PROBABILITY, 1.0])


def _find_space(classifier: Any) -> BaseEstimator | None:
    """Return the fitted transformer whose output is compared: the pretrained encoder, or the steps before the last.

    The pretrained encoder of a transfer estimator is its parameter, as the fitted one may have terms alone.
    """
    if isinstance(classifier, FrozenEstimator):
        return _find_space(classifier.estimator)
    if isinstance(classifier, Pipeline):
        return classifier[:-1] if len(classifier) > 1 else None
    if not (hasattr(classifier, "encoder_") and hasattr(classifier, "head_")):
        return None
    encoder = classifier.encoder
    is_pretrained = isinstance(encoder, (str, os.PathLike)) or (encoder is not None and is_fitted(encoder))
    return PretrainedEncoder(encoder).fit() if is_pretrained else classifier.encoder_


def _encode(space: Any, X: Any) -> Any:
    rows = X if space is None else encode_terms(space, X)
    return check_features(sp.csr_matrix(rows) if sp.issparse(rows) else rows)
