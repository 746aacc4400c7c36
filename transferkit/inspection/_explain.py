"""Exact explanations of models that are linear in terms."""

import os
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from transferkit._algorithms.networks.compression import dequantise_layers
from transferkit._validation import check_count, check_is_fitted, with_plain_outputs
from transferkit.exceptions import NotLinearError
from transferkit.inspection._term_parts import find_spans, pull_back, split_features, text_encoders
from transferkit.persistence import load_shared
from transferkit.selection import SelectiveClassifier

__all__ = ["Explanation", "explain", "top_terms"]

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
    from_evidence : ndarray of shape (n_terms, n_outputs), default=None
        The part of `contributions` learned from descriptions of the classes, unlabelled texts and a teacher; None if
        the model has no such part.
    """

    text: str
    terms: np.ndarray
    contributions: np.ndarray
    intercept: np.ndarray
    labels: np.ndarray
    from_pretraining: np.ndarray | None
    spans: list[tuple[int, int, int]]
    from_evidence: np.ndarray | None = None

    @property
    def decision(self) -> np.ndarray:
        """Decision values, shape (n_outputs,): the sum of contributions and intercept."""
        return self.contributions.sum(axis=0) + self.intercept

    @property
    def from_labels(self) -> np.ndarray | None:
        """The part of the contributions that was learned from labels alone (n_terms, n_outputs), or None."""
        if self.from_pretraining is None:
            return None
        of_labels = self.contributions - self.from_pretraining
        return of_labels if self.from_evidence is None else of_labels - self.from_evidence

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

    def segments(self, label: object = None) -> list[tuple[str, float]]:
        """Return the text in pieces, each with what its terms contribute to the decision value of one label.

        Parameters
        ----------
        label : object, default=None
            One of `labels`; None for the one with the highest decision value.

        Returns
        -------
        segments : list of tuple (piece, contribution)
            The pieces make up the text. The contribution of a term is divided among the places where it occurs, and
            those of overlapping terms are added; a piece without any term has 0.
        """
        column = self._column(label)
        heat = np.zeros(len(self.text))
        often = np.bincount([term for *_, term in self.spans], minlength=len(self.terms))
        for start, end, term in self.spans:
            heat[start:end] += self.contributions[term, column] / often[term]
        edges = np.unique([0, *(np.flatnonzero(np.diff(heat)) + 1), len(self.text)])
        return [(self.text[start:end], float(heat[start])) for start, end in pairwise(edges.tolist())]

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
            f'<p style="white-space:pre-wrap;line-height:1.8">{self._mark_text(label)}</p>'
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

    def _mark_text(self, label):
        segments = self.segments(label)
        most = max((abs(value) for _, value in segments), default=0.0) or 1.0
        pieces = []
        for text, value in segments:
            piece = escape(text)
            if value:
                colour = f"rgba({_POSITIVE if value > 0 else _NEGATIVE},{0.1 + 0.6 * abs(value) / most:.2f})"
                piece = f'<mark style="background:{colour};color:inherit" title="{value:+.3f}">{piece}</mark>'
            pieces.append(piece)
        return "".join(pieces)

    def _make_table(self, column, n):
        shares = {"contribution": self.contributions}
        if self.from_pretraining is not None:
            shares |= {"from pretraining": self.from_pretraining, "from labels": self.from_labels}
        if self.from_evidence is not None:
            shares["from evidence"] = self.from_evidence
        head = "".join(f"<th {_CELL}>{name}</th>" for name in ("term", *shares))
        order = np.argsort(-np.abs(self.contributions[:, column]), kind="stable")[:n]
        rows = "".join(
            f"<tr><td {_CELL}>{escape(str(self.terms[i]))}</td>"
            + "".join(f"<td {_CELL}>{values[i, column]:+.3f}</td>" for values in shares.values())
            + "</tr>"
            for i in order
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


@with_plain_outputs
def explain(model: BaseEstimator | str | os.PathLike[str], text: str) -> Explanation:
    """Explain a prediction by the contribution of each term of the text to each decision value.

    The sum of the contributions and the intercept is the decision value. Nothing is sampled or approximated: the model
    must be linear in terms, except for the normalisation of rows, where the norm of this text is used.

    Parameters
    ----------
    model : fitted estimator or path
        A :class:`TransferClassifier` or a Pipeline of text encoder and linear head (with `coef_`), scikit-learn's own
        vectorizers, linear models, scalers, TruncatedSVD and PCA included; a search over one, or a
        :class:`SelectiveClassifier` of one; or a model file.
    text : str
        One text.

    Returns
    -------
    explanation : Explanation
        Contributions. A notebook shows the text with its terms coloured.

    Raises
    ------
    TypeError
        If the model is not linear in terms (the step is named), or `text` is not a str.
    ValueError
        If the decision value of the model is NaN or infinite.

    See Also
    --------
    top_terms : The terms of largest weight, independent of any text.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from transferkit import LogisticHead, TfidfEncoder, explain
    >>> texts, labels = ["a good film", "a good plot", "a bad film", "a bad plot"], ["up", "up", "down", "down"]
    >>> model = make_pipeline(TfidfEncoder(), LogisticHead()).fit(texts, labels)
    >>> explanation = explain(model, "good film, good plot")
    >>> [term for term, value in explanation.top(1, label="up")]
    ['good']
    >>> bool(abs(explanation.decision[0] - model.decision_function(["good film, good plot"])[0]) < 1e-5)
    True
    """
    if not isinstance(text, str):
        raise TypeError(f"The 'text' parameter of explain must be one str. Got {type(text).__name__} instead.")
    model, encoder, head = _take_apart(model, "explain")
    coef, intercept, labels = _read_head(head, "explain")
    parts = _require_linear("explain", model, lambda: split_features(encoder, text))
    contributions = np.asarray(parts.rows @ coef, np.float64)
    intercept = intercept + parts.offset @ coef
    _check_sum(model, text, contributions.sum(axis=0) + intercept)
    terms, index = np.unique(parts.terms.astype(str), return_inverse=True)

    def merge(values):
        """Return the sums over the terms that are written in the same way."""
        merged = np.zeros((len(terms), coef.shape[1]))
        np.add.at(merged, index, values)
        return merged

    merged, from_pretraining, from_evidence = merge(contributions), None, None
    evidence_coef, label_coef = getattr(model, "evidence_coef_", None), getattr(model, "label_coef_", None)
    if evidence_coef is not None:
        from_evidence = merge(np.asarray(parts.rows @ evidence_coef.T, np.float64))
    if label_coef is not None:  # the weights are a sum of parts
        from_labels = merge(np.asarray(parts.rows @ label_coef.toarray().T, np.float64))
        from_pretraining = merged - from_labels - (0 if from_evidence is None else from_evidence)
    terms = terms.astype(object)
    spans = sorted({span for one in text_encoders(encoder) for span in find_spans(one, text, terms)})
    return Explanation(text, terms, merged, intercept, labels, from_pretraining, spans, from_evidence)


@with_plain_outputs
def top_terms(model: BaseEstimator | str | os.PathLike[str], n: int = 10) -> dict[Any, list[tuple[str, float]]]:
    """Return the terms of largest weight for each class of a model that is linear in terms.

    Parameters
    ----------
    model : fitted estimator or path
        A model that :func:`explain` accepts.
    n : int, default=10
        Number of terms per class.

    Returns
    -------
    terms : dict of label to list of tuple (term, weight)
        Largest weight first. A weight is the contribution of one unit of the term to the decision value, without
        normalisation of rows. With two classes, the weights of ``classes_[0]`` are those of ``classes_[1]`` with
        opposite sign.

    Raises
    ------
    TypeError
        If the model is not linear in terms.
    ValueError
        If `n` is negative or not a whole number.

    See Also
    --------
    explain : The terms of one text.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from transferkit import LogisticHead, TfidfEncoder, top_terms
    >>> texts, labels = ["a good film", "a good plot", "a bad film", "a bad plot"], ["up", "up", "down", "down"]
    >>> model = make_pipeline(TfidfEncoder(), LogisticHead()).fit(texts, labels)
    >>> {label: terms[0][0] for label, terms in top_terms(model, n=1).items()}
    {'down': 'bad', 'up': 'good'}
    """
    check_count("n", n, "top_terms")
    model, encoder, head = _take_apart(model, "top_terms")
    coef, _, labels = _read_head(head, "top_terms")
    terms, weights = _require_linear("top_terms", model, lambda: pull_back(encoder, coef))
    distinct, index = np.unique(terms.astype(str), return_inverse=True)
    if len(distinct) < len(terms):
        merged = np.zeros((len(distinct), weights.shape[1]))
        np.add.at(merged, index, weights)
        terms, weights = distinct.astype(object), merged
    if weights.shape[1] == 1 and len(getattr(head, "classes_", ())) == 2:
        weights, labels = np.hstack([-weights, weights]), head.classes_
    best = np.argsort(-weights, axis=0, kind="stable")[:n]
    return {
        label: [(terms[i], float(weights[i, column])) for i in best[:, column]]
        for column, label in enumerate(labels.tolist())
    }


def _take_apart(model, function):
    """Return the model, its text encoder, and its head."""
    if isinstance(model, (str, os.PathLike)):
        model = load_shared(model)
    check_is_fitted(model)
    model = getattr(model, "best_estimator_", model)  # of a search
    if isinstance(model, SelectiveClassifier):
        return _take_apart(model.estimator_, function)
    if hasattr(model, "encoder_") and hasattr(model, "head_"):
        encoder, head = model.encoder_, model.head_
        if getattr(model, "adaptation_", None) is not None:
            encoder = Pipeline([("encoder", encoder), ("adaptation", model.adaptation_)])
        if isinstance(head, Pipeline):  # steps between encoder and head
            encoder, head = Pipeline([("encoder", encoder), *head.steps[:-1]]), head[-1]
        return model, encoder, head
    if isinstance(model, Pipeline) and len(model.steps) > 1:
        head = model[-1].estimator_ if isinstance(model[-1], SelectiveClassifier) else model[-1]
        return model, Pipeline(model.steps[:-1]), head
    raise TypeError(_refusal(function, f"{type(model).__name__} is not a text encoder with a head"))


def _read_head(head, function):
    """Return the weights (n_features, n_outputs), intercepts, and the label of each output."""
    layers = getattr(head, "coefs_", ())
    if len(layers) == 1:  # a network without hidden layers: for example a pruned or quantised linear head
        coef, intercept = dequantise_layers(layers, getattr(head, "scales_", None))[0], head.intercepts_[0]
    elif hasattr(head, "coef_") and hasattr(head, "intercept_"):
        coef = np.atleast_2d(head.coef_.toarray() if sp.issparse(head.coef_) else np.asarray(head.coef_)).T
        intercept = head.intercept_
    else:
        reason = "hidden layers" if layers else "no coef_ and intercept_"
        raise TypeError(_refusal(function, f"{type(head).__name__} has {reason}"))
    coef = coef.astype(np.float64)
    intercept = np.broadcast_to(np.asarray(intercept, np.float64), coef.shape[1])
    classes = np.asarray(getattr(head, "classes_", np.arange(coef.shape[1])))
    if coef.shape[1] == 1:
        return coef, intercept, classes[-1:]
    return coef, intercept, classes if len(classes) == coef.shape[1] else np.arange(coef.shape[1])


def _require_linear(function, model, compute):
    try:
        return compute()
    except NotLinearError as error:
        raise TypeError(_refusal(f"{function} for {type(model).__name__}", str(error))) from None


def _refusal(function, reason):
    return (
        f"{function} is exact and needs a model that is linear in terms: {reason}. For other models use the package "
        "shap (pip install shap), or sklearn.inspection.permutation_importance."
    )


def _check_sum(model, text, decision):
    """Raise an error if the contributions do not add up to the decision value of the model."""
    predict = getattr(model, "decision_function", None) or model.predict
    expected = np.asarray(predict([text]), np.float64).ravel()
    if not np.isfinite(expected).all():
        raise ValueError(
            f"The decision value of the model for this text is {expected.tolist()!r}, which cannot be explained."
        )
    if not np.allclose(decision, expected, rtol=1e-4, atol=1e-4 * (1 + np.abs(expected).max())):
        raise TypeError(
            _refusal(
                "explain", f"the terms add up to {decision.tolist()!r}, but the model returns {expected.tolist()!r}"
            )
        )
