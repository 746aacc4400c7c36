"""Moments that are matched between domains with other proportions of classes."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from transferkit import CORAL, LinearTransport, LogisticHead

RNG = np.random.default_rng(0)
CODES = np.repeat([0, 1, 2], [60, 30, 30])
LABELS, TRUTH = np.array(["a", "b", "c"])[CODES], np.repeat(["a", "b", "c"], [10, 30, 80])
CENTRES = {"a": [6, 0, 0], "b": [0, 6, 0], "c": [0, 0, 6]}
SOURCE = RNG.normal(size=(120, 3)) + np.array([CENTRES[label] for label in LABELS])
TARGET = RNG.normal(size=(120, 3)) + np.array([CENTRES[label] for label in TRUTH])
X, DOMAIN = np.vstack([SOURCE, TARGET]), np.repeat([1, -1], 120)
Y = np.append(LABELS, np.full(120, "?"))
SHARES = [0.25, 0.25, 0.5]
REPEATED = np.repeat(np.arange(120), np.array([1, 2, 4])[CODES])  # in which classes have these shares


@pytest.mark.parametrize("options", [{}, {"covariance": "diagonal"}, {"centre": False}], ids=str)
@pytest.mark.parametrize("cls", [CORAL, LinearTransport])
def test_weights_count_as_repetitions_of_rows(cls, options):
    weighted = cls(shrinkage=0.1, class_proportions=SHARES, **options).fit(X, Y, sample_domain=DOMAIN)
    rows = np.vstack([SOURCE[REPEATED], TARGET])
    repeated = cls(shrinkage=0.1, **options).fit(rows, sample_domain=np.repeat([1, -1], [len(REPEATED), 120]))
    for name in ("matrix_", "source_mean_", "target_mean_"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), atol=1e-9)
    np.testing.assert_allclose(weighted.class_proportions_, SHARES)
    assert repeated.class_proportions_ is None


def test_sparse_rows_are_weighted():
    matcher = CORAL(covariance="diagonal", centre=False, class_proportions=SHARES)
    dense = clone(matcher).fit(X, Y, sample_domain=DOMAIN)
    found = matcher.fit(sparse.csr_matrix(X), Y, sample_domain=DOMAIN)
    np.testing.assert_allclose(found.matrix_, dense.matrix_)


def test_equal_proportions_change_nothing():
    plain = CORAL().fit(X, sample_domain=DOMAIN)  # with the shrinkage of Ledoit and Wolf
    weighted = CORAL(class_proportions=[0.5, 0.25, 0.25]).fit(X, Y, sample_domain=DOMAIN)
    np.testing.assert_allclose(weighted.shrinkage_, plain.shrinkage_)
    np.testing.assert_allclose(weighted.matrix_, plain.matrix_)


@pytest.mark.parametrize("cls", [CORAL, LinearTransport])
def test_estimated_proportions_keep_classes_where_they_are(cls):
    def score(matcher):
        mapped = matcher.fit_transform(X, Y, sample_domain=DOMAIN)
        return LogisticHead().fit(mapped[:120], LABELS).score(mapped[120:], TRUTH)

    assert score(cls()) < 0.9
    matcher = cls(class_proportions="estimate")
    assert score(matcher) > 0.97
    np.testing.assert_allclose(matcher.class_proportions_, np.array([11, 31, 81]) / 123, atol=0.02)


def test_proportions_are_estimated_from_reflected_rows():
    transport = LinearTransport(reflection=True, class_proportions="estimate")
    found = transport.fit(np.vstack([SOURCE, -TARGET]), Y, sample_domain=DOMAIN).class_proportions_
    reflected = SOURCE.mean(0) - TARGET.mean(0) - SOURCE
    transport.set_params(reflection=False).fit(np.vstack([reflected, -TARGET]), Y, sample_domain=DOMAIN)
    np.testing.assert_allclose(found, transport.class_proportions_)
    transport.fit(np.vstack([SOURCE, -TARGET]), Y, sample_domain=DOMAIN)
    assert np.abs(found - transport.class_proportions_).max() > 0.1


@pytest.mark.parametrize(
    ("proportions", "y", "message"),
    [
        ("estimate", None, "CORAL requires y to be passed, but the target y is None"),
        ([0.5, 0.5], Y, r"one number of at least 0 for each of the 3 classes .* Got \[0.5, 0.5\] instead"),
        ([0.5, 0.6, 0.1], Y, "they must sum to one"),
        ([1.5, -0.5, 0.0], Y, "one number of at least 0"),
        ({"a": 0.5, "b": 0.2, "c": 0.3}, Y, "one number of at least 0 for each of the 3 classes"),
        ("estimat", Y, "must be a str among {'estimate'}"),
    ],
)
def test_bad_proportions_and_missing_labels_are_named(proportions, y, message):
    with pytest.raises(ValueError, match=message):
        CORAL(class_proportions=proportions).fit(X, y, sample_domain=DOMAIN)
