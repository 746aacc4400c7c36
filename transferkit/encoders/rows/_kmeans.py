"""Clusters as features: k-means."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.rows.clusters import activate, check_squares, squared_distances
from transferkit._algorithms.rows.patches import PatchGrid, Preparation, pool_quadrants
from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._types import Seed
from transferkit._validation import (
    FLOATS,
    Interval,
    StrOptions,
    check_can_merge,
    check_is_fitted,
    check_row_width,
    check_sizes,
    fit_context,
    forget_shards,
    is_fitted,
    to_numpy,
    validate_data,
)
from transferkit.encoders._pretraining import PretrainableMixin, warns_of_lost_pretraining
from transferkit.encoders.rows._passes import MomentsPass, check_n_clusters

__all__ = ["KMeansEncoder"]

_BLOCK_ENTRIES = 1 << 23  # distances that transform holds at a time


class KMeansEncoder(
    PretrainableMixin, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator
):
    """Encode samples by their distances to clusters of unlabelled samples.

    Parameters
    ----------
    n_clusters : int, default=256
        Number of clusters.
    activation : {"triangle", "distance", "soft", "onehot"}, default="triangle"
        Features of a sample [1]_. "triangle": for each cluster the mean distance less the distance to it, or zero if
        that is negative. "distance": the distances. "soft": proportional to exp(-d^2 / (2 s)) with sum one, where s is
        the mean squared distance of the training samples to their centres. "onehot": one for the nearest cluster (a CSR
        matrix).
    init : {"k-means++", "random"}, default="k-means++"
        How seeds are drawn, from a subset of 120 samples per cluster.
    n_init : int, default=1
        Number of initialisations; the best after five iterations on the subset continues on all samples. With few
        clusters, several are worth their time.
    max_iter : int, default=100
        Maximum number of iterations over all samples.
    tol : float, default=1e-4
        Iterations end when the centres move by less than this share of the mean variance of the features.
    batch_size : int, default=16384
        Maximum number of samples per matrix product. On a CPU it is smaller with many clusters, so that the product
        stays in cache.
    whiten : bool, default=False
        Whether samples (or patches) are centred and decorrelated first (ZCA, with a tenth of the mean variance added).
        Dense samples only.
    patches : tuple (size, stride) or None, default=None
        Fit a codebook of square patches of images, `size` pixels wide and `stride` apart, normalised to equal contrast;
        the activations of an image's patches are pooled over its four quadrants [1]_. Needs `image_shape`.
    pooling : {"root", "sum"}, default="root"
        With `patches`: the sum of the activations in a quadrant, or its square root, which reduces the weight of
        patches that are repeated over much of an image [3]_.
    image_shape : tuple (height, width) or (height, width, n_channels) or None, default=None
        Shape of the image of which a sample holds the pixels.
    device : str, default="auto"
        Where `fit` computes: "auto" (CUDA if there is one), "cpu", "cuda". `transform` uses NumPy.
    random_state : int, RandomState instance or None, default=0
        Draws the subset and the seeds. The default gives the same encoder each time.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres of samples or of patches, after whitening if that is used. Those of dense samples are float64, since
        they may lie far from zero; those of sparse samples are float32.
    counts_ : ndarray of shape (n_clusters,)
        Number of training samples nearest to each centre.
    inertia_ : float
        Sum of squared distances of the training samples to their centres; after `partial_fit` and `merge`, to the
        centres at the time of each batch.
    n_iter_ : int
        Number of iterations, or of batches.
    contrast_floor_ : float or None
        Added to the variance of a patch when its contrast is normalised; None without `patches`.
    whitening_mean_ : ndarray of shape (n_features,) or None
        Mean that is subtracted first; None without `whiten`.
    whitening_matrix_ : ndarray of shape (n_features, n_features) or None
        Matrix by which centred samples, or patches, are multiplied; None without `whiten`.
    n_features_in_ : int
        Number of features of the samples.
    n_shards_ : int
        Number of shards that it was fitted to, after :func:`transferkit.distributed.fit_sharded` only.
    skipped_shards_ : list of str
        Names of the shards that were left out.

    See Also
    --------
    sklearn.cluster.MiniBatchKMeans : Clusters without activations, on the CPU.

    Notes
    -----
    Samples of unit length, such as those of :class:`TfidfEncoder`, are clustered by cosine similarity: their squared
    distances are 2 - 2 cos. CSR matrices stay sparse; the centres are dense.

    Dense samples are centred before they are converted to float32, so that their position costs no digits. Where
    clusters are smaller than a hundredth of the distances between them, everything is computed in float64. Features are
    not scaled: one of a larger scale than the others dominates the clusters, so scale features first.

    `fit` is Lloyd's algorithm on all samples; `partial_fit` moves each centre to the mean of all samples assigned to it
    so far [2]_, and `merge` clusters the centres of both encoders, weighted by their counts.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each iteration of `fit` over all samples
    is a task, and the iterations end if a callback requests it.

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
        n_clusters: int = 256,
        *,
        activation: Literal["triangle", "distance", "soft", "onehot"] = "triangle",
        init: Literal["k-means++", "random"] = "k-means++",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-4,
        batch_size: int = 16384,
        whiten: bool = False,
        patches: Sequence[int] | None = None,
        pooling: Literal["root", "sum"] = "root",
        image_shape: Sequence[int] | None = None,
        device: str = "auto",
        random_state: Seed = 0,
    ) -> None:
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
    @warns_of_lost_pretraining
    def fit(self, X, y=None) -> Self:
        """Find the clusters of unlabelled samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : KMeansEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If there are fewer samples (or patches) than clusters, or `image_shape` does not match the number of
            features.
        """
        progress = FitProgress(self, step_name="iteration")
        X = self.check_samples(X, reset=True)
        progress.begin(X, y)
        random = check_random_state(self.random_state)
        grid = self._grid()
        preparation = Preparation()
        if grid is not None or self.whiten:
            sample = X if grid is None else grid.sample(X, np.random.RandomState(0))
            preparation = Preparation.fit(sample, contrast=grid is not None, whiten=self.whiten)
        samples = preparation.apply(X if grid is None else grid.sample(X, random))
        found = self._cluster(samples, random, progress)
        self.set_clusters(found, preparation)
        forget_shards(self)
        progress.end({})
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None) -> Self:
        """Update the clusters with more samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A batch of samples; the first one needs at least `n_clusters`.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : KMeansEncoder
            The encoder. Whitening is fitted to the first batch.
        """
        from transferkit._training.clustering.kmeans import update_clusters

        if not is_fitted(self):
            return self.fit(X)
        X = self.check_samples(X, reset=False)
        grid, preparation = self._grid(), self._preparation()
        samples = preparation.apply(X if grid is None else grid.sample(X, check_random_state(self.random_state)))
        self.set_clusters(update_clusters(samples, self._clusters(), self.batch_size, self.device), preparation)
        return self

    def merge(self, other) -> Self:
        """Merge the clusters of another encoder into these.

        Parameters
        ----------
        other : KMeansEncoder
            A fitted encoder of samples with the same features; it is not changed.

        Returns
        -------
        self : KMeansEncoder
            The encoder, with as many clusters as before.

        Raises
        ------
        ValueError
            If parameters, numbers of features or the whitening differ; the message lists which.
        TypeError
            If `other` is not a KMeansEncoder.
        """
        from transferkit._training.clustering.kmeans import merge_clusters

        prepared_by = ("contrast_floor_", "whitening_mean_", "whitening_matrix_")
        check_can_merge(self, other, ("n_clusters", "whiten", "patches", "image_shape", "n_features_in_", *prepared_by))
        self.set_clusters(merge_clusters(self._clusters(), other._clusters()), self._preparation())
        return self

    def transform(self, X) -> np.ndarray:
        """Return the activations of the clusters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        activations : ndarray of shape (n_samples, n_features_out), float32
            One column per cluster, or with `patches` per quadrant and cluster; for ``activation="onehot"`` without
            patches a CSR matrix.
        """
        check_is_fitted(self)
        X = self.check_samples(X, reset=False)
        n_patches = 1 if self.patches is None else np.prod(self._grid().shape)
        step = max(int(_BLOCK_ENTRIES // (n_patches * len(self.cluster_centers_))), 1)
        blocks = [self._activate(X[begin : begin + step]) for begin in range(0, X.shape[0], step)]
        return sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)

    @fit_context(prefer_skip_nested_validation=True)
    def first_pass(self, keep_statistics=False):
        """Return the first pass of a fit to samples in shards.

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

    def check_samples(self, X, reset=False):
        """Return samples as a validated array.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        reset : bool, default=False
            Whether to set the number of features, instead of comparing with it, and to check the parameters.

        Returns
        -------
        X : ndarray or CSR matrix of shape (n_samples, n_features)
            Samples of float32 or float64.
        """
        if reset:
            self._check_parameters()
        accept = False if self.patches is not None or self.whiten else "csr"
        dtype = np.float32 if sp.issparse(X) else FLOATS  # dense samples are converted to float32 once they are centred
        X = validate_data(self, to_numpy(X), accept_sparse=accept, dtype=dtype, order="C", reset=reset)
        if self.patches is not None:
            self._check_grid(X.shape[1])
        return X

    def set_clusters(self, found, preparation):
        """Set the fitted attributes to these clusters.

        Parameters
        ----------
        found : Clusters
            Centres, counts, inertia and number of iterations.
        preparation : Preparation
            Normalisation and whitening of the samples that were clustered.

        Returns
        -------
        self : KMeansEncoder
            The fitted encoder.
        """
        self.contrast_floor_, self.whitening_mean_, self.whitening_matrix_ = preparation
        self.cluster_centers_, self.counts_ = found.centres, found.counts
        self.inertia_, self.n_iter_ = found.inertia, found.n_iter
        return self

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

    def _check_parameters(self):
        check_sizes(self, "patches", (2,))
        check_sizes(self, "image_shape", (2, 3))
        if self.patches is not None and self.image_shape is None:
            raise ValueError("KMeansEncoder with 'patches' needs 'image_shape', such as (8, 8). Got None instead.")

    def _check_grid(self, width):
        """Raise ValueError unless samples of this width are images that are large enough for two by two patches."""
        grid = self._grid()
        check_row_width("image_shape", self.image_shape, width)
        if grid.size > min(self.image_shape[:2]):
            raise ValueError(f"Patches of {grid.size} pixels do not fit into images of {self.image_shape!r}.")
        if min(grid.shape) < 2:
            raise ValueError(
                f"patches={(grid.size, grid.stride)!r} gives a grid of {grid.shape} patches: four quadrants need at "
                "least 2 x 2. Use smaller patches or a smaller stride."
            )

    def _grid(self):
        return None if self.patches is None else PatchGrid(*self.patches, self.image_shape)

    def _cluster(self, samples, random, progress):
        from transferkit._training.clustering.kmeans import find_clusters

        check_n_clusters(self.n_clusters, samples.shape[0], "samples" if self.patches is None else "patches")
        check_squares(samples, "KMeansEncoder")
        return find_clusters(
            samples,
            self.n_clusters,
            init=self.init,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            batch_size=self.batch_size,
            device=self.device,
            seed=int(random.randint(2**31 - 1)),
            on_iteration=progress.step,
        )

    def _clusters(self):
        from transferkit._training.clustering.kmeans import Clusters

        return Clusters(self.cluster_centers_, self.counts_, self.inertia_, self.n_iter_)

    def _preparation(self):
        return Preparation(self.contrast_floor_, self.whitening_mean_, self.whitening_matrix_)

    def _activate(self, X):
        scale = float(self.inertia_ / max(self.counts_.sum(), 1e-300))
        grid = self._grid()
        samples = self._preparation().apply(X if grid is None else grid.cut(X))
        found = activate(squared_distances(samples, self.cluster_centers_), self.activation, scale).astype(np.float32)
        if grid is None:
            return found
        found = found.toarray() if sp.issparse(found) else found
        pooled = pool_quadrants(found.reshape(len(X), *grid.shape, -1))
        return np.sqrt(pooled) if self.pooling == "root" else pooled
