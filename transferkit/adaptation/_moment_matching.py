"""CORAL and linear transport: maps of source rows to the mean and covariance of the target."""

import warnings
from functools import partial
from numbers import Real
from typing import Literal

import numpy as np
from scipy import sparse
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.domains.alignment import RowMap, coral_map, feature_scales, monge_map, reflection_evidence
from transferkit._algorithms.linalg.moments import column_means, estimate_moments, find_joint_basis
from transferkit._algorithms.linalg.threads import run_both
from transferkit._types import Numbers, Seed
from transferkit._validation import SUM_TOLERANCE, Interval, StrOptions
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin
from transferkit.adaptation._joint_distributions import JointDistributionAdaptation
from transferkit.adaptation.domains import check_source_labels, stack_rows
from transferkit.exceptions import count_inner_frames

__all__ = ["CORAL", "LinearTransport"]

_CONSTRAINTS = {
    "covariance": [StrOptions({"full", "diagonal"})],
    "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"}), None],
    "ridge": [Interval(Real, 0, None, closed="left")],
    "centre": ["boolean"],
    "class_proportions": [StrOptions({"estimate"}), "array-like", None],
    "random_state": ["random_state"],
}
LEAST_EVIDENCE = 4.0  # for a reflection, in standard errors


class _MomentMatcher(OneToOneFeatureMixin, LinearOnTargetMixin, DomainTransformer):
    """Base class of maps of source rows to the mean and covariance of the target; target rows are left unchanged.

    A subclass computes the map in `_make_map`, and may return -1 from `_orient` to reflect it.
    """

    fitted_attributes = (
        "basis_",
        "class_proportions_",
        "matrix_",
        "reflected_",
        "scale_",
        "shrinkage_",
        "source_mean_",
        "target_mean_",
    )

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
        tags.target_tags.required = self.class_proportions is not None
        return tags

    def _learn(self, source, target, y):
        self._check_density(source)
        sign = 1.0 if sparse.issparse(source) else self._orient(source, target)
        proportions, weights = self._weight_classes(source, target, y, sign)
        learn = self._learn_scales if self.covariance == "diagonal" else self._learn_map
        attributes = learn(source, target, weights)
        attributes["matrix_"] *= sign
        attributes["scale_"] *= sign
        return attributes | {"class_proportions_": proportions, "reflected_": sign < 0}

    def _check_density(self, source):
        if not sparse.issparse(source):
            return
        if self.covariance == "full":
            raise TypeError(
                f"{type(self).__name__} with covariance='full' maps sparse rows to dense ones. Use "
                "covariance='diagonal' with centre=False, which keeps rows sparse, or reduce the dimension first "
                "(LSAEncoder for texts, TruncatedSVD)."
            )
        if self.centre:
            raise ValueError(
                f"{type(self).__name__} cannot centre sparse rows without making them dense. Set centre=False, so that "
                "moments about zero are matched."
            )

    def _weight_classes(self, source, target, y, sign):
        """Return the class proportions of the target, and the weights that give source rows the same; or None."""
        if self.class_proportions is None:
            return None, None
        y = check_source_labels(self, y)
        codes, counts = np.unique(y, return_inverse=True, return_counts=True)[1:]
        if isinstance(self.class_proportions, str):
            if sign < 0:
                source = sum(self._find_means(source, target)) - source
            proportions = _estimate_proportions(source, target, y)
        else:
            proportions = _check_proportions(self, len(counts))
        return proportions, (proportions * len(codes) / counts)[codes]

    def _find_means(self, source, target, weights=None):
        """Return the means of source and target, zeros with ``centre=False``."""
        if not self.centre:
            return [np.zeros(X.shape[1], X.dtype) for X in (source, target)]
        return [column_means(source, weights), column_means(target)]

    def _learn_map(self, source, target, weights):
        basis = find_joint_basis(source, target, check_random_state(self.random_state))
        if basis is not None and basis.shape[1] == 0:
            raise ValueError(
                f"{type(self).__name__} matches covariances, but all rows of the source are equal, and so are all "
                f"rows of the target. Got {source.shape[0]} and {target.shape[0]} of them."
            )
        estimate = partial(estimate_moments, shrinkage=self.shrinkage, ridge=self.ridge, centre=self.centre)
        size = source.shape[1] if basis is None else basis.shape[1]
        moments = run_both(size, estimate, (source, basis, weights), (target, basis))
        for domain, X, found in zip(("source", "target"), (source, target), moments, strict=True):
            if found.is_singular:
                _warn_singular(self, domain, X)
        row_map = self._make_map(*moments, basis)
        return {
            "source_mean_": moments[0].mean,
            "target_mean_": moments[1].mean,
            "matrix_": row_map.matrix.astype(source.dtype),
            "basis_": None if basis is None else np.ascontiguousarray(basis, source.dtype),
            "scale_": row_map.scale,
            "shrinkage_": (moments[0].shrinkage, moments[1].shrinkage),
        }

    def _learn_scales(self, source, target, weights):
        shrinkage = 0.0 if self.shrinkage in ("auto", None) else float(self.shrinkage)
        settings = {"shrinkage": shrinkage, "ridge": self.ridge, "centre": self.centre}
        source_mean, target_mean = self._find_means(source, target, weights)
        return {
            "source_mean_": source_mean,
            "target_mean_": target_mean,
            "matrix_": feature_scales(source, target, weights, **settings).astype(source.dtype),
            "basis_": None,
            "scale_": 1.0,
            "shrinkage_": (shrinkage, shrinkage),
        }

    def _orient(self, source, target):
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


