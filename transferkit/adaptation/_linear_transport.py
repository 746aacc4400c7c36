"""Linear optimal transport: the Monge map between Gaussians, optionally with a reflection."""

from transferkit._algorithms.domains.alignment import monge_map, reflection_evidence
from transferkit._validation import StrOptions
from transferkit.adaptation._moment_matching import MOMENT_CONSTRAINTS, MomentMatcher

__all__ = ["LinearTransport"]

LEAST_EVIDENCE = 4.0  # for a reflection, in standard errors


class LinearTransport(MomentMatcher):
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

    _parameter_constraints: dict = {**MOMENT_CONSTRAINTS, "reflection": [StrOptions({"auto"}), "boolean"]}

    def __init__(
        self, *, covariance="full", shrinkage="auto", ridge=0.0, centre=True, reflection=False, random_state=0
    ):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.ridge = ridge
        self.centre = centre
        self.reflection = reflection
        self.random_state = random_state

    def _make_map(self, source, target, basis):
        return monge_map(source, target, basis)

    def _orient(self, source, target, source_mean, target_mean):
        """Return -1 if the target is a reflection of the source, else 1."""
        if self.reflection == "auto":
            evidence = reflection_evidence(source - source_mean, target - target_mean)
            return -1.0 if evidence > LEAST_EVIDENCE else 1.0
        return -1.0 if self.reflection else 1.0
