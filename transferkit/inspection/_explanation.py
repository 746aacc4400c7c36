"""Contributions of the terms of a text to the decision values of a model."""

from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

from transferkit._validation import check_count

__all__ = ["Explanation"]

_POSITIVE, _NEGATIVE = "0,114,178", "213,94,0"  # blue and orange, which colour-blind people can distinguish
_CELL = 'style="text-align:right;padding:0 .6em"'


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Additive contributions of a text's terms to the decision values of a linear model.

    Parameters
    ----------
    text : str
        The text.
    terms : ndarray of str objects, shape (n_terms,)
        Terms of the text that are in the model's vocabulary.
    contributions : ndarray of shape (n_terms, n_outputs)
        Contribution of each term to each decision value.
    intercept : ndarray of shape (n_outputs,)
        The decision values of a text without terms of the vocabulary.
    labels : ndarray of shape (n_outputs,)
        Class of each column; for two classes there is one column, that of ``classes_[1]``.
    from_pretraining : ndarray of shape (n_terms, n_outputs) or None
        The part of `contributions` learned from the pretrained encoder; None if the model does not separate it from the
        part learned from labels.
    spans : list of tuple (start, end, term index)
        Positions of terms in the text, for those that could be located.
    """

    text: str
    terms: np.ndarray
    contributions: np.ndarray
    intercept: np.ndarray
    labels: np.ndarray
    from_pretraining: np.ndarray | None
    spans: list[tuple[int, int, int]]

    @property
    def decision(self) -> np.ndarray:
        """Decision values, shape (n_outputs,): the sum of contributions and intercept."""
        return self.contributions.sum(axis=0) + self.intercept

    @property
    def from_labels(self) -> np.ndarray | None:
        """The part of the contributions that was learned from labels alone (n_terms, n_outputs), or None."""
        return None if self.from_pretraining is None else self.contributions - self.from_pretraining

    def top(self, n: int = 10, label: object = None) -> list[tuple[str, float]]:
        """Return the terms with the largest contributions for one label.

        Parameters
        ----------
        n : int, default=10
            Number of terms.
        label : object, default=None
            One of `labels`; None for the one with the highest decision value.

        Returns
        -------
        terms : list of tuple (term, contribution)
            Sorted by absolute value, largest first.
        """
        check_count("n", n, "top")
        column = self._column(label)
        values = self.contributions[:, column]
        return [(self.terms[i], float(values[i])) for i in np.argsort(-np.abs(values), kind="stable")[:n]]

    def to_html(self, label: object = None, n: int = 10) -> str:
        """Return HTML of the text with its terms coloured, and a table of the largest contributions.

        Parameters
        ----------
        label : object, default=None
            One of `labels`; None for the one with the highest decision value.
        n : int, default=10
            Number of rows in the table.

        Returns
        -------
        html : str
            HTML, with markup in the text escaped. Blue terms support the label, orange ones oppose it.
        """
        check_count("n", n, "to_html")
        column = self._column(label)
        title = f"<b>{escape(str(self.labels[column]))}</b>: decision value {self.decision[column]:.3f}"
        return (
            f'<div class="transferkit-explanation"><p>{title} (intercept {self.intercept[column]:.3f})</p>'
            f'<p style="white-space:pre-wrap;line-height:1.8">{self._mark_text(column)}</p>'
            f"{self._make_table(column, n)}</div>"
        )

    def _repr_html_(self):
        return self.to_html()

    def __repr__(self):
        column = self._column(None)
        lines = [f"Explanation for {self.labels[column]}, decision value {self.decision[column]:.4g}:"]
        lines += [f"{value:+10.4f}  {term}" for term, value in self.top(10)]
        return "\n".join([*lines, f"{self.intercept[column]:+10.4f}  (intercept)"])

    def _column(self, label):
        if label is None:
            return int(np.argmax(self.decision))
        found = np.flatnonzero(self.labels == label)
        if not len(found):
            raise ValueError(f"There is no label {label!r}. The labels explained are {self.labels.tolist()!r}.")
        return int(found[0])

    def _mark_text(self, column):
        heat = np.zeros(len(self.text))
        often = np.bincount([term for *_, term in self.spans], minlength=len(self.terms))
        for start, end, term in self.spans:
            heat[start:end] += self.contributions[term, column] / often[term]
        edges = np.unique([0, *(np.flatnonzero(np.diff(heat)) + 1), len(self.text)])
        most = np.abs(heat).max(initial=0) or 1.0
        pieces = []
        for start, end in pairwise(edges):
            piece, value = escape(self.text[start:end]), heat[start]
            if value:
                colour = f"rgba({_POSITIVE if value > 0 else _NEGATIVE},{0.1 + 0.6 * abs(value) / most:.2f})"
                piece = f'<mark style="background:{colour};color:inherit" title="{value:+.3f}">{piece}</mark>'
            pieces.append(piece)
        return "".join(pieces)

    def _make_table(self, column, n):
        shares = {"contribution": self.contributions}
        if self.from_pretraining is not None:
            shares |= {"from pretraining": self.from_pretraining, "from labels": self.from_labels}
        head = "".join(f"<th {_CELL}>{name}</th>" for name in ("term", *shares))
        order = np.argsort(-np.abs(self.contributions[:, column]), kind="stable")[:n]
        rows = "".join(
            f"<tr><td {_CELL}>{escape(str(self.terms[i]))}</td>"
            + "".join(f"<td {_CELL}>{values[i, column]:+.3f}</td>" for values in shares.values())
            + "</tr>"
            for i in order
        )
        return f"<table><tr>{head}</tr>{rows}</table>"
