"""The labels of a file, matched to the classes of a model."""

import numpy as np

__all__ = ["match_labels", "write_labels"]

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def match_labels(labels, model, path):
    """Return the labels of a file as the model writes its classes.

    A label matches the class with the same text, or else the class of the same value, such as 1.0 for "1" and True for
    "true" or "1". Other labels are unchanged, since the model has no class for them.

    Parameters
    ----------
    labels : ndarray of str of shape (n_texts,)
        Labels as they are written in the file.
    model : estimator
        A model with `classes_`.
    path : str
        The file, for error messages.

    Returns
    -------
    labels : ndarray of str of shape (n_texts,)
        Labels as ``str`` writes the classes of the model.
    unknown : list of str
        Sorted labels that are not classes of the model.

    Raises
    ------
    ValueError
        If none of the labels is a class of the model.
    """
    classes = model.classes_.tolist()
    names = {label: _find_class(label, model.classes_) for label in sorted(set(labels.tolist()))}
    unknown = [label for label, found in names.items() if found is None]
    if len(unknown) == len(names):
        given, expected = write_labels(unknown), write_labels(classes)
        raise ValueError(f"None of the labels in {path!r}, {given}, is a class of the model: {expected}.")
    return np.array([label if names[label] is None else names[label] for label in labels.tolist()]), unknown


def _find_class(label, classes):
    """Return the class that a label matches, as ``str`` writes it, or None."""
    for matches in (lambda known: str(known) == label, lambda known: _has_value(known, label)):
        for known in classes:
            if matches(known):
                return str(known)
    return None


def _has_value(known, label):
    if isinstance(known, (bool, np.bool_)):  # before int, as bool is a subclass of it
        return _TRUTH.get(label.lower(), not known) == known
    try:
        if isinstance(known, (int, np.integer)):
            return int(label) == known if label.lstrip("+-").isdecimal() else float(label) == known
        return isinstance(known, (float, np.floating)) and float(label) == known
    except ValueError:
        return False


def write_labels(labels):
    """Return the first labels as text for messages."""
    return f"[{', '.join(map(repr, labels[:10]))}{', and others' if len(labels) > 10 else ''}]"
