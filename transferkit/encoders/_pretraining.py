"""Warning of pretraining that is lost: an encoder and its clones remember how it was fitted."""

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from transferkit._validation import is_fitted
from transferkit.exceptions import LostPretrainingWarning, count_inner_frames

__all__ = ["PretrainableMixin", "warns_of_lost_pretraining"]

F = TypeVar("F", bound=Callable[..., Any])

# Kinds of fits, the more of a pretraining the later: with labels, by a model without labels, by the user without labels
_WITH_LABELS, _IN_MODEL, _BY_USER = range(3)
_OF_FIT = ("sklearn.base", "sklearn.utils", "contextlib", "transferkit.encoders", "transferkit._validation")


class PretrainableMixin:
    """Base of encoders that learn from unlabelled data: a clone remembers that the original was fitted, and how."""

    def __sklearn_clone__(self) -> Any:
        copy = super().__sklearn_clone__()  # type: ignore[misc]
        degree = _read_degree(self)
        if degree > _WITH_LABELS:
            vars(copy)["_pretraining"] = degree
        return copy


def warns_of_lost_pretraining(fit: F) -> F:
    """Wrap the `fit` or `fit_transform` of a PretrainableMixin, so that it warns if a pretrained encoder is refitted.

    It warns in a model of scikit-learn or of this package, which fits a clone (or, as a Pipeline does, the encoder
    itself), and wherever labels are given. A user who calls `fit` without labels knows what it does.
    """

    @wraps(fit)
    def call(self: Any, X: Any, y: Any = None) -> Any:
        degree = _WITH_LABELS if y is not None else _IN_MODEL if _is_called_by_model() else _BY_USER
        if _read_degree(self) > degree:
            _warn(self)
        result = fit(self, X, y)
        self._pretraining = degree
        return result

    return cast(F, call)


def _read_degree(encoder: Any) -> int:
    """Return how much the last fit of an encoder, or of the one that it is a clone of, was a pretraining."""
    return vars(encoder).get("_pretraining", _BY_USER if is_fitted(encoder) else _WITH_LABELS)


def _is_called_by_model() -> bool:
    """Return whether the code that called the wrapped `fit` belongs to scikit-learn or to this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OF_FIT):
        frame = frame.f_back
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("sklearn", "transferkit")


def _warn(encoder: Any) -> None:
    name = type(encoder).__name__
    warnings.warn(
        f"This {name} was pretrained and now forgets what it learned: it is fitted again, to the samples of a model "
        "alone, because scikit-learn clones and fits the estimators that it is given. To keep what it learned, give "
        "the model PretrainedEncoder(encoder), or PretrainedEncoder('encoder.tk') with the path of its file; "
        f"TransferClassifier also takes the path itself. To fit it to these samples, give an unfitted {name}(...).",
        LostPretrainingWarning,
        stacklevel=count_inner_frames(),
    )