class CORAL(_MomentMatcher):
    """Transform source rows to the mean and covariance of the target (correlation alignment [1]_).

    Source rows are whitened with their own covariance and re-coloured with that of the target,

        x -> (x - source_mean) Cs^(-1/2) Ct^(1/2) + target_mean,

    Target rows are left unchanged, so a head trained on the transformed source rows is applied to target rows directly.

    Parameters
    ----------
    covariance : {"full", "diagonal"}, default="full"
        "full" maps the full covariance. "diagonal" scales each feature to its variance in the target, and keeps sparse
        rows sparse.
    shrinkage : "auto", float from 0 to 1, or None, default="auto"
        Shrinkage of each covariance towards the identity times its mean variance. "auto" is the estimate of Ledoit
        and Wolf [2]_, per domain (0 for "diagonal"); None applies no shrinkage.
    ridge : float, default=0.0
        Added to all variances; the original method adds 1.
    centre : bool, default=True
        Whether means are matched as well. Otherwise both are taken to be zero.
    class_proportions : "estimate", array-like of shape (n_classes,) or None, default=None
        Proportions of the classes in the target, in the order of their sorted labels. Source rows are weighted so that
        their classes have these proportions, and `fit` requires their labels. "estimate" takes the proportions of the
        labels that :class:`JointDistributionAdaptation` predicts for the target. None assumes that the proportions are
        equal in both domains: if they are not, matching moments moves rows of one class onto those of another.
    random_state : int, RandomState instance or None, default=0
        Used only with more features than rows and more than 3,000 rows; see Notes.

    Attributes
    ----------
    matrix_ : ndarray of shape (n_features, n_features), (rank, rank) or (n_features,)
        Linear part of the map, in the coordinates of `basis_` if that is not None; for "diagonal" the scale of each
        feature.
    basis_ : ndarray of shape (n_features, rank) or None
        Orthonormal basis of the span of the centred rows; None if the map is computed in the original features.
    scale_ : float
        Scale of directions orthogonal to the basis.
    source_mean_, target_mean_ : ndarray of shape (n_features,)
        Means, zeros with ``centre=False``.
    shrinkage_ : tuple of float
        Shrinkage of the source's and of the target's covariance.
    class_proportions_ : ndarray of shape (n_classes,) or None
        Proportions of the classes to which source rows were weighted; None without weights.
    reflected_ : bool
        Always False; see :class:`LinearTransport`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LinearTransport : The optimal-transport map, one of the two best methods in the largest public benchmark [3]_.
    DomainTransferClassifier : Selects an adaptation, or none, without target labels.

    Notes
    -----
    With more features than rows, the map is computed in the span of the centred rows of both domains. Outside this span
    both covariances are multiples of the identity, so no matrix of size n_features x n_features is formed. With more
    than 3,000 rows, only the 1,000 leading directions of the span are used, and the remaining variance is spread
    equally over all other directions.

    A singular covariance is regularised by 1e-9 of its mean variance, with a warning. Shrinkage prevents singularity.

    Agrees with skada's CORAL for ``shrinkage=None`` and for a number, up to target_mean: skada centres both domains at
    zero. Its ``reg="auto"`` estimates the shrinkage after scaling features to unit variance; here features are not
    scaled, so that the method is invariant to rotations.

    References
    ----------
    .. [1] B. Sun, J. Feng, K. Saenko, "Return of frustratingly easy domain adaptation", AAAI (2016).
    .. [2] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
       Multivariate Analysis 88 (2004), 365-411.
    .. [3] Y. Lalou et al., "SKADA-Bench: benchmarking unsupervised domain adaptation methods with realistic validation
       on diverse modalities", TMLR (2025).

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import CORAL
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) * [1, 5] + 3
    >>> X, sample_domain = np.vstack([source, target]), np.repeat([1, -1], 500)
    >>> mapped = CORAL(shrinkage=None).fit_transform(X, sample_domain=sample_domain)
    >>> bool(np.allclose(np.cov(mapped[:500].T), np.cov(target.T)))
    True
    >>> bool(np.array_equal(mapped[500:], target))
    True
    """

    _parameter_constraints: dict = _CONSTRAINTS

    def __init__(
        self,
        *,
        covariance: Literal["full", "diagonal"] = "full",
        shrinkage: Literal["auto"] | float | None = "auto",
        ridge: float = 0.0,
        centre: bool = True,
        class_proportions: Literal["estimate"] | Numbers | None = None,
        random_state: Seed = 0,
    ) -> None:
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.ridge = ridge
        self.centre = centre
        self.class_proportions = class_proportions
        self.random_state = random_state

    def _make_map(self, source, target, basis):
        return coral_map(source, target, basis)


