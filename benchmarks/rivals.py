"""Other libraries that several benchmarks use for comparison."""

import importlib.util
import os


def train_word2vec(texts, tokenise, min_count):
    """Return gensim's Word2Vec, trained on texts by skip-gram: 300 components, a window of 5, 5 epochs, all cores."""
    from gensim.models import Word2Vec

    sentences = [tokenise(text.lower()) for text in texts]
    options = {"vector_size": 300, "window": 5, "min_count": min_count, "sg": 1, "negative": 5, "epochs": 5, "seed": 0}
    return Word2Vec(sentences, workers=os.cpu_count(), **options)


def is_installed(rival):
    """Return whether a module of this name is installed; if not, print that its cells stay empty."""
    found = importlib.util.find_spec(rival) is not None
    if not found:
        print(f'{rival} is not installed (pip install "transferkit[bench]"); its cells stay empty', flush=True)
    return found
