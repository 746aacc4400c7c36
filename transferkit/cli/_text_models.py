"""Models that predict texts: how the commands and the server load them and predict with them."""

import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from transferkit.encoders.model_parts import split_model
from transferkit.exceptions import ModelFileError
from transferkit.persistence import load
from transferkit.selection import SelectiveClassifier

__all__ = [
    "BATCH",
    "NotANumberError",
    "Predictions",
    "check_predictions",
    "find_selective",
    "load_text_model",
    "predict_in_batches",
    "predict_texts",
]

BATCH = 1000  # texts predicted at once
_TRIAL = ["a text", "another one, of more words"]


class NotANumberError(ValueError):
    """A model predicts NaN or infinity."""


class Predictions(NamedTuple):
    """Predictions for some texts."""

    predictions: np.ndarray  # (n_texts,) or (n_texts, n_outputs)
    classes: np.ndarray | None  # (n_classes,); None if the model has no probabilities
    probabilities: np.ndarray | None  # (n_texts, n_classes)
    rejected: np.ndarray | None = None  # (n_texts,), whether the text is rejected; None if the model never rejects


def load_text_model(path, *, classes=False, **options):
    """Load a model with the options of `load`, and check by a trial prediction that it takes texts.

    The tags of an estimator are no substitute: those of a Pipeline do not describe its first step. ModelFileError is
    raised if the model has no `predict`, does not take texts, predicts several tasks at once, or with ``classes=True``
    does not predict classes.
    """
    model = load(path, **options)
    subject = f"The model in {os.fspath(path)!r} is a {type(model).__name__}, which"
    if not hasattr(model, "predict"):
        hint = " Train it on labels first, with transferkit finetune." if hasattr(model, "transform") else ""
        raise ModelFileError(f"{subject} predicts {'no classes' if classes else 'nothing'}.{hint}")
    try:
        check_predictions(model)
    except ImportError:  # its message says what to install
        raise
    except Exception as error:  # other kinds of input may lead to any error
        if hasattr(model, "n_features_in_"):
            raise ModelFileError(f"{subject} takes numeric samples, not texts.") from error
        raise ModelFileError(f"{subject} cannot predict texts: {error}") from error
    if classes and not hasattr(model, "classes_"):
        raise ModelFileError(f"{subject} predicts no classes.")
    return model


def check_predictions(model):
    """Predict two texts, and raise the error if that fails or the predictions are not an array of finite numbers."""
    with warnings.catch_warnings(action="ignore"):  # unknown words do not matter here
        predict_texts(model, _TRIAL).predictions.tolist()  # a dict of several tasks has no such method


def predict_texts(model, texts, *, reject=True):
    """Return the predictions for at least one text and, if the model has them, the probabilities of its classes.

    Pipelines, transfer estimators and those in a SelectiveClassifier encode the texts once. If the model rejects
    texts, their prediction is the reject label or None; without `reject` it is that of the classifier. NotANumberError
    is raised if a number is NaN or infinite.
    """
    classes = _classes_of(model)
    head, features, *_ = split_model(model, texts)
    if head is find_selective(model):
        samples = head.encode(features)
        answer = _predict(samples.parts.head, samples.parts.features, classes)
        accepted = head.accept(samples, answer.predictions)
        predictions = head.reject(answer.predictions, accepted) if reject else answer.predictions
        return answer._replace(predictions=predictions, rejected=~accepted)
    return _predict(head, features, classes)


def predict_in_batches(model, texts, show, **options):
    """Return the predictions for texts, as `predict_texts` does; `show` is told how many of them are done."""
    parts = []
    for start in range(0, len(texts), BATCH):
        parts.append(predict_texts(model, texts[start : start + BATCH], **options))
        show(f"{min(start + BATCH, len(texts)):,} of {len(texts):,} texts")
    columns = zip(*parts, strict=True)
    joined = Predictions(*(None if column[0] is None else np.concatenate(column) for column in columns))
    return joined._replace(classes=parts[0].classes)


def _predict(head, features, classes):
    if classes is None:
        predictions = head.predict(features)
        _check_numbers(predictions)
        return Predictions(predictions, None, None)
    probabilities = head.predict_proba(features)
    _check_numbers(probabilities)
    return Predictions(head.predict(features), classes, probabilities)


def find_selective(model):
    """Return the SelectiveClassifier that a model is or ends in, or None."""
    last = model[-1] if isinstance(model, Pipeline) else model
    return last if isinstance(last, SelectiveClassifier) else None


def _classes_of(model) -> Any:
    return getattr(model, "classes_", None) if hasattr(model, "predict_proba") else None


def _check_numbers(values):
    """Raise NotANumberError for NaN or infinity, which is no prediction and cannot be written as JSON."""
    if getattr(values, "dtype", np.dtype(object)).kind == "f" and not np.isfinite(values).all():
        raise NotANumberError(
            "The model predicts NaN or infinity for at least one of the texts: its weights or its training data "
            "contain such values. Train it again."
        )
