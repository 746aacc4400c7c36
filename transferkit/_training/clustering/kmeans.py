"""k-means by Lloyd's algorithm on a device, with Hamerly's bounds to skip points whose assignment cannot change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._training.clustering.points import Nearest, Points, make_points
from transferkit._training.device import choose_device, threads_for, to_tensor, with_own_modes

__all__ = [
    "ClusterSums",
    "Clusters",
    "choose_sample",
    "find_clusters",
    "merge_clusters",
    "move_centres",
    "start_centres",
    "sum_clusters",
    "update_clusters",
]

_SAMPLE_PER_CLUSTER = 120  # points among which seeds are chosen; fewer would miss rare clusters
_CANDIDATES = 16  # drawn for each seed, of which the best is taken (greedy k-means++): on a sample they are cheap
_TRIAL_ITERATIONS = 5  # after which initialisations are compared; more would fit them to the sample
_MOST_FAR = 8  # points of a shard that may be moved to empty clusters
_NO_WEIGHT = 1e-9  # clusters of less weight count as empty, so that rounding does not keep them
_SLACK = 1e-5  # share of a distance, for the rounding of float32


@dataclass
class Clusters:
    """Centres (n_clusters, n_features), the weight of the points of each, and the sum of squared distances to them."""

    centres: np.ndarray
    counts: np.ndarray
    inertia: float
    n_iter: int = 0


@with_own_modes()
@threads_for()
def find_clusters(
    X: Any,
    n_clusters: int,
    *,
    weights: np.ndarray | None = None,
    init: str = "k-means++",
    n_init: int = 1,
    max_iter: int = 100,
    tol: float = 1e-4,
    batch_size: int = 16384,
    device: str = "auto",
    seed: int = 0,
    on_iteration: Callable[[], bool] | None = None,
) -> Clusters:
    """Cluster points so that the sum of squared distances to the nearest centre is (locally) minimal [1]_.

    Dense points are centred and clustered in float32 or, where clusters are too tight for that, in float64. Seeds are
    chosen on a sample [2]_, by "k-means++" or at "random"; the best of `n_init` initialisations, after a few iterations
    on the sample, continues on all points. Iterations end when the centres move by less than the share `tol` of the
    mean variance of the features. `batch_size` is the maximum number of points per product. `on_iteration` is called
    after each iteration over all points and returns whether to stop.

    References
    ----------
    .. [1] S. Lloyd (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28.
    .. [2] D. Arthur, S. Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.
    """
    shift = None if sp.issparse(X) else np.average(X, axis=0, weights=weights).astype(X.dtype)
    for dtype in (np.float32, np.float64):
        points = make_points(X, weights, choose_device(device), batch_size, shift, dtype)
        limit = tol * points.mean_variance()
        chosen, random = _draw_sample(points.n_points, n_clusters, seed)
        start = _best_start(points.select(chosen), n_clusters, init, n_init, limit, random)
        found = _lloyd(points, start, max_iter, limit, on_iteration)
        if shift is None or not points.needs_float64(found.squares):
            break
    inertia = found.inertia(points.weights)
    return Clusters(_shift_back(found.centres, shift), found.counts.cpu().numpy(), inertia, found.n_iter)


def choose_sample(n_samples: int, n_clusters: int, seed: int) -> np.ndarray:
    """Return the indices of the points among which :func:`find_clusters` chooses seeds, int64, in its order."""
    return _draw_sample(n_samples, n_clusters, seed)[0].numpy()


@with_own_modes()
@threads_for()
def start_centres(
    sample: Any,
    n_samples: int,
    n_clusters: int,
    *,
    init: str,
    n_init: int,
    limit: float,
    batch_size: int,
    device: str,
    seed: int,
) -> np.ndarray:
    """Return the centres from which :func:`find_clusters` starts on all points, given its sample."""
    shift = None if sp.issparse(sample) else sample.mean(axis=0, dtype=np.float64).astype(sample.dtype)
    points = make_points(sample, None, choose_device(device), batch_size, shift)
    _, random = _draw_sample(n_samples, n_clusters, seed)
    return _shift_back(_best_start(points, n_clusters, init, n_init, limit, random), shift)


@dataclass
class ClusterSums:
    """Sums over a part of the points that an iteration needs; they merge.

    The points farthest from their centres are kept for clusters that turn out to be empty.
    """

    sums: np.ndarray  # (n_clusters, n_features), float64, of the points of each cluster
    counts: np.ndarray  # (n_clusters,)
    inertia: float
    far_squares: np.ndarray  # squared distances of the farthest points to their centres, largest first
    far_labels: np.ndarray  # their clusters
    far_points: np.ndarray

    def merge(self, other: "ClusterSums") -> "ClusterSums":
        """Return the sums over the points of both."""
        squares = np.concatenate([self.far_squares, other.far_squares])
        labels = np.concatenate([self.far_labels, other.far_labels])
        points = np.concatenate([self.far_points, other.far_points])
        order = np.argsort(-squares, kind="stable")[:_MOST_FAR]
        return ClusterSums(
            self.sums + other.sums,
            self.counts + other.counts,
            self.inertia + other.inertia,
            squares[order],
            labels[order],
            points[order],
        )


@with_own_modes()
@threads_for()
def sum_clusters(X: Any, centres: np.ndarray, batch_size: int, device: str) -> ClusterSums:
    """Return the sums of an iteration with these centres over a part of the points."""
    points, found, shift = _assign(X, centres, batch_size, device)
    sums, counts = (part.cpu().numpy() for part in points.sums(found.labels, len(centres)))
    far = found.squares.topk(min(_MOST_FAR, points.n_points)).indices
    return ClusterSums(
        sums if shift is None else sums + counts[:, None] * shift,
        counts,
        float(found.squares.double().sum()),
        found.squares[far].cpu().numpy(),
        found.labels[far].cpu().numpy(),
        _shift_back(points.take(far), shift),
    )


def move_centres(centres: np.ndarray, found: ClusterSums) -> tuple[np.ndarray, float]:
    """Return the means of all clusters, and the sum of the squared steps from the centres to them."""
    sums, counts = torch.tensor(found.sums), torch.tensor(found.counts, dtype=torch.float64)
    far_points, far_labels = torch.tensor(found.far_points), torch.tensor(found.far_labels)
    _fill_empty(sums, counts, far_labels, far_points, torch.ones(len(far_points), dtype=torch.float64))
    moved = _means(sums, counts, torch.from_numpy(centres)).numpy()
    return moved, float(np.square(moved - centres).sum(dtype=np.float64))


@with_own_modes()
@threads_for()
def update_clusters(X: Any, known: Clusters, batch_size: int, device: str) -> Clusters:
    """Move each centre to the mean of all points that were assigned to it, including those of a new batch [1]_.

    References
    ----------
    .. [1] D. Sculley (2010). Web-scale k-means clustering. WWW.
    """
    points, found, shift = _assign(X, known.centres, batch_size, device)
    sums, counts = (part.cpu().numpy() for part in points.sums(found.labels, len(known.centres)))
    middle = 0 if shift is None else shift
    total = known.counts + counts
    moved = (known.counts[:, None] * (known.centres - middle) + sums) / np.maximum(total, 1)[:, None] + middle
    centres = np.where((total > 0)[:, None], moved, known.centres)
    if shift is None:
        centres = centres.astype(np.float32)
    inertia = known.inertia + float(found.squares.double().sum())
    return Clusters(centres, total, inertia, known.n_iter + 1)


def merge_clusters(a: Clusters, b: Clusters) -> Clusters:
    """Cluster the centres of both, weighted by their points."""
    centres, counts = np.vstack([a.centres, b.centres]), np.concatenate([a.counts, b.counts])
    found = find_clusters(centres, len(a.centres), weights=counts, n_init=10, device="cpu", tol=0.0)
    centres = found.centres.astype(np.result_type(a.centres, b.centres))
    return Clusters(centres, found.counts, a.inertia + b.inertia + found.inertia, max(a.n_iter, b.n_iter))


@dataclass
class _Result:
    centres: Tensor
    counts: Tensor
    squares: Tensor  # of the distances of the points to their centres
    n_iter: int

    def inertia(self, weights: Tensor) -> float:
        return float((self.squares.double() * weights).sum())


def _assign(X: Any, centres: np.ndarray, batch_size: int, device: str) -> tuple[Points, Nearest, np.ndarray | None]:
    """Return the points (dense ones less the mean of the centres), their nearest centres, and this mean."""
    shift = None if sp.issparse(X) else centres.mean(axis=0, dtype=np.float64).astype(X.dtype)
    for dtype in (np.float32, np.float64):
        points = make_points(X, None, choose_device(device), batch_size, shift, dtype)
        shifted = to_tensor(centres if shift is None else (centres - shift).astype(dtype), points.device)
        found = points.assign(shifted)
        if shift is None:
            break
        found.squares = points.distances_to(shifted, found.labels)
        if not points.needs_float64(found.squares):
            break
    return points, found, shift


def _shift_back(points: Tensor, shift: np.ndarray | None) -> np.ndarray:
    """Return points with the shift added, in float64 if there is one."""
    array = points.cpu().numpy()
    return array if shift is None else array.astype(np.float64) + shift


def _draw_sample(n_samples: int, n_clusters: int, seed: int) -> tuple[Tensor, torch.Generator]:
    random = torch.Generator("cpu").manual_seed(seed)
    n_drawn = min(n_samples, max(_SAMPLE_PER_CLUSTER * n_clusters, 2000))
    return torch.randperm(n_samples, generator=random)[:n_drawn], random


def _best_start(
    sample: Points, n_clusters: int, init: str, n_init: int, limit: float, random: torch.Generator
) -> Tensor:
    """Return the best of several initialisations after a few iterations; a single one is returned as it is."""
    seeds = [_choose_seeds(sample, n_clusters, init, random) for _ in range(n_init)]
    if n_init == 1:
        return seeds[0]
    return min(
        (_lloyd(sample, tried, _TRIAL_ITERATIONS, limit) for tried in seeds),
        key=lambda found: found.inertia(sample.weights),
    ).centres


def _choose_seeds(points: Points, n_clusters: int, init: str, random: torch.Generator) -> Tensor:
    """Return points drawn at random, or by greedy k-means++: each the best of some candidates far from those before."""
    if init == "random":
        weights = points.weights.cpu().double()
        return points.take(torch.multinomial(weights, n_clusters, generator=random).to(points.device))
    draws = torch.rand(n_clusters, _CANDIDATES, generator=random, dtype=torch.float64).to(points.device)
    first = torch.multinomial(points.weights.cpu().double(), 1, generator=random).to(points.device)
    chosen = torch.empty(n_clusters, dtype=torch.int64, device=points.device)
    chosen[0] = first[0]
    nearest = points.squared_distances(points.take(first))[:, 0]
    for k in range(1, n_clusters):
        cumulated = (nearest * points.weights).double().cumsum(0)
        candidates = torch.searchsorted(cumulated, draws[k] * cumulated[-1]).clamp(max=points.n_points - 1)
        squares = torch.minimum(points.squared_distances(points.take(candidates)), nearest[:, None])
        best = (squares * points.weights[:, None]).sum(0).argmin()
        chosen[k], nearest = candidates[best], squares[:, best]
    return points.take(chosen)


def _lloyd(
    points: Points, centres: Tensor, max_iter: int, limit: float, on_iteration: Callable[[], bool] | None = None
) -> _Result:
    """Move centres to the means of their points until the squared steps add up to at most `limit`."""
    assignment = _BoundedAssignment(points, centres)
    n_iter = 0
    for n_iter in range(1, max_iter + 1):  # noqa: B007
        assignment.fill_empty()
        moved = _means(assignment.sums, assignment.counts, centres)
        steps = (moved - centres).norm(dim=1)
        centres = moved
        stops = on_iteration is not None and on_iteration()
        if stops or float(steps.square().sum()) <= limit:
            break
        assignment.follow(centres, steps)
    final = points.assign(centres)
    counts = torch.bincount(final.labels, points.weights.double(), minlength=len(centres))
    return _Result(centres, counts, points.distances_to(centres, final.labels), n_iter)


class _BoundedAssignment:
    """Assignment of points to their nearest centres, and the sums of the clusters, updated as the centres move.

    `upper` bounds the distance of a point to its centre from above, `lower` that to any other centre from below; while
    the first is smaller, the point keeps its centre and no distance is computed [1]_.

    References
    ----------
    .. [1] G. Hamerly (2010). Making k-means even faster. SDM.
    """

    def __init__(self, points: Points, centres: Tensor) -> None:
        found = points.assign(centres)
        self.points, self.n_clusters = points, len(centres)
        self.labels, self.upper, self.lower = found.labels, found.squares.sqrt(), found.next_squares.sqrt()
        self.sums, self.counts = points.sums(self.labels, self.n_clusters)

    def fill_empty(self) -> None:
        """Assign to each empty cluster the point that is farthest from its own centre."""
        n_empty = int((self.counts <= _NO_WEIGHT).sum())
        if n_empty == 0:
            return
        far = self.upper.topk(min(n_empty, self.points.n_points)).indices
        labels, weights = self.labels[far], self.points.weights[far].double()
        self.labels[far] = _fill_empty(self.sums, self.counts, labels, self.points.take(far), weights)
        self.upper[far] = 0

    def follow(self, centres: Tensor, steps: Tensor) -> None:
        """Update the assignment for centres that have moved by steps of these lengths."""
        self.upper += steps[self.labels]
        self.lower -= steps.max()
        candidates = torch.nonzero(self.upper * (1 + _SLACK) >= self.lower)[:, 0]
        if len(candidates) == 0:
            return
        found = self.points.assign(centres, None if len(candidates) == self.points.n_points else candidates)
        before = self.labels[candidates]
        changed = torch.nonzero(found.labels != before)[:, 0]
        self.labels[candidates] = found.labels
        self.upper[candidates], self.lower[candidates] = found.squares.sqrt(), found.next_squares.sqrt()
        movers = candidates[changed]
        if len(movers) * 4 > self.points.n_points:
            self.sums, self.counts = self.points.sums(self.labels, self.n_clusters)
        elif len(movers):
            gained, gained_counts = self.points.sums(found.labels[changed], self.n_clusters, movers)
            lost, lost_counts = self.points.sums(before[changed], self.n_clusters, movers)
            self.sums, self.counts = self.sums + gained - lost, self.counts + gained_counts - lost_counts


def _fill_empty(sums: Tensor, counts: Tensor, far_labels: Tensor, far_points: Tensor, far_weights: Tensor) -> Tensor:
    """Move points far from their centres to clusters without points, in `sums` and `counts`; return these clusters."""
    empty = torch.nonzero(counts <= _NO_WEIGHT)[: len(far_labels), 0]
    labels, weights = far_labels[: len(empty)], far_weights[: len(empty)]
    weighted = far_points[: len(empty)].double() * weights[:, None]
    sums.index_add_(0, labels, -weighted)
    counts.index_add_(0, labels, -weights)
    sums[empty], counts[empty] = weighted, weights
    return empty


def _means(sums: Tensor, counts: Tensor, centres: Tensor) -> Tensor:
    """Return the mean of each cluster, or its centre if it has no points."""
    means = (sums / counts.clamp(min=1e-300)[:, None]).to(centres.dtype)
    return torch.where((counts > 0)[:, None], means, centres)
