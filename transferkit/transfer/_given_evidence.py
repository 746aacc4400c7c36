"""Evidence beside labels as given to a TransferClassifier: read, checked, and brought to the order of the classes."""

import os

import numpy as np

from transferkit._validation import SUM_TOLERANCE, check_probabilities, check_texts, count_rows, holds_texts, take_rows
from transferkit.persistence import load_shared
from transferkit.transfer.pretrained import is_frozen
from transferkit.transfer.strategies._evidence import Evidence

__all__ = ["find_classes", "read_evidence"]

MOST_UNLABELLED = 10_000  # rows: a random sample of more, to save time


def find_classes(classifier):
    """Return the classes, sorted, that are known without any label: those of the descriptions or of the teacher."""
    if isinstance(classifier.class_descriptions, dict):
        return np.unique(list(classifier.class_descriptions))
    teacher = _load_teacher(classifier.teacher)
    if hasattr(teacher, "classes_"):
        return np.unique(teacher.classes_)
    raise ValueError(
        "Without labelled rows the classes must be known from class_descriptions={label: text}, or from a teacher with "
        f"classes_. Got class_descriptions={classifier.class_descriptions!r} and teacher={classifier.teacher!r}."
    )


def read_evidence(classifier, classes, X_unlabelled, *, is_text, random_state):
    """Return what a TransferClassifier was given beside labels.

    Parameters
    ----------
    classifier : TransferClassifier
        With the parameters `class_descriptions`, `teacher` and `class_prior`.
    classes : ndarray of shape (n_classes,)
        Labels, sorted.
    X_unlabelled : iterable of str, array-like, sparse matrix or None
        Unlabelled rows.
    is_text : bool
        Whether the labelled rows are texts.
    random_state : RandomState
        Draws some rows if there are very many.

    Returns
    -------
    evidence : Evidence or None
        None if nothing was given.
    """
    if all(
        value is None
        for value in (X_unlabelled, classifier.class_descriptions, classifier.teacher, classifier.class_prior)
    ):
        return None
    descriptions = _read_descriptions(classifier.class_descriptions, classes)
    if descriptions is not None and not is_text:
        raise ValueError("class_descriptions describe texts, but the rows to classify hold numbers.")
    unlabelled = None if X_unlabelled is None else _read_rows(X_unlabelled, is_text)
    if X_unlabelled is not None or descriptions is not None:
        _check_encoder(classifier)
    if X_unlabelled is None and classifier.teacher is not None:
        raise ValueError("A teacher labels unlabelled rows: give fit(X, y, X_unlabelled=...). Got None.")
    prior = _read_prior(classifier.class_prior, classes)
    if unlabelled is not None and count_rows(unlabelled) > MOST_UNLABELLED:
        unlabelled = take_rows(unlabelled, np.sort(random_state.permutation(count_rows(unlabelled))[:MOST_UNLABELLED]))
    asked = None if classifier.teacher is None else _ask_teacher(classifier, unlabelled, classes)
    return Evidence(classes, descriptions, unlabelled, asked, prior, is_text)


def _check_encoder(classifier):
    """Raise ValueError unless the encoder is pretrained: features of evidence and of labels must be the same."""
    if classifier.encoder is None or not is_frozen(classifier.encoder):
        raise ValueError(
            "class_descriptions, a teacher and X_unlabelled need a pretrained encoder: a model file, or a transformer "
            f"such as WordVectorEncoder().fit(unlabelled_texts). Got encoder={classifier.encoder!r}."
        )


def _read_rows(X_unlabelled, is_text):
    if holds_texts(X_unlabelled) != is_text:
        kinds = ("texts", "numbers") if is_text else ("numbers", "texts")
        raise ValueError(f"X and X_unlabelled must be of one kind. X holds {kinds[0]}, and X_unlabelled {kinds[1]}.")
    rows = check_texts(X_unlabelled) if is_text else X_unlabelled
    if count_rows(rows) < 2:
        raise ValueError(f"X_unlabelled must have at least 2 rows. Got {count_rows(rows)}.")
    return rows


def _read_descriptions(given, classes):
    """Return the texts that describe each class, in the order of the classes."""
    if given is None:
        return None
    labels = classes.tolist()
    if isinstance(given, str):  # "labels"
        wrong = [label for label in labels if not isinstance(label, str)]
        if wrong:
            raise ValueError(
                f"class_descriptions='labels' needs labels that are words. Got the label {wrong[0]!r}: describe each "
                "class by class_descriptions={label: text}."
            )
        return [[label.replace("_", " ").replace("-", " ")] for label in labels]
    unknown = [label for label in given if label not in labels]
    missing = [label for label in labels if label not in given]
    if unknown or missing:
        raise ValueError(
            "class_descriptions must have one entry per label. "
            + (f"Not among the labels: {', '.join(map(repr, unknown))}. " if unknown else "")
            + (f"Not described: {', '.join(map(repr, missing))}. " if missing else "")
            + f"The labels are {', '.join(map(repr, labels))}."
        )
    found = [list(given[label]) if isinstance(given[label], (list, tuple)) else [given[label]] for label in labels]
    for label, texts in zip(labels, found, strict=True):
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ValueError(
                f"class_descriptions[{label!r}] must be a text or a list of texts that are not empty. Got "
                f"{given[label]!r}."
            )
    return found


def _read_prior(given, classes):
    """Return the proportions of the classes as an array in the order of the classes."""
    if given is None:
        return None
    labels = classes.tolist()
    if isinstance(given, dict):
        if set(given) != set(labels):
            raise ValueError(f"class_prior must have one entry per label. Got {given!r}; the labels are {labels}.")
        given = [given[label] for label in labels]
    prior = np.asarray(given, dtype=np.float64)
    if prior.shape != (len(labels),) or not (prior > 0).all() or abs(prior.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"class_prior must hold one positive share for each of the {len(labels)} labels, and they must sum to one. "
            f"Got {np.array2string(prior, threshold=20)}, with the sum {prior.sum():.6g}."
        )
    return prior / prior.sum()


def _load_teacher(teacher):
    return load_shared(teacher) if isinstance(teacher, (str, os.PathLike)) else teacher


def _ask_teacher(classifier, unlabelled, classes):
    """Return the teacher's probabilities of unlabelled rows, with columns in the order of the classes."""
    teacher, columns = _load_teacher(classifier.teacher), classes
    if hasattr(teacher, "predict_proba"):
        columns = np.asarray(teacher.classes_)
        if len(columns) != len(classes) or set(columns.tolist()) != set(classes.tolist()):
            raise ValueError(
                f"The teacher has other classes than the labels: {columns.tolist()} instead of {classes.tolist()}."
            )
        found = teacher.predict_proba(unlabelled)
    elif callable(teacher):
        found = teacher(unlabelled)
    else:
        raise ValueError(
            "teacher must be a fitted classifier with predict_proba, the path of one, or a callable that returns "
            f"probabilities. Got {teacher!r}."
        )
    shape = count_rows(unlabelled), len(classes)
    if np.shape(found) != shape:
        raise ValueError(
            f"The teacher must return probabilities of shape {shape}, one column per label, sorted. Got "
            f"{np.shape(found)}."
        )
    return check_probabilities(found, columns, classifier)[1]
