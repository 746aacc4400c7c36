"""Files by path or URL: their kind, their name in messages, and how they are opened."""

import gzip
import os
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

from transferkit.exceptions import MissingExtraError

__all__ = ["is_url", "kind_of", "name_of", "open_binary", "split_url"]


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the extension of a file name in lower case, without the dot and without a final ``.gz``."""
    name = os.fspath(path)
    return Path(name[:-3] if _is_gzipped(name) else name).suffix.removeprefix(".").lower()


def name_of(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Return the name of a file in messages; an open file is taken for standard input."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else "standard input"


def is_url(path: str) -> bool:
    """Return whether a path has a protocol, such as ``s3://``."""
    return "://" in path


def split_url(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL or path, and the path in it."""
    file_system, path = _import_fsspec(url).url_to_fs(url)
    return file_system, path


def open_binary(path: str, *, decompress: bool = False) -> BinaryIO:
    """Open a local file or a URL to read bytes.

    Parameters
    ----------
    path : str
        A path, or a URL, which needs fsspec.
    decompress : bool, default=False
        Decompress a file whose name ends in ``.gz``.

    Returns
    -------
    file : binary file
        The open file.
    """
    if is_url(path):
        remote = _import_fsspec(path).open(path, "rb", compression="infer" if decompress else None)
        return cast(BinaryIO, remote.open())
    open_local = gzip.open if decompress and _is_gzipped(path) else open
    return cast(BinaryIO, open_local(path, "rb"))


def _is_gzipped(name: str) -> bool:
    return name.lower().endswith(".gz")


def _import_fsspec(url: str) -> ModuleType:
    try:
        import fsspec.core
    except ImportError as error:
        raise MissingExtraError(f"Opening {url!r}", "dask") from error
    module: ModuleType = fsspec.core
    return module
