"""Predictions of labelled samples by classifiers that were fitted without them."""

import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv

from transferkit._estimator import FitProgress
from transferkit._validation import count_rows, take_rows
from transferkit.selection._acceptance import Acceptance, Samples

__all__ = ["HeldOut", "LabelledRows", "find_positions", "make_folds", "predict_held_out"]

_NOT_OF_ROWS = ("X_unlabelled", "X_target")  # arguments of `fit` that are not split with the rows


class LabelledRows(NamedTuple):
    """The arguments of a fit that are split together."""

    X: Any
    y: np.ndarray
    weights: np.ndarray  # (n_samples,), one on average of those larger than zero
    fit_params: dict[str, Any]

    def take(self, positions: np.ndarray) -> "LabelledRows":
        """Return some of the rows; the other arguments of `fit` that have one value per row are split with them."""
        n_rows = len(self.y)
        params = {
            name: take_rows(value, positions) if _is_of_rows(name, value, n_rows) else value
            for name, value in self.fit_params.items()
        }
        return LabelledRows(take_rows(self.X, positions), self.y[positions], self.weights[positions], params)

    def fit(self, estimator: BaseEstimator, name: str, progress: FitProgress) -> Any:
        """Return a fitted clone; the fit is a part of the progress, of this name."""
        copy = clone(estimator)
        with progress.part(name, copy):
            return copy.fit(self.X, self.y, **self.fit_params)


def _is_of_rows(name: str, value: Any, n_rows: int) -> bool:
    if name in _NOT_OF_ROWS or value is None or isinstance(value, (str, Mapping)):
        return False
    return (hasattr(value, "__len__") or hasattr(value, "shape")) and count_rows(value) == n_rows


class HeldOut(NamedTuple):
    """Predictions of held-out samples."""

    predicted: np.ndarray  # (n_held_out,), positions of the predicted labels among the classes
    is_wrong: np.ndarray
    measured: np.ndarray  # (n_held_out, n_scores), see Acceptance
    weights: np.ndarray


def make_folds(cv: Any, rows: LabelledRows, split_params: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train, test) positions of each fold, without rows of weight zero.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test) indices
        An int is the number of stratified folds of the rows that have a weight, fewer if no class has as many labels.
        Others split all rows.
    rows : LabelledRows
        The rows.
    split_params : dict
        Arguments for the splitter, `groups` for example. With an int, rows of one group are held out together.

    Raises
    ------
    ValueError
        If an int leaves a fold without a second class to train on, or there is no fold.
    """
    positions = np.arange(len(rows.y))
    if isinstance(cv, Integral):
        positions = positions[rows.weights > 0]
        split_params = {name: take_rows(value, positions) for name, value in split_params.items()}
        splitter = _limit_folds(int(cv), rows.y[positions], split_params.get("groups"))
    else:
        splitter = check_cv(cv, rows.y, classifier=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        folds = list(splitter.split(positions[:, None], rows.y[positions], **split_params))
    parts = [[positions[part] for part in fold] for fold in folds]
    weighted = [[part[rows.weights[part] > 0] for part in fold] for fold in parts]
    kept = [(train, test) for train, test in weighted if len(train) and len(test)]
    if not kept:
        raise ValueError(f"cv={cv!r} gives no fold with rows to train on and rows to hold out.")
    return kept


def _limit_folds(cv: int, y: np.ndarray, groups: Any) -> Any:
    counts = np.sort(np.unique(y, return_counts=True)[1])[::-1]
    if counts[1] < 2:
        raise ValueError(
            "SelectiveClassifier sets its thresholds on held-out labels: it needs at least 2 labels of at least 2 "
            f"classes. Got {counts[0]} of the most frequent class and {counts[1]} of each other one. Give more labels."
        )
    n_folds = min(cv, int(counts[0]))
    if groups is None:
        return StratifiedKFold(n_folds)
    n_folds = min(n_folds, len(np.unique(groups)))
    if n_folds < 2:
        raise ValueError("groups must name at least 2 groups, because rows of one group are held out together.")
    return StratifiedGroupKFold(n_folds)


def predict_held_out(
    estimator: BaseEstimator,
    method: str,
    rows: LabelledRows,
    folds: list[tuple[np.ndarray, np.ndarray]],
    classes: np.ndarray,
    progress: FitProgress,
) -> HeldOut:
    """Return predictions and scores of the held-out samples of all folds, or of the first ones if a stop is requested.

    The fit of each fold is a part of the progress.
    """
    parts = []
    for number, (train, test) in enumerate(folds):
        known, held_out = rows.take(train), rows.take(test)
        fitted = known.fit(estimator, f"fold {number + 1}", progress)
        samples = Samples.of(fitted, held_out.X)
        measured, labels = Acceptance.of(fitted, method, known.X, known.y).measure(samples), samples.predict()
        parts.append((find_positions(labels, classes), labels != held_out.y, measured, held_out.weights))
        if progress.stopped:
            break
    return HeldOut(*map(np.concatenate, zip(*parts, strict=True)))


def find_positions(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the positions of predicted labels among the classes, in any order of these."""
    order = np.argsort(classes)
    return order[np.searchsorted(classes, labels, sorter=order)]