class LinearTransport(_MomentMatcher):
    """Transform source rows by the optimal transport between Gaussians (linear Monge map [1]_).

    Among all maps that give source rows the mean and covariance of the target, this one moves them the least,

        x -> (x - source_mean) A + target_mean,   A = Cs^(-1/2) (Cs^(1/2) Ct Cs^(1/2))^(1/2) Cs^(-1/2).

    Target rows are left unchanged.

    Parameters
    ----------
    covariance : {"full", "diagonal"}, default="full"
        "full" maps the full covariance. "diagonal" scales each feature to its variance in the target, and keeps sparse
        rows sparse.
    shrinkage : "auto", float from 0 to 1, or None, default="auto"
        Shrinkage of each covariance towards the identity times its mean variance. "auto" is the estimate of Ledoit
        and Wolf, per domain (0 for "diagonal"); None applies no shrinkage.
    ridge : float, default=0.0
        Added to all variances.
    centre : bool, default=True
        Whether means are matched as well. Otherwise both are taken to be zero.
    class_proportions : "estimate", array-like of shape (n_classes,) or None, default=None
        Proportions of the classes in the target, in the order of their sorted labels. Source rows are weighted so that
        their classes have these proportions, and `fit` requires their labels. "estimate" takes the proportions of the
        labels that :class:`JointDistributionAdaptation` predicts for the target. None assumes that the proportions are
        equal in both domains: if they are not, matching moments moves rows of one class onto those of another.
    reflection : {"auto"} or bool, default=False
        Whether to use -A instead of A, which gives the same mean and covariance: for images of inverted contrast, or
        signals of inverted polarity. "auto" compares the skewness of both domains, whose sign only a reflection
        changes, and reflects if the evidence exceeds 4 standard errors. Ignored for sparse rows.
    random_state : int, RandomState instance or None, default=0
        Used only with more features than rows and more than 3,000 rows; see the Notes of :class:`CORAL`.

    Attributes
    ----------
    matrix_ : ndarray of shape (n_features, n_features), (rank, rank) or (n_features,)
        Linear part of the map, in the coordinates of `basis_` if that is not None; for "diagonal" the scale of each
        feature.
    basis_ : ndarray of shape (n_features, rank) or None
        Orthonormal basis of the span of the centred rows; None if the map is computed in the original features.
    scale_ : float
        Scale of directions orthogonal to the basis.
    source_mean_, target_mean_ : ndarray of shape (n_features,)
        Means, zeros with ``centre=False``.
    shrinkage_ : tuple of float
        Shrinkage of the source's and of the target's covariance.
    class_proportions_ : ndarray of shape (n_classes,) or None
        Proportions of the classes to which source rows were weighted; None without weights.
    reflected_ : bool
        Whether the map is -A.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    CORAL : Whitening and re-colouring.
    DomainTransferClassifier : Selects an adaptation, or none, without target labels.

    Notes
    -----
    A is positive definite, so transport alone cannot undo a reflection: with inverted contrast, a classifier performs
    far below chance with and without it. Means and covariances do not determine whether A or -A is right.

    Agrees with skada's LinearOTMapping (from POT) for ``shrinkage=None`` and ``ridge=reg``; its ``bias=False`` is
    ``centre=False``. With more features than rows, see :class:`CORAL`.

    References
    ----------
    .. [1] R. Flamary, K. Lounici, A. Ferrari, "Concentration bounds for linear Monge mapping estimation and optimal
       transport domain adaptation", arXiv:1905.10155 (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import LinearTransport
    >>> source = np.random.default_rng(0).exponential(size=(1000, 2))
    >>> X, sample_domain = np.vstack([source, 10 - 2 * source]), np.repeat([1, -1], 1000)
    >>> transport = LinearTransport(shrinkage=None, reflection="auto").fit(X, sample_domain=sample_domain)
    >>> transport.reflected_
    True
    >>> transport.transform([[1.0, 2.0]], sample_domain=[1]).round(6)
    array([[8., 6.]])
    """

    _parameter_constraints: dict = {**_CONSTRAINTS, "reflection": [StrOptions({"auto"}), "boolean"]}

    def __init__(
        self,
        *,
        covariance: Literal["full", "diagonal"] = "full",
        shrinkage: Literal["auto"] | float | None = "auto",
        ridge: float = 0.0,
        centre: bool = True,
        class_proportions: Literal["estimate"] | Numbers | None = None,
        reflection: Literal["auto"] | bool = False,
        random_state: Seed = 0,
    ) -> None:
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.ridge = ridge
        self.centre = centre
        self.class_proportions = class_proportions
        self.reflection = reflection
        self.random_state = random_state

    def _make_map(self, source, target, basis):
        return monge_map(source, target, basis)

    def _orient(self, source, target):
        """Return -1 if the target is a reflection of the source, else 1."""
        if self.reflection == "auto":
            source_mean, target_mean = self._find_means(source, target)
            evidence = reflection_evidence(source - source_mean, target - target_mean)
            return -1.0 if evidence > LEAST_EVIDENCE else 1.0
        return -1.0 if self.reflection else 1.0


