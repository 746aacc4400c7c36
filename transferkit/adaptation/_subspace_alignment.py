"""Subspace alignment: the principal axes of the source rotated to those of the target."""

from numbers import Integral

from sklearn.base import ClassNamePrefixFeaturesOutMixin

from transferkit._algorithms.domains.alignment import principal_axes
from transferkit._validation import Interval
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin, project

__all__ = ["SubspaceAlignment"]


class SubspaceAlignment(ClassNamePrefixFeaturesOutMixin, LinearOnTargetMixin, DomainTransformer):
    """Project each domain onto its principal axes, and align those of the source with those of the target [1]_.

    With the leading axes Ps and Pt (columns) of the domains,

        source: x -> (x - source_mean) Ps Ps' Pt,   target: x -> (x - target_mean) Pt.

    Parameters
    ----------
    n_components : int, default=50
        Number of axes. Reduced to the number of features, and to one less than the number of rows of the smaller
        domain, if it exceeds these.

    Attributes
    ----------
    source_axes_, target_axes_ : ndarray of shape (n_features, n_components_)
        Principal axes; the entry of largest magnitude of each is positive.
    source_mean_, target_mean_ : ndarray of shape (n_features,)
        Means of the domains.
    n_components_ : int
        Number of axes in use.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LinearTransport : Keeps all features, and matches variances too.

    Notes
    -----
    Sparse rows are centred implicitly, in matrix products, and never made dense; the mapped rows are dense.

    Agrees with skada's SubspaceAlignmentAdapter up to the signs of the axes. Its default uses all axes, which rotates
    target rows and leaves source rows unaligned, so the default here is 50.

    References
    ----------
    .. [1] B. Fernando, A. Habrard, M. Sebban, T. Tuytelaars, "Unsupervised visual domain adaptation using subspace
       alignment", ICCV (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import SubspaceAlignment
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> SubspaceAlignment(2).fit_transform(X, sample_domain=np.repeat([1, -1], 50)).shape
    (100, 2)
    """

    fitted_attributes = ("n_components_", "source_axes_", "source_mean_", "target_axes_", "target_mean_")

    _parameter_constraints: dict = {"n_components": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_components: int = 50) -> None:
        self.n_components = n_components

    def _learn(self, source, target, y):
        fewest = min(source.shape[0], target.shape[0])
        n_components = min(self.n_components, source.shape[1], max(1, fewest - 1))
        (source_mean, source_axes), (target_mean, target_axes) = principal_axes(source, target, n_components)
        return {
            "source_mean_": source_mean,
            "source_axes_": source_axes,
            "target_mean_": target_mean,
            "target_axes_": target_axes,
            "n_components_": n_components,
        }

    def _map_source(self, X):
        return project(X, self.source_mean_, self.source_axes_ @ (self.source_axes_.T @ self.target_axes_))

    def _map_target(self, X):
        return project(X, self.target_mean_, self.target_axes_)

    def _make_target_map(self):
        return self.target_axes_, -(self.target_mean_ @ self.target_axes_)

    @property
    def _n_features_out(self):
        return self.target_axes_.shape[1]
