"""What `finetune` takes beside labels: the options, and the files they name read into parameters and texts."""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import click

from transferkit.cli._text_models import load_text_model
from transferkit.datasets import load_corpus

__all__ = ["GivenEvidence", "evidence"]


class GivenEvidence(NamedTuple):
    """The values of the options."""

    descriptions: str | None  # path, or "labels"
    unlabelled: tuple[str, ...]  # paths
    teacher: str | None  # path
    class_prior: str | None  # path

    def check(self, labelled, n_folds, excluding):
        """Raise ValueError if other arguments exclude these, before any file is read.

        `excluding` are the given options with which none of these can be combined.
        """
        if not labelled:
            knows_classes = self.teacher is not None or self.descriptions not in (None, "labels")
            if not (self.unlabelled and knows_classes):
                raise ValueError(
                    "Missing argument 'LABELLED'. It may be left out with --unlabelled CORPUS and the classes in "
                    "--descriptions FILE or --teacher MODEL."
                )
            if n_folds:
                raise ValueError("--cv evaluates on labelled texts: give LABELLED, or leave --cv out.")
        if self.teacher is not None and not self.unlabelled:
            raise ValueError("--teacher labels unlabelled texts: add --unlabelled CORPUS.")
        given = {"--descriptions": self.descriptions, "--unlabelled": self.unlabelled, "--teacher": self.teacher}
        names = [name for name, value in given.items() if value]
        if names and excluding:
            raise ValueError(f"{' and '.join(names)} cannot be combined with {excluding[0]}. Leave one of them out.")

    def check_classes(self, labels, source):
        """Raise ValueError if there is one class, unless others are described, taught or in the source model."""
        classes = sorted(set(labels.tolist()))
        if len(classes) == 1 and source is None and self.descriptions is None and self.teacher is None:
            raise ValueError(
                f"A model needs labels of at least 2 classes, but all {len(labels):,} texts have the label "
                f"{classes[0]!r}. Label texts of another class, or choose another --label-column."
            )

    def read_parameters(self, trusted=()):
        """Return the parameters of TransferClassifier."""
        descriptions = self.descriptions
        if descriptions not in (None, "labels"):
            descriptions = _read_json("--descriptions", descriptions, "a text or a list of texts", _is_description)
        prior = self.class_prior
        if prior is not None:
            prior = _read_json("--class-prior", prior, "a number", _is_number)
        teacher = None if self.teacher is None else _load_teacher(self.teacher, trusted)
        return {"class_descriptions": descriptions, "teacher": teacher, "class_prior": prior}

    def read_texts(self, reading):
        """Return the unlabelled texts, None without a corpus."""
        if not self.unlabelled:
            return None
        return [text for path in self.unlabelled for text in load_corpus(path, **reading)]


def evidence(command):
    """Add the options, which the command receives as one GivenEvidence named `evidence`."""

    @click.option(
        "--descriptions",
        metavar="FILE",
        help='JSON file with words or sentences that describe each class, {"label": "text"} or {"label": ["text", '
        '...]}; or "labels", if the labels themselves are such words.',
    )
    @click.option(
        "--unlabelled",
        multiple=True,
        metavar="CORPUS",
        help="Unlabelled texts of the task (.txt, a table, or a folder of files); repeatable.",
    )
    @click.option(
        "--teacher",
        metavar="MODEL",
        help="Model file of a classifier to learn from: it labels the unlabelled texts, and is not needed afterwards.",
    )
    @click.option(
        "--class-prior",
        metavar="FILE",
        help='JSON file with the proportions of the classes where the model is used, {"label": 0.25}.  [default: '
        "estimated]",
    )
    @functools.wraps(command)
    def wrapped(*args, descriptions, unlabelled, teacher, class_prior, **kwargs):
        return command(*args, evidence=GivenEvidence(descriptions, unlabelled, teacher, class_prior), **kwargs)

    return wrapped


def _read_json(option, path, kind, is_valid):
    """Return a dict of values by label, read from a JSON file."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_to_dict)
    except ValueError as error:  # not UTF-8, not JSON, or a label twice
        raise ValueError(f"{option} {path}: the file is not valid JSON in UTF-8: {error}.") from None
    if not isinstance(found, dict) or not found:
        raise ValueError(f'{option} {path}: the file must hold one object, {{"label": value}}.')
    for label, value in found.items():
        if not is_valid(value):
            raise ValueError(f"{option} {path}: the value of {label!r} must be {kind}. Got {json.dumps(value)}.")
    return found


def _to_dict(pairs):
    found = {}
    for label, value in pairs:
        if label in found:
            raise ValueError(f"the label {label!r} occurs twice")
        found[label] = value
    return found


def _is_description(value):
    return all(isinstance(text, str) for text in value) if isinstance(value, list) else isinstance(value, str)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _load_teacher(path, trusted):
    """Return the classifier in a model file, after a trial prediction of texts."""
    teacher = load_text_model(path, classes=True, trusted=trusted)
    if not hasattr(teacher, "predict_proba"):
        raise ValueError(
            f"--teacher {path}: the file holds a {type(teacher).__name__} without probabilities of its classes. Give "
            "the file of a classifier with predict_proba."
        )
    return teacher
