"""CORAL: correlation alignment of the source to the target."""

from transferkit._algorithms.domains.alignment import coral_map
from transferkit.adaptation._moment_matching import MOMENT_CONSTRAINTS, MomentMatcher

__all__ = ["CORAL"]


class CORAL(MomentMatcher):
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

    _parameter_constraints: dict = MOMENT_CONSTRAINTS

    def __init__(self, *, covariance="full", shrinkage="auto", ridge=0.0, centre=True, random_state=0):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.ridge = ridge
        self.centre = centre
        self.random_state = random_state

    def _make_map(self, source, target, basis):
        return coral_map(source, target, basis)
