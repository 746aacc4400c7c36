"""Data sets of the benchmarks: texts to pretrain on, labelled texts, and draws of few labels per class."""

import numpy as np
from sklearn.datasets import fetch_20newsgroups
from sklearn.model_selection import train_test_split

from transferkit import LSAEncoder, TfidfEncoder
from transferkit.datasets import load_corpus, load_docstrings, load_labelled_csv


def read_wiki(folder):
    """Return the texts of the Wikipedia sample."""
    return load_corpus(folder / "wiki_en_sample/wiki_en_sample.txt.gz")


def read_labelled(folder, name, part):
    """Return the texts (a list) and labels of a part of a labelled set: "train", "test" or "all"."""
    table = load_labelled_csv(folder / name / f"{part}.csv.gz")
    return table.data, table.target


def read_newsgroups(folder, part, remove=()):
    """Return the texts (a list), the numbers of the groups and their names of a part of 20 Newsgroups."""
    found = fetch_20newsgroups(data_home=folder, subset=part, remove=remove, download_if_missing=False)
    return found.data, found.target, found.target_names


def split_docstrings(n_least):
    """Return training texts and labels, test texts and labels: docstrings, labelled by their sub-package.

    Only sub-packages with at least `n_least` docstrings are kept.
    """
    docstrings = load_docstrings(remove_examples=True)
    names, counts = np.unique(docstrings.target, return_counts=True)
    kept = np.isin(docstrings.target, names[counts >= n_least])
    texts, labels = np.array(docstrings.data, dtype=object)[kept], docstrings.target[kept]
    train, test, y, y_test = train_test_split(texts, labels, test_size=0.3, random_state=0, stratify=labels)
    return train, y, test, y_test


def embed_docstrings(n_classes=40, n_components=256):
    """Return training and test embeddings of docstrings (LSA), and their labels, the most frequent sub-packages."""
    docstrings = load_docstrings()
    names, counts = np.unique(docstrings.target, return_counts=True)
    kept = np.isin(docstrings.target, names[np.argsort(-counts)[:n_classes]])
    texts = [text for text, keep in zip(docstrings.data, kept, strict=True) if keep]
    X = LSAEncoder(n_components=n_components, random_state=0).fit_transform(texts).astype(np.float32)
    return train_test_split(X, np.asarray(docstrings.target)[kept], test_size=0.2, random_state=0)


def vectorise_newsgroups(folder):
    """Return the sparse TF-IDF training and test rows of 20 Newsgroups, and the numbers of their groups."""
    (train, y, _), (test, y_test, _) = (read_newsgroups(folder, part) for part in ("train", "test"))
    encoder = TfidfEncoder(sublinear_tf=True).fit(train)
    return encoder.transform(train).tocsr(), encoder.transform(test).tocsr(), y, y_test


def draw_per_class(labels, n_per_class, random):
    """Return the indices of up to `n_per_class` samples per class, drawn by a NumPy generator or RandomState."""
    found = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        found.append(random.choice(of_class, min(n_per_class, len(of_class)), replace=False))
    return np.concatenate(found)
