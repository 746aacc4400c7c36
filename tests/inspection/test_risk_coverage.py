"""The risk-coverage curve is that of the predictions, and shows the threshold in use."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from transferkit import LogisticHead, RiskCoverageDisplay, SelectiveClassifier

pytest.importorskip("matplotlib").use("Agg")

RANDOM = np.random.default_rng(0)
Y = RANDOM.integers(0, 2, 300)
X = RANDOM.normal(size=(300, 2)) + 2 * Y[:, None]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_curve_of_predictions():
    display = RiskCoverageDisplay.from_predictions([0, 0, 1, 1], [0, 1, 1, 1], [0.9, 0.5, 0.8, 0.7], name="model")
    np.testing.assert_allclose(display.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(display.error, [0, 0, 0, 0.25])
    assert display.aurc == pytest.approx(0.0625)
    np.testing.assert_allclose(display.line_.get_xydata(), np.stack([display.coverage, display.error], axis=1))
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["model (AURC = 0.062)"]
    assert display.ax_.get_xlabel().startswith("coverage")


@pytest.mark.parametrize("method", ["probability", "distance"])
def test_curve_of_a_selective_classifier_marks_its_threshold(method):
    model = SelectiveClassifier(LogisticHead(), coverage=0.8, method=method, reject_label=-1).fit(X, Y)
    truth = np.where(np.arange(300) < 30, -1, Y)  # samples that belong to no class
    display = RiskCoverageDisplay.from_estimator(model, X, truth)
    accepted = model.is_accepted(X)
    wrong = model.estimator_.predict(X) != truth
    assert display.chosen == (accepted.mean(), wrong[accepted].mean())
    assert display.error[-1] == wrong.mean()
    assert len(display.ax_.lines) == 2


def test_curve_of_any_classifier_with_probabilities():
    head = LogisticHead().fit(X, Y)
    display = RiskCoverageDisplay.from_estimator(head, X, Y, sample_weight=np.arange(300) % 3)
    given = RiskCoverageDisplay.from_predictions(
        Y,
        head.predict(X),
        head.predict_proba(X).max(axis=1),
        sample_weight=np.arange(300) % 3,
        ax=display.ax_,
        color="k",
    )
    assert given.ax_ is display.ax_
    assert given.line_.get_color() == "k"
    np.testing.assert_allclose(given.error, display.error)
    assert display.chosen is None


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="LinearSVC has no predict_proba"):
        RiskCoverageDisplay.from_estimator(LinearSVC().fit(X, Y), X, Y)
    with pytest.raises(ValueError, match="same length"):
        RiskCoverageDisplay.from_predictions(Y, Y[:-1], np.ones(300))
    with pytest.raises(ValueError, match="Got NaN for sample 1"):
        RiskCoverageDisplay.from_predictions([0, 1], [0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match=r"labels of one type. Got 'a' and 0"):
        RiskCoverageDisplay.from_predictions(["a", "b"], [0, 1], [0.5, 0.6])
