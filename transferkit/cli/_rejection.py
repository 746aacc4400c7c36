"""Models that reject texts: the options of `finetune`, and the labels of rejected texts."""

import functools
from typing import NamedTuple

import click

from transferkit.cli._text_models import find_selective
from transferkit.selection import SelectiveClassifier

__all__ = ["GivenRejection", "apply_rejection", "rejection"]


class GivenRejection(NamedTuple):
    """The values of the options."""

    coverage: float | None
    max_error: float | None
    reject_label: str | None
    method: str | None

    @property
    def is_given(self):
        """Whether the model is to reject texts."""
        return self.coverage is not None or self.max_error is not None

    def check(self, labelled):
        """Raise ValueError if the options exclude each other, or other arguments exclude them."""
        if self.coverage is not None and self.max_error is not None:
            raise ValueError("--coverage and --max-error exclude each other: give one of them.")
        if self.is_given and not labelled:
            raise ValueError("--coverage and --max-error set thresholds on held-out labels: give LABELLED.")
        if not self.is_given and (self.reject_label is not None or self.method is not None):
            name = "--reject-label" if self.reject_label is not None else "--reject-by"
            raise ValueError(f"{name} is for a model that rejects texts: add --coverage or --max-error.")

    def check_label(self, labels):
        """Raise ValueError if the reject label is one of the labels."""
        if self.reject_label in labels.tolist():
            raise ValueError(
                f"--reject-label {self.reject_label} is one of the labels: rejected texts could not be told from that "
                "class. Choose another, or leave out the texts that belong to no class."
            )

    def wrap(self, model):
        """Return the model, in a SelectiveClassifier if it is to reject texts."""
        if not self.is_given:
            return model
        method = {} if self.method is None else {"method": self.method}
        goal = {"coverage": self.coverage, "max_error": self.max_error}
        return SelectiveClassifier(model, **goal, reject_label=self.reject_label, **method)


def rejection(command):
    """Add the options, which the command receives as one GivenRejection named `rejection`."""

    @click.option(
        "--coverage",
        type=click.FloatRange(0, 1, min_open=True),
        help="Reject texts whose prediction is likely to be wrong, so that this share is accepted.",
    )
    @click.option(
        "--max-error",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="The same, so that at most this share of the accepted texts is wrong.",
    )
    @click.option(
        "--reject-label", metavar="LABEL", help="Prediction for rejected texts.  [default: none, an empty field]"
    )
    @click.option(
        "--reject-by",
        "method",
        type=click.Choice(["probability", "distance", "both"]),
        help="What decides: the probability of the predicted class, the distance from the labelled texts, or both. "
        "Distances need the encoder in the file.  [default: probability]",
    )
    @functools.wraps(command)
    def wrapped(*args, coverage, max_error, reject_label, method, **kwargs):
        return command(*args, rejection=GivenRejection(coverage, max_error, reject_label, method), **kwargs)

    return wrapped


def apply_rejection(model, answer, confidence=None, threshold=None, replace=True):
    """Return the label of each text, and which texts are rejected.

    Parameters
    ----------
    model : estimator
        Model of texts.
    answer : Predictions
        Its predictions, without rejection.
    confidence : ndarray of shape (n_texts,), default=None
        Probability of each prediction; needed with a threshold.
    threshold : float, default=None
        Texts of less confidence are rejected, too.
    replace : bool, default=True
        Whether rejected texts get the reject label of the model, None if it has none; otherwise they keep theirs.

    Returns
    -------
    labels : list of length n_texts
        Labels.
    rejected : ndarray of bool, shape (n_texts,), or None
        None if the model rejects no texts and there is no threshold.
    """
    rejected, labels = answer.rejected, answer.predictions.tolist()
    if threshold is not None:
        rejected = (confidence < threshold) | (False if rejected is None else rejected)
    if rejected is None or not replace:
        return labels, rejected
    selective = find_selective(model)
    reject_label = None if selective is None else selective.reject_label
    return [reject_label if out else label for label, out in zip(labels, rejected, strict=True)], rejected
