"""Base class of CORAL and linear transport: moments of both domains, and a linear map of source rows."""

import warnings
from functools import partial
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.domains.alignment import RowMap, feature_scales
from transferkit._algorithms.linalg.moments import column_means, estimate_moments, find_joint_basis
from transferkit._algorithms.linalg.threads import run_both
from transferkit._validation import Interval, StrOptions
from transferkit._warnings import count_inner_frames
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin

__all__ = ["MOMENT_CONSTRAINTS", "MomentMatcher"]

MOMENT_CONSTRAINTS = {
    "covariance": [StrOptions({"full", "diagonal"})],
    "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"}), None],
    "ridge": [Interval(Real, 0, None, closed="left")],
    "centre": ["boolean"],
    "random_state": ["random_state"],
}


class MomentMatcher(OneToOneFeatureMixin, LinearOnTargetMixin, DomainTransformer):
    """Base class of maps of source rows to the mean and covariance of the target; target rows are left unchanged.

    A subclass computes the map in `_make_map`, and may return -1 from `_orient` to reflect it.
    """

    fitted_attributes = ("basis_", "matrix_", "reflected_", "scale_", "shrinkage_", "source_mean_", "target_mean_")

    def finish_loading(self, trusted):
        """Check that the matrix fits the features.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        if not hasattr(self, "matrix_"):
            return  # a parameter of another estimator
        shape = self.matrix_.shape
        size = self.n_features_in_ if self.basis_ is None else self.basis_.shape[1]
        if shape not in ((size,), (size, size)):
            raise ValueError(f"matrix_ has shape {shape} for {size} coordinates")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.covariance == "diagonal" and not self.centre
        return tags

    def _learn(self, source, target, y):
        if self.covariance == "diagonal":
            return self._learn_scales(source, target)
        if sparse.issparse(source):
            raise TypeError(
                f"{type(self).__name__} with covariance='full' maps sparse rows to dense ones. Use "
                "covariance='diagonal' with centre=False, which keeps rows sparse, or reduce the dimension first "
                "(LSAEncoder for texts, TruncatedSVD)."
            )
        basis = find_joint_basis(source, target, check_random_state(self.random_state))
        if basis is not None and basis.shape[1] == 0:
            raise ValueError(
                f"{type(self).__name__} matches covariances, but all rows of the source are equal, and so are all "
                f"rows of the target. Got {source.shape[0]} and {target.shape[0]} of them."
            )
        estimate = partial(estimate_moments, shrinkage=self.shrinkage, ridge=self.ridge, centre=self.centre)
        size = source.shape[1] if basis is None else basis.shape[1]
        moments = run_both(size, estimate, (source, basis), (target, basis))
        for domain, X, found in zip(("source", "target"), (source, target), moments, strict=True):
            if found.is_singular:
                _warn_singular(self, domain, X)
        row_map = self._make_map(*moments, basis)
        sign = self._orient(source, target, moments[0].mean, moments[1].mean)
        return {
            "source_mean_": moments[0].mean,
            "target_mean_": moments[1].mean,
            "matrix_": sign * row_map.matrix.astype(source.dtype),
            "basis_": None if basis is None else np.ascontiguousarray(basis, source.dtype),
            "scale_": sign * row_map.scale,
            "shrinkage_": (moments[0].shrinkage, moments[1].shrinkage),
            "reflected_": sign < 0,
        }

    def _learn_scales(self, source, target):
        if sparse.issparse(source) and self.centre:
            raise ValueError(
                f"{type(self).__name__} cannot centre sparse rows without making them dense. Set centre=False, so that "
                "moments about zero are matched."
            )
        shrinkage = 0.0 if self.shrinkage in ("auto", None) else float(self.shrinkage)
        scales = feature_scales(source, target, shrinkage=shrinkage, ridge=self.ridge, centre=self.centre)
        n_features = source.shape[1]
        means = [column_means(X) if self.centre else np.zeros(n_features, source.dtype) for X in (source, target)]
        sign = 1.0 if sparse.issparse(source) else self._orient(source, target, *means)
        return {
            "source_mean_": means[0],
            "target_mean_": means[1],
            "matrix_": sign * scales.astype(source.dtype),
            "basis_": None,
            "scale_": 1.0,
            "shrinkage_": (shrinkage, shrinkage),
            "reflected_": sign < 0,
        }

    def _orient(self, source, target, source_mean, target_mean):
        return 1.0

    def _map_source(self, X):
        if self.matrix_.ndim == 1:
            if sparse.issparse(X):
                return (X @ sparse.diags_array(self.matrix_)).tocsr()
            mapped = (X - self.source_mean_) * self.matrix_
        elif sparse.issparse(X):
            raise TypeError(
                f"{type(self).__name__} was fitted to dense rows and cannot map sparse source rows. Give dense ones."
            )
        else:
            mapped = RowMap(self.matrix_, self.basis_, self.scale_).apply(X - self.source_mean_)
        return (mapped + self.target_mean_).astype(X.dtype, copy=False)


def _warn_singular(estimator, domain, X):
    advice = "" if estimator.shrinkage == "auto" else " shrinkage='auto' is a better estimate."
    warnings.warn(
        f"The covariance of the {domain} rows is singular ({X.shape[0]} rows, {X.shape[1]} features), so 1e-9 "
        f"of the mean variance was added to all variances.{advice}",
        UserWarning,
        stacklevel=count_inner_frames(),
    )
