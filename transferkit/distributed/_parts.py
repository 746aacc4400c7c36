"""Parts of an output: parquet files that are whole or not there."""

import json
import os
import secrets

import numpy as np
from scipy import sparse

from transferkit.distributed._shards import import_parquet, is_url, split_url

_KEY = b"transferkit"


class Output:
    """A folder of parts, local or anywhere that fsspec reaches."""

    def __init__(self, folder):
        folder = os.fspath(folder).rstrip("/")
        self.folder = folder if is_url(folder) else os.path.abspath(folder)  # workers may run elsewhere

    def path_of(self, number):
        """Return the path of the part of a shard."""
        return f"{self.folder}/part-{number:05d}.parquet"

    def prepare(self, n_parts):
        """Make the folder, and raise ValueError when it holds parts of a run with more shards."""
        if is_url(self.folder):
            file_system, place = split_url(self.folder)
            file_system.makedirs(place, exist_ok=True)
            names = [path.rpartition("/")[2] for path in file_system.ls(place, detail=False)]
        else:
            os.makedirs(self.folder, exist_ok=True)
            names = os.listdir(self.folder)
        ours = {self.path_of(number).rpartition("/")[2] for number in range(n_parts)}
        others = sorted(name for name in names if name.startswith("part-") and name not in ours)
        if others:
            raise ValueError(
                f"The folder {self.folder!r} holds {others[0]!r}, which this run of {n_parts} shards would not write. "
                "Give another folder, or empty it."
            )

    def is_whole(self, number, origin):
        """Return whether the part is there, to its last byte, and made from just that."""
        parquet = import_parquet()
        try:
            with self._open(self.path_of(number), "rb") as file:
                found = parquet.ParquetFile(file).schema_arrow.metadata or {}
        except (OSError, ValueError):  # not there, or without the end that a parquet file is read from
            return False
        return found.get(_KEY) == _dump(origin)

    def write(self, number, origin, tables):
        """Write a part from one or more Arrow tables under another name, and then give it its own."""
        parquet = import_parquet()
        path = self.path_of(number)
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{secrets.token_hex(8)}.tmp"
        try:
            with self._open(temporary, "wb") as file:
                tables = iter(tables)
                first = next(tables)
                schema = first.schema.with_metadata({_KEY: _dump(origin)})
                with parquet.ParquetWriter(file, schema) as writer:
                    writer.write_table(first.cast(schema))
                    for table in tables:
                        writer.write_table(table.cast(schema))
                file.flush()
                if not is_url(temporary):
                    os.fsync(file.fileno())
            self._rename(temporary, path)
        except BaseException:
            self._remove(temporary)
            raise

    def _open(self, path, mode):
        if not is_url(path):
            return open(path, mode)
        file_system, place = split_url(path)
        return file_system.open(place, mode)

    def _rename(self, temporary, path):
        if is_url(path):
            file_system, place = split_url(path)
            file_system.mv(split_url(temporary)[1], place)
        else:
            os.replace(temporary, path)

    def _remove(self, path):
        if is_url(path):
            file_system, place = split_url(path)
            if file_system.exists(place):
                file_system.rm(place)
        elif os.path.exists(path):
            os.unlink(path)


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


def _dump(origin):
    return json.dumps(origin, sort_keys=True).encode()
