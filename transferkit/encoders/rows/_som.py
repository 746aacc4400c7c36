"""Self-organising maps as features."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.extmath import randomized_svd

from transferkit._algorithms.rows.clusters import (
    activate,
    check_squares,
    find_best_units,
    grid_coordinates,
    mean_neighbour_distances,
    move_towards,
    squared_distances,
    update_batch,
)
from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._lazy import import_pyplot
from transferkit._types import Seed
from transferkit._validation import (
    FLOATS,
    Interval,
    StrOptions,
    check_is_fitted,
    check_same_length,
    fit_context,
    to_numpy,
    validate_data,
)
from transferkit.encoders._pretraining import PretrainableMixin, warns_of_lost_pretraining

__all__ = ["SOMEncoder"]

_ACTIVATIONS = {"triangle", "distance", "soft", "onehot"}


class SOMEncoder(
    PretrainableMixin, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator
):
    """Encode samples by a self-organising map: units on a grid, whose neighbours represent similar samples.

    Parameters
    ----------
    grid_shape : tuple (n_rows, n_columns), default=(10, 10)
        Number of units along each side of the map.
    topology : {"rectangular", "hexagonal"}, default="rectangular"
        Grid of the units: each has four or six neighbours, at distance one.
    neighbourhood : {"gaussian", "bubble"}, default="gaussian"
        How strongly a unit at distance d on the grid follows the best unit: exp(-d^2 / (2 r^2)), or one within r.
    radius : float or None, default=None
        Initial radius r; None is half of the longer side. It shrinks by the same factor in each epoch.
    final_radius : float, default=0.3
        Radius in the last epoch.
    mode : {"batch", "online"}, default="batch"
        "batch": in each epoch, every unit becomes the weighted mean of all samples, by matrix products [1]_. "online":
        samples are presented one by one, in random order, and pull units towards them [2]_.
    learning_rate : float, default=0.5
        Initial learning rate of the online mode; it decays to a hundredth.
    n_epochs : int, default=20
        Number of passes over all samples.
    output : {"triangle", "distance", "soft", "onehot", "coordinates"}, default="triangle"
        Output of `transform`: activations of the units as in :class:`KMeansEncoder`, or the two coordinates of the best
        unit on the grid.
    random_state : int, RandomState instance or None, default=0
        Order of the samples in online mode, and the initial weights where the data span no plane.

    Attributes
    ----------
    weights_ : ndarray of shape (n_units, n_features)
        Weights of the units, row by row of the grid: float64 for dense samples, since they may lie far from zero, and
        float32 for sparse samples.
    coordinates_ : ndarray of shape (n_units, 2)
        Coordinates of the units on the grid.
    quantisation_error_ : float
        Mean distance of the training samples to their best unit.
    topographic_error_ : float
        Share of the training samples whose two best units are not neighbours.
    n_features_in_ : int
        Number of features of the samples.

    See Also
    --------
    KMeansEncoder : Clusters without a map.

    Notes
    -----
    The initial weights lie on the plane of the two leading principal components (for CSR matrices, singular vectors),
    so the batch mode is deterministic.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each epoch of `fit` is a task, and
    training ends if a callback requests it.

    References
    ----------
    .. [1] T. Kohonen (2013). Essentials of the self-organizing map. Neural Networks 37.
    .. [2] T. Kohonen (1982). Self-organized formation of topologically correct feature maps. Biological Cybernetics 43.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import SOMEncoder
    >>> X = np.random.default_rng(0).uniform(size=(200, 2))
    >>> encoder = SOMEncoder((4, 4), output="coordinates").fit(X)
    >>> encoder.transform(X).shape
    (200, 2)
    """

    fitted_attributes = ("coordinates_", "quantisation_error_", "topographic_error_", "weights_", "_scale")

    _parameter_constraints: dict = {
        "grid_shape": [tuple, list],
        "topology": [StrOptions({"rectangular", "hexagonal"})],
        "neighbourhood": [StrOptions({"gaussian", "bubble"})],
        "radius": [Interval(Real, 0, None, closed="neither"), None],
        "final_radius": [Interval(Real, 0, None, closed="neither")],
        "mode": [StrOptions({"batch", "online"})],
        "learning_rate": [Interval(Real, 0, 1, closed="right")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "output": [StrOptions(_ACTIVATIONS | {"coordinates"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        grid_shape: Sequence[int] = (10, 10),
        *,
        topology: Literal["rectangular", "hexagonal"] = "rectangular",
        neighbourhood: Literal["gaussian", "bubble"] = "gaussian",
        radius: float | None = None,
        final_radius: float = 0.3,
        mode: Literal["batch", "online"] = "batch",
        learning_rate: float = 0.5,
        n_epochs: int = 20,
        output: Literal["triangle", "distance", "soft", "onehot", "coordinates"] = "triangle",
        random_state: Seed = 0,
    ) -> None:
        self.grid_shape = grid_shape
        self.topology = topology
        self.neighbourhood = neighbourhood
        self.radius = radius
        self.final_radius = final_radius
        self.mode = mode
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.output = output
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    @warns_of_lost_pretraining
    def fit(self, X, y=None) -> Self:
        """Fit the map to unlabelled samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : SOMEncoder
            The fitted encoder.
        """
        shape = self._check_grid()
        progress = FitProgress(self, self.n_epochs, "epoch")
        X = self._validate(X, reset=True)
        progress.begin(X, y)
        check_squares(X, "SOMEncoder")
        random = check_random_state(self.random_state)
        coordinates = grid_coordinates(*shape, self.topology)
        weights = _start_on_plane(X, coordinates, random)
        grid_squares = cdist(coordinates, coordinates, "sqeuclidean")
        first = max(shape) / 2 if self.radius is None else self.radius
        for epoch in range(self.n_epochs):
            share = epoch / max(self.n_epochs - 1, 1)
            neighbourhood = self._evaluate_neighbourhood(grid_squares, first * (self.final_radius / first) ** share)
            if self.mode == "batch":
                weights = update_batch(X, weights, neighbourhood)
            else:
                rate = self.learning_rate * 0.01**share
                weights = move_towards(X[random.permutation(X.shape[0])], weights, neighbourhood, rate)
            if progress.step():
                break
        units, squares = find_best_units(X, weights)
        is_apart = grid_squares[units[:, 0], units[:, 1]] > 1.1
        self.weights_, self.coordinates_ = weights, coordinates
        self.quantisation_error_ = float(np.sqrt(squares[:, 0]).mean())
        self.topographic_error_ = float(is_apart.mean())
        self._scale = float(squares[:, 0].mean())
        progress.end({})
        return self

    def transform(self, X) -> np.ndarray:
        """Return activations of the units, or coordinates of the best one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_units) or (n_samples, 2), float32
            Activations (for ``output="onehot"`` a CSR matrix), or coordinates.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if self.output == "coordinates":
            return self.coordinates_[find_best_units(X, self.weights_)[0][:, 0]].astype(np.float32)
        return activate(squared_distances(X, self.weights_), self.output, self._scale).astype(np.float32)

    def u_matrix(self):
        """Return the distances of units to their neighbours: ridges of large distances separate clusters.

        Returns
        -------
        distances : ndarray of shape grid_shape
            Mean distance of the weights of each unit to those of its neighbours on the grid.
        """
        check_is_fitted(self)
        return mean_neighbour_distances(self.weights_, self.coordinates_).reshape(self.grid_shape)

    def plot_map(self, X=None, labels=None, *, ax=None):
        """Draw the u-matrix, and the most frequent label of the samples of each unit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Samples to place on the map.
        labels : array-like of shape (n_samples,), default=None
            Their labels.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        ax : matplotlib Axes
            The axes.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        check_is_fitted(self)
        pyplot = import_pyplot("plot_map")
        ax = pyplot.subplots()[1] if ax is None else ax
        cells = self._make_cells()
        cells.set_array(self.u_matrix().ravel())
        ax.add_collection(cells)
        ax.figure.colorbar(cells, ax=ax, label="mean distance to neighbours")
        if X is not None and labels is not None:
            check_same_length(X, labels)
            self._write_labels(ax, self._validate(X, reset=False), np.asarray(labels))
        ax.set(aspect="equal", xticks=[], yticks=[])
        ax.autoscale_view()
        ax.invert_yaxis()
        return ax

    @property
    def _n_features_out(self):
        return 2 if self.output == "coordinates" else len(self.weights_)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _make_cells(self):
        from matplotlib.collections import PolyCollection

        n_sides = 4 if self.topology == "rectangular" else 6
        angles = 2 * np.pi * np.arange(n_sides) / n_sides + np.pi / n_sides
        corners = np.column_stack([np.cos(angles), np.sin(angles)]) / (2 * np.cos(np.pi / n_sides))
        return PolyCollection(self.coordinates_[:, None, ::-1] + corners, cmap="Greys", edgecolors="white")

    def _write_labels(self, ax, X, labels):
        best = find_best_units(X, self.weights_)[0][:, 0]
        for unit in np.unique(best):
            found, counts = np.unique(labels[best == unit], return_counts=True)
            place = self.coordinates_[unit, ::-1]
            box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7}
            ax.annotate(str(found[counts.argmax()]), place, ha="center", va="center", fontsize="small", bbox=box)

    def _check_grid(self):
        shape = tuple(self.grid_shape)
        if len(shape) != 2 or not all(isinstance(n, Integral) and n >= 1 for n in shape) or np.prod(shape) < 2:
            raise ValueError(
                "The 'grid_shape' parameter of SOMEncoder must be (n_rows, n_columns) with at least 2 units. "
                f"Got {self.grid_shape!r} instead."
            )
        return shape

    def _validate(self, X, reset):
        dtype = np.float32 if sp.issparse(X) else FLOATS  # dense samples are converted to float32 once they are centred
        return validate_data(self, to_numpy(X), accept_sparse="csr", dtype=dtype, order="C", reset=reset)

    def _evaluate_neighbourhood(self, grid_squares, radius):
        if self.neighbourhood == "gaussian":
            return np.exp(grid_squares / (-2 * radius**2))
        return (grid_squares <= radius**2 + 1e-9).astype(np.float64)


def _start_on_plane(X, coordinates, random):
    """Return weights on the plane of the two leading components, with the spread of the data."""
    mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
    centred = X if sp.issparse(X) else (X - mean).astype(np.float32)
    n_components = min(2, *X.shape)
    _, values, axes = randomized_svd(centred, n_components, random_state=random)
    places = coordinates - coordinates.mean(axis=0)
    reach = np.maximum(np.abs(places).max(axis=0), 1)
    order = np.argsort(-reach, kind="stable")[:n_components]  # the longer side along the wider axis
    steps = (places / reach)[:, order] * (values / np.sqrt(X.shape[0]))
    return (mean + steps @ axes).astype(np.float32 if sp.issparse(X) else np.float64)
