"""Plots of encoded rows in two dimensions, and of scores over the number of labels."""

from contextlib import contextmanager, nullcontext

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.manifold import TSNE
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from transferkit._lazy import import_pyplot
from transferkit._validation import (
    check_labels,
    check_same_length,
    check_texts,
    holds_texts,
    take_rows,
    with_plain_outputs,
)
from transferkit.encoders import PretrainedEncoder
from transferkit.transfer.strategies import takes_raw_input

__all__ = ["EmbeddingMapDisplay", "TransferCurveDisplay"]

_MOST_LABELS = 20
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vP"


class EmbeddingMapDisplay:
    """Scatter plot of encoded rows, coloured by label.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 2)
        Coordinates of each row.
    labels : ndarray of shape (n_samples,) or None
        Label of each row.
    name : str, default="component"
        Label of the axes, followed by their number.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    collections_ : list of matplotlib PathCollection
        The points, one collection per label.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import EmbeddingMapDisplay
    >>> display = EmbeddingMapDisplay(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array(["pet", "money"]))
    >>> display.plot().ax_.get_xlabel()  # doctest: +SKIP
    'component 1'
    """

    def __init__(self, points, labels=None, *, name="component"):
        self.points = points
        self.labels = labels
        self.name = name

    @classmethod
    @with_plain_outputs
    def from_estimator(cls, encoder, X, y=None, *, projection="pca", random_state=0, ax=None):
        """Encode rows and plot them.

        Parameters
        ----------
        encoder : path or fitted transformer
            The encoder; encoded rows are cached as by :class:`PretrainedEncoder`.
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.
        y : array-like of shape (n_samples,), default=None
            Labels, shown by colours. Beyond 20, the rarest are grey.
        projection : {"pca", "tsne"} or transformer, default="pca"
            Projection to two dimensions. "pca" is the plane of largest variance (not centred for sparse rows). "tsne"
            preserves neighbourhoods, but not distances.
        random_state : int, RandomState instance or None, default=0
            Seed of the projection.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        display : EmbeddingMapDisplay
            The plot.
        """
        import_pyplot("EmbeddingMapDisplay")
        X = check_texts(X) if holds_texts(X) else X
        if y is not None:
            y = check_labels(y)
            check_same_length(X, y)
        rows = PretrainedEncoder(encoder).fit().transform(X)
        projector, name = _make_projector(projection, sp.issparse(rows), random_state)
        points = np.asarray(projector.fit_transform(rows))
        if points.ndim != 2 or points.shape[1] < 2:
            raise ValueError(f"The projection must give two components. Got an array of shape {points.shape}.")
        return cls(points[:, :2], y, name=name).plot(ax)

    def plot(self, ax=None):
        """Plot the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        display : EmbeddingMapDisplay
            The display.
        """
        pyplot = import_pyplot("EmbeddingMapDisplay")
        if ax is None:
            ax = pyplot.subplots()[1]
        labels = np.zeros(len(self.points), int) if self.labels is None else np.asarray(self.labels)
        found, counts = np.unique(labels, return_counts=True)
        shown = found[np.sort(np.argsort(-counts, kind="stable")[:_MOST_LABELS])]
        colours = pyplot.get_cmap("tab10" if len(shown) <= 10 else "tab20")
        style = {"s": 12, "alpha": 0.7, "linewidths": 0}
        self.ax_, self.figure_, self.collections_ = ax, ax.figure, []
        rest = ~np.isin(labels, shown)
        if rest.any():
            self.collections_.append(ax.scatter(*self.points[rest].T, color="0.7", label="other", **style))
        for i, label in enumerate(shown):
            points = self.points[labels == label]
            self.collections_.append(ax.scatter(*points.T, color=colours(i), label=str(label), **style))
        ax.set(xlabel=f"{self.name} 1", ylabel=f"{self.name} 2")
        if self.labels is not None:
            columns = 1 + len(self.collections_) // 11
            ax.legend(loc="best", ncols=columns, markerscale=2, fontsize="small")
        return self


