"""TransferClassifier reports strategies and candidates to scikit-learn's callbacks, and stops on request."""

from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.linear_model import SGDClassifier

import transferkit
from transferkit import TransferClassifier, WordVectorEncoder

WORDS = ["cat", "dog", "cow", "horse", "stock", "bond", "rate", "share", "the", "a", "of", "and"]
RNG = np.random.default_rng(0)
TEXTS = [" ".join([WORDS[RNG.integers(4) + 4 * (i % 2)], *RNG.choice(WORDS, 3)]) for i in range(40)]
LABELS = ["pet", "money"] * 20


@cache
def make_encoder():
    return WordVectorEncoder(4, min_count=1).fit(TEXTS)


class Recorder:
    """Records the tasks, and requests a stop after the one of some name."""

    def __init__(self, stop_after=None):
        self.stop_after, self.events, self.fitted = stop_after, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        depth = 0 if context.parent is None else 1 if context.parent.parent is None else 2
        self.events.append("  " * depth + context.task_name)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        if fitted_estimator is not None and len(X):
            self.fitted.append(fitted_estimator.score(X, y))
        return context.task_name == self.stop_after

    @property
    def strategies(self):
        return [event.strip() for event in self.events if event.startswith("  ") and not event.startswith("   ")]

    @property
    def candidates(self):
        return [event.strip() for event in self.events if event.startswith("    ")]


def test_every_strategy_is_a_task_and_every_candidate_a_task_of_it():
    recorder = Recorder()
    model = TransferClassifier(make_encoder()).set_callbacks(recorder).fit(TEXTS, LABELS)
    assert recorder.events[:3] == ["setup", "fit", "  term_vectors"]
    assert recorder.events[-1] == "teardown"
    assert recorder.strategies == ["term_vectors", "frozen", "scratch"]
    assert len(recorder.candidates) == len(model.strategy_scores_["C"])
    for name, C, loss in zip(
        recorder.candidates, model.strategy_scores_["C"], model.strategy_scores_["log_loss"], strict=True
    ):
        assert name.startswith(f"C={C:.4g}, ")
        assert name.endswith(f", log_loss={loss:.4g}")
    assert "C=0.1, alpha=0, terms=words, idf=unlabelled, " in recorder.candidates[0]
    assert recorder.fitted == [model.score(TEXTS, LABELS)]


def test_callbacks_change_no_result():
    plain = TransferClassifier(make_encoder()).fit(TEXTS, LABELS)
    watched = TransferClassifier(make_encoder()).set_callbacks(Recorder()).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(watched.predict_proba(TEXTS), plain.predict_proba(TEXTS))


@pytest.mark.parametrize("name", ["fit", "term_vectors", "frozen"])
def test_request_to_stop_ends_the_comparison_after_the_strategy(name):
    recorder = Recorder(stop_after=name)
    model = TransferClassifier(make_encoder()).set_callbacks(recorder).fit(TEXTS, LABELS)
    n_tried = {"term_vectors": 1, "frozen": 2}.get(name, 3)
    assert recorder.strategies == ["term_vectors", "frozen", "scratch"][:n_tried]
    assert set(model.strategy_scores_["strategy"]) == set(recorder.strategies)
    assert model.score(TEXTS, LABELS) > 0.5


def test_request_to_stop_after_a_candidate_ends_it_too():
    class Stop(Recorder):
        def on_fit_task_end(self, estimator, context):
            return context.task_name.startswith("C=")

    recorder = Stop()
    TransferClassifier(make_encoder()).set_callbacks(recorder).fit(TEXTS, LABELS)
    assert recorder.strategies == ["term_vectors"]


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"strategy": "frozen", "head": SGDClassifier()}, {}),
        ({"class_descriptions": {"pet": "cat dog", "money": "stock bond"}}, {"X_unlabelled": TEXTS}),
    ],
    ids=["another head", "no labels"],
)
def test_fits_without_candidates_begin_and_end(options, data):
    recorder = Recorder()
    labelled = ([], []) if data else (TEXTS, LABELS)
    TransferClassifier(make_encoder(), **options).set_callbacks(recorder).fit(*labelled, **data)
    assert recorder.events == ["setup", "fit", "teardown"]


def test_callbacks_are_torn_down_when_fit_fails():
    recorder = Recorder()
    with pytest.raises(ValueError, match="2 classes"):
        TransferClassifier(make_encoder()).set_callbacks(recorder).fit(TEXTS, ["pet"] * 40)
    assert recorder.events == ["setup", "fit", "teardown"]


def test_callbacks_are_cloned_and_not_saved(tmp_path):
    recorder = Recorder()
    model = clone(TransferClassifier(make_encoder(), strategy="frozen").set_callbacks(recorder)).fit(TEXTS, LABELS)
    assert "  frozen" in recorder.events
    transferkit.save(model, tmp_path / "model.tk")
    assert "_skl_callbacks" not in vars(transferkit.load(tmp_path / "model.tk"))


def test_progress_bar_of_scikit_learn(capsys):
    TransferClassifier(make_encoder()).set_callbacks(ProgressBar()).fit(TEXTS, LABELS)
    assert "TransferClassifier - term_vectors" in capsys.readouterr().out
