"""Errors and warnings that transferkit raises beside Python's own."""

__all__ = ["ExportError", "MissingExtraError", "ModelFileError", "ModelVersionWarning", "TransferkitError"]


class TransferkitError(Exception):
    """Base class of every error that is transferkit's own."""


class ModelFileError(TransferkitError, ValueError):
    """A model file is missing, damaged, foreign, or holds what cannot be saved or loaded."""


class ExportError(TransferkitError, ValueError):
    """A model cannot be expressed exactly in another form."""


class ModelVersionWarning(UserWarning):
    """A model comes from another version than the one installed, and may give other results."""


class MissingExtraError(TransferkitError, ImportError):
    """A feature needs an optional dependency that is not installed.

    Parameters
    ----------
    feature : str
        What was asked for, as the subject of a sentence.
    extra : str
        Name of the extra that installs the dependency.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency. Install it with: pip install 'transferkit[{extra}]'")
