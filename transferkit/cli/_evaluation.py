"""How a model is evaluated on labelled texts: labels matched to its classes, figures as data, and cross-validation."""

import functools
import warnings
from collections import Counter
from typing import NamedTuple

import click
import numpy as np

from transferkit._algorithms.proportions import calibrate, paired_interval, wilson_interval
from transferkit.cli._progress import CandidateReport

__all__ = [
    "REJECTED",
    "LabelledPredictions",
    "check_folds",
    "check_number_of_folds",
    "compare_predictions",
    "describe_folds",
    "evaluate_predictions",
    "find_class",
    "match_labels",
    "predict_folds",
    "report_unknown",
    "write_labels",
]

WIDEST_INTERVAL = 0.2  # of an accuracy that says something about a model
REJECTED = "(rejected)"  # the prediction for rejected texts of a model without a reject label
STANDARD_ERRORS = 2.0  # by which the mean confidence may differ from the accuracy
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class LabelledPredictions(NamedTuple):
    """Predictions for labelled texts; labels are text."""

    texts: list[str]
    truth: np.ndarray  # (n_texts,)
    predicted: np.ndarray  # (n_texts,), the reject label for rejected texts
    classified: np.ndarray  # (n_texts,), the same as if none were rejected
    confidence: np.ndarray | None  # (n_texts,), probability of `classified`; None if the model has none
    rejected: np.ndarray | None  # (n_texts,); None if the model never rejects

    @property
    def is_right(self):
        """Whether each text is predicted rightly, (n_texts,)."""
        return self.predicted == self.truth


def match_labels(labels, model, path, reject_label=None):
    """Return the labels of a file as ``str`` writes the classes of the model, and the sorted labels of no class.

    A label matches the class with the same text, or else the class of the same value, such as 1.0 for "1" and True for
    "true" or "1". The reject label is a class, if there is one. Other labels are unchanged; ValueError is raised if
    none matches.
    """
    classes = model.classes_.tolist() if reject_label is None else [*model.classes_.tolist(), reject_label]
    names = {label: find_class(label, classes) for label in sorted(set(labels.tolist()))}
    unknown = [label for label, found in names.items() if found is None]
    if len(unknown) == len(names):
        given, expected, hint = write_labels(unknown), write_labels(classes), _compare_spelling(unknown, classes)
        raise ValueError(
            f"None of the labels in {path!r}, {given}, is a class of the model: {expected}.{hint} Is it the file of "
            "another task, or the wrong --label-column?"
        )
    return np.array([label if names[label] is None else names[label] for label in labels.tolist()]), unknown


def find_class(label, classes):
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


def report_unknown(labels, unknown, classes, path, model):
    """Say on stderr which labels are no classes of the model."""
    if unknown:
        n_texts = int(np.isin(labels, unknown).sum())
        click.echo(
            f"Labels of {path!r} that are not classes of the model: {write_labels(unknown)}, in {n_texts:,} of "
            f"{len(labels):,} texts, which {model!r} gets wrong.{_compare_spelling(unknown, classes)}",
            err=True,
        )


def _compare_spelling(unknown, classes):
    """Return a hint for messages if a label is a class but for case and blanks."""
    names = {"".join(str(name).casefold().split()): str(name) for name in classes}
    for label in unknown:
        if same := names.get("".join(label.casefold().split())):
            return f" {label!r} differs from the class {same!r} in case or blanks only."
    return ""


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


def predict_folds(model, texts, labels, n_folds, show=None, **others):
    """Return whether clones of a model predict each text rightly that they were not trained on, (n_texts,).

    Folds are stratified. `show` is called with the name of each fold, and with what is tried in it. Other arguments are
    passed to `fit` in each fold. ValueError is raised if the model cannot be fitted in a fold; its message says that
    the model itself is saved.
    """
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    is_right = np.zeros(len(labels), bool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # check_folds has reported it
        for number, (train, test) in enumerate(StratifiedKFold(n_folds).split(labels, labels), 1):
            of_fold = clone(model)
            if show is not None:
                name = f"fold {number} of {n_folds}"
                show(name, is_new=True)
                of_fold.set_callbacks(CandidateReport(functools.partial(_show_within, show, name)))
            try:
                fitted = of_fold.fit([texts[i] for i in train], labels[train], **others)
                is_right[test] = fitted.predict([texts[i] for i in test]) == labels[test]
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"The model is saved, but could not be evaluated in {n_folds} folds (--cv): {error}"
                ) from error
    return is_right


