"""The pictures hold the figures they are made from."""

import builtins

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline

from tests.inspection.test_explain import LABELS, TEXTS
from transferkit import (
    EmbeddingMapDisplay,
    LogisticHead,
    LSAEncoder,
    TfidfEncoder,
    TransferClassifier,
    TransferCurveDisplay,
)
from transferkit.exceptions import MissingExtraError

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    mpl.pyplot.close("all")


def test_curve_shows_transfer_and_scratch_on_the_same_draws():
    model = TransferClassifier(LSAEncoder(4, min_df=1).fit(TEXTS), LogisticHead(), strategy="frozen")
    display = TransferCurveDisplay.from_estimator(model, TEXTS, LABELS, n_labels=(2, 5, 500), n_draws=3)
    assert list(display.n_labels) == [2, 5]
    assert list(display.scores) == ["transfer", "scratch"]
    assert display.scores["transfer"].shape == (2, 3)
    for name, line in display.lines_.items():
        np.testing.assert_allclose(line.get_ydata(), display.scores[name].mean(axis=1))
    assert display.ax_.get_xlabel() == "labels per class"
    assert display.ax_.get_ylabel() == "accuracy"
    again = TransferCurveDisplay.from_estimator(model, TEXTS, LABELS, n_labels=(5,), n_draws=3, baseline=model)
    np.testing.assert_array_equal(again.scores["transfer"], again.scores["scratch"])
    assert again.gain().tolist() == [0.0]


def test_any_classifier_with_a_baseline_of_its_own():
    model = make_pipeline(TfidfEncoder(), LogisticHead())
    with pytest.raises(ValueError, match="cannot make a Pipeline without transfer"):
        TransferCurveDisplay.from_estimator(model, TEXTS, LABELS)
    figure, ax = mpl.pyplot.subplots()
    display = TransferCurveDisplay.from_estimator(
        model, TEXTS, LABELS, baseline=model, n_labels=[3], n_draws=1, scoring="f1_macro", ax=ax
    )
    assert display.figure_ is figure
    assert display.ax_.get_ylabel() == "f1 macro"


def test_sizes_beyond_the_smallest_class_are_refused():
    with pytest.raises(ValueError, match="the smallest class leaves 14 rows"):
        TransferCurveDisplay.from_estimator(TransferClassifier(strategy="scratch"), TEXTS, LABELS, n_labels=[50])


@pytest.mark.parametrize("projection", ["pca", "tsne", TruncatedSVD(2)])
@pytest.mark.parametrize("encoder", [LSAEncoder(4, min_df=1), TfidfEncoder()])
def test_map_draws_every_row_in_the_colour_of_its_label(projection, encoder):
    display = EmbeddingMapDisplay.from_estimator(encoder.fit(TEXTS), TEXTS, LABELS, projection=projection)
    assert display.points.shape == (len(TEXTS), 2)
    assert [len(points.get_offsets()) for points in display.collections_] == [20, 20, 20]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["money", "pet", "sky"]


def test_map_without_labels_and_with_many():
    points = np.random.default_rng(0).normal(size=(60, 2))
    assert EmbeddingMapDisplay(points).plot().ax_.get_legend() is None
    labels = np.concatenate([np.arange(30), np.arange(20), np.arange(10)])
    display = EmbeddingMapDisplay(points, labels).plot()
    assert len(display.collections_) == 21
    assert len(display.collections_[0].get_offsets()) == 10  # grey: the rarest labels
    display.figure_.draw_without_rendering()
    legend, axes = display.ax_.get_legend().get_window_extent(), display.ax_.get_window_extent()
    assert axes.x0 < legend.x0 < legend.x1 < axes.x1
    assert axes.y0 < legend.y0 < legend.y1 < axes.y1


def test_wrong_projection_is_named():
    encoder = TfidfEncoder().fit(TEXTS)
    with pytest.raises(ValueError, match="'projection' parameter must be 'pca', 'tsne'"):
        EmbeddingMapDisplay.from_estimator(encoder, TEXTS, projection="umap")
    with pytest.raises(ValueError, match="two components"):
        EmbeddingMapDisplay.from_estimator(encoder, TEXTS, projection=TruncatedSVD(1))


def test_missing_matplotlib_names_the_extra(monkeypatch):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"transferkit\[plot\]"):
        EmbeddingMapDisplay(np.zeros((2, 2))).plot()