class TransferCurveDisplay:
    """Learning curves of models with transfer and from scratch.

    Create it with :meth:`from_estimator`, or from existing scores.

    Parameters
    ----------
    n_labels : array-like of int of shape (n_sizes,)
        Number of labels per class.
    scores : dict of str to array-like of shape (n_sizes, n_draws)
        Scores on held-out rows by name of the model; the first with transfer, the last without.
    score_name : str, default="accuracy"
        Name of the score; label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    lines_ : dict of str to matplotlib Line2D
        The curve of each model.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Curves over the number of samples.

    Examples
    --------
    >>> from transferkit import TransferCurveDisplay
    >>> scores = {"transfer": [[0.80, 0.82], [0.85, 0.86]], "scratch": [[0.55, 0.60], [0.76, 0.77]]}
    >>> display = TransferCurveDisplay([8, 64], scores)
    >>> display.gain().round(3)
    array([0.235, 0.09 ])
    """

    def __init__(self, n_labels, scores, *, score_name="accuracy"):
        self.n_labels = n_labels
        self.scores = scores
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        baseline=None,
        n_labels=(4, 8, 16, 32, 64),
        n_draws=5,
        test_size=0.3,
        scoring="accuracy",
        random_state=0,
        ax=None,
    ):
        """Train on random draws of few labels per class, score on held-out rows, and plot the curves.

        Parameters
        ----------
        estimator : classifier
            A :class:`TransferClassifier`, or any other.
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.
        y : array-like of shape (n_samples,)
            Labels.
        baseline : classifier, default=None
            The model without transfer. None is `estimator` with ``strategy="scratch"``, which accepts texts and tables
            of finite numbers.
        n_labels : sequence of int, default=(4, 8, 16, 32, 64)
            Numbers of labels per class; those for which a class has too few rows are omitted.
        n_draws : int, default=5
            Number of random splits into training and test rows, the same for both models.
        test_size : float, default=0.3
            Fraction of the rows to score on.
        scoring : str or callable, default="accuracy"
            A scorer, as in scikit-learn.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        display : TransferCurveDisplay
            The curves.
        """
        pyplot = import_pyplot("TransferCurveDisplay")
        X = check_texts(X) if holds_texts(X) else X
        y = check_labels(y)
        check_same_length(X, y)
        is_default = baseline is None
        if is_default:
            if "strategy" not in estimator.get_params():
                raise ValueError(
                    f"TransferCurveDisplay cannot make a {type(estimator).__name__} without transfer. Give a model "
                    "without transfer as 'baseline', such as make_pipeline(TfidfEncoder(), LogisticHead())."
                )
            baseline = clone(estimator).set_params(strategy="scratch")
        sizes = _possible_sizes(n_labels, y, test_size)
        scorer, random = get_scorer(scoring), check_random_state(random_state)
        scores = {name: np.empty((len(sizes), n_draws)) for name in ("transfer", "scratch")}
        for draw in range(n_draws):
            train, test = train_test_split(np.arange(len(y)), test_size=test_size, stratify=y, random_state=random)
            train = random.permutation(train)
            for i, size in enumerate(sizes):  # smaller draws are parts of larger ones
                chosen = np.concatenate([train[y[train] == label][:size] for label in np.unique(y)])
                for name, model in (("transfer", estimator), ("scratch", baseline)):
                    with _explain_error(estimator, X) if is_default and name == "scratch" else nullcontext():
                        fitted = clone(model).fit(take_rows(X, chosen), y[chosen])
                    scores[name][i, draw] = scorer(fitted, take_rows(X, test), y[test])
        name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
        return cls(sizes, scores, score_name=name.replace("_", " ")).plot(
            ax if ax is not None else pyplot.subplots()[1]
        )

    def gain(self):
        """Return the difference of mean scores, first model minus last, for each number of labels.

        Returns
        -------
        gain : ndarray of shape (n_sizes,)
            In units of the score.
        """
        means = [np.mean(values, axis=1) for values in self.scores.values()]
        return means[0] - means[-1]

    def plot(self, ax=None):
        """Plot mean scores, with a band from the lowest to the highest draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        display : TransferCurveDisplay
            The display.
        """
        if ax is None:
            ax = import_pyplot("TransferCurveDisplay").subplots()[1]
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, {}
        for i, (name, values) in enumerate(self.scores.items()):
            values = np.asarray(values, float)
            style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
            [self.lines_[name]] = ax.plot(self.n_labels, values.mean(axis=1), label=name, **style)
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
            ax.fill_between(self.n_labels, values.min(axis=1), values.max(axis=1), **band)
        ax.set(xscale="log", xlabel="labels per class", ylabel=self.score_name)
        ax.set_xticks(list(self.n_labels), [str(size) for size in self.n_labels])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend(loc="lower right")
        return self


def _make_projector(projection, is_sparse, random_state):
    if projection == "pca":
        kind = TruncatedSVD if is_sparse else PCA
        return kind(2, random_state=random_state), "component"
    if projection == "tsne":
        init = "random" if is_sparse else "pca"
        return TSNE(init=init, random_state=random_state), "t-SNE"
    if not hasattr(projection, "fit_transform"):
        raise ValueError(f"The 'projection' parameter must be 'pca', 'tsne' or a transformer. Got {projection!r}.")
    return clone(projection), type(projection).__name__


@contextmanager
def _explain_error(estimator, X):
    """Explain the remedy if strategy="scratch" fails because of X."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if takes_raw_input(estimator.encoder, X, holds_texts(X)):
            raise
        raise ValueError(
            f"strategy='scratch' cannot be fitted to this X ({error}). Give a model that accepts it as 'baseline'."
        ) from error


def _possible_sizes(n_labels, y, test_size):
    smallest = int((1 - test_size) * np.unique(y, return_counts=True)[1].min())
    sizes = sorted(size for size in n_labels if 1 <= size <= smallest)
    if not sizes:
        raise ValueError(
            f"No size in n_labels={tuple(n_labels)!r} can be drawn: the smallest class leaves {smallest} rows for "
            "training. Give smaller sizes or more rows."
        )
    return sizes
