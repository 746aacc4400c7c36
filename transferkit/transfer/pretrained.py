"""The `encoder` parameter of transfer estimators: pretrained encoders are shared, others are cloned and fitted."""

import os
from copy import copy
from inspect import signature

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import InputTags, get_tags

from transferkit._validation import holds_texts, is_fitted
from transferkit.encoders import PretrainedEncoder
from transferkit.exceptions import CLONES_IN_GRIDS

__all__ = [
    "DEFAULT_ENCODER",
    "check_encoder",
    "check_has_encoder",
    "how_to_pretrain",
    "is_frozen",
    "make_encoder",
    "read_input_tags",
    "uses_labels",
    "with_default_encoder",
    "with_fitted_encoder",
]

DEFAULT_ENCODER = "english"  # of texts
# packages of scikit-learn whose tags do not declare whether labels are used
_UNTAGGED = ("sklearn.feature_selection", "sklearn.cross_decomposition")


def with_default_encoder(estimator, is_text):
    """Return a transfer estimator, or a copy with the default encoder if it needs one for texts and has none."""
    needs_one = estimator.strategy != "scratch" and getattr(estimator, "source", None) is None
    if estimator.encoder is not None or not is_text or not needs_one:
        return estimator
    other = copy(estimator)
    other.encoder = DEFAULT_ENCODER
    return other


def is_frozen(encoder):
    """Return whether an encoder is pretrained: a file, or fitted."""
    if isinstance(encoder, (str, os.PathLike, PretrainedEncoder)):
        return True
    return hasattr(encoder, "fit") and not isinstance(encoder, type) and is_fitted(encoder)


def with_fitted_encoder(estimator, X_unlabelled, is_text):
    """Return a transfer estimator, or a copy whose encoder, which was not fitted, is fitted to unlabelled rows."""
    encoder = estimator.encoder
    needs_none = encoder is None or is_frozen(encoder) or uses_labels(encoder) or estimator.strategy == "scratch"
    if needs_none or X_unlabelled is None or holds_texts(X_unlabelled) != is_text:  # which is an error
        return estimator
    other = copy(estimator)
    other.encoder = clone(encoder).fit(X_unlabelled)
    return other


def uses_labels(encoder):
    """Return whether an unfitted encoder, or an estimator inside it, may use labels.

    Estimators of scikit-learn and transferkit declare this in their tags, with few exceptions. Those of other packages
    rarely do, so any of them whose `fit` accepts y is assumed to use labels.
    """
    if isinstance(encoder, PretrainedEncoder):
        return False
    inside = encoder.get_params().values() if hasattr(encoder, "get_params") else ()
    return any(_may_use_labels(part) for part in (encoder, *inside) if hasattr(part, "fit"))


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
            f"{type(estimator).__name__} with strategy={strategy!r} needs an encoder: a model file, or a fitted "
            f"transformer of such rows. Only texts have a default, {DEFAULT_ENCODER!r}. For a model without transfer "
            "choose strategy='scratch'."
        )


def read_input_tags(encoder):
    """Return the input tags of an encoder; all kinds of input for none or a file, and for what `fit` will refuse.

    Without an encoder, texts are encoded by TF-IDF, and tables are taken as they are. No file is opened for tags.
    """
    has_tags = hasattr(encoder, "__sklearn_tags__") and not isinstance(encoder, type)
    return get_tags(encoder).input_tags if has_tags else InputTags(string=True, sparse=True)


def how_to_pretrain(encoder, is_text):
    """Return what to do with an encoder that is not fitted, for warnings."""
    or_english = f" (encoder={DEFAULT_ENCODER!r} for English texts)" if is_text else ""
    return (
        f"Fit it to unlabelled data first, {type(encoder).__name__}(...).fit(unlabelled), give these as X_unlabelled "
        f"of fit, or give a pretrained encoder or its path{or_english}. In a grid give paths or "
        f"PretrainedEncoder(encoder): {CLONES_IN_GRIDS}."
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


def _may_use_labels(part):
    module = type(part).__module__
    if module.startswith(("sklearn.", "transferkit.")):
        return get_tags(part).target_tags.required or module.startswith(_UNTAGGED)
    return "y" in signature(part.fit).parameters
