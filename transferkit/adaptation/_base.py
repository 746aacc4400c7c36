"""Base class of all adaptations: validation of both domains, and dispatch of rows to the map of their domain."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import TransformerMixin

from transferkit._estimator import VersionedEstimator
from transferkit._validation import FLOATS, check_is_fitted, fit_context, unchanged_on_error, validate_data
from transferkit.adaptation.domains import check_labels_of_rows, read_domains, split_rows

__all__ = ["DomainTransformer", "LinearOnTargetMixin", "project"]


class DomainTransformer(TransformerMixin, VersionedEstimator):
    """Base class of adaptations: transformers fitted to rows of two domains, with a map for each of them.

    A subclass computes its fitted attributes in `_learn(source, target, y)` and maps rows in `_map_source` and
    `_map_target`, which return their input unless they are overridden.
    """

    _accepts_sparse = True

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_domain: ArrayLike | None = None) -> Self:
        """Fit the adaptation to rows of both domains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the source and of the target domain, in any order.
        y : array-like of shape (n_samples,), default=None
            Labels. Only labels of source rows are used, and only by methods that document it.
        sample_domain : array-like of shape (n_samples,)
            Domain of each row: larger than 0 for the source, less than 0 for the target.

        Returns
        -------
        self : DomainTransformer
            The fitted transformer.

        Raises
        ------
        ValueError
            If `sample_domain` is missing, contains a zero or names only one domain, or if products of the rows
            overflow.
        """
        with unchanged_on_error(self):
            X = self._validate(X, reset=True)
            is_source = read_domains(self, X, sample_domain)
            y = None if y is None else check_labels_of_rows(X, y)
            attributes = self._learn_finite(*split_rows(X, is_source), None if y is None else y[is_source])
        vars(self).update(attributes)
        return self

    def fit_transform(self, X, y=None, *, sample_domain: ArrayLike | None = None) -> Any:
        """Fit the adaptation to rows of both domains, and map them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the source and of the target domain, in any order.
        y : array-like of shape (n_samples,), default=None
            Labels.
        sample_domain : array-like of shape (n_samples,)
            Domain of each row: larger than 0 for the source, less than 0 for the target.

        Returns
        -------
        rows : {ndarray, CSR matrix} of shape (n_samples, n_features_out)
            Mapped rows, in the order of X.
        """
        return self.fit(X, y, sample_domain=sample_domain).transform(X, sample_domain=sample_domain)

    def transform(self, X, *, sample_domain: ArrayLike | None = None) -> Any:
        """Map rows to features that are comparable between the domains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: larger than 0 for the source, less than 0 for the target. None means that all
            belong to the target, as they do at prediction time.

        Returns
        -------
        rows : {ndarray, CSR matrix} of shape (n_samples, n_features_out)
            Mapped rows, in the order of X.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if sample_domain is None:
            return self._map_target(X)
        is_source = read_domains(self, X, sample_domain, needs_both=False)
        if is_source.all():
            return self._map_source(X)
        if not is_source.any():
            return self._map_target(X)
        mapped = self._map_source(X[is_source]), self._map_target(X[~is_source])
        order = np.argsort(np.concatenate([np.flatnonzero(is_source), np.flatnonzero(~is_source)]), kind="stable")
        if sparse.issparse(mapped[0]) or sparse.issparse(mapped[1]):
            return sparse.vstack(mapped, format="csr")[order]
        return np.concatenate(mapped)[order]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accepts_sparse
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _learn_finite(self, source, target, y):
        """Return the fitted attributes; raise ValueError if products of the rows overflow their dtype."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                attributes = self._learn(source, target, y)
            is_finite = all(_is_finite(value) for value in attributes.values())
        except np.linalg.LinAlgError:
            is_finite = False
        if is_finite:
            return attributes
        largest = max(abs(rows).max() for rows in (source, target))
        raise ValueError(
            f"{type(self).__name__} cannot compute with these rows: squares and products of numbers as large as "
            f"{largest:.3g} are out of the range of {source.dtype}. Bring the features to unit scale first, with "
            "StandardScaler for instance."
        )

    def _map_source(self, X):
        return X

    def _map_target(self, X):
        return X

    def _validate(self, X, *, reset):
        accepted = "csr" if self._accepts_sparse else False
        return validate_data(self, X, accept_sparse=accepted, dtype=FLOATS, reset=reset)


class LinearOnTargetMixin:
    """Adaptations whose map of target rows is affine, by default the identity."""

    def target_map(self):
        """Return the affine map of target rows.

        Returns
        -------
        matrix : {ndarray, CSR array} of shape (n_features, n_features_out)
            Linear part, which rows are multiplied by.
        offset : float or ndarray of shape (n_features_out,)
            Added to the products.
        """
        check_is_fitted(self)
        return self._make_target_map()

    def _make_target_map(self):
        return sparse.eye_array(self.n_features_in_, format="csr"), 0.0


def project(X, mean, axes):
    """Return (X - mean) @ axes, without making sparse rows dense."""
    projected = X @ axes - mean @ axes if sparse.issparse(X) else (X - mean) @ axes
    return np.asarray(projected, X.dtype)


def _is_finite(value):
    if isinstance(value, list):
        return all(map(_is_finite, value))
    value = value.data if sparse.issparse(value) else value
    return np.asarray(value).dtype.kind != "f" or bool(np.isfinite(value).all())
