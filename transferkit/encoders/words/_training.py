"""Vectors of words from co-occurrence counts, and of character n-grams from the vectors of words."""

from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.decompositions import SMALL, drop_rounding, leading_eigenvectors, unit_rows
from transferkit._algorithms.linalg.threads import N_SLICES, blas_threads_for
from transferkit._algorithms.words.cooccurrence import positive_pmi
from transferkit._algorithms.words.vectors import fit_ngram_vectors, ngram_shares
from transferkit.encoders.text._analyzer import make_analyzer
from transferkit.encoders.text._counting import threaded_map
from transferkit.encoders.text._tfidf import TfidfEncoder

__all__ = ["METHODS", "learn_subwords", "spell_vectors", "train_vectors"]

METHODS = ("ppmi-svd", "glove", "sgns")
_ALPHA, _N_STEPS = 0.05, 10  # of the ridge regression of n-grams


def train_vectors(
    pairs: sparse.csr_array,
    encoder: Any,
    on_epoch: Callable[[Callable[[], np.ndarray]], bool],
    on_iteration: Callable[[], object],
) -> tuple[np.ndarray, list[float]]:
    """Return word vectors of unit length (float32), and the objective in each epoch (none for 'ppmi-svd').

    `pairs` are symmetric co-occurrence counts; `encoder` is the WordVectorEncoder with the method and its parameters.
    `on_epoch` is called after each epoch with a function that returns the vectors so far; a true result stops the
    training. `on_iteration` is called after each iteration of the decomposition that begins it. Vectors are zero for
    words without co-occurrences and, with 'ppmi-svd', for words that co-occur with none more often than expected by
    chance or have no share in the leading components.
    """
    random_state = check_random_state(encoder.random_state)
    ppmi = positive_pmi(pairs, encoder.smoothing, threaded_map(encoder.n_jobs))
    vectors, values = _decompose(ppmi, encoder, random_state, on_iteration)
    sizes = np.abs(values)
    sizes[sizes <= np.finfo(np.float32).eps * len(sizes) * sizes.max(initial=0)] = 0
    if encoder.method == "ppmi-svd":
        scales = np.where(sizes > 0, sizes**encoder.eigenvalue_weight, 0)
        vectors[np.diff(ppmi.indptr) == 0] = 0
        return unit_rows(drop_rounding(vectors * scales.astype(np.float32))), []
    vectors[np.diff(pairs.indptr) == 0] = 0  # training leaves these as they are
    from transferkit._training.words import GloVe, SkipGram, train_word_vectors

    make_objective = {
        "glove": lambda totals, generator: GloVe(totals, encoder.x_max),
        "sgns": lambda totals, generator: SkipGram(totals, encoder.n_negative, encoder.smoothing, generator),
    }[encoder.method]
    trained, losses = train_word_vectors(
        pairs,
        vectors * np.sqrt(sizes),
        np.where(values < 0, np.float32(-1), np.float32(1)),
        make_objective,
        unit=encoder.window,
        max_iter=encoder.max_iter,
        learning_rate=encoder.learning_rate,
        device=encoder.device,
        seed=int(random_state.randint(2**31)),
        on_epoch=lambda read: on_epoch(lambda: unit_rows(read())),
    )
    return unit_rows(trained), losses


def _decompose(
    ppmi: sparse.csr_array, encoder: Any, random_state: np.random.RandomState, on_iteration: Callable[[], object]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenvectors and eigenvalues, computed on a GPU if the encoder's device is one."""
    n_components, n_jobs = encoder.n_components, encoder.n_jobs
    is_large = ppmi.shape[0] > max(SMALL, 5 * n_components)
    if is_large and (encoder.method != "ppmi-svd" or encoder.device not in ("auto", "cpu")):
        from transferkit._training.device import choose_device
        from transferkit._training.words import leading_eigenvectors_on_device

        device = choose_device(encoder.device)
        if device.type != "cpu":
            return leading_eigenvectors_on_device(ppmi, n_components, random_state, device)
    # The products of slices are divided among our own threads, with which threads of BLAS would compete for the cores.
    n_products = 0 if effective_n_jobs(n_jobs) > 1 else ppmi.shape[0] * n_components**2 / N_SLICES
    with blas_threads_for(n_products):
        return leading_eigenvectors(ppmi, n_components, random_state, threaded_map(n_jobs), on_iteration)


def learn_subwords(names, vectors, ngram_range, n_buckets, n_jobs):
    """Return the hash buckets of the n-grams that occur in the words, ascending, and a vector for each bucket."""
    shares = _share_buckets(names, ngram_range, n_buckets)
    buckets = np.unique(shares.indices)
    known = sparse.csr_array(shares[:, buckets])
    return buckets, fit_ngram_vectors(known, vectors, _ALPHA, _N_STEPS, threaded_map(n_jobs))


def spell_vectors(names, buckets, ngram_vectors, ngram_range, n_buckets):
    """Return vectors of words from their n-grams, shape (n_names, n_components); zeros where no n-gram is known."""
    if not names:
        return np.zeros((0, ngram_vectors.shape[1]), np.float32)
    return _share_buckets(names, ngram_range, n_buckets)[:, buckets] @ ngram_vectors


def _share_buckets(names, ngram_range, n_buckets):
    spelling = TfidfEncoder(analyzer="char_wb", ngram_range=ngram_range, lowercase=False)
    return ngram_shares(make_analyzer(spelling).count(names), n_buckets)
