"""Clusters by Lloyd's algorithm: matrix products on a device, and rows that cannot move left out of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferkit._training.cluster_rows import Rows, make_rows
from transferkit._training.device import choose_device, to_tensor
from transferkit._training.modes import with_own_modes

__all__ = [
    "ClusterSums",
    "Clusters",
    "add_sums",
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
    X : ndarray or CSR matrix of float32 of shape (n_rows, n_features)
        Rows.
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
    place = choose_device(device)
    rows = make_rows(X, weights, place, batch_size)
    limit = tol * rows.mean_variance()
    chosen, random = _draw_sample(rows.n_rows, n_clusters, seed)
    start = _best_start(rows.select(chosen), n_clusters, init, n_init, limit, random)
    return _to_numpy(_iterate(rows, start, max_iter, limit))


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
    rows = make_rows(sample, None, choose_device(device), batch_size)
    _, random = _draw_sample(n_rows, n_clusters, seed)
    return _best_start(rows, n_clusters, init, n_init, limit, random).cpu().numpy()


@dataclass
class ClusterSums:
    """What an iteration needs of rows: sum and number of those of each cluster, and the rows far from their centre."""

    sums: np.ndarray  # (n_clusters, n_features), float64
    counts: np.ndarray
    inertia: float
    far_squares: np.ndarray  # largest first
    far_labels: np.ndarray
    far_rows: np.ndarray


@with_own_modes()
def sum_clusters(X: Any, centres: np.ndarray, batch_size: int, device: str) -> ClusterSums:
    """Return what an iteration with these centres needs of some of the rows."""
    rows = make_rows(X, None, choose_device(device), batch_size)
    found = rows.assign(to_tensor(centres, rows.device))
    sums, counts = rows.sums(found.labels, len(centres))
    far = found.squares.topk(min(_MOST_FAR, rows.n_rows)).indices
    return ClusterSums(
        sums.cpu().numpy(),
        counts.cpu().numpy(),
        float(found.squares.double().sum()),
        found.squares[far].cpu().numpy(),
        found.labels[far].cpu().numpy(),
        rows.take(far).cpu().numpy(),
    )


def add_sums(a: ClusterSums, b: ClusterSums) -> ClusterSums:
    """Return the sums over the rows of both."""
    squares = np.concatenate([a.far_squares, b.far_squares])
    order = np.argsort(-squares, kind="stable")[:_MOST_FAR]
    labels, rows = np.concatenate([a.far_labels, b.far_labels]), np.concatenate([a.far_rows, b.far_rows])
    return ClusterSums(
        a.sums + b.sums, a.counts + b.counts, a.inertia + b.inertia, squares[order], labels[order], rows[order]
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
    moved = np.where((counts > 0)[:, None], sums / np.maximum(counts, 1e-300)[:, None], centres).astype(np.float32)
    return moved, float(np.square(moved - centres).sum(dtype=np.float64))


@with_own_modes()
def update_clusters(X: Any, known: Clusters, batch_size: int, device: str) -> Clusters:
    """Move each centre to the mean of all rows that it has won, those of a new batch included.

    References
    ----------
    .. [1] D. Sculley (2010). Web-scale k-means clustering. WWW.
    """
    rows = make_rows(X, None, choose_device(device), batch_size)
    centres = to_tensor(known.centres, rows.device)
    found = rows.assign(centres)
    sums, counts = rows.sums(found.labels, len(centres))
    before = torch.from_numpy(known.counts).to(sums)
    total = before + counts
    moved = (centres.double() * before[:, None] + sums) / total.clamp(min=1)[:, None]
    centres = torch.where((total > 0)[:, None], moved, centres.double()).float()
    inertia = known.inertia + float(found.squares.double().sum())
    return Clusters(centres.cpu().numpy(), total.cpu().numpy(), inertia, known.n_iter + 1)


def merge_clusters(a: Clusters, b: Clusters) -> Clusters:
    """Cluster the centres of both, weighted by their rows."""
    centres, counts = np.vstack([a.centres, b.centres]), np.concatenate([a.counts, b.counts])
    found = find_clusters(centres, len(a.centres), weights=counts, n_init=10, device="cpu", tol=0.0)
    return Clusters(found.centres, found.counts, a.inertia + b.inertia + found.inertia, max(a.n_iter, b.n_iter))


@dataclass
class _Result:
    centres: Tensor
    counts: Tensor
    inertia: float
    n_iter: int


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
        (_iterate(sample, tried, _TRIAL_STEPS, limit) for tried in seeds), key=lambda found: found.inertia
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
        moved = (sums / counts.clamp(min=1e-300)[:, None]).float()
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
    weights = rows.weights.double()
    counts = torch.bincount(final.labels, weights, minlength=n_clusters)
    return _Result(centres, counts, float((final.squares.double() * weights).sum()), n_iter)


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


def _to_numpy(found: _Result) -> Clusters:
    return Clusters(found.centres.cpu().numpy(), found.counts.cpu().numpy(), found.inertia, found.n_iter)
