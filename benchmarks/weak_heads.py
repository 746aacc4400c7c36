"""Domains of texts whose features say little of the classes, so that a head is not far above chance."""

from itertools import permutations

import numpy as np
from data import read_labelled, read_newsgroups
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import StandardScaler

from transferkit.transfer.pretrained import DEFAULT_ENCODER, make_encoder

N_LABELS = (400, 1000)  # of the source
N_TARGET, N_DRAWS = 1000, 2
GOODS = ("books", "dvd", "electronics", "kitchen")
DEVELOPED, HELD_OUT = ("mr", "mpqa", "books", "kitchen"), ("sst2", "movie_reviews", "dvd", "electronics")
GOODS_DEVELOPED = ("books-kitchen", "electronics-dvd", "kitchen-electronics", "books-dvd")
PARTS = {"sst2": "train", "sst5": "train", "trec": "train", "ag_news_subset": "train"}
TOPS = ("comp", "rec", "sci", "talk")


def review_tasks(folder):
    """Yield pairs of sources of reviews, whose classes are the sentiment, as counts of 500 words."""
    for names in (DEVELOPED, HELD_OUT):
        domains = {name: read(folder, name) for name in names}
        for source, target in permutations(names, 2):
            for n_labels in N_LABELS:
                of_pair = domains[source], domains[target], n_labels
                yield from draw(f"{source}-{target}, {n_labels} labels", *of_pair, count(500))


def embedded_tasks(folder):
    """Yield pairs of kinds of goods, whose classes are the sentiment, as embeddings by the English encoder."""
    encode, domains = embed(), {name: read(folder, name) for name in GOODS}
    for source, target in permutations(GOODS, 2):
        for n_labels in N_LABELS:
            of_pair = domains[source], domains[target], n_labels
            yield from draw(f"{source}-{target}, {n_labels} labels", *of_pair, encode)


def topic_tasks(folder):
    """Yield subgroups of pairs of newsgroups, and shorter and longer texts of three tasks, as counts of 100 words."""
    data, groups, names = read_newsgroups(folder / "20newsgroups", "all", ("headers", "footers", "quotes"))
    texts, groups = np.array(data, dtype=object), np.array(names)[groups]
    for first, second in permutations(TOPS, 2):
        sides = []
        for side in (0, 1) if first < second else (1, 0):  # subgroups in turn to both domains
            chosen = [[n for n in names if n.startswith(f"{top}.")][side::2] for top in (first, second)]
            kept = np.isin(groups, chosen[0] + chosen[1])
            sides.append((texts[kept], np.isin(groups[kept], chosen[0]).astype(int)))
        yield from draw(f"{first} or {second}", *sides, N_LABELS[0], count(100))
    for name in ("ag_news_subset", "sst5", "trec"):
        texts, y = read(folder, name)
        lengths = np.array([text.count(" ") for text in texts])
        is_long = lengths > np.median(lengths)
        short, long = (texts[~is_long], y[~is_long]), (texts[is_long], y[is_long])
        for which, sides in {"short-long": (short, long), "long-short": (long, short)}.items():
            yield from draw(f"{name} {which}", *sides, N_LABELS[0], count(100))


def list_development():
    """Return, by part, the names of the tasks on whose target labels choices were made."""
    pairs = {"reviews": [f"{a}-{b}" for a, b in permutations(DEVELOPED, 2)], "embedded": GOODS_DEVELOPED}
    return {part: [f"{pair}, {n} labels" for pair in names for n in N_LABELS] for part, names in pairs.items()}


def read(folder, name):
    """Return the texts and the labels of a set."""
    place = ("amazon_reviews", name) if name in GOODS else (name, PARTS.get(name, "all"))
    texts, y = read_labelled(folder, *place)
    return np.array(texts, dtype=object), np.asarray(y)


def draw(name, source, target, n_labels, encode):
    """Yield draws of a task: its name, source, labels, unlabelled target, target to test and its labels."""
    for number in range(N_DRAWS):
        random = np.random.RandomState(number)
        (texts, y), (others, y_target) = (
            (texts[kept].tolist(), y[kept])
            for texts, y, kept in (
                (*side, random.permutation(len(side[1]))[:size])
                for side, size in ((source, n_labels), (target, N_TARGET))
            )
        )
        rows, others = encode(texts, others)
        yield f"{name}, draw {number}", rows, y, others, others, y_target


def count(n_words):
    """Return a function from texts of both domains to standardised counts of their most frequent words."""

    def encode(*texts):
        counter = CountVectorizer(max_features=n_words).fit([text for part in texts for text in part])
        counts = [counter.transform(part).toarray() for part in texts]
        return [StandardScaler().fit_transform(part).astype(np.float32) for part in counts]

    return encode


def embed():
    """Return a function from texts of both domains to embeddings by the English encoder."""
    encoder = make_encoder(DEFAULT_ENCODER)
    return lambda *texts: [encoder.transform(part) for part in texts]
