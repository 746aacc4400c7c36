"""Test for a shift between two domains, and the features that differ."""

import os
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedKFold

from transferkit._algorithms.domains.diagnostics import auc_with_interval, feature_drift
from transferkit._lazy import import_pyplot
from transferkit._validation import (
    Interval,
    check_count,
    check_features,
    check_texts,
    holds_texts,
    validate_parameter_constraints,
    with_plain_outputs,
)
from transferkit.adaptation.domains import as_rows, stack_rows
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.heads import LogisticHead
from transferkit.transfer.pretrained import make_encoder

__all__ = ["DomainGap", "DomainGapDisplay", "domain_gap"]


@dataclass(frozen=True, eq=False, repr=False)
class DomainGap:
    """Result of a test for a shift between two domains.

    Parameters
    ----------
    auc : float
        Area under the ROC curve of a classifier of the domains on held-out rows: 0.5 if it cannot distinguish them, 1
        if it separates them completely.
    interval : tuple of float
        Confidence interval of `auc`.
    level : float
        Confidence level of the interval.
    drift : ndarray of shape (n_features,)
        Difference of the means of each feature, target minus source, in standard deviations.
    feature_names : ndarray of str objects, shape (n_features,)
        Names of the features.
    """

    auc: float
    interval: tuple[float, float]
    level: float
    drift: np.ndarray
    feature_names: np.ndarray

    @property
    def is_shifted(self) -> bool:
        """Whether the interval lies above 0.5, so that the domains differ significantly."""
        return self.interval[0] > 0.5

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """Return the features that differ most.

        Parameters
        ----------
        n : int, default=10
            Number of features.

        Returns
        -------
        features : list of tuple (name, drift)
            Sorted by absolute value, largest first.
        """
        check_count("n", n, "top")
        order = np.argsort(-np.abs(self.drift), kind="stable")[:n]
        return [(str(self.feature_names[i]), float(self.drift[i])) for i in order]

    def plot(self, *, n: int = 20, ax=None) -> "DomainGapDisplay":
        """Plot the features that differ most.

        Parameters
        ----------
        n : int, default=20
            Number of features.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        display : DomainGapDisplay
            The plot.
        """
        return DomainGapDisplay(self).plot(ax, n=n)

    def __repr__(self):
        low, high = self.interval
        verdict = "shifted" if self.is_shifted else "no shift found"
        return f"DomainGap(auc={self.auc:.3f}, {self.level:.0%} interval {low:.3f} to {high:.3f}: {verdict})"


class DomainGapDisplay:
    """Plot of a domain gap: the features that differ most, and the AUC of a domain classifier.

    Parameters
    ----------
    gap : DomainGap
        Result of :func:`domain_gap`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    bars_ : matplotlib BarContainer
        One bar per feature.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import DomainGapDisplay, domain_gap
    >>> rows = np.random.default_rng(0).normal(size=(100, 2))
    >>> DomainGapDisplay(domain_gap(rows[:50], rows[50:] + [3, 0])).plot().ax_.get_xlabel()  # doctest: +SKIP
    'standardised difference, target minus source'
    """

    def __init__(self, gap):
        self.gap = gap

    @classmethod
    def from_domains(cls, X_source, X_target, *, n=20, ax=None, **parameters):
        """Measure the gap between two domains, and plot it.

        Parameters
        ----------
        X_source : iterable of str, array-like or sparse matrix of shape (n_source, n_features)
            Rows of the source.
        X_target : iterable of str, array-like or sparse matrix of shape (n_target, n_features)
            Rows of the target.
        n : int, default=20
            Number of features to plot, at least 1.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        **parameters : dict
            Parameters of :func:`domain_gap`.

        Returns
        -------
        display : DomainGapDisplay
            The plot.
        """
        import_pyplot("DomainGapDisplay")
        return cls(domain_gap(X_source, X_target, **parameters)).plot(ax, n=n)

    def plot(self, ax=None, *, n=20):
        """Plot the features that differ most.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        n : int, default=20
            Number of features.

        Returns
        -------
        display : DomainGapDisplay
            The display.
        """
        check_count("n", n, "plot", least=1)
        if ax is None:
            ax = import_pyplot("DomainGapDisplay").subplots()[1]
        names, drift = zip(*reversed(self.gap.top(n)), strict=True)
        finite = [abs(value) for value in drift if np.isfinite(value)]
        largest = max(finite, default=1.0) or 1.0
        lengths = np.clip(drift, -1.2 * largest, 1.2 * largest)  # the drift of differing constants is infinite
        colours = ["#0072b2" if value > 0 else "#d55e00" for value in drift]
        self.ax_, self.figure_ = ax, ax.figure
        self.bars_ = ax.barh(range(len(names)), lengths, color=colours)
        ax.set_yticks(range(len(names)), names)
        ax.axvline(0, color="0.3", linewidth=0.8)
        low, high = self.gap.interval
        ax.set(
            xlabel="standardised difference, target minus source",
            title=f"AUC of a domain classifier {self.gap.auc:.3f} ({low:.3f} to {high:.3f})",
        )
        ax.grid(axis="x", alpha=0.3)
        return self


