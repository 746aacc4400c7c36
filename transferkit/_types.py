"""Types of the parameters of estimators, for editors and type checkers."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

__all__ = [
    "Adaptation",
    "ClassWeight",
    "FilePath",
    "FittedClassifier",
    "FittedPredictor",
    "FittedTransformer",
    "Folds",
    "Function",
    "Numbers",
    "Predictor",
    "Scoring",
    "Seed",
    "SentenceModel",
    "Transformer",
    "Trusted",
    "Vocabulary",
]

Function: TypeAlias = Callable[..., Any]
FilePath: TypeAlias = str | os.PathLike[str]
Numbers: TypeAlias = Sequence[float] | np.ndarray
Seed: TypeAlias = int | np.random.RandomState | None
Scoring: TypeAlias = str | Function | None  # a name of scikit-learn's scorers
ClassWeight: TypeAlias = Mapping[Any, float] | Literal["balanced"] | None
Vocabulary: TypeAlias = Mapping[str, int] | Iterable[str]
Trusted: TypeAlias = list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any]  # of names, classes and functions


# Methods are properties here, so that any arguments fit.


class _Fits(Protocol):
    @property
    def fit(self) -> Function: ...


class FittedTransformer(Protocol):
    """Anything with `transform`."""

    @property
    def transform(self) -> Function: ...


class Transformer(_Fits, FittedTransformer, Protocol):
    """Anything with `fit` and `transform`."""


class Adaptation(FittedTransformer, Protocol):
    """Anything with `fit_transform` and `transform`."""

    @property
    def fit_transform(self) -> Function: ...


class FittedPredictor(Protocol):
    """Anything with `predict`."""

    @property
    def predict(self) -> Function: ...


class Predictor(_Fits, FittedPredictor, Protocol):
    """Anything with `fit` and `predict`."""


class FittedClassifier(Protocol):
    """Anything with `predict_proba`."""

    @property
    def predict_proba(self) -> Function: ...


class SentenceModel(Protocol):
    """Anything with `encode`."""

    @property
    def encode(self) -> Function: ...


class _Splitter(Protocol):
    @property
    def split(self) -> Function: ...


Folds: TypeAlias = int | _Splitter | Iterable[Any] | None
