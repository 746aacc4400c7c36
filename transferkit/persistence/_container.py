"""The container of a model file: a safetensors file, written atomically and read without copying."""

import contextlib
import json
import math
import os
import secrets
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from transferkit.exceptions import ModelFileError

_DTYPES = {
    "BOOL": np.bool_,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
STORABLE_DTYPES = frozenset(np.dtype(dtype) for dtype in _DTYPES.values())
_METADATA_KEY = "transferkit"
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format


def write_container(path, arrays, metadata):
    """Write arrays (by name) and metadata (JSON data) so that `path` is the old or the new file, never half of one."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"The model file {os.fspath(path)!r} cannot be written: a folder has that name.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"The model file {os.fspath(path)!r} cannot be written: its folder does not exist.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = temporary.stat().st_mode  # what the user's umask allows; the writer makes its file private
        try:
            save_file(contiguous, temporary, {_METADATA_KEY: json.dumps(metadata, allow_nan=False)})
        except SafetensorError as error:
            raise OSError(f"The model file {os.fspath(path)!r} could not be written: {error}") from error
        temporary.chmod(mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def read_header(path):
    """Return the metadata, the tensor table (name -> dtype, shape, data_offsets) and where the data begin."""
    try:
        with open(path, "rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(n_bytes - 8, _LARGEST_HEADER):
                raise _foreign(path)
            header = json.loads(file.read(length))
            metadata = json.loads(header.pop("__metadata__")[_METADATA_KEY])
    except FileNotFoundError:
        raise ModelFileError(f"There is no model file {os.fspath(path)!r}.") from None
    except OSError as error:
        raise ModelFileError(f"The model file {os.fspath(path)!r} could not be read: {error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise _foreign(path) from error
    _check_table(path, header, n_bytes - 8 - length)
    return metadata, header, 8 + length


def read_arrays(path, table, start, *, mmap):
    """Return the arrays of the table, read-only and mapped from the file, or in memory."""
    content = np.memmap(path, np.uint8, mode="r") if mmap else np.fromfile(path, np.uint8)
    content = content[start:].view(np.ndarray)
    arrays = {}
    for name, entry in table.items():
        begin, end = entry["data_offsets"]
        arrays[name] = content[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def _check_table(path, table, n_bytes):
    """Compare each entry with the file before anything is allocated."""
    try:
        for entry in table.values():
            (begin, end), shape = entry["data_offsets"], entry["shape"]
            numbers = [begin, end, *shape]
            whole = all(type(number) is int and number >= 0 for number in numbers)
            size = math.prod(shape) * np.dtype(_DTYPES[entry["dtype"]]).itemsize if whole else -1
            if size != end - begin or end > n_bytes:
                raise ModelFileError(
                    f"The model file {os.fspath(path)!r} is damaged or cut off: its arrays do not fit."
                )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"The model file {os.fspath(path)!r} is damaged: its table of arrays is broken."
        ) from error


def _foreign(path):
    return ModelFileError(
        f"The file {os.fspath(path)!r} is not a transferkit model file, or is damaged. "
        "Model files are written by transferkit.save; for joblib or pickle files use joblib.load."
    )
