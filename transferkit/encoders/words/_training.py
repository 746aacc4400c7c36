"""Word vectors from co-occurrence counts: PPMI-SVD, GloVe, and skip-gram with negative sampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from transferkit._algorithms.linalg.decompositions import SMALL, leading_eigenvectors, unit_rows
from transferkit._algorithms.words.pooling import drop_rounding
from transferkit._algorithms.words.ppmi import positive_pmi
from transferkit.encoders.text._counting import threaded_map

__all__ = ["METHODS", "TrainingSettings", "train_vectors"]

METHODS = ("ppmi-svd", "glove", "sgns")


class TrainingSettings(NamedTuple):
    """The parameters of WordVectorEncoder that training depends on; its docstring describes them."""

    n_components: int
    method: str
    window: int
    smoothing: float
    eigenvalue_weight: float
    max_iter: int
    learning_rate: float
    x_max: float
    n_negative: float
    n_jobs: int | None
    device: str
    random_state: Any


def train_vectors(
    pairs: sparse.csr_array, settings: TrainingSettings, on_epoch: Callable[[Callable[[], np.ndarray]], bool]
) -> tuple[np.ndarray, list[float]]:
    """Return word vectors of unit length, and the objective in each epoch (none for 'ppmi-svd').

    Parameters
    ----------
    pairs : CSR array of int64 of shape (n_words, n_words)
        Symmetric co-occurrence counts.
    settings : TrainingSettings
        Method and its parameters.
    on_epoch : callable
        Called after each epoch with a function that returns the vectors so far; a true result stops the training.

    Returns
    -------
    vectors : ndarray of float32 of shape (n_words, n_components)
        Word vectors; zeros for words without co-occurrences and, with 'ppmi-svd', for words that co-occur with none
        more often than expected by chance or have no share in the leading components.
    losses : list of float
        The objective.
    """
    random_state = check_random_state(settings.random_state)
    ppmi = positive_pmi(pairs, settings.smoothing, threaded_map(settings.n_jobs))
    vectors, values = _decompose(ppmi, settings, random_state)
    sizes = np.abs(values)
    sizes[sizes <= np.finfo(np.float32).eps * len(sizes) * sizes.max(initial=0)] = 0
    if settings.method == "ppmi-svd":
        scales = np.where(sizes > 0, sizes**settings.eigenvalue_weight, 0)
        vectors[np.diff(ppmi.indptr) == 0] = 0
        return unit_rows(drop_rounding(vectors * scales.astype(np.float32))), []
    vectors[np.diff(pairs.indptr) == 0] = 0  # training leaves these as they are
    from transferkit._training.words.vectors import GloVe, SkipGram, train_word_vectors

    make_objective = {
        "glove": lambda totals, generator: GloVe(totals, settings.x_max),
        "sgns": lambda totals, generator: SkipGram(totals, settings.n_negative, settings.smoothing, generator),
    }[settings.method]
    trained, losses = train_word_vectors(
        pairs,
        vectors * np.sqrt(sizes),
        np.where(values < 0, np.float32(-1), np.float32(1)),
        make_objective,
        unit=settings.window,
        max_iter=settings.max_iter,
        learning_rate=settings.learning_rate,
        device=settings.device,
        seed=int(random_state.randint(2**31)),
        on_epoch=lambda read: on_epoch(lambda: unit_rows(read())),
    )
    return unit_rows(trained), losses


def _decompose(
    ppmi: sparse.csr_array, settings: TrainingSettings, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenvectors and eigenvalues, computed on a GPU if the settings ask for one."""
    n_components, n_jobs = settings.n_components, settings.n_jobs
    is_large = ppmi.shape[0] > max(SMALL, 5 * n_components)
    if is_large and (settings.method != "ppmi-svd" or settings.device not in ("auto", "cpu")):
        from transferkit._training.device import choose_device
        from transferkit._training.words.eigenvectors import leading_eigenvectors_on_device

        device = choose_device(settings.device)
        if device.type != "cpu":
            return leading_eigenvectors_on_device(ppmi, n_components, random_state, device)
    # The products are divided among our own threads, with which threads of BLAS would compete for the cores.
    with threadpool_limits(1 if effective_n_jobs(n_jobs) > 1 else None, user_api="blas"):
        return leading_eigenvectors(ppmi, n_components, random_state, threaded_map(n_jobs))
