"""How loaders address the user: what they call their options, and where they report what they detected or doubt.

In Python an option is a parameter, and a doubt is a warning. The command line uses its own words instead, and prints
both kinds of reports.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from transferkit.exceptions import DataWarning, count_inner_frames

__all__ = ["Messages", "addressed_by", "messages"]


class Messages:
    """The words of Python."""

    def option(self, name: str, value: object) -> str:
        """Return how an option of the loaders is set to a value."""
        return f"{name}={value!r}"

    def note(self, message: str) -> None:
        """Report what was detected without doubt; Python's functions return it as an attribute, or document it."""

    def warn(self, message: str) -> None:
        """Report what was guessed, or what looks wrong in the data."""
        warnings.warn(message, DataWarning, stacklevel=count_inner_frames())


_PYTHON = Messages()
_current: ContextVar[Messages] = ContextVar("messages", default=_PYTHON)


def messages() -> Messages:
    """Return the words of the interface through which the loaders are called."""
    return _current.get()


@contextmanager
def addressed_by(words: Messages) -> Iterator[None]:
    """Return a context manager in which loaders use the words of another interface."""
    token = _current.set(words)
    try:
        yield
    finally:
        _current.reset(token)
