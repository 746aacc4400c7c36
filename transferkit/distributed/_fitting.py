"""Fitting an encoder to a corpus in shards."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sklearn.base import BaseEstimator, clone

from transferkit._validation import with_plain_outputs
from transferkit.distributed._map_reduce import make_runner, run_tasks, warn_of_skipped
from transferkit.distributed._shards import find_shards, n_rows_of
from transferkit.encoders.protocols import FitsInPasses, ShardPass
from transferkit.exceptions import ShardError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["fit_sharded"]

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

    Workers read the shards and compute the statistics of each; these are merged pairwise on the workers, and one worker
    fits the encoder to the total. The result is that of ``encoder.fit`` on all shards at once, for any number of
    workers: exactly for counts (and so for :class:`TfidfEncoder` and the vocabulary of all text encoders), up to
    rounding for the vectors of :class:`LSAEncoder` and :class:`WordVectorEncoder` and the centres of
    :class:`KMeansEncoder`.

    Parameters
    ----------
    encoder : TfidfEncoder, LSAEncoder, WordVectorEncoder, KMeansEncoder, or other estimator
        The estimator to fit, in place; an earlier fit is forgotten. Other estimators need `partial_fit` and `merge`,
        and the result is as exact as these are.
    shards : Dask collection, str, path, or iterable
        A Dask Bag, Array or DataFrame column; a pattern of file names, such as "texts/*.jsonl" or
        "s3://bucket/texts/*.parquet" (txt, csv, tsv, jsonl, these with .gz, parquet; npy for feature vectors); or a
        list of shards, each a path (:class:`pathlib.Path`), a collection of texts, an array, or a function without
        arguments that returns one of these. Data in memory is sent through the scheduler: for large data give files or
        functions.
    client : distributed.Client, default=None
        Client of a Dask cluster. None runs with joblib, as :func:`joblib.parallel_config` says.
    merge_every : int, default=8
        Maximum number of shards that one task adds up before its statistics are merged with those of another task;
        fewer if workers would be idle. A worker holds a few such statistics, however many shards there are.
    errors : {"raise", "skip"}, default="raise"
        How to handle a shard that cannot be read or processed: raise a `ShardError` with its name, or leave it out,
        warn, and list it in `skipped_shards_`.
    column : str, default="text"
        Column or key of the texts (or, in parquet files, of the feature vectors) in files.
    keep_statistics : bool, default=False
        Whether the encoder keeps the statistics that `partial_fit` and `merge` need. They may be much larger than the
        rest of it: frequencies of excluded terms, co-occurrence counts of words.

    Returns
    -------
    encoder : estimator
        The fitted encoder. `n_shards_` is the number of shards used, `skipped_shards_` lists those left out, and
        `n_documents_` (k-means: ``counts_.sum()``) is the number of texts or feature vectors.

    Raises
    ------
    ShardError
        If a shard cannot be read or processed (with ``errors="skip"``: if none can, or if one fails in a later pass).
    WorkerLostError
        If workers died several times at the same task, most often out of memory.
    ValueError
        If a parameter is invalid, or all shards are empty.
    TypeError
        If the encoder has no statistics that add up.

    See Also
    --------
    encode_sharded : Encode a corpus in shards.
    predict_sharded : Predict for a corpus in shards.

    Notes
    -----
    When a worker dies, its statistics are lost; Dask computes them again from the shards on other workers, so that none
    is missing or counted twice. The numbers of shards and of texts are checked after every pass.

    TF-IDF and word vectors take one pass over the shards, LSA ``n_iter + 2``, k-means three and one per iteration. The
    result of k-means depends on the order of the shards, as that of `fit` depends on the order of the samples.

    Counting uses one thread per task. With joblib, statistics are sent to this process, which merges them. By default
    Dask's workers spend half of their time on returning memory to the system; docs/scale.md describes how to change
    this, with measurements.

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
    task = _FitTask(_first_pass(clone(encoder), keep_statistics))
    outcome = run_tasks(task, find_shards(shards, column), make_runner(client, merge_every), skips=errors == "skip")
    fitted, used, skipped = outcome
    if not used:
        name, reason = skipped[0]
        raise ShardError(name, f"{reason}. No other shard could be processed either")
    if fitted is None:
        raise ValueError("All shards are empty: there is nothing to fit.")
    warn_of_skipped(outcome)
    parameters = encoder.get_params(deep=False)
    for name in vars(encoder).keys() - parameters.keys():  # what an earlier fit left
        delattr(encoder, name)
    learned = {name: value for name, value in vars(fitted).items() if name not in parameters}
    vars(encoder).update(learned, n_shards_=len(used), skipped_shards_=[name for name, _ in skipped])
    return encoder


def _first_pass(encoder, keep_statistics):
    if isinstance(encoder, FitsInPasses):
        return encoder.first_pass(keep_statistics)
    if hasattr(encoder, "partial_fit") and hasattr(encoder, "merge"):
        return _PartialFitPass(encoder)
    raise TypeError(
        "fit_sharded fits encoders whose statistics add up: TfidfEncoder, LSAEncoder, WordVectorEncoder, "
        f"KMeansEncoder, and estimators with partial_fit and merge. Got {type(encoder).__name__}."
    )


@dataclass(frozen=True)
class _PartialFitPass:
    """Fits estimators with `partial_fit` and `merge`: the statistics are the estimators themselves."""

    estimator: BaseEstimator

    def add(self, total, X, shard_number):
        """Return the estimator fitted to one more shard."""
        fitted = clone(self.estimator).partial_fit(X)  # not `total`: a shard that fails must leave it as it was
        return fitted if total is None else self.merge(total, fitted)

    def merge(self, left, right):
        """Return both estimators merged."""
        return copy(left).merge(right)

    def finish(self, total):
        """Return the fitted estimator."""
        return total


@dataclass(frozen=True)
class _FitTask:
    """A pass of an encoder as a task: it reads shards, and leaves out those without rows."""

    current: ShardPass

    def add_shard(self, total, shard, computed):
        """Return the statistics plus those of a shard, and the number of its rows."""
        X = shard.read(computed)
        n_rows = n_rows_of(X)
        return (self.current.add(total, X, shard.number) if n_rows else total), n_rows

    def merge(self, left, right):
        """Return the sum of two statistics."""
        return self.current.merge(left, right)

    def finish(self, total):
        """Return the task of the next pass, or the fitted encoder."""
        following = self.current.finish(total)
        return _FitTask(following) if isinstance(following, ShardPass) else following
