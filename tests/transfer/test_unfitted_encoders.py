"""Encoders that are not fitted yet learn from training rows alone, also where they use labels."""

import numpy as np
import pytest
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transferkit import LogisticHead, LogisticHeadCV, RidgeHead, TransferClassifier, TransferRegressor

RNG = np.random.default_rng(0)
NOISE, LABELS, TARGETS = RNG.normal(size=(60, 400)), np.arange(60) % 2, RNG.normal(size=60)
FOLDS = list(KFold(4, shuffle=True, random_state=0).split(NOISE))


def by_hand(encoder, head, **parameters):
    return cross_val_score(make_pipeline(encoder, head), NOISE, LABELS, cv=FOLDS, **parameters)


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._candidates.CS", (0.01, 0.1))
    return TransferClassifier(SelectKBest(k=10), cv=FOLDS, strategy="frozen").fit(NOISE, LABELS)


def test_labels_do_not_leak_into_held_out_scores(model):
    table = model.strategy_scores_
    for C, mean, loss in zip(table["C"], table["mean"], table["log_loss"], strict=True):
        head = LogisticRegression(C=C, tol=1e-8, max_iter=1000)
        assert mean == pytest.approx(by_hand(SelectKBest(k=10), head).mean())
        assert loss == pytest.approx(-by_hand(SelectKBest(k=10), head, scoring="neg_log_loss").mean(), abs=0.02)
    assert table["mean"].max() < 0.7


def test_model_of_all_rows_is_the_average_over_C(model):
    table = model.strategy_scores_
    assert (table["weight"] > 0).all()
    expected, rows = 0, SelectKBest(k=10).fit_transform(NOISE, LABELS)
    for C, weight in zip(table["C"], table["weight"], strict=True):
        expected = expected + weight * LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(rows, LABELS).coef_
    np.testing.assert_allclose(model.head_.coef_, expected, atol=0.02)


def test_labels_do_not_leak_into_what_a_source_is_compared_by():
    source = make_pipeline(StandardScaler(), LogisticHead(C=1e-3)).fit(RNG.normal(size=(60, 400)), LABELS)
    model = TransferClassifier(SelectKBest(k=10), LogisticHeadCV([0.1, 10.0]), source=source, cv=FOLDS)
    table = model.fit(NOISE, LABELS).strategy_scores_
    target = max(by_hand(SelectKBest(k=10), LogisticHead(C=C)).mean() for C in (0.1, 10.0))
    assert table["mean"][table["strategy"] == "target only"] == pytest.approx(target)
    assert np.nanmax(table["mean"]) < 0.7


def test_targets_do_not_leak_into_the_errors_of_a_regression():
    encoder, head = SelectKBest(f_regression, k=10), RidgeHead(alphas=[1.0, 100.0])
    model = TransferRegressor(encoder, head).fit(NOISE, TARGETS)
    folds = KFold(5, shuffle=True, random_state=0)
    errors = {}
    for alpha in (1.0, 100.0):
        pipeline = make_pipeline(encoder, RidgeHead(alpha=alpha))
        errors[alpha] = np.mean((cross_val_predict(pipeline, NOISE, TARGETS, cv=folds) - TARGETS) ** 2)
    table = model.strategy_scores_
    frozen = table["strategy"] == "frozen"
    assert -table["mean"][frozen] == pytest.approx(min(errors.values()))
    assert 1 / table["C"][frozen] == min(errors, key=errors.get)


def test_folds_of_a_given_ridge_head_are_used():
    head = RidgeHead(alphas=[1.0, 100.0], cv=FOLDS)
    table = TransferRegressor(SelectKBest(f_regression, k=10), head, strategy="frozen").fit(NOISE, TARGETS)
    pipelines = [make_pipeline(SelectKBest(f_regression, k=10), RidgeHead(alpha=alpha)) for alpha in (1.0, 100.0)]
    predictions = [cross_val_predict(pipeline, NOISE, TARGETS, cv=FOLDS) for pipeline in pipelines]
    expected = min(np.mean((found - TARGETS) ** 2) for found in predictions)
    assert -table.strategy_scores_["mean"][0] == pytest.approx(expected)


def test_one_row_is_enough_for_a_regression():
    model = TransferRegressor(StandardScaler(), RidgeHead(alphas=[1.0]), strategy="frozen").fit(NOISE[:1], TARGETS[:1])
    assert model.predict(NOISE[:1]) == pytest.approx(TARGETS[:1])
