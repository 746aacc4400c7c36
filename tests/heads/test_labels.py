"""Labels of every container and type: accepted by classifiers, or rejected with a helpful message."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning

from transferkit import LogisticHead, LogisticHeadCV, MLPHeadClassifier, TransferClassifier
from transferkit._validation import check_labels

CLASSIFIERS = {
    "logistic": lambda: LogisticHead(),
    "search": lambda: LogisticHeadCV([1.0], cv=2),
    "network": lambda: MLPHeadClassifier((), max_iter=2, random_state=0),
    "transfer": lambda: TransferClassifier(strategy="scratch", cv=2),
}
MATRIX = np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 6)
ROWS = np.random.default_rng(0).normal(size=(24, 3))

MIXED = np.array(["a", 1] * 12, dtype=object)
REFUSED = {
    "marks of minus and plus one": (np.where(MATRIX, 1, -1), "zeros and ones.*Got -1 and 1"),
    "marks of one and two": ((MATRIX + 1.0), r"zeros and ones.*Got 1.0 and 2.0.*\(y == value\)"),
    "a sparse matrix of twos": (sp.csr_matrix(2 * MATRIX), "zeros and ones.*Got 2"),
    "three values": (MATRIX + np.arange(24)[:, None] % 2, "zeros and ones.*Got 0 and 1 and 2"),
    "fractions": (MATRIX * 0.3, "zeros and ones.*Got 0.0 and 0.3"),
    "columns of texts": (np.where(MATRIX, "yes", "no"), "zeros and ones.*Got 'no' and 'yes'"),
    "pairs of labels": ([["a", "b"], ["b", "c"]] * 12, "sets of labels by scikit-learn's MultiLabelBinarizer"),
    "lists of labels": ([["a"], ["a", "b"], []] * 8, "several labels per row.*MultiLabelBinarizer"),
    "sets of labels": ([{"a"}, {"b"}] * 12, "several labels per row.*MultiLabelBinarizer"),
    "a series of lists": (pd.Series([[1], [2, 3]] * 12), "several labels per row.*MultiLabelBinarizer"),
    "texts and numbers": (MIXED, r"of one type. Got 'a' \(str\) at position 0 and 1 \(int\) at position 1"),
    "a list of texts and numbers": (MIXED.tolist(), r"of one type. Got 'a' \(str\) at position 0 and 1 \(int\)"),
    "None among texts": (["a", "b", None] * 8, r"position 2 is missing \(None\)"),
    "NaN among texts": (["a", float("nan"), "b"] * 8, r"position 1 is missing \(nan\)"),
    "NaN among numbers": ([0.0, 1.0, np.nan] * 8, "position 2 is missing"),
    "NA in a nullable series": (pd.Series(["a", "b", pd.NA] * 8, dtype="string"), "position 2 is missing"),
    "NA in a nullable frame": (pd.DataFrame(MATRIX).astype("Int64").mask(MATRIX.cumsum(0) > 10), "is missing"),
    "fractions in a column": (np.linspace(0, 1, 24), "continuous"),
    "infinity": ([0, 1, np.inf] * 8, "contain infinity"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_invalid_labels_raise_a_helpful_error(make, case):
    y, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make().fit(ROWS, y)


MATRICES = {
    "bool": MATRIX.astype(bool),
    "float": MATRIX.astype(np.float32),
    "list": MATRIX.tolist(),
    "object": MATRIX.astype(object),
    "sparse": sp.csr_matrix(MATRIX),
    "Int64": pd.DataFrame(MATRIX).astype("Int64"),
    "boolean": pd.DataFrame(MATRIX).astype("boolean"),
    "polars": pl.DataFrame(MATRIX, schema=["a", "b"]),
}


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_indicator_matrices_of_any_type_are_taken(make, kind):
    found = make().fit(ROWS, MATRICES[kind]).predict_proba(ROWS)
    np.testing.assert_allclose(found, make().fit(ROWS, MATRIX).predict_proba(ROWS), rtol=1e-6)


NUMBERS = np.array([3, 7] * 12)
VECTORS = {
    "objects": (NUMBERS.astype(object), np.int64),
    "objects of bool": ((NUMBERS == 3).astype(object), np.bool_),
    "nullable": (pd.Series(NUMBERS, dtype="Int64"), np.int64),
    "a column of a nullable frame": (pd.DataFrame({"y": NUMBERS}, dtype="Int64")["y"], np.int64),
    "small": (NUMBERS.astype(np.int8), np.int8),
    "texts": (["three", "seven"] * 12, np.dtype("<U5")),
    "objects of text": (np.array(["three", "seven"] * 12, dtype=object), object),
    "categories": (pd.Categorical(["three", "seven"] * 12), object),
}


@pytest.mark.parametrize("kind", VECTORS)
@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_labels_of_any_type_are_taken_and_keep_it(make, kind):
    y, dtype = VECTORS[kind]
    model = make().fit(ROWS, y)
    assert model.classes_.dtype == model.predict(ROWS).dtype == dtype
    assert set(model.predict(ROWS)) <= set(y)


def test_a_column_becomes_a_vector_with_a_warning():
    for column in (NUMBERS[:, None], sp.csr_matrix(NUMBERS[:, None])):
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
            np.testing.assert_array_equal(check_labels(column), NUMBERS)
