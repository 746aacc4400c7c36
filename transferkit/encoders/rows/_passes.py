"""k-means by passes over a data set in shards: moments, a sample for the seeds, then one pass per Lloyd iteration.

Samples, seeds and iterations are those of :meth:`transferkit.KMeansEncoder.fit`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.moments import PartialMoments
from transferkit._algorithms.rows.patches import Preparation

__all__ = ["MomentsPass", "check_n_clusters"]


@dataclass(frozen=True)
class MomentsPass:
    """Computes the number of rows of each shard, and the moments of all rows."""

    encoder: Any  # KMeansEncoder, not fitted

    def add(self, total, X, shard_number):
        """Return the sizes of the shards and the moments of their rows, with those of one more shard."""
        moments = PartialMoments.of(self.encoder.check_samples(X, reset=True), self.encoder.whiten)
        found = {shard_number: moments.n_rows}, moments
        return found if total is None else self.merge(total, found)

    def merge(self, left, right):
        """Return the sizes and moments of both."""
        return {**left[0], **right[0]}, left[1].merge(right[1])

    def finish(self, total):
        """Return the pass that draws the sample among which seeds are chosen."""
        from transferkit._training.clustering.kmeans import choose_sample

        encoder, (sizes, moments) = self.encoder, total
        check_n_clusters(encoder.n_clusters, moments.n_rows, "samples")
        preparation, variance = Preparation(), moments.squares / moments.n_rows
        if encoder.whiten:
            covariance = moments.products / moments.n_rows
            preparation = Preparation.from_covariance(moments.mean, covariance)
            variance = np.trace(preparation.whitening_matrix @ covariance @ preparation.whitening_matrix)
        numbers = sorted(sizes)
        ends = np.cumsum([sizes[number] for number in numbers]).tolist()
        first_rows = {number: end - sizes[number] for number, end in zip(numbers, ends, strict=True)}
        seed = int(check_random_state(encoder.random_state).randint(2**31 - 1))
        return _SamplePass(
            encoder,
            preparation,
            limit=encoder.tol * variance / len(moments.mean),
            seed=seed,
            n_rows=moments.n_rows,
            first_rows=first_rows,
            sample=choose_sample(moments.n_rows, encoder.n_clusters, seed),
        )


@dataclass(frozen=True)
class _SamplePass:
    """Takes the rows of the sample."""

    encoder: Any
    preparation: Preparation
    limit: float  # the iterations end when the squared steps of the centres add up to less
    seed: int
    n_rows: int
    first_rows: dict  # number of a shard -> index of its first row
    sample: np.ndarray  # indices of the rows of the sample

    def add(self, total, X, shard_number):
        """Return the places in the sample and the rows, with those of one more shard."""
        rows, begin = self.encoder.check_samples(X, reset=True), self.first_rows[shard_number]
        places = np.flatnonzero((self.sample >= begin) & (self.sample < begin + rows.shape[0]))
        found = places, rows[self.sample[places] - begin]
        return found if total is None else self.merge(total, found)

    def merge(self, left, right):
        """Return the places and rows of both."""
        stack = sp.vstack if sp.issparse(left[1]) else np.concatenate
        return np.concatenate([left[0], right[0]]), stack([left[1], right[1]])

    def finish(self, total):
        """Return the first pass of Lloyd's algorithm."""
        from transferkit._training.clustering.kmeans import start_centres

        encoder, (places, rows) = self.encoder, total
        rows = rows.tocsr() if sp.issparse(rows) else rows
        centres = start_centres(
            self.preparation.apply(rows[np.argsort(places)]),
            self.n_rows,
            encoder.n_clusters,
            init=encoder.init,
            n_init=encoder.n_init,
            limit=self.limit,
            batch_size=encoder.batch_size,
            device=encoder.device,
            seed=self.seed,
        )
        return _LloydPass(encoder, self.preparation, self.limit, centres)


@dataclass(frozen=True)
class _LloydPass:
    """Assigns rows to the nearest centres, and sums the rows of each cluster."""

    encoder: Any
    preparation: Preparation
    limit: float
    centres: np.ndarray
    n_iter: int = 0
    is_last: bool = False

    def add(self, total, X, shard_number):
        """Return the sums of the clusters, with those of more rows."""
        from transferkit._training.clustering.kmeans import sum_clusters

        rows = self.preparation.apply(self.encoder.check_samples(X, reset=True))
        found = sum_clusters(rows, self.centres, self.encoder.batch_size, self.encoder.device)
        return found if total is None else self.merge(total, found)

    def merge(self, left, right):
        """Return the sums of both."""
        return left.merge(right)

    def finish(self, total):
        """Return the pass with moved centres, or the fitted encoder."""
        from transferkit._training.clustering.kmeans import Clusters, move_centres

        encoder = self.encoder
        if self.is_last:
            found = Clusters(self.centres, total.counts, total.inertia, self.n_iter)
            encoder.n_features_in_ = self.centres.shape[1]
            return encoder.set_clusters(found, self.preparation)
        centres, step = move_centres(self.centres, total)
        n_iter = self.n_iter + 1
        is_last = step <= self.limit or n_iter == encoder.max_iter
        return replace(self, centres=centres, n_iter=n_iter, is_last=is_last)


def check_n_clusters(n_clusters, n_samples, kind):
    """Raise ValueError if there are fewer samples, or patches, than clusters."""
    if n_samples < n_clusters:
        raise ValueError(
            f"n_clusters={n_clusters} needs at least as many {kind}. Got n_samples={n_samples}: give more {kind} or a "
            "smaller n_clusters."
        )
