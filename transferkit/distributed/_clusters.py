"""k-means over shards: a sample for the seeds, then one pass over all shards for each step."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from transferkit.distributed._runners import Step, used_shards
from transferkit.encoders.rows._preparation import Preparation


class Moments(NamedTuple):
    """Mean of rows and sums over rows less their mean, in float64, and how many rows each shard has.

    Sums over rows as they are would keep nothing of variances where rows lie far from zero [1]_.

    References
    ----------
    .. [1] T. Chan, G. Golub, R. LeVeque (1983). Algorithms for computing the sample variance: analysis and
       recommendations. The American Statistician 37.
    """

    n_rows: dict  # shard number -> rows
    mean: np.ndarray
    squares: float
    products: np.ndarray | None  # where rows are whitened

    @property
    def total(self):
        """Rows of all shards."""
        return sum(self.n_rows.values())

    def merge(self, other):
        """Return the moments of the rows of both."""
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"Shards differ in their numbers of features: {len(self.mean)} and {len(other.mean)}.")
        apart, total = other.mean - self.mean, self.total + other.total
        weight = self.total * other.total / total
        products = None
        if self.products is not None:
            products = self.products + other.products + weight * np.outer(apart, apart)
        return Moments(
            {**self.n_rows, **other.n_rows},
            self.mean + apart * (other.total / total),
            self.squares + other.squares + weight * float(apart @ apart),
            products,
        )


class Plan(NamedTuple):
    """What is known before the first pass over all rows."""

    preparation: Preparation
    limit: float  # of the squared steps of the centres, below which they rest
    first_row: dict  # shard number -> number of its first row
    sample: np.ndarray  # numbers of the rows among which seeds are sought
    n_features: int
    seed: int


class Clustering(NamedTuple):
    """The centres so far, and how far they moved last."""

    centres: np.ndarray
    step: float


def fit_kmeans(encoder, shards, runner, skips):
    """Return the fitted encoder, as the runner holds it, and the shards that were used.

    Lloyd's algorithm as in :meth:`transferkit.KMeansEncoder.fit`: the same sample, seeds and steps.
    """
    if encoder.patches is not None:
        raise ValueError(
            "KMeansEncoder with 'patches' learns its codebook from at most 200,000 patches, so there is nothing to "
            "share out: fit it on some of the images."
        )
    encoder._check_parameters()
    moments = runner.reduce(Step(_sum_moments, Moments.merge, skips), shards, encoder)
    used = used_shards(runner, moments, shards)
    plan = runner.call(_make_plan, encoder, moments)
    sample = runner.reduce(Step(_take_sample, _join_samples), used, plan)
    state = runner.call(_start, encoder, plan, sample)
    assign = Step(_assign, _add)
    found, n_iter = runner.reduce(assign, used, encoder, plan, state), 0
    for n_iter in range(1, encoder.max_iter + 1):  # noqa: B007
        state = runner.call(_move, state, found)
        found = runner.reduce(assign, used, encoder, plan, state)
        if runner.fetch(runner.call(_has_settled, state, plan)):
            break
    return moments, runner.call(_finish, encoder, plan, state, found, n_iter)


def _sum_moments(rows, shard, encoder):
    rows = encoder._validate(rows, reset=True)
    exact = rows.astype(np.float64)
    mean = np.asarray(exact.mean(axis=0)).ravel()
    if sp.issparse(exact):
        squares = float(np.square(exact.data).sum() - exact.shape[0] * (mean @ mean))
        return Moments({shard.number: exact.shape[0]}, mean, squares, None)
    exact -= mean
    products = exact.T @ exact if encoder.whiten else None
    return Moments({shard.number: len(exact)}, mean, float(np.square(exact).sum()), products)


def _make_plan(encoder, partial):
    from transferkit._training.clustering.kmeans import choose_sample

    moments = partial.statistics
    n_rows = 0 if moments is None else moments.total
    if n_rows < encoder.n_clusters:
        raise ValueError(
            f"n_clusters={encoder.n_clusters} needs at least as many rows. Got n_samples={n_rows}: give more rows or a "
            "smaller n_clusters."
        )
    preparation = Preparation()
    variance = moments.squares / n_rows
    if encoder.whiten:
        covariance = moments.products / n_rows
        preparation = Preparation.from_covariance(moments.mean, covariance)
        variance = np.trace(preparation.whitening_matrix @ covariance @ preparation.whitening_matrix)
    numbers = sorted(moments.n_rows)
    begins = np.cumsum([0, *(moments.n_rows[number] for number in numbers)]).tolist()
    first_row = dict(zip(numbers, begins[:-1], strict=True))
    seed = int(check_random_state(encoder.random_state).randint(2**31 - 1))
    sample = choose_sample(n_rows, encoder.n_clusters, seed)
    n_features = len(moments.mean)
    return Plan(preparation, encoder.tol * variance / n_features, first_row, sample, n_features, seed)


def _take_sample(rows, shard, plan):
    """Return the rows of the shard that are in the sample, and their places there."""
    begin = plan.first_row[shard.number]
    places = np.flatnonzero((plan.sample >= begin) & (plan.sample < begin + rows.shape[0]))
    chosen = plan.sample[places] - begin
    rows = rows.tocsr() if sp.issparse(rows) else np.asarray(rows)
    return places, rows[chosen]


def _join_samples(a, b):
    stack = sp.vstack if sp.issparse(a[1]) else np.concatenate
    return np.concatenate([a[0], b[0]]), stack([a[1], b[1]])


def _start(encoder, plan, partial):
    from transferkit._training.clustering.kmeans import start_centres

    places, rows = partial.statistics
    if sp.issparse(rows):
        rows = rows.tocsr()
    rows = encoder._validate(rows[np.argsort(places)], reset=True)
    centres = start_centres(
        plan.preparation.apply(rows),
        partial.n_documents,
        encoder.n_clusters,
        init=encoder.init,
        n_init=encoder.n_init,
        limit=plan.limit,
        batch_size=encoder.batch_size,
        device=encoder.device,
        seed=plan.seed,
    )
    return Clustering(centres, np.inf)


def _assign(rows, shard, encoder, plan, state):
    from transferkit._training.clustering.kmeans import sum_clusters

    rows = plan.preparation.apply(encoder._validate(rows, reset=True))
    return sum_clusters(rows, state.centres, encoder.batch_size, encoder.device)


def _add(a, b):
    from transferkit._training.clustering.kmeans import add_sums

    return add_sums(a, b)


def _move(state, partial):
    from transferkit._training.clustering.kmeans import move_centres

    return Clustering(*move_centres(state.centres, partial.statistics))


def _has_settled(state, plan):
    return state.step <= plan.limit


def _finish(encoder, plan, state, partial, n_iter):
    from transferkit._training.clustering.kmeans import Clusters

    sums = partial.statistics
    if int(sums.counts.sum()) != partial.n_documents:
        raise RuntimeError("rows were lost between two passes over the shards")
    encoder._store(Clusters(state.centres, sums.counts, sums.inertia, n_iter), plan.preparation)
    encoder.n_features_in_ = plan.n_features
    return encoder
