"""Warnings of what an estimator fits inside refer to the line of the user."""

import warnings

import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from transferkit import LogisticHead, LogisticHeadCV, MLPHeadClassifier, TransferClassifier

X, Y = load_digits(n_class=3, return_X_y=True)
FITS = {
    "head": lambda: LogisticHead(max_iter=1).fit(X, Y),
    "head within": lambda: TransferClassifier(PCA(5), LogisticHead(max_iter=1), strategy="frozen").fit(X, Y),
    "candidates": lambda: TransferClassifier(PCA(5), LogisticHeadCV([1.0, 10.0], max_iter=1)).fit(X, Y),
    "prior": lambda: LogisticHead(prior=LogisticHead().fit(X, Y + 10)).fit(X, Y),
    "network": lambda: MLPHeadClassifier((8,), swa=0.75, tol=10.0, n_iter_no_change=2, random_state=0).fit(X / 16, Y),
}


@pytest.mark.parametrize("name", FITS)
def test_warnings_name_the_line_that_fits(name):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        FITS[name]()
    assert {warning.filename for warning in seen} == {__file__}


def test_texts_as_labels_are_not_taken_for_a_regression():
    labels = [f"class {i // 2}" if i < 4 else f"class {i}" for i in range(30)]  # most are there once
    model = TransferClassifier(strategy="scratch").fit([f"{label} text" for label in labels], labels)
    assert len(model.classes_) == 28
