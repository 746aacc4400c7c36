"""The container of a model file: a safetensors file that holds its own digest and is read without copying."""

import contextlib
import hashlib
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
from transferkit.persistence._atomic import write_atomically
from transferkit.persistence._bounds import check_json, is_shape
from transferkit.persistence._packaged import find_file

__all__ = [
    "FORMAT",
    "STORABLE_DTYPES",
    "Header",
    "check_hexdigests",
    "compute_hexdigests",
    "find_hexdigests",
    "is_signed",
    "open_container",
    "read_arrays",
    "read_header",
    "write_container",
]

FORMAT = 2
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
_HEXDIGESTS = ("digest", "signature")
_LENGTH = 64  # hexadecimal characters of SHA-256 and of HMAC-SHA256
_HEXDIGEST = re.compile(rf"[0-9a-f]{{{_LENGTH}}}")
_ZEROS = b"0" * _LENGTH
_CHUNK = 1 << 20  # bytes hashed at once
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format


class Header(NamedTuple):
    """The part of a model file before its arrays."""

    metadata: dict
    table: dict  # array name -> {"dtype", "shape", "data_offsets"}
    start: int  # offset of the arrays in the file
    hexdigests: dict  # "digest" and "signature"
    offsets: dict  # offset of each hexdigest in the file
    n_bytes: int
    json_cost: int  # upper bound on the bytes that the lists and objects of the metadata take


