"""The cross-validated accuracy that `transferkit finetune --cv` reports."""

import warnings
from collections import Counter

import click
from sklearn.model_selection import cross_val_score

__all__ = ["check_folds", "check_number_of_folds", "score_folds"]


def check_number_of_folds(n_folds):
    """Raise ValueError for a number of folds that is invalid for any table.

    Parameters
    ----------
    n_folds : int
        Value of ``--cv``; 0 for none.

    Raises
    ------
    ValueError
        If it is negative or 1.
    """
    if n_folds < 0 or n_folds == 1:
        raise ValueError(f"--cv takes 2 or more folds, or 0 for none. Got {n_folds}.")


def check_folds(n_folds, labels, path):
    """Raise ValueError if the labels cannot be split into this many folds, and report a class missing from some folds.

    Parameters
    ----------
    n_folds : int
        Value of ``--cv``; 0 for none.
    labels : ndarray of str of shape (n_texts,)
        Labels of the texts.
    path : str
        The file, for error messages.

    Raises
    ------
    ValueError
        If there are more folds than texts or than texts of the largest class, or if a fold would contain the only text
        of one of two classes, so that one class remains to train on.
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


def score_folds(model, texts, labels, n_folds):
    """Return the accuracy of a model in each fold.

    Parameters
    ----------
    model : classifier
        Cloned and fitted in each fold.
    texts : list of str
        All texts.
    labels : ndarray of str of shape (n_texts,)
        Their labels.
    n_folds : int
        Number of stratified folds, at least 2.

    Returns
    -------
    scores : ndarray of shape (n_folds,)
        Accuracy of each fold.

    Raises
    ------
    ValueError
        If the model cannot be fitted in a fold. The message says that the model itself is saved.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # check_folds has reported it
        try:
            return cross_val_score(model, texts, labels, cv=n_folds, error_score="raise")
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"The model is saved, but could not be evaluated in {n_folds} folds (--cv): {error}"
            ) from error
