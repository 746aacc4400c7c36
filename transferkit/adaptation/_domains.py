"""What all adaptations share: which row is of which domain, and features in which source and target agree."""

from collections.abc import Mapping

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin

from transferkit._validation import check_is_fitted, count_rows, fit_context, unchanged_on_error, validate_data
from transferkit._versioning import VersionedEstimator

FLOATS = [np.float64, np.float32]


class DomainTransformer(TransformerMixin, VersionedEstimator):
    """Transformers that learn from the rows of two domains, and give the rows of each their own treatment.

    A subclass learns in `_learn(source, target, y)`, which returns its fitted attributes, and maps rows in
    `_map_source` and `_map_target`. `_target_map` is what :func:`transferkit.explain` reads.
    """

    _accepts_sparse = True
    _is_symmetric = False  # whether the same comes out when the domains change places

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_domain=None):
        """Learn from rows of both domains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the source and of the target domain, in any order.
        y : array-like of shape (n_samples,), default=None
            Labels; only those of source rows are ever looked at, and only by methods that say so.
        sample_domain : array-like of shape (n_samples,)
            Domain of each row: larger than 0 for the source, less than 0 for the target.

        Returns
        -------
        self : DomainTransformer
            The fitted transformer.

        Raises
        ------
        ValueError
            If `sample_domain` is missing, has a zero, or knows one domain only; or if products of the rows overflow.
        """
        with unchanged_on_error(self):
            X = self._validate(X, reset=True)
            is_source = read_domains(self, X, sample_domain)
            y = None if y is None else check_labels_of_rows(X, y)
            attributes = self._learn_finite(*split_rows(X, is_source), None if y is None else y[is_source])
        vars(self).update(attributes)
        return self

    def transform(self, X, *, sample_domain=None):
        """Map rows to the features in which the domains agree.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: larger than 0 for the source, less than 0 for the target. None means that all are of
            the target, as they are when predictions are made.

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

    def fit_transform(self, X, y=None, *, sample_domain=None):
        """Learn from rows of both domains, and map them.

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

    def _learn_finite(self, source, target, y):
        """Return the fitted attributes, after refusing rows whose products are too large for their type."""
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accepts_sparse
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _is_finite(value):
    if isinstance(value, list):
        return all(map(_is_finite, value))
    value = value.data if sparse.issparse(value) else value
    return not isinstance(value, (float, np.floating, np.ndarray)) or bool(np.isfinite(value).all())


def read_domains(estimator, X, sample_domain, *, needs_both=True):
    """Return which rows are of the source (n_samples,), after refusing what does not say so."""
    name = type(estimator).__name__
    if sample_domain is None:
        raise ValueError(
            f"{name} needs 'sample_domain': one number a row, larger than 0 for rows of the source domain and less "
            "than 0 for rows of the target domain."
        )
    domains = np.asarray(sample_domain)
    if domains.ndim != 1 or domains.dtype.kind not in "iuf":
        raise ValueError(
            f"The 'sample_domain' of {name} must be a 1-D array of numbers. Got an array of shape {domains.shape} and "
            f"type {domains.dtype}."
        )
    if len(domains) != count_rows(X):
        raise ValueError(
            f"X and sample_domain must have the same length. Got {count_rows(X)} rows and {len(domains)} domains."
        )
    unknown = np.flatnonzero(~((domains > 0) | (domains < 0)))
    if len(unknown):
        raise ValueError(
            f"The 'sample_domain' of {name} must be larger than 0 (source) or less than 0 (target) in every row. Got "
            f"{domains[unknown[0]].item()!r} at position {unknown[0]}."
        )
    is_source = domains > 0
    if needs_both and not (is_source.any() and (~is_source).any()):
        missing = "source (larger than 0)" if not is_source.any() else "target (less than 0)"
        raise ValueError(
            f"{name} needs rows of both domains, and 'sample_domain' has none of the {missing}: all n_samples="
            f"{len(domains)} are of the other one."
        )
    return is_source


def as_rows(X):
    """Return rows of any kind as a container that `stack_rows` takes."""
    if hasattr(X, "shape"):
        return X.tocsr() if sparse.issparse(X) else X
    X = list(X)
    return X if isinstance(X[0], Mapping) else np.asarray(X)


def stack_rows(first, second):
    """Return rows of both one below the other: lists of texts, arrays, sparse matrices or data frames."""
    if isinstance(first, list):
        return first + second
    if sparse.issparse(first) or sparse.issparse(second):
        return sparse.vstack([first, second], format="csr")
    if hasattr(first, "columns") or hasattr(second, "columns"):
        return _stack_frames(first, second)
    return np.concatenate([first, second])


def _stack_frames(first, second):
    if type(first) is not type(second):
        kinds = [f"{type(X).__name__} of {type(X).__module__.partition('.')[0]}" for X in (first, second)]
        raise TypeError(f"X and X_target must be of one kind. Got {kinds[0]} and {kinds[1]}.")
    if hasattr(first, "vstack"):
        return first.vstack(second)
    from pandas import concat  # what else has columns

    return concat([first, second], ignore_index=True)


def split_rows(X, is_source):
    """Return the rows of the source and those of the target, without a copy where each are in one piece."""
    changes = np.flatnonzero(np.diff(is_source))
    if len(changes) != 1:
        return X[is_source], X[~is_source]
    first, second = X[: changes[0] + 1], X[changes[0] + 1 :]
    return (first, second) if is_source[0] else (second, first)


def check_labels_of_rows(X, y):
    """Return labels as an array with one entry a row."""
    y = np.asarray(y)
    if y.ndim != 1 or len(y) != count_rows(X):
        raise ValueError(f"X and y must have the same length. Got {count_rows(X)} rows and y of shape {y.shape}.")
    return y
