"""Models in two parts, so that a caller that needs several results of a model encodes its input once."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from transferkit.encoders.protocols import EncodesForHead, ModelParts

__all__ = ["split_model"]


def split_model(model: Any, X: Any) -> ModelParts:
    """Return the part of a fitted model that predicts from features, and the features of samples.

    Parameters
    ----------
    model : estimator
        A transfer estimator, a Pipeline or any other model, or one of these in a FrozenEstimator.
    X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
        Raw input of the model.

    Returns
    -------
    parts : ModelParts
        Of a model without an encoder the model itself, and X.
    """
    if isinstance(model, FrozenEstimator):
        return split_model(model.estimator, X)
    if isinstance(model, Pipeline) and len(model) > 1:
        encoder = model[:-1]
        features = encoder.transform(X)
        return ModelParts(model[-1], features, encoder, features)
    return model.encode_for_head(X) if isinstance(model, EncodesForHead) else ModelParts(model, X)
