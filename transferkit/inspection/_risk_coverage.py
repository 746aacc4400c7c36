"""Plot of the error of accepted predictions by the share that is accepted."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from transferkit._algorithms.rows.rejection import area_under_curve, risk_coverage
from transferkit._lazy import import_pyplot
from transferkit._validation import (
    check_is_fitted,
    check_labels,
    check_same_length,
    check_sample_weight,
    check_texts,
    holds_texts,
)
from transferkit.selection import SelectiveClassifier

__all__ = ["RiskCoverageDisplay"]


class RiskCoverageDisplay:
    """Plot of the error among accepted samples over the share that is accepted.

    This is the risk-coverage curve: samples are accepted from the highest acceptance score downwards. Create it with
    :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    coverage : ndarray of shape (n_thresholds,)
        Share of the samples that is accepted, ascending.
    error : ndarray of shape (n_thresholds,)
        Share of wrong predictions among these.
    thresholds : ndarray of shape (n_thresholds,), default=None
        Least score that is accepted.
    aurc : float, default=None
        Area under the curve [1]_, the mean error over all coverages: the lower, the better.
    estimator_name : str, default=None
        Name in the legend.
    chosen : tuple of (coverage, error), default=None
        Point to mark.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    line_ : matplotlib Line2D
        The curve.

    See Also
    --------
    SelectiveClassifier : Sets a threshold on held-out folds.
    sklearn.metrics.DetCurveDisplay : Error rates of a binary classifier.

    Notes
    -----
    Samples with equal scores are accepted together. The left end of the curve is noisy, as few samples are accepted.

    References
    ----------
    .. [1] Y. Geifman and R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS (2017).

    Examples
    --------
    >>> from transferkit import RiskCoverageDisplay
    >>> y_true, y_pred = ["pet", "pet", "money", "money"], ["pet", "money", "money", "money"]
    >>> display = RiskCoverageDisplay.from_predictions(y_true, y_pred, [0.9, 0.5, 0.8, 0.7])  # doctest: +SKIP
    >>> display.coverage, display.error  # doctest: +SKIP
    (array([0.25, 0.5 , 0.75, 1.  ]), array([0.  , 0.  , 0.  , 0.25]))
    """

    def __init__(
        self,
        coverage: np.ndarray,
        error: np.ndarray,
        *,
        thresholds: np.ndarray | None = None,
        aurc: float | None = None,
        estimator_name: str | None = None,
        chosen: tuple[float, float] | None = None,
    ) -> None:
        self.coverage = coverage
        self.error = error
        self.thresholds = thresholds
        self.aurc = aurc
        self.estimator_name = estimator_name
        self.chosen = chosen

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "RiskCoverageDisplay":
        """Predict labelled samples and plot the curve.

        Parameters
        ----------
        estimator : fitted classifier
            A :class:`SelectiveClassifier`, whose scores are used and whose coverage and error on these samples are
            marked; or a classifier with `predict_proba`, whose highest probability is the score.
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input, preferably not that of training.
        y : array-like of shape (n_samples,)
            Labels. A sample whose label is no class of the estimator is wrong if it is accepted.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        name : str, default=None
            Name in the legend; None for the class of the estimator.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : RiskCoverageDisplay
            The plot.

        Raises
        ------
        ValueError
            If the estimator has no probabilities, or X and y differ in length.
        """
        check_is_fitted(estimator)
        X = check_texts(X) if holds_texts(X) else X
        name = type(estimator).__name__ if name is None else name
        accepted = None
        if isinstance(estimator, SelectiveClassifier):
            predicted, scores = estimator.estimator_.predict(X), estimator.score_samples(X)
            accepted = estimator.is_accepted(X)
        elif hasattr(estimator, "predict_proba"):
            predicted, scores = estimator.predict(X), np.asarray(estimator.predict_proba(X)).max(axis=1)
        else:
            raise ValueError(
                f"RiskCoverageDisplay needs scores, but {type(estimator).__name__} has no predict_proba. Wrap it in a "
                "SelectiveClassifier with method='distance', or give scores to from_predictions."
            )
        display = cls._compute(y, predicted, scores, sample_weight, name, accepted)
        return display.plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        scores: Any,
        *,
        sample_weight: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "RiskCoverageDisplay":
        """Plot the curve of given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels.
        y_pred : array-like of shape (n_samples,)
            Predicted labels, without rejection.
        scores : array-like of shape (n_samples,)
            Acceptance scores, higher for predictions that are more likely to be right.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : RiskCoverageDisplay
            The plot.

        Raises
        ------
        ValueError
            If the arguments differ in length, or a score is NaN.
        """
        return cls._compute(y_true, y_pred, scores, sample_weight, name).plot(ax, **kwargs)

    @classmethod
    def _compute(
        cls, y_true: Any, y_pred: Any, scores: Any, sample_weight: Any, name: str | None, accepted: Any = None
    ) -> "RiskCoverageDisplay":
        y_true, y_pred, scores = check_labels(y_true), check_labels(y_pred), np.asarray(scores, np.float64)
        check_same_length(y_pred, y_true)
        check_same_length(scores, y_true)
        if np.isnan(scores).any():
            raise ValueError(f"The scores must be numbers. Got NaN for sample {np.isnan(scores).argmax()}.")
        if isinstance(y_true[0], str) != isinstance(y_pred[0], str):
            first = y_true.tolist()[0], y_pred.tolist()[0]
            raise ValueError(f"y_true and y_pred must have labels of one type. Got {first[0]!r} and {first[1]!r}.")
        weights = check_sample_weight(sample_weight, scores[:, None], dtype=np.float64, ensure_non_negative=True)
        kept = weights > 0
        is_wrong = y_true != y_pred
        curve = risk_coverage(scores[kept], is_wrong[kept], weights[kept])
        chosen = None
        if accepted is not None and weights[accepted].any():
            share = float(np.average(accepted, weights=weights))
            chosen = share, float(np.average(is_wrong[accepted], weights=weights[accepted]))
        return cls(
            curve.coverage,
            curve.error,
            thresholds=curve.thresholds,
            aurc=area_under_curve(curve),
            estimator_name=name,
            chosen=chosen,
        )

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> "RiskCoverageDisplay":
        """Plot the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        name : str, default=None
            Name in the legend; None for `estimator_name`.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : RiskCoverageDisplay
            The display.
        """
        if ax is None:
            ax = import_pyplot("RiskCoverageDisplay").subplots()[1]
        name = self.estimator_name if name is None else name
        area = "" if self.aurc is None else f"AURC = {self.aurc:.3f}"
        label = " ".join(filter(None, [name, f"({area})" if name and area else area])) or None
        [self.line_] = ax.plot(self.coverage, self.error, **({"label": label} | kwargs))
        if self.chosen is not None:
            ax.plot(*self.chosen, marker="o", linestyle="", color=self.line_.get_color(), label="threshold in use")
        ax.set(xlabel="coverage (share of samples accepted)", ylabel="error among accepted samples", xlim=(0, 1.01))
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
        if label is not None or "label" in kwargs:
            ax.legend(loc="upper left")
        self.ax_, self.figure_ = ax, ax.figure
        return self
