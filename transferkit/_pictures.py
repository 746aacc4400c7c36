"""The optional import of matplotlib."""

from transferkit.exceptions import MissingExtraError

__all__ = ["import_pyplot"]


def import_pyplot(feature):
    """Return matplotlib's pyplot; raise MissingExtraError with the command to install it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError(feature, "plot") from None
    return pyplot