def write_container(path, arrays, metadata, *, sign_key=None):
    """Write arrays (by name) and metadata (JSON data) to a model file, which is replaced atomically."""
    from safetensors import SafetensorError  # here, because reading needs neither
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    placeholders = {name: secrets.token_hex(_LENGTH // 2) for name in _HEXDIGESTS}
    text = json.dumps(metadata, allow_nan=False)
    check_json(text, len(text) + sum(array.nbytes for array in contiguous.values()))
    texts = {_METADATA_KEY: text, **placeholders}
    with write_atomically(path, "model file") as temporary:
        try:
            save_file(contiguous, temporary, texts)
        except SafetensorError as error:
            raise OSError(f"The model file {os.fspath(path)!r} could not be written: {error}") from error
        with open(temporary, "rb+") as file:
            length = int.from_bytes(file.read(8), "little")
            file.seek(0)
            offsets = find_hexdigests(file.read(8 + length), placeholders)
            for name, value in compute_hexdigests(file, offsets, key=sign_key).items():
                file.seek(offsets[name])
                file.write(value.encode())


@contextlib.contextmanager
def open_container(path):
    """Open a model file for reading; errors of the operating system become a ModelFileError."""
    try:
        with open(find_file(path), "rb") as file:
            yield file
    except FileNotFoundError:
        raise ModelFileError(f"There is no model file {os.fspath(path)!r}.") from None
    except IsADirectoryError:
        raise ModelFileError(f"{os.fspath(path)!r} is a folder, not a model file.") from None
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"The model file {os.fspath(path)!r} could not be read: {reason}.") from error


def read_header(file):
    """Return the header of an open model file, after checking its format and comparing its table with its size."""
    n_bytes = os.fstat(file.fileno()).st_size
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if not 2 <= length <= min(n_bytes - 8, _LARGEST_HEADER):
        raise _unrecognised(file.name)
    head += file.read(length)
    try:
        check_json(head, n_bytes)  # and again below, because the JSON text within this one may be escaped
        table = json.loads(head[8:])
        texts = table.pop("__metadata__")
        cost = check_json(texts[_METADATA_KEY], n_bytes)
        metadata = json.loads(texts[_METADATA_KEY])
        hexdigests = {name: texts[name] for name in _HEXDIGESTS}
        if not all(type(value) is str and _HEXDIGEST.fullmatch(value) for value in hexdigests.values()):
            raise ValueError("no digest, or no signature")
        offsets = find_hexdigests(head, hexdigests)
    except ModelFileError as error:
        raise ModelFileError(f"{error} (file {os.fspath(file.name)!r})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unrecognised(file.name) from error
    _check_format(file.name, metadata)
    _check_table(file.name, table, 8 + length, n_bytes)
    return Header(metadata, table, 8 + length, hexdigests, offsets, n_bytes, cost)


def _check_format(path, metadata):
    """Raise ModelFileError unless this version of transferkit reads the file's format."""
    number = metadata.get("format") if isinstance(metadata, dict) else None
    if type(number) is not int or number < 1:
        raise ModelFileError(f"The model file {os.fspath(path)!r} is damaged: it has no format number.")
    if number > FORMAT:
        raise ModelFileError(
            f"The model file {os.fspath(path)!r} has format {number}, and this transferkit reads formats up to "
            f"{FORMAT}. Upgrade it: pip install --upgrade transferkit."
        )


def _check_table(path, table, start, n_bytes):
    """Compare each entry with the file before anything is allocated; compiled code needs aligned arrays."""
    try:
        for entry in table.values():
            (begin, end), shape = entry["data_offsets"], entry["shape"]
            is_sized = is_shape(shape) and is_shape([begin, end])
            item = np.dtype(_DTYPES[entry["dtype"]]).itemsize
            fits = is_sized and math.prod(shape) * item == end - begin and start + end <= n_bytes
            if not fits or (start + begin) % item:
                raise ModelFileError(
                    f"The model file {os.fspath(path)!r} is damaged or truncated: its arrays do not fit."
                )
        ranges = sorted(entry["data_offsets"] for entry in table.values())
        if any(end > begin for (_, end), (begin, _) in pairwise(ranges)):
            raise ModelFileError(f"The model file {os.fspath(path)!r} is damaged: its arrays overlap.")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"The model file {os.fspath(path)!r} is damaged: its table of arrays is broken."
        ) from error


def _unrecognised(path):
    return ModelFileError(
        f"The file {os.fspath(path)!r} is not a transferkit model file, or is damaged. "
        "Model files are written by transferkit.save; for joblib or pickle files use joblib.load."
    )


def read_arrays(file, header, *, mmap):
    """Return the arrays of an open model file, read-only and memory-mapped, or in memory."""
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


def check_hexdigests(file, header, *, digest, key):
    """Raise ModelFileError unless the digest (if requested) and the signature (if there is a key) are valid."""
    computed = compute_hexdigests(file, header.offsets, key=key, signature=header.hexdigests["signature"])
    if digest and computed["digest"] != header.hexdigests["digest"]:
        raise ModelFileError(f"The model file {file.name!r} is damaged: its content does not match its digest.")
    if key is not None and not hmac.compare_digest(computed["signature"], header.hexdigests["signature"]):
        raise ModelFileError(f"The model file {file.name!r} is not signed with the given key.")


def is_signed(header):
    """Return whether the file carries a signature, of whatever key."""
    return header.hexdigests["signature"].strip("0") != ""


def find_hexdigests(header, hexdigests):
    """Return the offsets in a file of its digest and signature.

    `header` is the first part of the file, its length field included, and `hexdigests` holds "digest" and "signature"
    as the header has them.
    """
    return {name: header.index(f'"{name}":"{value}"'.encode()) + len(name) + 4 for name, value in hexdigests.items()}


def compute_hexdigests(file, offsets, *, key=None, signature=None):
    """Return the digest of an open file and, with a key, its signature; their own bytes (at `offsets`) count as zeros.

    "signature" is the HMAC-SHA256 of the content (zeros without a key), "digest" the SHA-256 of the content's SHA-256
    and `signature`, by default the computed one.
    """
    content = hashlib.sha256()
    signing = hmac.new(key, digestmod="sha256") if key is not None else None
    file.seek(0)
    head = bytearray(file.read(max(offsets.values()) + _LENGTH))
    for offset in offsets.values():
        head[offset : offset + _LENGTH] = _ZEROS
    chunk = bytes(head)
    while chunk:
        content.update(chunk)
        if signing is not None:
            signing.update(chunk)
        chunk = file.read(_CHUNK)
    computed = signing.hexdigest() if signing else _ZEROS.decode()
    covered = (computed if signature is None else signature).encode()
    return {"signature": computed, "digest": hashlib.sha256(content.digest() + covered).hexdigest()}
