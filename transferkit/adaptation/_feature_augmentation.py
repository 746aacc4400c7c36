"""Feature augmentation: a shared copy of the features and one per domain."""

from numbers import Real

import numpy as np
from scipy import sparse

from transferkit._validation import Interval, check_feature_names_in, check_is_fitted
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin

__all__ = ["FeatureAugmentation"]


class FeatureAugmentation(LinearOnTargetMixin, DomainTransformer):
    """Give each domain its own copy of the features in addition to a shared one, to use a few target labels [1]_.

    A source row x becomes [s x, x, 0], a target row [s x, 0, x], with s the scale of the shared copy. A linear head on
    these features splits each weight into a shared part and one per domain. It needs labelled rows of both domains:
    without target labels, the weights of the target's copy stay zero.

    Parameters
    ----------
    shared_scale : float, default=1.0
        Scale of the shared copy. With a penalised head, a larger scale puts more of each weight into the shared part.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LogisticHead : Its `prior` is another way to combine source and target labels.

    Notes
    -----
    Sparse rows stay sparse. `fit` uses nothing but the number of features.

    References
    ----------
    .. [1] H. Daumé III, "Frustratingly easy domain adaptation", ACL (2007).

    Examples
    --------
    >>> from transferkit import FeatureAugmentation
    >>> FeatureAugmentation().fit_transform([[1.0, 2.0], [3.0, 4.0]], sample_domain=[1, -1])
    array([[1., 2., 1., 2., 0., 0.],
           [3., 4., 0., 0., 3., 4.]])
    """

    _parameter_constraints: dict = {"shared_scale": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, shared_scale: float = 1.0) -> None:
        self.shared_scale = shared_scale

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the names of the features, three times.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features; those seen in `fit` if None.

        Returns
        -------
        names : ndarray of str objects
            For example "shared_x0", "source_x0" and "target_x0" for the feature "x0".
        """
        check_is_fitted(self, "n_features_in_")
        names = check_feature_names_in(self, input_features)
        return np.array([f"{copy}_{name}" for copy in ("shared", "source", "target") for name in names], dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_in_")

    def _learn(self, source, target, y):
        return {}

    def _map_source(self, X):
        return _join(float(self.shared_scale) * X, X, None)

    def _map_target(self, X):
        return _join(float(self.shared_scale) * X, None, X)

    def _make_target_map(self):
        same = sparse.eye_array(self.n_features_in_, format="csr")
        return sparse.hstack([self.shared_scale * same, 0 * same, same], format="csr"), 0.0


def _join(shared, *own):
    if sparse.issparse(shared):
        parts = [sparse.csr_matrix(shared.shape, dtype=shared.dtype) if part is None else part for part in own]
        return sparse.hstack([shared, *parts], format="csr")
    return np.hstack([shared, *(np.zeros_like(shared) if part is None else part for part in own)])
