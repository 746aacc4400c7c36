"""Other libraries that several benchmarks use for comparison."""

import importlib.util
import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

N_COMPONENTS, WINDOW = 300, 5
SMOOTHING = 0.75  # power of the counts of contexts, as of the negative samples of word2vec
N_CHUNK = 1_000_000  # tokens per sparse matrix of pairs


def train_word2vec(texts, tokenise, min_count, *, epochs=5, sample=1e-3, n_threads=None):
    """Return gensim's Word2Vec, trained by skip-gram with 300 components, a window of 5 and 5 negative samples.

    It reads a file with one text per line, because gensim spreads over all cores only then.
    """
    from gensim.models import Word2Vec

    options = {"vector_size": N_COMPONENTS, "window": WINDOW, "min_count": min_count, "sg": 1, "negative": 5, "seed": 0}
    with written(texts, tokenise) as path:
        return Word2Vec(corpus_file=path, epochs=epochs, sample=sample, workers=n_threads or os.cpu_count(), **options)


def train_fasttext(texts, tokenise, min_count, *, epochs=5, n_threads=None):
    """Return the word vectors of fastText's skip-gram with subwords, and a function that embeds any word."""
    import fasttext

    options = {"dim": N_COMPONENTS, "ws": WINDOW, "minCount": min_count, "neg": 5, "verbose": 0}
    with written(texts, tokenise) as path:
        model = fasttext.train_unsupervised(
            path, model="skipgram", epoch=epochs, thread=n_threads or os.cpu_count(), **options
        )
    words, counts = model.get_words(include_freq=True)
    known = [(word, count) for word, count in zip(words, counts, strict=True) if word != "</s>"]
    vectors = np.array([model.get_word_vector(word) for word, _ in known])
    counts = np.array([count for _, count in known])
    return as_keyed_vectors([word for word, _ in known], vectors, counts), model.get_word_vector


def factorise_ppmi(texts, tokenise, min_count):
    """Return word vectors by the usual factorisation with NumPy, SciPy and scikit-learn.

    Co-occurrences within five words, adjacent words counting five times; positive pointwise mutual information with
    smoothed contexts; TruncatedSVD by ARPACK; components times the square root of the singular values.
    """
    from sklearn.decomposition import TruncatedSVD

    documents = [tokenise(text.lower()) for text in texts]
    counted = Counter(word for document in documents for word in document)
    words = sorted((w for w, n in counted.items() if n >= min_count), key=lambda word: (-counted[word], word))
    known = {word: row for row, word in enumerate(words)}
    parts = [[known[word] for word in document if word in known] for document in documents]
    tokens = np.array([word for part in parts for word in part], np.int32)
    places = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    ppmi = positive_information(count_pairs(tokens, places, len(words)))
    svd = TruncatedSVD(N_COMPONENTS, algorithm="arpack", random_state=0).fit(ppmi)
    vectors = svd.transform(ppmi) / np.sqrt(svd.singular_values_)
    return as_keyed_vectors(words, vectors, np.array([counted[word] for word in words]))


def count_pairs(tokens, places, n_words):
    """Return the symmetric matrix of weighted co-occurrences within texts."""
    counts = csr_matrix((n_words, n_words), dtype=np.float32)
    for begin in range(0, len(tokens), N_CHUNK):
        part, place = tokens[begin : begin + N_CHUNK + WINDOW], places[begin : begin + N_CHUNK + WINDOW]
        rows, columns, weights = [], [], []
        for distance in range(1, WINDOW + 1):
            last = min(N_CHUNK, len(part) - distance)  # later pairs begin in the next part
            same = np.flatnonzero(place[:last] == place[distance : last + distance])
            rows.append(part[same])
            columns.append(part[same + distance])
            weights.append(np.full(len(same), WINDOW + 1 - distance, np.float32))
        pairs = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
        counts += coo_matrix(pairs, shape=counts.shape).tocsr()
    return (counts + counts.T).tocsr()


def positive_information(counts):
    """Return positive pointwise mutual information with smoothed contexts."""
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    contexts = totals**SMOOTHING / (totals**SMOOTHING).sum()
    pairs = counts.tocoo()
    information = np.log(pairs.data / (totals[pairs.row] * contexts[pairs.col]))
    kept = information > 0
    return csr_matrix((information[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept])), shape=counts.shape)


def as_keyed_vectors(words, vectors, counts):
    """Return an object with the attributes of gensim's KeyedVectors, for WordVectorEncoder.from_gensim."""
    return SimpleNamespace(index_to_key=words, vectors=np.asarray(vectors, np.float32), expandos={"count": counts})


@contextmanager
def written(texts, tokenise):
    """Yield the path of a temporary file with the tokens of one text per line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "texts.txt")
        with path.open("w", encoding="utf-8") as file:
            file.writelines(" ".join(tokenise(text.lower())) + "\n" for text in texts)
        yield str(path)


def is_installed(rival):
    """Return whether a module of this name is installed; if not, print that its cells stay empty."""
    found = importlib.util.find_spec(rival) is not None
    if not found:
        print(f'{rival} is not installed (pip install "transferkit[bench]"); its cells stay empty', flush=True)
    return found
