"""Models of other libraries that several benchmarks use for comparison."""

import os


def train_word2vec(texts, tokenise, min_count):
    """Return gensim's Word2Vec, trained on texts by skip-gram: 300 components, a window of 5, 5 epochs, all cores."""
    from gensim.models import Word2Vec

    sentences = [tokenise(text.lower()) for text in texts]
    options = {"vector_size": 300, "window": 5, "min_count": min_count, "sg": 1, "negative": 5, "epochs": 5, "seed": 0}
    return Word2Vec(sentences, workers=os.cpu_count(), **options)
