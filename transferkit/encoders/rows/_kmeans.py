"""Clusters as features."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.rows.cluster_activations import activate, check_squares, squared_distances
from transferkit._algorithms.rows.patches import pool_quadrants
from transferkit._validation import (
    FLOATS,
    Interval,
    StrOptions,
    check_can_merge,
    check_is_fitted,
    check_sizes,
    fit_context,
    forget_shards,
    is_fitted,
    to_numpy,
    validate_data,
)
from transferkit._versioning import VersionedEstimator
from transferkit.encoders.rows._passes import MomentsPass
from transferkit.encoders.rows._preparation import PatchGrid, Preparation

_BLOCK_ENTRIES = 1 << 23  # of the distances that transform holds at a time


class KMeansEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator):
    """Encode rows by how near they are to clusters of unlabelled rows.

    Parameters
    ----------
    n_clusters : int, default=256
        Number of clusters.
    activation : {"triangle", "distance", "soft", "onehot"}, default="triangle"
        What a row becomes [1]_. "triangle": for each cluster how much nearer than the mean distance it is, or zero.
        "distance": the distances. "soft": shares that add up to one, exp(-d^2 / (2 s)) with s the mean squared distance
        of the training rows to their centre. "onehot": a one for the nearest cluster (a CSR matrix).
    init : {"k-means++", "random"}, default="k-means++"
        How seeds are drawn, on a sample of 120 rows for each cluster.
    n_init : int, default=1
        Times that is tried; the best, after five steps on the sample, goes on with all rows. With few clusters a few
        tries are worth their time.
    max_iter : int, default=100
        Most passes over all rows.
    tol : float, default=1e-4
        Ends the passes when the centres move by less than this share of the mean variance of the features.
    batch_size : int, default=16384
        Rows that a matrix product takes at a time.
    whiten : bool, default=False
        Whether rows (or patches) are centred and decorrelated first (ZCA, with a tenth of the mean variance added).
        Dense rows only.
    patches : tuple (size, stride) or None, default=None
        Learn a codebook of square patches of images, `size` pixels wide and `stride` apart, brought to equal contrast;
        the activations of an image's patches are pooled over its four quadrants [1]_. Needs `image_shape`.
    pooling : {"root", "sum"}, default="root"
        With `patches`: the sum of the activations in a quadrant, or its square root, which keeps a patch that fills
        half an image from outweighing all others [3]_.
    image_shape : tuple (height, width) or (height, width, n_channels) or None, default=None
        Shape of the image that a row holds.
    device : str, default="auto"
        Where `fit` computes: "auto" (CUDA if there is one), "cpu", "cuda". `transform` uses NumPy.
    random_state : int, RandomState instance or None, default=0
        Draws samples and seeds. The default gives the same encoder each time.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres, of rows or of patches, after whitening if asked for. Those of dense rows are float64, which may lie far
        from zero; those of sparse rows float32.
    counts_ : ndarray of shape (n_clusters,)
        Number of training rows nearest to each.
    inertia_ : float
        Sum of squared distances of the training rows to their centres; after `partial_fit` and `merge`, as it was when
        the rows came.
    n_iter_ : int
        Passes over the rows, or batches.
    contrast_floor_ : float or None
        Added to the variance of a patch before it is brought to equal contrast; None without `patches`.
    whitening_mean_ : ndarray of shape (n_features,) or None
        Mean that is subtracted first; None without `whiten`.
    whitening_matrix_ : ndarray of shape (n_features, n_features) or None
        What centred rows, or patches, are multiplied by; None without `whiten`.
    n_features_in_ : int
        Width of the rows.
    n_shards_ : int
        Number of shards learned from, after :func:`transferkit.distributed.fit_sharded` only.
    skipped_shards_ : list of str
        Names of the shards that it left out.

    See Also
    --------
    sklearn.cluster.MiniBatchKMeans : Clusters without activations, on the CPU.

    Notes
    -----
    Rows of unit length, such as those of :class:`TfidfEncoder`, are clustered by cosine: their squared distances are
    2 - 2 cos. CSR rows stay sparse; the centres are dense.

    Dense rows are moved to their mean before they become float32, so that where they lie costs no digits. Where
    clusters are smaller than a hundredth of their distances, all is computed in float64. Features are taken as they
    are: one of a larger scale than the others decides the clusters alone, so bring them to one scale first.

    `fit` is Lloyd's algorithm on all rows; `partial_fit` moves each centre to the mean of all rows it has won [2]_, and
    `merge` clusters the centres of both encoders, weighted by their rows.

    References
    ----------
    .. [1] A. Coates, A. Ng (2012). Learning feature representations with k-means. Neural Networks: Tricks of the Trade.
    .. [2] D. Sculley (2010). Web-scale k-means clustering. WWW.
    .. [3] F. Perronnin, J. Sanchez, T. Mensink (2010). Improving the Fisher kernel for large-scale image
       classification. ECCV.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import KMeansEncoder
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]])
    >>> encoder = KMeansEncoder(2, activation="onehot").fit(X)
    >>> rows = encoder.transform(X).toarray()
    >>> bool((rows[0] == rows[1]).all() and (rows[0] != rows[2]).any())
    True
    """

    fitted_attributes = (
        "cluster_centers_",
        "contrast_floor_",
        "counts_",
        "inertia_",
        "n_iter_",
        "whitening_matrix_",
        "whitening_mean_",
    )

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"triangle", "distance", "soft", "onehot"})],
        "init": [StrOptions({"k-means++", "random"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "whiten": ["boolean"],
        "patches": [tuple, list, None],
        "pooling": [StrOptions({"root", "sum"})],
        "image_shape": [tuple, list, None],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters=256,
        *,
        activation="triangle",
        init="k-means++",
        n_init=1,
        max_iter=100,
        tol=1e-4,
        batch_size=16384,
        whiten=False,
        patches=None,
        pooling="root",
        image_shape=None,
        device="auto",
        random_state=0,
    ):
        self.n_clusters = n_clusters
        self.activation = activation
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.whiten = whiten
        self.patches = patches
        self.pooling = pooling
        self.image_shape = image_shape
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find the clusters of unlabelled rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : KMeansEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If there are fewer rows (or patches) than clusters, or `image_shape` does not multiply to the width.
        """
        X = self._validate(X, reset=True)
        random = check_random_state(self.random_state)
        grid = self._grid()
        preparation = Preparation()
        if grid is not None or self.whiten:
            sample = X if grid is None else grid.sample(X, np.random.RandomState(0))
            preparation = Preparation.learn(sample, contrast=grid is not None, whiten=self.whiten)
        rows = preparation.apply(X if grid is None else grid.sample(X, random))
        found = self._cluster(rows, random)
        self._store(found, preparation)
        forget_shards(self)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Move the clusters towards more rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A batch of rows; the first one needs at least `n_clusters`.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : KMeansEncoder
            The encoder. How rows are whitened is learned from the first batch.
        """
        from transferkit._training.clustering.kmeans import update_clusters

        if not is_fitted(self):
            return self.fit(X)
        X = self._validate(X, reset=False)
        grid, preparation = self._grid(), self._preparation()
        rows = preparation.apply(X if grid is None else grid.sample(X, check_random_state(self.random_state)))
        self._store(update_clusters(rows, self._clusters(), self.batch_size, self.device), preparation)
        return self

    def merge(self, other):
        """Take over the clusters of another encoder.

        Parameters
        ----------
        other : KMeansEncoder
            A fitted encoder of rows of the same width; it stays as it is.

        Returns
        -------
        self : KMeansEncoder
            The encoder, with as many clusters as before.

        Raises
        ------
        ValueError
            If parameters, widths or the whitening differ; what does is listed.
        TypeError
            If `other` is no KMeansEncoder.
        """
        from transferkit._training.clustering.kmeans import merge_clusters

        prepared_by = ("contrast_floor_", "whitening_mean_", "whitening_matrix_")
        check_can_merge(self, other, ("n_clusters", "whiten", "patches", "image_shape", "n_features_in_", *prepared_by))
        self._store(merge_clusters(self._clusters(), other._clusters()), self._preparation())
        return self

    def transform(self, X):
        """Return the activations of the clusters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        activations : ndarray of shape (n_samples, n_features_out), float32
            One column a cluster, or with `patches` one a cluster and quadrant; for ``activation="onehot"`` without
            patches a CSR matrix.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        n_patches = 1 if self.patches is None else np.prod(self._grid().shape)
        step = max(int(_BLOCK_ENTRIES // (n_patches * len(self.cluster_centers_))), 1)
        blocks = [self._activate(X[begin : begin + step]) for begin in range(0, X.shape[0], step)]
        return sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)

    @fit_context(prefer_skip_nested_validation=True)
    def first_pass(self, keep_statistics=False):
        """Return the first pass of a fit to rows in shards.

        Parameters
        ----------
        keep_statistics : bool, default=False
            Has no effect: centres and counts are all that `partial_fit` and `merge` need.

        Returns
        -------
        first : ShardPass
            What :func:`transferkit.distributed.fit_sharded` runs.

        Raises
        ------
        ValueError
            If `patches` are given: a codebook is fitted to a sample of the images.
        """
        if self.patches is not None:
            raise ValueError(
                "KMeansEncoder with 'patches' fits its codebook to at most 200,000 patches, so sharding gains nothing: "
                "call fit with some of the images."
            )
        self._check_parameters()
        return MomentsPass(self)

    def _validate(self, X, reset):
        if reset:
            self._check_parameters()
        accept = False if self.patches is not None or self.whiten else "csr"
        dtype = np.float32 if sp.issparse(X) else FLOATS  # dense rows become float32 when they are near zero
        X = validate_data(self, to_numpy(X), accept_sparse=accept, dtype=dtype, order="C", reset=reset)
        if self.patches is not None:
            self._grid().check(X.shape[1])
        return X

    def _check_parameters(self):
        check_sizes(self, "patches", (2,))
        check_sizes(self, "image_shape", (2, 3))
        if self.patches is not None and self.image_shape is None:
            raise ValueError("KMeansEncoder with 'patches' needs 'image_shape', such as (8, 8). Got None instead.")

    def _grid(self):
        return None if self.patches is None else PatchGrid(*self.patches, self.image_shape)

    def _cluster(self, rows, random):
        from transferkit._training.clustering.kmeans import find_clusters

        self._check_number(rows.shape[0], "rows" if self.patches is None else "patches")
        check_squares(rows, "KMeansEncoder")
        return find_clusters(
            rows,
            self.n_clusters,
            init=self.init,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            batch_size=self.batch_size,
            device=self.device,
            seed=int(random.randint(2**31 - 1)),
        )

    def _check_number(self, n_rows, what):
        if n_rows < self.n_clusters:
            raise ValueError(
                f"n_clusters={self.n_clusters} needs at least as many {what}. Got n_samples={n_rows}: give more rows "
                "or a smaller n_clusters."
            )

    def _clusters(self):
        from transferkit._training.clustering.kmeans import Clusters

        return Clusters(self.cluster_centers_, self.counts_, self.inertia_, self.n_iter_)

    def _preparation(self):
        return Preparation(self.contrast_floor_, self.whitening_mean_, self.whitening_matrix_)

    def _store(self, found, preparation):
        self.contrast_floor_, self.whitening_mean_, self.whitening_matrix_ = preparation
        self.cluster_centers_, self.counts_ = found.centres, found.counts
        self.inertia_, self.n_iter_ = found.inertia, found.n_iter

    def _activate(self, X):
        scale = float(self.inertia_ / max(self.counts_.sum(), 1e-300))
        grid = self._grid()
        rows = self._preparation().apply(X if grid is None else grid.cut(X))
        found = activate(squared_distances(rows, self.cluster_centers_), self.activation, scale).astype(np.float32)
        if grid is None:
            return found
        found = found.toarray() if sp.issparse(found) else found
        pooled = pool_quadrants(found.reshape(len(X), *grid.shape, -1))
        return np.sqrt(pooled) if self.pooling == "root" else pooled

    @property
    def _n_features_out(self):
        return len(self.cluster_centers_) * (1 if self.patches is None else 4)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "cluster_centers_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.patches is None and not self.whiten
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
