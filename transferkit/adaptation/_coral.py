"""Correlation alignment: source rows with the covariance of the target."""

from transferkit._algorithms.domains.alignment import coral_map
from transferkit.adaptation._moment_matching import MOMENT_CONSTRAINTS, MomentMatcher


class CORAL(MomentMatcher):
    """Give source rows the mean and the covariance of the target (correlation alignment [1]_).

    Source rows are whitened with their own covariance and coloured with that of the target,

        x -> (x - source_mean) Cs^(-1/2) Ct^(1/2) + target_mean,

    and a head that is trained on them meets target rows as they are: what is served needs no adaptation any more.

    Parameters
    ----------
    covariance : {"full", "diagonal"}, default="full"
        "diagonal" only scales each feature to its variance in the target, and keeps sparse rows sparse.
    shrinkage : "auto", float from 0 to 1, or None, default="auto"
        Share of the covariance that is replaced by the mean variance in every direction. "auto" is the estimate of
        Ledoit and Wolf [2]_ for each domain ("diagonal" takes it for 0); None leaves covariances as they are.
    ridge : float, default=0.0
        Added to all variances; the original method adds 1.
    centre : bool, default=True
        Whether means are matched, too. Otherwise both count as zero.
    random_state : int, RandomState instance or None, default=0
        For more features than rows, and more than 3,000 rows; see Notes.

    Attributes
    ----------
    matrix_ : ndarray of shape (n_features, n_features), (rank, rank) or (n_features,)
        The map, in the coordinates of `basis_` if there is one; with "diagonal" the scale of each feature.
    basis_ : ndarray of shape (n_features, rank) or None
        Orthonormal columns.
    scale_ : float
        Factor of directions outside of the basis.
    source_mean_, target_mean_ : ndarray of shape (n_features,)
        Means, zeros with ``centre=False``.
    shrinkage_ : tuple of float
        Shrinkage of the source's and of the target's covariance.
    reflected_ : bool
        False; see :class:`LinearTransport`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LinearTransport : The map that moves rows the least; in the largest public comparison one of the two best [3]_.
    DomainTransferClassifier : Finds out whether an adaptation helps.

    Notes
    -----
    With more features than rows the map is worked out in the span of the centred rows of both domains, and outside of
    it both covariances are multiples of the identity, so that no matrix of all pairs of features is made. Of more than
    3,000 rows the 1,000 leading directions are used, and the rest counts as equal in all other directions.

    A singular covariance is regularised by a billionth of its mean variance, with a warning; it cannot be singular with
    shrinkage.

    skada's CORAL agrees with ``shrinkage=None`` and with a number, up to target_mean: there both domains end centred
    at zero. Its ``reg="auto"`` estimates the shrinkage on features of unit variance; ours takes them as they are,
    which keeps the method invariant to rotations.

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
