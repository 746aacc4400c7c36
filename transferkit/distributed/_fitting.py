"""Pretraining by shards: the statistics of each are added up where they are."""

from __future__ import annotations

from copy import copy
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.normalisation import orthonormal
from transferkit._algorithms.linalg.truncated_svd import (
    N_SPARE,
    RightVectors,
    draw_start,
    vectors_of_image,
)
from transferkit._validation import with_plain_outputs
from transferkit.distributed._clusters import fit_kmeans
from transferkit.distributed._runners import Step, make_runner, used_shards, warn_of_skipped
from transferkit.distributed._shards import find_shards
from transferkit.encoders import KMeansEncoder, LSAEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.encoders.text._blocks import TermStatistics
from transferkit.encoders.words._counts import WordCounts
from transferkit.exceptions import ShardError

if TYPE_CHECKING:
    from distributed import Client

Estimator = TypeVar("Estimator", bound=BaseEstimator)


@with_plain_outputs
def fit_sharded(
    encoder: Estimator,
    shards: Any,
    *,
    client: Client | None = None,
    merge_every: int = 8,
    errors: Literal["raise", "skip"] = "raise",
    column: str = "text",
    keep_statistics: bool = False,
) -> Estimator:
    """Fit an encoder to a corpus in shards, on a Dask cluster or with joblib.

    Workers read the shards and learn from each; what they learned is added up on the workers, two and two, and one of
    them makes the encoder of the total. The result is that of ``encoder.fit`` on all shards at once: exactly for counts
    (and so for :class:`TfidfEncoder` and the vocabulary of all text encoders), to rounding for
    the vectors of :class:`LSAEncoder` and :class:`WordVectorEncoder` and the centres of :class:`KMeansEncoder`,
    whatever the number of workers.

    Parameters
    ----------
    encoder : TfidfEncoder, LSAEncoder, WordVectorEncoder, KMeansEncoder, or other estimator
        What to fit, in place; what it had learned is forgotten. Other estimators need `partial_fit` and `merge`, and
        are as exact as these.
    shards : Dask collection, str, path, or iterable
        A Dask Bag, Array or DataFrame column; a pattern of file names, such as "texts/*.jsonl" or
        "s3://bucket/texts/*.parquet" (txt, csv, tsv, jsonl, these with .gz, parquet; npy for rows); or a list
        of shards, each a path (:class:`pathlib.Path`), a collection of texts, rows, or a function without
        arguments that returns one. What is in memory travels through the scheduler: for much data give files
        or functions.
    client : distributed.Client, default=None
        Client of a Dask cluster. None runs with joblib, as :func:`joblib.parallel_config` says.
    merge_every : int, default=8
        Shards that a task takes in, one after the other, before its statistics are joined with those of another task;
        fewer where workers would lack tasks. A worker holds a few such statistics, however many shards there are.
    errors : {"raise", "skip"}, default="raise"
        What to do about a shard that cannot be read or learned: raise a `ShardError` with its name, or leave it out,
        warn, and list it in `skipped_shards_`.
    column : str, default="text"
        Column or key of the texts (or, in parquet files, of rows of numbers) in files.
    keep_statistics : bool, default=False
        Whether the encoder keeps what `partial_fit` and `merge` need. It may be much larger than the rest: frequencies
        of terms that were left out, counts of pairs of words.

    Returns
    -------
    encoder : estimator
        The fitted encoder, which in `n_shards_` and `skipped_shards_` says what it was fitted on, and in `n_documents_`
        (k-means: ``counts_.sum()``) how many texts or rows that were.

    Raises
    ------
    ShardError
        If a shard cannot be read or learned (with ``errors="skip"``: if none can, or if one fails that could be read in
        an earlier pass).
    WorkerLostError
        If workers died at the same task several times, most often out of memory.
    TypeError
        If the encoder is not one that adds up.

    See Also
    --------
    encode_sharded : Encode a corpus in shards.
    predict_sharded : Predict for a corpus in shards.

    Notes
    -----
    A worker that dies takes its statistics with it; Dask has others compute them again from the shards, so that none is
    missing or counted twice. The number of shards and texts is checked at the end of every pass.

    TF-IDF and word vectors take one pass over the shards. LSA takes ``n_iter + 2``: one for the vocabulary, then each
    multiplies the rows and their transpose with a matrix of one column a component, the same iteration that `fit` does.
    k-means takes two for its start and one for each step of the centres; its result depends on the order of the
    shards as that of `fit` on the order of rows.

    Counting uses one thread a task. Dask's workers spend half of their time on giving memory back unless they are told
    not to: docs/scale.md says how, and what to expect of a cluster. With joblib, statistics return to this process,
    which joins them.

    Examples
    --------
    >>> from transferkit import TfidfEncoder
    >>> from transferkit.distributed import fit_sharded
    >>> encoder = fit_sharded(TfidfEncoder(), [["a matrix has rows"], ["a vector has entries", "rows and columns"]])
    >>> encoder.n_documents_, encoder.n_shards_
    (3, 2)
    """
    if errors not in ("raise", "skip"):
        raise ValueError(f"The 'errors' parameter of fit_sharded must be 'raise' or 'skip'. Got {errors!r} instead.")
    if not isinstance(merge_every, Integral) or merge_every < 1:
        raise ValueError(
            f"The 'merge_every' parameter of fit_sharded must be an int of at least 1. Got {merge_every!r} instead."
        )
    fit = _choose_way(encoder)
    _check_parameters(encoder)
    found, runner = find_shards(shards, column), make_runner(client, merge_every)
    total, fitted = fit(clone(encoder), found, runner, errors == "skip")
    used = used_shards(runner, total, found)
    skipped = runner.fetch(runner.call(_skipped_shards, total))
    if not used:
        raise ShardError(skipped[0][0], f"{skipped[0][1]}. No other shard could be learned either")
    fitted = runner.fetch(runner.call(_drop_statistics, fitted, keep_statistics))
    if skipped:
        warn_of_skipped(skipped, len(found))
    learned = {name: value for name, value in vars(fitted).items() if name not in encoder.get_params(deep=False)}
    vars(encoder).update(learned, n_shards_=len(used), skipped_shards_=[name for name, _ in skipped])
    return encoder


