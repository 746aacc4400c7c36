"""Shards of a corpus: what they are called, and how a worker reads them."""

import glob
import os
from collections.abc import Iterable

import joblib
import numpy as np

from transferkit.datasets import load_corpus
from transferkit.datasets._text_files import kind_of
from transferkit.exceptions import MissingExtraError

KINDS = ("txt", "csv", "tsv", "jsonl", "parquet", "npy")


class Shard:
    """A part of a corpus with a name and a place in it, which a worker reads when its turn comes."""

    futures: dict = {}  # what a cluster must compute before it can be read: key of the graph -> future

    def __init__(self, name, number):
        self.name, self.number = name, number

    def read(self, computed):
        """Return a list of texts, or rows; `computed` are the values of `futures`."""
        raise NotImplementedError

    def stamp(self):
        """Return what changes when the content does, or None when nothing is known of it."""
        return


class HeldShard(Shard):
    """Texts or rows that are in memory."""

    def __init__(self, name, number, data):
        super().__init__(name, number)
        self.data = data

    def read(self, computed):
        return self.data

    def stamp(self):
        return joblib.hash(self.data)


class CalledShard(Shard):
    """A function without arguments that returns texts or rows."""

    def __init__(self, name, number, function):
        super().__init__(name, number)
        self.function = function

    def read(self, computed):
        return as_rows(self.function())


class FileShard(Shard):
    """A file, local or anywhere that fsspec reaches."""

    def __init__(self, path, number, column):
        path = os.fspath(path)
        super().__init__(path if is_url(path) else os.path.abspath(path), number)  # workers may run elsewhere
        self.column = column

    def read(self, computed):
        kind = kind_of(self.name)
        if kind == "npy":
            with open_binary(self.name) as file:
                return np.load(file)
        return _read_parquet(self.name, self.column) if kind == "parquet" else load_corpus(self.name, text=self.column)

    def stamp(self):
        if is_url(self.name):
            file_system, path = split_url(self.name)
            found = file_system.info(path)
            changed = next((found[key] for key in ("ETag", "mtime", "LastModified", "created") if key in found), None)
            return None if changed is None else f"{found['size']} {changed}"
        status = os.stat(self.name)
        return f"{status.st_size} {status.st_mtime_ns}"


class PartitionShard(Shard):
    """A partition of a Dask collection: the part of its graph that leads there."""

    def __init__(self, name, number, graph, key, futures):
        super().__init__(name, number)
        self.graph, self.key, self.futures = graph, key, futures

    def read(self, computed):
        import dask

        return as_rows(dask.get({**self.graph, **computed}, self.key))

    def stamp(self):
        return str(self.key)  # Dask names a partition by what it is computed from

    def __getstate__(self):
        return {**vars(self), "futures": {}}


def find_shards(shards, column):
    """Return the shards of a corpus.

    Parameters
    ----------
    shards : Dask collection, str, path, or iterable
        What :func:`transferkit.distributed.fit_sharded` takes.
    column : str
        Column or key of the texts in files.

    Returns
    -------
    found : list of Shard
        At least one.
    """
    if hasattr(shards, "__dask_graph__"):
        found = _partitions(shards)
    elif isinstance(shards, (str, os.PathLike)):
        found = [FileShard(path, number, column) for number, path in enumerate(_match(os.fspath(shards)))]
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


def as_rows(data):
    """Return what has a length as it is, and else a list of its items."""
    return data if hasattr(data, "__len__") or hasattr(data, "shape") else list(data)


def n_rows_of(data):
    """Return the number of texts or rows."""
    return data.shape[0] if hasattr(data, "shape") else len(data)


def is_url(path):
    """Return whether a path names its protocol."""
    return "://" in path


def split_url(url):
    """Return the file system of a URL or path, and the path there."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"Reaching {url!r}", "dask") from error
    return url_to_fs(url)


def open_binary(path):
    """Open a local file, or one behind a URL, to read bytes."""
    if not is_url(path):
        return open(path, "rb")
    file_system, place = split_url(path)
    return file_system.open(place, "rb")


def import_parquet():
    """Return pyarrow.parquet, or raise with the command that installs it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading and writing parquet files", "dask") from error
    return pyarrow.parquet


def _read_parquet(path, column):
    parquet = import_parquet()
    with open_binary(path) as file:
        content = parquet.ParquetFile(file)
        names = content.schema_arrow.names
        if column not in names:
            raise ValueError(f"The file {path!r} has no column {column!r}. Its columns are: {names}.")
        values = content.read([column]).column(column)
    kind = values.type
    if hasattr(kind, "value_type") and hasattr(values.combine_chunks(), "flatten"):  # rows of numbers
        flat = values.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(values), -1) if len(values) else np.empty((0, 0), np.float32)
    return values.to_pylist()


def _match(pattern):
    """Return the files that a pattern matches, by name."""
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
        return FileShard(item, number, column)
    if isinstance(item, (str, bytes)):
        raise ValueError(
            f"A shard is a collection of texts, and {name} is one bare {type(item).__name__}. Wrap it: [[text], ...]; "
            "or, if it names a file, give a pathlib.Path."
        )
    if callable(item):
        return CalledShard(name, number, item)
    if not isinstance(item, Iterable) and not hasattr(item, "shape"):
        raise TypeError(f"A shard is a path, a collection, or a function that returns one. {name} is {item!r}.")
    return HeldShard(name, number, as_rows(item))


def _partitions(collection):
    from dask.core import flatten
    from dask.optimization import cull

    if getattr(collection, "ndim", 1) == 2 and hasattr(collection, "rechunk"):
        collection = collection.rechunk({1: -1})
    graph = dict(collection.__dask_graph__())
    keys = list(flatten(collection.__dask_keys__()))
    if not any(map(_is_future, graph.values())):  # else it is on its cluster already, and stays as it is
        parts = np.ravel(collection.to_delayed()).tolist()
        graph, keys = dict(parts[0].__dask_graph__()), [part.key for part in parts]
    found = []
    for number, key in enumerate(keys):
        part = dict(cull(graph, [key])[0])
        futures = {name: value for name, value in part.items() if _is_future(value)}
        part = {name: value for name, value in part.items() if name not in futures}
        found.append(PartitionShard(f"partition {number}", number, part, key, futures))
    return found


def _is_future(value):
    return hasattr(value, "add_done_callback") and hasattr(value, "key")
