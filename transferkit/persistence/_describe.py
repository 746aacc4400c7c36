"""The description of a model file, read from its header alone."""

import dataclasses
import os
from html import escape
from typing import Any

from transferkit.exceptions import ModelFileError
from transferkit.persistence._container import is_signed, open_container, read_header

__all__ = ["ModelDescription", "describe"]


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The contents of a model file as its header describes them.

    Parameters
    ----------
    path : str
        Name of the file.
    class_name : str
        Class of the estimator.
    parameters : dict of str to str
        Its parameters, as Python prints them.
    changed : list of str
        Names of the parameters that differ from their defaults.
    classes : list of str or None
        Labels it predicts (the first 200).
    n_classes : int or None
        Number of labels.
    n_features_in : int or None
        Number of input features, for estimators on rows of numbers.
    estimators : list of str
        Public names of all classes in the file, inner ones first.
    n_arrays : int
        Number of arrays.
    n_bytes : int
        Size of the file in bytes.
    format : int
        Number of the file format.
    created : str
        When it was saved (UTC, ISO 8601).
    versions : dict of str to str
        Versions of Python and packages that wrote it.
    card : dict
        Information that the author attached with ``save(..., card=...)``.
    digest : str
        SHA-256 of the file (its digest and signature counted as zeros); it identifies the model.
    signed : bool
        Whether it carries a signature; ``load(..., verify_key=...)`` checks it.
    """

    path: str
    class_name: str
    parameters: dict[str, str]
    changed: list[str]
    classes: list[str] | None
    n_classes: int | None
    n_features_in: int | None
    estimators: list[str]
    n_arrays: int
    n_bytes: int
    format: int
    created: str
    versions: dict[str, str]
    card: dict[str, Any]
    digest: str
    signed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the description as JSON data."""
        return dataclasses.asdict(self)

    def __str__(self):
        return "\n".join(f"{name:<10} {value}" for name, value in self._lines().items())

    def _repr_html_(self):
        left = 'style="text-align:left"'
        rows = "".join(
            f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(str(value))}</td></tr>"
            for name, value in self._lines().items()
        )
        return f'<table class="transferkit-model">{rows}</table>'

    def _lines(self):
        """Return the lines to show, by name."""
        classes = ", ".join(self.classes or ()) + (
            ", ..." if self.classes and self.n_classes > len(self.classes) else ""
        )
        lines = {
            "file": f"{self.path} ({self.n_bytes / 1e6:.2f} MB, {self.n_arrays} arrays, format {self.format})",
            "class": self.class_name,
            "parameters": ", ".join(f"{name}={self.parameters[name]}" for name in self.changed) or "all default",
            "classes": f"{self.n_classes}: {classes}" if self.classes else None,
            "features": self.n_features_in,
            "made of": ", ".join(name.rpartition(".")[2] for name in self.estimators),
            "created": self.created,
            "versions": ", ".join(f"{name} {number}" for name, number in self.versions.items()),
            **{f"card {name}": value for name, value in self.card.items()},
            "digest": self.digest + (", signed" if self.signed else ""),
        }
        return {name: value for name, value in lines.items() if value is not None}


def describe(path: str | os.PathLike[str]) -> ModelDescription:
    """Describe a model file without loading it.

    Parameters
    ----------
    path : str or path
        A file written by :func:`transferkit.save`.

    Returns
    -------
    description : ModelDescription
        Class, parameters, classes, sizes and versions; ``print`` shows it, ``to_dict`` gives JSON data.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, not a model file, or newer than this version of transferkit can read.
    """
    with open_container(path) as file:
        header = read_header(file)
    metadata = header.metadata
    try:
        summary = metadata["summary"]
        description = ModelDescription(
            path=os.fspath(path),
            class_name=summary["class"],
            parameters=summary["parameters"],
            changed=summary["changed"],
            classes=summary["classes"],
            n_classes=summary["n_classes"],
            n_features_in=summary["n_features_in"],
            estimators=[entry["class"] for entry in metadata["estimators"]],
            n_arrays=len(header.table),
            n_bytes=header.n_bytes,
            format=metadata["format"],
            created=metadata["created"],
            versions=metadata["versions"],
            card=metadata["card"],
            digest=header.hexdigests["digest"],
            signed=is_signed(header),
        )
        _check_types(description)
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"The model file {os.fspath(path)!r} is damaged: its description cannot be read ({error!r})."
        ) from error
    return description


def _check_types(description):
    """Raise AttributeError or TypeError if values of the header, which may come from anyone, are of other types."""
    classes, n_classes, parameters = description.classes, description.n_classes, description.parameters
    texts = [
        description.class_name,
        description.created,
        *parameters.values(),
        *description.versions.values(),
        *description.changed,
        *description.estimators,
        *(classes or ()),
    ]
    fits = (
        all(type(text) is str for text in texts)
        and all(number is None or type(number) is int for number in (n_classes, description.n_features_in))
        and (classes is None) == (n_classes is None)
        and parameters.keys() >= set(description.changed)
        and type(description.card) is dict
    )
    if not fits:
        raise TypeError("a value is of another type than save writes")
