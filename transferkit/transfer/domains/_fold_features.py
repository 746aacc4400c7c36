"""Features of the folds where the encoder is not pretrained: fitted anew on the training part of each."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from transferkit._validation import count_rows, take_rows
from transferkit.adaptation.domains import stack_rows


class FoldFeatures(NamedTuple):
    """The rows of one fold, encoded by what has seen its training part alone."""

    encoder: Any
    train: Any  # features of the training rows
    test: Any  # features of the rows held out

    @property
    def both(self):
        """Features of the training rows, followed by those held out."""
        return stack_rows(self.train, self.test)

    @property
    def positions(self):
        """Positions in `both` of the training rows and of those held out, as a fold for a search."""
        n_train, n_rows = count_rows(self.train), count_rows(self.train) + count_rows(self.test)
        return np.arange(n_train), np.arange(n_train, n_rows)


def encode_folds(encoder, X, y, folds):
    """Yield the features of each fold: labels of held-out rows must not reach an encoder that uses labels.

    Parameters
    ----------
    encoder : transformer
        Cloned for each fold.
    X : list of str, array, sparse matrix or data frame
        Raw input.
    y : ndarray
        Labels or targets.
    folds : list of (train, test) indices
        Positions of the rows.

    Yields
    ------
    features : FoldFeatures
        Those of the next fold.
    """
    for train, test in folds:
        of_fold = clone(encoder)
        features = of_fold.fit_transform(take_rows(X, train), y[train])
        yield FoldFeatures(of_fold, features, of_fold.transform(take_rows(X, test)))
