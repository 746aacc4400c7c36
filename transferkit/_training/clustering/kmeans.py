"""Clusters by Lloyd's algorithm: matrix products on a device, and rows that cannot move left out of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._training.clustering.rows import Nearest, Rows, make_rows
from transferkit._training.device import choose_device, to_tensor
from transferkit._training.modes import with_own_modes

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

_SEED_ROWS = 120  # for each cluster, seeds are sought among so many rows; fewer would miss what is rare
_CANDIDATES = 16  # for each seed, the best of which is taken: on a sample they are cheap
_TRIAL_STEPS = 5  # of the centres, after which tries are compared; more would fit them to the sample
_MOST_FAR = 8  # rows that a shard offers to clusters without any
_SLACK = 1e-5  # of a distance, for the rounding of float32


@dataclass
class Clusters:
    """Centres (n_clusters, n_features), the weight of the rows nearest to each, and the sum of squared distances."""

    centres: np.ndarray
    counts: np.ndarray
    inertia: float
    n_iter: int = 0


@with_own_modes()
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
) -> Clusters:
    """Cluster rows so that the sum of squared distances to the nearest centre is (locally) least.

    Seeds are found on a sample of the rows; the best of `n_init`, after a few steps on it, goes on with all rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows. Dense ones are moved to their mean and clustered in float32 or, where clusters are too tight for that, in
        float64.
    n_clusters : int
        How many clusters, at most n_rows.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    init : {"k-means++", "random"}
        How seeds are drawn.
    n_init : int
        Tries on the sample.
    max_iter : int
        Most iterations over all rows.
    tol : float
        Ends the iterations when the centres move by less than this share of the mean variance of the features.
    batch_size : int
        Rows that a product takes at a time.
    device : str
        "auto", "cpu", "cuda".
    seed : int
        Draws sample and seeds.

    References
    ----------
    .. [1] S. Lloyd (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28.
    .. [2] D. Arthur, S. Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.
    .. [3] G. Hamerly (2010). Making k-means even faster. SDM. (The bounds.)
    """
    shift = None if sp.issparse(X) else np.average(X, axis=0, weights=weights).astype(X.dtype)
    for dtype in (np.float32, np.float64):
        rows = make_rows(X, weights, choose_device(device), batch_size, shift, dtype)
        limit = tol * rows.mean_variance()
        chosen, random = _draw_sample(rows.n_rows, n_clusters, seed)
        start = _best_start(rows.select(chosen), n_clusters, init, n_init, limit, random)
        found = _iterate(rows, start, max_iter, limit)
        if shift is None or not rows.needs_float64(found.squares):
            break
    inertia = float((found.squares.double() * rows.weights).sum())
    return Clusters(_move_back(found.centres, shift), found.counts.cpu().numpy(), inertia, found.n_iter)


def choose_sample(n_rows: int, n_clusters: int, seed: int) -> np.ndarray:
    """Return the rows among which :func:`find_clusters` seeks its seeds, int64 in the order in which it takes them."""
    return _draw_sample(n_rows, n_clusters, seed)[0].numpy()


@with_own_modes()
def start_centres(
    sample: Any,
    n_rows: int,
    n_clusters: int,
    *,
    init: str,
    n_init: int,
    limit: float,
    batch_size: int,
    device: str,
    seed: int,
) -> np.ndarray:
    """Return the centres with which :func:`find_clusters` goes over all rows, from those of :func:`choose_sample`."""
    shift = None if sp.issparse(sample) else sample.mean(axis=0, dtype=np.float64).astype(sample.dtype)
    rows = make_rows(sample, None, choose_device(device), batch_size, shift)
    _, random = _draw_sample(n_rows, n_clusters, seed)
    return _move_back(_best_start(rows, n_clusters, init, n_init, limit, random), shift)


@dataclass
class ClusterSums:
    """What an iteration needs of rows: sum and number of those of each cluster, and the rows far from their centre."""

    sums: np.ndarray  # (n_clusters, n_features), float64
    counts: np.ndarray
    inertia: float
    far_squares: np.ndarray  # largest first
    far_labels: np.ndarray
    far_rows: np.ndarray

    def merge(self, other: "ClusterSums") -> "ClusterSums":
        """Return the sums over the rows of both."""
        squares = np.concatenate([self.far_squares, other.far_squares])
        labels = np.concatenate([self.far_labels, other.far_labels])
        rows = np.concatenate([self.far_rows, other.far_rows])
        order = np.argsort(-squares, kind="stable")[:_MOST_FAR]
        return ClusterSums(
            self.sums + other.sums,
            self.counts + other.counts,
            self.inertia + other.inertia,
            squares[order],
            labels[order],
            rows[order],
        )


@with_own_modes()
def sum_clusters(X: Any, centres: np.ndarray, batch_size: int, device: str) -> ClusterSums:
    """Return what an iteration with these centres needs of some of the rows."""
    rows, found, shift = _assign(X, centres, batch_size, device)
    sums, counts = (part.cpu().numpy() for part in rows.sums(found.labels, len(centres)))
    far = found.squares.topk(min(_MOST_FAR, rows.n_rows)).indices
    return ClusterSums(
        sums if shift is None else sums + counts[:, None] * shift,
        counts,
        float(found.squares.double().sum()),
        found.squares[far].cpu().numpy(),
        found.labels[far].cpu().numpy(),
        _move_back(rows.take(far), shift),
    )


def move_centres(centres: np.ndarray, found: ClusterSums) -> tuple[np.ndarray, float]:
    """Return the means of the rows of each cluster, and the sum of the squared steps there.

    A cluster without rows gets the row that is farthest from its own centre, as many as are known.
    """
    sums, counts = found.sums.copy(), found.counts.copy()
    for cluster, label, row in zip(np.flatnonzero(counts <= 1e-9), found.far_labels, found.far_rows, strict=False):
        sums[label] -= row
        counts[label] -= 1
        sums[cluster], counts[cluster] = row, 1
    moved = np.where((counts > 0)[:, None], sums / np.maximum(counts, 1e-300)[:, None], centres).astype(centres.dtype)
    return moved, float(np.square(moved - centres).sum(dtype=np.float64))


@with_own_modes()
def update_clusters(X: Any, known: Clusters, batch_size: int, device: str) -> Clusters:
    """Move each centre to the mean of all rows that it has won, those of a new batch included.

    References
    ----------
    .. [1] D. Sculley (2010). Web-scale k-means clustering. WWW.
    """
    rows, found, shift = _assign(X, known.centres, batch_size, device)
    sums, counts = (part.cpu().numpy() for part in rows.sums(found.labels, len(known.centres)))
    middle = 0 if shift is None else shift
    total = known.counts + counts
    moved = (known.counts[:, None] * (known.centres - middle) + sums) / np.maximum(total, 1)[:, None] + middle
    centres = np.where((total > 0)[:, None], moved, known.centres)
    if shift is None:
        centres = centres.astype(np.float32)
    inertia = known.inertia + float(found.squares.double().sum())
    return Clusters(centres, total, inertia, known.n_iter + 1)


def merge_clusters(a: Clusters, b: Clusters) -> Clusters:
    """Cluster the centres of both, weighted by their rows."""
    centres, counts = np.vstack([a.centres, b.centres]), np.concatenate([a.counts, b.counts])
    found = find_clusters(centres, len(a.centres), weights=counts, n_init=10, device="cpu", tol=0.0)
    centres = found.centres.astype(np.result_type(a.centres, b.centres))
    return Clusters(centres, found.counts, a.inertia + b.inertia + found.inertia, max(a.n_iter, b.n_iter))


@dataclass
class _Result:
    centres: Tensor
    counts: Tensor
    squares: Tensor  # of the distances of the rows to their centres
    n_iter: int

    def inertia(self, weights: Tensor) -> float:
        return float((self.squares.double() * weights).sum())


def _assign(X: Any, centres: np.ndarray, batch_size: int, device: str) -> tuple[Rows, Nearest, np.ndarray | None]:
    """Return the rows less the middle of the centres, the nearest centre of each, and this middle."""
    shift = None if sp.issparse(X) else centres.mean(axis=0, dtype=np.float64).astype(X.dtype)
    for dtype in (np.float32, np.float64):
        rows = make_rows(X, None, choose_device(device), batch_size, shift, dtype)
        near = centres if shift is None else (centres - shift).astype(dtype)
        found = rows.assign(to_tensor(near, rows.device))
        if shift is None:
            break
        found.squares = rows.distances_to(to_tensor(near, rows.device), found.labels)
        if not rows.needs_float64(found.squares):
            break
    return rows, found, shift


def _move_back(rows: Tensor, shift: np.ndarray | None) -> np.ndarray:
    """Return rows with the shift, in float64 if there is one."""
    array = rows.cpu().numpy()
    return array if shift is None else array.astype(np.float64) + shift


def _draw_sample(n_rows: int, n_clusters: int, seed: int) -> tuple[Tensor, torch.Generator]:
    random = torch.Generator("cpu").manual_seed(seed)
    n_sample = min(n_rows, max(_SEED_ROWS * n_clusters, 2000))
    return torch.randperm(n_rows, generator=random)[:n_sample], random


def _best_start(sample: Rows, n_clusters: int, init: str, n_init: int, limit: float, random: torch.Generator) -> Tensor:
    """Return the best of some seeds, judged after a few steps on the sample; a single try is not refined."""
    seeds = [_seed_centres(sample, n_clusters, init, random) for _ in range(n_init)]
    if n_init == 1:
        return seeds[0]
    return min(
        (_iterate(sample, tried, _TRIAL_STEPS, limit) for tried in seeds),
        key=lambda found: found.inertia(sample.weights),
    ).centres


def _seed_centres(rows: Rows, n_clusters: int, init: str, random: torch.Generator) -> Tensor:
    """Return seeds: rows drawn at random, or each far from those before it (the best of some candidates)."""
    if init == "random":
        weights = rows.weights.cpu().double()
        return rows.take(torch.multinomial(weights, n_clusters, generator=random).to(rows.device))
    n_candidates = _CANDIDATES
    draws = torch.rand(n_clusters, n_candidates, generator=random, dtype=torch.float64).to(rows.device)
    everything = slice(0, rows.n_rows)
    first = torch.multinomial(rows.weights.cpu().double(), 1, generator=random).to(rows.device)
    chosen = torch.empty(n_clusters, dtype=torch.int64, device=rows.device)
    chosen[0] = first[0]
    nearest = _squares_to(rows, everything, rows.take(first))[:, 0]
    for k in range(1, n_clusters):
        cumulated = (nearest * rows.weights).double().cumsum(0)
        places = torch.searchsorted(cumulated, draws[k] * cumulated[-1]).clamp(max=rows.n_rows - 1)
        squares = torch.minimum(_squares_to(rows, everything, rows.take(places)), nearest[:, None])
        best = (squares * rows.weights[:, None]).sum(0).argmin()
        chosen[k], nearest = places[best], squares[:, best]
    return rows.take(chosen)


def _squares_to(rows: Rows, chosen: slice, centres: Tensor) -> Tensor:
    products = rows._products(chosen, centres)
    return (products.mul_(-2) + centres.square().sum(1) + rows.squares[chosen, None]).clamp_(min=0)


def _iterate(rows: Rows, centres: Tensor, max_iter: int, limit: float) -> _Result:
    """Move centres to the means of their rows until they rest.

    `upper` bounds a row's distance to its centre and `lower` that to any other; while the first is the smaller, the row
    stays where it is and is not looked at.
    """
    n_clusters = len(centres)
    found = rows.assign(centres)
    labels, upper, lower = found.labels, found.squares.sqrt(), found.next_squares.sqrt()
    sums, counts = rows.sums(labels, n_clusters)
    n_iter = 0
    for n_iter in range(1, max_iter + 1):  # noqa: B007
        _fill_empty(rows, labels, upper, sums, counts)
        moved = (sums / counts.clamp(min=1e-300)[:, None]).to(centres.dtype)
        moved = torch.where((counts > 0)[:, None], moved, centres)
        steps = (moved - centres).norm(dim=1)
        centres = moved
        if float(steps.square().sum()) <= limit:
            break
        upper += steps[labels]
        lower -= steps.max()
        candidates = torch.nonzero(upper * (1 + _SLACK) >= lower)[:, 0]
        if len(candidates) == 0:
            continue
        found = rows.assign(centres, None if len(candidates) == rows.n_rows else candidates)
        before = labels[candidates]
        changed = torch.nonzero(found.labels != before)[:, 0]
        labels[candidates] = found.labels
        upper[candidates], lower[candidates] = found.squares.sqrt(), found.next_squares.sqrt()
        movers = candidates[changed]
        if len(movers) * 4 > rows.n_rows:
            sums, counts = rows.sums(labels, n_clusters)
        elif len(movers):
            gained, gained_counts = rows.sums(found.labels[changed], n_clusters, movers)
            lost, lost_counts = rows.sums(before[changed], n_clusters, movers)
            sums, counts = sums + gained - lost, counts + gained_counts - lost_counts
    final = rows.assign(centres)
    counts = torch.bincount(final.labels, rows.weights.double(), minlength=n_clusters)
    return _Result(centres, counts, rows.distances_to(centres, final.labels), n_iter)


def _fill_empty(rows: Rows, labels: Tensor, upper: Tensor, sums: Tensor, counts: Tensor) -> None:
    """Give each centre without rows the row that is farthest from its own (in place)."""
    empty = torch.nonzero(counts <= 1e-9)[:, 0]
    if len(empty) == 0:
        return
    far = upper.topk(min(len(empty), rows.n_rows)).indices
    empty = empty[: len(far)]
    values, weights = rows.take(far).double(), rows.weights[far].double()
    sums.index_add_(0, labels[far], -values * weights[:, None])
    counts.index_add_(0, labels[far], -weights)
    sums[empty], counts[empty] = values * weights[:, None], weights
    labels[far], upper[far] = empty, 0
