"""Class weights that are invalid, or leave fewer than two classes."""

import numpy as np
import pytest

from transferkit import LogisticHead, LogisticHeadCV, MLPHeadClassifier

CLASSIFIERS = {
    "logistic": lambda **options: LogisticHead(**options),
    "search": lambda **options: LogisticHeadCV([1.0], cv=2, **options),
    "network": lambda **options: MLPHeadClassifier((), max_iter=2, **options),
}
X = np.random.default_rng(0).normal(size=(30, 3))
LABELS = np.array(["a", "b", "c"])[np.arange(30) % 3]


@pytest.mark.parametrize("weight", [np.nan, -5, np.inf, "heavy", None])
@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_invalid_class_weights_raise_an_error(make, weight):
    with pytest.raises(ValueError, match=r"class_weight must be finite and not negative\. Got .* for the class 'b'"):
        make(class_weight={"a": 1, "b": weight}).fit(X, LABELS)


@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_weights_that_are_all_zero_are_refused(make):
    with pytest.raises(ValueError, match="At least one row must have a positive weight"):
        make(class_weight=dict.fromkeys("abc", 0)).fit(X, LABELS)


@pytest.mark.parametrize("make", [CLASSIFIERS["logistic"], CLASSIFIERS["search"]], ids=["logistic", "search"])
def test_two_classes_must_have_weight(make):
    message = r"rows of at least 2 classes with positive weights\. The weights leave 1 class: \['c'\]"
    with pytest.raises(ValueError, match=message):
        make(class_weight={"a": 0, "b": 0}).fit(X, LABELS)
    with pytest.raises(ValueError, match=message):
        make().fit(X, LABELS, sample_weight=(LABELS == "c").astype(float))


@pytest.mark.parametrize("make", [CLASSIFIERS["logistic"], CLASSIFIERS["search"]], ids=["logistic", "search"])
def test_a_class_without_weight_is_not_predicted(make):
    assert "b" not in make(class_weight={"b": 0}).fit(X, LABELS).predict(X)
