"""The `encoder` parameter of transfer estimators: pretrained encoders are shared, others are cloned and fitted."""

import os

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from transferkit._validation import is_fitted
from transferkit.encoders import PretrainedEncoder
from transferkit.exceptions import CLONES_IN_GRIDS

__all__ = ["check_encoder", "check_has_encoder", "how_to_pretrain", "is_frozen", "make_encoder"]


def is_frozen(encoder):
    """Return whether an encoder is pretrained: a file, or fitted."""
    if isinstance(encoder, (str, os.PathLike, PretrainedEncoder)):
        return True
    return hasattr(encoder, "fit") and not isinstance(encoder, type) and is_fitted(encoder)


def check_encoder(estimator):
    """Raise ValueError if the encoder of a transfer estimator is a class, or a model that predicts."""
    encoder = estimator.encoder
    name = getattr(encoder, "__name__", type(encoder).__name__)
    if isinstance(encoder, type):
        given = f"the class {name}: give an instance, {name}(...).fit(unlabelled)."
    elif hasattr(encoder, "predict") and not hasattr(encoder, "transform"):
        given = f"a {name}, which predicts. {_how_to_use(encoder, estimator)}"
    else:
        return
    raise ValueError(
        f"The 'encoder' parameter of {type(estimator).__name__} must be the path of a model file, or a transformer. "
        f"Got {given}"
    )


def check_has_encoder(estimator, strategy):
    """Raise ValueError if a transfer estimator has no encoder for a strategy that needs one."""
    if estimator.encoder is None:
        raise ValueError(
            f"{type(estimator).__name__} with strategy={strategy!r} needs an encoder: a model file, or a transformer "
            "such as WordVectorEncoder().fit(unlabelled_texts). For a model without transfer choose "
            "strategy='scratch'."
        )


def how_to_pretrain(encoder):
    """Return what to do with an encoder that is not fitted, for warnings."""
    return (
        f"Fit it to unlabelled data first, {type(encoder).__name__}(...).fit(unlabelled), or give the path of a "
        f"pretrained encoder. In a grid give paths or PretrainedEncoder(encoder): {CLONES_IN_GRIDS}."
    )


def make_encoder(encoder):
    """Return the encoder for one fit: a pretrained one as it is, within a PretrainedEncoder, or an unfitted clone."""
    if is_frozen(encoder) and not isinstance(encoder, PretrainedEncoder):
        return PretrainedEncoder(encoder)
    return clone(encoder)


def _how_to_use(model, estimator):
    """Return what to do with a model that was given as an encoder."""
    if isinstance(model, Pipeline):
        return f"Leave out its last step, the {type(model.steps[-1][1]).__name__}: encoder=pipeline[:-1]."
    if hasattr(model, "encode_for_head"):
        source = ", or the model itself as source" if hasattr(estimator, "source") else ""
        return f"Give its encoder, model.encoder_ after fit{source}."
    if is_classifier(model) or is_regressor(model):
        return f"Give it as head: {type(estimator).__name__}(encoder, head={type(model).__name__}(...))."
    return "Give one that has transform."
