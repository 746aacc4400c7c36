"""Parts of an output: parquet files that name the model and shard they were made from, each complete or absent."""

import json
import os
import secrets
from contextlib import contextmanager

import numpy as np
from scipy import sparse

from transferkit.datasets.files import is_url, open_binary, split_url
from transferkit.distributed._shards import import_parquet
from transferkit.persistence import write_atomically

__all__ = ["PartFolder", "to_table"]

_KEY = b"transferkit"  # in the metadata of the schema


class PartFolder:
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


def to_table(values, name):
    """Return rows of a model's output as an Arrow table.

    Parameters
    ----------
    values : ndarray or sparse matrix, of shape (n_rows,) or (n_rows, n_columns)
        Output.
    name : str
        Column of the table. Sparse rows become two: ``name + "_indices"`` and ``name + "_values"``.

    Returns
    -------
    table : pyarrow.Table
        As many rows.
    """
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
