"""Scatter plot of encoded rows."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.manifold import TSNE

from transferkit._lazy import import_pyplot
from transferkit._validation import check_labels, check_same_length, check_texts, holds_texts, with_plain_outputs
from transferkit.encoders import PretrainedEncoder

__all__ = ["EmbeddingMapDisplay"]

_MOST_LABELS = 20


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
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, fontsize="small")
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
