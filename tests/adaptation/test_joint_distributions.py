"""Joint distribution adaptation agrees with the formulas of its papers, written with matrices over all rows."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from transferkit import CORAL, JointDistributionAdaptation, LogisticHead

RNG = np.random.default_rng(0)
LABELS = np.repeat(["a", "b", "c"], [30, 20, 10])
TRUTH = np.repeat(["a", "b", "c"], [5, 10, 25])
CENTRES = {"a": [0, 4, 0, 0], "b": [4, 0, 0, 0], "c": [0, 0, 4, 0]}
MOVES = {"a": [0, 0, 1, 2], "b": [1, 0, 0, 2], "c": [0, 1, 0, 2]}
SOURCE = RNG.normal(size=(60, 4)) + np.array([CENTRES[label] for label in LABELS])
TARGET = RNG.normal(size=(40, 4)) + np.array([np.add(CENTRES[label], MOVES[label]) for label in TRUTH])
X, DOMAIN = np.vstack([SOURCE, TARGET]), np.repeat([1, -1], [60, 40])
FAR = np.vstack([SOURCE, TARGET + np.array([4, 4, 0, 0])])
Y = np.concatenate([LABELS, np.full(40, "?")])


def adapt_densely(X, labels, n_components, penalty, balance, n_steps):
    """Return mapped rows and pseudo-labels, from the matrices X M X' and X H X' of the papers."""
    n_source, n_rows = len(labels), len(X)
    target = np.arange(n_rows) >= n_source
    X = X - X.mean(0)
    mean_square = np.square(X).sum() / n_rows
    pseudo = KNeighborsClassifier(1).fit(X[~target], labels).predict(X[target])
    for _ in range(n_steps):
        M = np.zeros((n_rows, n_rows))
        for c, weight in [(None, 1 - balance), *((c, balance) for c in np.unique(labels))]:
            members = np.ones(n_rows, bool) if c is None else np.append(labels, pseudo) == c
            e = np.where(target, -1.0, 1.0) * members
            if (members & target).any():
                e /= np.where(target, (members & target).sum(), (members & ~target).sum())
                M += weight * np.outer(e, e)
        M /= np.linalg.norm(M)
        H = np.eye(n_rows) - 1 / n_rows
        size = X.shape[1]
        scatter, constraint = X.T @ H @ X, X.T @ M @ X + penalty * mean_square * np.eye(size)
        A = linalg.eigh(scatter, constraint)[1][:, ::-1][:, :n_components]
        mapped = X @ A
        mapped *= np.sqrt(mean_square * n_rows / np.square(mapped).sum())
        pseudo = KNeighborsClassifier(1).fit(mapped[~target], labels).predict(mapped[target])
    return mapped, pseudo


@pytest.mark.parametrize("n_features", [4, 150])
@pytest.mark.parametrize("balance", [0.0, 0.5, 0.9, 1.0])
def test_agrees_with_matrices_over_all_rows(n_features, balance):
    rows = FAR @ RNG.normal(size=(4, n_features)) + 0.1 * RNG.normal(size=(100, n_features)) + 7
    adaptation = JointDistributionAdaptation(3, penalty=0.3, balance=balance, max_iter=4)
    mapped = adaptation.fit_transform(rows, Y, sample_domain=DOMAIN)
    expected, pseudo_labels = adapt_densely(rows, LABELS, 3, 0.3, balance, adaptation.n_iter_)
    np.testing.assert_allclose(mapped * np.sign((mapped * expected).sum(0)), expected, atol=1e-7)
    np.testing.assert_array_equal(adaptation.pseudo_labels_, pseudo_labels)


def test_classes_that_are_predicted_for_no_row_are_left_out():
    kept = TRUTH != "b"
    rows, domain = np.vstack([SOURCE, TARGET[kept]]), np.repeat([1, -1], [60, kept.sum()])
    adaptation = JointDistributionAdaptation(2, estimator=LogisticRegression(), max_iter=1)
    mapped = adaptation.fit_transform(rows, np.append(LABELS, TRUTH[kept]), sample_domain=domain)
    assert set(adaptation.pseudo_labels_) == {"a", "c"}
    assert list(adaptation.classes_) == ["a", "b", "c"]
    assert np.isfinite(mapped).all()


def test_classes_that_move_in_other_directions_and_proportions_are_aligned():
    def score(adaptation):
        mapped = adaptation.fit_transform(X, Y, sample_domain=DOMAIN)
        return LogisticHead().fit(mapped[:60], LABELS).score(mapped[60:], TRUTH)

    assert score(JointDistributionAdaptation()) > score(CORAL()) + 0.2
    adaptation = JointDistributionAdaptation().fit(X, Y, sample_domain=DOMAIN)
    assert (adaptation.pseudo_labels_ == TRUTH).mean() > 0.9


def test_labels_of_target_rows_and_the_order_of_rows_are_ignored():
    adaptation = JointDistributionAdaptation().fit(X, Y, sample_domain=DOMAIN)
    order = RNG.permutation(100)
    again = JointDistributionAdaptation().fit(X[order], np.append(LABELS, TRUTH)[order], sample_domain=DOMAIN[order])
    np.testing.assert_allclose(again.transform(X), adaptation.transform(X))
    np.testing.assert_array_equal(again.pseudo_labels_, adaptation.pseudo_labels_[order[order >= 60] - 60])


def test_iteration_ends_when_pseudo_labels_stay_the_same():
    constant = JointDistributionAdaptation(estimator=DummyClassifier()).fit(X, Y, sample_domain=DOMAIN)
    assert constant.n_iter_ == 1
    assert set(constant.pseudo_labels_) == {"a"}
    few = JointDistributionAdaptation(max_iter=1).fit(FAR, Y, sample_domain=DOMAIN)
    settled = JointDistributionAdaptation().fit(FAR, Y, sample_domain=DOMAIN)
    assert few.n_iter_ == 1 < 2 < settled.n_iter_ < 10
    assert (few.pseudo_labels_ == TRUTH).sum() < (settled.pseudo_labels_ == TRUTH).sum()


def test_directions_are_at_most_those_in_which_rows_differ(monkeypatch):
    rows = np.hstack([X, X, np.ones((100, 3))]).astype(np.float32)
    adaptation = JointDistributionAdaptation().fit(rows, Y, sample_domain=DOMAIN)
    assert adaptation.n_components_ == 4
    assert adaptation.projection_.shape == (11, 4)
    monkeypatch.setattr("transferkit.adaptation._joint_distributions.MOST_AXES", 2)
    assert JointDistributionAdaptation().fit(rows, Y, sample_domain=DOMAIN).n_components_ == 2


@pytest.mark.parametrize(
    ("y", "options", "error", "message"),
    [
        (None, {}, ValueError, "requires y to be passed, but the target y is None: give one label per row"),
        (np.linspace(0, 1, 100), {}, ValueError, "Labels of source rows.*Unknown label type: continuous"),
        (Y, {"estimator": LinearRegression()}, TypeError, r"must be a classifier. Got LinearRegression\(\) instead"),
    ],
)
def test_bad_labels_and_estimators_are_named(y, options, error, message):
    with pytest.raises(error, match=message):
        JointDistributionAdaptation(**options).fit(X, y, sample_domain=DOMAIN)


def test_equal_rows_are_refused():
    with pytest.raises(ValueError, match=r"needs rows that differ\. Got 100 equal ones of source and target"):
        JointDistributionAdaptation().fit(np.ones((100, 3)), Y, sample_domain=DOMAIN)
