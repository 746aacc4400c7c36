"""The labels of a file as classes of a model."""

import numpy as np

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def read_labels(labels, model, path):
    """Return what a model calls the labels of a file.

    A label is the class that is written like it; else the class of the same value, as 1.0 is for "1" and True for
    "true" or "1"; else it stays as it is, a class that the model does not know.

    Parameters
    ----------
    labels : ndarray of str of shape (n_texts,)
        Labels as they are written in the file.
    model : estimator
        With `classes_`.
    path : str
        The file, for the error.

    Returns
    -------
    labels : ndarray of str of shape (n_texts,)
        As ``str`` writes the classes of the model.
    unknown : list of str
        Labels that are no classes of the model, sorted.

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
    """Return the class that a label stands for as ``str`` writes it, or None."""
    for matches in (lambda known: str(known) == label, lambda known: _has_value(known, label)):
        for known in classes:
            if matches(known):
                return str(known)
    return None


def _has_value(known, label):
    if isinstance(known, (bool, np.bool_)):  # before int, which bool is as well
        return _TRUTH.get(label.lower(), not known) == known
    try:
        if isinstance(known, (int, np.integer)):
            return int(label) == known if label.lstrip("+-").isdecimal() else float(label) == known
        return isinstance(known, (float, np.floating)) and float(label) == known
    except ValueError:
        return False


def write_labels(labels):
    """Return the first labels as an error or a warning shows them."""
    return f"[{', '.join(map(repr, labels[:10]))}{', and others' if len(labels) > 10 else ''}]"
