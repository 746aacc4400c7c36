"""Linear classifiers of all folds and strengths of the penalty, for one label a row or several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transferkit._training.logistic_search import FoldFit, LogisticSearch

__all__ = ["SearchFit", "search_linear_classifiers"]


@dataclass
class SearchFit:
    """The fits of all folds at one C."""

    C: float
    scores: np.ndarray  # (n_rows, n_folds, n_outputs or n_labels), of all rows, held out or not
    converged: bool
    _fits: tuple[FoldFit, ...]  # one a label

    def last_model(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights (n_outputs or n_labels, n_features) and intercepts of the last fold."""
        models = [_last_model(fit) for fit in self._fits]
        return np.concatenate([coef for coef, _ in models]), np.concatenate([intercept for _, intercept in models])


def search_linear_classifiers(
    X: Any,
    targets: np.ndarray,
    fold_weights: np.ndarray,
    Cs: Sequence[float],
    *,
    n_outputs: int,
    fit_intercept: bool = True,
    tol: float = 1e-4,
    max_iter: int = 1000,
    device: str = "auto",
    prior: np.ndarray | None = None,
) -> Iterator[SearchFit]:
    """Yield the fits at each C, ascending.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
        Features.
    targets : array of shape (n_rows,) or (n_rows, n_labels)
        Class numbers, or zeros and ones of several labels, each of which has a classifier of its own.
    fold_weights : array of shape (n_rows, n_folds)
        Weights of the rows in the training part of each fold, zero where a row is held out.
    Cs : sequence of float
        Strengths, ascending.
    n_outputs : int
        Number of classes, or 1 for two classes and for labels.
    prior : array of shape (n_outputs or n_labels, n_features), optional
        Where the penalty pulls to.
    """
    searches = [
        LogisticSearch(
            X,
            column,
            fold_weights,
            n_outputs=n_outputs,
            fit_intercept=fit_intercept,
            tol=tol,
            max_iter=max_iter,
            device=device,
            prior=prior if prior is None or targets.ndim == 1 else prior[label : label + 1],
        ).run(Cs)
        for label, column in enumerate(targets.reshape(len(targets), -1).T)
    ]
    for fits in zip(*searches, strict=True):
        scores = np.concatenate([fit.scores for fit in fits], axis=2)
        yield SearchFit(fits[0].C, scores, all(fit.converged for fit in fits), fits)


def _last_model(fit: FoldFit) -> tuple[np.ndarray, np.ndarray]:
    last = torch.tensor([fit.scores.shape[1] - 1], device=fit.point.coords.device)
    weights, intercepts = fit.geometry.weights(fit.coordinates.select(last), fit.point.select(last))
    coef = weights.reshape(len(weights), -1).T
    return (coef if fit.prior is None else coef + fit.prior), intercepts.reshape(-1)
