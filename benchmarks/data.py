"""Data sets of the benchmarks: texts to pretrain on, labelled texts, and draws of few labels per class."""

import numpy as np
from sklearn.datasets import fetch_20newsgroups
from sklearn.model_selection import train_test_split

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


def draw_per_class(labels, n_per_class, random):
    """Return the indices of `n_per_class` samples per class, drawn by a NumPy generator or RandomState."""
    return np.concatenate(
        [random.choice(np.flatnonzero(labels == label), n_per_class, replace=False) for label in np.unique(labels)]
    )