def _check_parameters(encoder):
    """Raise for bad parameters here, in the words of `fit`, and not for each shard on a worker."""
    if hasattr(encoder, "_parameter_constraints"):
        encoder._validate_params()
    for make in ("_make_tfidf", "_make_words"):
        if hasattr(encoder, make):
            _check_parameters(getattr(encoder, make)())
    if type(encoder) is TfidfEncoder:
        clone(encoder)._prepare_fit()


def _choose_way(encoder):
    for kind, fit in _WAYS.items():
        if type(encoder) is kind:
            return fit
    if hasattr(encoder, "partial_fit") and hasattr(encoder, "merge"):
        return _fit_any
    raise TypeError(
        "fit_sharded fits encoders whose statistics add up: TfidfEncoder, LSAEncoder, WordVectorEncoder, "
        f"KMeansEncoder, and estimators with partial_fit and merge. Got {type(encoder).__name__}."
    )


def _fit_tfidf(encoder, shards, runner, skips):
    counted = runner.reduce(Step(_count_terms, _TermMerger(encoder.max_vocabulary), skips), shards, encoder)
    return counted, runner.call(_finish_tfidf, encoder, counted)


def _count_terms(texts, shard, encoder):
    return encoder._learn(encoder._prepare_fit(), texts)


class _TermMerger(NamedTuple):
    max_terms: int | None

    def __call__(self, a, b):
        return a.merge(b, self.max_terms)


def _finish_tfidf(encoder, partial):
    if partial.statistics is not None:
        encoder._store(TermStatistics(*partial.statistics), keeps_all=True)
    return encoder


