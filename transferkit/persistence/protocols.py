"""What an estimator may offer to model files, in addition to its parameters and fitted attributes."""

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from transferkit.persistence._allowed import Trusted

__all__ = ["DeclaresState", "DescribesParameters", "FinishesLoading", "HasFileState"]


class DeclaresState(Protocol):
    """An estimator of this package: its class lists the attributes that a model file may set.

    The lists of a class and of its bases are joined. Constructor parameters, and what scikit-learn's own functions set
    on any estimator, need not be listed. A name that only files of earlier versions hold is listed as well, and is
    converted or removed in :meth:`FinishesLoading.finish_loading`.
    """

    fitted_attributes: ClassVar[tuple[str, ...]]


@runtime_checkable
class HasFileState(Protocol):
    """An estimator whose model file holds another state than its pickle."""

    def get_file_state(self) -> dict[str, Any]:
        """Return the parameters and fitted attributes to write, by name."""


@runtime_checkable
class FinishesLoading(Protocol):
    """An estimator whose state, once read from a file, must be checked or completed before it is used."""

    def finish_loading(self, trusted: "Trusted") -> None:
        """Check and complete the attributes set from a file, which may come from anyone.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.

        Raises
        ------
        ModelFileError
            If the file names something that is not trusted.
        ValueError, TypeError, LookupError
            If the state is not that of such an estimator; `load` reports a damaged file.
        """


@runtime_checkable
class DescribesParameters(Protocol):
    """An estimator with parameters that are not plain data."""

    def describe_parameters(self) -> dict[str, str]:
        """Return the text that `describe` shows for each such parameter, by name."""
