"""How a model is evaluated on labelled texts: labels matched to its classes, the report, and cross-validation."""

import warnings
from collections import Counter

import click
import numpy as np

__all__ = [
    "REJECTED",
    "check_folds",
    "check_number_of_folds",
    "evaluate_predictions",
    "evaluate_rejection",
    "format_report",
    "match_labels",
    "score_folds",
    "write_labels",
]

REJECTED = "(rejected)"  # the prediction for rejected texts of a model without a reject label
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def match_labels(labels, model, path, reject_label=None):
    """Return the labels of a file as ``str`` writes the classes of the model, and the sorted labels of no class.

    A label matches the class with the same text, or else the class of the same value, such as 1.0 for "1" and True for
    "true" or "1". The reject label is a class, if there is one. Other labels are unchanged; ValueError is raised if
    none matches.
    """
    classes = model.classes_.tolist() if reject_label is None else [*model.classes_.tolist(), reject_label]
    names = {label: _find_class(label, classes) for label in sorted(set(labels.tolist()))}
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


def check_number_of_folds(n_folds):
    """Raise ValueError for a value of ``--cv`` that is invalid for any table: a negative number, or 1."""
    if n_folds < 0 or n_folds == 1:
        raise ValueError(f"--cv takes 2 or more folds, or 0 for none. Got {n_folds}.")


def check_folds(n_folds, labels, path):
    """Raise ValueError if the labels cannot be split into this many folds (0 for none).

    That is so if there are more folds than texts or than texts of the largest class, or if a fold would contain the
    only text of one of two classes. A class missing from some folds is reported.
    """
    if n_folds == 0:
        return
    counts = Counter(labels.tolist())
    (_, most), (rarest, fewest) = counts.most_common()[0], counts.most_common()[-1]
    if n_folds > len(labels):
        raise ValueError(f"--cv {n_folds} asks for more folds than {path!r} has texts: {len(labels)}.")
    if n_folds > most:
        raise ValueError(f"--cv {n_folds} asks for more folds than {path!r} has texts of any class: at most {most}.")
    if len(counts) == 2 and fewest == 1:
        raise ValueError(
            f"--cv {n_folds} needs two texts of each class, but {path!r} has one of class {rarest!r}: without it one "
            "class remains to train on."
        )
    if n_folds > fewest:
        click.echo(f"Class {rarest!r} has fewer texts ({fewest}) than --cv has folds: some folds have none.", err=True)


def score_folds(model, texts, labels, n_folds, **others):
    """Return the accuracy (n_folds,) of clones of a model in stratified folds.

    The other arguments are passed to `fit` in each fold. ValueError is raised if the model cannot be fitted in a fold;
    its message says that the model itself is saved.
    """
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    scores = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # check_folds has reported it
        for train, test in StratifiedKFold(n_folds).split(labels, labels):
            try:
                fitted = clone(model).fit([texts[i] for i in train], labels[train], **others)
                scores.append(fitted.score([texts[i] for i in test], labels[test]))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"The model is saved, but could not be evaluated in {n_folds} folds (--cv): {error}"
                ) from error
    return np.array(scores)


def evaluate_predictions(truth, predicted, rejected=None):
    """Return accuracy, macro F1, figures per class and the confusion matrix of predicted labels, as JSON data.

    If it is given which texts are rejected, also the share of those accepted and their accuracy.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    classes = sorted({*truth.tolist(), *predicted.tolist()})
    columns = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0.0)
    present = columns[3] > 0  # a class without texts has no recall, and must not lower the mean
    return {
        "n_texts": len(truth),
        "accuracy": float(accuracy_score(truth, predicted)),
        **({} if rejected is None else evaluate_rejection(truth, predicted, rejected)),
        "macro_f1": float(columns[2][present].mean()),
        "classes": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "n_texts": int(n)}
            for name, p, r, f, n in zip(classes, *columns, strict=True)
        },
        "confusion_matrix": {
            "labels": classes,
            "counts": confusion_matrix(truth, predicted, labels=classes).tolist(),
        },
    }


def evaluate_rejection(truth, predicted, rejected):
    """Return the share of texts that are accepted, and the accuracy of these, None if there are none."""
    is_right = (truth == predicted)[~rejected]
    accuracy = float(is_right.mean()) if len(is_right) else None
    return {"accepted": float(1 - rejected.mean()), "accuracy_of_accepted": accuracy}


def format_report(report):
    """Return the result of `evaluate_predictions` as text."""
    width = max(len(name) for name in [*report["classes"], "class"])
    lines = [
        f"texts     {report['n_texts']}",
        f"accuracy  {report['accuracy']:.4f}",
        f"macro F1  {report['macro_f1']:.4f}",
        *_format_rejection(report),
        "",
        f"{'class':<{width}}  precision  recall      F1  texts",
    ]
    for name, row in report["classes"].items():
        numbers = f"{row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}  {row['n_texts']:5}"
        lines.append(f"{name:<{width}}  {numbers}")
    counts = report["confusion_matrix"]["counts"]
    cell = max(len(str(count)) for row in counts for count in row) + 2
    lines += ["", "confusion matrix (rows: true, columns: predicted, in the order above)"]
    for name, row in zip(report["classes"], counts, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{cell}}" for count in row))
    return "\n".join(lines)


def _format_rejection(report):
    if "accepted" not in report:
        return []
    accuracy = report["accuracy_of_accepted"]
    return [f"accepted  {report['accepted']:.4f}" + ("" if accuracy is None else f", accuracy of these {accuracy:.4f}")]
