"""Class proportions of the target, weights of the source by class, and corrected probabilities."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from transferkit import DomainTransferClassifier, LabelShiftWeighting, LogisticHead

CENTRES = 2.0 * np.eye(3, 4)
TRUTH = np.array([0.1, 0.2, 0.7])


def make_rows(counts, seed):
    """Return rows of three classes, and their labels."""
    labels = np.repeat([0, 1, 2], counts)
    order = np.random.default_rng(seed).permutation(len(labels))
    rows = CENTRES[labels] + np.random.default_rng(seed + 1).normal(size=(len(labels), 4))
    return rows[order], np.array(["a", "b", "c"])[labels[order]]


SOURCE, Y = make_rows([300, 200, 100], 0)
TARGET, Y_TARGET = make_rows((500 * TRUTH).astype(int), 10)
X, DOMAIN = np.vstack([SOURCE, TARGET]), np.repeat([1, -1], [600, 500])
LABELS = np.concatenate([Y, np.full(500, "unknown")])  # those of the target are not used


@pytest.mark.parametrize(
    ("estimator", "method", "convert"),
    [
        (None, "em", np.asarray),
        (None, "em", sparse.csr_matrix),
        (None, "bbse", np.asarray),
        (GaussianNB(), "em", np.asarray),
        (LinearSVC(), "bbse", np.asarray),
        (LogisticRegression(class_weight="balanced"), "bbse", sparse.csr_matrix),
    ],
)
def test_proportions_of_the_target_are_found(estimator, method, convert):
    weighting = LabelShiftWeighting(estimator, method).fit(convert(X), LABELS, sample_domain=DOMAIN)
    np.testing.assert_allclose(weighting.class_proportions_, TRUTH, atol=0.05)
    np.testing.assert_allclose(weighting.source_proportions_, [1 / 2, 1 / 3, 1 / 6])
    assert weighting.classes_.tolist() == ["a", "b", "c"]
    ratios = dict(zip("abc", weighting.class_proportions_ / weighting.source_proportions_, strict=True))
    np.testing.assert_allclose(weighting.sample_weight_[:600], [ratios[label] for label in Y])
    assert not weighting.sample_weight_[600:].any()
    assert weighting.sample_weight_[:600].mean() == pytest.approx(1)


@pytest.mark.parametrize("method", ["em", "bbse"])
@pytest.mark.parametrize("estimator", [None, LogisticRegression(class_weight="balanced")], ids=str)
def test_without_a_shift_the_weights_are_one(estimator, method):
    rows, labels = np.vstack([SOURCE, make_rows([300, 200, 100], 20)[0]]), np.concatenate([Y, Y])
    weighting = LabelShiftWeighting(estimator, method).fit(rows, labels, sample_domain=np.repeat([1, -1], 600))
    np.testing.assert_allclose(weighting.sample_weight_[:600], 1, atol=0.2)


def test_held_out_predictions_correct_for_those_of_training_rows():
    """A classifier that knows its training rows by heart would have a confusion matrix without confusion."""
    rng = np.random.default_rng(0)
    numbers = np.repeat([0, 1, 0, 1], [100, 100, 360, 40])
    rows = 2.5 * numbers[:, None] * np.eye(1, 100) + rng.normal(size=(600, 100))
    sure = LogisticRegression(C=1e4, max_iter=1000)
    found = LabelShiftWeighting(sure, "bbse").fit(rows, numbers, sample_domain=np.repeat([1, -1], [200, 400]))
    predicted = sure.fit(rows[:200], numbers[:200]).predict_proba(rows[200:]).mean(0)
    assert predicted[1] > 0.15
    assert found.class_proportions_[1] == pytest.approx(0.1, abs=0.05)


def test_corrected_probabilities_are_better_and_add_up():
    weighting = LabelShiftWeighting().fit(X, LABELS, sample_domain=DOMAIN)
    trained = LogisticRegression().fit(SOURCE, Y)
    before = trained.predict_proba(TARGET)
    after = weighting.correct_probabilities(before)
    np.testing.assert_allclose(after.sum(1), 1)
    ratios = weighting.class_proportions_ / weighting.source_proportions_
    np.testing.assert_allclose(after[:, 0] / after[:, 1], before[:, 0] / before[:, 1] * ratios[0] / ratios[1])
    accuracies = [np.mean(trained.classes_[p.argmax(1)] == Y_TARGET) for p in (before, after)]
    assert accuracies[1] > accuracies[0] + 0.03


def test_weights_of_other_rows_are_those_of_their_labels():
    weighting = LabelShiftWeighting().fit(X, LABELS, sample_domain=DOMAIN)
    np.testing.assert_array_equal(weighting.compute_weights(Y), weighting.sample_weight_[:600])
    with pytest.raises(ValueError, match=r"among those that fit saw: \['a', 'b', 'c'\]. Got .*'d'"):
        weighting.compute_weights(["a", "d"])
    with pytest.raises(ValueError, match="labels"):
        weighting.compute_weights([["a", "b"]])


def test_the_transfer_classifier_trains_with_the_weights():
    model = DomainTransferClassifier(head=LogisticHead(1.0), adaptation=LabelShiftWeighting())
    model.fit(SOURCE, Y, X_target=TARGET)
    trusted = LogisticHead(1.0).fit(SOURCE, Y, model.adaptation_.sample_weight_[:600])
    np.testing.assert_allclose(model.head_.coef_, trusted.coef_, atol=0.01)
    plain = DomainTransferClassifier(head=LogisticHead(1.0), adaptation=None).fit(SOURCE, Y, X_target=TARGET)
    assert model.score(TARGET, Y_TARGET) > plain.score(TARGET, Y_TARGET) + 0.03


def test_heads_that_take_no_weights_are_refused():
    model = DomainTransferClassifier(head=KNeighborsClassifier(), adaptation=LabelShiftWeighting())
    with pytest.raises(ValueError, match=r"LabelShiftWeighting gives weights, but .* KNeighborsClassifier takes no"):
        model.fit(SOURCE, Y, X_target=TARGET)


def test_classes_that_cannot_be_distinguished_are_warned_of():
    with pytest.warns(UserWarning, match="hardly distinguishes some classes on held-out source rows"):
        LabelShiftWeighting().fit(X, np.random.default_rng(0).permutation(LABELS == "a"), sample_domain=DOMAIN)


def test_rare_classes_that_most_of_the_weight_is_on_are_warned_of():
    rows = np.vstack([make_rows([300, 5, 0], 1)[0], make_rows([0, 300, 0], 2)[0]])
    labels = np.concatenate([make_rows([300, 5, 0], 1)[1], np.full(300, "b")])
    with pytest.warns(UserWarning, match=r"effective sample size is .* of 305 source rows .* rare in the source"):
        LabelShiftWeighting().fit(rows, labels, sample_domain=np.repeat([1, -1], [305, 300]))


@pytest.mark.parametrize(
    ("weighting", "y", "message"),
    [
        (LabelShiftWeighting(), None, "requires y to be passed, but the target y is None: give one label per row"),
        (LabelShiftWeighting(), np.full(1100, "a"), r"at least 2 classes .* Got \{'a': 600\}"),
        (LabelShiftWeighting(), np.r_[["b"], np.full(1099, "a")], r"2 source rows each. Got \{'a': 599, 'b': 1\}"),
        (LabelShiftWeighting(), np.where(np.arange(1100) == 3, None, LABELS), "missing"),
        (LabelShiftWeighting(LinearSVC()), LABELS, "LinearSVC has no predict_proba. Use method='bbse'"),
    ],
)
def test_bad_input_is_named(weighting, y, message):
    before = dict(vars(weighting))
    with pytest.raises(ValueError, match=message):
        weighting.fit(X, y, sample_domain=DOMAIN)
    assert vars(weighting) == before


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.ones((5, 2)) / 2, r"\(n_samples, 3\). Got an array of shape \(5, 2\)"),
        ([[1.0, 0.0, 0.0], [0.5, 0.7, 0.0]], r"sum to one. Got \[0.5, 0.7, 0.0\] in row 1"),
        ([[1.5, -0.5, 0.0]], r"not negative .* in row 0"),
        ([[np.nan, 0.5, 0.5]], "contains NaN"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities, message):
    weighting = LabelShiftWeighting().fit(X, LABELS, sample_domain=DOMAIN)
    with pytest.raises(ValueError, match=message):
        weighting.correct_probabilities(probabilities)
