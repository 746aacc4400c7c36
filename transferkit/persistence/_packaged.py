"""Models that are part of the package, by the names that stand for their files."""

import os
from pathlib import Path

__all__ = ["PACKAGED_MODELS", "find_file"]

PACKAGED_MODELS = {"english": Path(__file__).parents[1] / "encoders" / "english" / "english.tk"}


def find_file(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the file of a model: that of the package if `path` is the name of such a model, otherwise `path` itself.

    A file of the same name in the current folder is "./english".
    """
    return PACKAGED_MODELS.get(path, path) if isinstance(path, str) else path
