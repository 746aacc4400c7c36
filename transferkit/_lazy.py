"""Rooms whose names are imported when they are first asked for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def import_when_asked(room: str, files: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package.

    Whoever loads one model needs one or two classes of a room; importing all of them takes longer than the answer.

    Parameters
    ----------
    room : str
        Name of the package.
    files : mapping of str to str
        Module that each public name is in, relative to the package.

    Returns
    -------
    get_attribute, list_names : callable
        For the package to assign.
    """

    def get_attribute(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(files[name], room), name)
        setattr(importlib.import_module(room), name, value)  # the next look-up no longer comes here
        return value

    return get_attribute, lambda: sorted(files)
