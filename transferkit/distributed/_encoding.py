"""Encoding and predicting by shards: each becomes a parquet file."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sklearn.base import BaseEstimator

from transferkit._validation import check_is_fitted, with_plain_outputs
from transferkit.distributed._parts import Output, to_table
from transferkit.distributed._runners import Step, make_runner, used_shards, warn_of_skipped
from transferkit.distributed._shards import as_rows, find_shards, import_parquet, n_rows_of
from transferkit.persistence import fingerprint, load_shared

if TYPE_CHECKING:
    from distributed import Client

_METHODS = ("predict", "predict_proba", "decision_function")


@with_plain_outputs
def encode_sharded(
    model: str | os.PathLike[str] | BaseEstimator,
    shards: Any,
    *,
    out: str | os.PathLike[str],
    client: Client | None = None,
    errors: Literal["raise", "skip"] = "raise",
    column: str = "text",
    batch_size: int = 4096,
) -> list[str]:
    """Encode a corpus in shards, each into a parquet file.

    Parameters
    ----------
    model : str, path or fitted transformer
        A model file, which each worker process loads once, mapped into memory and shared by its threads, and which all
        workers must find under that name; or the transformer itself, which is then sent to the workers.
    shards : Dask collection, str, path, or iterable
        As in :func:`fit_sharded`.
    out : str or path
        Folder, local or any URL of fsspec, of the files ``part-00000.parquet`` and so on: one a shard, in their order,
        rows in the order of the shard. A column `features` holds the rows; sparse ones are in two,
        `features_indices` and `features_values`.
    client : distributed.Client, default=None
        Client of a Dask cluster. None runs with joblib, as :func:`joblib.parallel_config` says.
    errors : {"raise", "skip"}, default="raise"
        What to do about a shard that cannot be read or encoded: raise a `ShardError` with its name, or write the others
        and warn.
    column : str, default="text"
        Column or key of the texts in files.
    batch_size : int, default=4096
        Rows that are encoded at a time.

    Returns
    -------
    paths : list of str
        The parts, in the order of the shards; those of shards left out are missing.

    Raises
    ------
    ShardError
        If a shard cannot be read or encoded.
    WorkerLostError
        If workers died at the same task several times.
    ValueError
        If the folder holds parts of a run with more shards.

    See Also
    --------
    fit_sharded : Fit an encoder to a corpus in shards.
    predict_sharded : Predict for a corpus in shards.

    Notes
    -----
    A shard without rows has no part. A part is written under another name and then renamed, so it is whole or not
    there; what a killed worker leaves ends in ``.tmp`` and can be deleted. When the run is repeated, parts that are
    whole and were made by the same model from the same shard are not made again: a file is the same while its size and
    time are, texts in memory while they are equal; shards that functions return are always encoded again.

    Examples
    --------
    >>> from transferkit import LSAEncoder
    >>> from transferkit.distributed import encode_sharded
    >>> encoder = LSAEncoder(2).fit(["the cat sat", "the cat ran", "a stock rose", "a stock fell"])
    >>> encode_sharded(encoder, [["cat"], ["stock"]], out="/data/rows")  # doctest: +SKIP
    ['/data/rows/part-00000.parquet', '/data/rows/part-00001.parquet']
    """
    return _apply(model, shards, "transform", "features", out, client, errors, column, batch_size)


@with_plain_outputs
def predict_sharded(
    model: str | os.PathLike[str] | BaseEstimator,
    shards: Any,
    *,
    out: str | os.PathLike[str],
    method: Literal["predict", "predict_proba", "decision_function"] = "predict",
    client: Client | None = None,
    errors: Literal["raise", "skip"] = "raise",
    column: str = "text",
    batch_size: int = 4096,
) -> list[str]:
    """Predict for a corpus in shards, each into a parquet file.

    Parameters
    ----------
    model : str, path or fitted classifier or regressor
        A model file, which each worker process loads once, mapped into memory and shared by its threads, and which all
        workers must find under that name; or the model itself, which is then sent to the workers.
    shards : Dask collection, str, path, or iterable
        As in :func:`fit_sharded`.
    out : str or path
        Folder, local or any URL of fsspec, of the files ``part-00000.parquet`` and so on: one a shard, in their order,
        rows in the order of the shard. A column `prediction` holds what the method returns.
    method : {"predict", "predict_proba", "decision_function"}, default="predict"
        What is asked of the model.
    client : distributed.Client, default=None
        Client of a Dask cluster. None runs with joblib, as :func:`joblib.parallel_config` says.
    errors : {"raise", "skip"}, default="raise"
        What to do about a shard that cannot be read or predicted: raise a `ShardError` with its name, or write the
        others and warn.
    column : str, default="text"
        Column or key of the texts in files.
    batch_size : int, default=4096
        Rows that are predicted at a time.

    Returns
    -------
    paths : list of str
        The parts, in the order of the shards; those of shards left out are missing.

    Raises
    ------
    ShardError
        If a shard cannot be read or predicted.
    WorkerLostError
        If workers died at the same task several times.
    ValueError
        If the folder holds parts of a run with more shards.

    See Also
    --------
    encode_sharded : Encode a corpus in shards; its notes say how parts are written, and when again.
    """
    if method not in _METHODS:
        raise ValueError(
            f"The 'method' of predict_sharded must be one of {', '.join(_METHODS)}. Got {method!r} instead."
        )
    return _apply(model, shards, method, "prediction", out, client, errors, column, batch_size)


def _apply(model, shards, method, name, out, client, errors, column, batch_size):
    if errors not in ("raise", "skip"):
        raise ValueError(f"The 'errors' parameter must be 'raise' or 'skip'. Got {errors!r} instead.")
    import_parquet()
    if isinstance(model, (str, os.PathLike)):
        model = os.path.abspath(model)
    elif not hasattr(model, method):
        raise TypeError(f"The model has no method {method!r}. Got {type(model).__name__}.")
    else:
        check_is_fitted(model)
    found, output = find_shards(shards, column), Output(out)
    output.prepare(len(found))
    runner = make_runner(client, merge_every=1)
    task = _Task(output, method, name, batch_size)
    step = Step(_write_part, operator.add, errors == "skip", find=_find_part)
    written = runner.reduce(step, found, task, runner.share(model))
    used_shards(runner, written, found)
    partial = runner.fetch(written)
    if partial.skipped:
        warn_of_skipped(partial.skipped, len(found))
    return [output.path_of(number) for number in sorted(partial.statistics or ())]


class _Task(NamedTuple):
    """What is done with each batch of rows, and where it goes."""

    output: Output
    method: str
    name: str
    batch_size: int


def _write_part(data, shard, task, model):
    """Write the part of a shard, and return its number."""
    model = _load(model)
    task.output.write(shard.number, _origin_of(shard, task, model), _make_tables(data, task, model))
    return (shard.number,)


def _find_part(shard, task, model):
    """Return its number if the part of a shard is there already."""
    origin = _origin_of(shard, task, _load(model))
    return (shard.number,) if origin["stamp"] is not None and task.output.is_whole(shard.number, origin) else None


def _origin_of(shard, task, model):
    return {"model": fingerprint(model), "method": task.method, "shard": shard.name, "stamp": shard.stamp()}


def _load(model):
    return load_shared(model) if isinstance(model, str) else model


def _make_tables(data, task, model):
    data = as_rows(data)
    run = getattr(model, task.method)
    for begin in range(0, n_rows_of(data), task.batch_size):
        rows = data.iloc if hasattr(data, "iloc") else data
        yield to_table(run(rows[begin : begin + task.batch_size]), task.name)
