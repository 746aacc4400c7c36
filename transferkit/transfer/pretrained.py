"""The `encoder` parameter of transfer estimators: pretrained encoders are shared, others are cloned and fitted."""

import os

from sklearn.base import clone

from transferkit._validation import is_fitted
from transferkit.encoders import PretrainedEncoder

__all__ = ["check_has_encoder", "is_frozen", "make_encoder"]


def is_frozen(encoder):
    """Return whether an encoder is pretrained: a file, or fitted."""
    if isinstance(encoder, (str, os.PathLike, PretrainedEncoder)):
        return True
    return hasattr(encoder, "fit") and is_fitted(encoder)


def check_has_encoder(estimator, strategy):
    """Raise ValueError if a transfer estimator has no encoder for a strategy that needs one."""
    if estimator.encoder is None:
        raise ValueError(
            f"{type(estimator).__name__} with strategy={strategy!r} needs an encoder: a model file, or a transformer "
            "such as WordVectorEncoder().fit(unlabelled_texts). For a model without transfer choose "
            "strategy='scratch'."
        )


def make_encoder(encoder):
    """Return the encoder for one fit: a pretrained one as it is, within a PretrainedEncoder, or an unfitted clone."""
    if is_frozen(encoder) and not isinstance(encoder, PretrainedEncoder):
        return PretrainedEncoder(encoder)
    return clone(encoder)