@with_plain_outputs
def domain_gap(
    X_source,
    X_target,
    *,
    encoder: BaseEstimator | str | os.PathLike[str] | None = None,
    C: float = 1.0,
    cv: int = 5,
    level: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> DomainGap:
    """Test whether two domains differ, and measure by how much each feature does.

    Parameters
    ----------
    X_source : iterable of str, array-like or sparse matrix of shape (n_source, n_features)
        Rows of the source.
    X_target : iterable of str, array-like or sparse matrix of shape (n_target, n_features)
        Rows of the target. A data frame must have the columns of X_source, in the same order.
    encoder : str, path or transformer, default=None
        Transformer from raw input to features; an unfitted one is cloned and fitted to both domains. None is TF-IDF for
        texts, and no transformation for tables.
    C : float, default=1.0
        Inverse regularisation strength of the classifier. Dense features are standardised and divided by the square
        root of the number of features that vary, so that C does not depend on their scale and number.
    cv : int, default=5
        Number of folds; each row is scored by a classifier trained on the other folds.
    level : float, default=0.95
        Confidence level of the interval.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds.

    Returns
    -------
    gap : DomainGap
        ``gap.auc``, ``gap.interval``, ``gap.is_shifted``, ``gap.drift``, ``gap.top()`` and ``gap.plot()``.

    Raises
    ------
    ValueError
        If a domain has fewer rows than `cv`, or the domains have different numbers of features.

    See Also
    --------
    DomainTransferClassifier : Classification under a shift.

    Notes
    -----
    A classifier two-sample test [1]_: if the domains have the same distribution, no classifier can distinguish held-out
    rows, and the area under its ROC curve is 0.5. Ties count one half. The interval is DeLong's on the logit scale,
    widened because the folds share training rows [2]_, so that domains of the same distribution are called shifted in
    at most ``1 - level`` of all cases. The classifier is logistic regression: it detects shifts of the means of the
    (encoded) features only. An area near 0.5 indicates similar inputs, not that labels depend on them in the same way.

    References
    ----------
    .. [1] D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR (2017).
    .. [2] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003), 239-281.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import domain_gap
    >>> rows = np.random.default_rng(0).normal(size=(400, 3))
    >>> domain_gap(rows[:200], rows[200:]).is_shifted
    False
    >>> gap = domain_gap(rows[:200], rows[200:] + [0, 2, 0])
    >>> gap.is_shifted, gap.top(1)[0][0]
    (True, 'x1')
    """
    _check_parameters(C=C, cv=cv, level=level)
    source, target, names = _encode(X_source, X_target, encoder)
    n_source, n_target = source.shape[0], target.shape[0]
    if min(n_source, n_target) < cv:
        raise ValueError(f"domain_gap needs at least cv={cv} rows per domain. Got {n_source} and {n_target}.")
    rows = _standardise(stack_rows(source, target))
    is_target = np.repeat([False, True], [n_source, n_target])
    scores = np.empty(len(is_target))
    splitter = StratifiedKFold(cv, shuffle=True, random_state=random_state)
    for train, test in splitter.split(np.zeros(len(is_target)), is_target):
        head = LogisticHead(C, class_weight="balanced", device="cpu").fit(rows[train], is_target[train])
        scores[test] = _to_ranks(head.decision_function(rows[test]))
    area, low, high = auc_with_interval(scores, is_target, level, cv)
    return DomainGap(area, (low, high), float(level), feature_drift(source, target), names)


def _check_parameters(**values):
    constraints = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "level": [Interval(Real, 0, 1, closed="neither")],
    }
    validate_parameter_constraints(constraints, values, "domain_gap")


def _check_same_columns(source, target):
    """Raise ValueError if the columns of data frames differ, or the numbers of columns of tables."""
    names, others = (list(getattr(X, "columns", ())) for X in (source, target))
    for place, (name, other) in enumerate(zip(names, others, strict=False)):
        if name != other:
            raise ValueError(
                "X_source and X_target must have the same columns in the same order. Got "
                f"{name!r} and {other!r} as column {place}."
            )
    if len(getattr(source, "shape", ())) == len(getattr(target, "shape", ())) == 2:
        _check_same_features(source, target)


def _check_same_features(source, target):
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"X_source and X_target must have the same features. Got {source.shape[1]} and {target.shape[1]} of them "
            f"({source.shape[0]} and {target.shape[0]} rows)."
        )


def _encode(X_source, X_target, encoder):
    """Return features of both domains and their names."""
    is_text = holds_texts(X_source)
    both = [check_texts(X) if is_text else as_rows(X) for X in (X_source, X_target)]
    names = getattr(X_source, "columns", None)
    if not is_text:
        _check_same_columns(*both)
    if encoder is not None or is_text:
        encoder = TfidfEncoder(sublinear_tf=True) if encoder is None else make_encoder(encoder)
        if not isinstance(encoder, PretrainedEncoder):
            encoder.fit(stack_rows(*both))
        both = [encoder.transform(X) for X in both]
        names = encoder.get_feature_names_out() if hasattr(encoder, "get_feature_names_out") else None
    source, target = [check_features(X) for X in both]
    _check_same_features(source, target)
    if sparse.issparse(source) != sparse.issparse(target):
        source, target = sparse.csr_matrix(source), sparse.csr_matrix(target)
    names = [f"x{i}" for i in range(source.shape[1])] if names is None else names
    return source, target, np.asarray(names, dtype=object)


def _standardise(rows):
    """Return dense features scaled as documented for `C`; sparse ones are not scaled."""
    if sparse.issparse(rows):
        return rows
    spread = rows.std(axis=0)
    return (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1) / np.sqrt(max(int((spread > 0).sum()), 1))


def _to_ranks(scores):
    """Return the scores of one fold as ranks between 0 and 1, so that folds can be pooled; ties get their mean rank."""
    return (rankdata(scores) - 0.5) / len(scores)
