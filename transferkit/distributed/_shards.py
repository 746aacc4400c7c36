"""Shards of a corpus: their names, and how a worker reads them."""

import glob
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import joblib
import numpy as np

from transferkit.datasets import load_corpus
from transferkit.datasets.files import is_url, kind_of, open_binary, split_url
from transferkit.exceptions import MissingExtraError

__all__ = ["Shard", "as_sequence", "find_shards", "import_parquet", "n_rows_of"]

KINDS = ("txt", "csv", "tsv", "jsonl", "parquet", "npy")


def _no_stamp():
    return None


@dataclass(frozen=True)
class Shard:
    """A part of a corpus with a name and a place in it, read by a worker when its turn comes."""

    name: str
    number: int
    read: Callable[[dict], Any]  # returns texts or rows, given the values of `futures`
    stamp: Callable[[], str | None] = _no_stamp  # changes when the content does; None if unknown
    futures: dict = field(default_factory=dict)  # key of a graph -> future, computed on the cluster before it is read

    def without_futures(self) -> "Shard":
        """Return the shard as it is sent to workers."""
        return replace(self, futures={})


def find_shards(shards, column):
    """Return the shards of a corpus, at least one; `shards` and `column` are those of `fit_sharded`."""
    if hasattr(shards, "__dask_graph__"):
        found = _partitions(shards)
    elif isinstance(shards, (str, os.PathLike)):
        found = [_file_shard(path, number, column) for number, path in enumerate(_match(os.fspath(shards)))]
    elif isinstance(shards, Iterable) and not hasattr(shards, "shape"):
        found = [_make_shard(item, number, column) for number, item in enumerate(shards)]
    else:
        raise TypeError(
            "Shards are a Dask collection, a pattern of file names such as 'texts/*.jsonl', or a list of paths, of "
            f"collections, or of functions that return one. Got {type(shards).__name__}."
        )
    if not found:
        raise ValueError("Expected at least one shard, got none.")
    return found


def as_sequence(data):
    """Return data with a length as it is, and other iterables as a list."""
    return data if hasattr(data, "__len__") or hasattr(data, "shape") else list(data)


def n_rows_of(data):
    """Return the number of texts or feature vectors."""
    return data.shape[0] if hasattr(data, "shape") else len(data)


def import_parquet():
    """Return pyarrow.parquet, or raise with the command that installs it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading and writing parquet files", "dask") from error
    return pyarrow.parquet


def _match(pattern):
    """Return the paths that match a pattern, sorted."""
    if is_url(pattern):
        file_system, place = split_url(pattern)
        found = [file_system.unstrip_protocol(path) for path in file_system.glob(place)]
    else:
        found = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    unknown = [path for path in found if kind_of(path) not in KINDS]
    if unknown:
        raise ValueError(f"A shard is a file of one of the kinds {', '.join(KINDS)}. Got {unknown[0]!r}.")
    if not found:
        raise FileNotFoundError(f"No file matches {pattern!r}. A pattern such as 'texts/*.jsonl' names the shards.")
    return sorted(found)


def _make_shard(item, number, column):
    name = f"shard {number}"
    if isinstance(item, os.PathLike):
        return _file_shard(os.fspath(item), number, column)
    if isinstance(item, (str, bytes)):
        raise ValueError(
            f"A shard is a collection of texts, and {name} is one bare {type(item).__name__}. Wrap it: [[text], ...]; "
            "or, if it names a file, give a pathlib.Path."
        )
    if callable(item):
        return Shard(name, number, partial(_call, item))
    if not isinstance(item, Iterable) and not hasattr(item, "shape"):
        raise TypeError(f"A shard is a path, a collection, or a function that returns one. {name} is {item!r}.")
    data = as_sequence(item)
    return Shard(name, number, partial(_return, data), partial(joblib.hash, data))


def _return(data, computed):
    return data


def _call(function, computed):
    return as_sequence(function())


def _file_shard(path, number, column):
    path = path if is_url(path) else os.path.abspath(path)  # workers may run elsewhere
    return Shard(path, number, partial(_read_file, path, column), partial(_stamp_file, path))


def _read_file(path, column, computed):
    kind = kind_of(path)
    if kind not in ("npy", "parquet"):
        return load_corpus(path, text=column)
    with open_binary(path) as file:
        return np.load(file) if kind == "npy" else _read_parquet(file, path, column)


def _read_parquet(file, path, column):
    content = import_parquet().ParquetFile(file)
    names = content.schema_arrow.names
    if column not in names:
        raise ValueError(f"The file {path!r} has no column {column!r}. Its columns are: {names}.")
    values = content.read([column]).column(column)
    if hasattr(values.type, "value_type") and hasattr(values.combine_chunks(), "flatten"):  # rows of numbers
        flat = values.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(values), -1) if len(values) else np.empty((0, 0), np.float32)
    return values.to_pylist()


def _stamp_file(path):
    if not is_url(path):
        status = os.stat(path)
        return f"{status.st_size} {status.st_mtime_ns}"
    file_system, place = split_url(path)
    found = file_system.info(place)
    changed = next((found[key] for key in ("ETag", "mtime", "LastModified", "created") if key in found), None)
    return None if changed is None else f"{found['size']} {changed}"


def _partitions(collection):
    """Return the partitions of a Dask collection, each with the part of the graph that leads to it."""
    from dask.core import flatten
    from dask.optimization import cull

    if getattr(collection, "ndim", 1) == 2 and hasattr(collection, "rechunk"):
        collection = collection.rechunk({1: -1})  # whole rows
    graph = dict(collection.__dask_graph__())
    keys = list(flatten(collection.__dask_keys__()))
    if not any(map(_is_future, graph.values())):  # otherwise it is on its cluster already, and must not be optimised
        parts = np.ravel(collection.to_delayed()).tolist()
        graph, keys = dict(parts[0].__dask_graph__()), [part.key for part in parts]
    return [_make_partition(number, key, dict(cull(graph, [key])[0])) for number, key in enumerate(keys)]


def _make_partition(number, key, graph):
    futures = {name: value for name, value in graph.items() if _is_future(value)}
    graph = {name: value for name, value in graph.items() if name not in futures}
    stamp = partial(str, key)  # Dask names a partition by how it is computed
    return Shard(f"partition {number}", number, partial(_compute, graph, key), stamp, futures)


def _compute(graph, key, computed):
    import dask

    return as_sequence(dask.get({**graph, **computed}, key))


def _is_future(value):
    return hasattr(value, "add_done_callback") and hasattr(value, "key")
