"""Imports and values on first use: attributes of packages, matplotlib, and values computed from objects."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from transferkit.exceptions import MissingExtraError

__all__ = ["DerivedValues", "import_pyplot", "import_when_asked"]

T = TypeVar("T")


def import_when_asked(package: str, files: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its modules on first access.

    A program that loads one model needs one or two classes of a package; importing all of them takes longer than
    predicting.

    Parameters
    ----------
    package : str
        Name of the package.
    files : mapping of str to str
        Module of each public name, relative to the package.

    Returns
    -------
    get_attribute, list_names : callable
        The functions that the package assigns.
    """

    def get_attribute(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(files[name], package), name)
        setattr(importlib.import_module(package), name, value)  # so that the next access does not come here
        return value

    return get_attribute, lambda: sorted(files)


def import_pyplot(feature: str) -> Any:
    """Return matplotlib's pyplot; raise MissingExtraError with the command to install it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError(feature, "plot") from None
    return pyplot


class DerivedValues(Generic[T]):
    """A value per object, computed again when one of the objects that it was computed from is replaced.

    It is not stored on the object itself, whose attributes are saved and pickled, and it is dropped with the object.
    Objects changed in place go unnoticed.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, tuple[Sequence[Any], T]] = WeakKeyDictionary()

    def get(self, owner: Any, sources: Sequence[Any], compute: Callable[[], T]) -> T:
        """Return the value of an object; call `compute` unless the sources are those of the last call."""
        known = self._known.get(owner)
        if known is not None and len(known[0]) == len(sources) and all(map(is_, known[0], sources)):
            return known[1]
        return self.set(owner, sources, compute())

    def set(self, owner: Any, sources: Sequence[Any], value: T) -> T:
        """Store and return the value of an object."""
        self._known[owner] = sources, value
        return value

    def forget(self, owner: Any) -> None:
        """Remove the value of an object."""
        self._known.pop(owner, None)
