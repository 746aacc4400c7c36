"""Word vectors from counts of pairs, by the method that an encoder's parameters name."""

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from transferkit._algorithms.linalg.eigenvectors import SMALL, leading_eigenvectors
from transferkit._algorithms.linalg.normalisation import unit_rows
from transferkit._algorithms.words.pooling import drop_rounding
from transferkit._algorithms.words.ppmi import positive_pmi
from transferkit.encoders.text._counting import threaded_map

METHODS = ("ppmi-svd", "glove", "sgns")


def learn_vectors(encoder, pairs, on_epoch):
    """Return the vectors of words, of unit length, and the objective in each epoch (none for 'ppmi-svd').

    Parameters
    ----------
    encoder : WordVectorEncoder
        Its parameters say how.
    pairs : CSR array of int64 of shape (n_words, n_words)
        Symmetric counts of pairs.
    on_epoch : callable
        Called after each epoch with a function that returns the vectors so far; true stops the training.

    Returns
    -------
    vectors : ndarray of float32 of shape (n_words, n_components)
        Word vectors; zeros for words without co-occurrences and, with 'ppmi-svd', for words
        that occur with none more often than by chance or have no share in the leading components.
    losses : list of float
        The objective.
    """
    random_state = check_random_state(encoder.random_state)
    ppmi = positive_pmi(pairs, encoder.smoothing, threaded_map(encoder.n_jobs))
    vectors, values = _decompose(encoder, ppmi, random_state)
    sizes = np.abs(values)
    sizes[sizes <= np.finfo(np.float32).eps * len(sizes) * sizes.max(initial=0)] = 0
    if encoder.method == "ppmi-svd":
        scales = np.where(sizes > 0, sizes**encoder.eigenvalue_weight, 0)
        vectors[np.diff(ppmi.indptr) == 0] = 0
        return unit_rows(drop_rounding(vectors * scales.astype(np.float32))), []
    vectors[np.diff(pairs.indptr) == 0] = 0  # which training leaves as they are
    from transferkit._training.words.vectors import GloVe, SkipGram, train_word_vectors

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


def _decompose(encoder, ppmi, random_state):
    """Return the leading eigenvectors and eigenvalues, on a GPU if one is meant to be used."""
    is_large = ppmi.shape[0] > max(SMALL, 5 * encoder.n_components)
    if is_large and (encoder.method != "ppmi-svd" or encoder.device not in ("auto", "cpu")):
        from transferkit._training.device import choose_device
        from transferkit._training.words.eigenvectors import leading_eigenvectors_on_device

        device = choose_device(encoder.device)
        if device.type != "cpu":
            return leading_eigenvectors_on_device(ppmi, encoder.n_components, random_state, device)
    # Threads of our own share the products, so those of BLAS would only be in their way.
    with threadpool_limits(1 if effective_n_jobs(encoder.n_jobs) > 1 else None, user_api="blas"):
        return leading_eigenvectors(ppmi, encoder.n_components, random_state, threaded_map(encoder.n_jobs))
