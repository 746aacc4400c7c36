"""The one door to matplotlib."""

from transferkit.exceptions import MissingExtraError


def import_pyplot(feature):
    """Return matplotlib's pyplot, or say how to install it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError(feature, "plot") from None
    return pyplot
