"""Acceptance scores of a fitted classifier: its probabilities, and the similarity of samples to those of training."""

import os
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from transferkit._algorithms.rows.class_distances import describe_rows, measure_similarity
from transferkit._validation import check_features, check_texts, count_rows, holds_texts, is_fitted
from transferkit.encoders import PretrainedEncoder
from transferkit.encoders.model_parts import split_model
from transferkit.encoders.protocols import ModelParts
from transferkit.encoders.term_union import encode_terms

__all__ = ["Acceptance", "Samples", "find_scaling", "standardise"]

WEIGHT_OF_PROBABILITY = 2.0  # in the sum with the distance, both standardised
_LEAST_PROBABILITY = 1e-300  # its logarithm is finite


class Samples(NamedTuple):
    """Samples, encoded once for everything that is computed of them with a classifier."""

    X: Any  # raw input
    parts: ModelParts  # of the classifier

    @classmethod
    def of(cls, classifier: BaseEstimator, X: Any) -> "Samples":
        """Return samples, encoded by a fitted classifier."""
        X = check_texts(X) if holds_texts(X) else X
        return cls(X, split_model(classifier, X))

    def predict(self) -> np.ndarray:
        """Return the labels that the classifier predicts."""
        return np.asarray(self.parts.head.predict(self.parts.features))

    def encode(self, space: BaseEstimator | None) -> Any:
        """Return features in some space, those of the classifier itself if its encoder is that space."""
        if self.parts.encoder is not None and _steps(space) == _steps(self.parts.encoder):
            return _as_features(self.parts.encoded)
        return _encode(space, self.X)

    def find_unknown(self) -> np.ndarray:
        """Return whether the classifier knows nothing of a text, whose encoding is all zeros, (n_samples,).

        Neither a probability nor a distance shows that: zeros often lie in the middle of the texts. The result is False
        for samples that are no texts.
        """
        if self.parts.encoder is None or not holds_texts(self.X):
            return np.zeros(count_rows(self.X), np.bool_)
        return np.asarray(abs(_as_features(self.parts.encoded)).sum(axis=1)).ravel() == 0


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

    def measure(self, samples: Samples) -> np.ndarray:
        """Return the scores of samples before standardisation, (n_samples, n_scores), the higher the better.

        With "both" the first column has logarithms of probabilities, otherwise there is one column.
        """
        columns = []
        if self.method != "distance":
            highest = self._find_probabilities(samples).max(axis=1).astype(np.float64)
            is_one = self.method == "probability"
            columns.append(highest if is_one else np.log(np.maximum(highest, _LEAST_PROBABILITY)))
        if self.described is not None:
            columns.append(measure_similarity(self.described, samples.encode(self.space)))
        return np.stack(columns, axis=1)

    def _find_probabilities(self, samples: Samples) -> np.ndarray:
        probabilities = np.asarray(samples.parts.head.predict_proba(samples.parts.features))
        missing = np.isnan(probabilities).any(axis=1)
        if missing.any():
            raise ValueError(
                f"The probabilities of {type(self.classifier).__name__} are NaN for {missing.sum()} of {len(missing)} "
                f"samples, first for sample {missing.argmax()}: nothing can be said of these. Check its input and its "
                "weights."
            )
        return probabilities


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
    return _as_features(X if space is None else encode_terms(space, X))


def _as_features(rows: Any) -> Any:
    return check_features(sp.csr_matrix(rows) if sp.issparse(rows) else rows)


def _steps(transformer: Any) -> list[int]:
    """Return the identities of the transformers of which one consists; two that are equal encode alike."""
    if isinstance(transformer, Pipeline):
        return [identity for _, step in transformer.steps for identity in _steps(step)]
    return [id(transformer.encoder_ if isinstance(transformer, PretrainedEncoder) else transformer)]