def _estimate_proportions(source, target, y):
    """Return the proportions of labels predicted for the target, with one row more per class so that none is zero."""
    domain = np.repeat([1, -1], [len(y), target.shape[0]])
    labels = np.concatenate([y, np.full(target.shape[0], y[0])])
    adaptation = JointDistributionAdaptation().fit(stack_rows(source, target), labels, sample_domain=domain)
    counts = np.array([1 + np.count_nonzero(adaptation.pseudo_labels_ == label) for label in adaptation.classes_])
    return counts / counts.sum()


def _check_proportions(estimator, n_classes):
    try:
        proportions = np.asarray(estimator.class_proportions, dtype=np.float64)
    except (TypeError, ValueError):
        proportions = np.empty(0)
    is_valid = proportions.shape == (n_classes,) and (proportions >= 0).all()
    if not is_valid or abs(proportions.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"The 'class_proportions' parameter of {type(estimator).__name__} must hold one number of at least 0 for "
            f"each of the {n_classes} classes of the source, in the order of their sorted labels, and they must sum to "
            f"one. Got {estimator.class_proportions!r} instead."
        )
    return proportions / proportions.sum()


def _warn_singular(estimator, domain, X):
    advice = "" if estimator.shrinkage == "auto" else " shrinkage='auto' is a better estimate."
    warnings.warn(
        f"The covariance of the {domain} rows is singular ({X.shape[0]} rows, {X.shape[1]} features), so 1e-9 "
        f"of the mean variance was added to all variances.{advice}",
        UserWarning,
        stacklevel=count_inner_frames(),
    )
