"""The container of a model file: a safetensors file, written atomically and read without copying."""

import contextlib
import hmac
import json
import math
import os
import re
import secrets
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from transferkit.exceptions import ModelFileError
from transferkit.persistence._bounds import check_json, is_shape
from transferkit.persistence._replacing import write_whole
from transferkit.persistence._seal import LENGTH, compute_seals, find_places

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
_SEALS = ("digest", "signature")
_SEAL = re.compile(rf"[0-9a-f]{{{LENGTH}}}")
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format


class Header(NamedTuple):
    """What stands before the arrays of a model file."""

    metadata: dict
    table: dict  # array name -> {"dtype", "shape", "data_offsets"}
    start: int  # where the arrays begin
    seals: dict
    places: dict  # offset of each seal
    n_bytes: int
    json_cost: int  # bytes that the lists and objects of the metadata take at most


def write_container(path, arrays, metadata, *, sign_key=None):
    """Write arrays (by name) and metadata (JSON data) to a model file, which is replaced whole."""
    from safetensors import SafetensorError  # here, because reading needs neither
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    placeholders = {name: secrets.token_hex(LENGTH // 2) for name in _SEALS}
    text = json.dumps(metadata, allow_nan=False)
    check_json(text, len(text) + sum(array.nbytes for array in contiguous.values()))
    texts = {_METADATA_KEY: text, **placeholders}
    with write_whole(path, "model file") as temporary:
        try:
            save_file(contiguous, temporary, texts)
        except SafetensorError as error:
            raise OSError(f"The model file {os.fspath(path)!r} could not be written: {error}") from error
        with open(temporary, "rb+") as file:
            length = int.from_bytes(file.read(8), "little")
            file.seek(0)
            places = find_places(file.read(8 + length), placeholders)
            for name, value in compute_seals(file, places, key=sign_key).items():
                file.seek(places[name])
                file.write(value.encode())


@contextlib.contextmanager
def open_container(path):
    """Open a model file to read; what the system says against it becomes a ModelFileError."""
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise ModelFileError(f"There is no model file {os.fspath(path)!r}.") from None
    except OSError as error:
        raise ModelFileError(f"The model file {os.fspath(path)!r} could not be read: {error}.") from error


def read_header(file):
    """Return the header of an open model file, after comparing its table with the size of the file."""
    n_bytes = os.fstat(file.fileno()).st_size
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if not 2 <= length <= min(n_bytes - 8, _LARGEST_HEADER):
        raise _foreign(file.name)
    head += file.read(length)
    try:
        check_json(head, n_bytes)  # and below, because the text in this text may be spelled otherwise
        table = json.loads(head[8:])
        texts = table.pop("__metadata__")
        cost = check_json(texts[_METADATA_KEY], n_bytes)
        metadata = json.loads(texts[_METADATA_KEY])
        seals = {name: texts[name] for name in _SEALS}
        if not all(type(value) is str and _SEAL.fullmatch(value) for value in seals.values()):
            raise ValueError("no digest, or no signature")
        places = find_places(head, seals)
    except ModelFileError as error:
        raise ModelFileError(f"{error} (file {os.fspath(file.name)!r})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _foreign(file.name) from error
    _check_table(file.name, table, 8 + length, n_bytes)
    return Header(metadata, table, 8 + length, seals, places, n_bytes, cost)


def read_arrays(file, header, *, mmap):
    """Return the arrays of an open model file, read-only and mapped from it, or in memory."""
    if mmap:
        content = np.memmap(file, np.uint8, mode="r")
    else:
        file.seek(0)
        content = np.fromfile(file, np.uint8)
    content = content[header.start :].view(np.ndarray)
    arrays = {}
    for name, entry in header.table.items():
        begin, end = entry["data_offsets"]
        try:
            arrays[name] = content[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        except ValueError as error:  # no entries, and more dimensions or larger ones than NumPy has
            raise ModelFileError(f"The model file {file.name!r} is damaged: {error}.") from error
    return arrays


def check_seals(file, header, *, digest, key):
    """Raise ModelFileError unless the digest (if asked for) and the signature (if there is a key) are right."""
    seals = compute_seals(file, header.places, key=key, signature=header.seals["signature"])
    if digest and seals["digest"] != header.seals["digest"]:
        raise ModelFileError(f"The model file {file.name!r} is damaged: its content does not match its digest.")
    if key is not None and not hmac.compare_digest(seals["signature"], header.seals["signature"]):
        raise ModelFileError(f"The model file {file.name!r} is not signed with the given key.")


def is_signed(header):
    """Return whether the file carries a signature (of whomever)."""
    return header.seals["signature"].strip("0") != ""


def _check_table(path, table, start, n_bytes):
    """Compare each entry with the file before anything is allocated; compiled code wants arrays aligned."""
    try:
        for entry in table.values():
            (begin, end), shape = entry["data_offsets"], entry["shape"]
            whole = is_shape(shape) and is_shape([begin, end])
            item = np.dtype(_DTYPES[entry["dtype"]]).itemsize
            fits = whole and math.prod(shape) * item == end - begin and start + end <= n_bytes
            if not fits or (start + begin) % item:
                raise ModelFileError(
                    f"The model file {os.fspath(path)!r} is damaged or cut off: its arrays do not fit."
                )
        places = sorted(entry["data_offsets"] for entry in table.values())
        if any(end > begin for (_, end), (begin, _) in pairwise(places)):
            raise ModelFileError(f"The model file {os.fspath(path)!r} is damaged: its arrays overlap.")
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
