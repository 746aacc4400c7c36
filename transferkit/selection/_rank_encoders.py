"""Ranking of pretrained encoders by how well their features suit a task."""

import os
import time
from collections.abc import Mapping
from numbers import Integral
from typing import Literal

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.metrics import r2_score
from sklearn.model_selection import BaseCrossValidator, cross_val_predict
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from transferkit._algorithms.linear.transferability import find_spectrum, h_score, leep, log_evidence, neighbour_means
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_has_classes,
    check_labels,
    check_same_length,
    check_texts,
    holds_texts,
    take_rows,
    validate_parameter_constraints,
    with_plain_outputs,
)
from transferkit.encoders import PretrainedEncoder
from transferkit.heads import LogisticHeadCV, RidgeHead
from transferkit.persistence import load_shared

__all__ = ["rank_encoders"]

_ALPHAS = np.logspace(-3, 4, 8)


@with_plain_outputs
def rank_encoders(
    encoders: Mapping[str, BaseEstimator | str | os.PathLike[str]],
    X,
    y,
    *,
    metric: Literal["logme", "hscore", "leep", "knn", "cv"] = "logme",
    task: Literal["auto", "classification", "regression"] = "auto",
    cv: int | BaseCrossValidator = 5,
    n_neighbors: int = 5,
    max_samples: int | None = 3000,
    random_state: int | np.random.RandomState | None = 0,
) -> dict[str, np.ndarray]:
    """Rank pretrained encoders by how well their features suit a task.

    Parameters
    ----------
    encoders : dict of str to (path or fitted transformer)
        The candidates by name. For ``metric="leep"``, fitted classifiers (or their files) with `predict_proba` for the
        classes of their own task.
    X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
        Raw input of the labelled rows, as the encoders accept it.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels or, for regression, numbers; several columns of 0 and 1 are several labels per row.
    metric : {"logme", "hscore", "leep", "knn", "cv"}, default="logme"
        "logme": log evidence of a Bayesian linear model on the features [1]_. "hscore": between-class variance relative
        to the shrunk covariance [2]_, for classification. "leep": expected log-likelihood of the labels given the
        predictions of a source model [3]_, for classification. "knn": accuracy (regression: R^2) of the nearest other
        rows by cosine similarity. "cv": out-of-fold accuracy of :class:`LogisticHeadCV` at its best C (regression: R^2
        of :class:`RidgeHead`), the only metric that trains a model.
    task : {"auto", "classification", "regression"}, default="auto"
        Kind of task. "auto" is regression if `y` has floats with a fractional part, otherwise classification.
    cv : int or cross-validation splitter, default=5
        Number of folds, or splitter, of ``metric="cv"``.
    n_neighbors : int, default=5
        Number of neighbours of ``metric="knn"``.
    max_samples : int or None, default=3000
        Maximum number of rows, drawn at random if there are more; None for all. Time grows with the cube of the smaller
        of this number and the number of features.
    random_state : int, RandomState instance or None, default=0
        Seed of the draw.

    Returns
    -------
    ranking : dict of ndarray
        Columns of a table, best encoder first (``pandas.DataFrame(ranking)`` shows it): ``"encoder"``, ``"score"``,
        ``"n_features"`` (of the encoded rows), ``"encode_seconds"``, ``"score_seconds"``. Scores of different metrics
        are not comparable.

    Raises
    ------
    ValueError
        If there is no candidate, X and y differ in length, the features of a candidate are not finite, or the metric is
        not defined for the task.
    NotFittedError
        If a candidate is not fitted.

    See Also
    --------
    PretrainedEncoder : Encodes and caches the rows, so that training a head does not encode them again.

    Notes
    -----
    Targets of a regression are standardised, because the model of "logme" has no intercept. Features are used without
    scaling.

    References
    ----------
    .. [1] K. You, Y. Liu, J. Wang, M. Long (2021). LogME: practical assessment of pre-trained models for transfer
       learning. ICML.
    .. [2] S. Ibrahim, N. Ponomareva, R. Mazumder (2022). Newer is not always better: rethinking transferability
       metrics, their peculiarities, stability and performance. ECML PKDD.
    .. [3] C. Nguyen, T. Hassner, M. Seeger, C. Archambeau (2020). LEEP: a new measure to evaluate transferability of
       learned representations. ICML.

    Examples
    --------
    >>> from transferkit import LSAEncoder, rank_encoders
    >>> animals = LSAEncoder(n_components=2, min_df=1).fit(["a cat and a dog", "the dog sat", "the cat ran"])
    >>> money = LSAEncoder(n_components=2, min_df=1).fit(["a stock rose", "a bond fell", "the stock and the bond fell"])
    >>> texts, labels = ["stock", "a stock", "bond", "the bond"], ["share", "share", "loan", "loan"]
    >>> rank_encoders({"animals": animals, "money": money}, texts, labels)["encoder"].tolist()
    ['money', 'animals']
    """
    _check_parameters(metric=metric, task=task, n_neighbors=n_neighbors, max_samples=max_samples, cv=cv)
    if not isinstance(encoders, Mapping) or not encoders:
        raise ValueError(
            "The 'encoders' parameter of rank_encoders must be a dict of names to fitted encoders or paths, with at "
            f"least one. Got {encoders!r} instead."
        )
    X, targets = _check_input(X, y, metric, task)
    candidates = {name: _open(name, source, metric) for name, source in encoders.items()}
    X, targets = _draw(X, targets, max_samples, random_state)
    columns: dict[str, list] = {
        name: [] for name in ("encoder", "score", "n_features", "encode_seconds", "score_seconds")
    }
    for name, encode in candidates.items():
        start = time.perf_counter()
        try:
            features = _check_features(encode(X))
        except (TypeError, ValueError) as error:
            raise ValueError(f"The encoder {name!r} cannot be ranked. {error}") from error
        encoded = time.perf_counter()
        score = _score(metric, features, targets, cv, n_neighbors)
        row = (name, score, features.shape[1], encoded - start, time.perf_counter() - encoded)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    order = np.argsort(-np.array(columns["score"]), kind="stable")
    return {
        name: np.array(column, dtype=object if name == "encoder" else None)[order] for name, column in columns.items()
    }


