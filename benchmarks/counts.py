"""Domains of samples that are counts of words, where classes overlap: newsgroups, digits, and photographs."""

from itertools import permutations

import numpy as np
from data import draw_per_class, read_newsgroups
from scipy import ndimage
from scipy.io import loadmat
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import StandardScaler

from transferkit import KMeansEncoder

N_WORDS = 500
OBJECTS = ("amazon", "dslr", "webcam")
N_ROWS = 400  # of a domain
TOPS = ("comp", "rec", "sci", "talk")
CHANGES = {
    "none": lambda picture: picture,
    "rotated 25": lambda picture: ndimage.rotate(picture, 25, reshape=False, order=1),
    "blurred": lambda picture: ndimage.gaussian_filter(picture, 1.8),
    "larger": lambda picture: ndimage.zoom(picture, 1.3, order=1)[5:37, 5:37],
    "rotated -35": lambda picture: ndimage.rotate(picture, -35, reshape=False, order=1),
    "smaller": lambda picture: np.pad(ndimage.zoom(picture, 0.75, order=1), 4),
    "sheared": lambda picture: ndimage.affine_transform(picture, [[1, 0.4], [0, 1]], (-6.4, 0), order=1),
}
HELD_OUT_CHANGES = ("rotated -35", "smaller", "sheared")
ORIENTATIONS, CELL = 8, 4


def count_tasks(folder):
    """Yield the name, source, labels, unlabelled target, target to test and its labels of each pair of domains."""
    for name, source, y, target, y_target in (*newsgroups(folder), *digits(), *photographs(folder)):
        source, target = (StandardScaler().fit_transform(rows).astype(np.float32) for rows in (source, target))
        yield name, source, y, target, target, y_target


def list_development():
    """Return the names of the tasks on whose target labels choices were made."""
    groups = [f"newsgroups {a}-{b}" for a, b in permutations(range(3), 2)]
    words = [f"digits as words, {name}" for name in CHANGES if name not in HELD_OUT_CHANGES]
    return [*groups, *words, *(f"photographs as counts, {a}-{b}" for a, b in permutations(OBJECTS, 2))]


def newsgroups(folder):
    """Yield pairs of domains: each has one subgroup of four top-level groups, which are the classes."""
    data, groups, names = read_newsgroups(folder / "20newsgroups", "all", ("headers", "footers", "quotes"))
    texts, random = np.array(data, dtype=object), np.random.RandomState(0)
    y = np.repeat(np.arange(len(TOPS)), N_ROWS // len(TOPS))
    domains = []
    for number in range(4):
        chosen = [[i for i, name in enumerate(names) if name.startswith(f"{top}.")][number] for top in TOPS]
        rows = [random.choice(np.flatnonzero(groups == group), N_ROWS // len(TOPS), replace=False) for group in chosen]
        domains.append(texts[np.concatenate(rows)])
    for a, b in permutations(range(4), 2):
        counts = CountVectorizer(max_features=N_WORDS).fit_transform([*domains[a], *domains[b]]).toarray()
        yield f"newsgroups {a}-{b}", counts[:N_ROWS], y, counts[N_ROWS:], y


def digits():
    """Yield digits, and other digits with a shift, as counts of visual words: their places are lost."""
    X, y = load_digits(return_X_y=True)
    random = np.random.RandomState(0)
    order = random.permutation(len(y))[: 2 * N_ROWS]
    pictures = np.pad(ndimage.zoom(X[order].reshape(-1, 8, 8) / 16, (1, 3, 3), order=1), ((0, 0), (4, 4), (4, 4)))
    described = {
        name: [describe(add_noise(change(picture), random)) for picture in pictures[N_ROWS:]]
        for name, change in CHANGES.items()
    }
    source = [describe(add_noise(picture, random)) for picture in pictures[:N_ROWS]]
    words = KMeansEncoder(N_WORDS, random_state=0).fit(np.concatenate(source))
    counts = count_words(source, words)
    for name, target in described.items():
        yield f"digits as words, {name}", counts, y[order[:N_ROWS]], count_words(target, words), y[order[N_ROWS:]]


def add_noise(picture, random):
    return picture + 0.01 * random.normal(size=picture.shape)


def describe(picture):
    """Return histograms of the orientations of gradients in the half of all patches with the strongest edges."""
    across, down = ndimage.sobel(picture, 1), ndimage.sobel(picture, 0)
    angle = (np.arctan2(down, across) / (2 * np.pi) + 0.5) * ORIENTATIONS
    nearness = np.maximum(0, 1 - np.abs((angle - np.arange(ORIENTATIONS)[:, None, None] + 4) % ORIENTATIONS - 4))
    cells = ndimage.uniform_filter(nearness * np.hypot(across, down), (0, CELL, CELL))
    at = np.arange(CELL // 2, len(picture) - 2 * CELL, 2)
    corners = [cells[:, at + i][:, :, at + j].reshape(ORIENTATIONS, -1) for i in (0, CELL) for j in (0, CELL)]
    patches = np.concatenate(corners).T
    sizes = np.linalg.norm(patches, axis=1, keepdims=True)
    kept = sizes[:, 0] > np.median(sizes)
    return (patches[kept] / sizes[kept]).astype(np.float32)


def count_words(described, words):
    """Return how many patches of each picture are nearest to each centre (n_pictures, n_words)."""
    centres = words.cluster_centers_
    nearest = [(np.square(centres).sum(1) - 2 * patches @ centres.T).argmin(1) for patches in described]
    return np.array([np.bincount(numbers, minlength=len(centres)) for numbers in nearest], np.float64)


def photographs(folder):
    """Yield features of photographs, made counts with much noise, from 20 labels per class (8 of the smallest set)."""
    random, rows = np.random.RandomState(0), {}
    for name in OBJECTS:
        read = loadmat(folder / "office_caltech10_googlenet" / f"{name}.mat")
        X = read["fts"].astype(np.float64)
        rows[name] = X / np.linalg.norm(X, axis=1, keepdims=True), read["labels"].ravel()
    directions = random.normal(size=(X.shape[1], N_WORDS))
    for source, target in permutations(OBJECTS, 2):
        (X, y), (X_target, y_target) = rows[source], rows[target]
        drawn = draw_per_class(y, 8 if source == "dslr" else 20, random)
        others = random.permutation(len(y_target))[:N_ROWS]
        counts = [
            count_with_noise(X[drawn] @ directions, random),
            count_with_noise(X_target[others] @ directions, random),
        ]
        yield f"photographs as counts, {source}-{target}", counts[0], y[drawn], counts[1], y_target[others]


def count_with_noise(scores, random):
    positive = np.maximum(scores + 3 * scores.std() * random.normal(size=scores.shape), 0)
    return np.round(positive / positive.mean())
