"""Models that predict texts, as the commands and the server load and ask them."""

import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from transferkit.exceptions import ModelFileError
from transferkit.persistence import load
from transferkit.transfer import TransferClassifier, TransferRegressor

_TRIAL = ["a text", "another one, of more words"]


class NotANumberError(ValueError):
    """A model predicts NaN or infinity."""


class Predictions(NamedTuple):
    """What a model predicts for some texts."""

    predictions: np.ndarray  # (n_texts,) or (n_texts, n_outputs)
    classes: np.ndarray | None  # (n_classes,), None where the model has no probabilities
    probabilities: np.ndarray | None  # (n_texts, n_classes)


def load_text_model(path, *, classes=False, **options):
    """Load a model and check that it predicts texts, by a trial.

    The tags of an estimator do not say so: those of a Pipeline are silent about its first step.

    Parameters
    ----------
    path : str or path
        A model file.
    classes : bool, default=False
        Whether a model that predicts something else than classes is refused.
    **options : dict
        Parameters of `load`.

    Returns
    -------
    model : estimator
        With `predict`.

    Raises
    ------
    ModelFileError
        If `load` refuses the file, or its model predicts nothing, takes something else than texts, or predicts
        several tasks at once.
    """
    model = load(path, **options)
    subject = f"The model in {os.fspath(path)!r} is a {type(model).__name__}, which"
    if not hasattr(model, "predict"):
        raise ModelFileError(f"{subject} predicts {'no classes' if classes else 'nothing'}.")
    try:
        with warnings.catch_warnings(action="ignore"):  # that none of these words is known means nothing
            predict_texts(model, _TRIAL).predictions.tolist()  # a dict of several tasks has no such method
    except ImportError:  # says itself what to install
        raise
    except Exception as error:  # whatever another kind of input leads to
        if hasattr(model, "n_features_in_"):
            raise ModelFileError(f"{subject} takes rows of numbers, not texts.") from error
        raise ModelFileError(f"{subject} cannot predict texts: {error}") from error
    if classes and not hasattr(model, "classes_"):
        raise ModelFileError(f"{subject} predicts no classes.")
    return model


def predict_texts(model, texts):
    """Return the predictions for texts and, where the model has them, the probabilities of its classes.

    Parameters
    ----------
    model : estimator
        A model that predicts texts.
    texts : list of str
        At least one.

    Returns
    -------
    predictions : Predictions
        Those of `model.predict` and `model.predict_proba`; pipelines and transfer estimators encode the texts once.

    Raises
    ------
    NotANumberError
        If a prediction or a probability is NaN or infinite.
    """
    classes = _classes_of(model)
    model, rows = _encode(model, texts)
    if classes is None:
        predictions = model.predict(rows)
        _check_numbers(predictions)
        return Predictions(predictions, None, None)
    probabilities = model.predict_proba(rows)
    _check_numbers(probabilities)
    return Predictions(model.predict(rows), classes, probabilities)


def _classes_of(model) -> Any:
    return getattr(model, "classes_", None) if hasattr(model, "predict_proba") else None


def _encode(model, texts):
    """Return the part of a model that predicts, and the features that it takes."""
    if isinstance(model, Pipeline) and len(model) > 1:
        return model[-1], model[:-1].transform(texts)
    if isinstance(model, (TransferClassifier, TransferRegressor)):
        return model.head_, model.encoder_.transform(texts)
    return model, texts


def _check_numbers(values):
    """Raise where a model answers with NaN or infinity, which is no answer and cannot be written as JSON."""
    if getattr(values, "dtype", np.dtype(object)).kind == "f" and not np.isfinite(values).all():
        raise NotANumberError(
            "The model predicts NaN or infinity for at least one of the texts: its weights or its training data hold "
            "such values. Train it again."
        )
