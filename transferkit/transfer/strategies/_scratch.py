"""Strategy "scratch": the head without transfer, on TF-IDF of the labelled texts or on rows of numbers as they are."""

import os

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import FunctionTransformer

from transferkit._validation import check_features
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.encoders.term_projection import find_text_settings
from transferkit.encoders.term_union import describe_terms, fit_characters, join_characters
from transferkit.transfer._evaluation import Outcome, make_row
from transferkit.transfer.strategies._average import Average, search_around_best
from transferkit.transfer.strategies._candidates import SharedSearch
from transferkit.transfer.strategies._frozen import finish_average, fit_logistic

__all__ = ["fit_scratch_if_possible", "fit_scratch_texts", "make_baseline", "takes_raw_input"]


def make_baseline(encoder, is_text):
    """Return an unfitted encoder without pretraining.

    Parameters
    ----------
    encoder : str, path, transformer or None
        Encoder of the transfer estimator: TF-IDF splits texts as it does.
    is_text : bool
        Whether the input holds texts.
    """
    if not is_text:
        return FunctionTransformer(accept_sparse=True)
    is_path = isinstance(encoder, (str, os.PathLike))
    settings = find_text_settings(PretrainedEncoder(encoder) if is_path else encoder)
    return TfidfEncoder(sublinear_tf=True, **settings)


def fit_scratch_texts(encoder, texts, task, settings):
    """Return the outcome of words, and of words and characters, as candidates of one average.

    Parameters
    ----------
    encoder : TfidfEncoder
        Not yet fitted, from `make_baseline`.
    texts : list of str
        Labelled texts.
    task : ClassificationTask
        Labels and folds. Without folds, nothing would show whether characters help, so they are not tried.
    settings : LogisticSettings
        Candidates for C.

    Returns
    -------
    outcome : Outcome
        TF-IDF of the terms of the candidates that have a weight, and a linear head.
    """
    rows = encoder.fit_transform(texts, task.y)
    characters = fit_characters(encoder, texts) if task.has_folds else None
    if characters is None:
        return fit_logistic("scratch", encoder, rows, task, settings)
    union, average = join_characters(encoder, characters), Average("scratch", task)
    if task.to_beat is None:
        search = SharedSearch(rows, task, settings, in_rounds=True)
        for place, (C, scores, seconds) in enumerate(search.found):
            average.add(scores, *search.readers(place), terms=describe_terms(encoder), C=C, seconds=seconds)
        fits = search.fits
    else:
        fits = search_around_best(average, rows, task, settings, terms=describe_terms(encoder))
    wide = sp.hstack([rows, characters.transform(texts)], format="csr")
    search_around_best(average, wide, task, settings, fits, terms=describe_terms(union))
    if all(candidate.row["terms"] != describe_terms(union) for candidate in average.kept):
        return finish_average(average, encoder, rows, task, settings)
    return finish_average(average, union, wide, task, settings)


def fit_scratch_if_possible(fit, encoder, X, is_text):
    """Return the outcome of `fit("scratch")`, or one without a head if no model can be trained on X as it is.

    Errors are raised if X is texts in which TF-IDF finds words, or rows of finite numbers.
    """
    try:
        return fit("scratch")
    except (TypeError, ValueError):
        if takes_raw_input(encoder, X, is_text):
            raise
        return Outcome("scratch", None, None, np.zeros(0), [make_row("scratch", [])])


def takes_raw_input(encoder, X, is_text):
    """Return whether X is texts in which TF-IDF finds words, or rows of finite numbers.

    Parameters
    ----------
    encoder : str, path, transformer or None
        Encoder of the transfer estimator.
    X : list of str, array, sparse matrix or data frame
        Raw input.
    is_text : bool
        Whether it holds texts.
    """
    try:
        make_baseline(encoder, is_text).fit(X) if is_text else check_features(X)
    except (TypeError, ValueError):
        return False
    return True
