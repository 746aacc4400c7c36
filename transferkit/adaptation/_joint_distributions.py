"""Joint distribution adaptation: a projection in which the classes of both domains have close means."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, clone, is_classifier
from sklearn.neighbors import KNeighborsClassifier

from transferkit._algorithms.domains.alignment import joint_axes
from transferkit._algorithms.domains.joint_distributions import JointProjection
from transferkit._types import Predictor
from transferkit._validation import HasMethods, Interval
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin, project
from transferkit.adaptation.domains import check_source_labels, stack_rows

__all__ = ["JointDistributionAdaptation"]

MOST_AXES = 1000
_LEAST_VARIANCE = 1e-7  # relative to that of the first axis: smaller ones are rounding errors of float32


class JointDistributionAdaptation(ClassNamePrefixFeaturesOutMixin, LinearOnTargetMixin, DomainTransformer):
    """Project both domains so that they, and each class of theirs, have close means (joint distribution adaptation).

    The labels of the target are estimated: a classifier trained on the source predicts pseudo-labels, the projection
    is computed from them, and the classifier is trained again on the projected rows, until the pseudo-labels stay the
    same [1]_. Rows of both domains are mapped by the same projection, so a head trained on the projected source rows
    is applied to projected target rows.

    Parameters
    ----------
    n_components : int, default=100
        Number of directions. Reduced to the dimension that the rows span if it exceeds this.
    penalty : float, default=1.0
        Penalty of the projection, relative to the mean square of the centred rows. The smaller, the more variance is
        given up for close means.
    balance : float, default=0.9
        Weight of the classes from 0 to 1, that of all rows being 1 - balance (balanced distribution adaptation
        [2]_). 0.5 is joint distribution adaptation [1]_, 0 uses no pseudo-labels (transfer component analysis). The
        means of all rows have little weight by default, because they also differ where class proportions do.
    estimator : classifier or None, default=None
        Predicts the pseudo-labels. None is the nearest neighbour, as in the papers.
    max_iter : int, default=10
        Maximum number of times that the projection is computed.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        Mean of the rows of both domains.
    projection_ : ndarray of shape (n_features, n_components_)
        Directions, scaled so that the projected rows have the mean square of the centred rows.
    n_components_ : int
        Number of directions in use.
    classes_ : ndarray of shape (n_classes,)
        Labels of the source.
    pseudo_labels_ : ndarray of shape (n_target_samples,)
        Labels predicted for the target rows of `fit`, in their order.
    n_iter_ : int
        Number of times that the projection was computed. If it equals `max_iter`, the pseudo-labels may not have
        settled.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LinearTransport : Matches the moments of the domains, for which these need the same class proportions.
    SubspaceAlignment : Aligns principal axes without labels.

    Notes
    -----
    `y` is required; labels of target rows are ignored. Since the labels of source rows determine the projection,
    cross-validation on projected source rows is optimistic: evaluate on rows that `fit` did not see.

    The directions V maximise the trace of V' S V subject to V' (D D' + penalty m I) V = I. S is the scatter of all
    rows, m the mean square of the centred rows, and D holds the differences of the means of the domains and of their
    classes, weighted as in [1]_. Classes that are predicted for no target row are left out. The problem is solved in
    the at most 1,000 leading principal axes of all rows, so that it takes time of the cube of the smaller one of the
    numbers of rows and features. Kernels are linear. Sparse rows are centred implicitly; projected rows are dense.

    In the papers rows are scaled to unit length first: use :class:`~sklearn.preprocessing.Normalizer` before this
    transformer where only the direction of rows matters, as for features of networks and TF-IDF.

    References
    ----------
    .. [1] M. Long, J. Wang, G. Ding, J. Sun, P. S. Yu, "Transfer feature learning with joint distribution adaptation",
       ICCV (2013).
    .. [2] J. Wang, Y. Chen, S. Hao, W. Feng, Z. Shen, "Balanced distribution adaptation for transfer learning", ICDM
       (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import JointDistributionAdaptation
    >>> rng = np.random.default_rng(0)
    >>> labels = np.tile([0, 1], 50)
    >>> source, target = rng.normal(size=(100, 2)), rng.normal(size=(100, 2))
    >>> source[:, 0] += 6 * labels
    >>> target += 6 * labels[:, None] * [1, 0.5]
    >>> adaptation = JointDistributionAdaptation()
    >>> X, y = np.vstack([source, target]), np.concatenate([labels, np.full(100, -1)])
    >>> adaptation.fit(X, y, sample_domain=np.repeat([1, -1], 100)).transform(target).shape
    (100, 2)
    >>> bool((adaptation.pseudo_labels_ == labels).all())
    True
    """

    fitted_attributes = ("classes_", "mean_", "n_components_", "n_iter_", "projection_", "pseudo_labels_")

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "penalty": [Interval(Real, 0, None, closed="neither")],
        "balance": [Interval(Real, 0, 1, closed="both")],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 100,
        *,
        penalty: float = 1.0,
        balance: float = 0.9,
        estimator: Predictor | None = None,
        max_iter: int = 10,
    ) -> None:
        self.n_components = n_components
        self.penalty = penalty
        self.balance = balance
        self.estimator = estimator
        self.max_iter = max_iter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _learn(self, source, target, y):
        if self.estimator is not None and not is_classifier(self.estimator):
            raise TypeError(
                f"The 'estimator' parameter of {type(self).__name__} must be a classifier. Got {self.estimator!r} "
                "instead."
            )
        y = check_source_labels(self, y)
        rows = stack_rows(source, target)
        mean, axes = self._find_span(rows)
        rows = project(rows, mean, axes)
        directions, pseudo_labels, n_iter = self._alternate(rows[: len(y)], rows[len(y) :], y)
        return {
            "mean_": mean,
            "projection_": np.ascontiguousarray(axes @ directions, axes.dtype),
            "n_components_": directions.shape[1],
            "classes_": np.unique(y),
            "pseudo_labels_": pseudo_labels,
            "n_iter_": n_iter,
        }

    def _find_span(self, rows):
        """Return the mean of the rows, and the principal axes along which they differ."""
        mean, axes = joint_axes(rows, max(1, min(rows.shape[0] - 1, rows.shape[1], MOST_AXES)))
        squares = np.square(project(rows, mean, axes), dtype=np.float64).sum(0)
        if not np.isfinite(squares).all():
            raise np.linalg.LinAlgError("overflow")
        varies = squares > _LEAST_VARIANCE * squares.max()
        if not varies.any():
            raise ValueError(
                f"{type(self).__name__} needs rows that differ. Got {rows.shape[0]} equal ones of source and target."
            )
        return mean, axes[:, varies]

    def _alternate(self, source, target, y):
        """Return the directions, the pseudo-labels and the number of steps, alternating between the first two."""
        classes, codes = np.unique(y, return_inverse=True)
        n_components = min(self.n_components, source.shape[1])
        settings = {"n_components": n_components, "penalty": self.penalty, "balance": self.balance}
        projection = JointProjection(source, target, codes, **settings)
        pseudo_labels = self._predict(source, y, target)
        n_iter, has_settled = 0, False
        while not has_settled and n_iter < self.max_iter:
            directions = projection.fit(np.searchsorted(classes, pseudo_labels)).astype(source.dtype)
            previous, pseudo_labels = pseudo_labels, self._predict(source @ directions, y, target @ directions)
            n_iter, has_settled = n_iter + 1, np.array_equal(previous, pseudo_labels)
        return directions, pseudo_labels, n_iter

    def _predict(self, source, y, target):
        classifier = KNeighborsClassifier(1) if self.estimator is None else clone(self.estimator)
        return np.asarray(classifier.fit(source, y).predict(target))

    def _map_source(self, X):
        return project(X, self.mean_, self.projection_)

    def _map_target(self, X):
        return project(X, self.mean_, self.projection_)

    def _make_target_map(self):
        return self.projection_, -(self.mean_ @ self.projection_)

    @property
    def _n_features_out(self):
        return self.projection_.shape[1]