def _fit_words(encoder, shards, runner, skips):
    step = Step(_count_words, _WordMerger(encoder._bounds()), skips, add=_count_more_words)
    counted = runner.reduce(step, shards, encoder)
    return counted, runner.call(_finish_words, encoder, counted)


def _count_words(texts, shard, encoder):
    return encoder._count(WordCounts(), texts)


def _count_more_words(counts, texts, shard, encoder):
    return encoder._count(counts, texts)


class _WordMerger(NamedTuple):
    bounds: tuple

    def __call__(self, a, b):
        return a.merge(b, self.bounds)


def _finish_words(encoder, partial):
    if partial.statistics is not None:
        learned = encoder._learn(partial.statistics)
        vars(encoder).update(learned, _counts=tuple(partial.statistics), _keeps_counts=True)
    return encoder


def _fit_lsa(encoder, shards, runner, skips):
    blank = encoder._make_tfidf()
    counted, tfidf = _fit_tfidf(blank, shards, runner, skips)
    used = used_shards(runner, counted, shards)
    if not used:
        return counted, encoder
    basis = runner.call(_draw_basis, encoder, tfidf)
    multiply = Step(_multiply, np.add, add=_add_products)
    for _ in range(encoder.n_iter):
        basis = runner.call(_next_basis, tfidf, runner.reduce(multiply, used, tfidf, basis))
    image = runner.reduce(multiply, used, tfidf, basis)
    return counted, runner.call(_finish_lsa, encoder, tfidf, basis, image)


def _draw_basis(encoder, tfidf):
    n_terms = len(tfidf.idf_)
    n_vectors = min(encoder.n_components + N_SPARE, tfidf.n_documents_, n_terms)
    return draw_start(n_terms, n_vectors, check_random_state(encoder.random_state))


def _multiply(texts, shard, tfidf, basis):
    """Return X' X B of the TF-IDF rows X of a shard."""
    rows = tfidf.transform(texts)
    return rows.T @ (rows @ basis)


def _add_products(products, texts, shard, tfidf, basis):
    products += _multiply(texts, shard, tfidf, basis)
    return products


def _next_basis(tfidf, partial):
    return orthonormal(_checked(tfidf, partial))


def _checked(tfidf, partial):
    if partial.n_documents != tfidf.n_documents_:
        raise RuntimeError(
            f"The shards held {tfidf.n_documents_} texts when they were counted and {partial.n_documents} in a later "
            "pass: they must not change."
        )
    return partial.statistics


def _finish_lsa(encoder, tfidf, basis, partial):
    found = vectors_of_image(basis, _checked(tfidf, partial))
    encoder._store(tfidf, RightVectors(*found))
    return encoder


def _fit_any(encoder, shards, runner, skips):
    learned = runner.reduce(Step(_learn_any, _merge_any, skips), shards, encoder)
    return learned, runner.call(_take_statistics, encoder, learned)


def _learn_any(data, shard, encoder):
    return clone(encoder).partial_fit(data)


def _merge_any(a, b):
    return copy(a).merge(b)


def _take_statistics(encoder, partial):
    return encoder if partial.statistics is None else partial.statistics


def _skipped_shards(partial):
    return partial.skipped


def _drop_statistics(encoder, keep):
    """Return the encoder as `fit` and a pickle would leave it, or with all that it needs to learn on."""
    if keep or type(encoder) not in _WAYS:
        return encoder
    if isinstance(encoder, LSAEncoder):
        _drop_statistics(encoder.tfidf_, keep=False)
    for name in ("_keeps_all", "_keeps_counts"):
        if hasattr(encoder, name):
            setattr(encoder, name, False)
    encoder.__setstate__(encoder.__getstate__())
    return encoder


_WAYS = {TfidfEncoder: _fit_tfidf, LSAEncoder: _fit_lsa, WordVectorEncoder: _fit_words, KMeansEncoder: fit_kmeans}
