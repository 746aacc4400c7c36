"""The description of a model file, read from its header alone."""

import dataclasses
import os
from html import escape
from typing import Any

from transferkit.exceptions import ModelFileError
from transferkit.persistence._container import is_signed, open_container, read_header

__all__ = ["ModelDescription", "describe"]

_MOST_SHOWN = 10  # classes that `print` lists; `to_dict` has up to 200


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
    strategy : str or None, default=None
        Strategy with which a transfer estimator was fitted.
    encoder : str or None, default=None
        Class of its encoder, and of the parts of a FeatureUnion or Pipeline.
    summary : dict or None, default=None
        What held-out labels said of it: `summary_` of a :class:`TransferClassifier`.
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
    strategy: str | None = None
    encoder: str | None = None
    summary: dict[str, Any] | None = None

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
        classes = ", ".join((self.classes or ())[:_MOST_SHOWN]) + (
            ", ..." if self.classes and self.n_classes > _MOST_SHOWN else ""
        )
        lines = {
            "file": f"{self.path} ({self.n_bytes / 1e6:.2f} MB, {self.n_arrays} arrays, format {self.format})",
            "class": self.class_name,
            "parameters": ", ".join(f"{name}={self.parameters[name]}" for name in self.changed) or "all default",
            "classes": f"{self.n_classes}: {classes}" if self.classes else None,
            "labels": self._count_labels(),
            "strategy": self.strategy,
            "encoder": self.encoder,
            "held out": None if self.summary is None else self.summary.get("text"),
            "features": self.n_features_in,
            "made of": ", ".join(name.rpartition(".")[2] for name in self.estimators),
            "created": self.created,
            "versions": ", ".join(f"{name} {number}" for name, number in self.versions.items()),
            **{f"card {name}": value for name, value in self.card.items()},
            "digest": self.digest + (", signed" if self.signed else ""),
        }
        return {name: value for name, value in lines.items() if value is not None}

    def _count_labels(self):
        """Return the numbers of labels as text, of many classes the smallest and the largest."""
        counts = (self.summary or {}).get("class_counts")
        if not counts or not self.classes or len(counts) != self.n_classes:
            return None
        named = list(zip(counts, self.classes, strict=False))
        if len(counts) <= _MOST_SHOWN:
            return f"{sum(counts):,}: {', '.join(f'{name} {count}' for count, name in named)}"
        fewest, most = min(named, key=_first), max(named, key=_first)
        if fewest[0] == most[0]:
            return f"{sum(counts):,}: {most[0]} of each class"
        return f"{sum(counts):,} of {len(counts)} classes, from {fewest[0]} ({fewest[1]}) to {most[0]} ({most[1]})"


def describe(path: str | os.PathLike[str]) -> ModelDescription:
    """Describe a model file without loading it.

    Parameters
    ----------
    path : str or path
        A file written by :func:`transferkit.save`, or "english" for the encoder of the package.

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
            **_describe_transfer(metadata["estimators"]),
        )
        _check_types(description)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"The model file {os.fspath(path)!r} is damaged: its description cannot be read ({error!r})."
        ) from error
    return description


def _describe_transfer(estimators):
    """Return strategy, encoder and summary of the outermost transfer estimator among the entries of a header."""
    for entry in reversed(estimators):
        state = entry["state"]
        if entry["class"].startswith("transferkit.transfer.") and isinstance(state.get("strategy_"), str):
            place = _find_reference(state.get("encoder_"))
            encoder = None if place is None else _name_parts(estimators, place)
            return {"strategy": state["strategy_"], "encoder": encoder, "summary": _read_summary(state.get("summary_"))}
    return {}


def _name_parts(estimators, place):
    """Return the name of an estimator's class, and in parentheses the encoders in it."""
    name, state = estimators[place]["class"].rpartition(".")[2], estimators[place]["state"]
    steps = {"FeatureUnion": "transformer_list", "Pipeline": "steps"}.get(name)
    if steps is not None:
        nodes = [step["tuple"] if isinstance(step, dict) else step for step in state[steps]]
    else:
        nodes = [("", state.get("source"))] if name == "PretrainedEncoder" else []
    parts = []
    for title, node in nodes:
        part = _find_reference(node)
        if part is not None and part < place:  # those inside come first
            parts.append(f"{title}: {_name_parts(estimators, part)}" if title else _name_parts(estimators, part))
    return f"{name}({', '.join(parts)})" if parts else name


def _find_reference(node):
    """Return the place of the estimator to which a node refers, None for other values."""
    place = node.get("estimator") if isinstance(node, dict) else None
    return place if type(place) is int and place >= 0 else None


def _read_summary(node):
    """Return a dict of plain values, None for anything else."""
    value = _read_plain(node)
    counts = value.get("class_counts") if isinstance(value, dict) else None
    is_plain = type(counts) is list and all(type(count) is int for count in counts) and type(value.get("text")) is str
    return value if is_plain else None


def _read_plain(node):
    if isinstance(node, dict):
        return {key: _read_plain(value) for key, value in node["dict"]} if node.keys() == {"dict"} else None
    return [_read_plain(part) for part in node] if isinstance(node, list) else node


def _first(pair):
    return pair[0]


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
