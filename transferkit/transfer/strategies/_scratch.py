"""Strategy "scratch": the head without transfer, on TF-IDF of the labelled texts or on rows of numbers as they are."""

import os

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from transferkit._validation import check_features
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.encoders.term_projection import find_text_settings
from transferkit.transfer._evaluation import Outcome, make_row

__all__ = ["fit_scratch_if_possible", "make_baseline", "takes_raw_input"]


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