def _show_within(show, name, text, is_new=False):
    """Show what is tried in a fold; a line of its own only if there was none for some time."""
    show(f"{name}, {text}")


def describe_folds(is_right, n_folds):
    """Return the accuracy in folds as a sentence, which says if it means little."""
    n_right, n_texts = int(is_right.sum()), len(is_right)
    low, high = wilson_interval(n_right, n_texts)
    interval = f"95 % interval {low:.2f} to {high:.2f}, Wilson, {n_texts} texts"
    figure = f"accuracy in {n_folds} folds: {n_right / n_texts:.3f} ({interval})"
    if high - low <= WIDEST_INTERVAL:
        return figure
    n_least = n_texts - -(-n_texts // n_folds)
    return (
        f"{figure}. This says little: the interval is wide, and each fold trains on {n_least} of {n_texts} labels, "
        "which often gives a worse model than the one saved. Label more texts, or run transferkit evaluate on others."
    )


def evaluate_predictions(found):
    """Return accuracy and its interval, macro F1, calibration, confusions and figures per class, as JSON data.

    The interval is Wilson's of 95 %. Confusions are sorted, the most frequent first; the example of each is the text of
    largest confidence. If texts are rejected, also the share of those accepted and their accuracy.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    classes = sorted({*found.truth.tolist(), *found.predicted.tolist()})
    columns = precision_recall_fscore_support(found.truth, found.predicted, labels=classes, zero_division=0.0)
    present = columns[3] > 0  # a class without texts has no recall, and must not lower the mean
    return {
        "n_texts": len(found.truth),
        "accuracy": float(found.is_right.mean()),
        "accuracy_interval": wilson_interval(int(found.is_right.sum()), len(found.truth)),
        **({} if found.rejected is None else _evaluate_rejection(found)),
        "macro_f1": float(columns[2][present].mean()),
        "calibration": None if found.confidence is None else _evaluate_calibration(found),
        "confusions": _list_confusions(found),
        "classes": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "n_texts": int(n)}
            for name, p, r, f, n in zip(classes, *columns, strict=True)
        },
        "confusion_matrix": {
            "labels": classes,
            "counts": confusion_matrix(found.truth, found.predicted, labels=classes).tolist(),
        },
    }


def _evaluate_rejection(found):
    """Return the share of texts that are accepted, and the accuracy of these, None if there are none."""
    is_right = found.is_right[~found.rejected]
    accuracy = float(is_right.mean()) if len(is_right) else None
    return {"accepted": float(1 - found.rejected.mean()), "accuracy_of_accepted": accuracy}


def _evaluate_calibration(found):
    """Return the expected calibration error, mean confidence and accuracy without rejection, and a verdict.

    The verdict is that the confidence is "too high" or "too low" if its mean differs from the accuracy by more than two
    standard errors of the accuracy that the confidence predicts.
    """
    is_right, confidence = found.classified == found.truth, found.confidence.astype(np.float64)
    difference = confidence.mean() - is_right.mean()
    error = np.sqrt(np.sum(confidence * (1 - confidence))) / len(confidence)
    verdict = "fits" if abs(difference) <= STANDARD_ERRORS * error else "too high" if difference > 0 else "too low"
    return {
        "expected_calibration_error": calibrate(is_right, confidence).error,
        "mean_confidence": float(confidence.mean()),
        "accuracy": float(is_right.mean()),
        "verdict": verdict,
    }


def _list_confusions(found):
    wrong = np.flatnonzero(~found.is_right).tolist()
    if found.confidence is not None:
        wrong.sort(key=lambda place: -found.confidence[place])
    pairs = {}
    for place in wrong:
        pairs.setdefault((str(found.truth[place]), str(found.predicted[place])), []).append(place)
    return [
        {"true": true, "predicted": predicted, "n_texts": len(places), "example": found.texts[places[0]]}
        for (true, predicted), places in sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def compare_predictions(first, second):
    """Return the difference of two models' accuracies on the same texts, second minus first, as JSON data."""
    only_first = int((first.is_right & ~second.is_right).sum())
    only_second = int((second.is_right & ~first.is_right).sum())
    n_texts = len(first.truth)
    return {
        "difference": (only_second - only_first) / n_texts,
        "interval": paired_interval(only_first, only_second, n_texts),
        "n_right_only_in_first": only_first,
        "n_right_only_in_second": only_second,
    }