class _Targets:
    """Targets as class indices and indicators, or as standardised numbers."""

    def __init__(self, y, kind):
        self.y, self.kind = y, kind
        if kind == "classes":
            self.labels, self.index = np.unique(y, return_inverse=True)
            indicators = LabelBinarizer().fit(self.labels).transform(y)
            self.columns = indicators if indicators.shape[1] > 1 else np.hstack([1 - indicators, indicators])
        elif kind == "labels":
            self.columns = y
        else:
            scale = y.std(axis=0)
            self.columns = (y - y.mean(axis=0)) / np.where(scale > 0, scale, 1)

    def take(self, rows):
        return _Targets(self.y[rows], self.kind)


def _check_parameters(**values):
    constraints = {
        "metric": [StrOptions({"logme", "hscore", "leep", "knn", "cv"})],
        "task": [StrOptions({"auto", "classification", "regression"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(Integral, 2, None, closed="left"), None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods("split")],
    }
    validate_parameter_constraints(constraints, values, "rank_encoders")


def _check_input(X, y, metric, task):
    X = check_texts(X) if holds_texts(X) else X
    if task == "regression" or (task == "auto" and type_of_target(np.asarray(y)).startswith("continuous")):
        if metric in ("hscore", "leep"):
            raise ValueError(
                f"metric={metric!r} is defined for classes only. For regression use 'logme', 'knn' or 'cv'."
            )
        y = np.asarray(y, np.float64)
        if not np.isfinite(y).all():
            raise ValueError("The targets in y must be finite. Drop the rows with NaN or infinity.")
        targets = _Targets(y.reshape(len(y), -1), "numbers")
    else:
        y = check_labels(y)
        if y.ndim == 1:
            check_has_classes(np.unique(y), "rank_encoders")
            targets = _Targets(y, "classes")
        elif metric in ("hscore", "leep"):
            raise ValueError(
                f"metric={metric!r} needs one class per row. For several labels per row use 'logme' or 'knn'."
            )
        else:
            targets = _Targets(y.toarray() if sp.issparse(y) else y, "labels")
    check_same_length(X, targets.y)
    return X, targets


def _open(name, source, metric):
    """Return the function from raw rows to features, or to probabilities for LEEP."""
    if metric != "leep":
        encoder = PretrainedEncoder(source)
        try:
            return encoder.fit().transform
        except (TypeError, ValueError) as error:
            raise type(error)(f"The encoder {name!r} cannot be ranked. {error}") from error
    model = load_shared(source) if isinstance(source, (str, os.PathLike)) else source
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"metric='leep' needs source models with predict_proba, but {name!r} is a {type(model).__name__}. "
            "Give fitted classifiers or their files, or use metric='logme', which ranks any encoder."
        )
    return model.predict_proba


def _draw(X, targets, max_samples, random_state):
    n_samples = len(targets.y)
    if max_samples is None or n_samples <= max_samples:
        return X, targets
    rows = np.sort(check_random_state(random_state).permutation(n_samples)[:max_samples])
    return take_rows(X, rows), targets.take(rows)


def _check_features(features):
    features = features.tocsr() if sp.issparse(features) else np.asarray(features)
    values = features.data if sp.issparse(features) else features
    if not np.isfinite(values).all():
        raise ValueError("Its features are not finite.")
    return features


def _score(metric, features, targets, cv, n_neighbors):
    if metric == "logme":
        return float(log_evidence(find_spectrum(features), targets.columns.astype(np.float64)).mean())
    if metric == "hscore":
        return h_score(find_spectrum(features, centre=True), features, targets.index)
    if metric == "leep":
        return leep(features, targets.index)
    if metric == "knn":
        return _score_neighbours(features, targets, n_neighbors)
    if targets.kind == "numbers":
        y = targets.columns[:, 0] if targets.columns.shape[1] == 1 else targets.columns
        return float(r2_score(y, cross_val_predict(RidgeHead(alphas=_ALPHAS), features, y, cv=cv)))
    return float(LogisticHeadCV(cv=cv, refit=False).fit(features, targets.y).best_score_)


def _score_neighbours(features, targets, n_neighbors):
    if n_neighbors >= features.shape[0]:
        raise ValueError(
            f"n_neighbors={n_neighbors} needs more rows than that. Got {features.shape[0]} rows: give a smaller number."
        )
    votes = neighbour_means(features, targets.columns, n_neighbors)
    if targets.kind == "numbers":
        return float(r2_score(targets.columns, votes))
    if targets.kind == "labels":
        return float(np.mean((votes > 0.5) == targets.columns))
    return float(np.mean(votes.argmax(axis=1) == targets.index))
