"""Encoding of, and predicting for, a corpus in shards: one parquet file per shard."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from transferkit._validation import check_is_fitted, with_plain_outputs
from transferkit.datasets.files import is_url, open_binary, split_url
from transferkit.distributed._map_reduce import make_runner, run_tasks, warn_of_skipped
from transferkit.distributed._shards import as_sequence, find_shards, import_parquet, n_rows_of
from transferkit.persistence import fingerprint, load_shared, write_atomically

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["encode_sharded", "predict_sharded"]

_METHODS = ("predict", "predict_proba", "decision_function")
_KEY = b"transferkit"  # in the metadata of the schema


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
        A model file, which each worker process loads once, memory-mapped and shared by its threads, and which all
        workers must find under that name; or the transformer itself, which is then sent to the workers.
    shards : Dask collection, str, path, or iterable
        As in :func:`fit_sharded`.
    out : str or path
        Folder, local or any URL of fsspec, of the files ``part-00000.parquet`` and so on: one per shard, in the order
        of the shards, with rows in the order of the shard. A column `features` holds the feature vectors; sparse ones
        are in two columns, `features_indices` and `features_values`.
    client : distributed.Client, default=None
        Client of a Dask cluster. None runs with joblib, as :func:`joblib.parallel_config` says.
    errors : {"raise", "skip"}, default="raise"
        How to handle a shard that cannot be read or encoded: raise a `ShardError` with its name, or write the others
        and warn.
    column : str, default="text"
        Column or key of the texts in files.
    batch_size : int, default=4096
        Number of texts or rows encoded at a time.

    Returns
    -------
    paths : list of str
        Paths of the files, in the order of the shards, without those of shards left out.

    Raises
    ------
    ShardError
        If a shard cannot be read or encoded.
    WorkerLostError
        If workers died several times at the same task.
    ValueError
        If the folder holds files of a run with more shards.

    See Also
    --------
    fit_sharded : Fit an encoder to a corpus in shards.
    predict_sharded : Predict for a corpus in shards.

    Notes
    -----
    No file is written for an empty shard. Files are written under a temporary name and then renamed, so each is
    complete or does not exist; a killed worker may leave a file that ends in ``.tmp`` and can be deleted. A repeated
    run keeps the files that are complete and were made by the same model from the same shard: a file is the same shard
    if its size and modification time are unchanged, data in memory if it is equal; shards that functions return are
    always encoded again.

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
        A model file or the model itself, as in :func:`encode_sharded`.
    shards : Dask collection, str, path, or iterable
        As in :func:`fit_sharded`.
    out : str or path
        Folder of the files, as in :func:`encode_sharded`. A column `prediction` holds the result of `method`.
    method : {"predict", "predict_proba", "decision_function"}, default="predict"
        Method of the model to call.
    client : distributed.Client, default=None
        Client of a Dask cluster. None runs with joblib, as :func:`joblib.parallel_config` says.
    errors : {"raise", "skip"}, default="raise"
        How to handle a shard that cannot be read or predicted: raise a `ShardError` with its name, or write the others
        and warn.
    column : str, default="text"
        Column or key of the texts in files.
    batch_size : int, default=4096
        Number of texts or rows predicted at a time.

    Returns
    -------
    paths : list of str
        Paths of the files, in the order of the shards, without those of shards left out.

    Raises
    ------
    ShardError
        If a shard cannot be read or predicted.
    WorkerLostError
        If workers died several times at the same task.
    ValueError
        If the folder holds files of a run with more shards.

    See Also
    --------
    encode_sharded : Encode a corpus in shards; its notes describe how files are written, and when they are kept.
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
    found, folder = find_shards(shards, column), _PartFolder(out)
    folder.prepare(len(found))
    task = _WriteTask(model, method, name, folder, batch_size)
    outcome = run_tasks(task, found, make_runner(client, merge_every=1), skips=errors == "skip")
    warn_of_skipped(outcome)
    return [folder.path_of(number) for number in sorted(outcome.result or ())]


@dataclass(frozen=True)
class _WriteTask:
    """Writes the part of each shard, unless it is there already; the statistics are the numbers of the parts."""

    model: Any  # fitted, or the path of its file
    method: str
    name: str  # of the column
    folder: _PartFolder
    batch_size: int

    def add_shard(self, total, shard, computed):
        """Write the part of a shard, and return the numbers of parts and the number of rows written."""
        model = load_shared(self.model) if isinstance(self.model, str) else self.model
        origin = {"model": fingerprint(model), "method": self.method, "shard": shard.name, "stamp": shard.stamp()}
        written = (*(total or ()), shard.number)
        if origin["stamp"] is not None and self.folder.is_complete(shard.number, origin):
            return written, 0
        data = as_sequence(shard.read(computed))
        n_rows = n_rows_of(data)
        if n_rows == 0:
            return total, 0
        self.folder.write(shard.number, origin, self._tables(getattr(model, self.method), data, n_rows))
        return written, n_rows

    def merge(self, left, right):
        """Return the numbers of both."""
        return left + right

    def finish(self, total):
        """Return the numbers of the parts."""
        return total

    def _tables(self, predict, data, n_rows):
        rows = data.iloc if hasattr(data, "iloc") else data
        for begin in range(0, n_rows, self.batch_size):
            yield _to_table(predict(rows[begin : begin + self.batch_size]), self.name)


class _PartFolder:
    """A folder of parts, local or anywhere that fsspec reaches."""

    def __init__(self, folder):
        folder = os.fspath(folder).rstrip("/")
        self.folder = folder if is_url(folder) else os.path.abspath(folder)  # workers may run elsewhere

    def path_of(self, number):
        """Return the path of the part of a shard."""
        return f"{self.folder}/{_name_part(number)}"

    def prepare(self, n_parts):
        """Make the folder, and raise ValueError if it holds parts of a run with more shards."""
        if is_url(self.folder):
            file_system, place = split_url(self.folder)
            file_system.makedirs(place, exist_ok=True)
            names = [path.rpartition("/")[2] for path in file_system.ls(place, detail=False)]
        else:
            os.makedirs(self.folder, exist_ok=True)
            names = os.listdir(self.folder)
        ours = set(map(_name_part, range(n_parts)))
        others = sorted(name for name in names if name.startswith("part-") and name not in ours)
        if others:
            raise ValueError(
                f"The folder {self.folder!r} holds {others[0]!r}, which this run of {n_parts} shards would not write. "
                "Give another folder, or empty it."
            )

    def is_complete(self, number, origin):
        """Return whether the part exists, with its footer, and was made from this origin (a dict)."""
        try:
            with open_binary(self.path_of(number)) as file:
                metadata = import_parquet().read_schema(file).metadata or {}
        except (OSError, ValueError):  # missing, or without the footer that ends a parquet file
            return False
        return metadata.get(_KEY) == _dump(origin)

    def write(self, number, origin, tables):
        """Write a part from one or more Arrow tables."""
        tables = iter(tables)
        first = next(tables)
        schema = first.schema.with_metadata({_KEY: _dump(origin)})
        with _replace(self.path_of(number)) as file, import_parquet().ParquetWriter(file, schema) as writer:
            writer.write_table(first.cast(schema))
            for table in tables:
                writer.write_table(table.cast(schema))


def _to_table(values, name):
    """Return a model's output as an Arrow table with one column, or two (indices and values) for sparse rows."""
    import pyarrow as pa

    if sparse.issparse(values):
        rows = sparse.csr_array(values)
        offsets = pa.array(rows.indptr.astype(np.int32))
        indices = pa.ListArray.from_arrays(offsets, pa.array(rows.indices.astype(np.int32)))
        return pa.table({f"{name}_indices": indices, f"{name}_values": pa.ListArray.from_arrays(offsets, rows.data)})
    values = np.asarray(values)
    if values.ndim == 1:
        return pa.table({name: pa.array(values.tolist() if values.dtype.kind in "OU" else values)})
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.table({name: pa.FixedSizeListArray.from_arrays(flat, values.shape[1])})


def _name_part(number):
    return f"part-{number:05d}.parquet"


def _dump(origin):
    return json.dumps(origin, sort_keys=True).encode()


@contextmanager
def _replace(path):
    """Open a temporary file to write, renamed to `path` if the block raises no error, and deleted otherwise."""
    if not is_url(path):
        with write_atomically(path, "part") as temporary, open(temporary, "wb") as file:
            yield file
        return
    file_system, place = split_url(path)
    folder, _, name = place.rpartition("/")
    temporary = f"{folder}/.{name}.{secrets.token_hex(8)}.tmp"
    try:
        with file_system.open(temporary, "wb") as file:
            yield file
        file_system.mv(temporary, place)
    except BaseException:
        if file_system.exists(temporary):
            file_system.rm(temporary)
        raise
